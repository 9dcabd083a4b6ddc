//! How attempts are spread over the endpoints of a tier.

use std::time::Duration;

use mainstay_core::breaker::{BreakerMode, BreakerSettings};
use mainstay_core::upstream::{Balance, Report, UpstreamSettings, Want};

use super::world::{World, answered, assert_shares, balanced, endpoints, even, ms, want};

/// Endpoints of these weights that answer alike get these shares, in percent.
#[track_caller]
fn check(balance: Balance, weights: &[u16], shares: &[u32]) {
    let list: Vec<_> = weights.iter().map(|&weight| (0, weight)).collect();
    let mut world = World::new(balanced(&list, balance));
    let found = world.shares(20_000, Duration::ZERO, |_| answered(5));
    assert_shares(&found, shares, 1);
}

#[test]
fn idle_endpoints_that_answer_alike_are_picked_by_weight() {
    for balance in [Balance::PeakEwma, Balance::LeastRequest, Balance::RoundRobin] {
        check(balance, &[1, 1, 1, 1], &[25, 25, 25, 25]);
        check(balance, &[3, 1], &[75, 25]);
        check(balance, &[10, 5, 4, 1], &[50, 25, 20, 5]);
    }
    check(Balance::ConsistentHash, &[1], &[100]);
}

#[test]
fn attempts_in_flight_are_spread_by_weight_too() {
    for balance in [Balance::PeakEwma, Balance::LeastRequest] {
        let mut world = World::new(balanced(&[(0, 3), (0, 1)], balance));
        (0..2).for_each(|endpoint| world.attempt_at(endpoint, answered(5)));
        let held: Vec<_> = (0..400).map(|_| world.pick()).collect();
        let shares = [0, 1].map(|endpoint| world.view(endpoint).in_flight / 4);
        assert_shares(&shares, &[75, 25], 4);
        drop(held);
        assert_eq!([0, 1].map(|endpoint| world.view(endpoint).in_flight), [0, 0]);
    }
}

#[test]
fn a_slow_endpoint_gets_little() {
    let mut world = World::new(even(3));
    let slow = |id: mainstay_core::EndpointId| answered(if id.0 == 1 { 500 } else { 5 });
    let shares = world.shares(10_000, ms(1), slow);
    assert_shares(&shares, &[50, 0, 50], 3);
}

#[test]
fn an_endpoint_that_fails_fast_attracts_nothing() {
    let breaker = BreakerSettings { mode: BreakerMode::Off, ..Default::default() };
    let mut world = World::new(UpstreamSettings { breaker, ..even(3) });
    let fails = |id: mainstay_core::EndpointId| {
        if id.0 == 1 { Report::Broke } else { answered(20) }
    };
    let shares = world.shares(10_000, ms(1), fails);
    assert_shares(&shares, &[50, 0, 50], 3);
}

#[test]
fn a_penalty_is_forgotten_within_a_few_decay_times() {
    let breaker = BreakerSettings { mode: BreakerMode::Off, ..Default::default() };
    let mut world = World::new(UpstreamSettings { breaker, ..even(2) });
    world.attempt_at(0, answered(5));
    world.attempt_at(1, Report::Broke);
    assert_shares(&world.shares(9_000, ms(1), |_| answered(5)), &[100, 0], 0);
    // Before 3 decay times (of 10 s) are over, it has been tried and found well. From then on chance decides which is
    // the faster one.
    let dice = std::cell::RefCell::new(mainstay_core::Chance::from_seed(9));
    let about_5_ms = |_| Report::Answered(ms(4) + dice.borrow_mut().up_to(ms(2)));
    let _ = world.shares(21_000, ms(1), about_5_ms);
    assert_shares(&world.shares(60_000, ms(1), about_5_ms), &[50, 50], 25);
}

#[test]
fn an_untested_endpoint_is_tried_at_once_but_not_flooded() {
    let mut world = World::new(even(2));
    world.attempt_at(0, answered(5));
    let first = world.pick();
    assert_eq!(first.permit.endpoint().0, 1);
    let held: Vec<_> = (0..10).map(|_| world.pick()).collect();
    assert!(held.iter().all(|pick| pick.permit.endpoint().0 == 0));
}

#[test]
fn round_robin_takes_strict_turns() {
    let mut world = World::new(balanced(&[(0, 1); 3], Balance::RoundRobin));
    let turns: Vec<u16> = (0..9).map(|_| world.attempt(|_| answered(5))).collect();
    assert_eq!(turns[..3], turns[3..6]);
    let mut seen = turns[..3].to_vec();
    seen.sort_unstable();
    assert_eq!(seen, [0, 1, 2]);
}

#[test]
fn a_key_stays_with_its_endpoint_while_that_is_well() {
    let mut world = World::new(balanced(&[(0, 1); 5], Balance::ConsistentHash));
    let owner = |world: &mut World, key| {
        let pick = world.try_pick(Want { hash: Some(key), ..want() });
        pick.expect("all are well").permit.endpoint().0
    };
    let before: Vec<u16> = (0..500).map(|key| owner(&mut world, key)).collect();
    assert_eq!(before, (0..500).map(|key| owner(&mut world, key)).collect::<Vec<_>>());

    (0..5).for_each(|_| world.attempt_at(2, Report::Broke));
    for (key, &owner_before) in (0..500).zip(&before) {
        let now = owner(&mut world, key);
        let again = owner(&mut world, key);
        assert_eq!(now, again);
        assert!(if owner_before == 2 { now != 2 } else { now == owner_before });
    }
}

#[test]
fn tried_endpoints_are_avoided_while_others_are_usable() {
    for balance in
        [Balance::PeakEwma, Balance::LeastRequest, Balance::RoundRobin, Balance::ConsistentHash]
    {
        let mut world = World::new(balanced(&[(0, 1), (0, 1), (1, 1)], balance));
        for _ in 0..50 {
            assert_eq!(world.pick_after(&[0]), 1, "{balance:?}");
            assert_eq!(world.pick_after(&[0, 1]), 2, "{balance:?}");
            assert!(world.pick_after(&[0, 1, 2]) < 3, "{balance:?}");
        }
    }
}

#[test]
fn a_single_endpoint_is_picked_again() {
    let mut world = World::new(even(1));
    assert_eq!(world.pick_after(&[0]), 0);
}

#[test]
fn many_endpoints_are_all_used() {
    let list = vec![(0, 1); 1000];
    let mut world = World::new(endpoints(&list));
    let mut seen = vec![false; 1000];
    (0..20_000).for_each(|_| seen[usize::from(world.attempt(|_| answered(5)))] = true);
    assert!(seen.into_iter().all(|seen| seen));
}
