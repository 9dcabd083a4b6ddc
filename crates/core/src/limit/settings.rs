//! Which rule a limit follows, and between which bounds.

use core::time::Duration;

use crate::check::{Check, Problems};
use crate::ratio::Ratio;

/// How many calls may be in flight at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitSettings {
    /// So many, whatever is seen. 1 to 100,000.
    Fixed(u32),
    /// As many as the endpoint is seen to take.
    Adaptive(AdaptiveSettings),
}

/// A limit that follows what is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdaptiveSettings {
    /// How it follows. Default: [`LimitRule::Aimd`].
    pub rule: LimitRule,
    /// Never fewer. 1 to `max`, default 4. The rules were published with 20, for servers that see all of their load; a
    /// client sees its own share, and many a small service takes fewer than 20. Too low: one bad minute leaves hardly
    /// any calls through, and it takes `min` to `initial` windows to come back; too high: an overloaded endpoint stays so.
    pub min: u32,
    /// Never more. `min` to 100,000, default 200. Too low: a large endpoint isn't made use of; too high: a limit that was
    /// wrong for long has grown far beyond what the endpoint takes.
    pub max: u32,
    /// At the start. `min` to `max`, default 20. Too low: a slow start; too high: a small endpoint is overrun until the
    /// limit has come down.
    pub initial: u32,
    /// How long samples are gathered before the limit moves once. 100 ms to 1 min, default 1 s. Too short: it follows
    /// noise; too long: it is late.
    pub window: Duration,
    /// Ended calls below which a window stays open. 1 to 1,000, default 10; a limit that is lower needs only as many as it
    /// lets in. Too low: it follows noise; too high: a quiet endpoint's limit never moves.
    pub minimum_samples: u32,
    /// What is left of the limit after a window in which too many calls were dropped. 10 % to 99 %, default 90 %. Too
    /// low: one hiccup halts the traffic; too high: an overload lasts.
    pub backoff: Ratio,
    /// Share of dropped calls in a window that is taken as ordinary. Below 100 %, default 1 %, so that of a busy
    /// endpoint's thousand calls a second one that times out doesn't pull the limit down each second. Too low: that
    /// happens; too high: an overload is seen late.
    pub tolerated_drops: Ratio,
}

/// How an adaptive limit follows what is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitRule {
    /// Additive increase, multiplicative decrease: one more for each window without too many drops in which the limit was
    /// at least half used. Its authors advise it for clients: it needs no idea of what latency is right, and clients that
    /// share an endpoint end up with equal shares (Chiu and Jain, "Analysis of the increase and decrease algorithms for
    /// congestion avoidance", 1989).
    Aimd {
        /// From when on an answer counts as dropped. 1 ms to 1 h, default 5 s; `None`: no answer does. Too low: an endpoint
        /// that is always slow gets `min` calls; too high: one that answers late, but answers, is never spared.
        slow_after: Option<Duration>,
    },
    /// The latency of the last window is set against that of the last minutes.
    Gradient(GradientRule),
}

/// The numbers of the gradient rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GradientRule {
    /// How far one window moves the limit towards what it says. 1 % to 100 %, default 20 %. Too low: it is late; too high:
    /// it swings.
    pub smoothing: Ratio,
    /// Calls that may wait at the endpoint, which is also what the limit grows by while the latency is good. 1 to 1,000,
    /// default 4. Too low: it grows slowly; too high: a small endpoint always has a queue. The rule by itself doesn't take
    /// the limit below twice this.
    pub queue: u32,
    /// Windows over which the long latency is averaged. 10 to 100,000, default 600. Too low: an overload is soon taken for
    /// the usual; too high: a change of the usual is learned late.
    pub long_window: u32,
    /// How much of the long latency the last window's may be before the limit falls. 100 to 1,000, default 150 %. Too low:
    /// ordinary swings pull it down; too high: a queue is noticed late.
    pub tolerance_percent: u16,
}

impl Default for LimitSettings {
    /// Adaptive, by AIMD.
    fn default() -> Self {
        Self::Adaptive(AdaptiveSettings::default())
    }
}

impl Default for AdaptiveSettings {
    fn default() -> Self {
        Self {
            rule: LimitRule::default(),
            min: 4,
            max: 200,
            initial: 20,
            window: SECOND,
            minimum_samples: 10,
            backoff: Ratio::percent(90),
            tolerated_drops: Ratio::percent(1),
        }
    }
}

impl Default for LimitRule {
    fn default() -> Self {
        Self::Aimd { slow_after: Some(5 * SECOND) }
    }
}

impl Default for GradientRule {
    fn default() -> Self {
        Self { smoothing: Ratio::percent(20), queue: 4, long_window: 600, tolerance_percent: 150 }
    }
}

impl LimitSettings {
    pub(super) const fn adaptive(&self) -> Option<&AdaptiveSettings> {
        match self {
            Self::Fixed(_) => None,
            Self::Adaptive(settings) => Some(settings),
        }
    }
}

impl AdaptiveSettings {
    /// `limit`, moved between the bounds. Settings that nobody checked do no harm: at least 1, and `min` wins.
    pub(super) fn bounded(&self, limit: u32) -> u32 {
        limit.min(self.max).max(self.min).clamp(1, LIMIT_MAX)
    }
}

impl Check for LimitSettings {
    fn check(&self, problems: &mut Problems) {
        match self {
            Self::Fixed(limit) => {
                problems.require(within(*limit, 1, LIMIT_MAX), "fixed", limit, "1 to 100000");
            }
            Self::Adaptive(settings) => settings.check(problems),
        }
    }
}

impl Check for AdaptiveSettings {
    fn check(&self, problems: &mut Problems) {
        let Self { min, max, initial, window, minimum_samples, backoff, tolerated_drops, rule } =
            self;
        problems.require(within(*min, 1, *max), "min", min, alloc::format!("1 to max, {max}"));
        problems.require(within(*max, 1, LIMIT_MAX), "max", max, "min to 100000");
        let allowed = alloc::format!("{min} to {max}");
        // Where the bounds are wrong, nothing is between them.
        let holds = min > max || within(*initial, *min, *max);
        problems.require(holds, "initial", initial, allowed);
        problems.require(within(*window, WINDOW_MIN, MINUTE), "window", window, "100ms to 1m");
        let holds = within(*minimum_samples, 1, SAMPLES_MAX);
        problems.require(holds, "minimum_samples", minimum_samples, "1 to 1000");
        let holds = within(*backoff, Ratio::percent(10), Ratio::percent(99));
        problems.require(holds, "backoff", backoff, "10 % to 99 %");
        let holds = *tolerated_drops < Ratio::ONE;
        problems.require(holds, "tolerated_drops", tolerated_drops, "0 % to below 100 %");
        match rule {
            LimitRule::Aimd { slow_after } => {
                let holds = slow_after.is_none_or(|after| within(after, MILLISECOND, HOUR));
                problems.require(holds, "slow_after", slow_after, "1ms to 1h, or off");
            }
            LimitRule::Gradient(rule) => rule.check(problems),
        }
    }
}

impl Check for GradientRule {
    fn check(&self, problems: &mut Problems) {
        let holds = within(self.smoothing, Ratio::percent(1), Ratio::ONE);
        problems.require(holds, "smoothing", self.smoothing, "1 % to 100 %");
        problems.require(within(self.queue, 1, 1_000), "queue", self.queue, "1 to 1000");
        let holds = within(self.long_window, 10, LONG_WINDOW_MAX);
        problems.require(holds, "long_window", self.long_window, "10 to 100000");
        let holds = within(self.tolerance_percent, 100, 1_000);
        problems.require(holds, "tolerance_percent", self.tolerance_percent, "100 to 1000");
    }
}

fn within<T: PartialOrd>(value: T, least: T, most: T) -> bool {
    value >= least && value <= most
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Shorter windows hold too few calls to tell a queue from noise.
const WINDOW_MIN: Duration = Duration::from_millis(100);

/// More calls than one host can have open to one address: its ports are fewer.
pub(super) const LIMIT_MAX: u32 = 100_000;

/// More samples tell no more of a mean, and a window has to close some time.
const SAMPLES_MAX: u32 = 1_000;

/// A day of windows of a second.
const LONG_WINDOW_MAX: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;
    use std::string::String;
    use std::vec::Vec;

    fn places(settings: LimitSettings) -> Vec<String> {
        let problems = Checked::new(settings).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.place).collect()
    }

    fn adaptive(change: impl FnOnce(&mut AdaptiveSettings)) -> Vec<String> {
        let mut settings = AdaptiveSettings::default();
        change(&mut settings);
        places(LimitSettings::Adaptive(settings))
    }

    #[test]
    fn the_defaults_of_each_rule_are_within_their_own_rules() {
        assert!(places(LimitSettings::default()).is_empty());
        assert!(adaptive(|s| s.rule = LimitRule::Gradient(GradientRule::default())).is_empty());
    }

    #[test]
    fn a_fixed_limit_lets_somebody_in() {
        assert_eq!(places(LimitSettings::Fixed(0)), ["fixed"]);
        assert_eq!(places(LimitSettings::Fixed(1)), [""; 0]);
        assert_eq!(places(LimitSettings::Fixed(100_001)), ["fixed"]);
    }

    #[test]
    fn the_bounds_stand_in_their_order() {
        assert_eq!(adaptive(|s| s.min = 0), ["min"]);
        assert_eq!(adaptive(|s| s.initial = 3), ["initial"]);
        assert_eq!(adaptive(|s| s.initial = 201), ["initial"]);
        assert_eq!(adaptive(|s| (s.min, s.max, s.initial) = (9, 9, 9)), [""; 0]);
        assert_eq!(adaptive(|s| (s.min, s.max, s.initial) = (9, 8, 8)), ["min"]);
        assert_eq!(adaptive(|s| s.max = 100_001), ["max"]);
    }

    #[test]
    fn each_broken_rule_is_named() {
        let found = adaptive(|s| {
            s.window = MILLISECOND;
            s.minimum_samples = 0;
            s.backoff = Ratio::ONE;
            s.tolerated_drops = Ratio::ONE;
            s.rule = LimitRule::Aimd { slow_after: Some(Duration::ZERO) };
        });
        let expected = ["window", "minimum_samples", "backoff", "tolerated_drops", "slow_after"];
        assert_eq!(found, expected);
        let found = adaptive(|s| {
            s.rule = LimitRule::Gradient(GradientRule {
                smoothing: Ratio::ZERO,
                queue: 0,
                long_window: 9,
                tolerance_percent: 99,
            });
        });
        assert_eq!(found, ["smoothing", "queue", "long_window", "tolerance_percent"]);
    }
}
