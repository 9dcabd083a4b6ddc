//! The path of a call that goes well allocates nothing, and neither do the usual ways in which it goes badly.

use std::time::Duration;

use mainstay_core::limit::{AdaptiveSettings, GradientRule, Limit, LimitRule, LimitSettings};
use mainstay_core::upstream::{
    Balance, EndpointSettings, Purpose, Report, ScopeId, UpstreamSettings, Want,
};
use mainstay_core::{Chance, Checked, EndpointId, Timestamp, Upstream};

/// `calls` calls with this outcome on an upstream of two tiers allocate nothing. Each is tried twice if it fails.
#[track_caller]
fn check(balance: Balance, calls: u64, outcome: impl Fn(EndpointId) -> Report) {
    let endpoint = |n: u16| EndpointSettings {
        name: format!("endpoint {n}"),
        tier: (n / 20) as u8,
        weight: 1 + n % 3,
    };
    let settings = UpstreamSettings {
        endpoints: (0..40).map(endpoint).collect(),
        balance,
        ..UpstreamSettings::default()
    };
    let settings = Checked::new(settings).expect("the settings are within their rules");
    let mut chance = Chance::from_seed(1);
    let upstream = Upstream::new(settings, Timestamp::ZERO, &mut chance);
    let counted = allocation_counter::measure(|| {
        for call in 0..calls {
            let now = Timestamp::from_nanos(call * 1_000_000);
            upstream.budget().on_call(now);
            let mut tried = None;
            for purpose in [Purpose::First, Purpose::Again] {
                let want =
                    Want { tried: tried.as_slice(), scope: ScopeId(0), purpose, hash: Some(call) };
                let Ok(mut pick) = upstream.pick(want, now, &mut chance) else { continue };
                let endpoint = pick.permit.endpoint();
                let _ = pick.permit.report(outcome(endpoint), now, &mut chance);
                tried = Some(endpoint);
            }
            upstream.budget().on_first_try_success();
        }
    });
    assert_eq!(counted.count_total, 0, "{balance:?}: {counted:?}");
}

const ALL: [Balance; 4] =
    [Balance::PeakEwma, Balance::LeastRequest, Balance::RoundRobin, Balance::ConsistentHash];

#[test]
fn calls_that_go_well_allocate_nothing() {
    for balance in ALL {
        check(balance, 10_000, |_| Report::Answered(Duration::from_millis(5)));
    }
}

#[test]
fn calls_that_break_or_are_throttled_allocate_nothing() {
    for balance in ALL {
        check(balance, 10_000, |_| Report::Broke);
        check(balance, 10_000, |endpoint| match endpoint.0 % 3 {
            0 => Report::Answered(Duration::from_millis(5)),
            1 => Report::Throttled(Some(Duration::from_millis(300))),
            _ => Report::NoNews,
        });
    }
}

#[test]
fn a_limit_allocates_nothing_when_it_moves_either() {
    for rule in [LimitRule::default(), LimitRule::Gradient(GradientRule::default())] {
        let settings = AdaptiveSettings { rule, ..AdaptiveSettings::default() };
        let limit = Limit::new(LimitSettings::Adaptive(settings));
        let counted = allocation_counter::measure(|| {
            for call in 0..10_000 {
                let now = Timestamp::from_millis(call * 10);
                let took = Duration::from_millis(call % 100);
                let _ = limit.on_answer(took, limit.current(), now);
            }
            let _ = limit.on_drop(1, Timestamp::from_millis(200_000));
        });
        assert_ne!(limit.current(), 20);
        assert_eq!(counted.count_total, 0, "{counted:?}");
    }
}
