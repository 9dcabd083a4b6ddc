//! A server whose answers wait until the test lets them go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::binary::PATIENCE;
use crate::text;

/// The server.
pub(crate) struct Held {
    pub(crate) address: SocketAddr,
    received: watch::Receiver<usize>,
    at_once: Arc<AtOnce>,
    go_on: watch::Sender<bool>,
}

/// Requests that it has at a time.
#[derive(Default)]
struct AtOnce {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Held {
    pub(crate) async fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let (count, received) = watch::channel(0);
        let (go_on, told) = watch::channel(false);
        let at_once = Arc::new(AtOnce::default());
        let counted = Arc::clone(&at_once);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, count.clone(), told.clone(), Arc::clone(&counted)));
            }
        });
        Ok(Self { address, received, at_once, go_on })
    }

    /// Waits until it has a request.
    pub(crate) async fn has_request(&self) -> Result<(), String> {
        self.has_requests(1).await
    }

    /// Waits until it has had so many.
    pub(crate) async fn has_requests(&self, wanted: usize) -> Result<(), String> {
        let mut received = self.received.clone();
        let waiting = received.wait_for(|count| *count >= wanted);
        tokio::time::timeout(PATIENCE, waiting).await.map_err(text)?.map_err(text)?;
        Ok(())
    }

    /// How many requests it had at a time, at the most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.at_once.most.load(Ordering::SeqCst)
    }

    /// Lets all answers go.
    pub(crate) fn go_on(&self) {
        self.go_on.send_replace(true);
    }
}

/// A health check connects and says nothing: it isn't a request.
async fn serve(
    mut stream: TcpStream,
    count: watch::Sender<usize>,
    mut told: watch::Receiver<bool>,
    at_once: Arc<AtOnce>,
) {
    let mut bytes = [0; 4096];
    while matches!(stream.read(&mut bytes).await, Ok(1..)) {
        let now = at_once.now.fetch_add(1, Ordering::SeqCst) + 1;
        at_once.most.fetch_max(now, Ordering::SeqCst);
        count.send_modify(|count| *count += 1);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate";
        let is_told = told.wait_for(|told| *told).await.is_ok();
        at_once.now.fetch_sub(1, Ordering::SeqCst);
        if !is_told || stream.write_all(answer).await.is_err() {
            return;
        }
    }
}
