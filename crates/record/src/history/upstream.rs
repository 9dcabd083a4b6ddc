//! One upstream's last hour, read off its counters.

use std::collections::VecDeque;

use mainstay_core::Timestamp;

use super::ring::{BUCKETS, Ring, Short, bucket_of};
use crate::counters::{CallPulse, UpstreamCounters};

/// How calls were saved, in this order.
pub(crate) const SAVES: [&str; 4] = ["retry", "failover", "hedge", "heal"];

/// What became of calls in some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallPart {
    /// Calls that began.
    pub calls: u64,
    /// Attempts.
    pub attempts: u64,
    /// Good answers that were delivered.
    pub delivered: u64,
    /// Broken attempts' own answers that were.
    pub as_is: u64,
    /// Calls without an answer.
    pub failed: u64,
    /// Calls that were refused before their first attempt; they are among those without an answer.
    pub shed: u64,
    /// Delivered answers whose body broke and ended so.
    pub cut: u64,
    /// Calls whose application got something in place of an answer.
    pub degraded: u64,
    /// Good answers that were saved: by a retry, by another endpoint, by a hedge, by being healed.
    pub saved: [u64; 4],
}

impl CallPart {
    /// What was counted since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let Self { calls, attempts, delivered, as_is, failed, shed, cut, degraded, saved } = self;
        Self {
            calls: calls.saturating_sub(before.calls),
            attempts: attempts.saturating_sub(before.attempts),
            delivered: delivered.saturating_sub(before.delivered),
            as_is: as_is.saturating_sub(before.as_is),
            failed: failed.saturating_sub(before.failed),
            shed: shed.saturating_sub(before.shed),
            cut: cut.saturating_sub(before.cut),
            degraded: degraded.saturating_sub(before.degraded),
            saved: std::array::from_fn(|place| saved[place].saturating_sub(before.saved[place])),
        }
    }

    fn plus(&self, more: &Self) -> Self {
        Self {
            calls: self.calls + more.calls,
            attempts: self.attempts + more.attempts,
            delivered: self.delivered + more.delivered,
            as_is: self.as_is + more.as_is,
            failed: self.failed + more.failed,
            shed: self.shed + more.shed,
            cut: self.cut + more.cut,
            degraded: self.degraded + more.degraded,
            saved: std::array::from_fn(|place| self.saved[place] + more.saved[place]),
        }
    }

    /// Calls of which the application got to feel what broke: no answer, a broken one, a body that was cut.
    #[must_use]
    pub fn all_failed(&self) -> u64 {
        self.failed + self.as_is + self.cut
    }

    /// The share of calls that were delivered well; nothing without any that ended.
    #[must_use]
    pub fn success(&self) -> Option<f64> {
        let ended = self.delivered + self.as_is + self.failed;
        (ended > 0).then(|| self.delivered.saturating_sub(self.cut) as f64 / ended as f64)
    }

    /// Attempts per call.
    #[must_use]
    pub fn amplification(&self) -> Option<f64> {
        crate::counters::ratio(self.attempts, self.calls)
    }

    /// All that were saved.
    #[must_use]
    pub fn all_saved(&self) -> u64 {
        self.saved.iter().sum()
    }
}

/// Ten seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UpstreamBucket {
    pub(crate) calls: u32,
    pub(crate) attempts: u32,
    pub(crate) delivered: u32,
    pub(crate) failed: u32,
    pub(crate) as_is: Short,
    pub(crate) saved: [Short; 4],
    /// How full the budget was, in 1/200, + 1; zero: nothing is known.
    budget: u8,
}

impl UpstreamBucket {
    pub(crate) fn budget(&self) -> Option<f64> {
        self.budget.checked_sub(1).map(|level| f64::from(level) / 200.0)
    }

    pub(crate) fn amplification(&self) -> Option<f64> {
        crate::counters::ratio(self.attempts.into(), self.calls.into())
    }
}

/// How an upstream fares.
#[derive(Clone, Copy, Debug, Default)]
pub struct UpstreamNow {
    /// Since the look before this one.
    pub last: CallPart,
    /// The last minute, to ten seconds.
    pub minute: CallPart,
    /// The last ten minutes, to ten seconds.
    pub lately: CallPart,
    /// Since the process began.
    pub total: CallPart,
    /// Calls that have no end yet.
    pub in_progress: u64,
}

/// An upstream's past.
#[derive(Debug, Default)]
pub(crate) struct UpstreamPast {
    ring: Ring<UpstreamBucket>,
    bucket: Option<u32>,
    begun: CallPart,
    level: f64,
    at_last: Option<CallPart>,
    last: CallPart,
    /// Ten minutes before the bucket that is being filled, the newest last.
    parts: VecDeque<CallPart>,
}

/// Buckets beside the one being filled that make a minute, and ten of them.
const MINUTE: usize = 5;
const LATELY: usize = 59;

impl UpstreamPast {
    /// One that begins with these counts.
    pub(crate) fn from(begun: CallPart) -> Self {
        Self { begun, ..Self::default() }
    }

    /// Notes how full the budget is; reads the counters when a bucket is over, or somebody wants to know now.
    pub(crate) fn look(
        &mut self,
        at: Timestamp,
        level: f64,
        counters: &UpstreamCounters,
        counts: bool,
    ) {
        let bucket = bucket_of(at);
        let begins = self.bucket != Some(bucket);
        let pulse = (begins || counts).then(|| counters.pulse().part);
        if let (true, Some(pulse)) = (begins, pulse) {
            if let Some(before) = self.bucket {
                let part = pulse.since(&self.begun);
                self.ring.put(before, filled(&part, self.level));
                self.parts.push_back(part);
                if self.parts.len() > LATELY {
                    self.parts.pop_front();
                }
                self.begun = pulse;
            }
            self.bucket = Some(bucket);
        }
        self.level = level;
        if let (true, Some(pulse)) = (counts, pulse) {
            let before = self.at_last.replace(pulse).unwrap_or(pulse);
            self.last = pulse.since(&before);
        }
    }

    /// Nobody wants to know each second any more.
    pub(crate) fn rest(&mut self) {
        (self.at_last, self.last) = (None, CallPart::default());
    }

    pub(crate) fn now(&self, counters: &UpstreamCounters) -> UpstreamNow {
        let CallPulse { part: total, in_progress } = counters.pulse();
        let current = total.since(&self.begun);
        let of_last = |buckets: usize| {
            let last = self.parts.iter().rev().take(buckets);
            last.fold(current, |sum, part| sum.plus(part))
        };
        let (minute, lately) = (of_last(MINUTE), of_last(LATELY));
        UpstreamNow { last: self.last, minute, lately, total, in_progress }
    }

    pub(crate) fn buckets(
        &self,
        counters: &UpstreamCounters,
        range: std::ops::Range<u32>,
    ) -> Vec<Option<UpstreamBucket>> {
        let part = counters.pulse().part.since(&self.begun);
        let filling = self.bucket.map(|bucket| (bucket, filled(&part, self.level)));
        let known = |bucket: u32| match filling {
            Some((current, filled)) if current == bucket => Some(filled),
            _ => self.ring.get(bucket).copied(),
        };
        range.map(|bucket| known(bucket).filter(|it| it.budget > 0)).collect()
    }

    pub(crate) fn is_over(&self, now: u32) -> bool {
        now.saturating_sub(self.bucket.unwrap_or(0)) as usize >= BUCKETS
    }

    /// Whether it hasn't been looked at for so long that it can't be in use.
    pub(crate) fn is_gone(&self, now: Timestamp) -> bool {
        self.bucket.is_none_or(|bucket| bucket_of(now).saturating_sub(bucket) > 1)
    }

    /// Bytes on the heap, and its own.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.ring.bytes() + self.parts.capacity() * size_of::<CallPart>()
    }
}

fn filled(part: &CallPart, level: f64) -> UpstreamBucket {
    let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    UpstreamBucket {
        calls: count(part.calls),
        attempts: count(part.attempts),
        delivered: count(part.delivered),
        failed: count(part.failed),
        as_is: Short::of(part.as_is),
        saved: part.saved.map(Short::of),
        budget: (level.clamp(0.0, 1.0) * 200.0) as u8 + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::event::Saved;
    use std::time::Duration;

    #[test]
    fn calls_are_kept_by_what_became_of_them() {
        let (counters, mut past) = (UpstreamCounters::new("api"), UpstreamPast::default());
        let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
        for second in 20..45 {
            past.look(at(second), 0.5, &counters, true);
            counters.on_started(at(second));
            counters.on_attempt();
            counters.on_attempt();
            counters.on_delivered(Saved::ByFailover, false, Duration::from_millis(3));
        }
        let known = past.buckets(&counters, 1..6);
        let known: Vec<_> = known
            .iter()
            .map(|bucket| {
                bucket.map(|it| (it.calls, it.saved[1].get(), it.budget(), it.amplification()))
            })
            .collect();
        let ten = Some((10, 10, Some(0.5), Some(2.0)));
        assert_eq!(known, [None, ten, ten, Some((5, 5, Some(0.5), Some(2.0))), None]);
        let now = past.now(&counters);
        assert_eq!((now.last.calls, now.minute.calls, now.total.calls), (1, 25, 25));
        assert_eq!((now.minute.success(), now.in_progress), (Some(1.0), 0));
        past.rest();
        assert_eq!(past.now(&counters).last, CallPart::default());
        counters.on_delivered(Saved::NotNeeded, true, Duration::from_millis(3));
        let seen = |past: &mut UpstreamPast, second| {
            past.look(at(second), 0.5, &counters, false);
            let now = past.now(&counters);
            (now.minute.all_failed(), now.lately.all_failed(), now.lately.calls)
        };
        assert_eq!(seen(&mut past, 50), (1, 1, 25));
        let later: Vec<_> = (6..70).map(|bucket| seen(&mut past, bucket * 10)).collect();
        assert_eq!((later[0], later[9], later[57]), ((1, 1, 25), (0, 1, 25), (0, 1, 5)));
        assert_eq!(later[58], (0, 0, 0));
    }
}
