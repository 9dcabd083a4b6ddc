//! Event streams that are kept for applications that come back.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Response, header};
use mainstay_core::heal::events::{GapNotice, Lost, RingId, RingSettings};

use super::heal::{LAST_EVENT_ID, is_event_stream};
use super::{Answer, Client, DeliveredBody};
use crate::body::Source;
use crate::chance::seed;
use crate::rings::{Back, Desk, Follower, Identity, Opening};
use crate::service::Plan;

/// What an application asks for.
#[derive(Debug)]
pub(super) enum Wants {
    /// Something that isn't kept.
    Plain,
    /// A stream that may be kept from now on.
    New(Box<Newcomer>),
    /// A stream that is kept, and goes on.
    Kept(Box<Answer>),
}

/// Who asks for a stream.
#[derive(Debug)]
pub(super) struct Newcomer {
    settings: RingSettings,
    identity: Identity,
    /// Why it isn't known what came after the id with which it came, if it came with one of ours.
    lost: Option<(Lost, Bytes)>,
}

impl Client {
    /// What the application wants of the streams that are kept. An id of ours is none of the upstream's, and taken out.
    pub(super) fn wants(&self, plan: &Plan, head: &mut Parts, body: &Source) -> Wants {
        let Some(settings) = plan.policy.heal.events.ring else { return Wants::Plain };
        if head.method != Method::GET || !matches!(body, Source::Empty) {
            return Wants::Plain;
        }
        let id = head.headers.get(&LAST_EVENT_ID).map(|id| Bytes::copy_from_slice(id.as_bytes()));
        let id = id.and_then(|id| Some((RingId::parse(&id)?, id)));
        // Before anything is taken out: where nobody can be known, the request goes on as it is.
        let Some(identity) = self.rings.identity(plan, head) else { return Wants::Plain };
        if id.is_some() {
            head.headers.remove(&LAST_EVENT_ID);
        }
        let lost = match id {
            None => None,
            Some((id, text)) => match self.rings.come_back(plan, id, &identity) {
                Back::GoesOn(desk, follower) => {
                    return Wants::Kept(Box::new(answer_of(&desk, follower)));
                }
                Back::Over => None,
                Back::Lost(why) => {
                    // What is told goes before the events, in the clear: a stream that is coded couldn't be told.
                    let plain = HeaderValue::from_static("identity");
                    head.headers.insert(header::ACCEPT_ENCODING, plain);
                    Some((why, text))
                }
            },
        };
        Wants::New(Box::new(Newcomer { settings, identity, lost }))
    }

    /// Keeps the answer from now on, if it is a stream and one more may be kept.
    pub(super) fn keep_stream(&self, plan: &Plan, newcomer: Newcomer, answer: Answer) -> Answer {
        let is_stream = !answer.as_is && answer.degraded.is_none();
        if !is_stream || !is_event_stream(&answer.response) {
            return answer;
        }
        let Newcomer { settings, identity, lost } = newcomer;
        let events = &plan.policy.heal.events;
        // The settings were checked: where streams are kept there is a word for a gap.
        let name = events.error_event.clone().unwrap_or_default();
        let (head, body) = answer.response.into_parts();
        let opening = Opening {
            run: seed(),
            settings,
            block_bytes: events.block_bytes,
            identity,
            upstream: plan.service.name().clone(),
            headers: head.headers.clone(),
            id: answer.id,
            attempts: answer.attempts,
            endpoint: answer.endpoint,
            gap: lost.clone().map(|(why, id)| (why, id, name.clone())),
        };
        let body = match self.rings.open(opening, body) {
            Ok(follower) => DeliveredBody::of_ring(follower),
            Err(mut body) => {
                if let Some((why, last_event_id)) = lost {
                    let notice = GapNotice { why, last_event_id: &last_event_id, id: None };
                    body.say_first(notice.event(&name).into());
                }
                *body
            }
        };
        Answer { response: Response::from_parts(head, body), ..answer }
    }
}

/// The answer by which a stream goes on. It belongs to the call that asked for the stream.
fn answer_of(desk: &Desk, follower: Follower) -> Answer {
    let opening = desk.opening();
    let mut response = Response::new(DeliveredBody::of_ring(follower));
    *response.headers_mut() = opening.headers.clone();
    for name in OF_THEN {
        response.headers_mut().remove(name);
    }
    Answer {
        response,
        id: opening.id,
        attempts: opening.attempts,
        endpoint: opening.endpoint,
        as_is: false,
        last_break: None,
        worst: mainstay_core::Certainty::NotSent,
        degraded: None,
    }
}

/// Fields that were true of the first answer only.
const OF_THEN: [header::HeaderName; 3] = [header::DATE, header::AGE, header::SET_COOKIE];
