//! The admin address, over real connections.

use std::net::SocketAddr;

use mainstay_config::settings::{Admin, Secret};
use mainstay_proxy::Proxy;

use crate::support::*;

fn with_admin(endpoints: &[SocketAddr], token: Option<&str>) -> Proxy {
    let mut settings = settings(endpoints);
    let token = token.map(|token| Secret::new(token.into()));
    settings.admin = Some(Admin { address: "127.0.0.1:0".parse().unwrap(), token });
    start(settings)
}

fn ask(proxy: &Proxy, request: &str) -> Got {
    let (head, body) = request.split_once("\n\n").unwrap_or((request, ""));
    let (line, fields) = head.split_once('\n').unwrap_or((head, ""));
    let fields: String = fields.lines().map(|field| format!("{field}\r\n")).collect();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    App::at(proxy.admin_address().unwrap()).send(request).answer()
}

#[test]
fn it_says_that_it_lives_and_is_ready_until_it_drains() {
    let origin = Origin::good();
    let proxy = with_admin(&[origin.address], None);
    assert_eq!(ask(&proxy, "GET /healthz").status, 200);
    let got = ask(&proxy, "GET /readyz");
    assert_eq!((got.status, got.member("status")), (200, "ready".into()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(proxy.drain(PATIENCE)), 0);
    let got = ask(&proxy, "GET /readyz");
    assert_eq!((got.status, got.member("status")), (503, "draining".into()));
    assert_eq!(ask(&proxy, "GET /healthz").status, 200);
}

#[test]
fn each_open_connection_to_an_upstream_is_shown_with_what_it_carried() {
    let origin = Origin::good();
    let proxy = with_admin(&[origin.address], None);
    let mut app = App::of(&proxy);
    for _ in 0..3 {
        assert_eq!(app.get("/").status, 200);
    }
    let got = ask(&proxy, "GET /connections?upstream=api");
    let all: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    let all = all["connections"].as_array().unwrap();
    let peer = origin.address.to_string();
    let used = all.iter().find(|one| one["requests"] == 3).unwrap_or_else(|| panic!("{all:?}"));
    assert_eq!((&used["peer"], &used["endpoint"]), (&peer.as_str().into(), &peer.as_str().into()));
    assert_eq!((&used["state"], &used["protocol"]), (&"idle".into(), &"http/1.1".into()));
    assert!(used["bytes_sent"].as_u64() > Some(0) && used["bytes_received"].as_u64() > Some(0));
    #[cfg(target_os = "linux")]
    assert!(used["rtt_ms"].as_f64() > Some(0.0), "{used}");
    let none = ask(&proxy, "GET /connections?upstream=no%20such");
    assert!(none.body.contains("\"connections\":[]"), "{}", none.body);
}

#[test]
fn the_status_shows_upstreams_and_counts() {
    let origin = Origin::good();
    let proxy = with_admin(&[origin.address], None);
    let mut app = App::of(&proxy);
    assert_eq!(app.get("/").status, 200);
    let got = ask(&proxy, "GET /status");
    let status: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!((&status["version"], &status["generation"]), (&1.into(), &1.into()));
    assert_eq!(status["connections"]["open"], 1);
    let endpoint = &status["upstreams"][0]["endpoints"][0];
    assert_eq!(endpoint["name"], origin.address.to_string());
    assert_eq!(
        (&endpoint["breaker"]["state"], &endpoint["ordered"]),
        (&"closed".into(), &"auto".into())
    );
    assert_eq!(status["counts"]["calls"]["started"], 1);
}

#[test]
fn broken_calls_can_be_looked_up_and_followed() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = with_admin(&[closed], None);
    let mut events = App::at(proxy.admin_address().unwrap());
    events.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    events.expect(": mainstay\n\n");
    let id = App::of(&proxy).get("/x").member("call").as_str().unwrap().to_owned();
    events.expect("\"event\":\"attempt-failed\"");
    events.expect(&id);
    let got = ask(&proxy, &format!("GET /calls/{id}"));
    assert_eq!((got.status, &got.member("call")["path"]), (200, &"/x".into()));
    assert!(ask(&proxy, "GET /calls").body.contains(&id));
    assert_eq!(ask(&proxy, "GET /calls/0000000000000000").status, 404);
    assert_eq!(ask(&proxy, "GET /calls/nonsense").status, 404);
}

#[test]
fn broken_calls_are_filtered_by_outcome_upstream_and_code() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = with_admin(&[closed], None);
    // The second call's attempts open the breaker, so that the third one makes none.
    for (path, status) in [("/1", 502), ("/2", 502), ("/3", 503)] {
        assert_eq!(App::of(&proxy).get(path).status, status, "{path}");
    }
    let paths = |query: &str| {
        let got = ask(&proxy, &format!("GET /calls?{query}"));
        assert_eq!(got.status, 200, "{query}: {}", got.body);
        let calls = got.member("calls");
        let paths = calls.as_array().unwrap().iter().map(|call| call["path"].to_string());
        paths.collect::<Vec<_>>().join(" ")
    };
    let all = r#""/3" "/2" "/1""#;
    assert_eq!(paths(""), all);
    assert_eq!(paths("outcome=failed&upstream=api"), all);
    assert_eq!(paths("outcome=failed&code=connect-refused"), r#""/2" "/1""#);
    assert_eq!(paths("code=breaker-open"), r#""/3""#);
    assert_eq!(paths("upstream=%61pi&limit=2"), r#""/3" "/2""#);
    assert_eq!(paths("outcome=saved"), "");
    assert_eq!(paths("code=throttled"), "");
}

#[test]
fn a_wrong_filter_is_told_with_parameter_value_and_what_is_allowed() {
    let proxy = with_admin(&[], None);
    for (query, parameter, value, allowed) in [
        ("limit=0", "limit", "0", "a whole number, 1 to 10000"),
        ("limit", "limit", "", "a whole number, 1 to 10000"),
        ("outcome=b%61d", "outcome", "bad", "delivered, saved, as_is, cut, failed"),
        ("upstream=none", "upstream", "none", "api"),
        ("colour=red", "colour", "red", "limit, outcome, upstream, code"),
        ("limit=1&limit=2", "limit", "2", "each once"),
    ] {
        let got = ask(&proxy, &format!("GET /calls?{query}"));
        assert_eq!(got.status, 400, "{query}");
        assert_eq!(got.field("content-type"), Some("application/problem+json"), "{query}");
        let told = ["parameter", "value", "allowed"].map(|name| got.member(name));
        assert_eq!(told, [parameter, value, allowed].map(serde_json::Value::from), "{query}");
    }
    let got = ask(&proxy, "GET /calls?code=broken");
    let allowed = got.member("allowed").to_string();
    assert!(got.status == 400 && allowed.contains("reset-before-head"), "{}", got.body);
}

#[test]
fn metrics_come_in_both_forms() {
    let origin = Origin::good();
    let proxy = with_admin(&[origin.address], None);
    assert_eq!(App::of(&proxy).get("/").status, 200);
    let got = ask(&proxy, "GET /metrics");
    assert!(got.field("content-type").unwrap().starts_with("text/plain"));
    assert!(got.body.contains("mainstay_") && !got.body.contains("# EOF"));
    let got = ask(&proxy, "GET /metrics\nAccept: application/openmetrics-text; version=1.0.0");
    assert!(got.body.ends_with("# EOF\n"));
}

#[test]
fn a_breaker_can_be_held_open_and_let_go() {
    let origin = Origin::good();
    let proxy = with_admin(&[origin.address], None);
    let path = format!("/upstreams/api/endpoints/{}/breaker", origin.address);
    let order = |word: &str| ask(&proxy, &format!("POST {path}\n\n{word}")).status;
    assert_eq!(order("open"), 200);
    let got = App::of(&proxy).get("/");
    assert_eq!((got.status, got.member("break")), (503, "breaker-open".into()));
    assert_eq!(
        ask(&proxy, "GET /readyz").member("upstreams_without_usable_endpoint"),
        serde_json::json!(["api"])
    );
    assert_eq!(order("auto"), 200);
    assert_eq!(order("closed"), 200);
    assert_eq!(App::of(&proxy).get("/").status, 200);
    assert_eq!(order("ajar"), 400);
    assert_eq!(ask(&proxy, "POST /upstreams/no/endpoints/no/breaker\n\nopen").status, 404);
}

#[test]
fn the_page_is_served_without_the_token_and_says_what_it_may_do() {
    let proxy = with_admin(&[], Some("s3cret"));
    assert_eq!(ask(&proxy, "GET /status").status, 401);
    for path in ["/", "/dashboard/style.css", "/dashboard/breaks"] {
        let got = ask(&proxy, &format!("GET {path}"));
        assert_eq!(got.status, 200, "{path}");
        let policy = got.field("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert_eq!(got.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(got.field("cache-control"), Some("no-cache"));
        let again = format!("GET {path}\nIf-None-Match: {}", got.field("etag").unwrap());
        assert_eq!(ask(&proxy, &again).status, 304, "{path}");
    }
    let breaks = ask(&proxy, "GET /dashboard/breaks").body;
    assert!(breaks.contains("<h3 id=\"connect-refused\">"), "{breaks}");
}

#[test]
fn what_isnt_there_or_allowed_is_a_problem_document() {
    let proxy = with_admin(&[], None);
    for (request, status) in [
        ("GET /nothing", 404),
        ("GET /dashboard/nothing", 404),
        ("POST /", 405),
        ("POST /status", 405),
        ("GET /reload", 405),
        ("POST /reload", 409),
        ("GET /status\nOrigin: http://evil.test", 200),
        ("POST /reload\nOrigin: http://evil.test", 403),
    ] {
        let got = ask(&proxy, request);
        assert_eq!(got.status, status, "{request}");
        if status != 200 {
            assert_eq!(got.field("content-type"), Some("application/problem+json"), "{request}");
        }
    }
    let mut app = App::at(proxy.admin_address().unwrap());
    assert_eq!(app.send("GET /status HTTP/1.1\r\nHost: evil.test\r\n\r\n").answer().status, 403);
}

#[test]
fn a_token_is_asked_for() {
    let proxy = with_admin(&[], Some("s3cret"));
    assert_eq!(ask(&proxy, "GET /healthz").status, 200);
    let got = ask(&proxy, "GET /status");
    assert_eq!((got.status, got.field("www-authenticate")), (401, Some("bearer")));
    assert_eq!(ask(&proxy, "GET /status\nAuthorization: Bearer s3cret").status, 200);
}

#[test]
fn a_drained_endpoint_is_asked_no_more_and_its_idle_connections_close() {
    let (origin, other) = (Origin::good(), Origin::good());
    let proxy = with_admin(&[origin.address, other.address], None);
    let mut app = App::of(&proxy);
    for _ in 0..20 {
        assert_eq!(app.get("/").status, 200);
    }
    let idle = || {
        let status: serde_json::Value =
            serde_json::from_str(&ask(&proxy, "GET /status").body).unwrap();
        let endpoints = status["upstreams"][0]["endpoints"].as_array().unwrap();
        let name = origin.address.to_string();
        let drained = endpoints.iter().find(|one| one["name"] == name).unwrap();
        (drained["ordered"].clone(), drained["connections"]["idle"].clone())
    };
    let name = origin.address.to_string().replace(':', "%3A");
    let order = |order: &str| {
        ask(&proxy, &format!("POST /upstreams/api/endpoints/{name}/order\n\n{order}"))
    };
    let got = order("drain");
    assert_eq!(
        (got.status, got.member("order"), got.member("in_flight")),
        (200, "drain".into(), 0.into())
    );
    assert_eq!(idle(), ("drain".into(), 0.into()));
    let _ = origin.heard();
    for _ in 0..20 {
        assert_eq!(app.get("/").status, 200);
    }
    assert_eq!(origin.heard(), [""; 0]);
    assert_eq!(order("auto").status, 200);
    until(|| App::of(&proxy).get("/").status == 200 && !origin.heard().is_empty());
    assert_eq!(order("shut").status, 400);
    // Who ordered what is among the changes.
    let changes = ask(&proxy, "GET /timeline").member("changes");
    let orders: Vec<_> =
        changes.as_array().unwrap().iter().filter(|one| one["event"] == "ordered").collect();
    assert_eq!((&orders[0]["why"], orders.len()), (&"drain".into(), 2));
    assert!(orders[0]["who"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[test]
fn a_browser_acts_with_the_token_and_a_confirmation_only() {
    let origin = Origin::good();
    let name = origin.address.to_string().replace(':', "%3A");
    let order = format!("POST /upstreams/api/endpoints/{name}/order");
    let browser = "Sec-Fetch-Site: same-origin";
    let open = with_admin(&[origin.address], None);
    assert_eq!(ask(&open, &format!("GET /status\n{browser}")).status, 200);
    let got = ask(&open, &format!("{order}\n{browser}\n\nopen"));
    assert_eq!((got.status, got.member("code")), (403, "browser-without-token".into()));
    let proxy = with_admin(&[origin.address], Some("s3cret"));
    let act = |fields: &str| ask(&proxy, &format!("{order}\n{browser}\n{fields}\n\nopen"));
    assert_eq!(act("X: y").status, 401);
    let bearer = "Authorization: Bearer s3cret";
    let got = act(bearer);
    let wanted = format!("open api/{name}");
    assert_eq!((got.status, got.member("wanted")), (428, wanted.clone().into()));
    assert_eq!(act(&format!("{bearer}\nmainstay-confirm: drain api/{name}")).status, 428);
    assert_eq!(act(&format!("{bearer}\nmainstay-confirm: {wanted}")).status, 200);
    assert_eq!(App::of(&proxy).get("/").status, 503);
    // A program needs no confirmation.
    assert_eq!(ask(&proxy, &format!("{order}\n{bearer}\n\nauto")).status, 200);
    assert_eq!(App::of(&proxy).get("/").status, 200);
}
