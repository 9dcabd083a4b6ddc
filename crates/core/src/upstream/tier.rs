//! Failover ranks: how much of the calls each tier gets.
//!
//! The rule is Envoy's for priorities. A tier is as healthy as the usable part of its weight × overprovisioning, at most
//! whole; it takes that much of what the tiers before it left. So at 1.4 a tier with 72 % of its weight usable still carries all, and
//! one with half of it 70 %. What all tiers together can't make up to a whole is scaled up.
//!
//! Adding up the usable weight takes a look at every endpoint, so no pick does that: shares are kept, and counted again
//! a tenth of a second after something changed, once a second otherwise (open times end by themselves).

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use core::time::Duration;

use super::balance::Table;
use super::moment::Moment;
use crate::time::Timestamp;

/// The tiers of a generation that have endpoints, the first rank first.
#[derive(Debug)]
pub(super) struct Tiers {
    pub(super) list: Box<[Tier]>,
    refresh_at: Moment,
    refreshed_at: Moment,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Tier {
    pub(super) members: Box<[u16]>,
    pub(super) weight: u64,
    pub(super) table: Table,
    /// A draw below it, in 2^-32, goes to this tier or one before it.
    cut: AtomicU32,
}

impl Tiers {
    /// Until they are counted, the first tier gets everything.
    pub(super) fn new(list: Box<[Tier]>, now: Timestamp) -> Self {
        Self { list, refresh_at: Moment::at(now), refreshed_at: Moment::at(now) }
    }

    /// The place of the tier that a draw falls to.
    #[inline]
    pub(super) fn draw(&self, bits: impl FnOnce() -> u64) -> usize {
        // Nearly always all is well, and then there is nothing to draw.
        if self.list.first().is_none_or(|first| first.cut.load(Relaxed) == u32::MAX) {
            return 0;
        }
        let draw = (bits() >> 32) as u32;
        let hit = self.list.iter().position(|tier| {
            let cut = tier.cut.load(Relaxed);
            draw < cut || cut == u32::MAX
        });
        hit.unwrap_or(0)
    }

    /// Whether the shares have to be counted now, by exactly one of those who ask.
    #[inline]
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.list.len() > 1
            && self.refresh_at.claim(now, || {
                self.refreshed_at.set(now);
                now + UNCHANGED
            })
    }

    /// Something changed: the shares are counted again soon.
    pub(super) fn touch(&self) {
        let last = self.refreshed_at.get().unwrap_or(Timestamp::ZERO);
        self.refresh_at.bring_forward(last + CHANGED);
    }

    /// Puts new shares in place; `usable` says how much of a tier's weight is.
    pub(super) fn refresh(&self, overprovision_percent: u16, usable: impl Fn(&Tier) -> u64) {
        let healths =
            self.list.iter().map(|tier| health(usable(tier), tier.weight, overprovision_percent));
        // A reader that meets old and new cuts mixed still finds a tier, and for one call a slightly wrong one.
        let sum: u64 = healths.clone().sum();
        let mut taken = 0;
        for (tier, health) in self.list.iter().zip(healths) {
            taken += share(health, sum, taken);
            tier.cut.store(u32::try_from(taken).unwrap_or(u32::MAX), Relaxed);
        }
    }
}

impl Tier {
    pub(super) fn new(members: Box<[u16]>, weight: u64, table: Table) -> Self {
        Self { members, weight, table, cut: AtomicU32::new(u32::MAX) }
    }
}

/// The usable part of the weight × overprovisioning, at most [`WHOLE`].
fn health(usable: u64, weight: u64, overprovision_percent: u16) -> u64 {
    // At most 10^6 × 10^3 × 2^32, which fits in 62 bits.
    (usable * u64::from(overprovision_percent) * WHOLE / (weight * 100).max(1)).min(WHOLE)
}

/// What a tier takes, when all healths add up to `sum` and the tiers before it took `taken`.
fn share(health: u64, sum: u64, taken: u64) -> u64 {
    match sum {
        // Nothing is usable anywhere: the first tier is asked, and whoever picks sees what can be done.
        0 => WHOLE - taken,
        1..WHOLE => (u128::from(health) * u128::from(WHOLE) / u128::from(sum)) as u64,
        WHOLE.. => health.min(WHOLE - taken),
    }
}

/// One, in 2^-32.
const WHOLE: u64 = 1 << 32;

/// Soonest after a change: a thousand endpoints are added up in some microseconds, ten times a second.
const CHANGED: Duration = Duration::from_millis(100);

/// Latest without a change.
const UNCHANGED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// The shares, in percent and rounded, of tiers of which so much (usable, all) of the weight is usable.
    #[track_caller]
    fn check(tiers: &[(u64, u64)], overprovision_percent: u16, shares: &[u64]) {
        let healths: Vec<u64> =
            tiers.iter().map(|&(usable, all)| health(usable, all, overprovision_percent)).collect();
        let (sum, mut taken) = (healths.iter().sum(), 0);
        let found: Vec<u64> = healths
            .iter()
            .map(|&health| {
                let share = share(health, sum, taken);
                taken += share;
                (share * 100 + WHOLE / 2) / WHOLE
            })
            .collect();
        assert_eq!(found, shares);
    }

    #[test]
    fn the_first_tier_carries_all_down_to_72_percent() {
        check(&[(100, 100), (100, 100)], 140, &[100, 0]);
        check(&[(72, 100), (100, 100)], 140, &[100, 0]);
        check(&[(71, 100), (100, 100)], 140, &[99, 1]);
    }

    #[test]
    fn the_rest_spills_to_the_next_tier() {
        check(&[(50, 100), (100, 100)], 140, &[70, 30]);
        check(&[(25, 100), (100, 100)], 140, &[35, 65]);
        check(&[(0, 100), (100, 100)], 140, &[0, 100]);
        check(&[(25, 100), (25, 100), (100, 100)], 140, &[35, 35, 30]);
        check(&[(3, 3), (0, 1)], 100, &[100, 0]);
    }

    #[test]
    fn what_all_tiers_cannot_make_up_is_scaled() {
        check(&[(20, 100), (20, 100)], 100, &[50, 50]);
        check(&[(30, 100), (10, 100)], 140, &[75, 25]);
        check(&[(0, 100), (0, 100)], 140, &[100, 0]);
    }

    #[test]
    fn shares_are_counted_soon_after_a_change_and_each_second() {
        let at = Timestamp::from_millis;
        let tier = || {
            let members = [super::super::balance::Member { id: 0, name: "", weight: 1 }];
            let table = Table::new(
                super::super::Balance::PeakEwma,
                &members,
                &mut crate::Chance::from_seed(1),
            );
            Tier::new([0].into(), 1, table)
        };
        let tiers = Tiers::new([tier(), tier()].into(), at(0));
        assert!(tiers.is_due(at(1)) && !tiers.is_due(at(1)));
        tiers.touch();
        assert!(!tiers.is_due(at(100)) && tiers.is_due(at(101)));
        assert!(!tiers.is_due(at(1100)) && tiers.is_due(at(1101)));
    }
}
