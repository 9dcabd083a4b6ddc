//! A server that remembers each request's head, and answers all of them alike, at once.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;

use crate::text;

/// The server.
pub(crate) struct Heard {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Heard {
    /// One that answers with this status line and these fields, and an empty body.
    pub(crate) async fn start(answer: &'static str) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer, Arc::clone(&kept)));
            }
        });
        Ok(Self { address, heads })
    }

    /// What it was asked so far, in lower case.
    pub(crate) async fn heads(&self) -> Vec<String> {
        self.heads.lock().await.clone()
    }

    /// The values that a field had in its requests, in their order.
    pub(crate) async fn values(&self, name: &str) -> Vec<String> {
        let heads = self.heads().await;
        let of = |head: &String| {
            let line = head.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.strip_prefix(": ")).map(str::to_owned)
        };
        heads.iter().filter_map(of).collect()
    }
}

/// Requests have no body here, and a health check says nothing.
async fn serve(mut stream: TcpStream, answer: &str, heads: Arc<Mutex<Vec<String>>>) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
        heads.lock().await.push(String::from_utf8_lossy(&bytes[..read]).to_lowercase());
        let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
