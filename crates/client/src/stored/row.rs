//! A row of the table in which applications put writes within their own transactions: the request that it says.

use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use mainstay_core::outbox::{Assurance, ScheduleSettings, WallTime};
use mainstay_outbox::store::IntakeRow;
use mainstay_outbox::{Field, NewDelivery, StoredHead};
use serde_json::Value;

/// The request that a row says, `None` if it is none. What concerns a connection only is still in it.
#[must_use]
pub fn request(row: &IntakeRow) -> Option<Parts> {
    let mut head = Request::new(()).into_parts().0;
    head.method = Method::try_from(row.method.as_str()).ok()?;
    // A path, and no other host by it.
    head.uri = Uri::try_from(&row.path).ok().filter(|_| row.path.starts_with('/'))?;
    head.headers = fields(&row.headers)?;
    head.headers.remove(header::CONTENT_LENGTH);
    if let Some(host) = &row.host {
        head.headers.insert(header::HOST, HeaderValue::try_from(host).ok()?);
    }
    Some(head)
}

/// Fields from JSON: an object of texts, numbers and truths, or of lists of them.
fn fields(json: &str) -> Option<HeaderMap> {
    let Value::Object(members) = serde_json::from_str(json).ok()? else { return None };
    let mut fields = HeaderMap::new();
    for (name, value) in members {
        let name = HeaderName::try_from(name).ok()?;
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let text = match value {
                Value::String(text) => text,
                value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
                Value::Null | Value::Array(_) | Value::Object(_) => return None,
            };
            fields.append(name.clone(), HeaderValue::try_from(text).ok()?);
        }
    }
    Some(fields)
}

/// One that goes nowhere: as far as it can be shown, for a person.
#[must_use]
pub fn stopped(row: &IntakeRow, now: WallTime) -> NewDelivery {
    let mut all = fields(&row.headers).unwrap_or_default();
    if let Some(host) = row.host.as_ref().and_then(|host| HeaderValue::try_from(host).ok()) {
        all.insert(header::HOST, host);
    }
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        Field::Text(name.as_str().to_owned(), value)
    };
    NewDelivery {
        id: row.id,
        upstream: String::new(),
        route: String::new(),
        lane: None,
        key: row.key.clone().unwrap_or_else(|| format!("\"{}\"", row.id)),
        scope: None,
        print: [0; 32],
        assurance: Assurance::None,
        head: StoredHead {
            method: Some(row.method.clone()),
            target: Some(row.path.clone()),
            status: None,
            fields: all.iter().map(text).collect(),
        },
        body: row.body.clone(),
        accepted_at: now,
        due_at: now,
        expires_at: now.after(ScheduleSettings::default().max_age),
        tried: None,
        maybe_done: false,
        hold_until: None,
        callback: None,
        about: None,
    }
}
