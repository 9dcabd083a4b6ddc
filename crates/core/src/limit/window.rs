//! What ended in the current window: gathered by all threads, taken out by the one that closes it.
//!
//! ```text
//!   open ── samples ──▶ due ── one wins the swap of `closes_at` ──▶ closing ── it says until when ──▶ open
//!                        │ the others go on; nobody waits
//! ```
//!
//! The sum of latencies and their number are one word, so that their mean is never torn. The other counts are words of their
//! own: what ends while a window is being closed may have its latency counted in one window and its load in the next.

use core::time::Duration;

use super::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::time::{Timestamp, nanos};

/// On cache lines of its own, since each answer writes to it, while each admission reads the limit next to it.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Window {
    /// sum of latencies in units (42 bits) | answers (22 bits)
    answers: AtomicU64,
    dropped: AtomicU32,
    most_in_flight: AtomicU32,
    /// Only answers of calls that began at this or later are counted; in nanoseconds.
    from: AtomicU64,
    /// When it is due, in nanoseconds; [`CLOSING`] while somebody closes it.
    closes_at: AtomicU64,
}

/// What ended in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Mean latency of its answers in units × 2^16; `None` without any.
    pub(super) mean: Option<u64>,
    pub(super) answers: u32,
    pub(super) dropped: u32,
    pub(super) most_in_flight: u32,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            answers: AtomicU64::new(0),
            dropped: AtomicU32::new(0),
            most_in_flight: AtomicU32::new(0),
            from: AtomicU64::new(0),
            closes_at: AtomicU64::new(0),
        }
    }

    /// Counts an answer, unless its call began too early or the window is full.
    #[inline]
    pub(super) fn add_answer(&self, took: Duration, in_flight: u32, now: Timestamp) {
        let began = now.as_nanos().saturating_sub(nanos(took));
        let full = self.answers.load(Ordering::Relaxed) & COUNT_MASK >= ANSWERS_LIMIT;
        if full || began < self.from.load(Ordering::Relaxed) {
            return;
        }
        self.note_in_flight(in_flight);
        self.answers.fetch_add((units(took) << COUNT_BITS) + 1, Ordering::Relaxed);
    }

    /// Counts a call that was dropped.
    pub(super) fn add_drop(&self, in_flight: u32) {
        self.note_in_flight(in_flight);
        // Ends at its bound instead of wrapping; two threads that pass the last one together do no harm.
        if self.dropped.load(Ordering::Relaxed) < DROPS_LIMIT {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether a window that needs so many samples is to be closed now, and by this thread. If so, [`take`] and then
    /// [`reopen`] must follow.
    ///
    /// [`take`]: Self::take
    /// [`reopen`]: Self::reopen
    #[inline]
    pub(super) fn begin_closing(&self, samples: u32, length: Duration, now: Timestamp) -> bool {
        let due = self.closes_at.load(Ordering::Relaxed);
        if now.as_nanos() < due {
            return false;
        }
        let answers = self.answers.load(Ordering::Relaxed) & COUNT_MASK;
        let ended = answers + u64::from(self.dropped.load(Ordering::Relaxed));
        if due == 0 {
            // The first sample begins the first window.
            let _ = self.claim(due, mark(now + length));
            return false;
        }
        // Acquire, for what the last one to close it has written; see `reopen`.
        ended >= u64::from(samples) && self.claim(due, CLOSING)
    }

    /// What the window holds. It is empty afterwards.
    pub(super) fn take(&self) -> Seen {
        let word = self.answers.swap(0, Ordering::Relaxed);
        let (sum, answers) = (word >> COUNT_BITS, word & COUNT_MASK);
        Seen {
            mean: (sum << FRACTION_BITS).checked_div(answers),
            answers: answers as u32,
            dropped: self.dropped.swap(0, Ordering::Relaxed),
            most_in_flight: self.most_in_flight.swap(0, Ordering::Relaxed),
        }
    }

    /// Ends the closing: the next window is due at `closes_at`, and counts calls that began at `from` or later.
    pub(super) fn reopen(&self, from: Timestamp, closes_at: Timestamp) {
        self.from.store(from.as_nanos(), Ordering::Relaxed);
        self.closes_at.store(mark(closes_at), Ordering::Release);
    }

    fn claim(&self, due: u64, next: u64) -> bool {
        self.closes_at.compare_exchange(due, next, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Notes the load; most of the time it costs a load only.
    #[inline]
    fn note_in_flight(&self, in_flight: u32) {
        if self.most_in_flight.load(Ordering::Relaxed) < in_flight {
            self.most_in_flight.fetch_max(in_flight, Ordering::Relaxed);
        }
    }
}

/// A latency in units of 2^10 ns, about a microsecond.
fn units(took: Duration) -> u64 {
    (nanos(took) >> UNIT_BITS).clamp(UNITS_MIN, UNITS_MAX)
}

/// What a mean stands for.
pub(super) const fn length_of(mean: u64) -> Duration {
    Duration::from_nanos((mean >> FRACTION_BITS) << UNIT_BITS)
}

/// Neither the mark of a window that never was nor that of one being closed.
fn mark(closes_at: Timestamp) -> u64 {
    closes_at.as_nanos().clamp(1, CLOSING - 1)
}

const CLOSING: u64 = u64::MAX;

const UNIT_BITS: u32 = 10;
const FRACTION_BITS: u32 = 16;
const COUNT_BITS: u32 = 22;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// 100 µs: differences below it are the host's own noise, and must not look like a queue at the endpoint.
const UNITS_MIN: u64 = 98;

/// 69 s. A call that took longer says no more than one that took this.
const UNITS_MAX: u64 = 1 << 26;

/// More answers than this in one window add nothing to its mean, and the sum of so many always fits.
const ANSWERS_LIMIT: u64 = 1 << 15;

const DROPS_LIMIT: u32 = 1 << 20;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn a_window_holds_the_mean_of_its_answers_the_most_load_and_the_drops() {
        let window = Window::new();
        window.add_answer(ms(10), 3, at(500));
        window.add_answer(ms(30), 7, at(500));
        window.add_drop(5);
        let seen = window.take();
        let mean = length_of(seen.mean.unwrap_or(0));
        assert!(mean > ms(19) && mean <= ms(20), "{mean:?}");
        assert_eq!((seen.answers, seen.dropped, seen.most_in_flight), (2, 1, 7));
        assert_eq!(window.take(), Seen::default());
    }

    #[test]
    fn it_is_due_after_its_length_and_with_enough_samples_and_once() {
        let window = Window::new();
        window.add_drop(1);
        assert!(!window.begin_closing(2, SECOND, at(0)), "it has just begun");
        assert!(!window.begin_closing(2, SECOND, at(1000)), "a single sample");
        window.add_answer(ms(1), 1, at(1000));
        assert!(!window.begin_closing(2, SECOND, at(999)));
        assert!(window.begin_closing(2, SECOND, at(1000)));
        assert!(!window.begin_closing(2, SECOND, at(9000)), "somebody is closing it");
        window.reopen(Timestamp::ZERO, at(2000));
        assert!(window.begin_closing(2, SECOND, at(2000)));
    }

    #[test]
    fn answers_of_calls_that_began_too_early_are_left_out() {
        let window = Window::new();
        window.reopen(at(100), at(1000));
        window.add_answer(ms(50), 9, at(149));
        window.add_answer(ms(50), 2, at(150));
        let seen = window.take();
        assert_eq!((seen.answers, seen.most_in_flight), (1, 2));
    }

    #[test]
    fn a_full_window_keeps_its_mean() {
        let window = Window::new();
        (0..40_000).for_each(|_| window.add_answer(Duration::MAX, 1, Timestamp::MAX));
        let seen = window.take();
        assert_eq!(u64::from(seen.answers), ANSWERS_LIMIT);
        assert_eq!(seen.mean, Some(UNITS_MAX << FRACTION_BITS));
    }

    #[test]
    fn differences_below_a_tenth_of_a_millisecond_are_no_differences() {
        assert_eq!(units(Duration::from_micros(3)), units(Duration::from_micros(90)));
    }
}
