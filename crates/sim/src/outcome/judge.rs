//! What a run means: was each fault masked, and did everything recover when all of them were over?

use std::time::Duration;

use super::Series;
use super::series::Bucket;
use crate::world::{Fault, Target, World};

/// How long the application felt a fault. A bucket of the series counts as bad when more than one call in a hundred
/// ended badly in it and more than a single one, or when most calls get no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    /// For so long after it began; zero: not at all.
    After(Duration),
    /// As long as it lasted.
    Never,
}

/// Whether the world came back to rights after the last fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Nothing broke.
    NotNeeded,
    /// So long after.
    After(Duration),
    /// It hadn't when the run ended, long after.
    Never,
    /// The run ended too soon to tell.
    Unknown,
}

/// What a run means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Each fault, then each surge, in the order of the world, in words, with its masking.
    pub faults: Vec<(String, Masking)>,
    /// The recovery after the last of them.
    pub recovery: Recovery,
    /// Whether less than nine calls in ten end well in the last fifth of the time after the last fault: the trigger has
    /// gone, and the trouble stays.
    pub is_metastable: bool,
}

pub(super) fn judge(world: &World, series: &Series) -> Verdict {
    let mut verdict =
        Verdict { faults: Vec::new(), recovery: Recovery::NotNeeded, is_metastable: false };
    for fault in &world.faults {
        let until = fault.lasting.map_or(world.duration, |lasting| fault.at + lasting);
        verdict.faults.push((words(fault, world), masking(fault.at, until, world, series)));
    }
    for surge in &world.load.surges {
        let words = format!("{:?} load × {}", surge.at, f64::from(surge.percent) / 100.0);
        let masking = masking(surge.at, surge.at + surge.lasting, world, series);
        verdict.faults.push((words, masking));
    }
    if let Some((begins, ends)) = world.trouble() {
        (verdict.recovery, verdict.is_metastable) = recovery(begins, ends, world, series);
    }
    verdict
}

fn masking(at: Duration, until: Duration, world: &World, series: &Series) -> Masking {
    let until = until.min(world.duration);
    let (from, to) = (series.place(at), series.place(until).min(series.buckets().len()));
    let during = series.buckets().get(from..to).unwrap_or_default();
    match during.iter().rposition(Bucket::is_bad) {
        None => Masking::After(Duration::ZERO),
        Some(last) if !goes_well_after(during, last) => Masking::Never,
        Some(last) => Masking::After(series.width() * (last as u32 + 1)),
    }
}

/// Recovered is the end of the last bucket that is bad, or in which half of the calls take five times as long as before
/// the trouble.
fn recovery(begins: Duration, ends: Duration, world: &World, series: &Series) -> (Recovery, bool) {
    let buckets = series.buckets();
    let (first, from) = (series.place(begins), series.place(ends));
    let usual = usual_latency(buckets.get(..first).unwrap_or_default());
    let is_slow = |bucket: &Bucket| {
        let median = bucket.latency.percentile(500_000);
        matches!((usual, median), (Some(usual), Some(median)) if median > usual * 5)
    };
    let after = buckets.get(from..).unwrap_or_default();
    if world.duration.saturating_sub(ends) < LONG_ENOUGH {
        return (Recovery::Unknown, false);
    }
    let fifth = after.get(after.len() - after.len().div_ceil(5)..).unwrap_or_default();
    let (good, bad) = fifth.iter().fold((0, 0), |(good, bad), it| (good + it.good, bad + it.bad));
    let is_metastable = bad * 10 > good + bad
        || (good + bad == 0 && !fifth.is_empty() && fifth.iter().any(|it| it.started > 0));
    let recovery = match after.iter().rposition(|bucket| bucket.is_bad() || is_slow(bucket)) {
        None => Recovery::After(Duration::ZERO),
        Some(last) if !goes_well_after(after, last) => Recovery::Never,
        Some(last) => Recovery::After(series.width() * (last as u32 + 1)),
    };
    (recovery, is_metastable)
}

/// Whether any call ends well after this bucket: silence is no recovery.
fn goes_well_after(buckets: &[Bucket], last: usize) -> bool {
    buckets.iter().skip(last + 1).any(|bucket| bucket.good > 0)
}

/// The median of the medians.
fn usual_latency(before: &[Bucket]) -> Option<Duration> {
    let mut medians: Vec<_> =
        before.iter().filter_map(|bucket| bucket.latency.percentile(500_000)).collect();
    medians.sort_unstable();
    medians.get(medians.len() / 2).copied()
}

fn words(fault: &Fault, world: &World) -> String {
    let place = match &fault.target {
        Target::Endpoints(places) if places.len() == world.endpoints.len() => "*".to_owned(),
        Target::Endpoints(places) => {
            let names = places.iter().filter_map(|place| world.endpoints.get(*place));
            names.map(|endpoint| endpoint.name.as_str()).collect::<Vec<_>>().join(" ")
        }
        Target::Between(a, b) => {
            let name = |zone: usize| world.zones.get(zone).map_or("", String::as_str);
            format!("{}–{}", name(*a), name(*b))
        }
    };
    format!("{:?} {place} {}", fault.at, fault.rule)
}

/// After a shorter time nobody can tell whether something stays.
const LONG_ENOUGH: Duration = Duration::from_secs(10);
