//! Makes the calls for stored writes, each as any other call of its route: with its breaker, its failover, its budget.

use std::pin::pin;
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use mainstay::{Answer, Client, Clock, DeliveredBody, Plan, Source, Unanswered, fresh_chance};
use mainstay_core::outbox::{Assurance, CallEnd, Next, WallTime};
use mainstay_core::retry::rate_limit::Hint;
use mainstay_core::{BreakKind, Certainty};
use mainstay_outbox::{CallNote, Deliver, Delivered, Offer, StoreError, StoredHead};
use parking_lot::Mutex;

use super::now;
use crate::route::{Route, Table};
use crate::shared::Shared;

/// Makes calls by the current generation's routes.
#[derive(Debug)]
pub(super) struct Courier {
    /// Weak: the shared state holds the outbox.
    shared: Weak<Shared>,
    compiled: Mutex<Option<Arc<Compiled>>>,
}

/// One generation, compiled for this thread.
#[derive(Debug)]
struct Compiled {
    number: u64,
    table: Table,
    client: Client,
}

impl Courier {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::downgrade(shared), compiled: Mutex::new(None) }
    }

    fn compiled(&self) -> Option<Arc<Compiled>> {
        let current = self.shared.upgrade()?.current();
        let mut compiled = self.compiled.lock();
        if compiled.as_ref().is_none_or(|compiled| compiled.number != current.number) {
            *compiled = Some(Arc::new(Compiled {
                number: current.number,
                table: Table::new(&current),
                client: current.client.clone(),
            }));
        }
        compiled.clone()
    }
}

impl Deliver for Courier {
    async fn deliver(&self, offer: &Offer) -> Option<Delivered> {
        let compiled = self.compiled()?;
        let head = offer.head.to_request().ok()?;
        let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let host = host.map_or("", without_port);
        // By its name, since the stored head isn't just what was routed; by what matches, where the name is gone.
        let table = &compiled.table;
        let stores = |route: &&Arc<Route>| {
            route.outbox.is_some() && **route.plan.service.name() == *offer.upstream
        };
        let named = table.named(&offer.route).filter(stores);
        let route = Arc::clone(named.or_else(|| table.find(&head, host).filter(stores))?);
        let outbox = route.outbox.as_ref()?;
        let schedule = outbox.settings.schedule.clone();
        let plan = route.plan_of(offer.assurance);
        let (at, began) = (now(), Clock::now());
        let source =
            if offer.body.is_empty() { Source::Empty } else { Source::Full(offer.body.clone()) };
        let tried = Tried::of(compiled.client.call(plan, head, source).await).await;
        let took = Clock::now().since(began);
        let note = (!tried.end.is_own_refusal()).then(|| tried.note(at, took));
        let seed = fresh_chance().next_u64();
        Some(Delivered { end: tried.end, note, answer: tried.answer, schedule, seed })
    }

    fn most_in_flight(&self, _: &str) -> u16 {
        let current = self.shared.upgrade().map(|shared| shared.current());
        current.map_or(1, |current| current.settings.outbox.in_flight)
    }

    fn became(&self, offer: &Offer, next: Next) {
        let (id, upstream) = (offer.id, &offer.upstream);
        match next {
            Next::Delivered => tracing::debug!(%id, upstream, "a stored write was delivered"),
            Next::Again { at, .. } => {
                tracing::debug!(%id, upstream, at = at.0, "a stored write is tried again");
            }
            Next::Stopped(why) => {
                tracing::warn!(%id, upstream, reason = why.code(), "a stored write waits for a person");
            }
            Next::Dead(why) => {
                tracing::warn!(%id, upstream, reason = why.code(), "a stored write was given up");
            }
        }
    }

    fn trouble(&self, error: &StoreError) {
        tracing::error!(%error, "the outbox is in trouble");
    }

    fn now(&self) -> WallTime {
        now()
    }
}

/// A call that was made, with an answer that is here as a whole.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) end: CallEnd,
    answer: Option<(StoredHead, Bytes)>,
    call: String,
    attempts: u16,
    code: Option<&'static str>,
    certainty: Option<&'static str>,
}

impl Tried {
    async fn of(outcome: Result<Answer, Unanswered>) -> Self {
        match outcome {
            Ok(answer) => Self::of_answer(answer).await,
            Err(unanswered) => Self::of_unanswered(&unanswered),
        }
    }

    async fn of_answer(answer: Answer) -> Self {
        let (end, code) = (end_of(&answer), answer.last_break);
        let (call, attempts) = (answer.id.to_string(), answer.attempts);
        let (mut head, body) = answer.response.into_parts();
        let body = read(body).await;
        // A head is all that matters to what becomes of the write. Of a body that broke, or is too large, nothing is kept, and
        // that is noted: part of an answer isn't one.
        let (body, code) = match body {
            Kept::Whole(body) => {
                head.headers.remove(INCOMPLETE);
                (body, code)
            }
            Kept::Not(why) => {
                head.headers.insert(
                    INCOMPLETE,
                    HeaderValue::from_static(why.map_or("too-large", |kind| kind.code())),
                );
                (Bytes::new(), why.or(code))
            }
        };
        let answer = Some((StoredHead::of_answer(&head), body));
        let code = code.map(|kind| kind.code());
        Self { end, answer, call, attempts, code, certainty: None }
    }

    pub(crate) fn of_unanswered(unanswered: &Unanswered) -> Self {
        let gave_up = &unanswered.gave_up;
        Self {
            end: CallEnd::Broken {
                kind: gave_up.kind,
                certainty: gave_up.certainty,
                hint: gave_up.retry_after,
            },
            answer: None,
            call: unanswered.id.to_string(),
            attempts: gave_up.attempts,
            code: Some(gave_up.kind.code()),
            certainty: Some(gave_up.certainty.code()),
        }
    }

    /// For an answer that is passed on, of which the body hasn't been read.
    pub(crate) fn of_head(answer: &Answer) -> Self {
        Self {
            end: end_of(answer),
            answer: None,
            call: answer.id.to_string(),
            attempts: answer.attempts,
            code: answer.last_break.map(|kind| kind.code()),
            certainty: None,
        }
    }

    pub(crate) fn note(&self, at: WallTime, took: std::time::Duration) -> CallNote {
        let status = match self.end {
            CallEnd::Answered { status, .. } => Some(status),
            CallEnd::Broken { .. } => None,
        };
        CallNote {
            at: at.0,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            call: self.call.clone(),
            attempts: self.attempts,
            status,
            code: self.code.map(str::to_owned),
            certainty: self.certainty.map(str::to_owned),
        }
    }
}

/// What an answer's head says, with its hint.
fn end_of(answer: &Answer) -> CallEnd {
    let response = &answer.response;
    let status = response.status().as_u16();
    let fields = response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let hint = Hint::is_refusal(status)
        .then(|| Hint::of_refusal(fields, status, Clock::unix_millis()))
        .flatten();
    let maybe_done = matches!(answer.worst, Certainty::MaybeProcessed | Certainty::Processed);
    CallEnd::Answered { status, hint: hint.map(|hint| hint.wait), maybe_done }
}

/// The body of an answer, as it is kept.
enum Kept {
    Whole(Bytes),
    /// It broke, or, without a reason, is larger than is kept.
    Not(Option<BreakKind>),
}

/// Reads a body to its end, unless it is larger than is kept.
async fn read(body: DeliveredBody) -> Kept {
    let mut body = pin!(body);
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let Some(data) = frame.data_ref() else { continue };
                if kept.len() + data.len() > ANSWER_MOST_BYTES {
                    return Kept::Not(None);
                }
                kept.extend_from_slice(data);
            }
            Err(error) => return Kept::Not(Some(error.what.kind)),
        }
    }
    Kept::Whole(kept.freeze())
}

/// A host without its port.
fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(end) => &host[..end + 2],
        None => host.split(':').next().unwrap_or_default(),
    }
}

impl Route {
    /// The plan for a write with this assurance: a key that was minted is no proof where nobody says that the API heeds it.
    pub(crate) fn plan_of(&self, assurance: Assurance) -> &Plan {
        match (&self.outbox, assurance) {
            (Some(outbox), Assurance::None) => &outbox.keyless,
            (Some(outbox), Assurance::Repeatable) => &outbox.keyed,
            (None, _) => &self.plan,
        }
    }
}

/// Says of a stored answer that its body isn't there, and why.
pub(crate) const INCOMPLETE: HeaderName = HeaderName::from_static("mainstay-incomplete");

/// An answer to a write is a few hundred bytes; what is larger is for somebody else to keep.
const ANSWER_MOST_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn a_host_loses_its_port_only() {
        for (host, name) in [
            ("a.test", "a.test"),
            ("a.test:80", "a.test"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
