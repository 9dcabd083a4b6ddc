//! Incidents told to a webhook, as calls of Mainstay's own: with the upstream's breaker, failover and budget, signed by the
//! Standard Webhooks scheme.
//!
//! They go one after the other, so that an end never overtakes its beginning. One that isn't taken is tried again a few times
//! and then left: a receiver that must miss nothing asks `/incidents` when it is back.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header, request::Parts};
use mainstay::{Clock, Source};
use mainstay_config::settings::Callback;
use mainstay_outbox::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use mainstay_record::IncidentTurn;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::generation::Generation;
use crate::proxy::Control;
use crate::route::Table;

/// Where what is to be told goes; it is told by a task on this thread.
pub(super) fn start(control: &Arc<Control>) -> mpsc::Sender<IncidentTurn> {
    let (turns, told) = mpsc::channel(WAITING);
    tokio::spawn(tell(Arc::clone(control), told));
    turns
}

async fn tell(control: Arc<Control>, mut turns: mpsc::Receiver<IncidentTurn>) {
    while let Some(turn) = turns.recv().await {
        let mut waits = WAITS.into_iter();
        loop {
            // Anew each time: a reload may have changed where it goes, and to whom.
            let Some(Err(why)) = call(&control, &turn).await else { break };
            let id = &turn.incident.id;
            match waits.next() {
                Some(wait) => {
                    tracing::warn!(incident = %id, why, "the webhook wasn't told; it is tried again");
                    sleep(wait).await;
                }
                None => {
                    tracing::error!(incident = %id, why, "the webhook isn't told of this");
                    break;
                }
            }
        }
    }
}

/// One call; `None` where nobody is to be told any more.
async fn call(control: &Control, turn: &IncidentTurn) -> Option<Result<(), String>> {
    let current = control.shared.current();
    let webhook = current.settings.incidents.webhook.as_ref()?;
    let table = Table::new(&current);
    let route = Arc::clone(table.callback(&webhook.upstream)?);
    let (id, body) = message(control, turn);
    let head = match head(&current, webhook, &id, &body) {
        Ok(head) => head,
        Err(error) => return Some(Err(error.to_string())),
    };
    let answer = current.client.call(&route.plan, head, Source::Full(body)).await;
    Some(match answer {
        Ok(answer) if answer.response.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("it answered {}", answer.response.status().as_u16())),
        Err(unanswered) => Err(unanswered.gave_up.kind.code().to_owned()),
    })
}

/// What is told, and its id, which is the same each time.
fn message(control: &Control, turn: &IncidentTurn) -> (String, Bytes) {
    let incident = &turn.incident;
    let (word, at) = match turn.began {
        true => ("began", incident.began_unix_ms),
        false => ("ended", incident.ended_unix_ms.unwrap_or_default()),
    };
    let body = json!({
        "type": format!("incident.{word}"),
        "timestamp": mainstay_record::rfc3339(at),
        "data": incident,
    });
    let id = format!("{}-{}-{word}", control.journal.boot(), incident.id);
    (id, body.to_string().into())
}

fn head(
    current: &Generation,
    webhook: &Callback,
    id: &str,
    body: &[u8],
) -> Result<Parts, http::Error> {
    let at = Clock::unix_millis() / 1000;
    let path = webhook.path.as_deref().unwrap_or("/");
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::CONTENT_LENGTH, body.len())
        .header(HeaderName::from_static(WEBHOOK_ID), id)
        .header(HeaderName::from_static(WEBHOOK_TIMESTAMP), at);
    if let Some(secrets) = current.secrets.as_ref() {
        let signature = secrets.sign_as(id, at, body);
        request = request.header(HeaderName::from_static(WEBHOOK_SIGNATURE), signature);
    }
    Ok(request.body(())?.into_parts().0)
}

/// Beginnings and ends that wait to be told, while a receiver is slow. More than so many nobody reads.
const WAITING: usize = 256;

/// How long it is waited after each call that failed. The policy's own retries come before each.
const WAITS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(25),
    Duration::from_secs(125),
];
