//! When a stored write is tried again, and when no more.

use core::time::Duration;

use super::WallTime;
use crate::chance::Chance;
use crate::check::{Check, Problems};
use crate::retry::backoff::{self, BackoffSettings, Growth, Jitter};

/// How long, how often and at what distances a stored write is tried. Finite by type: there is no value for "for ever".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleSettings {
    /// Wait after the first call that failed, before jitter; it doubles with each. 100 ms to 1 h, default 5 s. Too low: an API in
    /// trouble gets more of it; too high: short outages cost more than they must.
    pub base: Duration,
    /// Longest wait, before jitter. At least base, at most 24 h, default 1 h. Too low: load for an API that is down for long; too
    /// high: a write arrives long after the API is back.
    pub cap: Duration,
    /// Calls, the first included. 1 to 1,000, default 100.
    pub max_calls: u16,
    /// How old a write may become before it is given up. 1 s to 30 days, default 3 days. Too low: an outage over a weekend
    /// makes dead letters; too high: what nobody wants any more is still delivered.
    pub max_age: Duration,
}

impl Default for ScheduleSettings {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(5),
            cap: HOUR,
            max_calls: 100,
            max_age: Duration::from_secs(3 * DAY_SECONDS),
        }
    }
}

impl Check for ScheduleSettings {
    fn check(&self, problems: &mut Problems) {
        let base = Duration::from_millis(100)..=HOUR;
        problems.require(base.contains(&self.base), "base", self.base, "100ms to 1h");
        let cap = self.base..=Duration::from_secs(DAY_SECONDS);
        problems.require(cap.contains(&self.cap), "cap", self.cap, "base to 24h");
        let calls = 1..=1_000;
        problems.require(calls.contains(&self.max_calls), "max_calls", self.max_calls, "1 to 1000");
        let age = Duration::from_secs(1)..=Duration::from_secs(30 * DAY_SECONDS);
        problems.require(age.contains(&self.max_age), "max_age", self.max_age, "1s to 30 days");
    }
}

impl ScheduleSettings {
    /// The wait after this many calls that failed, none of which brought a hint.
    ///
    /// Half of it is fixed and half is chance ("equal jitter", Brooker, AWS architecture blog, 2015): a write that waits for an
    /// hour shouldn't come back at once, as full jitter would have it now and then.
    #[must_use]
    pub fn wait(&self, calls: u16, chance: &mut Chance) -> Duration {
        let settings = BackoffSettings {
            growth: Growth::Exponential { factor_percent: 200 },
            base: self.base,
            cap: self.cap,
            jitter: Jitter::Equal,
        };
        // The cap is reached long before the count ends.
        let retry = u8::try_from(calls).unwrap_or(u8::MAX);
        backoff::wait(&settings, retry, Duration::ZERO, chance)
    }
}

/// When a write is tried for the first time that has just been tried directly: as after any call that failed.
#[must_use]
pub fn first_due(
    settings: &ScheduleSettings,
    hint: Option<Duration>,
    now: WallTime,
    chance: &mut Chance,
) -> WallTime {
    let own = settings.wait(1, chance);
    now.after(hint.map_or(own, |hint| backoff::wait_after_hint(hint, own, chance)))
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY_SECONDS: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checked;

    #[test]
    fn the_defaults_are_within_their_own_rules() {
        assert!(Checked::new(ScheduleSettings::default()).is_ok());
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let settings = ScheduleSettings {
            base: Duration::from_secs(60),
            cap: Duration::from_secs(1),
            max_calls: 0,
            max_age: Duration::from_secs(31 * DAY_SECONDS),
        };
        let problems = Checked::new(settings).expect_err("three are wrong");
        let places: alloc::vec::Vec<_> = problems.iter().map(|one| one.place.as_str()).collect();
        assert_eq!(places, ["cap", "max_calls", "max_age"]);
    }

    #[test]
    fn waits_double_up_to_the_cap_and_are_never_below_half() {
        let settings = ScheduleSettings::default();
        let mut chance = Chance::from_seed(1);
        for (calls, whole) in [(1, 5), (2, 10), (3, 20), (10, 2560), (11, 3600), (1000, 3600)] {
            for _ in 0..100 {
                let wait = settings.wait(calls, &mut chance);
                let whole = Duration::from_secs(whole);
                assert!((whole / 2..=whole).contains(&wait), "{calls}: {wait:?}");
            }
        }
    }

    #[test]
    fn a_hint_is_never_undercut() {
        let (settings, mut chance) = (ScheduleSettings::default(), Chance::from_seed(1));
        let hint = Duration::from_secs(3 * 60 * 60);
        let due = first_due(&settings, Some(hint), WallTime(1000), &mut chance);
        assert!(due.since(WallTime(1000)) >= hint);
    }
}
