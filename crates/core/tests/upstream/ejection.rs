//! Statistical ejection: who is taken out, for how long, and who must stay.

use std::time::Duration;

use mainstay_core::breaker::{BreakerMode, BreakerSettings};
use mainstay_core::upstream::{EjectionSettings, Report, UpstreamSettings};
use mainstay_core::{EndpointId, Event, Ratio};

use super::world::{World, answered, even, ms};

const S: Duration = Duration::from_secs(1);

/// No breakers, no checks, and these rules.
fn world(count: usize, ejection: EjectionSettings) -> World {
    let breaker = BreakerSettings { mode: BreakerMode::Off, ..Default::default() };
    let ejection = Some(ejection);
    World::new(UpstreamSettings { breaker, ejection, health: None, ..even(count) })
}

/// An interval in which each endpoint gets 200 calls, and those of `bad` fail; then the statistics are looked at.
fn interval(world: &mut World, bad: &[u16]) {
    for endpoint in 0..world.upstream.endpoint_ids().count() as u16 {
        if world.view(endpoint).ejected_until.is_some() {
            continue;
        }
        let report = if bad.contains(&endpoint) { Report::Broke } else { answered(5) };
        (0..200).for_each(|_| world.attempt_at(endpoint, report));
    }
    world.events.clear();
    world.wait(10 * S);
    world.events.extend(world.upstream.on_time(world.now, &mut world.chance));
}

fn ejected(world: &World) -> Vec<u16> {
    let views = world.upstream.view(world.now);
    (0..).zip(&views).filter(|(_, view)| view.ejected_until.is_some()).map(|(id, _)| id).collect()
}

#[test]
fn an_endpoint_far_worse_than_its_peers_is_taken_out_and_comes_back_slowly() {
    let mut world = world(10, EjectionSettings::default());
    interval(&mut world, &[]);
    assert!(world.events.is_empty());
    interval(&mut world, &[4]);
    let [Event::EndpointEjected { endpoint: EndpointId(4), ejected_for, .. }] = world.events[..]
    else {
        panic!("{:?}", world.events);
    };
    assert!((30 * S..=33 * S).contains(&ejected_for));
    assert!(world.shares(2000, Duration::ZERO, |_| answered(5))[4] == 0);

    world.events.clear();
    world.run(ejected_for + ms(500), |_| true);
    assert_eq!(world.codes(), ["endpoint-returned"]);
    assert_eq!(world.view(4).warm, Ratio::percent(55));
}

#[test]
fn no_more_than_the_cap_are_out_but_one_may_be() {
    let mut few = world(5, EjectionSettings::default());
    interval(&mut few, &[0, 1]);
    assert_eq!(ejected(&few).len(), 1);

    let third = EjectionSettings { max_ejected: Ratio::percent(35), ..Default::default() };
    let mut some = world(10, third);
    interval(&mut some, &[0, 1, 2, 3, 4]);
    assert_eq!(ejected(&some).len(), 3);
}

#[test]
fn the_last_usable_endpoint_stays() {
    let all =
        EjectionSettings { max_ejected: Ratio::ONE, minimum_endpoints: 1, ..Default::default() };
    let mut world = world(3, all);
    interval(&mut world, &[0, 1, 2]);
    assert_eq!(ejected(&world).len(), 2);
    assert!(!world.pick().failed_open);
}

#[test]
fn each_ejection_is_longer_and_clean_intervals_make_it_shorter() {
    let settings = EjectionSettings { eject_cap: 70 * S, ..Default::default() };
    let mut world = world(10, settings);
    let ejection = |world: &mut World| {
        interval(world, &[4]);
        let ejected_for = world.events.iter().find_map(|event| match event {
            Event::EndpointEjected { ejected_for, .. } => Some(*ejected_for),
            _ => None,
        });
        world.run(ejected_for.expect("it is ejected"), |_| true);
        ejected_for.map_or(0, |it| it.as_secs() / 10 * 10)
    };
    assert_eq!(ejection(&mut world), 30);
    assert_eq!(ejection(&mut world), 60);
    assert!((70..=77).contains(&ejection(&mut world)));
    (0..12).for_each(|_| interval(&mut world, &[]));
    assert_eq!(ejection(&mut world), 30);
}

#[test]
fn a_passed_check_ends_an_ejection() {
    let settings = UpstreamSettings {
        breaker: BreakerSettings { mode: BreakerMode::Off, ..Default::default() },
        ..even(10)
    };
    let mut world = World::new(settings);
    interval(&mut world, &[4]);
    assert_eq!(ejected(&world), [4]);
    let events = world.upstream.on_check(EndpointId(4), Ok(()), world.now);
    assert_eq!(events.first(), Some(&Event::EndpointReturned { endpoint: EndpointId(4) }));
    assert!(ejected(&world).is_empty());
}

#[test]
fn calls_are_judged_in_the_interval_in_which_they_ended() {
    let mut world = world(10, EjectionSettings::default());
    interval(&mut world, &[]);
    // 99 calls are too few, and the 200 good ones before them are forgotten.
    (0..99).for_each(|_| world.attempt_at(4, Report::Broke));
    for endpoint in (0..10).filter(|&endpoint| endpoint != 4) {
        (0..200).for_each(|_| world.attempt_at(endpoint, answered(5)));
    }
    world.wait(10 * S);
    assert!(world.upstream.on_time(world.now, &mut world.chance).is_empty());
}
