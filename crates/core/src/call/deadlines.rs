//! How long: the call's deadline and the current attempt's.

use core::time::Duration;

use crate::time::Timestamp;

/// When the driver has to come back, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: DeadlineReason,
}

/// Why a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlineReason {
    /// The whole call ends there.
    Call,
    /// The current attempt ends there.
    Attempt,
    /// The next attempt starts there.
    Backoff,
}

/// The two points in time that bound a call.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    call_at: Timestamp,
    attempt_timeout: Duration,
    attempt_at: Timestamp,
}

impl Deadlines {
    /// For a call that starts at `now`.
    #[must_use]
    pub fn new(now: Timestamp, total_timeout: Duration, attempt_timeout: Duration) -> Self {
        Self { call_at: now + total_timeout, attempt_timeout, attempt_at: now + attempt_timeout }
    }

    /// The call's deadline.
    #[must_use]
    pub const fn call_at(&self) -> Timestamp {
        self.call_at
    }

    /// An attempt starts.
    pub fn on_attempt(&mut self, now: Timestamp) {
        self.attempt_at = now + self.attempt_timeout;
    }

    /// The request's body moved at `moved_at`, so the attempt is alive. A call that can't be repeated has just this
    /// attempt, and its own deadline gives way too: it bounds retries, not the size of an upload.
    pub fn on_upload(&mut self, moved_at: Timestamp, repeatable: bool) {
        self.attempt_at = self.attempt_at.max(moved_at + self.attempt_timeout);
        if !repeatable {
            self.call_at = self.call_at.max(self.attempt_at);
        }
    }

    /// What ends the current attempt first.
    #[must_use]
    pub fn next(&self) -> Deadline {
        if self.call_at <= self.attempt_at {
            Deadline { at: self.call_at, why: DeadlineReason::Call }
        } else {
            Deadline { at: self.attempt_at, why: DeadlineReason::Attempt }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadlines() -> Deadlines {
        Deadlines::new(Timestamp::ZERO, Duration::from_secs(30), Duration::from_secs(10))
    }

    #[test]
    fn an_attempt_ends_by_itself_or_with_the_call() {
        let mut deadlines = deadlines();
        assert_eq!(
            deadlines.next(),
            Deadline { at: Timestamp::from_millis(10_000), why: DeadlineReason::Attempt }
        );
        deadlines.on_attempt(Timestamp::from_millis(25_000));
        assert_eq!(
            deadlines.next(),
            Deadline { at: Timestamp::from_millis(30_000), why: DeadlineReason::Call }
        );
    }

    #[test]
    fn an_upload_that_moves_keeps_its_attempt_alive() {
        let mut deadlines = deadlines();
        deadlines.on_upload(Timestamp::from_millis(9_000), true);
        assert_eq!(deadlines.next().at, Timestamp::from_millis(19_000));
    }

    #[test]
    fn an_upload_that_cannot_be_repeated_outlives_the_calls_deadline() {
        let mut deadlines = deadlines();
        deadlines.on_upload(Timestamp::from_millis(29_000), false);
        assert_eq!(deadlines.next().at, Timestamp::from_millis(39_000));
    }
}
