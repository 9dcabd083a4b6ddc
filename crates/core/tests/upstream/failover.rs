//! What is picked when endpoints are out: the next tier, nobody, or somebody all the same.

use std::time::Duration;

use mainstay_core::breaker::{BreakerMode, BreakerSettings, BreakerState, Forced};
use mainstay_core::upstream::{NoPick, Purpose, Report, ScopeId, UpstreamSettings, Want};
use mainstay_core::{BreakKind, EndpointId, Event, Timestamp};

use super::world::{World, answered, assert_shares, endpoints, even, ms, want};

/// Opens the breaker of each of these endpoints for good.
fn open(world: &mut World, list: impl IntoIterator<Item = u16>) {
    for endpoint in list {
        let events = world.upstream.force(EndpointId(endpoint), Forced::Open, world.now);
        assert_eq!(events.len(), 1);
    }
    world.wait(ms(100));
}

/// So many of ten endpoints of tier 0 are out; tier 0 gets this share, in percent, and tier 1 the rest.
#[track_caller]
fn check_spill(out: u16, share: u32) {
    let list: Vec<_> = (0..20).map(|place| (place / 10, 1)).collect();
    let mut world = World::new(endpoints(&list));
    open(&mut world, 0..out);
    let shares = world.shares(20_000, Duration::ZERO, |_| answered(5));
    assert_eq!(shares[..usize::from(out)].iter().sum::<u32>(), 0);
    let tier_0: u32 = shares[..10].iter().sum();
    assert!(tier_0.abs_diff(share) <= 2, "{tier_0} %, not {share} %: {shares:?}");
}

#[test]
fn a_tier_spills_what_140_percent_of_its_usable_part_cannot_carry() {
    check_spill(0, 100);
    check_spill(2, 100);
    check_spill(3, 98);
    check_spill(5, 70);
    check_spill(9, 14);
    check_spill(10, 0);
}

#[test]
fn a_tier_takes_over_at_once_when_the_one_before_is_gone() {
    let mut world = World::new(endpoints(&[(0, 1), (1, 1), (3, 1)]));
    assert_eq!(world.pick().permit.endpoint().0, 0);
    open(&mut world, [0, 1]);
    assert_eq!(world.pick().permit.endpoint().0, 2);
    let _ = world.upstream.force(EndpointId(0), Forced::No, world.now);
    world.wait(ms(100));
    assert_shares(&world.shares(1000, ms(10), |_| answered(5)), &[100, 0, 0], 2);
}

#[test]
fn when_every_breaker_refuses_the_earliest_end_is_told() {
    let mut world = World::new(even(3));
    for endpoint in 0..3 {
        (0..5).for_each(|_| world.attempt_at(endpoint, Report::Broke));
        world.wait(ms(10));
    }
    let ends: Vec<Timestamp> = (0..3)
        .map(|endpoint| match world.view(endpoint).breaker {
            BreakerState::Open { until } => until,
            other => panic!("{other:?}"),
        })
        .collect();
    let until = ends.into_iter().min();
    let refused = world.try_pick(want()).expect_err("all are open");
    assert_eq!(refused, NoPick { kind: BreakKind::BreakerOpen, until, may_end: true });

    world.now = until.expect("three ends");
    let pick = world.pick();
    assert!(pick.permit.is_probe() && !pick.failed_open);
    assert!(matches!(pick.event, Some(Event::BreakerHalfOpened { .. })));
}

#[test]
fn a_breaker_forced_open_has_no_end() {
    let mut world = World::new(even(1));
    open(&mut world, [0]);
    let refused = world.try_pick(want()).expect_err("it is open");
    assert_eq!(refused, NoPick { kind: BreakKind::BreakerOpen, until: None, may_end: false });
    let again = world.upstream.pick_again(EndpointId(0), ScopeId(0), world.now);
    assert_eq!(again.expect_err("it is open").kind, BreakKind::BreakerOpen);
    let elsewhere = world.upstream.pick_again(EndpointId(7), ScopeId(0), world.now);
    assert_eq!(elsewhere.expect_err("there is none").kind, BreakKind::NoEndpoint);
}

#[test]
fn an_endpoint_whose_breaker_wants_a_probe_gets_it_in_spite_of_its_record() {
    let mut world = World::new(UpstreamSettings { slow_start: Duration::ZERO, ..even(2) });
    (0..5).for_each(|_| world.attempt_at(0, Report::Broke));
    let shares = world.shares(2000, ms(1), |_| answered(5));
    assert_shares(&shares, &[0, 100], 0);
    // 5 s at most, and three probes; then it has its share again.
    world.wait(Duration::from_secs(5));
    let _ = world.shares(1000, ms(1), |_| answered(5));
    assert_eq!(world.view(0).breaker, BreakerState::Closed);
    assert_shares(&world.shares(10_000, ms(1), |_| answered(5)), &[50, 50], 5);
    assert_eq!(world.codes(), ["breaker-opened", "breaker-half-opened", "breaker-closed"]);
}

#[test]
fn an_open_breaker_in_mode_stop_retries_stops_extra_attempts_only() {
    let breaker = BreakerSettings { mode: BreakerMode::StopRetries, ..Default::default() };
    let mut world = World::new(UpstreamSettings { breaker, ..even(1) });
    (0..5).for_each(|_| world.attempt_at(0, Report::Broke));
    assert!(world.try_pick(want()).is_ok());
    let refused =
        world.try_pick(Want { purpose: Purpose::Again, ..want() }).expect_err("it is extra");
    assert_eq!(refused.kind, BreakKind::BreakerOpen);
}

#[test]
fn a_breaker_in_mode_off_never_refuses() {
    let breaker = BreakerSettings { mode: BreakerMode::Off, ..Default::default() };
    let mut world = World::new(UpstreamSettings { breaker, ..even(1) });
    (0..50).for_each(|_| world.attempt_at(0, Report::Broke));
    assert!(world.try_pick(Want { purpose: Purpose::Again, ..want() }).is_ok());
}

#[test]
fn a_route_with_a_breaker_of_its_own_leaves_the_others_alone() {
    let settings = UpstreamSettings { scopes: vec!["slow".into()], ..even(1) };
    let mut world = World::new(settings);
    let slow = Want { scope: ScopeId(1), ..want() };
    for _ in 0..5 {
        let mut pick = world.try_pick(slow).expect("it is closed");
        let _ = pick.permit.report(Report::Broke, world.now, &mut world.chance);
    }
    assert_eq!(world.try_pick(slow).expect_err("it is open").kind, BreakKind::BreakerOpen);
    assert!(world.try_pick(want()).is_ok());
    let view = world.view(0);
    assert_eq!(view.breaker, BreakerState::Closed);
    assert!(matches!(view.route_breakers[..], [(_, BreakerState::Open { .. })]));
}

#[test]
fn a_throttled_endpoint_is_avoided_until_its_hint_is_over() {
    let mut world = World::new(even(2));
    world.attempt_at(0, Report::Throttled(Some(Duration::from_secs(60))));
    assert_eq!(world.codes(), ["endpoint-throttled"]);
    assert_shares(&world.shares(500, ms(100), |_| answered(5)), &[0, 100], 0);
    world.wait(Duration::from_secs(60));
    let _ = world.shares(500, ms(1), |_| answered(5));
    assert_shares(&world.shares(2_000, ms(1), |_| answered(5)), &[50, 50], 10);
}

#[test]
fn a_weaker_hint_never_shortens_a_stronger_one() {
    let mut world = World::new(even(1));
    let until = world.now + Duration::from_secs(60);
    world.attempt_at(0, Report::Throttled(Some(Duration::from_secs(60))));
    world.attempt_at(0, Report::Throttled(Some(Duration::from_secs(1))));
    world.attempt_at(0, Report::Throttled(None));
    assert_eq!(world.view(0).throttled_until, Some(until));
    assert_eq!(world.codes(), ["endpoint-throttled"]);
}

#[test]
fn when_all_are_throttled_the_earliest_end_is_told() {
    let mut world = World::new(even(2));
    let until = world.now + ms(1000);
    world.attempt_at(0, Report::Throttled(Some(Duration::from_secs(60))));
    world.attempt_at(1, Report::Throttled(None));
    let refused = world.try_pick(want()).expect_err("both asked to be left alone");
    let expected = NoPick { kind: BreakKind::NoEndpoint, until: Some(until), may_end: false };
    assert_eq!(refused, expected);
    world.now = until;
    assert_eq!(world.pick().permit.endpoint().0, 1);
}

#[test]
fn an_attempt_without_news_says_nothing() {
    let mut world = World::new(even(1));
    for _ in 0..50 {
        world.attempt_at(0, Report::NoNews);
        drop(world.pick());
    }
    let view = world.view(0);
    assert_eq!((view.counts.calls, view.latency, view.in_flight), (0, Duration::ZERO, 0));
}

#[test]
fn only_the_first_report_counts_and_the_permit_stays_in_flight_until_dropped() {
    let mut world = World::new(even(1));
    let mut pick = world.pick();
    for report in [answered(5), Report::Broke, Report::Broke] {
        let _ = pick.permit.report(report, world.now, &mut world.chance);
    }
    let view = world.view(0);
    assert_eq!((view.counts.calls, view.counts.failures, view.in_flight), (1, 0, 1));
    drop(pick);
    assert_eq!(world.view(0).in_flight, 0);
}

#[test]
fn a_body_that_breaks_counts_against_its_endpoint() {
    let breaker = BreakerSettings { consecutive_failures: 3, ..Default::default() };
    let mut world = World::new(UpstreamSettings { breaker, ..even(1) });
    let mut opened = None;
    for _ in 0..20 {
        world.attempt_at(0, answered(5));
        let (upstream, chance) = (&world.upstream, &mut world.chance);
        opened =
            opened.or(upstream.note_body_failure(EndpointId(0), ScopeId(0), world.now, chance));
        if opened.is_some() {
            break;
        }
    }
    assert!(matches!(opened, Some(Event::BreakerOpened { .. })));
    assert_eq!(world.view(0).latency, Duration::from_secs(5));
}
