//! The record of a call that something else than its attempt ends, a clock or the application: how far the attempt had got, and
//! what it is called.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::Arc;

use mainstay::{Client, Source};
use mainstay_core::Checked;
use mainstay_core::call::{CallPolicy, HedgeAfter, HedgeSettings};
use peer::Peer;
use peer::plan::{plan, plan_to};
use peer::told::{attempts, request, steps};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{Duration, timeout};

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

/// What the record says of the first attempt at a URL, which the attempt's clock cuts off after 300 ms.
async fn cut_off(url: String, config: &str) -> (Option<String>, String) {
    let config = format!("attempt_timeout = \"300ms\"\n{config}");
    let (plan, recorder) = plan_to(&[url], &config);
    let ended = Client::new(1 << 20).call(&plan, request("POST"), Source::Empty).await;
    assert!(ended.is_err(), "nobody answers");
    let attempt = attempts(&recorder).remove(0);
    (attempt.code.as_deref().map(str::to_owned), steps(&attempt))
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_cut_off_while_it_resolves_is_a_resolver_timeout() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let config = format!("connect.dns.servers = [\"{}\"]", silent.local_addr().unwrap());
    let (code, steps) = cut_off("http://api.lab".to_owned(), &config).await;
    assert_eq!(code.as_deref(), Some("resolver-timeout"));
    assert_eq!(steps, "resolve broke resolver-timeout");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_cut_off_in_a_handshake_is_a_tls_timeout() {
    // It takes connections and says nothing.
    let peer = Peer::listen().await;
    let (code, steps) = cut_off(format!("https://{}", peer.address), "").await;
    assert_eq!(code.as_deref(), Some("tls-timeout"));
    assert_eq!(steps, "connect done, tls broke tls-timeout");
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_beside_the_first_that_is_cut_off_tells_the_same() {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let urls = [format!("http://{}", first.address), format!("https://{}", second.address)];
    let (mut plan, recorder) = plan_to(&urls, "attempt_timeout = \"300ms\"");
    let after = HedgeAfter::Fixed(Duration::from_millis(100));
    let hedge = Some(HedgeSettings { after, ..HedgeSettings::default() });
    let policy = CallPolicy { hedge, ..(**plan.policy).clone() };
    plan.policy = Arc::new(Checked::new(policy).unwrap());
    let ended = Client::new(1 << 20).call(&plan, request("GET"), Source::Empty).await;
    assert!(ended.is_err(), "nobody answers");
    let attempts = attempts(&recorder);
    let hedge = attempts.iter().find(|attempt| attempt.reason == "hedge").unwrap();
    assert_eq!(hedge.code.as_deref(), Some("tls-timeout"));
    assert_eq!(steps(hedge), "connect done, tls broke tls-timeout");
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
