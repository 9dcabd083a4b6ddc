//! HTTP/2 over real sockets: streams share a connection, and each way of refusing them is told apart.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::Arc;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use mainstay::pool::Target;
use mainstay_config::settings::{ConnectSettings, Http2, PoolSettings, Scheme};
use mainstay_core::{BreakKind, Certainty};
use peer::tls::{Authority, Flaws, acceptor};
use peer::{
    Failed, Peer, assert_broken, endpoint, exchange, get, read, request, send, until_counts,
};
use tokio::net::TcpStream;

fn settings() -> ConnectSettings {
    ConnectSettings { http2: Http2::Always, ..ConnectSettings::default() }
}

async fn accept(peer: &Peer) -> Connection<TcpStream, Bytes> {
    h2::server::handshake(peer.accept().await.stream).await.unwrap()
}

type Incoming = (Request<RecvStream>, SendResponse<Bytes>);

async fn next(connection: &mut Connection<TcpStream, Bytes>) -> Incoming {
    connection.accept().await.unwrap().unwrap()
}

fn answer(respond: &mut SendResponse<Bytes>, body: &'static str) {
    let mut stream = respond.send_response(Response::new(()), false).unwrap();
    stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
}

/// Serves the connection until it ends.
async fn serve(connection: &mut Connection<TcpStream, Bytes>) {
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        answer(&mut respond, "ok");
    }
}

/// Makes one exchange while `refuse` treats its stream, with the connection driven on, and expects a break.
async fn check(
    refuse: impl FnOnce(&mut Connection<TcpStream, Bytes>, Incoming),
    kind: BreakKind,
    certainty: Certainty,
) {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings());
    let serving = async {
        let mut connection = accept(&peer).await;
        let incoming = next(&mut connection).await;
        refuse(&mut connection, incoming);
        serve(&mut connection).await;
    };
    let result = tokio::select! {
        result = exchange(&target, get()) => result,
        () = serving => panic!("the connection ended before its stream"),
    };
    assert_broken(result, kind, certainty);
}

#[tokio::test]
async fn a_request_carries_scheme_authority_and_path() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings());
    let serving = async {
        let mut connection = accept(&peer).await;
        let (request, mut respond) = next(&mut connection).await;
        assert_eq!(request.uri().to_string(), "http://peer.test/path?query");
        assert!(!request.headers().contains_key("host"));
        answer(&mut respond, "ok");
        serve(&mut connection).await;
    };
    tokio::select! {
        result = exchange(&target, get()) => assert_eq!(result.unwrap().body, "ok"),
        () = serving => panic!("the connection ended"),
    }
    until_counts(&target, |counts| counts.idle == 1).await;
}

#[tokio::test]
async fn many_calls_at_once_share_one_connection() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings());
    let serving = tokio::spawn(async move {
        let mut connection = accept(&peer).await;
        // Nobody is answered before all have asked.
        let mut asked = Vec::new();
        while asked.len() < 20 {
            asked.push(next(&mut connection).await);
        }
        asked.iter_mut().for_each(|(_, respond)| answer(respond, "ok"));
        serve(&mut connection).await;
    });
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let target = Arc::clone(&target);
        calls.spawn(async move { exchange(&target, get()).await.unwrap() });
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().body, "ok");
    }
    let counts = target.counts();
    assert_eq!((counts.opened, counts.reused, counts.idle), (1, 19, 1));
    serving.abort();
}

#[tokio::test]
async fn a_refused_stream_was_not_served() {
    let refuse = |_: &mut Connection<_, _>, (_, mut respond): Incoming| {
        respond.send_reset(Reason::REFUSED_STREAM)
    };
    check(refuse, BreakKind::StreamRefused, Certainty::Refused).await;
}

#[tokio::test]
async fn a_stream_that_is_reset_otherwise_may_have_been_served() {
    let refuse = |_: &mut Connection<_, _>, (_, mut respond): Incoming| {
        respond.send_reset(Reason::INTERNAL_ERROR)
    };
    check(refuse, BreakKind::StreamError, Certainty::MaybeProcessed).await;
}

#[tokio::test]
async fn a_stream_above_the_last_that_is_served_was_not_served() {
    // h2's server counts each stream that it gave to us as served, so the frames of this one are written by hand.
    let peer = Peer::listen().await;
    let target = peer.target_with(settings());
    let (result, _open) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        let preface = conversation.body(24).await;
        assert!(preface.starts_with(b"PRI * HTTP/2.0"));
        conversation.frame(1).await;
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        // GOAWAY: last stream 0, no error.
        let go_away = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        conversation.say_bytes(&[&settings[..], &go_away[..]].concat()).await;
        conversation
    });
    assert_broken(result, BreakKind::GoAway, Certainty::Refused);
}

#[tokio::test]
async fn streams_below_the_last_go_on_and_new_ones_get_a_new_connection() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings());
    let serving = async {
        let mut first = accept(&peer).await;
        let (_, mut respond) = next(&mut first).await;
        first.graceful_shutdown();
        answer(&mut respond, "first");
        serve(&mut first).await;
        let mut second = accept(&peer).await;
        let (_, mut respond) = next(&mut second).await;
        answer(&mut respond, "second");
        serve(&mut second).await;
    };
    let calls = async {
        assert_eq!(exchange(&target, get()).await.unwrap().body, "first");
        // The connection ends when its last stream has.
        until_counts(&target, |counts| counts.in_use + counts.idle == 0).await;
        assert_eq!(exchange(&target, get()).await.unwrap().body, "second");
        assert_eq!(target.counts().opened, 2);
    };
    tokio::select! {
        () = calls => {}
        () = serving => panic!("the connection ended"),
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_head_leaves_the_outcome_open() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings());
    let (result, ()) = tokio::join!(exchange(&target, get()), async {
        let mut connection = accept(&peer).await;
        drop(next(&mut connection).await);
    });
    assert!(
        matches!(&result, Err(Failed::Head(broken)) if broken.what.certainty == Certainty::MaybeProcessed)
    );
}

#[tokio::test]
async fn a_server_that_does_not_speak_http_2_is_told() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings());
    let (result, _open) = tokio::join!(exchange(&target, get()), async {
        let mut conversation = peer.accept().await;
        conversation.body(24).await;
        conversation.say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        conversation
    });
    assert_broken(result, BreakKind::StreamError, Certainty::MaybeProcessed);
}

#[tokio::test]
async fn a_body_that_is_reset_is_told_and_the_connection_is_kept() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings());
    let serving = async {
        let mut connection = accept(&peer).await;
        let (_, mut respond) = next(&mut connection).await;
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(b"part"), false).unwrap();
        let (_, mut second) = next(&mut connection).await;
        stream.send_reset(Reason::INTERNAL_ERROR);
        answer(&mut second, "ok");
        serve(&mut connection).await;
    };
    let calls = async {
        let mut first = send(&target, get()).await.unwrap();
        let part = first.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(part.into_data().unwrap(), "part");
        assert_eq!(exchange(&target, get()).await.unwrap().body, "ok");
        assert_broken(
            read(first).await.map_err(Failed::Body),
            BreakKind::BodyReset,
            Certainty::Processed,
        );
        assert_eq!((target.counts().opened, target.counts().idle), (1, 1));
    };
    tokio::select! {
        () = calls => {}
        () = serving => panic!("the connection ended"),
    }
}

#[tokio::test]
async fn a_cancelled_exchange_resets_its_stream_alone() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings());
    let (asked, on_asked) = tokio::sync::oneshot::channel();
    let serving = async {
        let mut connection = accept(&peer).await;
        let (_, mut first) = next(&mut connection).await;
        asked.send(()).unwrap();
        let (_, mut second) = next(&mut connection).await;
        let reset = std::future::poll_fn(|cx| first.poll_reset(cx)).await.unwrap();
        assert_eq!(reset, Reason::CANCEL);
        answer(&mut second, "ok");
        serve(&mut connection).await;
    };
    let calls = async {
        let mut lease = target.lease(false).await.unwrap();
        tokio::select! {
            _ = lease.send(get()) => panic!("nobody answered"),
            asked = on_asked => asked.unwrap(),
        }
        assert!(lease.was_sent());
        drop(lease);
        assert_eq!(exchange(&target, get()).await.unwrap().body, "ok");
        assert_eq!(target.counts().opened, 1);
    };
    tokio::select! {
        () = calls => {}
        () = serving => panic!("the connection ended"),
    }
}

#[tokio::test]
async fn bodies_and_trailers_go_both_ways() {
    let peer = Peer::listen().await;
    let target = peer.target_with(settings());
    let serving = async {
        let mut connection = accept(&peer).await;
        let (request, mut respond) = next(&mut connection).await;
        tokio::spawn(async move {
            let mut body = request.into_body();
            let data = body.data().await.unwrap().unwrap();
            let mut stream = respond.send_response(Response::new(()), false).unwrap();
            stream.send_data(data, false).unwrap();
            let trailers =
                HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("5"))]);
            stream.send_trailers(trailers).unwrap();
        });
        serve(&mut connection).await;
    };
    tokio::select! {
        result = exchange(&target, request(Method::POST, "hello")) => {
            let whole = result.unwrap();
            assert_eq!(whole.body, "hello");
            assert_eq!(whole.trailers.unwrap()["x-sum"], "5");
        }
        () = serving => panic!("the connection ended"),
    }
}

#[tokio::test]
async fn beyond_the_limit_of_connections_streams_share_what_there_is() {
    let peer = Peer::listen().await;
    let pool = PoolSettings { max_connections: 1, ..PoolSettings::default() };
    let target = peer.target_with(ConnectSettings { pool, ..settings() });
    let serving = async {
        let mut connection = accept(&peer).await;
        serve(&mut connection).await;
    };
    let calls = async {
        let first = send(&target, get()).await.unwrap();
        let second = target.lease(true).await.unwrap();
        assert!(second.is_reused());
        assert_eq!(read(first).await.unwrap().status, StatusCode::OK);
        drop(second);
        assert_eq!(target.counts().opened, 1);
    };
    tokio::select! {
        () = calls => {}
        () = serving => panic!("the connection ended"),
    }
}

#[tokio::test]
async fn over_tls_http_2_is_agreed_on() {
    let authority = Authority::new("agreed");
    let files = authority.issue("localhost", Flaws::default());
    let acceptor = acceptor(&files, &["h2", "http/1.1"], None);
    let peer = Peer::listen().await;
    let settings = ConnectSettings { tls: authority.trusted(), ..ConnectSettings::default() };
    let target =
        Target::new(&endpoint(Scheme::Https, "localhost", peer.address.port()), &settings).unwrap();
    let serving = tokio::spawn(async move {
        let stream = acceptor.accept(peer.accept().await.stream).await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(request.uri().scheme_str(), Some("https"));
            answer(&mut respond, "ok");
        }
    });
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let target = Arc::clone(&target);
        calls.spawn(async move { exchange(&target, get()).await.unwrap() });
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().body, "ok");
    }
    assert_eq!(target.counts().opened, 1, "calls that begin together wait for one connection");
    serving.abort();
}
