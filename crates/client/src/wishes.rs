//! What the caller of one call wants beside its plan, and what it is told of the call's attempts.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use mainstay_core::breaks::safety::Repetition;
use mainstay_core::event::{AttemptId, AttemptReason, Saved};
use mainstay_core::{Break, CallFacts, Certainty, EndpointId, Event, Timestamp};
use mainstay_record::CallId;
use parking_lot::Mutex;

use crate::library::observe::{Hears, Observed};

/// What the caller wants. By default nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// Where the call's attempts are noted down.
    pub(crate) log: Option<Arc<AttemptLog>>,
    /// How much time there is, the policy's `total_timeout` at most.
    pub(crate) time: Option<Duration>,
    /// Whether the request may be done twice, whatever its method.
    pub(crate) idempotent: bool,
}

impl Wishes {
    /// The facts of the request, with what is wanted.
    pub(crate) fn added_to(&self, facts: CallFacts) -> CallFacts {
        let time_left = facts.time_left.into_iter().chain(self.time).min();
        let repetition = match facts.repetition {
            Repetition::Unsafe if self.idempotent => Repetition::Declared,
            said => said,
        };
        CallFacts { time_left, repetition, ..facts }
    }
}

/// One attempt of a call, as its caller is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Which, counted from 1.
    pub number: u16,
    /// The name of its endpoint: as the settings call it, or `host:port`.
    pub endpoint: String,
    /// Why it was made.
    pub reason: AttemptReason,
    /// When it began, after the call's start.
    pub started_after: Duration,
    /// From its start to the head of its answer, or to its break; `None` while it is out.
    pub took: Option<Duration>,
    /// What became of it.
    pub outcome: AttemptOutcome,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// It was answered, with this status; without one where what was called isn't HTTP.
    Answered(Option<u16>),
    /// It broke.
    Broke(Break),
    /// Another one beside it was faster.
    Outrun,
    /// It was out when its call ended, or still is.
    Unfinished,
}

impl AttemptOutcome {
    /// The same of something that has no statuses.
    pub(crate) const fn without_status(self) -> Self {
        match self {
            Self::Answered(_) => Self::Answered(None),
            Self::Broke(_) | Self::Outrun | Self::Unfinished => self,
        }
    }
}

impl Attempt {
    /// The stable code of what broke; see the manual's page of break codes. `None` if nothing did.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        match &self.outcome {
            AttemptOutcome::Broke(what) => Some(what.kind.code()),
            AttemptOutcome::Answered(_) | AttemptOutcome::Outrun | AttemptOutcome::Unfinished => {
                None
            }
        }
    }

    /// How far its request got, if it broke.
    #[must_use]
    pub const fn certainty(&self) -> Option<Certainty> {
        match &self.outcome {
            AttemptOutcome::Broke(what) => Some(what.certainty),
            AttemptOutcome::Answered(_) | AttemptOutcome::Outrun | AttemptOutcome::Unfinished => {
                None
            }
        }
    }
}

/// The attempts of one call, noted down as they begin and end.
#[derive(Debug, Default)]
pub(crate) struct AttemptLog {
    noted: Mutex<Noted>,
    /// Who else hears of it.
    hears: Option<Hears>,
}

#[derive(Debug, Default)]
struct Noted {
    started_at: Timestamp,
    /// Nearly every call has one attempt, which needs no allocation of its own.
    first: Option<Note>,
    more: Vec<Note>,
    saved: Option<Saved>,
    as_is: bool,
    returned: Option<Parts>,
}

#[derive(Clone, Copy, Debug)]
struct Note {
    attempt: AttemptId,
    endpoint: EndpointId,
    reason: AttemptReason,
    started_at: Timestamp,
    ended: Option<(Duration, AttemptOutcome)>,
}

impl AttemptLog {
    /// A log of which somebody else hears as well, if anybody does.
    pub(crate) fn heard_by(hears: Option<Hears>) -> Self {
        Self { hears, ..Self::default() }
    }

    /// Takes in an event of the call.
    pub(crate) fn hear(&self, call: CallId, now: Timestamp, event: &Event) {
        self.note(now, event);
        if let Some(Hears { observer, service }) = &self.hears {
            observer.on_event(&Observed { id: call, service }, event);
        }
    }

    fn note(&self, now: Timestamp, event: &Event) {
        let mut noted = self.noted.lock();
        match *event {
            Event::CallStarted => noted.started_at = now,
            Event::AttemptStarted { attempt, endpoint, reason } => {
                let note = Note { attempt, endpoint, reason, started_at: now, ended: None };
                if noted.first.is_none() {
                    noted.first = Some(note);
                } else if noted.more.len() < MOST_NOTED {
                    noted.more.push(note);
                }
            }
            Event::AttemptSucceeded { attempt, status, took, .. } => {
                noted.end(attempt, took, AttemptOutcome::Answered(Some(status)));
            }
            Event::AttemptFailed { attempt, what, took, .. } => {
                noted.end(attempt, took, AttemptOutcome::Broke(what));
            }
            Event::AttemptOutrun { attempt, took, .. } => {
                noted.end(attempt, took, AttemptOutcome::Outrun);
            }
            Event::CallDelivered { saved, as_is, .. } => {
                noted.as_is = as_is;
                noted.saved = Some(if as_is { Saved::NotNeeded } else { saved });
            }
            _ => {}
        }
    }

    /// The call's request wasn't sent: this is its head.
    pub(crate) fn give_back(&self, head: Parts) {
        self.noted.lock().returned = Some(head);
    }

    /// The head of a request that wasn't sent.
    pub(crate) fn take_back(&self) -> Option<Parts> {
        self.noted.lock().returned.take()
    }

    /// Whether its answer is a broken attempt's own.
    #[cfg(feature = "testing")]
    pub(crate) fn is_as_is(&self) -> bool {
        self.noted.lock().as_is
    }

    /// What saved the call; `None` before it was answered.
    pub(crate) fn saved(&self) -> Option<Saved> {
        self.noted.lock().saved
    }

    /// The attempts so far, in the order in which they began. `name`: how an endpoint is called.
    pub(crate) fn attempts(&self, name: impl Fn(EndpointId) -> String) -> Vec<Attempt> {
        let noted = self.noted.lock();
        let started_at = noted.started_at;
        let told = |note: &Note| Attempt {
            number: note.attempt.0,
            endpoint: name(note.endpoint),
            reason: note.reason,
            started_after: note.started_at.since(started_at),
            took: note.ended.map(|(took, _)| took),
            outcome: note.ended.map_or(AttemptOutcome::Unfinished, |(_, outcome)| outcome),
        };
        noted.first.iter().chain(&noted.more).map(told).collect()
    }
}

impl Noted {
    fn end(&mut self, attempt: AttemptId, took: Duration, outcome: AttemptOutcome) {
        let mut notes = self.first.iter_mut().chain(self.more.iter_mut().rev());
        if let Some(note) = notes.find(|note| note.attempt == attempt) {
            note.ended = Some((took, outcome));
        }
    }
}

/// Attempts that are noted beyond the first: ten that count and sixteen free repeats, and a long download's continuations up
/// to here.
const MOST_NOTED: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::BreakKind;

    fn started(attempt: u16, endpoint: u16, reason: AttemptReason) -> Event {
        Event::AttemptStarted {
            attempt: AttemptId(attempt),
            endpoint: EndpointId(endpoint),
            reason,
        }
    }

    #[test]
    fn attempts_are_told_in_their_order_with_what_became_of_them() {
        let log = AttemptLog::default();
        let at = Timestamp::from_millis;
        let what = Break::new(BreakKind::ConnectRefused, Certainty::NotSent);
        let took = Duration::from_millis(3);
        let (attempt, endpoint) = (AttemptId(1), EndpointId(0));
        log.note(at(100), &Event::CallStarted);
        log.note(at(101), &started(1, 0, AttemptReason::First));
        log.note(at(104), &Event::AttemptFailed { attempt, endpoint, what, took });
        log.note(at(110), &started(2, 1, AttemptReason::Failover));
        let attempts = log.attempts(|endpoint| format!("e{}", endpoint.0));
        let shown: Vec<_> = attempts
            .iter()
            .map(|it| (it.number, it.endpoint.as_str(), it.code(), it.started_after.as_millis()))
            .collect();
        assert_eq!(shown, [(1, "e0", Some("connect-refused"), 1), (2, "e1", None, 10)]);
        assert_eq!(attempts[0].certainty(), Some(Certainty::NotSent));
        assert_eq!(attempts[1].outcome, AttemptOutcome::Unfinished);
    }

    #[test]
    fn the_shorter_time_counts_and_a_declared_request_may_be_done_twice() {
        let facts = CallFacts::of("POST", false, &mainstay_core::CallPolicy::default());
        let facts = CallFacts { time_left: Some(Duration::from_secs(5)), ..facts };
        let wishes = Wishes { time: Some(Duration::from_secs(2)), ..Wishes::default() };
        assert_eq!(wishes.added_to(facts).time_left, wishes.time);
        assert!(!wishes.added_to(facts).repetition.is_idempotent());
        let wishes = Wishes { idempotent: true, ..Wishes::default() };
        assert_eq!(wishes.added_to(facts).time_left, facts.time_left);
        assert!(wishes.added_to(facts).repetition.is_idempotent());
    }
}
