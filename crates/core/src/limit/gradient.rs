//! The gradient rule: a window that is slower than the last minutes were tells of a queue, and the limit falls.
//!
//! It is `Gradient2Limit` of Netflix's concurrency-limits, by its published numbers:
//!
//! ```text
//!   gradient = tolerance × long latency / latency of the window, between 0.5 and 1
//!   limit    = limit × (1 − smoothing) + (limit × gradient + queue) × smoothing
//! ```
//!
//! The limit stands still while less than half of it is used, and a long latency that is more than twice that of the window is
//! taken down by 5 % each window, so that an outage isn't the measure for long. An endpoint that works on N calls at once
//! is given `tolerance` × N + `queue`.
//!
//! One thing differs. There, each window goes into the long latency, also those whose latency is the limit's own doing: under
//! lasting load the queue becomes the usual, and the limit doubles every seven minutes up to its maximum. And where the
//! limit is too high from the start, the first latency is taken for the usual as well. Here, windows that are slow while the
//! limit is in use are left out. After a minute of those the limit is halved for a moment: if calls get
//! faster, it was our queue, and their latency without it is what is known of the endpoint; if they don't, the endpoint has
//! become slow, and that is its usual latency from then on. (BBR finds a path's round trip in the same way: Cardwell and
//! others, "BBR: congestion-based congestion control", ACM Queue 14(5), 2016.)

use super::LimitReason;
use super::learned::{Learned, ONE};
use super::settings::{AdaptiveSettings, GradientRule};
use super::window::Seen;

/// Takes in a window without too many drops.
pub(super) fn follow(
    learned: &mut Learned,
    seen: &Seen,
    settings: &AdaptiveSettings,
    rule: &GradientRule,
) -> LimitReason {
    let Some(short) = seen.mean else { return LimitReason::Unused };
    if learned.probing != 0 {
        let lowered = learned.lowered(settings);
        let before = core::mem::take(&mut learned.probing);
        if seen.uses(lowered) {
            learn_from_probe(learned, before, short);
        }
        return LimitReason::Probed;
    }
    let limit = learned.whole();
    let used = seen.uses(limit);
    // A limit that can't be halved can't be probed; there, the queue is as short as it may be.
    let can_probe = u64::from(learned.lowered(settings)) * 4 <= u64::from(limit) * 3;
    if used && can_probe && rule.is_slow(learned, short) {
        learned.slow_windows += 1;
    } else {
        learned.slow_windows = 0;
        average(learned, short, rule);
    }
    if learned.long > short.saturating_mul(2) {
        learned.long -= learned.long / 20;
    }
    if !used {
        return LimitReason::Unused;
    }
    if learned.slow_windows >= PROBE_AFTER {
        learned.slow_windows = 0;
        learned.probing = short.max(1);
        return LimitReason::Probing;
    }
    step(learned, short, rule)
}

/// Moves the limit towards what the gradient says.
fn step(learned: &mut Learned, short: u64, rule: &GradientRule) -> LimitReason {
    let gradient = rule.gradient(learned.long, short);
    let target = scaled(learned.limit, gradient) + u64::from(rule.queue) * ONE;
    if target >= learned.limit {
        learned.limit += rule.smoothing.of(target - learned.limit);
        LimitReason::Grown
    } else {
        learned.limit -= rule.smoothing.of(learned.limit - target);
        LimitReason::Slow
    }
}

/// What calls took with half as many in flight, against what they took before.
fn learn_from_probe(learned: &mut Learned, before: u64, short: u64) {
    let faster = short.saturating_mul(5) < before.saturating_mul(4);
    learned.long = if faster { learned.long.min(short) } else { short.min(before) };
}

/// The exponential moving average; a plain mean while it warms up.
fn average(learned: &mut Learned, short: u64, rule: &GradientRule) {
    learned.windows = (learned.windows + 1).min(WARM_UP + 1);
    let (part, whole) = if learned.windows > WARM_UP {
        (2, u64::from(rule.long_window) + 1)
    } else {
        (1, u64::from(learned.windows))
    };
    let share = |difference: u64| (u128::from(difference) * part / u128::from(whole)) as u64;
    if short >= learned.long {
        learned.long += share(short - learned.long);
    } else {
        learned.long -= share(learned.long - short);
    }
}

impl GradientRule {
    /// In [`ONE`]ths, from a half to one.
    fn gradient(&self, long: u64, short: u64) -> u64 {
        let tolerated = u128::from(long) * u128::from(self.tolerance_percent) * u128::from(ONE);
        let gradient = tolerated / (100 * u128::from(short.max(1)));
        gradient.clamp(u128::from(ONE / 2), u128::from(ONE)) as u64
    }

    /// Whether the window took more than half of the tolerance. Less than all of it, since the limit comes to rest where the
    /// tolerance is just used up, and half of the windows there are below it.
    fn is_slow(&self, learned: &Learned, short: u64) -> bool {
        let percent = 100 + (u128::from(self.tolerance_percent).max(100) - 100) / 2;
        learned.windows > 0 && u128::from(short) * 100 > u128::from(learned.long) * percent
    }
}

fn scaled(limit: u64, gradient: u64) -> u64 {
    ((u128::from(limit) * u128::from(gradient)) / u128::from(ONE)) as u64
}

/// Windows of which the long latency is a plain mean, at the start.
const WARM_UP: u32 = 10;

/// A minute at the default window. A probe costs about two windows of half the calls: under lasting load that is less than 2 %.
const PROBE_AFTER: u32 = 60;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const MS: u64 = 1000 << 16;

    struct World {
        settings: AdaptiveSettings,
        rule: GradientRule,
        learned: Learned,
    }

    impl World {
        fn new(limit: u32) -> Self {
            let settings = AdaptiveSettings { initial: limit, ..AdaptiveSettings::default() };
            Self { settings, rule: GradientRule::default(), learned: Learned::new(limit) }
        }

        fn window(&mut self, mean: u64, most_in_flight: u32) -> LimitReason {
            let seen = Seen { mean: Some(mean), answers: 100, dropped: 0, most_in_flight };
            follow(&mut self.learned, &seen, &self.settings, &self.rule)
        }
    }

    #[test]
    fn a_steady_latency_lets_the_limit_grow_by_a_share_of_the_queue() {
        let mut world = World::new(20);
        assert_eq!(world.window(100 * MS, 20), LimitReason::Grown);
        assert_eq!(world.learned.limit, 20 * ONE + 8 * ONE / 10);
    }

    #[test]
    fn a_limit_that_is_less_than_half_used_stands_still_at_any_latency() {
        let mut world = World::new(20);
        assert_eq!(world.window(100 * MS, 9), LimitReason::Unused);
        assert_eq!(world.window(900 * MS, 9), LimitReason::Unused);
        assert_eq!(world.learned.limit, 20 * ONE);
    }

    #[test]
    fn the_gradient_is_between_a_half_and_one() {
        let rule = GradientRule::default();
        assert_eq!(rule.gradient(100 * MS, 150 * MS), ONE);
        assert_eq!(rule.gradient(100 * MS, 10 * MS), ONE);
        assert_eq!(rule.gradient(100 * MS, 200 * MS), ONE * 3 / 4);
        assert_eq!(rule.gradient(100 * MS, 9_000 * MS), ONE / 2);
    }

    #[test]
    fn a_slow_window_takes_the_limit_down() {
        let mut world = World::new(100);
        world.window(100 * MS, 10);
        assert_eq!(world.window(200 * MS, 100), LimitReason::Slow);
        // 100 × 0.75 + 4 = 79; a fifth of the way there.
        assert!(world.learned.limit.abs_diff(958 * ONE / 10) < ONE / 100);
    }

    #[test]
    fn the_long_latency_warms_up_as_a_mean_and_then_follows_slowly() {
        let mut world = World::new(20);
        for mean in [100, 200, 300] {
            world.window(mean * MS, 1);
        }
        assert_eq!(world.learned.long, 200 * MS);
        (0..7).for_each(|_| assert_eq!(world.window(200 * MS, 1), LimitReason::Unused));
        world.window(801 * MS, 1);
        assert_eq!(world.learned.long, 202 * MS, "2 of 601 parts of the way");
    }

    #[test]
    fn a_long_latency_of_more_than_twice_the_last_falls_by_a_twentieth() {
        let mut world = World::new(20);
        (0..20).for_each(|_| assert_eq!(world.window(1000 * MS, 1), LimitReason::Unused));
        let windows = (0..).take_while(|_| {
            world.window(100 * MS, 1);
            world.learned.long > 200 * MS
        });
        assert!((25..=31).contains(&windows.count()));
    }

    #[test]
    fn after_a_minute_of_slow_windows_the_limit_is_halved_to_look_at_the_endpoint() {
        let probe = |then: u64| {
            let mut world = World::new(100);
            world.window(100 * MS, 10);
            let before = (0..).take_while(|_| world.window(160 * MS, 100) != LimitReason::Probing);
            assert_eq!(before.count(), 59);
            let limit = world.learned.whole();
            assert_eq!(world.learned.current(&world.settings), limit / 2);
            assert_eq!(world.window(then * MS, limit / 2), LimitReason::Probed);
            assert_eq!(world.learned.current(&world.settings), limit, "back again");
            world.learned.long / MS
        };
        assert_eq!(probe(100), 100, "it was our queue");
        assert_eq!(probe(80), 80, "it was more of a queue than was known");
        assert_eq!(probe(158), 158, "the endpoint has become slow");
    }

    #[test]
    fn a_probe_that_nobody_used_says_nothing() {
        let mut world = World::new(100);
        world.window(100 * MS, 10);
        while world.window(160 * MS, 100) != LimitReason::Probing {}
        assert_eq!(world.window(160 * MS, 3), LimitReason::Probed);
        assert_eq!(world.learned.long, 100 * MS);
    }
}
