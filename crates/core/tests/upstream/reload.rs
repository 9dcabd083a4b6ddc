//! What a new generation of settings keeps.

use std::time::Duration;

use mainstay_core::breaker::{BreakerState, Forced};
use mainstay_core::upstream::{Report, ScopeId, UpstreamSettings, Want};
use mainstay_core::{EndpointId, Ratio};

use super::world::{World, answered, endpoints, even, ms, want};

fn reversed(settings: UpstreamSettings) -> UpstreamSettings {
    let endpoints = settings.endpoints.into_iter().rev().collect();
    UpstreamSettings { endpoints, ..settings }
}

#[test]
fn endpoints_keep_their_state_by_name() {
    let mut world = World::new(even(3));
    world.attempt_at(0, answered(40));
    world.attempt_at(1, Report::Throttled(Some(Duration::from_secs(9))));
    let _ = world.upstream.force(EndpointId(2), Forced::Open, world.now);
    let held = world.pick();
    let mut before = world.upstream.view(world.now);
    before.reverse();

    world.renew(reversed(even(3)));
    assert_eq!(world.upstream.view(world.now), before);
    drop(held);
    assert!(world.upstream.view(world.now).iter().all(|view| view.in_flight == 0));
}

#[test]
fn a_permit_of_the_generation_before_reports_to_the_shared_state() {
    let mut world = World::new(even(1));
    let mut held = world.pick();
    world.renew(endpoints(&[(0, 1), (0, 1)]));
    let _ = held.permit.report(answered(40), world.now, &mut world.chance);
    assert_eq!(world.view(0).counts.calls, 1);
    assert!(world.view(0).latency > ms(39));
    assert_eq!(held.permit.upstream().endpoint_ids().count(), 1);
}

#[test]
fn a_new_endpoint_starts_slowly_and_a_known_one_goes_on() {
    let mut world = World::new(even(1));
    assert_eq!(world.view(0).warm, Ratio::ONE);
    world.renew(even(2));
    assert_eq!(world.view(0).warm, Ratio::ONE);
    assert_eq!(world.view(1).warm, Ratio::percent(10));
    assert_eq!(world.upstream.endpoint_by_name("e1"), Some(EndpointId(1)));
    assert_eq!(world.upstream.endpoint_by_name("e2"), None);
    assert_eq!(world.upstream.endpoint_name(EndpointId(9)), "");
}

#[test]
fn a_routes_breaker_is_kept_by_its_name() {
    let with = |scopes: &[&str]| UpstreamSettings {
        scopes: scopes.iter().map(ToString::to_string).collect(),
        ..even(1)
    };
    let mut world = World::new(with(&["a", "b"]));
    for _ in 0..5 {
        let mut pick = world.try_pick(Want { scope: ScopeId(2), ..want() }).expect("it is closed");
        let _ = pick.permit.report(Report::Broke, world.now, &mut world.chance);
    }
    world.renew(with(&["c", "b"]));
    let states: Vec<_> = world.view(0).route_breakers;
    assert_eq!(states[0], ("c".to_string(), BreakerState::Closed));
    assert!(matches!(&states[1], (name, BreakerState::Open { .. }) if name == "b"));
    world.renew(with(&["c"]));
    world.renew(with(&["c", "b"]));
    assert_eq!(world.view(0).route_breakers[1].1, BreakerState::Closed);
}

#[test]
fn what_checks_and_statistics_found_ends_with_them() {
    let mut world = World::new(even(2));
    for _ in 0..3 {
        let _ = world.upstream.on_check(
            EndpointId(0),
            Err(mainstay_core::BreakKind::ConnectRefused),
            world.now,
        );
    }
    world.renew(even(2));
    assert!(!world.view(0).healthy);
    world.renew(UpstreamSettings { health: None, ..even(2) });
    assert!(world.view(0).healthy);
}

#[test]
fn the_budget_goes_on_through_a_reload() {
    let mut world = World::new(even(1));
    let reserve = |world: &World| {
        let price = mainstay_core::budget::Price::Transient;
        world.upstream.budget().reserve(price, world.now)
    };
    let first = reserve(&world).expect("five retries at the start");
    let level = world.upstream.budget().level(world.now);
    world.renew(even(2));
    assert_eq!(world.upstream.budget().level(world.now), level);
    drop(first);
    assert!(world.upstream.budget().level(world.now).tokens > level.tokens);
}
