//! Which layer has the last word.

use std::time::Duration;

use mainstay_config::parse;

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
