//! What is said of requests under a config, and how it is drawn.

use http::{HeaderMap, HeaderValue, Method};
use mainstay_core::BreakKind;
use mainstay_proxy::Outlook;

use super::report::Report;
use super::{head, text};
use crate::paper::Paper;

const CONFIG: &str = r#"
listen = ["127.0.0.1:8080", "0.0.0.0:8081"]

[upstream.api]
profile = "read-api"
endpoints = [
    "http://10.0.0.1:81",
    { url = "https://b.example/base", name = "b", tier = 1, weight = 3 },
]

[upstream.one]
endpoints = ["https://one.example"]
retry.max_attempts = 1

[[route]]
name = "writes"
path = "/orders"
methods = ["POST", "PATCH"]
headers = { x-team = "blue" }
upstream = "api"

[[route]]
name = "reads"
hosts = ["api.test", "127.0.0.1"]
path = "/orders"
query = { page = true }
upstream = "api"
total_timeout = "2s"

[[route]]
name = "rest"
path = "/one"
upstream = "one"
"#;

/// What is said of this request (`METHOD URL`), with these fields.
fn report(request: &str, fields: &[(&'static str, &str)]) -> Report {
    let loaded = mainstay_config::parse(CONFIG, "mainstay.toml").expect("a config");
    let (method, url) = request.split_once(' ').expect("a request");
    let method: Method = method.parse().expect("a method");
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::try_from(*value).expect("a value"));
    }
    let head = head(&method, url, headers, &loaded.settings).expect("a request");
    let outlook = Outlook::new(&loaded.settings, &head);
    Report::new(&loaded, &head, url, &outlook)
}

const BLUE: (&str, &str) = ("x-team", "blue");
const KEY: (&str, &str) = ("idempotency-key", "7");

/// What would happen to this request if it broke so.
#[track_caller]
fn check(request: &str, fields: &[(&'static str, &str)], code: &str, certainty: &str, then: &str) {
    let report = report(request, fields);
    let said: Vec<_> = report
        .breaks
        .iter()
        .filter(|part| part.code == code && part.certainty == Some(certainty))
        .map(|part| part.then.as_str())
        .collect();
    assert!(said.contains(&then), "{request} {code} {certainty}: {said:#?}");
}

const POST: &str = "POST /orders";
const GET: &str = "GET http://api.test/orders?page=2";

#[test]
fn what_was_not_sent_goes_again_at_once_whatever_it_is() {
    let elsewhere = "again elsewhere at once, free";
    for (request, fields) in [(POST, &[BLUE][..]), (GET, &[][..])] {
        check(request, fields, "connect-refused", "not-sent", elsewhere);
        let fresh = "again at once over a fresh connection, free";
        check(request, fields, "closed-while-idle", "not-sent", fresh);
    }
}

#[test]
fn what_may_have_been_done_is_retried_or_answered_honestly() {
    let (code, certainty) = ("reset-before-head", "maybe-processed");
    check(POST, &[BLUE], code, certainty, "answered 502, outcome unknown");
    let retry = "retry elsewhere after backoff, paid by the budget";
    check(POST, &[BLUE, KEY], code, certainty, retry);
    check(GET, &[], code, certainty, retry);
}

#[test]
fn throttling_is_waited_for_where_that_is_allowed() {
    let hint = "retry elsewhere after the hint, paid by the budget";
    let report = report("GET /orders?page=1", &[]);
    let throttled = report.breaks.iter().filter(|part| part.code == "throttled");
    let said: Vec<_> = throttled.map(|part| (part.example.as_deref(), &*part.then)).collect();
    // Two seconds are all the time that the route's calls have.
    assert!(said[0].1.starts_with("the upstream's own answer (429) is delivered"), "{said:?}");
    let turned_away = "the upstream's own answer (429) is delivered: the peer turned it away, and the request isn't \
                       declared idempotent";
    check(POST, &[BLUE], "throttled", "refused", turned_away);
    check(POST, &[BLUE, KEY], "throttled", "refused", hint);
}

#[test]
fn an_answer_that_had_begun_never_looks_whole() {
    let cut = "the answer had begun: it ends as visibly broken, never as if it were whole";
    for code in ["body-reset", "body-truncated", "body-stalled"] {
        check(GET, &[], code, "processed", cut);
    }
}

#[test]
fn the_policys_own_bounds_are_told() {
    let used = "answered 502, not sent: every attempt that the policy allows was made (`retry.max_attempts`)";
    check("GET /one", &[], "connect-refused", "not-sent", used);
    let report = report("GET /one", &[]);
    let of = |code: &str| {
        let part = report.breaks.iter().find(|part| part.code == code);
        part.map(|part| part.then.clone()).unwrap_or_default()
    };
    assert!(of("breaker-open").starts_with("answered 503, not sent"), "{}", of("breaker-open"));
    assert_eq!(of("no-endpoint"), "the first attempt waits until the hint is over");
    assert_eq!(of("client-gone"), "nobody is left to answer: the attempt is cancelled");
    let late = "answered 504, not sent: the call's deadline had passed (`total_timeout`)";
    check(GET, &[], "deadline-exceeded", "not-sent", late);
}

#[test]
fn each_kind_is_told_at_each_certainty_that_it_may_have() {
    let report = report("POST /orders", &[BLUE, ("content-type", "application/grpc")]);
    for kind in BreakKind::ALL {
        let rows = || report.breaks.iter().filter(|part| part.code == kind.code());
        assert!(rows().next().is_some(), "{kind:?}");
        for certainty in kind.certainties() {
            let told =
                rows().any(|part| part.certainty.is_none_or(|told| told == certainty.code()));
            assert!(told, "{kind:?} {certainty:?}");
        }
    }
    let outcomes = report.breaks.iter().filter_map(|part| part.example.as_deref());
    assert!(outcomes.clone().any(|example| example == "grpc-status 14, pushback: never"));
}

#[test]
fn nothing_that_must_not_be_done_twice_goes_again_after_it_may_have_been_done() {
    let document = serde_json::to_value(report(POST, &[BLUE])).expect("a document");
    for part in document["breaks"].as_array().expect("breaks") {
        let goes_on = ["again", "retry", "first"].iter().any(|word| part["decision"] == **word);
        assert!(part["certainty"] != "maybe-processed" || !goes_on, "{part}");
        assert!(part["certainty"] != "processed" || !goes_on, "{part}");
    }
}

#[test]
fn a_request_is_repeatable_on_a_ground() {
    let ground = |request: &str, fields: &[(&'static str, &str)]| {
        let document = serde_json::to_value(report(request, fields)).expect("a document");
        document["repeatable"]["ground"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(ground(GET, &[]), "safe");
    assert_eq!(ground("DELETE /one", &[]), "idempotent");
    assert_eq!(ground(POST, &[BLUE, KEY]), "by-key");
    assert_eq!(ground(POST, &[BLUE]), "none");
}

#[test]
fn the_routes_before_the_one_that_matches_say_why_they_dont() {
    let report = report(GET, &[]);
    let said: Vec<_> = report.routes.iter().map(|route| (&*route.name, &*route.why)).collect();
    let writes = "the method is GET, not POST or PATCH, the head has no field x-team: blue";
    let reads = "the host is api.test or 127.0.0.1, the path fits /orders, the query has page";
    assert_eq!(said, [("writes", writes), ("reads", reads)]);
}

#[test]
fn a_value_is_told_with_its_origin() {
    let report = report(GET, &[]);
    let of = |key: &str| {
        let part = report.settings.iter().find(|part| part.key == key);
        part.map(|part| format!("{} {}", part.value, part.told)).unwrap_or_default()
    };
    assert_eq!(of("total_timeout"), "\"2s\" route, mainstay.toml:28");
    assert!(
        of("retry.max_attempts").ends_with(" profile read-api"),
        "{}",
        of("retry.max_attempts")
    );
    assert_eq!(of("idempotent"), "false default");
}

#[test]
fn what_no_route_takes_is_told_with_the_answer_that_it_gets() {
    let report = report("GET /nothing", &[]);
    let document = serde_json::to_value(&report).expect("a document");
    assert_eq!(document["answered"]["status"], 404);
    assert_eq!(document["answered"]["document"]["code"], "no-route");
    let drawn = text::told(&report, &Paper { columns: 80, unicode: false, colour: false });
    assert!(drawn.contains("404 by the proxy itself"), "{drawn}");
    assert!(!drawn.contains("What would happen"), "{drawn}");
}

#[test]
fn no_line_is_wider_than_the_paper() {
    let long = format!("GET http://api.test/orders?page={}", "x".repeat(300));
    let requests =
        [(GET, &[][..]), (POST, &[BLUE][..]), ("GET /nothing", &[][..]), (&*long, &[][..])];
    for (request, fields) in requests {
        let report = report(request, fields);
        for columns in [60, 61, 89, 90, 91, 100, 160] {
            let drawn = text::told(&report, &Paper { columns, unicode: false, colour: false });
            let wide = drawn.lines().find(|line| line.chars().count() > columns);
            assert_eq!(wide, None, "{request}, {columns} columns");
        }
    }
}

#[test]
fn the_head_of_the_drawing_says_where_the_request_goes() {
    let drawn =
        text::told(&report(GET, &[]), &Paper { columns: 120, unicode: false, colour: false });
    let wanted = "GET http://api.test/orders?page=2  host api.test
listener    http://127.0.0.1:8080, http://0.0.0.0:8081; each listener has the same routes
route       `writes` doesn't match: the method is GET, not POST or PATCH, the head has no field x-team: blue
            `reads` matches: the host is api.test or 127.0.0.1, the path fits /orders, the query has page
upstream    api
            tier 0  http://10.0.0.1:81
            tier 1  b at https://b.example/base, weight 3
repeatable  safe: GET only reads
            a body of more than ";
    assert!(drawn.starts_with(wanted), "{drawn}");
}
