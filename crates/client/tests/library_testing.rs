//! Scripted upstreams: what a program sees of an outage, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::time::Duration;

use mainstay::testing::{Act, Script, check};
use mainstay::{
    AttemptReason, BreakKind, Certainty, ErrorKind, Mainstay, Saved, StopReason, UpstreamBuilder,
};
use tokio::time::Instant;

fn client(script: &Script) -> Mainstay {
    let orders = UpstreamBuilder::new("orders")
        .endpoint_in_tier("https://a.example/v1", 0)
        .endpoint_in_tier("https://b.example", 1);
    Mainstay::builder().upstream(orders).scripted(script).build().unwrap()
}

const URL: &str = "https://a.example/v1/orders?x=1";

#[tokio::test(start_paused = true)]
async fn a_call_is_retried_elsewhere_and_the_endpoints_see_what_was_sent() {
    let script = Script::new()
        .at("a.example:443", [Act::reset()])
        .at("b.example:443", [Act::answer(201, "ok")]);
    let put = client(&script).put(URL).header("x-a", "1").body("text");
    let response = put.send().await.unwrap();
    check(&response.attempts())
        .retries(1)
        .after_at_least(Duration::from_millis(1))
        .elsewhere()
        .because(AttemptReason::Failover)
        .after_break("reset-before-head");
    assert_eq!((response.status().as_u16(), response.saved()), (201, Saved::ByFailover));
    assert_eq!(response.text().await.unwrap(), "ok");
    let seen: Vec<_> = script.seen();
    let told: Vec<_> = seen.iter().map(|it| (it.endpoint.as_str(), it.target.as_str())).collect();
    assert_eq!(told, [("a.example:443", "/v1/orders?x=1"), ("b.example:443", "/orders?x=1")]);
    assert!(seen.iter().all(|it| it.body == "text" && it.headers["x-a"] == "1"));
}

#[tokio::test(start_paused = true)]
async fn minutes_of_an_outage_cost_no_time_and_end_when_the_script_says_so() {
    let begun = std::time::Instant::now();
    let script = Script::new()
        .at("a.example:443", [Act::hang()])
        .at("b.example:443", [Act::status(503).header("retry-after", "120")]);
    let client = client(&script);
    let virtually = Instant::now();
    let response = client.get(URL).send().await.unwrap();
    assert!(response.is_last_resort() && response.status().as_u16() == 503);
    assert!(virtually.elapsed() >= Duration::from_secs(10), "the first attempt had its time");
    script.now_at("a.example:443", [Act::status(200)]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    let response = client.get(URL).send().await.unwrap();
    check(&response.attempts()).first_was_enough();
    assert!(begun.elapsed() < Duration::from_secs(10), "in real time");
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_seen_by_nobody_and_comes_back() {
    let script =
        Script::new().at("a.example:443", [Act::refuse()]).at("b.example:443", [Act::refuse()]);
    let client = client(&script);
    let error = client.post(URL).body("text").send().await.unwrap_err();
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Unanswered, Certainty::NotSent));
    assert!(script.seen().is_empty());
    script.now_at("b.example:443", [Act::status(204)]);
    let request = error.into_request().unwrap();
    assert_eq!(client.execute(request).await.unwrap().status().as_u16(), 204);
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_outcome_is_unknown_is_seen_once() {
    let unknown = Act::broken(BreakKind::StreamError, Certainty::MaybeProcessed);
    let script = Script::new().at("a.example:443", [unknown.after(Duration::from_secs(2))]);
    let client = client(&script);
    let error = client.post(URL).body("text").send().await.unwrap_err();
    assert_eq!(error.stop_reason(), Some(StopReason::OutcomeUnknown));
    assert_eq!(error.attempts()[0].took, Some(Duration::from_secs(2)), "to the millisecond");
    assert_eq!(script.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_keeps_requests_away_and_closes_in_virtual_time() {
    let script = Script::new().at("a.example:443", [Act::status(500)]);
    // It is told at once, not waited for.
    let orders = UpstreamBuilder::new("orders")
        .endpoint("https://a.example/v1")
        .set("breaker.wait_for", Duration::ZERO);
    let client = Mainstay::builder().upstream(orders).scripted(&script).build().unwrap();
    let mut open = false;
    for _ in 0..20 {
        let sent = client.get(URL).send().await;
        open |= sent.is_err_and(|error| error.break_code() == Some("breaker-open"));
    }
    assert!(open, "the breaker has opened");
    script.now_at("a.example:443", [Act::status(200)]);
    tokio::time::sleep(Duration::from_secs(301)).await;
    assert_eq!(client.get(URL).send().await.unwrap().status().as_u16(), 200);
}

#[test]
#[should_panic(expected = "1 further attempts in place of 2; the attempts were [")]
fn a_check_that_doesnt_hold_shows_the_attempts() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let script = Script::new().at("a.example:443", [Act::reset()]);
        let response = client(&script).get(URL).send().await.unwrap();
        let _ = check(&response.attempts()).retries(2);
    });
}

#[tokio::test(start_paused = true)]
async fn a_call_of_any_kind_heeds_the_script_and_its_closure_is_asked_where_that_answers() {
    let script = Script::new()
        .at("127.0.0.1:1", [Act::refuse()])
        .at("127.0.0.1:2", [Act::status(200).after(Duration::from_millis(30))]);
    let db = UpstreamBuilder::new("db")
        .endpoint_in_tier("127.0.0.1:1", 0)
        .endpoint_in_tier("127.0.0.1:2", 1);
    let client = Mainstay::builder().upstream(db).scripted(&script).build().unwrap();
    let db = client.upstream("db").unwrap();
    let asked = std::cell::Cell::new(0);
    let call = |endpoint: mainstay::Endpoint, _| {
        asked.set(asked.get() + 1);
        async move { Ok::<_, std::io::Error>(endpoint.port()) }
    };
    let begun = Instant::now();
    assert_eq!(db.call(call).send().await.unwrap(), 2);
    assert_eq!(asked.get(), 1);
    assert!(begun.elapsed() >= Duration::from_millis(30));
    // Where everything breaks there is no error of the closure's, which never ran.
    script.now_at("127.0.0.1:2", [Act::reset()]);
    let error = db.call(call).send().await.unwrap_err();
    assert_eq!((error.break_code(), asked.get()), (Some("reset-before-head"), 1));
    check(error.attempts()).retries(1).elsewhere().after_break("connect-refused");
}

#[tokio::test(start_paused = true)]
async fn a_layer_heeds_the_script_above_the_client_that_it_wraps() {
    use http_body_util::Empty;
    use mainstay::tower::{AttemptBody, MainstayLayer};
    use tower_layer::Layer;

    let script = Script::new().at("a.example:443", [Act::refuse(), Act::reset(), Act::status(200)]);
    let api = UpstreamBuilder::new("api").endpoint("https://a.example");
    let client = Mainstay::builder().upstream(api).scripted(&script).build().unwrap();
    let inner = tower::service_fn(|_: http::Request<AttemptBody>| async {
        Ok::<_, std::io::Error>(http::Response::new(Empty::<bytes::Bytes>::new()))
    });
    let service = MainstayLayer::new(&client.upstream("api").unwrap()).layer(inner);
    let get = http::Request::get("https://a.example/").body(Empty::<bytes::Bytes>::new()).unwrap();
    let response = tower::ServiceExt::oneshot(service.clone(), get).await.unwrap();
    assert_eq!(response.status(), 200);
    script.now_at("a.example:443", [Act::reset()]);
    let post =
        http::Request::post("https://a.example/").body(Empty::<bytes::Bytes>::new()).unwrap();
    let error = tower::ServiceExt::oneshot(service, post).await.map(|_| ()).unwrap_err();
    check(error.attempts()).retries(0);
    assert_eq!(error.break_code(), Some("reset-before-head"));
}
