//! Streams of events that are opened again, and who hears of what happens.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay::{CallEvent, ErrorKind, Mainstay, Observed, Observer, UpstreamBuilder};
use mainstay_lab::{Lab, Rule, Spec};
use peer::{Conversation, Peer};

/// Answers one request of a stream with these events, and ends the connection. Gives the request's head.
async fn answer(peer: &Peer, kind: &str, events: &str) -> String {
    let mut conversation: Conversation = peer.accept().await;
    let head = conversation.head().await;
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n{events}");
    conversation.say(&answer).await;
    head
}

/// A client that passes a break on as one, at once.
fn client(peer: &Peer) -> (Mainstay, String) {
    let url = format!("http://{}", peer.address);
    let api = UpstreamBuilder::new("api").endpoint(&url).set("health", false);
    (Mainstay::builder().upstream(api).build().unwrap(), url)
}

#[tokio::test]
async fn a_stream_goes_on_behind_its_last_event_until_the_server_says_that_it_is_the_end() {
    let peer = Peer::listen().await;
    let (client, url) = client(&peer);
    let server = tokio::spawn(async move {
        let first = answer(&peer, "text/event-stream", "retry: 5\nid: 7\ndata: a\n\n").await;
        let second = answer(&peer, "text/event-stream", "event: x\ndata: b\n\n").await;
        let mut last = peer.accept().await;
        let third = last.head().await;
        last.say("HTTP/1.1 204 No Content\r\n\r\n").await;
        [first, second, third]
    });
    let mut events = client.get(url).event_stream().unwrap();
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        told.push((event.event, event.data, event.id));
    }
    let wanted = [("message", "a", "7"), ("x", "b", "7")];
    assert_eq!(told, wanted.map(|(event, data, id)| (event.into(), data.into(), id.into())));
    assert_eq!(events.last_id(), "7");
    let heads = server.await.unwrap();
    let says = |head: &String| head.to_lowercase().contains("last-event-id: 7\r\n");
    assert_eq!(heads.each_ref().map(says), [false, true, true]);
    assert!(heads[0].contains("accept: text/event-stream\r\n"));
    assert!(events.next().await.is_none(), "nothing follows the end");
}

#[tokio::test]
async fn another_answer_than_events_ends_it_with_an_error() {
    let peer = Peer::listen().await;
    let (client, url) = client(&peer);
    let server = tokio::spawn(async move { answer(&peer, "text/html", "<p>").await });
    let mut events = client.get(url).event_stream().unwrap();
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Events);
    assert!(events.next().await.is_none());
    server.await.unwrap();
}

#[tokio::test]
async fn too_many_connections_without_an_event_end_it() {
    let peer = Peer::listen().await;
    let (client, url) = client(&peer);
    let server = tokio::spawn(async move {
        for _ in 0..3 {
            answer(&peer, "text/event-stream", "retry: 1\n\n").await;
        }
    });
    let mut events = client.get(url).event_stream().unwrap().give_up_after(3);
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the stream was opened too often without bringing an event");
    server.await.unwrap();
}

#[tokio::test]
async fn a_request_that_cant_be_made_isnt_made_again() {
    let mut events = Mainstay::new().get("ftp://a.example/").event_stream().unwrap();
    assert!(events.next().await.unwrap().unwrap_err().is_builder());
    assert!(events.next().await.is_none());
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Observer for Told {
    fn on_event(&self, call: &Observed<'_>, event: &CallEvent) {
        let endpoint = match event {
            CallEvent::AttemptFailed { endpoint, .. } => call.endpoint(*endpoint).len(),
            _ => 0,
        };
        let is_named = if endpoint > 0 { " at an endpoint" } else { "" };
        self.0.lock().unwrap().push(format!("{} {}{is_named}", call.upstream(), event.code()));
    }
}

#[tokio::test]
async fn an_observer_hears_of_each_event_of_a_call_and_metrics_count_them() {
    let lab = Lab::start(Spec::of(["a", "b"])).await.unwrap();
    lab.set("a", "reset-before".parse::<Rule>().unwrap()).await.unwrap();
    let told = Told::default();
    let mut api = UpstreamBuilder::new("api").set("health", false);
    for (tier, server) in (0..).zip(lab.servers()) {
        api = api.endpoint_in_tier(server.url(), tier);
    }
    let client = Mainstay::builder().upstream(api).observer(told.clone()).build().unwrap();
    let get = client.get(lab.servers()[0].url()).timeout(Duration::from_secs(20));
    get.send().await.unwrap().bytes().await.unwrap();
    let events = told.0.lock().unwrap().clone();
    let wanted = [
        "api call-started",
        "api attempt-started",
        "api attempt-failed at an endpoint",
        "api retry-scheduled",
        "api attempt-started",
        "api attempt-succeeded",
        "api call-delivered",
    ];
    assert_eq!(events, wanted);
    let metrics = client.metrics_text();
    assert!(metrics.contains("mainstay_attempts"), "{metrics}");
    lab.shutdown().await;
}

/// What is written, for a test to read.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn breaks_are_told_to_tracing_within_the_span_of_their_call() {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let lab = Lab::start(Spec::of(["a"])).await.unwrap();
    lab.set("a", "reset-before".parse::<Rule>().unwrap()).await.unwrap();
    let url = lab.servers()[0].url();
    let api = UpstreamBuilder::new("api").endpoint(&url).set("health", false);
    let builder = Mainstay::builder().upstream(api).observer(mainstay::TracingObserver);
    let post = builder.build().unwrap().post(format!("{url}/pay?secret=1")).bearer_auth("s3cret");
    post.send().await.unwrap_err();
    let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
    let line = text.lines().find(|line| line.contains("attempt broke")).unwrap_or(&text);
    for part in [
        " WARN call{upstream=\"api\" method=POST",
        "code=\"reset-before-head\"",
        "certainty=\"maybe-processed\"",
    ] {
        assert!(line.contains(part), "{part} in {text}");
    }
    assert!(
        text.contains("call without an answer")
            && !text.contains("s3cret")
            && !text.contains("secret=1")
    );
    lab.shutdown().await;
}
