//! When a breaker opens, for how long, and how it closes again.

use core::time::Duration;

use crate::check::{Check, Problems};
use crate::ratio::Ratio;

/// What an open breaker stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerMode {
    /// Nothing: it only watches. It opens and closes for all to see, and lets everything pass.
    Off,
    /// Retries and failovers to this endpoint; first attempts still go there.
    StopRetries,
    /// Every attempt.
    StopAll,
}

/// When a breaker opens, for how long, and how it closes again.
///
/// Three triggers open it: failures in a row, the share of failures, and the share of slow calls. Each can be
/// switched off, and all of them at once: such a breaker opens by an operator's order alone, which is legal here
/// (a lint of the configuration's check points at it).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// What an open breaker stops. Default: every attempt.
    pub mode: BreakerMode,
    /// Failures in a row that open it. 0 switches this trigger off. Default 5. Too low: single hiccups open it;
    /// too high: a dead endpoint gets that many calls first.
    pub consecutive_failures: u16,
    /// Share of failures in the window that opens it, above 0. Default 50 %; `None` switches this trigger off. Too
    /// low: an endpoint that still serves most calls is lost; too high: calls go on breaking.
    pub failure_ratio: Option<Ratio>,
    /// Share of slow calls in the window that opens it, above 0. Default `None`: off. When it is on, a slow probe
    /// is a failed one: a breaker that opened for slowness doesn't close while the endpoint is slow.
    pub slow_ratio: Option<Ratio>,
    /// From when on a success is slow: the time to the head of the answer. 1 ms to 1 h, default 5 s. A failure is
    /// never slow as well.
    pub slow_after: Duration,
    /// Calls in the window below which the ratios say nothing. 1 to 1,000,000, default 20. Too low: a few calls at
    /// night open it; too high: the ratios never speak.
    pub minimum_calls: u32,
    /// Length of the window, counted in ten exact buckets. 1 s to 5 min, default 10 s. Too short: too few calls to
    /// judge by; too long: an outage is seen late and remembered for long.
    pub window: Duration,
    /// First open time. 10 ms to 1 h, default 5 s. Half of it is sure and half is chance, as with all open times,
    /// so that many clients don't come back at the same moment.
    pub open_for: Duration,
    /// Longest open time; each reopening doubles it, with equal jitter. `open_for` to 24 h, default 300 s.
    pub open_cap: Duration,
    /// Largest number of probes at once while half-open; the ramp is 1, 2, 4, ... up to this. 1 to 255, default 8.
    pub probe_limit: u8,
    /// Probes that must succeed in all before it closes. 1 to 255, default 3. Too low: one lucky call brings all
    /// of the load back; too high: a healthy endpoint waits.
    pub probes_to_close: u8,
    /// How long a half-open breaker waits for news of its probes before those that are out are written off. Each
    /// probe that succeeds starts it anew. 1 s to 10 min, default 30 s. Longer than the attempt's timeout, or slow
    /// probes are written off before they can tell.
    pub half_open_for: Duration,
    /// How long a call waits at most where every breaker is open, for one of them to let it through; all of its waits together,
    /// and within its own deadline. 0 to 1 min, default 1 s; with 0 nobody waits, and no probe goes before its time. Too short: an outage of a moment is felt; too
    /// long: the application is told late that nothing goes.
    pub wait_for: Duration,
    /// Calls that may wait so at once. 0 to 10,000, default 256; lower priorities leave a part of it to higher ones. Too low: calls
    /// are refused that could have waited; too high: they hold memory, and come all at once when it is over.
    pub wait_limit: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            mode: BreakerMode::StopAll,
            consecutive_failures: 5,
            failure_ratio: Some(Ratio::percent(50)),
            slow_ratio: None,
            slow_after: Duration::from_secs(5),
            minimum_calls: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            open_cap: Duration::from_secs(300),
            probe_limit: 8,
            probes_to_close: 3,
            half_open_for: Duration::from_secs(30),
            wait_for: SECOND,
            wait_limit: 256,
        }
    }
}

impl BreakerSettings {
    /// Whether an answer after this time is a slow one.
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        took >= self.slow_after
    }
}

impl Check for BreakerSettings {
    fn check(&self, problems: &mut Problems) {
        self.check_triggers(problems);
        self.check_open(problems);
        self.check_half_open(problems);
    }
}

impl BreakerSettings {
    fn check_triggers(&self, problems: &mut Problems) {
        let above_zero = |ratio: Option<Ratio>| ratio != Some(Ratio::ZERO);
        for (place, ratio) in
            [("failure_ratio", self.failure_ratio), ("slow_ratio", self.slow_ratio)]
        {
            problems.require(above_zero(ratio), place, ratio, "above 0 % to 100 %, or off");
        }
        let slow_after = MILLISECOND..=HOUR;
        let holds = slow_after.contains(&self.slow_after);
        problems.require(holds, "slow_after", self.slow_after, "1ms to 1h");
        let holds = (1..=MINIMUM_CALLS_MAX).contains(&self.minimum_calls);
        problems.require(holds, "minimum_calls", self.minimum_calls, "1 to 1000000");
        let holds = (SECOND..=WINDOW_MAX).contains(&self.window);
        problems.require(holds, "window", self.window, "1s to 5m");
    }

    fn check_open(&self, problems: &mut Problems) {
        let holds = (OPEN_FOR_MIN..=HOUR).contains(&self.open_for);
        problems.require(holds, "open_for", self.open_for, "10ms to 1h");
        let holds = self.open_cap >= self.open_for && self.open_cap <= OPEN_CAP_MAX;
        problems.require(holds, "open_cap", self.open_cap, "open_for to 24h");
    }

    fn check_half_open(&self, problems: &mut Problems) {
        problems.require(self.probe_limit >= 1, "probe_limit", self.probe_limit, "1 to 255");
        let holds = self.probes_to_close >= 1;
        problems.require(holds, "probes_to_close", self.probes_to_close, "1 to 255");
        let holds = (SECOND..=HALF_OPEN_FOR_MAX).contains(&self.half_open_for);
        problems.require(holds, "half_open_for", self.half_open_for, "1s to 10m");
        problems.require(self.wait_for <= WAIT_FOR_MAX, "wait_for", self.wait_for, "0s to 1m");
        let holds = self.wait_limit <= WAIT_LIMIT_MAX;
        problems.require(holds, "wait_limit", self.wait_limit, "0 to 10000");
    }
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// More than this a window of busy buckets doesn't count for sure: one holds about a million calls.
const MINIMUM_CALLS_MAX: u32 = 1_000_000;

/// Beyond five minutes the window would remember an outage for longer than anybody wants to wait.
const WINDOW_MAX: Duration = Duration::from_secs(300);

/// Shorter than this, opening costs more than it saves, and generations would be used up quickly.
const OPEN_FOR_MIN: Duration = Duration::from_millis(10);

/// An endpoint that isn't asked for a day might as well be taken out of the settings.
const OPEN_CAP_MAX: Duration = Duration::from_secs(24 * 3600);

/// Whoever can wait for longer has a use for the outbox.
const WAIT_FOR_MAX: Duration = Duration::from_secs(60);

/// As many as may wait for room.
const WAIT_LIMIT_MAX: u32 = 10_000;

/// The state word's clock for half-open relies on this bound; see `Expiry` there.
pub(super) const HALF_OPEN_FOR_MAX: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use super::*;
    use crate::check::Checked;

    /// Changes the defaults and gives the places of the problems.
    fn places(change: impl FnOnce(&mut BreakerSettings)) -> Vec<String> {
        let mut settings = BreakerSettings::default();
        change(&mut settings);
        match Checked::new(settings) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.into_iter().map(|problem| problem.place).collect(),
        }
    }

    #[test]
    fn the_defaults_keep_their_own_rules() {
        assert!(places(|_| {}).is_empty());
    }

    #[test]
    fn all_triggers_off_is_legal() {
        assert!(
            places(|settings| {
                settings.consecutive_failures = 0;
                settings.failure_ratio = None;
                settings.slow_ratio = None;
            })
            .is_empty()
        );
    }

    #[test]
    fn each_broken_rule_is_named() {
        let zero = Duration::ZERO;
        let found = places(|settings| {
            settings.failure_ratio = Some(Ratio::ZERO);
            settings.slow_ratio = Some(Ratio::ZERO);
            settings.slow_after = zero;
            settings.minimum_calls = 0;
            settings.window = zero;
            settings.open_for = zero;
            settings.open_cap = 2 * OPEN_CAP_MAX;
            settings.probe_limit = 0;
            settings.probes_to_close = 0;
            settings.half_open_for = zero;
            settings.wait_for = 2 * WAIT_FOR_MAX;
            settings.wait_limit = WAIT_LIMIT_MAX + 1;
        });
        let expected = [
            "failure_ratio",
            "slow_ratio",
            "slow_after",
            "minimum_calls",
            "window",
            "open_for",
            "open_cap",
            "probe_limit",
            "probes_to_close",
            "half_open_for",
            "wait_for",
            "wait_limit",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_cap_is_not_below_the_first_open_time() {
        let found = places(|settings| settings.open_cap = settings.open_for / 2);
        assert_eq!(found, ["open_cap"]);
    }
}
