//! Statistical ejection: an endpoint that does much worse than its peers is taken out for a while.
//!
//! The rules are Envoy's outlier detection and gRFC A50: once in an interval, among the endpoints with enough calls, those are
//! ejected whose success rate is far below the mean, or whose share of failures is above a fixed limit. Three bounds
//! keep it from making things worse: a share of all that may be out at a time, the last usable endpoint that always stays, and a
//! number of peers below which there is nothing to compare with.
//!
//! Each endpoint counts its outcomes in one word of its own, which is swapped for zero at the interval. The breaker's
//! window would do for a guess, but it has another length, forgets at each transition, and a call would be judged
//! twice or never where the two don't line up.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use super::endpoint::Slot;
use super::settings::EjectionSettings;
use super::{EndpointId, Upstream};
use crate::chance::Chance;
use crate::event::{EjectCause, Event};
use crate::time::Timestamp;

/// Calls, and failures among them, since the last look: the upper and the lower half of one word. An interval of ten
/// minutes holds 7 million calls a second before a half is full.
#[derive(Debug, Default)]
pub(super) struct Tally(AtomicU64);

/// The outcomes of an endpoint in an interval.
#[derive(Clone, Copy, Debug)]
struct Record {
    endpoint: EndpointId,
    calls: u64,
    failures: u64,
}

impl Tally {
    #[inline]
    pub(super) fn success(&self) {
        self.0.fetch_add(CALL, Relaxed);
    }

    pub(super) fn failure(&self) {
        self.0.fetch_add(CALL + 1, Relaxed);
    }

    /// A call that was counted as a success has failed after all.
    pub(super) fn late_failure(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn take(&self, endpoint: EndpointId) -> Record {
        let word = self.0.swap(0, Relaxed);
        // A late failure may belong to a call of the interval before.
        let calls = word >> 32;
        Record { endpoint, calls, failures: (word & (CALL - 1)).min(calls) }
    }
}

impl Record {
    /// In millionths.
    fn success_rate(self) -> u64 {
        (self.calls - self.failures) * MILLION / self.calls.max(1)
    }
}

impl Upstream {
    /// Ends the ejections whose time is over.
    pub(super) fn end_ejections(&self, now: Timestamp, events: &mut Vec<Event>) {
        for (endpoint, slot) in self.slots() {
            let until = slot.state.ejected_until.get();
            if slot.state.ejected_until.end(now) {
                slot.state.come_back(until.unwrap_or(now));
                self.tiers.touch();
                self.on_light();
                events.push(Event::EndpointReturned { endpoint });
            }
        }
    }

    /// Looks at the statistics, if their time has come.
    pub(super) fn judge(&self, now: Timestamp, chance: &mut Chance, events: &mut Vec<Event>) {
        let Some(settings) = &self.settings.ejection else { return };
        if !self.judge_at.claim(now, || now + settings.interval) {
            return;
        }
        let records: Vec<Record> =
            self.slots().map(|(endpoint, slot)| slot.state.tally.take(endpoint)).collect();
        let outliers = outliers(&records, settings);
        self.forgive(&outliers, now);
        let mut room = self.ejection_room(settings, now);
        for (endpoint, cause) in outliers {
            let Some(slot) = self.slot(endpoint) else { continue };
            if room == 0 {
                break;
            }
            if slot.state.ejected_until.ahead_of(now).is_none() && self.can_spare(endpoint, now) {
                events.push(self.eject(endpoint, slot, cause, settings, now, chance));
                room -= 1;
            }
        }
    }

    /// Each interval in which an endpoint was neither out nor an outlier makes its next ejection shorter.
    fn forgive(&self, outliers: &[(EndpointId, EjectCause)], now: Timestamp) {
        for (endpoint, Slot { state, .. }) in self.slots() {
            let is_outlier = outliers.iter().any(|&(outlier, _)| outlier == endpoint);
            if !is_outlier && state.ejected_until.ahead_of(now).is_none() {
                let times = state.times_ejected.load(Relaxed);
                state.times_ejected.store(times.saturating_sub(1), Relaxed);
            }
        }
    }

    /// How many more may be ejected.
    fn ejection_room(&self, settings: &EjectionSettings, now: Timestamp) -> u64 {
        let all = self.slots().count() as u64;
        let out = self
            .slots()
            .filter(|(_, slot)| slot.state.ejected_until.ahead_of(now).is_some())
            .count() as u64;
        settings.max_ejected.of(all).max(1).saturating_sub(out)
    }

    /// Whether another one is usable.
    fn can_spare(&self, endpoint: EndpointId, now: Timestamp) -> bool {
        self.slots().any(|(other, slot)| other != endpoint && self.is_usable(slot, now))
    }

    fn eject(
        &self,
        endpoint: EndpointId,
        slot: &Slot,
        cause: EjectCause,
        settings: &EjectionSettings,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Event {
        let times = slot.state.times_ejected.load(Relaxed);
        let wanted = settings.eject_for.saturating_mul(times.saturating_add(1));
        if wanted < settings.eject_cap {
            slot.state.times_ejected.store(times.saturating_add(1), Relaxed);
        }
        let ejected_for = jittered(wanted.min(settings.eject_cap), chance);
        slot.state.ejected_until.set(now + ejected_for);
        // From the end on it may be picked, even before anybody has looked at the time.
        slot.state.warming.begin(now + ejected_for);
        self.check_soon(slot, now);
        self.tiers.touch();
        Event::EndpointEjected { endpoint, cause, ejected_for }
    }
}

/// Those that do too badly, the worst first.
fn outliers(records: &[Record], settings: &EjectionSettings) -> Vec<(EndpointId, EjectCause)> {
    let mut judged: Vec<Record> = records
        .iter()
        .copied()
        .filter(|record| record.calls >= u64::from(settings.minimum_calls))
        .collect();
    if judged.len() < usize::from(settings.minimum_endpoints) {
        return Vec::new();
    }
    let count = judged.len() as u128;
    let sum: u128 = judged.iter().map(|record| u128::from(record.success_rate())).sum();
    let squares: u128 = judged.iter().map(|r| u128::from(r.success_rate()).pow(2)).sum();
    // With n for the count: n² × the variance is n × Σ rate² − (Σ rate)², so no root and no fraction is needed.
    let variance = count * squares - sum * sum;
    let factor = u128::from(settings.stdev_factor_percent);
    let is_far_below = |record: &Record| {
        let below = sum.saturating_sub(count * u128::from(record.success_rate()));
        factor > 0 && below > 0 && (100 * below).pow(2) > factor * factor * variance
    };
    let cause = |record: Record| {
        let fails_too_often = settings
            .failure_share
            .is_some_and(|share| share.reached_by(record.failures, record.calls));
        match (is_far_below(&record), fails_too_often) {
            (true, _) => Some((record.endpoint, EjectCause::SuccessRate)),
            (false, true) => Some((record.endpoint, EjectCause::FailureShare)),
            (false, false) => None,
        }
    };
    judged.sort_by_key(|record| record.success_rate());
    judged.into_iter().filter_map(cause).collect()
}

/// Up to a tenth longer, so that those ejected together don't come back together.
fn jittered(length: Duration, chance: &mut Chance) -> Duration {
    length + chance.up_to(length / 10)
}

/// One call, in the upper half of a tally.
const CALL: u64 = 1 << 32;

const MILLION: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratio::Ratio;

    /// Endpoints with these (calls, failures) have these outliers, by place.
    #[track_caller]
    fn check(records: &[(u64, u64)], settings: &EjectionSettings, want: &[(u16, EjectCause)]) {
        let records: Vec<Record> = records
            .iter()
            .zip(0..)
            .map(|(&(calls, failures), id)| Record { endpoint: EndpointId(id), calls, failures })
            .collect();
        let found: Vec<_> =
            outliers(&records, settings).into_iter().map(|(id, cause)| (id.0, cause)).collect();
        assert_eq!(found, want);
    }

    #[test]
    fn one_far_below_its_peers_is_an_outlier() {
        let settings = EjectionSettings::default();
        check(
            &[(100, 0), (100, 1), (100, 0), (100, 40), (100, 0), (100, 1)],
            &settings,
            &[(3, EjectCause::SuccessRate)],
        );
        check(&[(100, 50); 6], &settings, &[]);
    }

    #[test]
    fn with_two_bad_ones_of_six_only_the_fixed_limit_tells() {
        let records = [(100, 0), (100, 90), (100, 0), (100, 95), (100, 0), (100, 0)];
        let both = [(3, EjectCause::FailureShare), (1, EjectCause::FailureShare)];
        check(&records, &EjectionSettings::default(), &both);
        let off = EjectionSettings { failure_share: None, ..Default::default() };
        check(&records, &off, &[]);
    }

    #[test]
    fn too_few_calls_or_peers_say_nothing() {
        let settings = EjectionSettings::default();
        check(&[(99, 99), (100, 0), (100, 0), (100, 0), (100, 0), (100, 0)], &settings, &[]);
        check(&[(100, 100), (100, 0), (100, 0), (100, 0), (99, 0)], &settings, &[]);
    }

    #[test]
    fn each_rule_can_be_switched_off() {
        let records = [(100, 100), (100, 0), (100, 0), (100, 0), (100, 0), (100, 0)];
        let fixed = EjectionSettings { stdev_factor_percent: 0, ..Default::default() };
        check(&records, &fixed, &[(0, EjectCause::FailureShare)]);
        check(&records, &EjectionSettings { failure_share: None, ..fixed }, &[]);
    }

    #[test]
    fn a_tally_counts_exactly_and_starts_anew_when_taken() {
        let tally = Tally::default();
        (0..5).for_each(|_| tally.success());
        tally.failure();
        tally.late_failure();
        let record = tally.take(EndpointId(0));
        assert_eq!((record.calls, record.failures), (6, 2));
        tally.late_failure();
        let record = tally.take(EndpointId(0));
        assert_eq!((record.calls, record.failures), (0, 0));
        assert!(!Ratio::percent(85).reached_by(record.failures, record.calls));
    }
}
