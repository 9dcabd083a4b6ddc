//! `[upstream.NAME]`

use mainstay_core::UpstreamSettings;
use mainstay_core::upstream::Balance;

use super::{
    Key, Kind, Rule, call, hours, key, length, millis, minutes, own, section, switched_section,
    within,
};
use super::{breaker, budget, connect, ejection, health, load};
use crate::draft::UpstreamDraft;

pub(crate) fn upstream() -> Vec<Key<UpstreamDraft>> {
    type Draft = UpstreamDraft;
    let text = [
        "When the breaker of an endpoint opens, for how long, and how it closes again.",
        "What extra attempts (retries, failovers) cost, and how many there may be.",
        "Taking out endpoints that do worse than their peers. `ejection = false` switches it off.",
        "Active checks. `health = false` switches them off; then a dead endpoint is found by calls alone.",
        "How connections are made and watched.",
        "TLS towards endpoints.",
        "Kept connections, per endpoint.",
    ];
    let mut keys = named();
    keys.extend(within("", balancing(), |u: &mut Draft| &mut u.policy));
    keys.extend(within("", call(), |u: &mut Draft| &mut u.call));
    keys.extend(section("breaker", text[0], breaker::keys(), |u: &mut Draft| {
        &mut u.policy.breaker
    }));
    keys.extend(section("budget", text[1], budget::keys(), |u: &mut Draft| &mut u.policy.budget));
    keys.extend(switched_section("ejection", text[2], ejection::keys(), |u: &mut Draft| {
        &mut u.policy.ejection
    }));
    keys.extend(switched_section("health", text[3], health::keys(), |u: &mut Draft| &mut u.health));
    keys.extend(load::keys());
    keys.extend(section("connect", text[4], connect::connect(), |u: &mut Draft| &mut u.connect));
    keys.extend(section("tls", text[5], connect::tls(), |u: &mut Draft| &mut u.tls));
    keys.extend(section("pool", text[6], connect::pool(), |u: &mut Draft| &mut u.connect.pool));
    keys
}

fn named() -> Vec<Key<UpstreamDraft>> {
    vec![
        own("endpoints", Kind::Endpoints)
            .default_is("must be given")
            .says("Where the service is. All of them should be able to answer every request."),
        own("profile", Kind::Text(Rule::Profile))
            .default_is("none")
            .says("A named set of settings to begin with; what is written here goes on top."),
    ]
}

fn balancing() -> Vec<Key<UpstreamSettings>> {
    vec![
        key("balance", Kind::choice::<Balance>(), |u: &mut UpstreamSettings| &mut u.balance)
            .says("How an endpoint is chosen: the cheaper of two by latency and attempts in flight, one after the other, the one of two with fewer in flight, or by hash."),
        key("ewma_decay", length(millis(100), minutes(10)), |u: &mut UpstreamSettings| &mut u.ewma_decay)
            .says("Decay time of the latency average.")
            .low("Every slow answer moves the load.")
            .high("A slow endpoint keeps its load."),
        key("failure_penalty", length(millis(1), minutes(5)), |u: &mut UpstreamSettings| &mut u.failure_penalty)
            .says("Latency that is booked for a failure.")
            .low("An endpoint that fails fast attracts calls.")
            .high("One failure takes an endpoint out for long."),
        key("overprovision", Kind::Factor { min: 100, max: 1000 }, |u: &mut UpstreamSettings| &mut u.overprovision_percent)
            .says("A tier is used alone while its usable share times this is at least 1; below it, the rest spills to the next.")
            .low("The loss of one endpoint sends calls to the next tier.")
            .high("Those that are left are overloaded first."),
        key("slow_start", length(millis(0), hours(1)), |u: &mut UpstreamSettings| &mut u.slow_start)
            .says("How long an endpoint that came back takes to its full share; 0 switches it off.")
            .low("A cold endpoint gets everything at once.")
            .high("The others carry its share for that long."),
        key("fail_open", Kind::Flag, |u: &mut UpstreamSettings| &mut u.fail_open)
            .says("Whether an endpoint is asked although all are unhealthy or ejected. Never past an open breaker."),
    ]
}
