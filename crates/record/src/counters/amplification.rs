//! Attempts per call in the last minute: by how much the extra attempts multiply the load.
//!
//! Totals are noted every five seconds, by whichever call starts then; what happened in the last minute is the
//! difference to the note of a minute ago. While there are no calls nothing is noted, and nothing has to be: totals
//! don't change then.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_core::Timestamp;
use parking_lot::Mutex;

const WINDOW: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(5);

/// Notes within a window, one before it, and one to spare.
const NOTES: usize = 14;

/// The notes. Without a note of a minute ago the window begins with the first.
#[derive(Debug)]
pub(crate) struct Amplification {
    due_at_nanos: AtomicU64,
    notes: Mutex<VecDeque<Sample>>,
}

/// Totals at a point in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    pub(crate) calls: u64,
    pub(crate) attempts: u64,
}

impl Default for Amplification {
    fn default() -> Self {
        let notes = Mutex::new(VecDeque::with_capacity(NOTES));
        Self { due_at_nanos: AtomicU64::new(0), notes }
    }
}

impl Amplification {
    /// Whether a note is due. One load of a line that hardly ever changes.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now.as_nanos() >= self.due_at_nanos.load(Ordering::Relaxed)
    }

    /// Takes a note, unless another thread is at it.
    #[cold]
    pub(crate) fn take(&self, now: Timestamp, sample: impl FnOnce() -> Sample) {
        let Some(mut notes) = self.notes.try_lock() else { return };
        if !self.is_due(now) {
            return;
        }
        self.due_at_nanos.store((now + EVERY).as_nanos(), Ordering::Relaxed);
        while notes.len() >= NOTES || notes.get(1).is_some_and(|note| note.at <= now - WINDOW) {
            notes.pop_front();
        }
        notes.push_back(Sample { at: now, ..sample() });
    }

    /// Attempts per call since a minute before `now`; `None` without calls.
    pub(crate) fn recent(&self, now: Timestamp, total: Sample) -> Option<f64> {
        let base = self.at(now - WINDOW, total);
        ratio(total.attempts.saturating_sub(base.attempts), total.calls.saturating_sub(base.calls))
    }

    /// The totals at `then`, to five seconds; the first note's if `then` is before it.
    fn at(&self, then: Timestamp, total: Sample) -> Sample {
        let notes = self.notes.lock();
        let after = notes.partition_point(|note| note.at <= then);
        let before = after.checked_sub(1).and_then(|place| notes.get(place));
        match before {
            // The next note would have been taken by now, had there been a call: nothing changed until it was.
            Some(note) if then < note.at + EVERY => *note,
            Some(_) | None => notes.get(after).copied().unwrap_or(total),
        }
    }
}

/// Attempts per call; `None` without calls.
pub(crate) fn ratio(attempts: u64, calls: u64) -> Option<f64> {
    (calls > 0).then(|| attempts as f64 / calls as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    /// A call a second; `attempts` says how many each takes.
    fn check(seconds: u64, attempts: fn(u64) -> u64) -> Option<f64> {
        let amplification = Amplification::default();
        let mut total = Sample::default();
        for second in 0..seconds {
            if amplification.is_due(at(second)) {
                amplification.take(at(second), || total);
            }
            total.calls += 1;
            total.attempts += attempts(second);
        }
        assert!(amplification.notes.lock().len() <= NOTES);
        amplification.recent(at(seconds), total)
    }

    #[test]
    fn only_the_last_minute_counts() {
        assert_eq!(check(600, |second| if second < 500 { 3 } else { 1 }), Some(1.0));
        assert_eq!(check(600, |second| if second < 540 { 1 } else { 2 }), Some(2.0));
    }

    #[test]
    fn a_young_process_shows_what_it_has() {
        assert_eq!(check(0, |_| 1), None);
        assert_eq!(check(3, |_| 2), Some(2.0));
    }

    #[test]
    fn after_a_pause_nothing_is_left_of_the_calls_before_it() {
        let amplification = Amplification::default();
        let total = Sample { calls: 10, attempts: 30, ..Sample::default() };
        amplification.take(at(1), Sample::default);
        amplification.take(at(1000), || total);
        let later = Sample { calls: 11, attempts: 31, ..total };
        assert_eq!(amplification.recent(at(1001), later), Some(1.0));
        assert_eq!(amplification.recent(at(1061), total), None);
    }
}
