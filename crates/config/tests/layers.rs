//! Which layer has the last word.

use std::time::Duration;

use mainstay_config::parse;
use mainstay_core::call::{HedgeAfter, HedgeSettings};
use mainstay_core::limit::LimitSettings;

/// Attempts, attempt timeout in seconds, and body idle timeout in seconds of the first route.
fn check(upstream: &str, route: &str, expected: (u8, u64, u64)) {
    let text = format!(
        "[upstream.a]\nendpoints = \"https://a.example\"\n{upstream}\n[[route]]\n{route}\n"
    );
    let loaded = parse(&text, "f").unwrap_or_else(|errors| panic!("{errors}"));
    let route = &loaded.settings.routes[0];
    let found = (
        route.policy.retry.max_attempts.count(),
        route.policy.attempt_timeout.as_secs(),
        route.body_idle_timeout.as_secs(),
    );
    assert_eq!(found, expected, "{text}");
}

#[test]
fn each_layer_goes_on_top_of_the_one_before() {
    check("", "", (3, 10, 30));
    check("profile = \"llm-stream\"", "", (2, 60, 60));
    check("retry.max_attempts = 5\nprofile = \"llm-stream\"", "", (5, 60, 60));
    check("retry.max_attempts = 5", "profile = \"llm-stream\"", (2, 60, 60));
    check(
        "retry.max_attempts = 5\nprofile = \"llm-stream\"",
        "profile = \"payments\"",
        (2, 20, 60),
    );
    check(
        "profile = \"payments\"",
        "profile = \"llm-stream\"\nretry.max_attempts = 4",
        (4, 60, 60),
    );
}

#[test]
fn what_nobody_wrote_gives_way_to_what_somebody_did() {
    check("total_timeout = \"5s\"", "", (3, 5, 30));
    check("profile = \"payments\"", "total_timeout = \"5s\"", (2, 5, 30));
    let loaded = parse(
        "[upstream.a]\nendpoints = \"http://a\"\nhealth.interval = \"500ms\"\nbreaker.open_for = \"10m\"\nbudget.capacity = 10\n",
        "f",
    );
    let policy = &loaded.unwrap().settings.upstreams[0].policy;
    assert_eq!(
        policy.health.as_ref().map(|health| health.interval_down),
        Some(Duration::from_millis(500))
    );
    assert_eq!(policy.breaker.open_cap, Duration::from_secs(600));
    assert_eq!((policy.budget.initial, policy.budget.cost), (10, 10));
}

#[test]
fn a_route_takes_of_a_profile_what_concerns_calls_alone() {
    let text = "[upstream.a]\nendpoints = \"http://a\"\n[[route]]\nprofile = \"llm-stream\"\n";
    let loaded = parse(text, "f").unwrap();
    assert_eq!(loaded.settings.upstreams[0].policy.breaker, Default::default());
}

#[test]
fn routes_with_breakers_of_their_own_are_scopes_in_their_order() {
    let text = "[upstream.a]\nendpoints = \"http://a\"\n\
        [[route]]\npath = \"/x\"\nbreaker = \"route\"\n\
        [[route]]\npath = \"/y\"\n\
        [[route]]\nname = \"z\"\nbreaker = \"route\"\n";
    let settings = parse(text, "f").unwrap().settings;
    assert_eq!(settings.upstreams[0].policy.scopes, ["a:/x", "z"]);
    let scopes: Vec<u8> = settings.routes.iter().map(|route| route.policy.scope.0).collect();
    assert_eq!(scopes, [1, 0, 2]);
}

#[test]
fn the_example_is_enough_and_has_nothing_to_warn_of() {
    let loaded = parse(mainstay_config::example(), "example").unwrap();
    assert_eq!(loaded.lint(), []);
    assert_eq!(loaded.settings.routes.len(), 1);
    assert_eq!(loaded.settings.listeners[0].address.to_string(), "127.0.0.1:8080");
}

/// What `value` says of the first route, where `upstream` and `route` are written.
fn check_load<T: std::fmt::Debug + PartialEq>(
    upstream: &str,
    route: &str,
    value: impl Fn(&mainstay_config::Settings) -> T,
    expected: T,
) {
    let text = format!(
        "[upstream.a]\nendpoints = \"https://a.example\"\n{upstream}\n[[route]]\n{route}\n"
    );
    let loaded = parse(&text, "f").unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(value(&loaded.settings), expected, "{upstream} {route}");
    let printed = mainstay_config::print(&loaded.settings);
    let again = parse(&printed, "printed").unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
    assert_eq!(again.settings, loaded.settings, "{printed}");
}

#[test]
fn a_hedge_is_off_until_it_is_written_and_a_route_may_switch_it_off_again() {
    let hedge = |settings: &mainstay_config::Settings| settings.routes[0].policy.hedge;
    let usual = HedgeSettings::default();
    let fixed = HedgeSettings { after: HedgeAfter::Fixed(Duration::from_millis(30)), ..usual };
    check_load("", "", hedge, None);
    check_load("hedge = true", "", hedge, Some(usual));
    check_load("hedge.after = \"30ms\"", "", hedge, Some(fixed));
    check_load("hedge = true", "hedge.after = \"30ms\"", hedge, Some(fixed));
    check_load("hedge.after = \"p99\"", "hedge = false", hedge, None);
}

#[test]
fn the_floor_of_a_timeout_that_adapts_gives_way_to_a_short_attempt() {
    let floor = |settings: &mainstay_config::Settings| {
        settings.routes[0].policy.adaptive_timeout.map(|adaptive| adaptive.floor.as_millis())
    };
    check_load("adaptive_timeout = true", "", floor, Some(50));
    check_load("adaptive_timeout = true", "attempt_timeout = \"20ms\"", floor, Some(20));
}

#[test]
fn bounds_of_a_limit_that_nobody_wrote_give_way_to_those_that_somebody_did() {
    let bounds =
        |settings: &mainstay_config::Settings| match &settings.upstreams[0].policy.load.limit {
            Some(LimitSettings::Adaptive(limit)) => Some((limit.min, limit.initial, limit.max)),
            Some(LimitSettings::Fixed(limit)) => Some((*limit, *limit, *limit)),
            None => None,
        };
    check_load("", "", bounds, None);
    check_load("limit = true", "", bounds, Some((4, 20, 200)));
    check_load("limit.max = 10", "", bounds, Some((4, 10, 10)));
    check_load("limit.max = 2", "", bounds, Some((2, 2, 2)));
    check_load("limit.min = 300", "", bounds, Some((300, 300, 300)));
    check_load("limit.initial = 2", "", bounds, Some((2, 2, 200)));
    check_load("limit = { kind = \"fixed\", max = 7 }", "", bounds, Some((7, 7, 7)));
    check_load("limit = { kind = \"gradient\", queue = 9 }", "", bounds, Some((4, 20, 200)));
}

#[test]
fn a_burst_is_a_tenth_of_the_rate_unless_something_is_said() {
    let burst = |settings: &mainstay_config::Settings| {
        settings.upstreams[0].policy.load.rate.as_ref().map(|rate| rate.burst)
    };
    check_load("rate.calls = 5", "", burst, Some(1));
    check_load("rate.calls = 50", "", burst, Some(5));
    check_load("rate = { calls = 50, burst = 50 }", "", burst, Some(50));
}

#[test]
fn callbacks_are_made_by_what_their_upstream_says_and_a_route_may_switch_them_off() {
    let text = r#"
        [outbox]
        callback_secrets_env = "SECRETS"
        [upstream.api]
        endpoints = ["http://a.test"]
        total_timeout = "20s"
        outbox.callback = { upstream = "app", path = "/hooks?a=b" }
        [upstream.app]
        endpoints = ["http://b.test"]
        total_timeout = "7s"
        outbox.base = "3s"
        [[route]]
        upstream = "api"
        path = "/quiet"
        outbox.callback = false
        [[route]]
        upstream = "api"
    "#;
    let loaded = parse(text, "f").unwrap_or_else(|errors| panic!("{errors}"));
    let settings = &loaded.settings;
    let callback = |index: usize| settings.routes[index].outbox.as_ref().unwrap().callback.clone();
    assert_eq!(callback(0), None);
    assert_eq!(callback(1).unwrap().path.as_deref(), Some("/hooks?a=b"));
    let [to_app] = settings.callbacks.as_slice() else { panic!("one upstream is told") };
    assert_eq!((to_app.upstream, to_app.policy.total_timeout), (1, Duration::from_secs(7)));
    assert_eq!(to_app.outbox.as_ref().unwrap().schedule.base, Duration::from_secs(3));
    assert!(!loaded.lint().iter().any(|lint| lint.to_string().contains("no route leads")));
    let printed = mainstay_config::print(settings);
    let again = parse(&printed, "printed").unwrap_or_else(|errors| panic!("{errors}\n{printed}"));
    assert_eq!(again.settings, *settings, "{printed}");
}
