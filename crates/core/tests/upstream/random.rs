//! Random steps against what must always hold. A failing run is cut down to few steps and kept by proptest, which
//! prints them with the seed.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::breaker::BreakerState;
use mainstay_core::upstream::{
    Balance, EndpointSettings, EndpointView, Permit, Report, ScopeId, UpstreamSettings, Want,
};
use mainstay_core::{EndpointId, Ratio, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

use super::world::{World, answered, ms, want};

#[derive(Clone, Debug)]
enum Step {
    Pick { tried: Vec<u16>, hash: Option<u64> },
    Report { held: usize, report: Report },
    Drop { held: usize },
    Wait { millis: u64 },
    Check { endpoint: u16, passed: bool },
    BodyFailure { endpoint: u16 },
    OnTime,
    Reload(Shape),
}

/// What a reload decides.
#[derive(Clone, Debug)]
struct Shape {
    balance: Balance,
    /// Name, tier, weight.
    endpoints: BTreeMap<u8, (u8, u16)>,
    checks: bool,
    fail_open: bool,
}

/// A permit, and which life of which endpoint it leads to.
struct Held {
    permit: Permit,
    life: (String, u32),
}

#[derive(Default)]
struct Model {
    held: Vec<Held>,
    /// How often an endpoint of that name was taken out of the settings.
    lives: BTreeMap<String, u32>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let balance = prop_oneof![
        Just(Balance::PeakEwma),
        Just(Balance::RoundRobin),
        Just(Balance::LeastRequest),
        Just(Balance::ConsistentHash),
    ];
    let endpoints = proptest::collection::btree_map(0..6_u8, (0..3_u8, 1..5_u16), 1..6);
    (balance, endpoints, any::<bool>(), any::<bool>()).prop_map(
        |(balance, endpoints, checks, fail_open)| Shape { balance, endpoints, checks, fail_open },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let report = prop_oneof![
        3 => (1..2000_u64).prop_map(answered),
        6 => Just(Report::Broke),
        1 => proptest::option::of(0..10_000_u64)
            .prop_map(|hint| Report::Throttled(hint.map(Duration::from_millis))),
        1 => Just(Report::NoNews),
    ];
    prop_oneof![
        8 => (vec(0..6_u16, 0..3), any::<Option<u64>>())
            .prop_map(|(tried, hash)| Step::Pick { tried, hash }),
        8 => (0..8_usize, report).prop_map(|(held, report)| Step::Report { held, report }),
        6 => (0..8_usize).prop_map(|held| Step::Drop { held }),
        3 => (0..3000_u64).prop_map(|millis| Step::Wait { millis }),
        2 => (0..6_u16, prop::bool::weighted(0.3))
            .prop_map(|(endpoint, passed)| Step::Check { endpoint, passed }),
        1 => (0..6_u16).prop_map(|endpoint| Step::BodyFailure { endpoint }),
        2 => Just(Step::OnTime),
        1 => shape().prop_map(Step::Reload),
    ]
}

fn settings(shape: &Shape) -> UpstreamSettings {
    let mut settings = UpstreamSettings {
        endpoints: shape
            .endpoints
            .iter()
            .map(|(name, &(tier, weight))| EndpointSettings {
                name: format!("e{name}"),
                tier,
                weight,
            })
            .collect(),
        balance: shape.balance,
        fail_open: shape.fail_open,
        ..UpstreamSettings::default()
    };
    if !shape.checks {
        settings.health = None;
    }
    if let Some(ejection) = &mut settings.ejection {
        (ejection.minimum_calls, ejection.minimum_endpoints) = (3, 2);
        ejection.max_ejected = Ratio::percent(50);
    }
    settings
}

/// Nothing speaks against asking it.
fn is_well(view: &EndpointView) -> bool {
    view.healthy
        && view.ejected_until.is_none()
        && view.throttled_until.is_none()
        && view.breaker == BreakerState::Closed
}

fn take(world: &mut World, model: &mut Model, step: Step) {
    let (now, count) = (world.now, model.held.len());
    match step {
        Step::Pick { tried, hash } => pick(world, model, &tried, hash),
        Step::Report { held, report } if count > 0 => {
            let permit = &mut model.held[held % count].permit;
            world.events.extend(permit.report(report, now, &mut world.chance));
        }
        Step::Drop { held } if count > 0 => drop(model.held.swap_remove(held % count)),
        Step::Report { .. } | Step::Drop { .. } => {}
        Step::Wait { millis } => world.wait(ms(millis)),
        Step::Check { endpoint, passed } => {
            let outcome =
                if passed { Ok(()) } else { Err(mainstay_core::BreakKind::ConnectRefused) };
            let _ = world.upstream.on_check(EndpointId(endpoint), outcome, now);
        }
        Step::BodyFailure { endpoint } => {
            let (upstream, chance) = (&world.upstream, &mut world.chance);
            let _ = upstream.note_body_failure(EndpointId(endpoint), ScopeId(0), now, chance);
        }
        Step::OnTime => {
            let _ = world.upstream.on_time(now, &mut world.chance);
        }
        Step::Reload(shape) => {
            let before = names(world);
            world.renew(settings(&shape));
            let after = names(world);
            for gone in before.into_iter().filter(|name| !after.contains(name)) {
                *model.lives.entry(gone).or_default() += 1;
            }
        }
    }
}

fn pick(world: &mut World, model: &mut Model, tried: &[u16], hash: Option<u64>) {
    let tried: Vec<_> = tried.iter().map(|&id| EndpointId(id)).collect();
    let views = world.upstream.view(world.now);
    let well = || (0..).map(EndpointId).zip(&views).filter(|(_, view)| is_well(view));
    let untried_are_well = well().any(|(id, _)| !tried.contains(&id));
    match world.try_pick(Want { tried: &tried, hash, ..want() }) {
        Ok(pick) => {
            let endpoint = pick.permit.endpoint();
            let view = &views[usize::from(endpoint.0)];
            // Before its time only where nothing else is left to ask.
            let is_open = matches!(view.breaker, BreakerState::Open { .. });
            assert!(!is_open || well().next().is_none(), "open: {view:?}");
            assert!(view.throttled_until.is_none(), "throttled: {view:?}");
            let is_in = view.healthy && view.ejected_until.is_none();
            assert_eq!(pick.failed_open, !is_in, "{view:?}");
            assert!(!pick.failed_open || well().next().is_none(), "{views:?}");
            assert!(!untried_are_well || !tried.contains(&endpoint), "tried: {views:?}");
            let life = (view.name.clone(), model.lives.get(&view.name).copied().unwrap_or(0));
            model.held.push(Held { permit: pick.permit, life });
        }
        Err(refused) => {
            assert!(well().next().is_none(), "{refused:?} of {views:?}");
            assert!(refused.until.is_none_or(|until| until > world.now), "{refused:?}");
        }
    }
}

fn names(world: &World) -> Vec<String> {
    world.upstream.view(world.now).into_iter().map(|view| view.name).collect()
}

/// Each permit that is held is in flight, and nothing else is.
fn assert_in_flight(world: &World, model: &Model) {
    for view in world.upstream.view(world.now) {
        let life = (view.name.clone(), model.lives.get(&view.name).copied().unwrap_or(0));
        let held = model.held.iter().filter(|held| held.life == life).count();
        assert_eq!(view.in_flight as usize, held, "{view:?}");
    }
}

/// From now on every endpoint answers and passes its checks.
fn stop_the_faults(world: &mut World) {
    for _ in 0..1500 {
        world.run(ms(400), |_| true);
        if let Ok(mut pick) = world.upstream.pick(want(), world.now, &mut world.chance) {
            let _ = pick.permit.report(answered(5), world.now, &mut world.chance);
        }
    }
}

fn assert_recovered(world: &World) {
    let views = world.upstream.view(world.now);
    let first = views.iter().map(|view| view.tier).min();
    for view in &views {
        let is_open = matches!(view.breaker, BreakerState::Open { .. });
        assert!(view.healthy && view.ejected_until.is_none() && !is_open, "{view:?}");
        assert!(view.throttled_until.is_none() && view.in_flight == 0, "{view:?}");
        // A standby tier has no traffic that could close a breaker.
        let is_used = Some(view.tier) == first;
        assert!(!is_used || view.breaker == BreakerState::Closed, "{view:?}");
        assert!(!is_used || view.warm == Ratio::ONE, "{view:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold_and_all_recovers(
        start in shape(),
        steps in vec(step(), 1..250),
    ) {
        let (mut world, mut model) = (World::new(settings(&start)), Model::default());
        for step in steps {
            take(&mut world, &mut model, step);
            assert_in_flight(&world, &model);
        }
        model.held.clear();
        stop_the_faults(&mut world);
        assert_recovered(&world);
        assert!(world.now < Timestamp::MAX);
    }
}
