//! A stored write: as it is accepted, as it is offered, as it is shown.

use bytes::Bytes;
use mainstay_core::outbox::{Assurance, DeadReason, Event, Next, StoppedReason, WallTime};
use serde::{Deserialize, Serialize, Serializer};

use crate::store::Lease;
use crate::{Callback, DeliveryId, StoredHead};

/// What a delivery's state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It waits for its time, or is on its way.
    Waiting,
    /// It waits for a person, and its lane with it.
    Stopped(StoppedReason),
    /// The API has answered it.
    Delivered,
    /// It was given up.
    Dead(DeadReason),
}

impl State {
    /// Its number in the store, and the number's name for people.
    const fn row(self) -> (i64, &'static str, Option<&'static str>) {
        match self {
            Self::Waiting => (0, "waiting", None),
            Self::Stopped(why) => (1, "stopped", Some(why.code())),
            Self::Delivered => (2, "delivered", None),
            Self::Dead(why) => (3, "dead", Some(why.code())),
        }
    }

    /// The states' names, in the order of their numbers.
    pub const NAMES: [&'static str; 4] = ["waiting", "stopped", "delivered", "dead"];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().1
    }

    /// Why, if it is stopped or dead.
    #[must_use]
    pub const fn reason(self) -> Option<&'static str> {
        self.row().2
    }

    pub(crate) const fn number(self) -> i64 {
        self.row().0
    }

    /// From what is stored.
    pub(crate) fn of(number: i64, reason: Option<&str>) -> Option<Self> {
        match (number, reason) {
            (0, None) => Some(Self::Waiting),
            (1, Some(code)) => {
                StoppedReason::ALL.into_iter().find(|why| why.code() == code).map(Self::Stopped)
            }
            (2, None) => Some(Self::Delivered),
            (3, Some(code)) => {
                DeadReason::ALL.into_iter().find(|why| why.code() == code).map(Self::Dead)
            }
            _ => None,
        }
    }

    /// Whether it may still be delivered: it keeps its place in its lane.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Stopped(_))
    }

    /// What is told when a delivery that was in this state is in that one, if anything is.
    pub(crate) fn event_of_change(self, after: Self) -> Option<Event> {
        if self == after {
            return None;
        }
        match after {
            Self::Waiting => None,
            Self::Stopped(why) => Some(Event::Stopped(why)),
            Self::Delivered => Some(Event::Delivered),
            Self::Dead(why) => Some(Event::Dead(why)),
        }
    }
}

/// A write that is to be stored. Shown for debugging, its content is left out.
#[derive(Clone)]
pub struct NewDelivery {
    /// Fresh.
    pub id: DeliveryId,
    /// Where it goes.
    pub upstream: String,
    /// The route that took it, for records.
    pub route: String,
    /// What its order is kept by; `None`: it has none.
    pub lane: Option<String>,
    /// Its idempotency key, the caller's or minted.
    pub key: String,
    /// The same for each request that the caller means to be the same; `None`: nothing is the same.
    pub scope: Option<[u8; 32]>,
    /// What tells this request from another with the same key.
    pub print: [u8; 32],
    /// Whether it may be done twice.
    pub assurance: Assurance,
    /// The request's head, hop-by-hop fields taken out, key put in.
    pub head: StoredHead,
    /// The request's body.
    pub body: Bytes,
    /// Now.
    pub accepted_at: WallTime,
    /// When it is offered first.
    pub due_at: WallTime,
    /// When it is given up.
    pub expires_at: WallTime,
    /// The call that was made directly, before it was stored.
    pub tried: Option<CallNote>,
    /// Whether that call may have carried it out.
    pub maybe_done: bool,
    /// Until when the upstream asked that call to leave it alone, if it did: that holds for all that is stored for it.
    pub hold_until: Option<WallTime>,
    /// Who is told what becomes of it.
    pub callback: Option<Callback>,
    /// What it tells of, if it is a callback itself.
    pub about: Option<DeliveryId>,
}

/// One call, for the record of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallNote {
    /// When it began, in milliseconds since 1970.
    pub at: u64,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Its id, under which the proxy's own records have it.
    pub call: String,
    /// Attempts made in it.
    pub attempts: u16,
    /// The status of its answer, if one came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The code of what broke, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How far it got, if it broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certainty: Option<String>,
}

/// A delivery whose turn it is. Shown for debugging, its content is left out.
#[derive(Clone)]
pub struct Offer {
    /// Its id.
    pub id: DeliveryId,
    /// Where it goes.
    pub upstream: String,
    /// The route that took it.
    pub route: String,
    /// Its idempotency key.
    pub key: String,
    /// Whether it may be done twice.
    pub assurance: Assurance,
    /// Calls made for it so far.
    pub calls: u16,
    /// Whether one of them may have carried it out.
    pub maybe_done: bool,
    /// When it was accepted.
    pub accepted_at: WallTime,
    /// When it is given up.
    pub expires_at: WallTime,
    /// The request's head.
    pub head: StoredHead,
    /// The request's body.
    pub body: Bytes,
    /// What it tells of, if it is a callback.
    pub about: Option<DeliveryId>,
    /// Until when it is this worker's, where others share the store.
    pub lease: Option<Lease>,
    /// Whether a call for it may have been cut by the end of the last process, and nobody has tried it since: then it may have been done, and
    /// no more is known.
    pub interrupted: bool,
}

/// What came of an offer. Shown for debugging, its content is left out.
#[derive(Clone)]
pub struct Finish {
    /// The call that was made. None was if the upstream's own protection refused it.
    pub note: Option<CallNote>,
    /// Whether it, or one before it, may have carried it out.
    pub maybe_done: bool,
    /// What core says.
    pub next: Next,
    /// The API's answer, if there was one.
    pub answer: Option<(StoredHead, Bytes)>,
}

/// A delivery, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its place among all, by which pages are turned.
    pub seq: i64,
    /// Its id.
    pub id: DeliveryId,
    /// Its state.
    #[serde(serialize_with = "state")]
    pub state: State,
    /// Why, if it is stopped or dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Where it goes.
    pub upstream: String,
    /// The route that took it.
    pub route: String,
    /// What its order is kept by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// Its idempotency key.
    pub key: String,
    /// When it was accepted, in milliseconds since 1970, as all times here.
    #[serde(serialize_with = "millis")]
    pub accepted_at: WallTime,
    /// When it is tried next, if it waits.
    #[serde(serialize_with = "millis")]
    pub due_at: WallTime,
    /// When it is given up.
    #[serde(serialize_with = "millis")]
    pub expires_at: WallTime,
    /// When it was delivered or given up.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_millis")]
    pub finished_at: Option<WallTime>,
    /// Calls made for it.
    pub calls: u16,
    /// Whether one of them may have carried it out.
    pub maybe_done: bool,
    /// Whether others of its lane are before it.
    pub behind: bool,
    /// Bytes of its request.
    pub size: u64,
    /// The upstream that is told what becomes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<String>,
    /// The delivery that it tells of, if it is a callback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<DeliveryId>,
}

/// A delivery with all that is known of it. Shown for debugging, its content is left out.
#[derive(Clone, PartialEq, Eq)]
pub struct Detail {
    /// What is listed.
    pub summary: Summary,
    /// The calls made for it, oldest first; of many the last ones.
    pub history: Vec<CallNote>,
    /// The request, until it is delivered.
    pub request: RequestPart,
    /// The API's last answer.
    pub answer: AnswerPart,
}

/// A head and a body, if they are there and can be read.
pub type RequestPart = Result<Option<(StoredHead, Bytes)>, crate::SealError>;
/// The same, of an answer.
pub type AnswerPart = RequestPart;

fn state<S: Serializer>(state: &State, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.name())
}

fn millis<S: Serializer>(at: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(at.0)
}

fn some_millis<S: Serializer>(at: &Option<WallTime>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.0).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_and_stops_are_told_once_and_nothing_else_is() {
        let stopped = State::Stopped(StoppedReason::MaybeDone);
        let dead = State::Dead(DeadReason::Dropped);
        for (before, after, told) in [
            (State::Waiting, State::Delivered, Some(Event::Delivered)),
            (State::Waiting, stopped, Some(Event::Stopped(StoppedReason::MaybeDone))),
            (stopped, stopped, None),
            (stopped, State::Waiting, None),
            (stopped, dead, Some(Event::Dead(DeadReason::Dropped))),
            // It was given up while it was on its way, and has arrived.
            (dead, State::Delivered, Some(Event::Delivered)),
            (dead, State::Waiting, None),
        ] {
            assert_eq!(before.event_of_change(after), told, "{before:?} {after:?}");
        }
    }

    #[test]
    fn states_are_read_as_they_are_stored() {
        let stopped = StoppedReason::ALL.map(State::Stopped);
        let dead = DeadReason::ALL.map(State::Dead);
        for state in [&[State::Waiting, State::Delivered][..], &stopped, &dead].concat() {
            assert_eq!(State::of(state.number(), state.reason()), Some(state));
            assert_eq!(State::NAMES[state.number() as usize], state.name());
        }
        assert_eq!(State::of(0, Some("rejected")), None);
        assert_eq!(State::of(3, None), None);
        assert_eq!(State::of(4, None), None);
    }
}
