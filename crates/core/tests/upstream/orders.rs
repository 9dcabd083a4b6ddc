//! What an operator orders: it holds until taken back, and nobody takes it for a failure.

use mainstay_core::breaker::BreakerState;
use mainstay_core::upstream::{Order, Report};
use mainstay_core::{BreakKind, EndpointId, Event};

use super::world::*;

fn order(world: &mut World, endpoint: u16, order: Order) -> Vec<Event> {
    let events = world.upstream.order(EndpointId(endpoint), order, world.now);
    assert_eq!(world.upstream.ordered(EndpointId(endpoint)), order);
    events
}

#[test]
fn a_drained_endpoint_gets_nothing_new_and_what_is_under_way_ends_well() {
    let mut world = World::new(even(3));
    let mut under_way = loop {
        let pick = world.pick();
        if pick.permit.endpoint().0 == 1 {
            break pick;
        }
    };
    assert_eq!(order(&mut world, 1, Order::Drain), []);
    for _ in 0..200 {
        assert_ne!(world.attempt(|_| Report::Answered(ms(5))), 1);
    }
    let view = world.view(1);
    assert_eq!((view.drained, view.in_flight, view.breaker), (true, 1, BreakerState::Closed));
    let event = under_way.permit.report(Report::Answered(ms(9)), world.now, &mut world.chance);
    drop(under_way);
    assert_eq!((event, world.view(1).in_flight), (None, 0));
    assert_eq!(order(&mut world, 1, Order::Auto), []);
    assert!((0..200).any(|_| world.attempt(|_| Report::Answered(ms(5))) == 1));
}

#[test]
fn failing_open_asks_no_drained_endpoint() {
    let mut world = World::new(even(2));
    order(&mut world, 0, Order::Drain);
    order(&mut world, 1, Order::Drain);
    let refused = world.try_pick(want()).expect_err("both are drained");
    assert_eq!((refused.kind, refused.until), (BreakKind::NoEndpoint, None));
}

#[test]
fn a_drained_tier_hands_its_calls_on() {
    let mut world = World::new(endpoints(&[(0, 1), (1, 1)]));
    order(&mut world, 0, Order::Drain);
    world.wait(ms(200));
    assert_eq!(world.shares(100, ms(10), |_| Report::Answered(ms(5))), [0, 100]);
}

#[test]
fn one_order_takes_the_place_of_another_and_outlives_a_reload() {
    let mut world = World::new(even(2));
    assert!(matches!(order(&mut world, 0, Order::Open)[..], [Event::BreakerOpened { .. }]));
    assert!(matches!(order(&mut world, 0, Order::Drain)[..], [Event::BreakerClosed { .. }]));
    assert_eq!(world.view(0).breaker, BreakerState::Closed);
    world.renew(even(3));
    assert_eq!(world.upstream.ordered(EndpointId(0)), Order::Drain);
    for _ in 0..100 {
        assert_ne!(world.attempt(|_| Report::Answered(ms(5))), 0);
    }
    order(&mut world, 0, Order::Closed);
    assert!((0..200).any(|_| world.attempt(|_| Report::Answered(ms(5))) == 0));
    assert_eq!(Order::ALL.map(|one| Order::from_code(one.code())), Order::ALL.map(Some));
}
