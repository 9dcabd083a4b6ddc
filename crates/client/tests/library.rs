//! The face that a program sees, against servers that break.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::StreamBody;
use mainstay::{
    AttemptOutcome, AttemptReason, Body, Certainty, ErrorKind, Mainstay, OtherHosts, Saved,
    StopReason, UpstreamBuilder,
};
use mainstay_lab::{Fault, Lab, Rule, Spec};
use peer::Peer;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    id: u32,
}

/// A client of one upstream, `api`, at these servers of the lab, asked one after the other.
fn client_of(lab: &Lab, settings: &[(&str, &str)]) -> Mainstay {
    let mut api = UpstreamBuilder::new("api").set("retry.backoff.base", "1ms").set("health", false);
    for (tier, server) in (0..).zip(lab.servers()) {
        api = api.endpoint_in_tier(server.url(), tier);
    }
    for (key, value) in settings {
        api = api.set(key, *value);
    }
    Mainstay::builder().upstream(api).build().unwrap()
}

fn url(lab: &Lab, path: &str) -> String {
    format!("{}{path}", lab.servers()[0].url().trim_end_matches('/'))
}

async fn lab(names: &[&str]) -> Lab {
    Lab::start(Spec::of(names.iter().copied())).await.unwrap()
}

async fn set(lab: &Lab, server: &str, rule: &str) {
    lab.set(server, rule.parse::<Rule>().unwrap()).await.unwrap();
}

#[tokio::test]
async fn json_goes_there_and_comes_back() {
    let peer = Peer::listen().await;
    let url = format!("http://{}/orders", peer.address);
    let server = tokio::spawn(async move {
        let mut conversation = peer.accept().await;
        let head = conversation.head().await;
        let body = conversation.body(8).await;
        conversation.say("HTTP/1.1 201 Created\r\ncontent-length: 8\r\n\r\n{\"id\":8}").await;
        (head, body)
    });
    let client = Mainstay::new();
    let sent = client.post(url).query("q", "a b").header("x-a", "1").json(&Order { id: 7 });
    let response = sent.send().await.unwrap();
    assert_eq!((response.status().as_u16(), response.content_length()), (201, Some(8)));
    let attempts = response.attempts();
    assert_eq!(attempts.len(), 1);
    assert_eq!((attempts[0].reason, attempts[0].number), (AttemptReason::First, 1));
    assert_eq!(attempts[0].outcome, AttemptOutcome::Answered(Some(201)));
    assert_eq!(response.saved(), Saved::NotNeeded);
    assert_eq!(response.json::<Order>().await.unwrap(), Order { id: 8 });
    let (head, body) = server.await.unwrap();
    assert!(head.starts_with("POST /orders?q=a%20b HTTP/1.1\r\n"), "{head}");
    for field in ["content-type: application/json", "x-a: 1", "content-length: 8"] {
        assert!(head.to_lowercase().contains(field), "{head}");
    }
    assert_eq!(body, b"{\"id\":7}");
}

#[tokio::test]
async fn what_breaks_at_one_endpoint_is_answered_by_the_other_and_the_answer_says_so() {
    let lab = lab(&["a", "b"]).await;
    set(&lab, "a", "reset-before").await;
    let client = client_of(&lab, &[]);
    let response = client.get(url(&lab, "/orders/7?x=1")).send().await.unwrap();
    assert_eq!(response.saved(), Saved::ByFailover);
    let attempts = response.attempts();
    let told: Vec<_> = attempts.iter().map(|it| (it.reason, it.code(), it.certainty())).collect();
    assert_eq!(
        told,
        [
            (AttemptReason::First, Some("reset-before-head"), Some(Certainty::MaybeProcessed)),
            (AttemptReason::Failover, None, None),
        ]
    );
    let [a, b] = [0, 1].map(|place: usize| lab.servers()[place].addr().to_string());
    assert_eq!([&attempts[0].endpoint, &attempts[1].endpoint], [&a, &b]);
    let text = response.text().await.unwrap();
    assert!(text.contains("/orders/7"), "{text}");
    lab.shutdown().await;
}

#[tokio::test]
async fn a_request_that_was_not_sent_comes_back_and_can_be_sent_again() {
    let lab = lab(&["a"]).await;
    lab.set("a", Fault::Refuse).await.unwrap();
    let client = client_of(&lab, &[]);
    let post = client.post(url(&lab, "/orders")).header("x-request-id", "one").body("text");
    let error = post.send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unanswered);
    assert_eq!(
        (error.break_code(), error.certainty()),
        (Some("connect-refused"), Certainty::NotSent)
    );
    assert!(error.is_connect() && !error.is_timeout());
    assert_eq!(error.attempts().len(), 3);
    assert_eq!(error.stop_reason(), Some(StopReason::AttemptsUsed));
    assert_eq!(
        error.to_string(),
        "no answer of upstream \"api\": connect-refused after 3 attempts, and nothing was sent"
    );
    let request = error.into_request().expect("it was not sent");
    lab.set("a", Fault::Healthy).await.unwrap();
    let answer = client.execute(request).await.unwrap().text().await.unwrap();
    assert!(answer.contains("one") && answer.contains("\"bytes\":4"), "{answer}");
    assert_eq!(lab.oracle().executions("one"), 1);
    lab.shutdown().await;
}

#[tokio::test]
async fn a_write_whose_outcome_is_unknown_isnt_repeated_unless_it_has_a_key() {
    let lab = lab(&["a", "b"]).await;
    set(&lab, "a", "reset-after-execute").await;
    let client = client_of(&lab, &[]);
    let error = client.post(url(&lab, "/pay")).body("5").send().await.unwrap_err();
    assert_eq!(error.certainty(), Certainty::MaybeProcessed);
    assert_eq!(error.stop_reason(), Some(StopReason::OutcomeUnknown));
    assert!(error.into_request().is_none(), "it may have been carried out");
    let keyed = client.post(url(&lab, "/pay")).body("5").idempotency_key("k-1");
    assert_eq!(keyed.send().await.unwrap().saved(), Saved::ByFailover);
    let declared = client.post(url(&lab, "/search")).body("5").idempotent();
    assert_eq!(declared.send().await.unwrap().saved(), Saved::ByFailover);
    lab.shutdown().await;
}

#[tokio::test]
async fn the_key_goes_into_the_field_that_the_policy_names() {
    let peer = Peer::listen().await;
    let url = format!("http://{}/pay", peer.address);
    let text = format!(
        "[upstream.pay]\nendpoints = [\"http://{}\"]\nidempotency_headers = [\"x-once\"]",
        peer.address
    );
    let client = Mainstay::from_config_text(&text).unwrap();
    let server = tokio::spawn(async move {
        let mut conversation = peer.accept().await;
        let head = conversation.head().await;
        conversation.say("HTTP/1.1 204 No Content\r\n\r\n").await;
        head
    });
    let response = client.post(url).idempotency_key("k-1").send().await.unwrap();
    assert_eq!(response.bytes().await.unwrap(), "");
    assert!(server.await.unwrap().contains("x-once: k-1\r\n"));
}

#[tokio::test]
async fn a_body_in_pieces_is_sent_again_byte_by_byte_and_its_own_error_is_the_source() {
    let lab = lab(&["a", "b"]).await;
    set(&lab, "a", "reset-before").await;
    let client = client_of(&lab, &[]);
    let pieces = |last: Result<&'static str, &'static str>| {
        let items = [Ok("one "), Ok("two "), last];
        Body::from_stream(Pieces(items.into_iter().collect()))
    };
    let put = client.put(url(&lab, "/file")).body(pieces(Ok("three")));
    let response = put.send().await.unwrap();
    assert_eq!(response.saved(), Saved::ByFailover);
    let text = response.text().await.unwrap();
    assert!(text.contains("\"bytes\":13"), "{text}");
    let error =
        client.put(url(&lab, "/file")).body(pieces(Err("no more"))).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RequestBody);
    let source = std::error::Error::source(&error).expect("what the stream said");
    assert_eq!(source.to_string(), "no more");
    lab.shutdown().await;
}

/// A stream of what is here.
struct Pieces(std::collections::VecDeque<Result<&'static str, &'static str>>);

impl futures_core::Stream for Pieces {
    type Item = Result<Bytes, &'static str>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let next = self.0.pop_front();
        std::task::Poll::Ready(
            next.map(|next| next.map(|text| Bytes::from_static(text.as_bytes()))),
        )
    }
}

#[tokio::test]
async fn a_write_that_fails_while_a_body_is_sent_is_told_as_such() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file", listener.local_addr().unwrap());
    let (orders, ordered) = std::sync::mpsc::channel();
    let (does, done) = std::sync::mpsc::channel();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        ordered.recv().unwrap();
        // What is closed so is reset.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        does.send(()).unwrap();
    });
    let mut turns = 0;
    let pieces = std::future::poll_fn(move |cx| {
        turns += 1;
        match turns {
            // What there is by now, the head among it, is written.
            2 => {
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            }
            // Within one turn of the connection's task: it reads before it writes, and mustn't have seen the reset then.
            3 => {
                orders.send(()).unwrap();
                done.recv().unwrap();
                std::thread::sleep(Duration::from_millis(100));
                std::task::Poll::Ready(1 << 20)
            }
            _ => std::task::Poll::Ready(100),
        }
    });
    let client = Mainstay::new();
    let sent = client.post(url).body(Body::from_stream(Endless(pieces))).send().await;
    server.join().unwrap();
    let error = sent.unwrap_err();
    assert_eq!(error.break_code(), Some("write-failed"), "{error}");
    assert_eq!(error.certainty(), Certainty::MaybeProcessed);
}

/// Pieces of as many bytes as the future says, without an end.
struct Endless<F>(F);

impl<F: Future<Output = usize> + Unpin> futures_core::Stream for Endless<F> {
    type Item = Result<Bytes, &'static str>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::pin::Pin::new(&mut self.0).poll(cx).map(|bytes| Some(Ok(vec![0; bytes].into())))
    }
}

#[tokio::test]
async fn a_body_by_any_http_body_is_sent() {
    let lab = lab(&["a"]).await;
    let frames = Pieces([Ok("four")].into_iter().collect());
    let body = StreamBody::new(Frames(frames));
    let response = client_of(&lab, &[]).put(url(&lab, "/file")).body(Body::new(body)).send().await;
    assert!(response.unwrap().text().await.unwrap().contains("\"bytes\":4"));
    lab.shutdown().await;
}

struct Frames(Pieces);

impl futures_core::Stream for Frames {
    type Item = Result<http_body::Frame<Bytes>, &'static str>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let next = std::pin::Pin::new(&mut self.0).poll_next(cx);
        next.map(|item| item.map(|piece| piece.map(http_body::Frame::data)))
    }
}

#[tokio::test]
async fn a_timeout_of_the_call_ends_it_and_says_so() {
    let lab = lab(&["a"]).await;
    set(&lab, "a", "hang").await;
    let client = client_of(&lab, &[]);
    let get = client.get(url(&lab, "/")).timeout(Duration::from_millis(50));
    let error = get.send().await.unwrap_err();
    assert!(error.is_timeout() && !error.is_connect(), "{error:?}");
    assert_eq!(error.certainty(), Certainty::MaybeProcessed);
    lab.shutdown().await;
}

#[tokio::test]
async fn a_longer_timeout_than_the_policys_is_had_as_well() {
    let lab = lab(&["a"]).await;
    set(&lab, "a", "hang").await;
    let settings = [("total_timeout", "100ms"), ("attempt_timeout", "100ms")];
    let client = client_of(&lab, &settings);
    let attempts = async |time| {
        let get = client.get(url(&lab, "/")).timeout(time);
        get.send().await.unwrap_err().attempts().len()
    };
    assert_eq!(attempts(Duration::from_millis(100)).await, 1);
    assert_eq!(attempts(Duration::from_secs(5)).await, 3);
    lab.shutdown().await;
}

#[tokio::test]
async fn a_status_of_failure_is_an_answer_until_it_is_asked_for_as_an_error() {
    let lab = lab(&["a"]).await;
    set(&lab, "a", "status code=404").await;
    let client = client_of(&lab, &[]);
    let response = client.get(url(&lab, "/")).send().await.unwrap();
    assert!(!response.is_last_resort());
    let error = response.error_for_status().unwrap_err();
    assert_eq!(error.status().map(|status| status.as_u16()), Some(404));
    assert!(error.is_status());
    set(&lab, "a", "status code=503").await;
    let response = client.get(url(&lab, "/")).send().await.unwrap();
    assert!(response.is_last_resort(), "nothing better came");
    assert_eq!((response.saved(), response.attempts().len()), (Saved::NotNeeded, 3));
    lab.shutdown().await;
}

#[tokio::test]
async fn a_download_that_breaks_goes_on_and_its_attempts_tell() {
    let lab = lab(&["a", "b"]).await;
    set(&lab, "a", "reset-in-body at=middle").await;
    let client = client_of(&lab, &[]);
    let mut response = client.get(url(&lab, "/bytes/200000")).send().await.unwrap();
    let mut read = Vec::new();
    while let Some(piece) = response.chunk().await.unwrap() {
        read.extend_from_slice(&piece);
        set(&lab, "a", "healthy").await;
    }
    let right = (0..200_000).map(mainstay_lab::pattern_byte);
    assert!(right.eq(read.iter().copied()), "byte by byte");
    let reasons: Vec<_> = response.attempts().iter().map(|attempt| attempt.reason).collect();
    assert_eq!(reasons, [AttemptReason::First, AttemptReason::Resume]);
    lab.shutdown().await;
}

#[tokio::test]
async fn a_body_that_breaks_for_good_and_one_that_is_too_long_are_errors() {
    let lab = lab(&["a"]).await;
    set(&lab, "a", "truncate-chunked at=middle").await;
    let client = client_of(&lab, &[("heal.hold_for", "1ms")]);
    let post = client.post(url(&lab, "/x")).body("text").send().await.unwrap();
    let error = post.bytes().await.unwrap_err();
    assert_eq!((error.kind(), error.break_code()), (ErrorKind::Body, Some("body-truncated")));
    assert_eq!(error.certainty(), Certainty::Processed);
    set(&lab, "a", "healthy").await;
    for (limit, fits) in [(999, false), (1000, true)] {
        let response = client.get(url(&lab, "/bytes/1000")).send().await.unwrap();
        let read = response.bytes_within(limit).await;
        assert_eq!(read.map(|bytes| bytes.len()).ok(), fits.then_some(1000));
    }
    lab.shutdown().await;
}

#[tokio::test]
async fn hosts_without_an_upstream_get_one_or_an_error() {
    let lab = lab(&["a", "b"]).await;
    let urls: Vec<String> = lab.servers().iter().map(|server| server.url()).collect();
    let client = Mainstay::builder().other_hosts(OtherHosts::Allow { most: 1 }).build().unwrap();
    for url in urls.iter().chain(&urls) {
        assert!(client.get(url).send().await.unwrap().status().is_success());
    }
    assert_eq!(client.counts().upstreams.len(), 2, "each is counted under its own name");

    let known = UpstreamBuilder::new("a").endpoint(&urls[0]);
    let client =
        Mainstay::builder().upstream(known).other_hosts(OtherHosts::Refuse).build().unwrap();
    assert!(client.get(&urls[0]).send().await.unwrap().status().is_success());
    let error = client.get(format!("{}?secret=1", urls[1])).send().await.unwrap_err();
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::NoRoute, Certainty::NotSent));
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(error.into_request().is_some());
    for wrong in ["/path", "ftp://a.example/", "http://me:secret@a.example/"] {
        let error = client.get(wrong).send().await.unwrap_err();
        assert!(error.is_builder() && !error.to_string().contains("secret"), "{error}");
    }
    lab.shutdown().await;
}

#[tokio::test]
async fn a_url_below_an_endpoint_and_a_path_of_its_upstream_are_the_same_request() {
    let lab = lab(&["a"]).await;
    let api = UpstreamBuilder::new("api").endpoint(url(&lab, "/v7")).set("health", false);
    let client = Mainstay::builder().upstream(api).other_hosts(OtherHosts::Refuse).build().unwrap();
    let by_url =
        client.get(url(&lab, "/v7/orders?x=1")).send().await.unwrap().text().await.unwrap();
    assert!(by_url.contains("\"/v7/orders"), "{by_url}");
    let api = client.upstream("api").unwrap();
    let by_path = api.get("/orders?x=1").send().await.unwrap().text().await.unwrap();
    assert!(by_path.contains("\"/v7/orders"), "{by_path}");
    let error = client.get(url(&lab, "/v70")).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRoute, "it isn't below the endpoint");
    assert!(api.get("orders").send().await.unwrap_err().is_builder());
    assert!(client.upstream("other").is_none());
    lab.shutdown().await;
}

#[tokio::test]
async fn a_policy_files_routes_are_taken_as_the_proxy_takes_them() {
    let lab = lab(&["a", "b"]).await;
    let [a, b] = [0, 1].map(|place: usize| lab.servers()[place].url());
    let text = format!(
        "[upstream.reads]\nendpoints = [\"{a}\"]\n\
         [upstream.writes]\nendpoints = [\"{b}\"]\n\
         [[route]]\nhosts = [\"shop.test\"]\nmethods = [\"POST\"]\nupstream = \"writes\"\n\
         [[route]]\nhosts = [\"shop.test\"]\nupstream = \"reads\"\n\
         [[route]]\nupstream = \"writes\"\n"
    );
    let client = Mainstay::from_config_text(&text).unwrap();
    let server_of = async |request: mainstay::RequestBuilder| {
        request.send().await.unwrap().text().await.unwrap()
    };
    assert!(server_of(client.get("http://shop.test/x")).await.contains("\"server\":\"a\""));
    assert!(server_of(client.post("http://shop.test/x")).await.contains("\"server\":\"b\""));
    // What names no host takes only what belongs to its upstream.
    assert!(server_of(client.get(format!("{b}/x"))).await.contains("\"server\":\"b\""));
    assert!(server_of(client.get(format!("{a}/x"))).await.contains("\"server\":\"a\""));
    lab.shutdown().await;
}

/// Calls, one of which breaks, and no task of the client's is left when it is gone.
async fn leaves_no_task() {
    let lab = lab(&["a", "b"]).await;
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let client = client_of(&lab, &[]);
    let clone = client.clone();
    for path in ["/bytes/100000", "/orders", "/events?count=3&every=1ms"] {
        let response = client.get(url(&lab, path)).send().await.unwrap();
        response.bytes().await.unwrap();
    }
    drop(client.get(url(&lab, "/bytes/100000")).send().await.unwrap());
    drop(client);
    assert!(clone.get(url(&lab, "/")).send().await.is_ok(), "a clone goes on");
    drop(clone);
    let ends = async {
        // The lab's connections are tasks as well, and end with their clients'.
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ends).await.expect("all tasks have ended");
    lab.shutdown().await;
}

#[tokio::test]
async fn no_task_is_left_on_a_runtime_of_one_thread() {
    leaves_no_task().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_is_left_on_a_runtime_of_several_threads() {
    leaves_no_task().await;
}

#[test]
fn a_client_outlives_its_runtime_and_needs_one_to_call() {
    let client = Mainstay::new();
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lab = lab(&["a"]).await;
            assert!(client.get(url(&lab, "/")).send().await.is_ok());
            lab.shutdown().await;
        });
    }
    let mut call = std::pin::pin!(client.get("http://127.0.0.1:9/").send());
    let polled = call.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    let std::task::Poll::Ready(Err(error)) = polled else { panic!("{polled:?}") };
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Setup, Certainty::NotSent));
    assert!(error.into_request().is_some());
}

#[test]
fn clients_requests_and_errors_can_be_shared_by_threads_and_futures_can_move() {
    fn shared<T: Send + Sync>() {}
    fn moves<T: Send>(_: &T) {}
    shared::<Mainstay>();
    shared::<mainstay::Request>();
    shared::<mainstay::Error>();
    shared::<mainstay::CallError<std::io::Error>>();
    shared::<mainstay::BuildError>();
    moves(&Mainstay::new().get("http://a.example/").send());
}
