//! The budget under threads that do everything at once: its bounds hold at each moment, and its sums at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use mainstay_core::budget::{Budget, BudgetSettings, Charge, Price, Reservation};
use mainstay_core::{Chance, Ratio, Timestamp};

const THREADS: u64 = 4;

/// Runs `work` in each thread, with a seed of its own.
fn in_threads(work: impl Fn(u64) + Sync) {
    thread::scope(|scope| {
        for seed in 1..=THREADS {
            let work = &work;
            scope.spawn(move || work(seed));
        }
    });
}

/// A budget, and what the threads hold of it. The threads count what they hold after they got it and until just
/// before they give it back, so what they count is never more than what the budget must have counted.
struct Watched {
    budget: Arc<Budget>,
    tokens: u64,
    allowed: u64,
    paid: AtomicU64,
    extra: AtomicU64,
}

impl Watched {
    fn reserve(&self) -> Option<Reservation> {
        let reservation = self.budget.reserve(Price::Transient, Timestamp::ZERO)?;
        let extra = self.extra.fetch_add(1, Ordering::SeqCst) + 1;
        let paid = self.paid.fetch_add(14, Ordering::SeqCst) + 14;
        assert!(extra <= self.allowed, "{extra} extra attempts, allowed are {}", self.allowed);
        assert!(paid <= self.tokens, "{paid} tokens paid of {}", self.tokens);
        Some(reservation)
    }

    fn give_back(&self, reservation: Reservation) {
        self.extra.fetch_sub(1, Ordering::SeqCst);
        self.paid.fetch_sub(14, Ordering::SeqCst);
        drop(reservation);
    }

    fn charge(&self, reservation: Reservation) -> Charge {
        reservation.charge(Timestamp::ZERO)
    }

    fn refund(&self, charge: Charge) {
        self.paid.fetch_sub(14, Ordering::SeqCst);
        charge.refund();
    }
}

/// Takes, pays and gives back at random; in the end everything is given back or refunded.
fn hammer(watched: &Watched, seed: u64, rounds: u32) {
    let mut chance = Chance::from_seed(seed);
    let mut held = Vec::new();
    let mut charges = Vec::new();
    for _ in 0..rounds {
        match chance.below(8) {
            0..=3 => held.extend(watched.reserve()),
            4..=5 => held.pop().into_iter().for_each(|r| watched.give_back(r)),
            6 => charges.extend(held.pop().map(|r| watched.charge(r))),
            _ => charges.pop().into_iter().for_each(|c| watched.refund(c)),
        }
    }
    held.into_iter().for_each(|r| watched.give_back(r));
    charges.into_iter().for_each(|c| watched.refund(c));
}

#[test]
fn neither_tokens_nor_ceiling_are_ever_overdrawn_and_nothing_is_lost() {
    for (tokens, calls) in [(14 * 30, 100_000), (1_000_000, 60_000), (14 * 8, 40)] {
        let settings =
            BudgetSettings { capacity: 1_000_000, initial: tokens, ..Default::default() };
        let ceiling = Ratio::percent(20).of(calls);
        let watched = Watched {
            budget: Budget::new(settings),
            tokens: u64::from(tokens),
            allowed: ceiling,
            paid: AtomicU64::new(0),
            extra: AtomicU64::new(0),
        };
        (0..calls).for_each(|_| watched.budget.on_call(Timestamp::ZERO));
        in_threads(|seed| hammer(&watched, seed, 60_000));

        let level = watched.budget.level(Timestamp::ZERO);
        assert_eq!(u64::from(level.tokens), watched.tokens);
        assert_eq!(u64::from(level.extra), watched.extra.into_inner(), "those that were charged");
    }
}

#[test]
fn the_last_place_under_the_ceiling_goes_to_one_thread() {
    for _ in 0..500 {
        let budget = Budget::new(BudgetSettings { initial: 500, floor: 1, ..Default::default() });
        let won = AtomicU64::new(0);
        in_threads(|_| {
            for _ in 0..3 {
                if let Some(reservation) = budget.reserve(Price::Transient, Timestamp::ZERO) {
                    won.fetch_add(1, Ordering::SeqCst);
                    reservation.charge(Timestamp::ZERO).refund();
                }
            }
        });
        assert_eq!(won.into_inner(), 1);
    }
}

#[test]
fn no_call_is_lost_while_the_buckets_change() {
    let settings = BudgetSettings { window: Duration::from_secs(1), ..Default::default() };
    let budget = Budget::new(settings);
    let lap = 1_000_000_000;
    let per_thread = 500;
    for round in 0..400_u64 {
        // Each round begins with ten buckets full of the round before.
        let clock = AtomicU64::new(round * lap);
        let step = lap / (THREADS * per_thread);
        in_threads(|_| {
            for _ in 0..per_thread {
                let now = clock.fetch_add(step, Ordering::SeqCst);
                budget.on_call(Timestamp::from_nanos(now));
            }
        });
        let end = Timestamp::from_nanos((round + 1) * lap - 1);
        assert_eq!(u64::from(budget.level(end).calls), THREADS * per_thread, "round {round}");
    }
}

#[test]
fn a_filling_bucket_never_holds_more_than_its_capacity() {
    let budget = Budget::new(BudgetSettings { capacity: 100, floor: 100, ..Default::default() });
    in_threads(|seed| {
        let mut chance = Chance::from_seed(seed);
        for _ in 0..50_000 {
            match chance.below(4) {
                0 => drop(budget.reserve(Price::Throttled, Timestamp::ZERO)),
                1 => budget.on_call(Timestamp::ZERO),
                _ => budget.on_first_try_success(),
            }
            assert!(budget.level(Timestamp::ZERO).tokens <= 100);
        }
    });
    assert_eq!(budget.level(Timestamp::ZERO).tokens, 100);
}
