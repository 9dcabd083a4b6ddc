//! Backoff: how long to wait before the next attempt.
//!
//! Growth gives a peer in trouble more room at each try, and jitter keeps clients that failed together from coming
//! back together. The four jitters are those of Brooker's "Exponential Backoff And Jitter" (AWS architecture blog,
//! 2015), which finds that full jitter costs the fewest calls. As in the AWS retry guidance 2.1 the cap comes
//! before the jitter: drawn from a capped range, waits still spread; capped after the draw, they would meet at the
//! cap. After a hint of the peer (`Retry-After`) the jitter goes on top, since a hint is given to many at once.
//!
//! Chance is an argument and nothing is remembered: the caller keeps the last wait.

use core::time::Duration;

use crate::chance::Chance;
use crate::check::{Check, Problems};
use crate::time::nanos;

/// How the wait grows from attempt to attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// base, base × factor, base × factor², ...; the factor in hundredths (200 is 2.0), 100 to 1000.
    Exponential {
        /// Hundredths.
        factor_percent: u16,
    },
    /// base, 2 × base, 3 × base, ...
    Linear,
    /// base, base, base, ...
    Constant,
}

/// How the wait is spread, so that clients don't come back together (AWS architecture blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Jitter {
    /// None. For tests; a fleet without jitter comes back as one.
    None,
    /// Uniform from 0 to the wait.
    Full,
    /// Half of the wait, and uniform from 0 to the other half.
    Equal,
    /// Uniform from base to three times the last wait (of base if there was none); the cap cuts the range before the
    /// draw. The growth is then left out of account.
    Decorrelated,
}

/// How long to wait between attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackoffSettings {
    /// Default exponential, × 2.
    pub growth: Growth,
    /// First wait before jitter. 1 ms to 60 s, default 50 ms.
    pub base: Duration,
    /// Longest wait; applied before jitter, so that capped waits still spread. At least base, at most 1 h, default
    /// 20 s.
    pub cap: Duration,
    /// Default full.
    pub jitter: Jitter,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self {
            growth: Growth::Exponential { factor_percent: 200 },
            base: Duration::from_millis(50),
            cap: Duration::from_secs(20),
            jitter: Jitter::Full,
        }
    }
}

impl Check for BackoffSettings {
    fn check(&self, problems: &mut Problems) {
        let base = BASE_LEAST..=BASE_MOST;
        problems.require(base.contains(&self.base), "base", self.base, "1ms to 1m");
        let cap = self.base..=CAP_MOST;
        problems.require(cap.contains(&self.cap), "cap", self.cap, "base to 1h");
        if let Growth::Exponential { factor_percent } = self.growth {
            let factor = 100..=1_000;
            problems.require(
                factor.contains(&factor_percent),
                "factor_percent",
                factor_percent,
                "100 to 1000",
            );
        }
    }
}

/// The wait before retry number `retry` (1 is the first), given the wait before the last one (zero if none).
///
/// Whole nanoseconds throughout, and a step that would overflow stops at the cap, so each input has an answer.
#[must_use]
pub fn wait(
    settings: &BackoffSettings,
    retry: u8,
    last: Duration,
    chance: &mut Chance,
) -> Duration {
    match settings.jitter {
        Jitter::None => grown(settings, retry),
        Jitter::Full => chance.up_to(grown(settings, retry)),
        Jitter::Equal => {
            let whole = grown(settings, retry);
            let half = whole / 2;
            half + chance.up_to(whole - half)
        }
        Jitter::Decorrelated => decorrelated(settings, last, chance),
    }
}

/// The wait after a hint of the peer: never shorter than `hint` or `own`, with up to a tenth of it (at least 10 ms,
/// at most 5 s) of jitter on top, so that those who were told the same don't come back together.
#[must_use]
pub fn wait_after_hint(hint: Duration, own: Duration, chance: &mut Chance) -> Duration {
    let least = hint.max(own);
    let spread = (least / 10).clamp(SPREAD_LEAST, SPREAD_MOST);
    least.saturating_add(chance.up_to(spread))
}

/// The wait before jitter, capped.
fn grown(settings: &BackoffSettings, retry: u8) -> Duration {
    let (base, cap) = (nanos(settings.base), nanos(settings.cap));
    let times = u64::from(retry.max(1));
    let wait = match settings.growth {
        Growth::Exponential { factor_percent } => powered(base, factor_percent, times - 1, cap),
        Growth::Linear => base.saturating_mul(times),
        Growth::Constant => base,
    };
    Duration::from_nanos(wait.min(cap))
}

/// `base` multiplied by the factor `steps` times, until it passes `cap`.
fn powered(base: u64, factor_percent: u16, steps: u64, cap: u64) -> u64 {
    let mut wait = base;
    for _ in 0..steps {
        if wait >= cap {
            break;
        }
        let next = u128::from(wait) * u128::from(factor_percent) / 100;
        wait = u64::try_from(next).unwrap_or(u64::MAX);
    }
    wait
}

/// AWS's form, but with the cap on the range and not on what is drawn from it, or the capped would come together.
fn decorrelated(settings: &BackoffSettings, last: Duration, chance: &mut Chance) -> Duration {
    let least = settings.base.min(settings.cap);
    let most = last.max(settings.base).saturating_mul(3).min(settings.cap);
    least + chance.up_to(most - least)
}

/// A wait below a millisecond is no wait for a peer in trouble.
const BASE_LEAST: Duration = Duration::from_millis(1);

/// Whoever starts with more than a minute wants the outbox, not a retry.
const BASE_MOST: Duration = Duration::from_secs(60);

/// As the base; the outbox waits this long between deliveries.
const CAP_MOST: Duration = Duration::from_secs(60 * 60);

/// Least jitter after a hint: a hint of zero must not bring everybody back at once.
const SPREAD_LEAST: Duration = Duration::from_millis(10);

/// Most jitter after a hint, by which AWS bounds what it adds to a hint as well (retry guidance 2.1).
const SPREAD_MOST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn problems(change: impl FnOnce(&mut BackoffSettings)) -> Vec<String> {
        let mut settings = BackoffSettings::default();
        change(&mut settings);
        let problems = Checked::new(settings).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.place).collect()
    }

    /// The first waits of a growth without jitter, in milliseconds.
    fn waits(growth: Growth) -> Vec<u128> {
        let settings =
            BackoffSettings { growth, cap: ms(1_000), jitter: Jitter::None, ..Default::default() };
        let mut chance = Chance::from_seed(1);
        (1..=7).map(|n| wait(&settings, n, Duration::ZERO, &mut chance).as_millis()).collect()
    }

    #[test]
    fn the_defaults_are_within_their_own_rules() {
        assert!(problems(|_| {}).is_empty());
    }

    #[test]
    fn both_bounds_of_each_setting_hold() {
        let nano = Duration::from_nanos(1);
        let factor = |factor_percent| Growth::Exponential { factor_percent };
        assert_eq!(problems(|s| s.base = ms(1)), [""; 0]);
        assert_eq!(problems(|s| s.base = ms(1) - nano), ["base"]);
        assert_eq!(problems(|s| (s.base, s.cap) = (ms(60_000), ms(60_000))), [""; 0]);
        assert_eq!(problems(|s| (s.base, s.cap) = (ms(60_000) + nano, ms(70_000))), ["base"]);
        assert_eq!(problems(|s| s.cap = s.base - nano), ["cap"]);
        assert_eq!(problems(|s| s.cap = ms(3_600_000)), [""; 0]);
        assert_eq!(problems(|s| s.cap = ms(3_600_000) + nano), ["cap"]);
        assert_eq!(problems(|s| s.growth = factor(99)), ["factor_percent"]);
        assert_eq!(problems(|s| s.growth = factor(100)), [""; 0]);
        assert_eq!(problems(|s| s.growth = factor(1_000)), [""; 0]);
        assert_eq!(problems(|s| s.growth = factor(1_001)), ["factor_percent"]);
    }

    #[test]
    fn each_growth_grows_as_its_name_says_up_to_the_cap() {
        let doubling = Growth::Exponential { factor_percent: 200 };
        assert_eq!(waits(doubling), [50, 100, 200, 400, 800, 1_000, 1_000]);
        let by_half = Growth::Exponential { factor_percent: 150 };
        assert_eq!(waits(by_half), [50, 75, 112, 168, 253, 379, 569]);
        assert_eq!(waits(Growth::Linear), [50, 100, 150, 200, 250, 300, 350]);
        assert_eq!(waits(Growth::Constant), [50; 7]);
    }

    #[test]
    fn the_cap_comes_before_the_jitter() {
        let settings = BackoffSettings { cap: ms(100), ..Default::default() };
        let mut chance = Chance::from_seed(1);
        let at_cap = (0..1_000)
            .filter(|_| wait(&settings, 10, Duration::ZERO, &mut chance) == ms(100))
            .count();
        assert!(at_cap < 5, "{at_cap} of 1000 waits at the cap: they come back together");
    }

    #[test]
    fn a_hint_is_kept_and_spread() {
        let mut chance = Chance::from_seed(1);
        for (hint, own, least, most) in [
            (0, 0, 0, 10),
            (0, 50, 50, 60),
            (1_000, 50, 1_000, 1_100),
            (50, 1_000, 1_000, 1_100),
            (86_400_000, 50, 86_400_000, 86_405_000),
        ] {
            for _ in 0..100 {
                let wait = wait_after_hint(ms(hint), ms(own), &mut chance);
                assert!((ms(least)..=ms(most)).contains(&wait), "{hint} ms hint: {wait:?}");
            }
        }
        assert_eq!(wait_after_hint(Duration::MAX, Duration::ZERO, &mut chance), Duration::MAX);
    }
}
