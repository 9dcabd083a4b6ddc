//! Who stored a write is told what became of it: by a delivery of its own, that is stored in the very commit in which the write comes to its
//! end, and then delivered as any other. So nobody is told of what isn't on the disk, and nobody isn't told of what is.
//!
//! A callback may be made twice, as it may be done twice; its id is the same each time. It goes behind those before it that tell of the
//! same write. Nobody is told of a callback.

use std::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mainstay_core::outbox::{Assurance, Event, WallTime};
use serde_json::{Value, json};

use crate::head::without_query;
use crate::{AnswerPart, DeliveryId, Field, NewDelivery, StoredHead, Summary};

/// Who is to be told of a delivery. Shown for debugging, its query is left out.
#[derive(Clone, PartialEq, Eq)]
pub struct Callback {
    /// The upstream.
    pub upstream: String,
    /// Path and query there. It is sealed as requests are.
    pub target: String,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { upstream, target } = self;
        let mut shown = f.debug_struct("Callback");
        shown.field("upstream", upstream).field("target", &without_query(target)).finish()
    }
}

/// Something that is told.
pub(crate) struct News<'a> {
    pub(crate) event: Event,
    pub(crate) at: WallTime,
    /// The delivery as it stands now.
    pub(crate) delivery: &'a Summary,
    /// The API's last answer.
    pub(crate) answer: AnswerPart,
    /// The target, unless it isn't what was stored: then the callback stops when its turn comes, for all to see.
    pub(crate) target: Option<String>,
    /// Where it goes.
    pub(crate) upstream: String,
}

impl News<'_> {
    /// The delivery that tells it.
    pub(crate) fn delivery(self) -> io::Result<NewDelivery> {
        let id = DeliveryId::fresh()?;
        let about = self.delivery;
        let body = Bytes::from(self.body().to_string());
        let life = about.expires_at.since(about.accepted_at);
        let field = |name: &str, value: String| Field::Text(name.to_owned(), value);
        Ok(NewDelivery {
            id,
            upstream: self.upstream,
            route: about.route.clone(),
            lane: Some(about.id.to_string()),
            key: id.to_string(),
            scope: None,
            print: [0; 32],
            assurance: Assurance::Repeatable,
            head: StoredHead {
                method: Some("POST".to_owned()),
                target: self.target,
                status: None,
                fields: vec![
                    field("content-type", "application/json".to_owned()),
                    field(WEBHOOK_ID, id.to_string()),
                ],
            },
            body,
            accepted_at: self.at,
            due_at: self.at,
            expires_at: self.at.after(life),
            tried: None,
            maybe_done: false,
            hold_until: None,
            callback: None,
            about: Some(about.id),
        })
    }

    fn body(&self) -> Value {
        let about = self.delivery;
        let status = match &self.answer {
            Ok(Some((head, _))) => head.status,
            Ok(None) | Err(_) => None,
        };
        json!({
            "type": self.event.name(),
            "timestamp": self.at.to_string(),
            "data": {
                "id": about.id,
                "state": about.state.name(),
                "reason": about.reason,
                "upstream": about.upstream,
                "route": about.route,
                "lane": about.lane,
                "key": about.key,
                "accepted_at": about.accepted_at.to_string(),
                "finished_at": about.finished_at.map(|at| at.to_string()),
                "calls": about.calls,
                "maybe_done": about.maybe_done,
                "status": status,
                "answer": answer(&self.answer),
            },
        })
    }
}

/// The API's answer, as it is told: credentials taken out, the body as text if it is some.
fn answer(answer: &AnswerPart) -> Value {
    let (head, body) = match answer {
        Ok(Some((head, body))) => (head.clone().redacted(), body),
        Ok(None) => return Value::Null,
        Err(_) => return json!({ "incomplete": "unreadable" }),
    };
    let incomplete = head.fields.iter().find_map(|field| match field {
        Field::Text(name, why) if name == INCOMPLETE => Some(why.clone()),
        _ => None,
    });
    let is_too_large = body.len() > ANSWER_MOST_BYTES;
    let incomplete = incomplete.or(is_too_large.then(|| "too-large".to_owned()));
    let fields: Vec<&Field> =
        head.fields.iter().filter(|field| field.name() != INCOMPLETE).collect();
    let mut told = json!({ "status": head.status, "fields": fields });
    let (name, value) = match (incomplete, std::str::from_utf8(body)) {
        (Some(why), _) => ("incomplete", why),
        (None, Ok(text)) => ("body", text.to_owned()),
        (None, Err(_)) => ("body_base64", STANDARD.encode(body)),
    };
    told[name] = value.into();
    told
}

/// The field of a stored answer that says that its body isn't there, and why.
pub const INCOMPLETE: &str = "mainstay-incomplete";

/// The field that names a callback, the same in each call.
pub const WEBHOOK_ID: &str = "webhook-id";

/// Receivers take some hundred KiB; what is larger can be fetched from the delivery's own place.
const ANSWER_MOST_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use mainstay_core::outbox::DeadReason;

    use super::*;
    use crate::State;

    const AT: WallTime = WallTime(2_000_000_000_000);

    fn summary() -> Summary {
        let state = State::Dead(DeadReason::Rejected);
        Summary {
            seq: 1,
            id: DeliveryId::of_bytes([7; 16]),
            state,
            reason: state.reason(),
            upstream: "api".into(),
            route: "writes".into(),
            lane: Some("a".into()),
            key: "k".into(),
            accepted_at: WallTime(AT.0 - 5_000),
            due_at: AT,
            expires_at: WallTime(AT.0 + 55_000),
            finished_at: Some(AT),
            calls: 2,
            maybe_done: false,
            behind: false,
            size: 10,
            callback: Some("app".into()),
            about: None,
        }
    }

    fn told(answer: AnswerPart) -> (NewDelivery, Value) {
        let event = Event::Dead(DeadReason::Rejected);
        let delivery = &summary();
        let (target, upstream) = (Some("/hooks".to_owned()), "app".to_owned());
        let new = News { event, at: AT, delivery, answer, target, upstream }.delivery().unwrap();
        let body = serde_json::from_slice(&new.body).unwrap();
        (new, body)
    }

    fn answer_of(fields: Vec<Field>, body: &[u8]) -> Value {
        let head = StoredHead { status: Some(404), fields, ..StoredHead::default() };
        told(Ok(Some((head, Bytes::copy_from_slice(body))))).1["data"]["answer"].clone()
    }

    #[test]
    fn it_tells_what_became_of_the_delivery() {
        let (new, body) = told(Ok(None));
        assert_eq!(body["type"], "delivery.dead");
        assert_eq!(body["timestamp"], "2033-05-18T03:33:20.000Z");
        let data = &body["data"];
        assert_eq!((&data["state"], &data["reason"]), (&"dead".into(), &"rejected".into()));
        assert_eq!((&data["calls"], &data["answer"]), (&2.into(), &Value::Null));
        assert_eq!((new.upstream.as_str(), new.head.target.as_deref()), ("app", Some("/hooks")));
        assert_eq!((new.about, new.callback), (Some(summary().id), None));
        // It lives as long as what it tells of did.
        assert_eq!(new.expires_at, WallTime(AT.0 + 60_000));
    }

    #[test]
    fn its_name_is_its_idempotency_key_and_its_webhook_id() {
        let (new, _) = told(Ok(None));
        let id = Field::Text("webhook-id".into(), new.id.to_string());
        assert!(new.head.fields.contains(&id));
        assert_eq!(new.key, new.id.to_string());
        assert_eq!(new.assurance, Assurance::Repeatable);
    }

    #[test]
    fn answers_are_told_without_credentials_and_within_bounds() {
        let field = |name: &str, value: &str| Field::Text(name.into(), value.into());
        let answer = answer_of(vec![field("set-cookie", "s3cret"), field("etag", "x")], b"gone");
        assert_eq!((&answer["status"], &answer["body"]), (&404.into(), &"gone".into()));
        assert_eq!(answer["fields"], json!([["set-cookie", "[redacted]"], ["etag", "x"]]));
        assert_eq!(answer_of(vec![], b"\xff")["body_base64"], "/w==");
        let large = answer_of(vec![], &vec![b'x'; ANSWER_MOST_BYTES + 1]);
        assert_eq!((&large["incomplete"], &large["body"]), (&"too-large".into(), &Value::Null));
        let broken = answer_of(vec![field(INCOMPLETE, "body-reset")], b"");
        assert_eq!((&broken["incomplete"], &broken["fields"]), (&"body-reset".into(), &json!([])));
        let unreadable = told(Err(crate::SealError::Damaged)).1;
        assert_eq!(unreadable["data"]["answer"], json!({ "incomplete": "unreadable" }));
    }
}
