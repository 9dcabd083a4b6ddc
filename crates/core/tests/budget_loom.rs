//! The budget under every order that threads can take, by loom's model checker. Run it with
//! `RUSTFLAGS="--cfg loom" cargo test -p mainstay-core --release --test budget_loom`.

#![cfg(loom)]

use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use mainstay_core::budget::{Budget, BudgetSettings, Price};
use mainstay_core::{Ratio, Timestamp};

/// A budget whose ceiling allows `floor` extra attempts, whatever the calls.
fn budget(floor: u32) -> Arc<Budget> {
    Budget::new(BudgetSettings { floor, ceiling: Ratio::ZERO, ..Default::default() })
}

/// Runs two threads in every order, then looks at the budget.
fn check(
    make: fn() -> Arc<Budget>,
    first: fn(&Arc<Budget>),
    second: fn(&Arc<Budget>),
    then: fn(&Arc<Budget>),
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let budget = make();
        let other = {
            let budget = Arc::clone(&budget);
            thread::spawn(move || second(&budget))
        };
        first(&budget);
        other.join().expect("the other thread ends");
        then(&budget);
    });
}

/// Takes a place and uses it up; counts as one in the tokens, which are never refunded.
fn reserve_and_charge(budget: &Arc<Budget>) {
    drop(budget.reserve(Price::Transient, Timestamp::ZERO).map(|r| r.charge(Timestamp::ZERO)));
}

#[test]
fn the_last_place_is_given_once() {
    let twice = |budget: &Arc<Budget>| {
        reserve_and_charge(budget);
        reserve_and_charge(budget);
    };
    check(
        || budget(1),
        twice,
        reserve_and_charge,
        |budget| {
            let level = budget.level(Timestamp::ZERO);
            assert_eq!((level.tokens, level.extra), (56, 1));
        },
    );
}

#[test]
fn what_is_dropped_on_one_thread_comes_back_while_the_other_reserves() {
    check(
        || budget(2),
        |budget| drop(budget.reserve(Price::Throttled, Timestamp::ZERO)),
        |budget| drop(budget.reserve(Price::Transient, Timestamp::ZERO)),
        |budget| {
            let level = budget.level(Timestamp::ZERO);
            assert_eq!((level.tokens, level.extra), (70, 0));
        },
    );
}

#[test]
fn calls_at_the_turn_of_a_bucket_are_all_counted() {
    // Bucket 0 holds a call of the lap before, which both threads find as they begin its next lap.
    check(
        || {
            let budget = budget(1);
            budget.on_call(Timestamp::ZERO);
            budget
        },
        |budget| budget.on_call(NEXT_LAP),
        |budget| {
            budget.on_call(NEXT_LAP);
            budget.on_call(NEXT_LAP + Duration::from_secs(1));
        },
        |budget| assert_eq!(budget.level(NEXT_LAP).calls, 3),
    );
}

#[test]
fn a_capacity_that_is_lowered_holds_for_those_who_fill_the_bucket_meanwhile() {
    check(
        || budget(1),
        |budget| drop(budget.renewed(BudgetSettings { capacity: 70, ..Default::default() })),
        |budget| {
            budget.on_first_try_success();
            budget.on_first_try_success();
        },
        |budget| assert_eq!(budget.level(Timestamp::ZERO).tokens, 70),
    );
}

/// One window of ten seconds after the beginning.
const NEXT_LAP: Timestamp = Timestamp::from_millis(10_000);
