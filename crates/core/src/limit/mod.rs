//! The concurrency limit: how many calls may be in flight at once, fixed or learned from what is seen.
//!
//! An endpoint that gets more calls than it can work on makes them wait, and at last answers none in time. Whoever sends
//! fewer loses nothing: by Little's law, calls in flight beyond capacity × service time only queue. How many that is nobody
//! writes down, so it is learned, by one of two rules ([`LimitRule`]).
//!
//! ```text
//!   on_answer, on_drop ──▶ Window (a second, 10 samples) ── one thread closes it ──▶ Learned ──▶ current
//!                                                                                   aimd, gradient
//! ```
//!
//! Nothing waits here and nobody is refused: a limit is a number, [`Limit::current`], which costs one atomic load. Who asks
//! compares it with what is in flight; who finds it reached may stand in a [line](crate::line). It is not a budget and not
//! a breaker: it says how many at once, not whether.

#[cfg(not(loom))]
use core::sync::atomic;
use core::time::Duration;

#[cfg(loom)]
use loom::sync::atomic;

mod gradient;
mod learned;
mod settings;
mod window;

use atomic::{AtomicU32, AtomicU64, Ordering};
use learned::{Learned, WORDS};
pub use settings::{AdaptiveSettings, GradientRule, LimitRule, LimitSettings};
use window::{Window, length_of};

use crate::time::Timestamp;

/// The limit of one endpoint, or of a whole upstream.
///
/// Lock-free and without allocation. An answer costs one atomic add and a few loads; once in a window one thread takes out
/// what was gathered and moves the limit, while the others go on.
#[derive(Debug)]
pub struct Limit {
    settings: LimitSettings,
    current: AtomicU32,
    /// Written by whoever closes a window, and by nobody else.
    learned: [AtomicU64; WORDS],
    window: Window,
}

/// A limit that has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitChange {
    /// What it was.
    pub from: u32,
    /// What it is.
    pub to: u32,
    /// Why it moved.
    pub reason: LimitReason,
}

/// What a window has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitReason {
    /// All was well, and the limit was in use: more may be in flight.
    Grown,
    /// Less than half of the limit was used, so nothing is known about it.
    Unused,
    /// Too many calls were dropped.
    Dropped,
    /// Answers took longer than they usually do.
    Slow,
    /// The limit is halved for a moment, to see how fast the endpoint is without a queue.
    Probing,
    /// That has been seen, and the limit is what it was.
    Probed,
}

/// A limit, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitView {
    /// Calls that may be in flight at once.
    pub current: u32,
    /// Its bounds; both are the limit itself if it is fixed.
    pub min: u32,
    /// See `min`.
    pub max: u32,
    /// The endpoint's usual latency, as far as the gradient rule has learned it.
    pub usual_latency: Option<Duration>,
    /// Whether the limit is halved for a moment, to see how fast the endpoint is without a queue.
    pub probing: bool,
}

impl Limit {
    /// A limit that knows nothing yet.
    #[must_use]
    pub fn new(settings: LimitSettings) -> Self {
        let learned = match &settings {
            LimitSettings::Fixed(limit) => Learned::new(*limit),
            LimitSettings::Adaptive(settings) => Learned::new(settings.bounded(settings.initial)),
        };
        Self::with(settings, learned)
    }

    /// A limit by new settings that keeps what this one has learned.
    ///
    /// From an adaptive limit to another the limit itself is kept, within the new bounds; the usual latency as well, between
    /// two gradient rules. Calls that are in flight meanwhile tell the one of the two that they were admitted by; nothing is
    /// lost but their share of one window.
    #[must_use]
    pub fn renewed(&self, settings: LimitSettings) -> Self {
        let (Some(old), Some(new)) = (self.settings.adaptive(), settings.adaptive()) else {
            return Self::new(settings);
        };
        let mut learned = self.learned();
        if !matches!((&old.rule, &new.rule), (LimitRule::Gradient(_), LimitRule::Gradient(_))) {
            learned = Learned { limit: learned.limit, ..Learned::default() };
        }
        // A probe isn't taken over: its window isn't, either.
        learned.probing = 0;
        learned.bound(new);
        Self::with(settings, learned)
    }

    fn with(settings: LimitSettings, learned: Learned) -> Self {
        let current = match &settings {
            LimitSettings::Fixed(limit) => *limit,
            LimitSettings::Adaptive(settings) => learned.current(settings),
        };
        Self {
            current: AtomicU32::new(current),
            learned: learned.to_words().map(AtomicU64::new),
            window: Window::new(),
            settings,
        }
    }

    /// How many calls may be in flight at once; at least 1, unless it was fixed at 0.
    #[inline]
    #[must_use]
    pub fn current(&self) -> u32 {
        self.current.load(Ordering::Relaxed)
    }

    /// Takes in an answer that was neither a drop nor cut short by us: `took` is the time from sending to the head of the
    /// answer, `in_flight` how many were, with this one. Returns the change of the limit that it has led to.
    #[inline]
    pub fn on_answer(&self, took: Duration, in_flight: u32, now: Timestamp) -> Option<LimitChange> {
        let settings = self.settings.adaptive()?;
        match settings.rule {
            LimitRule::Aimd { slow_after: Some(after) } if took >= after => {
                self.window.add_drop(in_flight);
            }
            LimitRule::Aimd { .. } | LimitRule::Gradient(_) => {
                self.window.add_answer(took, in_flight, now);
            }
        }
        self.close_if_due(settings, now)
    }

    /// Takes in a call that the endpoint had no room for: it timed out, or the answer said so (429, or 503 with
    /// `Retry-After`). `in_flight` is how many were, with this one. Returns the change of the limit that it has led to.
    pub fn on_drop(&self, in_flight: u32, now: Timestamp) -> Option<LimitChange> {
        let settings = self.settings.adaptive()?;
        self.window.add_drop(in_flight);
        self.close_if_due(settings, now)
    }

    /// What there is to show.
    #[must_use]
    pub fn view(&self) -> LimitView {
        let current = self.current();
        let Some(settings) = self.settings.adaptive() else {
            let usual_latency = None;
            return LimitView {
                current,
                min: current,
                max: current,
                usual_latency,
                probing: false,
            };
        };
        let learned = self.learned();
        LimitView {
            current,
            min: settings.bounded(0),
            max: settings.bounded(u32::MAX),
            usual_latency: (learned.long > 0).then(|| length_of(learned.long)),
            probing: learned.probing > 0,
        }
    }

    #[inline]
    fn close_if_due(&self, settings: &AdaptiveSettings, now: Timestamp) -> Option<LimitChange> {
        // A limit of three lets no ten calls through at once, and must not wait for them.
        let samples = settings.minimum_samples.min(self.current());
        let mine = self.window.begin_closing(samples, settings.window, now);
        if mine { self.close(settings, now) } else { None }
    }

    /// Moves the limit by what the window holds. The caller is the only one here.
    #[cold]
    fn close(&self, settings: &AdaptiveSettings, now: Timestamp) -> Option<LimitChange> {
        let seen = self.window.take();
        let mut learned = self.learned();
        let reason = learned.on_window(&seen, settings);
        for (word, value) in self.learned.iter().zip(learned.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
        let (from, to) = (self.current(), learned.current(settings));
        self.current.store(to, Ordering::Relaxed);
        // What began before a probe, or met the queue that was there when it began, tells nothing about its end.
        let (counted_from, begins_at) = match learned.probing {
            0 => (Timestamp::ZERO, now),
            before => (now + length_of(before), now + length_of(before)),
        };
        self.window.reopen(counted_from, begins_at + settings.window);
        (from != to).then_some(LimitChange { from, to, reason })
    }

    /// What is known. Torn between two windows, at worst, for others than the one who closes it.
    fn learned(&self) -> Learned {
        let words = core::array::from_fn(|word| self.learned[word].load(Ordering::Relaxed));
        Learned::from_words(words)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn adaptive(change: impl FnOnce(&mut AdaptiveSettings)) -> LimitSettings {
        let mut settings = AdaptiveSettings::default();
        change(&mut settings);
        LimitSettings::Adaptive(settings)
    }

    /// Ten answers a window, with all of the limit in use; gives the last change.
    fn answers(limit: &Limit, took: Duration, seconds: core::ops::Range<u64>) {
        for tenth in seconds.start * 10..seconds.end * 10 {
            let _ = limit.on_answer(took, limit.current(), at(tenth * 100));
        }
    }

    #[test]
    fn a_fixed_limit_stays_what_it_is() {
        let limit = Limit::new(LimitSettings::Fixed(7));
        (0..100).for_each(|second| assert_eq!(limit.on_drop(7, at(second * 1000)), None));
        assert_eq!(limit.current(), 7);
        assert_eq!((limit.view().min, limit.view().max), (7, 7));
    }

    #[test]
    fn a_limit_moves_once_in_a_window_and_says_why() {
        let limit = Limit::new(LimitSettings::default());
        for n in 0..=20 {
            let change = limit.on_answer(ms(5), 10, at(n * 50));
            let expected = LimitChange { from: 20, to: 21, reason: LimitReason::Grown };
            assert_eq!(change, (n == 20).then_some(expected));
        }
    }

    #[test]
    fn an_answer_that_is_too_late_counts_as_dropped() {
        let limit = Limit::new(LimitSettings::default());
        answers(&limit, Duration::from_secs(5), 0..2);
        assert_eq!(limit.current(), 18);
    }

    #[test]
    fn a_low_limit_needs_no_more_samples_than_it_lets_in() {
        let limit = Limit::new(adaptive(|s| (s.min, s.initial) = (1, 1)));
        for second in 0..10 {
            let _ = limit.on_answer(ms(900), 1, at(second * 1000));
        }
        assert!(limit.current() >= 3, "{}", limit.current());
    }

    #[test]
    fn new_bounds_hold_at_once_and_what_was_learned_is_kept() {
        let old = Limit::new(adaptive(|s| s.rule = LimitRule::Gradient(GradientRule::default())));
        answers(&old, ms(80), 0..32);
        assert_eq!(old.current(), 44);
        let gradient = |s: &mut AdaptiveSettings| {
            s.rule = LimitRule::Gradient(GradientRule { queue: 9, ..GradientRule::default() });
        };
        let wider = old.renewed(adaptive(|s| (s.max, _) = (1_000, gradient(s))));
        assert_eq!(wider.current(), 44);
        assert_eq!(wider.view().usual_latency, old.view().usual_latency);
        assert!(wider.view().usual_latency.is_some());
        let lower = old.renewed(adaptive(|s| (s.max, _) = (30, gradient(s))));
        assert_eq!(lower.current(), 30);
        let other_rule = old.renewed(adaptive(|_| {}));
        assert_eq!((other_rule.current(), other_rule.view().usual_latency), (44, None));
        let fixed = old.renewed(LimitSettings::Fixed(3));
        assert_eq!(fixed.current(), 3);
        assert_eq!(fixed.renewed(LimitSettings::default()).current(), 20, "nothing was learned");
    }

    #[test]
    fn the_end_of_time_is_a_time() {
        let limit = Limit::new(LimitSettings::default());
        (0..100).for_each(|_| _ = limit.on_drop(1, Timestamp::MAX));
        assert!((4..=20).contains(&limit.current()));
    }
}
