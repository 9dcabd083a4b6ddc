//! Whole calls: an application, the driver, and peers that do what a test says.
//!
//! The application is a raw socket in front of a hyper server, so that request bodies arrive as they do in the proxy.

mod peer;

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mainstay::body::BodyError;
use mainstay::{Client, DeliveredBody, Plan, Source, Unanswered};
use mainstay_core::event::StopReason;
use mainstay_core::{BreakKind, Certainty};
use peer::plan::plan;
use peer::{Conversation, Peer};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

type Ended = Result<(u16, Result<String, BreakKind>), Unanswered>;

/// An application that says `request`; what comes of each of its calls is sent on.
fn application(plan: Plan, client: Client) -> (DuplexStream, mpsc::UnboundedReceiver<Ended>) {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (ended, results) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let (plan, client, ended) = (plan.clone(), client.clone(), ended.clone());
        async move {
            let (head, body) = request.into_parts();
            let outcome = match client.call(&plan, head, Source::Incoming(body)).await {
                Ok(answer) => {
                    let status = answer.response.status().as_u16();
                    Ok((status, read(answer.response.into_body()).await))
                }
                Err(unanswered) => Err(unanswered),
            };
            // The test may have seen enough.
            let _ = ended.send(outcome);
            Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
        }
    });
    tokio::spawn(
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(theirs), service),
    );
    (ours, results)
}

async fn read(body: DeliveredBody) -> Result<String, BreakKind> {
    let whole = body.collect().await.map_err(|error| error.what.kind)?.to_bytes();
    Ok(String::from_utf8_lossy(&whole).into_owned())
}

async fn say(application: &mut DuplexStream, text: &str) {
    application.write_all(text.as_bytes()).await.expect("room");
}

async fn read_post(conversation: &mut Conversation, body: &[u8]) {
    let head = conversation.head().await;
    assert!(head.starts_with("POST "), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert_eq!(conversation.body(body.len()).await, body);
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn keyed_post(body: &str) -> String {
    format!(
        "POST /x HTTP/1.1\r\nhost: app\r\nidempotency-key: 1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_repeated_body_is_the_same_to_the_byte() {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, _) = plan(&[&first, &second], "");
    let body = "0123456789".repeat(20_000);
    let (mut app, mut ended) = application(plan, Client::new(1 << 20));
    say(&mut app, &keyed_post(&body)).await;
    let mut conversation = first.accept().await;
    read_post(&mut conversation, body.as_bytes()).await;
    conversation.reset();
    let mut conversation = second.accept().await;
    read_post(&mut conversation, body.as_bytes()).await;
    conversation.say(OK).await;
    assert_eq!(ended.recv().await.unwrap().unwrap(), (200, Ok("ok".into())));
}

#[tokio::test]
async fn a_body_that_broke_off_half_sent_is_repeated_from_its_start() {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, _) = plan(&[&first, &second], "");
    let (mut app, mut ended) = application(plan, Client::new(1 << 20));
    say(
        &mut app,
        "POST /x HTTP/1.1\r\nhost: app\r\nidempotency-key: 1\r\ncontent-length: 10\r\n\r\n01234",
    )
    .await;
    let mut conversation = first.accept().await;
    conversation.head().await;
    assert_eq!(conversation.body(5).await, b"01234");
    conversation.reset();
    let mut conversation = second.accept().await;
    say(&mut app, "56789").await;
    read_post(&mut conversation, b"0123456789").await;
    conversation.say(OK).await;
    assert_eq!(ended.recv().await.unwrap().unwrap(), (200, Ok("ok".into())));
}

#[tokio::test]
async fn a_body_above_the_routes_limit_is_sent_once_and_the_call_says_so() {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, recorder) = plan(&[&first, &second], "replay = \"1KiB\"");
    let body = "x".repeat(4096);
    let (mut app, mut ended) = application(plan, Client::new(1 << 20));
    say(&mut app, &keyed_post(&body)).await;
    let mut conversation = first.accept().await;
    read_post(&mut conversation, body.as_bytes()).await;
    conversation.reset();
    let gave_up = ended.recv().await.unwrap().unwrap_err().gave_up;
    assert_eq!(gave_up.stop, StopReason::Unrepeatable);
    assert_eq!(gave_up.certainty, Certainty::MaybeProcessed);
    assert_eq!(recorder.counts().upstreams[0].bodies_unrepeatable, 1);
}

#[tokio::test]
async fn memory_for_replay_is_bounded_for_all_calls_together() {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, _) = plan(&[&first, &second], "");
    let (mut app, mut ended) = application(plan, Client::new(100));
    say(&mut app, &keyed_post(&"x".repeat(101))).await;
    let mut conversation = first.accept().await;
    read_post(&mut conversation, &[b'x'; 101]).await;
    conversation.reset();
    assert_eq!(ended.recv().await.unwrap().unwrap_err().gave_up.stop, StopReason::Unrepeatable);
}

#[tokio::test]
async fn a_body_larger_than_allowed_ends_the_call() {
    let peer = Peer::listen().await;
    let (mut plan, _) = plan(&[&peer], "");
    plan.body_bytes = Some(10);
    let (mut app, mut ended) = application(plan, Client::new(1 << 20));
    say(&mut app, "POST /x HTTP/1.1\r\nhost: app\r\ntransfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n").await;
    let _conversation = peer.accept().await;
    let unanswered = ended.recv().await.unwrap().unwrap_err();
    assert_eq!(unanswered.request_error, Some(BodyError::TooLarge));
}

#[tokio::test]
async fn a_body_is_not_asked_for_before_a_connection_exists() {
    // A port that refuses: it was bound, and is closed again.
    let gone = Peer::listen().await;
    let there = Peer::listen().await;
    let (plan, _) = plan(&[&gone, &there], "");
    drop(gone);
    let (mut app, mut ended) = application(plan, Client::new(1 << 20));
    say(&mut app, "POST /x HTTP/1.1\r\nhost: app\r\ncontent-length: 4\r\n\r\n").await;
    let mut conversation = there.accept().await;
    let head = conversation.head().await;
    assert!(head.starts_with("POST /x"), "{head}");
    say(&mut app, "body").await;
    assert_eq!(conversation.body(4).await, b"body");
    conversation.say(OK).await;
    assert_eq!(ended.recv().await.unwrap().unwrap(), (200, Ok("ok".into())));
}

#[tokio::test]
async fn an_application_that_breaks_off_ends_its_call_and_says_nothing_about_the_peer() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], "");
    let service = Arc::clone(&plan.service);
    let (mut app, _ended) = application(plan, Client::new(1 << 20));
    say(&mut app, "POST /x HTTP/1.1\r\nhost: app\r\ncontent-length: 10\r\n\r\n0123").await;
    let mut conversation = peer.accept().await;
    conversation.head().await;
    drop(app);
    conversation.ended().await;
    while recorder.counts().calls.records < 1 {
        tokio::task::yield_now().await;
    }
    let view = &service.upstream().view(mainstay::Clock::now())[0];
    assert_eq!((view.in_flight, view.counts.failures), (0, 0));
    assert_eq!(recorder.counts().calls.failed, 1);
}

#[tokio::test]
async fn a_broken_attempt_is_recorded_with_the_table_s_verdict_and_how_things_stood() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], "retry = { max_attempts = 1 }");
    let client = Client::new(1 << 20);
    let unavailable = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let answering = async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(unavailable).await;
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.reset();
    };
    let calling = async {
        for method in ["GET", "POST"] {
            let request = Request::builder().method(method).uri("/x").body(()).unwrap();
            drop(client.call(&plan, request.into_parts().0, Source::Empty).await);
        }
    };
    tokio::join!(answering, calling);
    let attempts = recorder.recent().into_iter().map(|record| record.attempts[0].clone());
    let seen: Vec<_> = attempts
        .map(|attempt| {
            let circumstances = attempt.circumstances.expect("circumstances");
            (attempt.code.unwrap(), attempt.verdict.unwrap(), circumstances.breaker)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("reset-before-head".into(), "outcome-unknown".into(), "closed".into()),
            ("server-error".into(), "retry".into(), "closed".into()),
        ]
    );
}

#[tokio::test]
async fn each_attempt_of_a_broken_call_is_recorded_with_its_connection_and_steps() {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, recorder) = plan(&[&first, &second], "");
    let client = Client::new(1 << 20);
    let answering = async {
        let mut conversation = first.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
        conversation.head().await;
        conversation.say("HTTP").await;
        conversation.reset();
        let mut conversation = second.accept().await;
        conversation.head().await;
        conversation.say(OK).await;
    };
    let calling = async {
        for _ in 0..2 {
            let (head, ()) = Request::get("/x").body(()).unwrap().into_parts();
            let answer = client.call(&plan, head, Source::Empty).await.expect("an answer");
            assert_eq!(read(answer.response.into_body()).await, Ok("ok".into()));
        }
    };
    tokio::join!(answering, calling);
    let record = recorder.recent().remove(0);
    let told: Vec<_> = record
        .attempts
        .iter()
        .map(|attempt| {
            let connection = attempt.connection.as_ref().expect("a connection");
            let steps = attempt.steps.iter().map(|step| format!("{} {}", step.step, step.outcome));
            let (peer, before) = (connection.peer, connection.requests_before);
            (peer, connection.reused, before, steps.collect::<Vec<_>>().join(", "))
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some(first.address), true, 1, "send done, first-byte done".into()),
            (
                Some(second.address),
                false,
                0,
                "connect done, send done, first-byte done, body done".into()
            ),
        ]
    );
    assert!(record.attempts[0].connection.as_ref().unwrap().idle_ms.is_some());
    assert_ne!(
        record.attempts[0].connection.as_ref().unwrap().id,
        record.attempts[1].connection.as_ref().unwrap().id
    );
}

#[tokio::test]
async fn a_body_that_broke_is_the_last_step_of_its_attempt() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], "heal.hold = false");
    let client = Client::new(1 << 20);
    let answering = async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234").await;
        conversation.reset();
    };
    let calling = async {
        let (head, ()) = Request::get("/x").body(()).unwrap().into_parts();
        let answer = client.call(&plan, head, Source::Empty).await.expect("an answer");
        read(answer.response.into_body()).await.expect_err("a break")
    };
    let ((), kind) = tokio::join!(answering, calling);
    let record = recorder.recent().remove(0);
    let last = record.attempts[0].steps.last().expect("a step");
    assert_eq!((&*last.step, last.code.as_deref()), ("body", Some(kind.code())));
}

#[tokio::test]
async fn a_call_that_is_dropped_gives_everything_back() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], "");
    let client = Client::new(1 << 20);
    let (head, ()) = Request::get("/x").body(()).unwrap().into_parts();
    let asked = async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation
    };
    tokio::select! {
        _ = client.call(&plan, head, Source::Empty) => panic!("the peer never answers"),
        mut conversation = asked => conversation.ended().await,
    }
    let view = &plan.service.upstream().view(mainstay::Clock::now())[0];
    assert_eq!((view.in_flight, view.counts.failures), (0, 0));
    let calls = recorder.counts().calls;
    assert_eq!((calls.started, calls.failed, calls.in_progress, calls.records), (1, 1, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_ended_loudly() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], "body_idle_timeout = \"5s\"");
    let client = Client::new(1 << 20);
    let (head, ()) = Request::get("/x").body(()).unwrap().into_parts();
    let answering = async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234").await;
        conversation
    };
    let calling = async {
        let answer = client.call(&plan, head, Source::Empty).await.expect("an answer");
        read(answer.response.into_body()).await
    };
    let (_conversation, body) = tokio::join!(answering, calling);
    assert_eq!(body, Err(BreakKind::BodyStalled));
    assert_eq!(recorder.counts().upstreams[0].endpoints[0].body_failures["body-stalled"], 1);
}

#[tokio::test]
async fn the_last_real_answer_comes_with_its_body() {
    let peer = Peer::listen().await;
    let (plan, _) = plan(&[&peer], "retry = { max_attempts = 2 }");
    let client = Client::new(1 << 20);
    let (head, ()) = Request::get("/x").body(()).unwrap().into_parts();
    let answering = async {
        let mut first = peer.accept().await;
        first.head().await;
        first.say("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\n\r\nsorry").await;
        let mut second = peer.accept().await;
        second.head().await;
        second.reset();
        first
    };
    let calling = async {
        let answer = client.call(&plan, head, Source::Empty).await.expect("an answer");
        assert!(answer.as_is);
        assert_eq!((answer.response.status().as_u16(), answer.attempts), (503, 2));
        read(answer.response.into_body()).await
    };
    let (_first, body) = tokio::join!(answering, calling);
    assert_eq!(body, Ok("sorry".into()));
}

/// What comes of a call that is turned away with these fields: the status, and how many attempts were made.
async fn turned_away(status: &str, fields: &str) -> (u16, u16) {
    let peer = Peer::listen().await;
    let (plan, _) = plan(
        &[&peer],
        "total_timeout = \"20s\"\nretry = { max_attempts = 2, throttled_base = \"1ms\" }",
    );
    let client = Client::new(1 << 20);
    let (head, ()) = Request::get("/x").body(()).expect("a request").into_parts();
    let answering = async {
        let mut first = peer.accept().await;
        loop {
            if first.next_head().await.is_none() {
                return;
            }
            first.say(&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n{fields}\r\n")).await;
        }
    };
    let calling = async {
        let answer = client.call(&plan, head, Source::Empty).await.expect("an answer");
        (answer.response.status().as_u16(), answer.attempts)
    };
    tokio::select! {
        () = answering => unreachable!("the connection is kept"),
        seen = calling => seen,
    }
}

#[tokio::test]
async fn hints_of_all_kinds_are_heeded_and_one_beyond_the_deadline_is_passed_on_at_once() {
    for fields in [
        "Retry-After: 360\r\n",
        "retry-after-ms: 360000\r\n",
        "RateLimit: \"day\";r=0;t=360\r\n",
        "RateLimit-Remaining: 0\r\nRateLimit-Reset: 360\r\n",
        "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 4102444800\r\n",
        "x-ratelimit-remaining-tokens: 0\r\nx-ratelimit-reset-tokens: 6m0s\r\n",
        "anthropic-ratelimit-tokens-remaining: 0\r\nanthropic-ratelimit-tokens-reset: 2100-01-01T00:00:00Z\r\n",
    ] {
        assert_eq!(turned_away("429 Too Many Requests", fields).await, (429, 1), "{fields}");
    }
}

#[tokio::test]
async fn an_allowance_that_is_left_and_a_503_whose_allowance_is_spent_are_no_hints() {
    let left = "X-RateLimit-Remaining: 7\r\nX-RateLimit-Reset: 360\r\n";
    assert_eq!(turned_away("429 Too Many Requests", left).await, (429, 2));
    let spent = "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 360\r\n";
    assert_eq!(turned_away("503 Service Unavailable", spent).await, (503, 2));
}

#[tokio::test]
async fn a_body_that_waits_for_100_continue_is_sent_when_the_peer_says_so() {
    let peer = Peer::listen().await;
    let (plan, _) = plan(&[&peer], "");
    let (mut app, mut ended) = application(plan, Client::new(1 << 20));
    say(
        &mut app,
        "POST /x HTTP/1.1\r\nhost: app\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\nbody",
    )
    .await;
    let mut conversation = peer.accept().await;
    let head = conversation.head().await;
    assert!(head.contains("expect: 100-continue"), "{head}");
    conversation.say("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(conversation.body(4).await, b"body");
    conversation.say(OK).await;
    assert_eq!(ended.recv().await.unwrap().unwrap(), (200, Ok("ok".into())));
}

#[tokio::test]
async fn a_refusal_instead_of_100_continue_is_delivered_without_the_body() {
    let peer = Peer::listen().await;
    let (plan, _) = plan(&[&peer], "");
    let (mut app, mut ended) = application(plan, Client::new(1 << 20));
    say(
        &mut app,
        "POST /x HTTP/1.1\r\nhost: app\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n",
    )
    .await;
    let mut conversation = peer.accept().await;
    conversation.head().await;
    conversation.say("HTTP/1.1 417 Expectation Failed\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(ended.recv().await.unwrap().unwrap(), (417, Ok(String::new())));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_moves_outlives_the_attempts_timeout() {
    let peer = Peer::listen().await;
    let (plan, _) = plan(&[&peer], "attempt_timeout = \"1s\"\ntotal_timeout = \"20s\"");
    let (mut app, mut ended) = application(plan, Client::new(1 << 20));
    say(&mut app, "POST /x HTTP/1.1\r\nhost: app\r\ncontent-length: 5\r\n\r\n").await;
    let mut conversation = peer.accept().await;
    conversation.head().await;
    for piece in ["0", "1", "2", "3", "4"] {
        tokio::time::advance(Duration::from_millis(700)).await;
        say(&mut app, piece).await;
        assert_eq!(conversation.body(1).await, piece.as_bytes());
    }
    conversation.say(OK).await;
    assert_eq!(ended.recv().await.unwrap().unwrap(), (200, Ok("ok".into())));
}

#[tokio::test]
async fn an_answer_that_ends_with_trailers_ends_its_call() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], "");
    let client = Client::new(1 << 20);
    let (head, ()) = Request::get("/x").body(()).unwrap().into_parts();
    let answering = async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation
            .say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n2\r\nok\r\n0\r\nx-end: 1\r\n\r\n")
            .await;
        conversation
    };
    let calling = async {
        let mut body =
            client.call(&plan, head, Source::Empty).await.expect("an answer").response.into_body();
        // As hyper's server does: nobody asks again after the trailers.
        while !body.frame().await.expect("a frame").expect("whole").is_trailers() {}
    };
    let (_conversation, ()) = tokio::join!(answering, calling);
    assert!(recorder.counts().upstreams[0].endpoints[0].body_failures.is_empty());
    assert_eq!(recorder.counts().calls.records, 1);
}

#[tokio::test]
async fn only_100_continue_makes_a_body_wait() {
    let peer = Peer::listen().await;
    let (plan, _) = plan(&[&peer], "");
    let (mut app, mut ended) = application(plan, Client::new(1 << 20));
    say(
        &mut app,
        "POST /x HTTP/1.1\r\nhost: app\r\nexpect: 200-maybe\r\ncontent-length: 4\r\n\r\nbody",
    )
    .await;
    let mut conversation = peer.accept().await;
    conversation.head().await;
    assert_eq!(conversation.body(4).await, b"body");
    conversation.say(OK).await;
    assert_eq!(ended.recv().await.unwrap().unwrap(), (200, Ok("ok".into())));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_says_100_gets_the_body_within_its_attempt() {
    let peer = Peer::listen().await;
    let (plan, _) = plan(&[&peer], "attempt_timeout = \"1s\"");
    let (mut app, mut ended) = application(plan, Client::new(1 << 20));
    say(
        &mut app,
        "POST /x HTTP/1.1\r\nhost: app\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\nbody",
    )
    .await;
    let mut conversation = peer.accept().await;
    conversation.head().await;
    assert_eq!(conversation.body(4).await, b"body");
    conversation.say(OK).await;
    assert_eq!(ended.recv().await.unwrap().unwrap(), (200, Ok("ok".into())));
}
