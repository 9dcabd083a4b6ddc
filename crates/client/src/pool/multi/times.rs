//! When a stream of HTTP/2 did what, for the record.
//!
//! Many streams share a socket, so their bytes can't be told apart there. A request counts as written when all of it has
//! been handed to the connection, as the peer's windows allowed, and the connection has written something since: its task
//! writes what it has been given at its next turn, unless the socket takes nothing.

use mainstay_core::Timestamp;

use super::Line;
use crate::Clock;

/// One stream's times. What hasn't happened has none.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::pool) struct StreamTimes {
    /// The connection was to be proved alive first, and when it was.
    proof: Option<Option<Timestamp>>,
    /// The peer had to allow the stream first, and when it did.
    leave: Option<Option<Timestamp>>,
    /// When all of the request had been handed over, and what the connection had written before.
    handed: Option<(Timestamp, u64)>,
    /// Whether the connection has written since.
    written: bool,
    /// When the answer's head came.
    pub(in crate::pool) answered_at: Option<Timestamp>,
}

impl StreamTimes {
    /// What the stream waited for before it began, a proof of life and the peer's leave: nothing where it didn't have
    /// to, else until when, if that is over.
    pub(in crate::pool) const fn waits(&self) -> [Option<Option<Timestamp>>; 2] {
        [self.proof, self.leave]
    }

    /// Whether it waits still, so that nothing of its request has been handed to the connection.
    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.proof, Some(None)) || matches!(self.leave, Some(None))
    }

    /// When its last byte left.
    pub(in crate::pool) fn written_at(&self) -> Option<Timestamp> {
        self.handed.filter(|_| self.written).map(|(at, _)| at)
    }

    pub(super) const fn note_proof_wanted(&mut self) {
        self.proof = Some(None);
    }

    pub(super) fn note_proved(&mut self) {
        self.proof = Some(Some(Clock::now()));
    }

    pub(super) const fn note_leave_wanted(&mut self) {
        self.leave = Some(None);
    }

    pub(super) fn note_allowed(&mut self) {
        if self.leave.is_some() {
            self.leave = Some(Some(Clock::now()));
        }
    }

    /// All of the request has been handed to the connection, which had written so many bytes before the last of it.
    pub(super) fn note_handed(&mut self, written_before: u64) {
        self.handed = Some((Clock::now(), written_before));
    }

    pub(super) fn note_answered(&mut self) {
        self.answered_at = Some(Clock::now());
    }

    /// These times, as the connection stands now.
    pub(super) fn seen(mut self, line: &Line) -> Self {
        let written = line.meter().written_bytes();
        self.written = self.handed.is_some_and(|(_, before)| written > before);
        self
    }
}
