//! The record of a broken call tells each attempt's connection and steps, over HTTP/2 as over HTTP/1.1.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use http_body_util::BodyExt;
use mainstay::{Client, Clock, Plan, Source};
use mainstay_core::Certainty;
use mainstay_record::Recorder;
use peer::Peer;
use peer::plan::plan;
use peer::told::{attempts, request, steps};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::Duration;

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

/// Lets time pass that nobody waits for.
async fn pass(secs: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(secs)).await;
    tokio::time::resume();
}

/// A client whose only connection to the peer has carried a call, and has been quiet since for longer than makes it
/// doubtful.
struct Quiet {
    client: Client,
    plan: Plan,
    recorder: Arc<Recorder>,
    connection: Connection<TcpStream, Bytes>,
}

impl Quiet {
    async fn for_a_while(peer: &Peer) -> Self {
        let config = format!("{HTTP2}\nconnect.http2_ping_timeout = \"50ms\"");
        let (plan, recorder) = plan(&[peer], &config);
        let client = Client::new(1 << 20);
        let mut connection = None;
        let serving = async {
            let connection = connection.insert(accept(peer).await);
            answer(next(connection).await.1);
            while connection.accept().await.is_some() {}
        };
        tokio::select! {
            () = serving => panic!("the connection ended"),
            () = called(&client, &plan) => {}
        }
        pass(11).await;
        Self { client, plan, recorder, connection: connection.unwrap() }
    }
}

async fn called(client: &Client, plan: &Plan) {
    let answer = client.call(plan, request("GET"), Source::Empty).await.unwrap();
    assert_eq!(answer.response.into_body().collect().await.unwrap().to_bytes(), "ok");
}

#[tokio::test]
async fn a_stream_on_a_quiet_connection_tells_the_ping_that_it_waited_for() {
    let peer = Peer::listen().await;
    let Quiet { client, plan, recorder, mut connection } = Quiet::for_a_while(&peer).await;
    let serving = async {
        next(&mut connection).await.1.send_reset(Reason::INTERNAL_ERROR);
        while let Some(asked) = connection.accept().await {
            answer(asked.unwrap().1);
        }
    };
    tokio::select! {
        () = serving => panic!("the connection ended"),
        () = called(&client, &plan) => {}
    }
    let attempt = attempts(&recorder).remove(0);
    assert_eq!(steps(&attempt), "ping done, send done, first-byte broke stream-error");
    let connection = attempt.connection.unwrap();
    assert!(connection.reused && connection.idle_ms.is_some_and(|idle| idle >= 10_000.0));
}

#[tokio::test]
async fn a_ping_without_an_answer_is_the_step_that_broke() {
    let peer = Peer::listen().await;
    // Nobody reads from it any more, and nobody closes it.
    let Quiet { client, plan, recorder, connection } = Quiet::for_a_while(&peer).await;
    let serving = async {
        let mut second = accept(&peer).await;
        answer(next(&mut second).await.1);
        while second.accept().await.is_some() {}
    };
    tokio::select! {
        () = serving => panic!("the second connection ended"),
        () = called(&client, &plan) => {}
    }
    drop(connection);
    let attempts = attempts(&recorder);
    assert_eq!(steps(&attempts[0]), "ping broke closed-while-idle");
    assert_eq!(steps(&attempts[1]), "connect done, send done, first-byte done, body done");
}

/// A connection that allows one stream, and may be the only one.
const ONE_STREAM: &str = "connect.http2 = \"always\"\npool.max_connections = 1";

/// Waits until the only connection has been given so many requests.
async fn until_given(plan: &Plan, requests: u64) {
    let target = plan.service.targets().next().unwrap();
    while target.connections(Clock::now()).first().is_none_or(|one| one.requests < requests) {
        yield_now().await;
    }
}

async fn accept_one_stream(peer: &Peer) -> Connection<TcpStream, Bytes> {
    let stream = peer.accept().await.stream;
    h2::server::Builder::new().max_concurrent_streams(1).handshake(stream).await.unwrap()
}

#[tokio::test]
async fn a_stream_that_the_peer_has_to_allow_first_tells_how_long_it_waited() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], ONE_STREAM);
    let client = Client::new(1 << 20);
    let (begun, waits) = (Notify::new(), Notify::new());
    let serving = async {
        let mut connection = accept_one_stream(&peer).await;
        answer(next(&mut connection).await.1);
        let first = next(&mut connection).await.1;
        begun.notify_one();
        tokio::select! {
            _ = connection.accept() => panic!("a stream more than allowed"),
            () = waits.notified() => answer(first),
        }
        next(&mut connection).await.1.send_reset(Reason::INTERNAL_ERROR);
        while let Some(asked) = connection.accept().await {
            answer(asked.unwrap().1);
        }
    };
    let first = async {
        // What the peer allows is known once it has answered.
        called(&client, &plan).await;
        called(&client, &plan).await;
    };
    let second = async {
        begun.notified().await;
        let mut calling = pin!(called(&client, &plan));
        tokio::select! {
            () = calling.as_mut() => panic!("there is no room for it"),
            () = until_given(&plan, 3) => {}
        }
        waits.notify_one();
        calling.await;
    };
    tokio::select! {
        () = serving => panic!("the connection ended"),
        ((), ()) = async { tokio::join!(first, second) } => {}
    }
    let attempt = attempts(&recorder).remove(0);
    assert_eq!(steps(&attempt), "queue done, send done, first-byte broke stream-error");
}

#[tokio::test]
async fn a_write_that_was_never_allowed_in_its_time_was_not_sent() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], &format!("{ONE_STREAM}\nattempt_timeout = \"300ms\""));
    let client = Client::new(1 << 20);
    let serving = async {
        let mut connection = accept_one_stream(&peer).await;
        answer(next(&mut connection).await.1);
        let held = next(&mut connection).await;
        while connection.accept().await.is_some() {}
        drop(held);
    };
    let calling = async {
        called(&client, &plan).await;
        let target = plan.service.targets().next().unwrap();
        let mut lease = target.lease(false).await.unwrap();
        let mut holding = pin!(lease.send(peer::get()));
        tokio::select! {
            biased;
            _ = holding.as_mut() => panic!("it is never answered"),
            ended = client.call(&plan, request("POST"), Source::Empty) => ended.unwrap_err(),
        }
    };
    let ended = tokio::select! {
        () = serving => panic!("the connection ended"),
        ended = calling => ended,
    };
    assert_eq!(ended.gave_up.certainty, Certainty::NotSent);
    let attempt = attempts(&recorder).remove(0);
    assert_eq!(steps(&attempt), "queue broke response-timeout");
    assert_eq!(attempt.certainty.as_deref(), Some("not-sent"));
}
