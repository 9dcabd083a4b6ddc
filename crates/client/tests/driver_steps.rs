//! The record of a broken call tells each attempt's connection and steps: over HTTP/2, and when something else than the
//! attempt itself ends it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use http_body_util::BodyExt;
use mainstay::{Client, Source};
use mainstay_record::{AttemptRecord, Recorder};
use peer::Peer;
use peer::plan::plan;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Duration, timeout};

const HTTP2: &str = "connect.http2 = \"always\"";

async fn accept(peer: &Peer) -> Connection<TcpStream, Bytes> {
    h2::server::handshake(peer.accept().await.stream).await.unwrap()
}

async fn next(
    connection: &mut Connection<TcpStream, Bytes>,
) -> (Request<RecvStream>, SendResponse<Bytes>) {
    connection.accept().await.unwrap().unwrap()
}

fn answer(mut respond: SendResponse<Bytes>) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(b"ok"), true).unwrap();
}

/// Each attempt of the only broken call.
fn attempts(recorder: &Recorder) -> Vec<AttemptRecord> {
    recorder.recent().remove(0).attempts
}

/// An attempt's steps, each with its outcome and what broke.
fn steps(attempt: &AttemptRecord) -> String {
    let each = attempt.steps.iter().map(|step| {
        let code = step.code.as_deref().map(|code| format!(" {code}")).unwrap_or_default();
        format!("{} {}{code}", step.step, step.outcome)
    });
    each.collect::<Vec<_>>().join(", ")
}

fn request(method: &str) -> http::request::Parts {
    Request::builder().method(method).uri("/x").body(()).unwrap().into_parts().0
}

#[tokio::test]
async fn streams_tell_their_steps_and_their_connection_as_http1_does() {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, recorder) = plan(&[&first, &second], HTTP2);
    let client = Client::new(1 << 20);
    let first_serving = async {
        let mut connection = accept(&first).await;
        answer(next(&mut connection).await.1);
        next(&mut connection).await.1.send_reset(Reason::INTERNAL_ERROR);
        while connection.accept().await.is_some() {}
    };
    let second_serving = async {
        let mut connection = accept(&second).await;
        answer(next(&mut connection).await.1);
        while connection.accept().await.is_some() {}
    };
    let calling = async {
        for _ in 0..2 {
            let answer = client.call(&plan, request("GET"), Source::Empty).await.unwrap();
            assert_eq!(answer.response.into_body().collect().await.unwrap().to_bytes(), "ok");
        }
    };
    tokio::select! {
        ((), ()) = async { tokio::join!(first_serving, second_serving) } => panic!("all is over"),
        () = calling => {}
    }
    let attempts = attempts(&recorder);
    let told: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            let connection = attempt.connection.as_ref().unwrap();
            (connection.peer, connection.reused, connection.requests_before, steps(attempt))
        })
        .collect();
    assert_eq!(
        told,
        [
            (Some(first.address), true, 1, "send done, first-byte broke stream-error".to_owned()),
            (
                Some(second.address),
                false,
                0,
                "connect done, send done, first-byte done, body done".to_owned()
            ),
        ]
    );
    let idle = attempts.iter().map(|attempt| attempt.connection.as_ref().unwrap().idle_ms);
    assert_eq!(idle.map(|idle| idle.is_some()).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn a_stream_whose_body_the_peer_does_not_take_broke_while_it_was_sent() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], &format!("{HTTP2}\nattempt_timeout = \"300ms\""));
    let client = Client::new(1 << 20);
    // Its windows are 64 KB, and never opened further.
    let body = Source::Full(Bytes::from(vec![0; 200_000]));
    let serving = async {
        let mut connection = accept(&peer).await;
        let held = next(&mut connection).await;
        while connection.accept().await.is_some() {}
        drop(held);
    };
    tokio::select! {
        () = serving => panic!("the connection ended"),
        ended = client.call(&plan, request("POST"), body) => drop(ended.unwrap_err()),
    }
    let attempt = attempts(&recorder).remove(0);
    assert_eq!(steps(&attempt), "connect done, send broke response-timeout");
}

#[tokio::test]
async fn a_call_that_is_dropped_tells_what_it_was_at() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], "");
    let client = Client::new(1 << 20);
    let asked = async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation
    };
    tokio::select! {
        _ = client.call(&plan, request("GET"), Source::Empty) => panic!("the peer never answers"),
        mut conversation = asked => conversation.ended().await,
    }
    let attempt = attempts(&recorder).remove(0);
    assert_eq!(steps(&attempt), "connect done, send done, first-byte broke client-gone");
    assert_eq!(attempt.connection.unwrap().peer, Some(peer.address));
}

/// A peer whose backlog is full, and what fills it: the handshake of whoever comes next stays unanswered.
async fn hung() -> (Peer, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        filling.push(stream.unwrap());
    }
    (Peer { listener, address }, filling)
}

// Time stands still while anything at all happens, and leaps when nothing does.
#[tokio::test(start_paused = true)]
async fn a_connect_that_the_attempts_clock_cuts_tells_how_far_it_got() {
    let (peer, _filling) = hung().await;
    let (plan, recorder) = plan(&[&peer], "attempt_timeout = \"300ms\"");
    let ended = Client::new(1 << 20).call(&plan, request("POST"), Source::Empty).await;
    assert!(ended.is_err(), "nobody answers");
    let attempt = attempts(&recorder).remove(0);
    assert_eq!(steps(&attempt), "connect broke connect-timeout");
    let [step] = attempt.steps.as_slice() else { panic!("{attempt:?}") };
    assert_eq!((step.address, step.took_ms >= 300.0), (Some(peer.address), true));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_connects_tells_the_address_that_hung() {
    let (peer, _filling) = hung().await;
    let (plan, recorder) = plan(&[&peer], "");
    let client = Client::new(1 << 20);
    let calling = client.call(&plan, request("GET"), Source::Empty);
    assert!(timeout(Duration::from_millis(300), calling).await.is_err());
    let attempt = attempts(&recorder).remove(0);
    assert_eq!(steps(&attempt), "connect broke client-gone");
}
