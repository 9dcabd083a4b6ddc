//! Active checks: when they are due, what they change, and how an endpoint comes back.

use std::time::Duration;

use mainstay_core::breaker::{BreakerState, Forced};
use mainstay_core::upstream::{HealthSettings, Report, UpstreamSettings};
use mainstay_core::{BreakKind, EndpointId, Event, Ratio, Timestamp};

use super::world::{World, answered, assert_shares, even, ms, want};

const REFUSED: BreakKind = BreakKind::ConnectRefused;

fn fail_checks(world: &mut World, endpoint: u16, times: usize) {
    for _ in 0..times {
        world.events.extend(world.upstream.on_check(EndpointId(endpoint), Err(REFUSED), world.now));
    }
}

fn pass_check(world: &mut World, endpoint: u16) {
    world.events.extend(world.upstream.on_check(EndpointId(endpoint), Ok(()), world.now));
}

#[test]
fn each_endpoint_is_checked_once_in_its_interval() {
    let mut world = World::new(even(10));
    let start = world.now;
    let mut checks = vec![Vec::new(); 10];
    while world.now < start + Duration::from_secs(60) {
        world.now = world.upstream.next_deadline();
        for endpoint in world.upstream.checks_due(world.now, &mut world.chance) {
            checks[usize::from(endpoint.0)].push(world.now);
        }
        assert!(world.upstream.checks_due(world.now, &mut world.chance).is_empty());
        let _ = world.upstream.on_time(world.now, &mut world.chance);
    }
    assert!(checks[0][0] <= start + ms(100));
    for times in checks {
        assert!(times[0] <= start + ms(1000));
        let gaps = times.windows(2).map(|pair| pair[1].since(pair[0]));
        assert!(gaps.clone().all(|gap| (ms(4500)..=ms(5500)).contains(&gap)));
        assert!(gaps.clone().min() < gaps.max(), "there is jitter");
    }
}

#[test]
fn an_endpoint_that_is_down_is_checked_more_often() {
    let mut world = World::new(even(1));
    world.run(ms(1200), |_| true);
    let _ = world.upstream.force(EndpointId(0), Forced::Open, world.now);
    let mut checks = 0;
    let end = world.now + Duration::from_secs(10);
    while world.now < end {
        checks += world.upstream.checks_due(world.now, &mut world.chance).len();
        world.wait(ms(10));
    }
    assert!((9..=11).contains(&checks), "{checks}");
}

#[test]
fn without_checks_none_is_due_and_nothing_is_unhealthy() {
    let settings = UpstreamSettings { health: None, ejection: None, ..even(2) };
    let mut world = World::new(settings);
    world.wait(Duration::from_secs(100));
    assert!(world.upstream.checks_due(world.now, &mut world.chance).is_empty());
    fail_checks(&mut world, 0, 10);
    assert!(world.view(0).healthy && world.codes().is_empty());
    assert_eq!(world.upstream.next_deadline(), Timestamp::MAX);
}

#[test]
fn checks_in_a_row_change_the_mind() {
    let health = HealthSettings { rise: 2, fall: 3, ..Default::default() };
    let mut world = World::new(UpstreamSettings { health: Some(health), ..even(2) });
    fail_checks(&mut world, 0, 2);
    pass_check(&mut world, 0);
    fail_checks(&mut world, 0, 2);
    assert!(world.view(0).healthy);
    fail_checks(&mut world, 0, 1);
    assert_eq!(world.codes(), ["endpoint-unhealthy"]);
    assert_shares(&world.shares(200, ms(1), |_| answered(5)), &[0, 100], 0);

    pass_check(&mut world, 0);
    assert!(!world.view(0).healthy);
    pass_check(&mut world, 0);
    assert_eq!(world.codes(), ["endpoint-healthy"]);
}

#[test]
fn what_broke_in_a_check_is_told() {
    let mut world = World::new(even(2));
    assert_eq!(world.view(0).last_check, None);
    fail_checks(&mut world, 0, 2);
    let expired = Err(BreakKind::CertificateExpired);
    world.events.extend(world.upstream.on_check(EndpointId(0), expired, world.now));
    let told =
        Event::EndpointUnhealthy { endpoint: EndpointId(0), kind: BreakKind::CertificateExpired };
    assert_eq!(world.events, [told], "the last one's, since it is what one would see now");
    let broke = |world: &World| world.view(0).last_check.expect("there was one").broke;
    assert_eq!(broke(&world), Some(BreakKind::CertificateExpired));
    pass_check(&mut world, 0);
    assert_eq!(broke(&world), None);
}

#[test]
fn an_endpoint_that_came_back_starts_slowly() {
    let slow_start = Duration::from_secs(100);
    let mut world = World::new(UpstreamSettings { slow_start, ..even(10) });
    fail_checks(&mut world, 3, 3);
    pass_check(&mut world, 3);
    assert_eq!(world.view(3).warm, Ratio::percent(10));
    let share = |world: &mut World| world.shares(20_000, Duration::ZERO, |_| answered(5))[3];
    assert!(share(&mut world) <= 2);
    world.wait(Duration::from_secs(50));
    assert_eq!(world.view(3).warm, Ratio::percent(55));
    let half = share(&mut world);
    assert!((5..=8).contains(&half), "{half}");
    world.wait(Duration::from_secs(50));
    assert_eq!(world.view(3).warm, Ratio::ONE);
    assert!((9..=11).contains(&share(&mut world)));
}

#[test]
fn all_endpoints_warming_up_at_once_still_take_everything() {
    let mut world = World::new(even(3));
    for endpoint in 0..3 {
        fail_checks(&mut world, endpoint, 3);
        pass_check(&mut world, endpoint);
    }
    assert_shares(&world.shares(3000, Duration::ZERO, |_| answered(5)), &[33, 33, 33], 4);
}

#[test]
fn when_all_are_unhealthy_one_is_asked_all_the_same() {
    let mut world = World::new(even(3));
    (0..3).for_each(|endpoint| fail_checks(&mut world, endpoint, 3));
    let pick = world.pick();
    assert!(pick.failed_open);
    drop(pick);
    // Never past an open breaker.
    for endpoint in [0, 2] {
        let _ = world.upstream.force(EndpointId(endpoint), Forced::Open, world.now);
    }
    for _ in 0..50 {
        assert_eq!(world.pick().permit.endpoint().0, 1);
    }
    let _ = world.upstream.force(EndpointId(1), Forced::Open, world.now);
    assert_eq!(world.try_pick(want()).expect_err("all are open").kind, BreakKind::BreakerOpen);
}

#[test]
fn without_failing_open_nobody_is_asked() {
    let mut world = World::new(UpstreamSettings { fail_open: false, ..even(2) });
    (0..2).for_each(|endpoint| fail_checks(&mut world, endpoint, 3));
    let refused = world.try_pick(want()).expect_err("both are unhealthy");
    assert_eq!((refused.kind, refused.until), (BreakKind::NoEndpoint, None));
}

#[test]
fn a_throttled_endpoint_is_waited_for_rather_than_asking_an_unhealthy_one() {
    let mut world = World::new(even(2));
    fail_checks(&mut world, 0, 3);
    world.attempt_at(1, Report::Throttled(Some(ms(700))));
    let refused = world.try_pick(want()).expect_err("one is out, one asked to be left alone");
    assert_eq!((refused.kind, refused.until), (BreakKind::NoEndpoint, Some(world.now + ms(700))));
}

#[test]
fn a_passed_check_lets_an_open_breaker_probe() {
    let mut world = World::new(even(1));
    (0..5).for_each(|_| world.attempt_at(0, Report::Broke));
    assert!(world.try_pick(want()).is_err());
    world.events.clear();
    pass_check(&mut world, 0);
    assert!(matches!(world.events[..], [Event::BreakerHalfOpened { .. }]));
    assert!(matches!(world.view(0).breaker, BreakerState::HalfOpen { .. }));
    assert!(world.pick().permit.is_probe());
}

/// Opens the breaker of endpoint 0 by failing calls.
fn break_calls(world: &mut World) {
    for _ in 0..5 {
        let pick = world.upstream.pick_again(EndpointId(0), Default::default(), world.now);
        let mut permit = pick.expect("closed").permit;
        permit.report(Report::Broke, world.now, &mut world.chance);
    }
    assert!(matches!(world.upstream.view(world.now)[0].breaker, BreakerState::Open { .. }));
}

fn is_open(world: &World) -> bool {
    matches!(world.upstream.view(world.now)[0].breaker, BreakerState::Open { .. })
}

#[test]
fn a_check_that_never_failed_does_not_bring_a_breaking_endpoint_back_early() {
    let mut world = World::new(even(3));
    (0..3).for_each(|_| pass_check(&mut world, 0));
    break_calls(&mut world);
    pass_check(&mut world, 0);
    assert!(
        is_open(&world),
        "it accepts connections, as it did all the time, and calls break all the same"
    );
}

#[test]
fn a_check_that_failed_and_passes_again_has_seen_the_trouble_end() {
    let mut world = World::new(even(3));
    pass_check(&mut world, 0);
    break_calls(&mut world);
    fail_checks(&mut world, 0, 1);
    pass_check(&mut world, 0);
    assert!(!is_open(&world));
}

#[test]
fn where_nothing_else_is_left_any_passed_check_is_believed() {
    let mut world = World::new(even(1));
    (0..3).for_each(|_| pass_check(&mut world, 0));
    break_calls(&mut world);
    pass_check(&mut world, 0);
    assert!(!is_open(&world));
}
