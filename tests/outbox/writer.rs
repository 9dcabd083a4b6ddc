//! An application that writes one thing after the other, and repeats what it got no answer to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

pub(crate) struct Writer {
    lane: usize,
    /// Whether its writes have keys. Those that have none go by themselves: a stopped one would hold all others of its lane.
    pub(crate) has_keys: bool,
    number: usize,
    /// What it was told is accepted.
    pub(crate) accepted: Vec<String>,
}

impl Writer {
    pub(crate) const fn new(lane: usize, has_keys: bool) -> Self {
        Self { lane, has_keys, number: 0, accepted: Vec::new() }
    }

    /// What its writes begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("lane-{:02}-", self.lane)
    }

    /// Writes until the connection breaks.
    pub(crate) async fn write(&mut self, proxy: SocketAddr) {
        let Ok(mut tcp) = TcpStream::connect(proxy).await else { return };
        loop {
            let what = format!("{}{:06}", self.prefix(), self.number);
            match once(&mut tcp, self.lane, self.has_keys, &what).await {
                Some(202) => {
                    self.accepted.push(what);
                    self.number += 1;
                }
                Some(status) => panic!("{status} for {what}"),
                None => {
                    // With a key it is said again as it was; without one nobody may.
                    self.number += usize::from(!self.has_keys);
                    return;
                }
            }
        }
    }
}

impl Writer {
    /// Writes until it is told to end, by one proxy after the other: what isn't accepted is said again by the next. One without a key is said
    /// again only where it was told that nothing was accepted.
    pub(crate) async fn write_on(&mut self, proxies: &Proxies, ends: &AtomicBool) {
        let mut turn = self.lane;
        while !ends.load(SeqCst) {
            turn += 1;
            let Some(proxy) = proxies.get(turn) else {
                sleep(BETWEEN).await;
                continue;
            };
            let Ok(Ok(mut tcp)) = timeout(ANSWERED_WITHIN, TcpStream::connect(proxy)).await else {
                sleep(BETWEEN).await;
                continue;
            };
            while !ends.load(SeqCst) {
                let what = format!("{}{:06}", self.prefix(), self.number);
                let write = once(&mut tcp, self.lane, self.has_keys, &what);
                match timeout(ANSWERED_WITHIN, write).await.unwrap_or(None) {
                    Some(202) => {
                        self.accepted.push(what);
                        self.number += 1;
                        sleep(BRIEFLY).await;
                    }
                    Some(409 | 503) | None => {
                        self.number += usize::from(!self.has_keys);
                        break;
                    }
                    Some(status) => panic!("{status} for {what}"),
                }
            }
        }
    }
}

/// The proxies that run now.
#[derive(Default)]
pub(crate) struct Proxies(Mutex<Vec<SocketAddr>>);

impl Proxies {
    pub(crate) fn set(&self, all: Vec<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = all;
    }

    fn get(&self, turn: usize) -> Option<SocketAddr> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(turn % all.len().max(1)).copied()
    }
}

impl Writer {
    /// Writes for so long, some twenty a second.
    pub(crate) async fn write_for(&mut self, proxy: SocketAddr, length: Duration) {
        let until = Instant::now() + length;
        let Ok(mut tcp) = TcpStream::connect(proxy).await else { return };
        while Instant::now() < until {
            let what = format!("{}{:06}", self.prefix(), self.number);
            match once(&mut tcp, self.lane, self.has_keys, &what).await {
                Some(202) => self.accepted.push(what),
                other => panic!("{other:?} for {what}"),
            }
            self.number += 1;
            sleep(BETWEEN).await;
        }
    }
}

/// An application that waits longer would wait for a frozen proxy.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
const BRIEFLY: Duration = Duration::from_millis(10);

/// A hundred and more a second, with sixteen of them.
const BETWEEN: Duration = Duration::from_millis(50);

/// One write; its status, or nothing if the connection broke.
async fn once(tcp: &mut TcpStream, lane: usize, has_key: bool, what: &str) -> Option<u16> {
    let fields = if has_key {
        format!("x-lane: {lane}\r\nidempotency-key: caller-{what}\r\n")
    } else {
        String::new()
    };
    let length = what.len();
    let request = format!(
        "POST /orders HTTP/1.1\r\nhost: api\r\n{fields}content-length: {length}\r\n\r\n{what}"
    );
    tcp.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    loop {
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
            let length: usize = length.trim().parse().ok()?;
            if answer.len() >= end + 4 + length {
                return head.split(' ').nth(1)?.parse().ok();
            }
        }
        let mut piece = [0; 4096];
        match tcp.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
        }
    }
}
