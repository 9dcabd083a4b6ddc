//! What is logged, and how: read, and changed while the proxy runs.
//!
//! What is changed here holds until it is changed again, or a reload brings other settings for it.

use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use mainstay_record::{LogCalls, LogFormat, LogLevel, LogSettings, Order, Recorder, WrongFilter};
use serde_json::{Map, Value, json};

use super::Reply;
use super::guard::Orderer;
use super::paths::{answered, json};
use crate::problem::{Problem, Refusal};
use crate::proxy::Control;

/// Answers a question or an order about the log.
pub(super) async fn answer(
    control: &Control,
    orderer: &Orderer,
    method: &Method,
    body: Incoming,
) -> Result<Response<Reply>, Refusal> {
    if *method == Method::PUT {
        let body = Limited::new(body, MOST_ORDER_BYTES).collect().await;
        let body =
            body.map_err(|_| Refusal::BadOrder("The order can't be read, or is too long."))?;
        let order: Map<String, Value> = serde_json::from_slice(&body.to_bytes())
            .map_err(|_| Refusal::BadOrder("The order isn't a JSON object."))?;
        if let Err(wanted) = orderer.confirms("log", &["settings"]) {
            return Ok(answered(&Problem::of_unconfirmed(&wanted)));
        }
        let told = Value::Object(order.clone()).to_string();
        let who = &orderer.who;
        // Before it is changed: what switches messages off would switch this one off as well.
        tracing::info!(order = %told, %who, "another log was ordered");
        if let Err(wrong) = change(control, &order) {
            return Ok(answered(&Problem::of_filter(&wrong)));
        }
        control.shared.recorder.note_order(Order {
            who: who.clone(),
            order: "log".to_owned(),
            upstream: None,
            endpoint: None,
            what: Some(told),
        });
    } else if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Refusal::MethodNotAllowed("GET, HEAD, PUT"));
    }
    Ok(json(StatusCode::OK, &document(control)))
}

fn document(control: &Control) -> Value {
    let recorder = &control.shared.recorder;
    let settings = recorder.log_settings();
    json!({
        "version": 1,
        "calls": settings.map(|settings| settings.calls.code()),
        "format": settings.map(|settings| settings.format.code()),
        "level": settings.map(|settings| settings.level.code()),
        "messages": control.messages().map(|messages| messages.filter()),
        "access_log": access(recorder),
    })
}

/// How the access log fares; nothing where there is none.
pub(super) fn access(recorder: &Recorder) -> Value {
    recorder.access_log().map_or(Value::Null, |access| {
        let file = access.options().file.as_ref().map(|file| file.path.display().to_string());
        json!({ "file": file, "written": access.written(), "dropped": access.dropped() })
    })
}

/// Does all that is ordered, or nothing.
fn change(control: &Control, order: &Map<String, Value>) -> Result<(), WrongFilter> {
    let recorder = &control.shared.recorder;
    let mut settings = recorder.log_settings();
    let mut filter = None;
    for (key, value) in order {
        match (key.as_str(), &mut settings) {
            ("calls", Some(log)) => log.calls = one_of(key, value, &LogCalls::ALL, LogCalls::code)?,
            ("format", Some(log)) => {
                log.format = one_of(key, value, &LogFormat::ALL, LogFormat::code)?;
            }
            ("level", Some(log)) => log.level = one_of(key, value, &LogLevel::ALL, LogLevel::code)?,
            ("calls" | "format" | "level", None) => {
                return Err(wrong(key, value, "there is no log", "messages".into()));
            }
            ("messages", _) => match value.as_str() {
                Some(text) => filter = Some(text),
                None => return Err(wrong(key, value, "that isn't a text", MESSAGES.into())),
            },
            _ => {
                let allowed = "calls, format, level, messages".into();
                return Err(wrong(key, value, "there is no such setting", allowed));
            }
        }
    }
    if let Some(filter) = filter {
        let value = Value::from(filter);
        let messages = control.messages();
        let none = || wrong("messages", &value, "nobody listens to messages", "nothing".into());
        let set = messages.ok_or_else(none)?.set_filter(filter);
        set.map_err(|why| {
            wrong("messages", &value, "that isn't a filter", format!("{MESSAGES} ({why})"))
        })?;
    }
    if let Some(settings) = settings {
        recorder.set_log(settings);
    }
    Ok(())
}

fn one_of<T: Copy>(
    key: &str,
    value: &Value,
    all: &[T],
    code: fn(T) -> &'static str,
) -> Result<T, WrongFilter> {
    let found = all.iter().copied().find(|one| value == code(*one));
    let allowed = || all.iter().map(|one| code(*one)).collect::<Vec<_>>().join(", ");
    found.ok_or_else(|| wrong(key, value, "that isn't one of them", allowed()))
}

fn wrong(key: &str, value: &Value, why: &'static str, allowed: String) -> WrongFilter {
    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    WrongFilter::new(key, &value, why, allowed)
}

/// The settings by which a log begins; a reload that brings others brings these.
pub(crate) fn by(settings: &mainstay_config::Settings) -> LogSettings {
    LogSettings {
        calls: if settings.log_calls { LogCalls::Every } else { LogCalls::Broken },
        format: match settings.log_format {
            mainstay_config::settings::LogFormat::Text => LogFormat::Text,
            mainstay_config::settings::LogFormat::Json => LogFormat::Json,
        },
        level: LogLevel::default(),
    }
}

/// Some targets with their levels.
const MOST_ORDER_BYTES: usize = 4096;

const MESSAGES: &str = "targets with levels, such as \"mainstay=info,mainstay_proxy=debug\"; levels are off, error, warn, info, debug, trace";
