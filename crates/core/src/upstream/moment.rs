//! A point in time that threads share: none, or a timestamp.
//!
//! All loads and stores are relaxed: a moment says nothing about other memory, and each reader compares it with
//! its own `now` only.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::time::Timestamp;

/// None, or a point in time. The run's first nanosecond stands for none, so time zero is kept as 1.
#[derive(Debug, Default)]
pub(super) struct Moment(AtomicU64);

impl Moment {
    pub(super) const fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn at(time: Timestamp) -> Self {
        Self(AtomicU64::new(kept(time)))
    }

    /// The time, if there is one.
    pub(super) fn get(&self) -> Option<Timestamp> {
        match self.0.load(Relaxed) {
            0 => None,
            nanos => Some(Timestamp::from_nanos(nanos)),
        }
    }

    /// The time, if it is still to come at `now`.
    pub(super) fn ahead_of(&self, now: Timestamp) -> Option<Timestamp> {
        let time = Timestamp::from_nanos(self.0.load(Relaxed));
        (time > now).then_some(time)
    }

    pub(super) fn set(&self, time: Timestamp) {
        self.0.store(kept(time), Relaxed);
    }

    /// Forgets the time. Says whether there was one.
    pub(super) fn clear(&self) -> bool {
        self.0.swap(0, Relaxed) != 0
    }

    /// Moves it to `time` if that is later. Returns what was there before.
    pub(super) fn put_off(&self, time: Timestamp) -> Timestamp {
        Timestamp::from_nanos(self.0.fetch_max(kept(time), Relaxed))
    }

    /// Moves it to `time` if that is earlier; none stays none.
    pub(super) fn bring_forward(&self, time: Timestamp) {
        self.0.fetch_min(kept(time), Relaxed);
    }

    /// Whether the time has come, for exactly one of those who ask: it moves on to `next`.
    pub(super) fn claim(&self, now: Timestamp, next: impl FnOnce() -> Timestamp) -> bool {
        let due = self.0.load(Relaxed);
        due != 0
            && due <= now.as_nanos()
            && self.0.compare_exchange(due, kept(next()), Relaxed, Relaxed).is_ok()
    }

    /// Forgets a time that is over, for exactly one of those who ask. Says whether it was this one.
    pub(super) fn end(&self, now: Timestamp) -> bool {
        let time = self.0.load(Relaxed);
        time != 0
            && time <= now.as_nanos()
            && self.0.compare_exchange(time, 0, Relaxed, Relaxed).is_ok()
    }
}

fn kept(time: Timestamp) -> u64 {
    time.as_nanos().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn a_time_is_only_moved_the_way_that_was_asked_for() {
        let moment = Moment::at(at(10));
        assert_eq!(moment.put_off(at(5)), at(10));
        assert_eq!(moment.put_off(at(20)), at(10));
        moment.bring_forward(at(15));
        assert_eq!(moment.get(), Some(at(15)));
        moment.bring_forward(at(16));
        assert_eq!(moment.ahead_of(at(14)), Some(at(15)));
        assert_eq!(moment.ahead_of(at(15)), None);
    }

    #[test]
    fn a_time_that_has_come_is_claimed_once() {
        let moment = Moment::at(at(10));
        assert!(!moment.claim(at(9), || at(20)));
        assert!(moment.claim(at(10), || at(20)));
        assert!(!moment.claim(at(10), || at(30)));
        assert!(!moment.end(at(19)));
        assert!(moment.end(at(20)));
        assert!(!moment.end(at(21)));
        assert_eq!(moment.get(), None);
    }

    #[test]
    fn none_is_never_due_and_never_brought_forward() {
        let moment = Moment::none();
        moment.bring_forward(at(5));
        assert!(!moment.claim(Timestamp::MAX, || at(1)));
        assert_eq!(moment.get(), None);
        moment.set(Timestamp::ZERO);
        assert_eq!(moment.get(), Some(at(1)));
        assert!(moment.clear() && !moment.clear());
    }
}
