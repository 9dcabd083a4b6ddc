//! Servers with a capacity, and servers that have just come up.

use std::time::{Duration, Instant};

use crate::raw::{Raw, lab, request, within};

/// Sends that many requests at once: how many were answered 200, and how many 503.
async fn burst(addr: std::net::SocketAddr, count: usize) -> (usize, usize) {
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..count {
        clients.spawn(async move {
            let mut raw = Raw::to(addr).await;
            raw.send(request("GET", "/", &format!("r{number}"), "")).await;
            raw.answer().await.0.contains(" 200 ")
        });
    }
    let answers = within(clients.join_all()).await;
    let good = answers.iter().filter(|is_good| **is_good).count();
    (good, count - good)
}

#[tokio::test]
async fn a_full_queue_turns_away_what_it_does_not_execute() {
    let (lab, addr) = lab("capacity concurrency=2 service=400 queue=3").await;
    assert_eq!(burst(addr, 9).await, (5, 4));
    assert_eq!(lab.oracle().totals("a").executed, 5);
}

#[tokio::test]
async fn a_queue_takes_its_time() {
    let (_lab, addr) = lab("capacity concurrency=1 service=15 queue=10").await;
    let start = Instant::now();
    assert_eq!(burst(addr, 4).await, (4, 0));
    assert!(start.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn a_collapsing_server_is_slower_the_longer_its_queue() {
    let (_lab, addr) = lab("capacity concurrency=1 service=20 queue=10 collapse=true").await;
    let start = Instant::now();
    assert_eq!(burst(addr, 4).await, (4, 0));
    // One at a time with three, two and one behind it at most; the first may begin before the others come.
    assert!(start.elapsed() >= Duration::from_millis(20 + 60 + 40 + 20), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_cold_server_is_slow_at_first() {
    let (_lab, addr) = lab("cold extra=300 for=300").await;
    let mut raw = Raw::to(addr).await;
    let start = Instant::now();
    raw.ask("GET", "/").await;
    raw.answer().await;
    assert!(start.elapsed() >= Duration::from_millis(50), "{:?}", start.elapsed());
    within(async {
        loop {
            let start = Instant::now();
            raw.ask("GET", "/").await;
            raw.answer().await;
            if start.elapsed() < Duration::from_millis(50) {
                break;
            }
        }
    })
    .await;
}
