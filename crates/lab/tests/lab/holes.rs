//! Black holes: connects that nobody answers, and connections that fall silent.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_lab::Rule;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::raw::{End, Raw, lab};

fn rule(text: &str) -> Rule {
    text.parse().unwrap()
}

/// Whether a connect is neither taken nor refused for a while.
async fn hangs(addr: SocketAddr) -> bool {
    timeout(Duration::from_millis(300), TcpStream::connect(addr)).await.is_err()
}

#[tokio::test]
async fn a_black_hole_answers_no_connect_until_it_is_over() {
    let (lab, addr) = lab("blackhole").await;
    assert!(hangs(addr).await);
    assert!(hangs(addr).await);
    lab.set("a", rule("healthy")).await.unwrap();
    let mut client = Raw::to(addr).await;
    client.ask("GET", "/").await;
    client.answer().await;
    lab.set("a", rule("blackhole")).await.unwrap();
    client.ask("GET", "/").await;
    assert!(client.is_silent().await);
    lab.shutdown().await;
}

#[tokio::test]
async fn half_dead_silences_what_is_there_and_serves_what_comes() {
    let (lab, addr) = lab("healthy").await;
    let mut old = Raw::to(addr).await;
    old.ask("GET", "/").await;
    old.answer().await;
    lab.set("a", rule("half-dead")).await.unwrap();
    old.ask("POST", "/").await;
    assert!(old.is_silent().await);
    let mut new = Raw::to(addr).await;
    new.ask("GET", "/").await;
    new.answer().await;
    lab.set("a", rule("healthy")).await.unwrap();
    assert!(old.is_silent().await);
    new.ask("GET", "/").await;
    new.answer().await;
    lab.shutdown().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_as_servers_do_and_was_told_so_before() {
    let (lab, addr) = lab("close-idle after=30ms with=close hint=true").await;
    let mut client = Raw::to(addr).await;
    client.ask("GET", "/").await;
    let (head, _) = client.answer().await;
    assert!(head.contains("keep-alive: timeout=1\r\n"), "{head}");
    assert_eq!(client.rest().await, (Vec::new(), End::Fin));
    lab.shutdown().await;
}
