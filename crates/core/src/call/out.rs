//! The attempts that are out: one, and at times a hedge beside it.

use alloc::boxed::Box;
use core::time::Duration;

use crate::breaks::{Break, BreakKind, Certainty};
use crate::budget::{Charge, Reservation};
use crate::event::{AttemptId, AttemptReason};
use crate::time::Timestamp;
use crate::upstream::{EndpointId, Permit};

use super::{Action, Connection, Deadline, DeadlineReason};

/// What an attempt has paid.
#[derive(Debug)]
pub(super) enum Paid {
    /// Nothing: the first one, and what was never sent.
    Nothing,
    /// The price of an extra attempt.
    Charge(Charge),
    /// The price is held until it is known whether it was worth it.
    Held(Reservation),
}

impl Paid {
    /// It came to nothing.
    pub(super) fn spend(self, now: Timestamp) {
        match self {
            Self::Nothing => {}
            Self::Charge(charge) => drop(charge),
            Self::Held(reservation) => drop(reservation.charge(now)),
        }
    }
}

/// An attempt that is out.
#[derive(Debug)]
pub(super) struct Trying {
    pub(super) attempt: AttemptId,
    pub(super) reason: AttemptReason,
    pub(super) permit: Permit,
    pub(super) paid: Paid,
    pub(super) connection: Connection,
    pub(super) started_at: Timestamp,
    /// When it has had its time.
    pub(super) ends_at: Timestamp,
    /// When its answer, whose head is here, is waited for no longer.
    pub(super) commit_at: Option<Timestamp>,
    pub(super) cancelled: Option<DeadlineReason>,
}

impl Trying {
    /// The endpoint, if the break is that of a kept connection that had come to its end: the peer had closed it before it got the
    /// request, or was closing it and says so. On a fresh connection the same would be the endpoint's doing; but over HTTP/2 a
    /// fresh connection is shared, and the peer may have got its fill of streams by others before this one's came. So a few
    /// times, of `repeats` so far, that counts as well.
    pub(super) fn dead_connection(&self, what: &Break, repeats: u8) -> Option<EndpointId> {
        let ended = matches!(
            (what.kind, what.certainty),
            (BreakKind::ClosedWhileIdle, Certainty::NotSent)
                | (BreakKind::GoAway, Certainty::NotSent | Certainty::Refused)
        );
        let was_kept = self.connection == Connection::Any;
        let was_full = what.kind == BreakKind::GoAway && repeats < SHARED_REPEATS;
        (ended && (was_kept || was_full)).then(|| self.permit.endpoint())
    }

    /// What ends it first, its own time or the call's; an answer that is half here is delivered then.
    fn end(&self, call_at: Timestamp) -> Deadline {
        let end = if call_at <= self.ends_at {
            Deadline { at: call_at, why: DeadlineReason::Call }
        } else {
            Deadline { at: self.ends_at, why: DeadlineReason::Attempt }
        };
        match self.commit_at {
            Some(at) => Deadline { at: at.min(end.at), why: DeadlineReason::Commit },
            None => end,
        }
    }

    /// Whether it is out for as long as it takes: not on its way out, and its answer hasn't begun.
    const fn awaits_head(&self) -> bool {
        self.cancelled.is_none() && self.commit_at.is_none()
    }

    /// What is next for it; none once it was cancelled, since it is on its way out.
    fn next(&self, call_at: Timestamp) -> Option<Deadline> {
        self.cancelled.is_none().then(|| self.end(call_at))
    }

    /// What is to become of it if its time is over, told once.
    fn due(&mut self, call_at: Timestamp, now: Timestamp) -> Option<Action> {
        let due = self.next(call_at).filter(|deadline| now >= deadline.at)?;
        self.cancelled = Some(due.why);
        let attempt = self.attempt;
        Some(match due.why {
            DeadlineReason::Commit => Action::Commit { attempt },
            _ => Action::Cancel { attempt },
        })
    }
}

/// The second attempt beside the first.
#[derive(Debug)]
pub(super) enum Hedge {
    /// None, and there will be none.
    None,
    /// Due then.
    At(Timestamp),
    /// Out. In a box: it is rare, and would make every call large.
    Out(Box<Trying>),
}

/// What is out.
#[derive(Debug)]
pub(super) struct Out {
    pub(super) main: Trying,
    pub(super) hedge: Hedge,
}

impl Out {
    /// Whether it is time for the hedge; not for an attempt that is on its way out.
    pub(super) fn is_hedge_due(&self, now: Timestamp) -> bool {
        matches!(self.hedge, Hedge::At(at) if now >= at && self.main.awaits_head())
    }

    pub(super) fn next_deadline(&self, call_at: Timestamp) -> Option<Deadline> {
        let hedge = match &self.hedge {
            Hedge::None => None,
            Hedge::At(at) if self.main.awaits_head() => {
                Some(Deadline { at: *at, why: DeadlineReason::Hedge })
            }
            Hedge::At(_) => None,
            Hedge::Out(hedge) => hedge.next(call_at),
        };
        let main = self.main.next(call_at);
        main.into_iter().chain(hedge).min_by_key(|deadline| deadline.at)
    }

    /// What becomes of the attempts whose time is over at `now`, each told once.
    pub(super) fn end_due(
        &mut self,
        call_at: Timestamp,
        now: Timestamp,
    ) -> impl Iterator<Item = Action> {
        let hedge = match &mut self.hedge {
            Hedge::Out(hedge) => Some(&mut **hedge),
            Hedge::None | Hedge::At(_) => None,
        };
        core::iter::once(&mut self.main)
            .chain(hedge)
            .filter_map(move |trying| trying.due(call_at, now))
    }

    /// The head of this attempt's answer is here, and is held back until then.
    pub(super) fn hold(&mut self, attempt: AttemptId, until: Timestamp) {
        let held = match &mut self.hedge {
            Hedge::Out(hedge) if hedge.attempt == attempt => hedge,
            Hedge::Out(_) | Hedge::None | Hedge::At(_) => &mut self.main,
        };
        if held.attempt == attempt {
            held.commit_at = Some(until);
        }
    }

    /// Takes this attempt out of the race, with what is left of it. It is one of the two.
    pub(super) fn split(self, attempt: AttemptId) -> (Trying, Option<Trying>) {
        match self.hedge {
            Hedge::Out(hedge) if hedge.attempt == attempt => (*hedge, Some(self.main)),
            Hedge::Out(hedge) => (self.main, Some(*hedge)),
            Hedge::None | Hedge::At(_) => (self.main, None),
        }
    }

    pub(super) fn has(&self, attempt: AttemptId) -> bool {
        self.main.attempt == attempt
            || matches!(&self.hedge, Hedge::Out(hedge) if hedge.attempt == attempt)
    }

    /// When the attempt at `endpoint` has had its time.
    pub(super) fn ends_at(&self, endpoint: EndpointId) -> Timestamp {
        match &self.hedge {
            Hedge::Out(hedge) if hedge.permit.endpoint() == endpoint => hedge.ends_at,
            Hedge::Out(_) | Hedge::None | Hedge::At(_) => self.main.ends_at,
        }
    }

    pub(super) fn alone(main: Trying) -> Self {
        Self { main, hedge: Hedge::None }
    }

    /// The body of the request moved at `moved_at`: what sends it is alive.
    pub(super) fn moved(&mut self, moved_at: Timestamp, timeout: Duration) -> Timestamp {
        self.main.ends_at = self.main.ends_at.max(moved_at + timeout);
        self.main.ends_at
    }
}

/// Free repeats after which a GOAWAY on a fresh connection is the endpoint's own word.
const SHARED_REPEATS: u8 = 3;
