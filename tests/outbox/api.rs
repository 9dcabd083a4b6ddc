//! An API that heeds idempotency keys, fails in four ways, and keeps a book of what it carried out.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::Chance;

pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// What was carried out, in order.
    book: Mutex<(Vec<String>, BTreeSet<String>)>,
    seed: AtomicU64,
    healthy: AtomicBool,
    /// Whether it takes no connection.
    down: AtomicBool,
    /// How many it works on now, and how many it did when each began.
    working: Mutex<(usize, Vec<usize>)>,
}

impl Api {
    pub(crate) async fn serve(seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            book: Mutex::default(),
            seed: AtomicU64::new(seed),
            healthy: AtomicBool::new(false),
            down: AtomicBool::new(false),
            working: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let state = Arc::clone(&serving);
                tokio::spawn(async move {
                    // Its connections break as the proxy is killed, and as it breaks them itself.
                    let _ = state.connection(tcp).await;
                });
            }
        });
        Ok(Self { address, state })
    }

    /// From now on nothing fails.
    pub(crate) fn heal(&self) {
        self.state.healthy.store(true, SeqCst);
    }

    /// Whether it answers nobody.
    pub(crate) fn set_down(&self, down: bool) {
        self.state.down.store(down, SeqCst);
    }

    /// For each request that it carried out, in order: how many it worked on at that moment, this one included.
    pub(crate) fn at_a_time(&self) -> Vec<usize> {
        self.state.working.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    pub(crate) fn book(&self) -> Vec<String> {
        self.state.book.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

impl State {
    async fn connection(&self, mut tcp: TcpStream) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        while let Some((key, body)) = request(&mut tcp, &mut bytes).await? {
            if self.down.load(SeqCst) {
                return Ok(());
            }
            let _working = self.begin();
            let fate = if self.healthy.load(SeqCst) { 99 } else { self.next() % 100 };
            match fate {
                // Asks to be left alone for a moment.
                0..8 => {
                    let answer = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
                    tcp.write_all(answer.as_bytes()).await?;
                }
                // Does nothing, and nobody learns that.
                8..14 => return Ok(()),
                // Does it, and nobody learns that.
                14..20 => {
                    self.carry_out(&key, body);
                    return Ok(());
                }
                _ => {
                    // As an API that has something to do: so others come meanwhile.
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    self.carry_out(&key, body);
                    tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
                }
            }
        }
        Ok(())
    }

    fn begin(&self) -> Working<'_> {
        let mut working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        working.0 += 1;
        let now = working.0;
        working.1.push(now);
        Working(self)
    }

    /// Once for each of its caller's keys. One that the proxy made is for APIs that heed it; this one does as if it didn't.
    fn carry_out(&self, key: &str, body: String) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if !key.starts_with("caller-") || book.1.insert(key.to_owned()) {
            book.0.push(body);
        }
    }

    fn next(&self) -> u64 {
        let mut chance = Chance(self.seed.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst));
        chance.next()
    }
}

/// A request is worked on until this is dropped.
struct Working<'a>(&'a State);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.working.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
    }
}

/// Key and body of the next request.
async fn request(
    tcp: &mut TcpStream,
    bytes: &mut Vec<u8>,
) -> std::io::Result<Option<(String, String)>> {
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let field = |name: &str| {
                let line = head.lines().find_map(|line| line.strip_prefix(name));
                line.map(|value| value.trim().to_owned())
            };
            let length: usize =
                field("content-length:").and_then(|length| length.parse().ok()).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let whole: Vec<u8> = bytes.drain(..end + 4 + length).collect();
                let body = String::from_utf8_lossy(&whole[end + 4..]).into_owned();
                return Ok(Some((field("idempotency-key:").unwrap_or_default(), body)));
            }
        }
        let mut piece = [0; 4096];
        match tcp.read(&mut piece).await? {
            0 => return Ok(None),
            length => bytes.extend_from_slice(&piece[..length]),
        }
    }
}
