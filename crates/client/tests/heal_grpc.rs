//! gRPC answers that fail before their first message: the head is held back, so the application sees nothing of them.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use h2::SendStream;
use h2::server::Connection;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mainstay::{Answer, Client, Source};
use mainstay_core::BreakKind;
use mainstay_record::Recorder;
use peer::Peer;
use peer::plan::plan;
use peer::told::{attempts, request};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep};

const SAFE: &str = "connect.http2 = \"always\"\nidempotent = true\n\
    retry = { max_attempts = 3, backoff = { base = \"1ms\", cap = \"2ms\" }, throttled_base = \"1ms\" }";
const MESSAGE: &[u8] = &[0, 0, 0, 0, 2, 8, 1];

/// A call without a message of its own, or whose message is all here.
fn call() -> Parts {
    let mut head = request("POST");
    let grpc = HeaderValue::from_static("application/grpc");
    head.headers.insert(header::CONTENT_TYPE, grpc);
    head
}

fn trailers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

async fn accept(peer: &Peer) -> Connection<TcpStream, Bytes> {
    h2::server::handshake(peer.accept().await.stream).await.unwrap()
}

/// The head of the answer to the next call.
async fn begun(connection: &mut Connection<TcpStream, Bytes>) -> SendStream<Bytes> {
    let (_, mut respond) = connection.accept().await.unwrap().unwrap();
    let head = Response::builder().header(header::CONTENT_TYPE, "application/grpc").body(());
    respond.send_response(head.unwrap(), false).unwrap()
}

/// What the application saw of a call.
#[derive(Debug)]
struct Seen {
    attempts: u16,
    message: Result<Bytes, BreakKind>,
    status: Option<String>,
}

async fn see(answer: Answer) -> Seen {
    let (attempts, mut body) = (answer.attempts, answer.response.into_body());
    let (mut message, mut status) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Ok(Ok(data)) => message.extend_from_slice(&data),
            Ok(Err(frame)) => {
                let fields = frame.into_trailers().unwrap();
                status = fields.get("grpc-status").map(|it| it.to_str().unwrap().to_owned());
            }
            Err(error) => return Seen { attempts, message: Err(error.what.kind), status },
        }
    }
    Seen { attempts, message: Ok(message.into()), status }
}

/// Makes one call of a peer that answers each in turn by an `end`, over one connection.
async fn called(config: &str, ends: Vec<End>) -> (Seen, Arc<Recorder>) {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], config);
    let client = Client::new(1 << 20);
    let serving = async {
        let mut connection = accept(&peer).await;
        for end in ends {
            let mut stream = begun(&mut connection).await;
            if end.has_message {
                stream.send_data(Bytes::from_static(MESSAGE), false).unwrap();
            }
            match end.trailers {
                Some(fields) => stream.send_trailers(trailers(fields)).unwrap(),
                None => stream.send_data(Bytes::new(), true).unwrap(),
            }
        }
        while connection.accept().await.is_some() {}
    };
    let calling = async { see(client.call(&plan, call(), Source::Empty).await.unwrap()).await };
    let seen = tokio::select! {
        () = serving => panic!("the connection ended"),
        seen = calling => seen,
    };
    (seen, recorder)
}

/// How an answer ends behind its head.
struct End {
    has_message: bool,
    trailers: Option<&'static [(&'static str, &'static str)]>,
}

const fn fails(trailers: &'static [(&'static str, &'static str)]) -> End {
    End { has_message: false, trailers: Some(trailers) }
}

const UNAVAILABLE: End = fails(&[("grpc-status", "14"), ("grpc-message", "not yet")]);
const GOOD: End = End { has_message: true, trailers: Some(&[("grpc-status", "0")]) };

fn is_good(seen: &Seen) -> bool {
    seen.message == Ok(Bytes::from_static(MESSAGE)) && seen.status.as_deref() == Some("0")
}

#[tokio::test]
async fn a_call_that_fails_behind_its_head_and_before_a_message_is_made_again_unseen() {
    let (seen, recorder) = called(SAFE, vec![UNAVAILABLE, UNAVAILABLE, GOOD]).await;
    assert!(is_good(&seen) && seen.attempts == 3, "{seen:?}");
    assert_eq!(recorder.counts().calls.saved_by_retry, 1);
    let attempt = attempts(&recorder).remove(0);
    assert_eq!(attempt.code.as_deref(), Some("server-error"));
    assert_eq!(attempt.certainty.as_deref(), Some("maybe-processed"));
    assert_eq!(attempt.detail.as_deref(), Some("grpc-status 14: not yet"));
}

#[tokio::test]
async fn a_call_that_must_not_be_done_twice_gets_its_head_at_once_and_its_status_as_it_is() {
    let config = SAFE.replace("idempotent = true\n", "");
    let (seen, recorder) = called(&config, vec![UNAVAILABLE]).await;
    assert_eq!((seen.attempts, seen.status.as_deref()), (1, Some("14")));
    assert_eq!(recorder.counts().upstreams[0].endpoints[0].body_failures["server-error"], 1);
}

#[tokio::test]
async fn what_the_trailers_say_of_retries_is_heeded() {
    let never = fails(&[("grpc-status", "14"), ("grpc-retry-pushback-ms", "-1")]);
    let (seen, recorder) = called(SAFE, vec![never]).await;
    assert_eq!((seen.attempts, seen.status.as_deref()), (1, Some("14")));
    // Counted as an attempt that failed, and not as a body that did as well.
    let endpoint = &recorder.counts().upstreams[0].endpoints[0];
    assert!(endpoint.body_failures.is_empty(), "{:?}", endpoint.body_failures);
    let later = fails(&[("grpc-status", "14"), ("grpc-retry-pushback-ms", "60")]);
    let begun = Instant::now();
    let (seen, _) = called(SAFE, vec![later, GOOD]).await;
    assert!(is_good(&seen) && begun.elapsed() >= Duration::from_millis(60), "{seen:?}");
}

#[tokio::test]
async fn an_outcome_that_is_an_answer_and_one_behind_a_message_are_passed_on() {
    let not_found = fails(&[("grpc-status", "5")]);
    let (seen, recorder) = called(SAFE, vec![not_found]).await;
    assert_eq!((seen.attempts, seen.status.as_deref()), (1, Some("5")));
    assert_eq!(recorder.counts().calls.broken, 0);
    let late = End { has_message: true, ..UNAVAILABLE };
    let (seen, _) = called(SAFE, vec![late]).await;
    assert_eq!((seen.attempts, seen.status.as_deref()), (1, Some("14")));
}

#[tokio::test]
async fn an_answer_that_ends_before_it_has_said_anything_is_asked_for_again() {
    let mute = End { has_message: false, trailers: None };
    let (seen, recorder) = called(SAFE, vec![mute, GOOD]).await;
    assert!(is_good(&seen) && seen.attempts == 2, "{seen:?}");
    assert_eq!(attempts(&recorder)[0].code.as_deref(), Some("body-truncated"));
    let silent = fails(&[("other", "1")]);
    let (seen, _) = called(SAFE, vec![silent, GOOD]).await;
    assert!(is_good(&seen) && seen.attempts == 2, "{seen:?}");
}

#[tokio::test]
async fn when_nothing_better_comes_the_last_outcome_is_delivered() {
    let (seen, recorder) = called(SAFE, vec![UNAVAILABLE, UNAVAILABLE, UNAVAILABLE]).await;
    assert_eq!((seen.attempts, seen.status.as_deref()), (3, Some("14")));
    assert_eq!(seen.message, Ok(Bytes::new()));
    assert_eq!(recorder.counts().calls.as_is, 1);
}

// Time stands still while anything at all happens, and leaps when nothing does.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_first_message_takes_its_time_has_its_head_when_the_hold_is_over() {
    let peer = Peer::listen().await;
    let (plan, _) = plan(&[&peer], &format!("{SAFE}\nheal.hold_for = \"200ms\""));
    let client = Client::new(1 << 20);
    let serving = async {
        let mut connection = accept(&peer).await;
        let mut stream = begun(&mut connection).await;
        let late = async {
            sleep(Duration::from_secs(3)).await;
            stream.send_data(Bytes::from_static(MESSAGE), false).unwrap();
            stream.send_trailers(trailers(&[("grpc-status", "0")])).unwrap();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = connection.accept() => {}
            () = late => {}
        }
    };
    let calling = async {
        let begun = Instant::now();
        let answer = client.call(&plan, call(), Source::Empty).await.unwrap();
        let held_for = begun.elapsed();
        (held_for, see(answer).await)
    };
    let (held_for, seen) = tokio::select! {
        () = serving => panic!("the connection ended"),
        seen = calling => seen,
    };
    assert!((200..1000).contains(&held_for.as_millis()), "{held_for:?}");
    assert!(is_good(&seen), "{seen:?}");
}

/// Where the application waits for the head before it says more, to hold that back would be to wait for each other.
#[tokio::test(start_paused = true)]
async fn a_conversation_isn_t_held_back() {
    let peer = Peer::listen().await;
    let (plan, _) = plan(&[&peer], "idempotent = true");
    let client = Client::new(1 << 20);
    let (mut ours, theirs) = tokio::io::duplex(1 << 16);
    let (told, mut heads) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Incoming>| {
        let (plan, client, told) = (plan.clone(), client.clone(), told.clone());
        async move {
            let (head, body) = request.into_parts();
            let answer = client.call(&plan, head, Source::Incoming(body)).await.unwrap();
            told.send(Instant::now()).unwrap();
            Ok::<_, Infallible>(answer.response)
        }
    });
    let serving = hyper::server::conn::http1::Builder::new();
    let serving = tokio::spawn(serving.serve_connection(TokioIo::new(theirs), service));
    let asked = "POST /x HTTP/1.1\r\nhost: app\r\ncontent-type: application/grpc\r\n\
                 transfer-encoding: chunked\r\n\r\n";
    ours.write_all(asked.as_bytes()).await.unwrap();
    let mut conversation = peer.accept().await;
    conversation.head().await;
    let began = Instant::now();
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n";
    conversation.say(head).await;
    let told = heads.recv().await.unwrap();
    assert!(told - began < Duration::from_millis(500), "{:?}", told - began);
    serving.abort();
}
