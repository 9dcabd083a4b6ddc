//! A server whose answers wait until the test lets them go.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::binary::PATIENCE;
use crate::text;

/// The server.
pub(crate) struct Held {
    pub(crate) address: SocketAddr,
    received: watch::Receiver<usize>,
    go_on: watch::Sender<bool>,
}

impl Held {
    pub(crate) async fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let (count, received) = watch::channel(0);
        let (go_on, told) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, count.clone(), told.clone()));
            }
        });
        Ok(Self { address, received, go_on })
    }

    /// Waits until it has a request.
    pub(crate) async fn has_request(&self) -> Result<(), String> {
        let mut received = self.received.clone();
        let waiting = received.wait_for(|count| *count > 0);
        tokio::time::timeout(PATIENCE, waiting).await.map_err(text)?.map_err(text)?;
        Ok(())
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
) {
    let mut bytes = [0; 4096];
    while matches!(stream.read(&mut bytes).await, Ok(1..)) {
        count.send_modify(|count| *count += 1);
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate";
        let is_told = told.wait_for(|told| *told).await.is_ok();
        if !is_told || stream.write_all(answer).await.is_err() {
            return;
        }
    }
}
