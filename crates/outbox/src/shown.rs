//! Deliveries as they are shown for debugging, in logs for example: what may be secret stays out of it, so bodies are their lengths.
//!
//! By hand, since what is derived shows all there is. Each takes its type apart by name, so that a field that is added is thought of here.

use std::fmt;

use bytes::Bytes;

use crate::{Detail, Finish, NewDelivery, Offer, RequestPart, SealError, StoredHead};

/// A body.
struct Body<'a>(&'a Bytes);

impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

fn message(message: &(StoredHead, Bytes)) -> (&StoredHead, Body<'_>) {
    (&message.0, Body(&message.1))
}

/// What is there of a part, or why it can't be read.
fn part(part: &RequestPart) -> Result<Option<(&StoredHead, Body<'_>)>, &SealError> {
    part.as_ref().map(|it| it.as_ref().map(message))
}

impl fmt::Debug for NewDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, upstream, route, lane, key, scope: _, print: _, assurance, head, .. } = self;
        let Self { body, accepted_at, due_at, expires_at, tried, maybe_done, .. } = self;
        let Self { hold_until, callback, about, .. } = self;
        let mut shown = f.debug_struct("NewDelivery");
        shown.field("id", id).field("upstream", upstream).field("route", route);
        shown.field("lane", lane).field("key", key).field("assurance", assurance);
        shown.field("head", head).field("body", &Body(body));
        shown.field("accepted_at", accepted_at).field("due_at", due_at);
        shown.field("expires_at", expires_at).field("tried", tried);
        shown.field("maybe_done", maybe_done).field("hold_until", hold_until);
        // Scope and print are made of credentials and of the body: a guess could be held against them.
        shown.field("callback", callback).field("about", about).finish_non_exhaustive()
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, upstream, route, key, assurance, calls, maybe_done, accepted_at, .. } = self;
        let Self { expires_at, head, body, about, lease, interrupted, .. } = self;
        let mut shown = f.debug_struct("Offer");
        shown.field("id", id).field("upstream", upstream).field("route", route);
        shown.field("key", key).field("assurance", assurance).field("calls", calls);
        shown.field("maybe_done", maybe_done).field("accepted_at", accepted_at);
        shown.field("expires_at", expires_at).field("head", head).field("body", &Body(body));
        shown.field("about", about).field("lease", lease).field("interrupted", interrupted);
        shown.finish()
    }
}

impl fmt::Debug for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { note, maybe_done, next, answer } = self;
        let answer = answer.as_ref().map(message);
        let mut shown = f.debug_struct("Finish");
        shown.field("note", note).field("maybe_done", maybe_done).field("next", next);
        shown.field("answer", &answer).finish()
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { summary, history, request, answer } = self;
        let mut shown = f.debug_struct("Detail");
        shown.field("summary", summary).field("history", history);
        shown.field("request", &part(request)).field("answer", &part(answer)).finish()
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::outbox::{Assurance, Next, WallTime};

    use super::*;
    use crate::store::{Intake, IntakeRow};
    use crate::{Callback, DeliveryId, Field, State, Summary};

    const HUSH: &str = "hush";

    fn check(what: &dyn fmt::Debug) {
        let shown = format!("{what:?} {what:#?}");
        assert!(!shown.contains(HUSH), "{shown}");
        // As a list of numbers is how bytes are shown that nobody thought of.
        assert!(!shown.contains("104, 117"), "{shown}");
        assert!(shown.contains("4 bytes") || shown.contains("body_bytes: 4"), "{shown}");
    }

    fn head() -> StoredHead {
        StoredHead {
            target: Some(format!("/orders?{HUSH}")),
            fields: vec![Field::Text("authorization".into(), HUSH.into())],
            ..StoredHead::default()
        }
    }

    fn new() -> NewDelivery {
        NewDelivery {
            id: DeliveryId::of_bytes([1; 16]),
            upstream: "shop".into(),
            route: "all".into(),
            lane: None,
            key: "order-7".into(),
            scope: Some(*b"hushhushhushhushhushhushhushhush"),
            print: *b"hushhushhushhushhushhushhushhush",
            assurance: Assurance::Repeatable,
            head: head(),
            body: Bytes::from_static(b"hush"),
            accepted_at: WallTime(0),
            due_at: WallTime(0),
            expires_at: WallTime(0),
            tried: None,
            maybe_done: false,
            hold_until: None,
            callback: Some(Callback { upstream: "me".into(), target: format!("/told?{HUSH}") }),
            about: None,
        }
    }

    #[test]
    fn no_delivery_shows_what_it_carries() {
        let new = new();
        check(&new);
        check(&Intake::Goes(Box::new(new.clone())));
        let answer = Some((head(), new.body.clone()));
        check(&Finish { note: None, maybe_done: false, next: Next::Delivered, answer });
        let row = IntakeRow {
            place: 1,
            id: new.id,
            method: "POST".into(),
            host: None,
            path: format!("/?{HUSH}"),
            headers: format!("{{\"cookie\":\"{HUSH}\"}}"),
            body: new.body.clone(),
            lane: None,
            key: None,
        };
        check(&row);
        let offer = Offer {
            id: new.id,
            upstream: new.upstream,
            route: new.route,
            key: new.key,
            assurance: new.assurance,
            calls: 0,
            maybe_done: false,
            accepted_at: new.accepted_at,
            expires_at: new.expires_at,
            head: new.head,
            body: new.body,
            about: None,
            lease: None,
            interrupted: false,
        };
        check(&offer);
        let summary = Summary {
            seq: 1,
            id: offer.id,
            state: State::Waiting,
            reason: None,
            upstream: offer.upstream,
            route: offer.route,
            lane: None,
            key: offer.key,
            accepted_at: offer.accepted_at,
            due_at: offer.accepted_at,
            expires_at: offer.expires_at,
            finished_at: None,
            calls: 0,
            maybe_done: false,
            behind: false,
            size: 4,
            callback: None,
            about: None,
        };
        let stored = || Ok(Some((head(), offer.body.clone())));
        check(&Detail { summary, history: Vec::new(), request: stored(), answer: stored() });
    }
}
