//! What a limit has learned, and how one window changes it.
//!
//! Plain values and whole numbers: the thread that closes a window has them to itself, so nothing here is atomic. AIMD is in
//! this file; the gradient, which remembers more, has its own.

use super::LimitReason;
use super::gradient;
use super::settings::{AdaptiveSettings, LimitRule};
use super::window::Seen;

/// All that an adaptive limit remembers from window to window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// The limit in [`ONE`]ths.
    pub(super) limit: u64,
    /// The long latency, as [`Seen::mean`] has it; 0 before the first window.
    pub(super) long: u64,
    /// Windows that the long latency was made of, counted up to its warm-up.
    pub(super) windows: u32,
    /// Windows in a row that were slow while the limit was in use.
    pub(super) slow_windows: u32,
    /// While the limit is lowered to look at the endpoint without its queue: the latency before that. 0 otherwise.
    pub(super) probing: u64,
}

impl Learned {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit: u64::from(limit) * ONE, ..Self::default() }
    }

    /// The limit that holds now.
    pub(super) fn current(&self, settings: &AdaptiveSettings) -> u32 {
        if self.probing == 0 { settings.bounded(self.whole()) } else { self.lowered(settings) }
    }

    /// Half of the limit, which holds while the endpoint is looked at without its queue.
    pub(super) fn lowered(&self, settings: &AdaptiveSettings) -> u32 {
        settings.bounded(self.whole() / 2)
    }

    /// Takes in a window, and says what it has led to.
    pub(super) fn on_window(&mut self, seen: &Seen, settings: &AdaptiveSettings) -> LimitReason {
        let reason = if seen.too_many_dropped(settings) {
            self.probing = 0;
            self.slow_windows = 0;
            self.limit = settings.backoff.of(self.limit);
            LimitReason::Dropped
        } else {
            match &settings.rule {
                LimitRule::Aimd { .. } if seen.uses(self.whole()) => {
                    self.limit += ONE;
                    LimitReason::Grown
                }
                LimitRule::Aimd { .. } => LimitReason::Unused,
                LimitRule::Gradient(rule) => gradient::follow(self, seen, settings, rule),
            }
        };
        self.bound(settings);
        reason
    }

    /// Moves the limit between the bounds. What is left of one beyond them, in parts of a call, is dropped.
    pub(super) fn bound(&mut self, settings: &AdaptiveSettings) {
        let bounded = settings.bounded(self.whole());
        if bounded != self.whole() {
            self.limit = u64::from(bounded) * ONE;
        }
    }

    pub(super) fn whole(&self) -> u32 {
        u32::try_from(self.limit / ONE).unwrap_or(u32::MAX)
    }

    /// As words that can be stored.
    pub(super) const fn to_words(self) -> [u64; WORDS] {
        let counts = (self.windows as u64) << 32 | self.slow_windows as u64;
        [self.limit, self.long, counts, self.probing]
    }

    pub(super) const fn from_words([limit, long, counts, probing]: [u64; WORDS]) -> Self {
        Self { limit, long, windows: (counts >> 32) as u32, slow_windows: counts as u32, probing }
    }
}

impl Seen {
    fn too_many_dropped(&self, settings: &AdaptiveSettings) -> bool {
        let ended = u64::from(self.answers) + u64::from(self.dropped);
        u64::from(self.dropped) > settings.tolerated_drops.of(ended)
    }

    /// Whether so high a limit was at least half used. If not, it may be wrong without anybody noticing, so it isn't moved.
    pub(super) fn uses(&self, limit: u32) -> bool {
        u64::from(self.most_in_flight) * 2 >= u64::from(limit)
    }
}

/// One call, in the fractions that a limit is kept in.
pub(super) const ONE: u64 = 1 << 16;

/// Words that hold everything.
pub(super) const WORDS: usize = 4;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::ratio::Ratio;

    fn seen(answers: u32, dropped: u32, most_in_flight: u32) -> Seen {
        Seen { mean: Some(1 << 26), answers, dropped, most_in_flight }
    }

    /// The limit after one window, from 20.
    fn after(seen: &Seen) -> (u32, LimitReason) {
        let settings = AdaptiveSettings::default();
        let mut learned = Learned::new(20);
        let reason = learned.on_window(seen, &settings);
        (learned.current(&settings), reason)
    }

    #[test]
    fn one_more_is_let_in_when_half_of_the_limit_was_used() {
        assert_eq!(after(&seen(100, 0, 10)), (21, LimitReason::Grown));
        assert_eq!(after(&seen(100, 0, 9)), (20, LimitReason::Unused));
    }

    #[test]
    fn a_tenth_goes_when_more_calls_are_dropped_than_is_ordinary() {
        assert_eq!(after(&seen(9, 1, 1)), (18, LimitReason::Dropped));
        assert_eq!(after(&seen(98, 2, 20)), (18, LimitReason::Dropped));
        assert_eq!(after(&seen(99, 1, 20)), (21, LimitReason::Grown));
    }

    #[test]
    fn parts_of_a_call_add_up() {
        let settings = AdaptiveSettings { min: 1, ..AdaptiveSettings::default() };
        let mut learned = Learned::new(4);
        let limits = core::array::from_fn(|_| {
            learned.on_window(&seen(0, 10, 4), &settings);
            learned.current(&settings)
        });
        assert_eq!(limits, [3, 3, 2, 2, 2, 2, 1, 1]);
    }

    #[test]
    fn words_hold_everything() {
        let learned =
            Learned { limit: 1 << 40, long: 2 << 40, windows: 3, slow_windows: 4, probing: 5 };
        assert_eq!(Learned::from_words(learned.to_words()), learned);
    }

    #[test]
    fn settings_that_nobody_checked_do_no_harm() {
        let settings = AdaptiveSettings {
            min: 0,
            max: 0,
            backoff: Ratio::ZERO,
            ..AdaptiveSettings::default()
        };
        let mut learned = Learned::new(0);
        learned.on_window(&seen(0, 10, 4), &settings);
        assert_eq!(learned.current(&settings), 1);
    }
}
