//! Searches a policy's few important numbers in a world.
//!
//! Four numbers matter most: how long an attempt may take, how many extra attempts there may be, how many failures in a
//! row open a breaker, and when a call is hedged. A small grid of them is tried, each with several seeds, and what is left is the Pareto
//! front: the settings that nothing beats in success, latency and extra load at once. Which of them is right is a
//! question of taste, so it isn't answered here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::call::{HedgeAfter, HedgeSettings};
use mainstay_core::upstream::Percentile;
use mainstay_core::{CallPolicy, Checked, Ratio};

use crate::{Checks, Policy, PolicyError, Report, Simulation, World};

/// The numbers that are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Knobs {
    /// From an attempt's start to the head of its answer.
    pub attempt_timeout: Duration,
    /// Extra attempts, as a share of the calls.
    pub ceiling: Ratio,
    /// Failures in a row that open a breaker.
    pub consecutive_failures: u16,
    /// When a second attempt is made beside the first; `None`: never.
    pub hedge: Option<HedgeAfter>,
}

/// What some numbers come to, over all seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Which numbers.
    pub knobs: Knobs,
    /// Calls.
    pub calls: u64,
    /// Calls that got a good answer.
    pub good: u64,
    /// Extra attempts.
    pub extra: u64,
    /// The mean of the seeds' 99th percentiles.
    pub p99: Duration,
    /// Whether the trouble stayed, with any seed.
    pub is_metastable: bool,
    /// Rules of the engine that were broken.
    pub violations: u64,
}

impl Knobs {
    /// Those of a policy; its reads' where they differ.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self {
            attempt_timeout: policy.reads.attempt_timeout,
            ceiling: policy.upstream.budget.ceiling,
            consecutive_failures: policy.upstream.breaker.consecutive_failures,
            hedge: policy.reads.hedge.map(|hedge| hedge.after),
        }
    }

    /// The grid that is searched around a policy: its own numbers first.
    #[must_use]
    pub fn grid(policy: &Policy) -> Vec<Self> {
        let own = Self::of(policy);
        let total = policy.reads.total_timeout.min(policy.writes.total_timeout);
        let mut grid = vec![own];
        for attempt_timeout in TIMEOUTS.map(Duration::from_millis) {
            for ceiling in CEILINGS.map(Ratio::percent) {
                for (consecutive_failures, hedge) in failures_and_hedges() {
                    let knobs = Self { attempt_timeout, ceiling, consecutive_failures, hedge };
                    if attempt_timeout <= total && knobs != own {
                        grid.push(knobs);
                    }
                }
            }
        }
        grid
    }

    /// A policy with these numbers.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Rules`], when they break one together with the rest of it.
    pub fn put_into(self, policy: &Policy) -> Result<Policy, PolicyError> {
        let mut upstream = policy.upstream.clone().into_inner();
        upstream.budget.ceiling = self.ceiling;
        upstream.breaker.consecutive_failures = self.consecutive_failures;
        let with = |call: &Arc<Checked<CallPolicy>>| {
            let hedge =
                self.hedge.map(|after| HedgeSettings { after, ..call.hedge.unwrap_or_default() });
            let attempt_timeout = self.attempt_timeout;
            let call = CallPolicy { attempt_timeout, hedge, ..(***call).clone() };
            Checked::new(call).map(Arc::new).map_err(PolicyError::Rules)
        };
        Ok(Policy {
            upstream: Checked::new(upstream).map_err(PolicyError::Rules)?,
            reads: with(&policy.reads)?,
            writes: with(&policy.writes)?,
            ..policy.clone()
        })
    }

    /// Tries them in a world, with so many seeds from the world's own on.
    ///
    /// # Errors
    ///
    /// As [`Knobs::put_into`].
    pub fn try_in(self, world: &World, policy: &Policy, seeds: u32) -> Result<Trial, PolicyError> {
        let policy = self.put_into(policy)?;
        let reports: Vec<Report> = (0..u64::from(seeds.max(1)))
            .map(|more| {
                let world = World { seed: world.seed.wrapping_add(more), ..world.clone() };
                Simulation::new(&world, &policy, Checks::Often).run()
            })
            .collect();
        let sum = |value: &dyn Fn(&Report) -> u64| reports.iter().map(value).sum();
        let p99: Duration = reports.iter().map(|report| report.latency.p99).sum();
        Ok(Trial {
            knobs: self,
            calls: sum(&|report| report.calls),
            good: sum(&|report| report.good),
            extra: sum(&|report| report.extra_attempts),
            p99: p99 / seeds.max(1),
            is_metastable: reports.iter().any(|report| report.verdict.is_metastable),
            violations: sum(&|report| report.violations.0),
        })
    }
}

impl Trial {
    /// Calls in a hundred that got a good answer.
    #[must_use]
    pub fn success_percent(&self) -> f64 {
        self.good as f64 * 100.0 / self.calls.max(1) as f64
    }

    /// Extra attempts per hundred calls.
    #[must_use]
    pub fn extra_percent(&self) -> f64 {
        self.extra as f64 * 100.0 / self.calls.max(1) as f64
    }

    /// Failed calls, latency and extra load, the less the better; in steps below which a difference is chance.
    fn costs(&self) -> [u64; 3] {
        let each = |part: u64, steps: u64| {
            let all = u128::from(self.calls.max(1));
            u64::try_from(u128::from(part) * u128::from(steps) / all).unwrap_or(u64::MAX)
        };
        let bad = each(self.calls - self.good.min(self.calls), SUCCESS_STEPS);
        // Two per cent of itself: a bit more than what percentiles are off by.
        let micros = u64::try_from(self.p99.as_micros()).unwrap_or(u64::MAX).max(1);
        let latency = (crate::exact::ln(micros as f64) * LATENCY_STEPS) as u64;
        [bad, latency, each(self.extra, EXTRA_STEPS)]
    }

    /// Whether it is as good in everything, and better in something.
    fn beats(&self, other: &Self) -> bool {
        if self.is_metastable != other.is_metastable {
            return other.is_metastable;
        }
        let (ours, theirs) = (self.costs(), other.costs());
        ours != theirs && ours.iter().zip(theirs).all(|(ours, theirs)| *ours <= theirs)
    }
}

/// The trials that nothing beats, the most successful first; of those that come to the same, the first that was tried.
///
/// Those that lose a call in a hundred more than the most successful one are left out: whoever answers only what is
/// quick looks quick, and nobody wants it.
#[must_use]
pub fn front(trials: &[Trial]) -> Vec<Trial> {
    let failed = |trial: &Trial| trial.costs()[0];
    let steady = trials.iter().filter(|trial| !trial.is_metastable);
    let least = steady.map(failed).min().unwrap_or_default();
    let mut front: Vec<Trial> = Vec::new();
    for trial in trials.iter().filter(|trial| failed(trial) <= least + SUCCESS_STEPS / 100) {
        let is_new = front.iter().all(|other| other.costs() != trial.costs());
        if is_new && !trials.iter().any(|other| other.beats(trial)) {
            front.push(*trial);
        }
    }
    front.sort_by_key(Trial::costs);
    front
}

impl fmt::Display for Knobs {
    /// As lines of a config, below `[upstream.NAME]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.attempt_timeout.as_millis();
        let (length, unit) =
            if millis.is_multiple_of(1000) { (millis / 1000, "s") } else { (millis, "ms") };
        writeln!(f, "attempt_timeout = \"{length}{unit}\"")?;
        writeln!(f, "budget.ceiling = {}", f64::from(self.ceiling.parts()) / 1e4)?;
        writeln!(f, "breaker.consecutive_failures = {}", self.consecutive_failures)?;
        match self.hedge {
            None => Ok(()),
            Some(HedgeAfter::Percentile(percentile)) => {
                writeln!(f, "hedge.after = \"{}\"", percentile.code())
            }
            Some(HedgeAfter::Fixed(after)) => {
                writeln!(f, "hedge.after = \"{}ms\"", after.as_micros() as f64 / 1e3)
            }
        }
    }
}

fn failures_and_hedges() -> impl Iterator<Item = (u16, Option<HedgeAfter>)> {
    FAILURES.into_iter().flat_map(|failures| HEDGES.map(|hedge| (failures, hedge)))
}

const TIMEOUTS: [u64; 5] = [250, 500, 1_000, 2_000, 10_000];

const CEILINGS: [u16; 3] = [5, 20, 40];

const FAILURES: [u16; 3] = [3, 5, 30];

const HEDGES: [Option<HedgeAfter>; 3] = [
    None,
    Some(HedgeAfter::Percentile(Percentile::P99)),
    Some(HedgeAfter::Percentile(Percentile::P95)),
];

/// A hundredth of a per cent.
const SUCCESS_STEPS: u64 = 10_000;

/// A tenth of a per cent.
const EXTRA_STEPS: u64 = 1_000;

/// ln 1.02 is about a fiftieth.
const LATENCY_STEPS: f64 = 50.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(good: u64, p99_millis: u64, extra: u64) -> Trial {
        let knobs = Knobs {
            attempt_timeout: Duration::from_millis(p99_millis),
            ceiling: Ratio::percent(20),
            consecutive_failures: 5,
            hedge: None,
        };
        Trial {
            knobs,
            calls: 100_000,
            good,
            extra,
            p99: Duration::from_millis(p99_millis),
            is_metastable: false,
            violations: 0,
        }
    }

    #[test]
    fn the_front_is_what_nothing_beats() {
        let (best, quick, worse) =
            (trial(99_900, 200, 900), trial(99_000, 50, 900), trial(98_900, 210, 950));
        let same = trial(99_900, 200, 901);
        assert_eq!(front(&[worse, best, quick, same]), [best, quick]);
    }

    #[test]
    fn what_loses_calls_is_not_worth_its_speed() {
        let (best, hasty) = (trial(99_900, 200, 900), trial(66_000, 20, 10));
        assert_eq!(front(&[hasty, best]), [best]);
    }

    #[test]
    fn what_stays_down_is_beaten_by_what_does_not() {
        let (stays, slow) =
            (Trial { is_metastable: true, ..trial(99_900, 20, 0) }, trial(99_000, 900, 900));
        assert_eq!(front(&[stays, slow]), [slow]);
    }

    #[test]
    fn a_gray_hang_wants_a_shorter_timeout() {
        let text = "[world]\nduration = \"40s\"\n[load]\narrivals = \"poisson\"\nrate = 50\n[[endpoint]]\nname = \"a\"\n[[endpoint]]\nname = \"b\"\n[[fault]]\nat = \"5s\"\nfor = \"30s\"\nendpoint = \"*\"\nwhat = \"hang ratio=0.05\"";
        let world = World::parse(text, None).unwrap();
        let policy = Policy::defaults(&world).unwrap();
        let grid = Knobs::grid(&policy);
        assert_eq!(grid[0], Knobs::of(&policy));
        let trials: Vec<_> = grid.iter().map(|it| it.try_in(&world, &policy, 2).unwrap()).collect();
        let front = front(&trials);
        assert!(!front.is_empty());
        let quickest = front.iter().min_by_key(|trial| trial.p99).unwrap();
        assert!(quickest.p99 < trials[0].p99, "{quickest:?} {:?}", trials[0]);
        assert!(quickest.knobs.attempt_timeout < Duration::from_secs(10), "{quickest:?}");
        assert!(trials.iter().all(|trial| trial.violations == 0));
    }

    #[test]
    fn the_lines_are_read_as_the_same_numbers() {
        let world = "[world]\nduration = \"1s\"\n[load]\narrivals = \"constant\"\nrate = 1\n[[endpoint]]\nname = \"a\"";
        let world = World::parse(world, None).unwrap();
        for knobs in Knobs::grid(&Policy::defaults(&world).unwrap()) {
            let text = format!("[upstream.x]\nendpoints = [\"https://x.example\"]\n{knobs}");
            assert_eq!(Knobs::of(&Policy::parse("x", &text, &world).unwrap()), knobs);
        }
    }
}
