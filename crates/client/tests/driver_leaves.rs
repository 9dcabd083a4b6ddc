//! Calls that leave at any moment: whatever they had taken (permits, seats, places in line) is free afterwards.

mod peer;

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http::Response;
use http_body_util::BodyExt;
use mainstay::{Client, Clock, Plan, Source};
use peer::Peer;
use peer::plan::plan;
use peer::told::request;
use tokio::io::AsyncWriteExt;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Polls a call so often, each time when it is woken, and leaves at the next; or runs it to its end, and says so.
async fn leaves_after(plan: &Plan, client: &Client, polls: usize) -> bool {
    let head = request("GET");
    let mut call = pin!(client.call(plan, head, Source::Empty));
    let mut polled = 0;
    poll_fn(|cx| {
        if polled == polls {
            return Poll::Ready(false);
        }
        polled += 1;
        call.as_mut().poll(cx).map(|ended| ended.is_ok())
    })
    .await
}

/// Nothing is taken any more.
fn check_free(plan: &Plan, polls: usize) {
    let upstream = plan.service.upstream();
    let now = Clock::now();
    let load = upstream.load(now);
    assert_eq!((load.in_flight, load.waiting), (0, 0), "after {polls} polls");
    let flying: u32 = upstream.view(now).iter().map(|endpoint| endpoint.in_flight).sum();
    assert_eq!(flying, 0, "after {polls} polls");
}

/// Reads everything; answers it, or never does.
fn serve(peer: Peer, answers: bool) {
    tokio::spawn(async move {
        loop {
            let mut conversation = peer.accept().await;
            tokio::spawn(async move {
                while conversation.next_head().await.is_some() {
                    if answers && conversation.stream.write_all(OK.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// Reads everything, and answers it with a head and no body.
fn begin(peer: Peer) {
    tokio::spawn(async move {
        loop {
            let mut conversation = peer.accept().await;
            tokio::spawn(async move {
                while conversation.next_head().await.is_some() {
                    let head = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
                    if conversation.stream.write_all(head.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// Room for an attempt and its hedge, and means for as many hedges as there are calls.
const HEDGED: &str = "limit = { kind = \"fixed\", max = 2 }\n\
    endpoint_limit = { kind = \"fixed\", max = 1 }\n\
    budget = { initial = 500, cost = 1, floor = 1000 }\n\
    hedge.after = \"2ms\"\n";

/// Room for one.
const NARROW: &str = "limit = { kind = \"fixed\", max = 1 }\n";

#[tokio::test]
async fn a_hedged_call_that_leaves_at_any_poll_leaves_nothing_behind() {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, recorder) = plan(&[&first, &second], HEDGED);
    serve(first, false);
    serve(second, true);
    let client = Client::new(1 << 20);
    let mut ended = 0;
    for polls in 0..40 {
        ended += usize::from(leaves_after(&plan, &client, polls).await);
        check_free(&plan, polls);
    }
    assert!(ended > 0, "the longest ones got their answers");
    let calls = &recorder.counts().upstreams[0].calls;
    assert_eq!(calls.started, 39, "each was counted but the one that was never polled");
}

#[tokio::test]
async fn a_call_that_leaves_while_its_hedge_is_held_back_leaves_nothing_behind() {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, _) = plan(&[&first, &second], &format!("{HEDGED}heal.hold_for = \"5ms\""));
    serve(first, false);
    begin(second);
    let client = Client::new(1 << 20);
    let mut ended = 0;
    for polls in 0..40 {
        ended += usize::from(leaves_after(&plan, &client, polls).await);
        check_free(&plan, polls);
    }
    assert!(ended > 0, "the longest ones got their heads");
}

#[tokio::test]
async fn a_call_that_leaves_the_line_at_any_poll_leaves_room_to_the_next() {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, _) = plan(&[&first, &second], NARROW);
    serve(first, true);
    serve(second, true);
    let client = Client::new(1 << 20);
    for polls in 0..24 {
        let one = leaves_after(&plan, &client, polls);
        let two = leaves_after(&plan, &client, 1 + polls / 2);
        let three = leaves_after(&plan, &client, 24 - polls);
        let last = leaves_after(&plan, &client, usize::MAX);
        let (_, _, _, ended) = tokio::join!(one, two, three, last);
        assert!(ended, "the one that stays has its turn, after {polls} polls");
        check_free(&plan, polls);
    }
}

#[tokio::test]
async fn whoever_leaves_once_the_announced_length_has_come_has_had_the_whole_answer() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], "connect.http2 = \"always\"\n");
    let server = async {
        let mut server = h2::server::handshake(peer.accept().await.stream).await.unwrap();
        let (_request, mut respond) = server.accept().await.unwrap().unwrap();
        let head = Response::builder().header("content-length", "2").body(()).unwrap();
        // The stream's end would be a frame of its own.
        let mut stream = respond.send_response(head, false).unwrap();
        stream.send_data(Bytes::from_static(b"ok"), false).unwrap();
        while server.accept().await.is_some() {}
    };
    let application = async {
        let head = request("GET");
        let client = Client::new(1 << 20);
        let mut body = client.call(&plan, head, Source::Empty).await.unwrap().response.into_body();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(&frame.into_data().unwrap()[..], b"ok");
        drop(body);
    };
    tokio::select! {
        () = server => panic!("the server's connection ended before"),
        () = application => {}
    }
    assert!(recorder.recent().is_empty(), "{:?}", recorder.recent());
    assert_eq!(recorder.counts().upstreams[0].calls.records, 1);
}
