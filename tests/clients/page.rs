//! The server of the browser's page: gives the page, says when the story is over, and takes what the page saw.
//!
//! It stands behind the proxy, since a page may only talk to where it came from.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::stage::{PATIENCE, text};

/// The running server; it ends when this is dropped.
pub(crate) struct Page {
    pub(crate) address: SocketAddr,
    is_over: Arc<watch::Sender<bool>>,
    results: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
    task: JoinHandle<()>,
}

impl Page {
    pub(crate) async fn serve() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let is_over = Arc::new(watch::Sender::new(false));
        let (sender, results) = mpsc::unbounded_channel();
        let over = Arc::clone(&is_over);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (over, sender) = (over.subscribe(), sender.clone());
                // A connection that breaks off is the checker's, who only knocks.
                tokio::spawn(async move { drop(answer(stream, over, sender).await) });
            }
        });
        Ok(Self { address, is_over, results: results.into(), task })
    }

    /// Tells the page that the story is over, and gives what it saw.
    pub(crate) async fn told(&self) -> Result<String, String> {
        self.is_over.send_replace(true);
        let mut results = self.results.lock().await;
        let result = timeout(PATIENCE, results.recv()).await;
        result
            .map_err(|_| "the page tells nothing")?
            .ok_or_else(|| "the page's server ended".into())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request a connection: the proxy sends clean ones, so little has to be understood.
async fn answer(
    stream: TcpStream,
    mut is_over: watch::Receiver<bool>,
    results: mpsc::UnboundedSender<String>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default();
    let body = match path {
        "/page" => HTML,
        "/page/stream" => STREAM_HTML,
        "/page/over" => {
            // The answer is the news, so nobody has to ask again and again.
            let _ = is_over.wait_for(|over| *over).await;
            "over"
        }
        "/page/seen" => {
            let mut body = vec![0; length(&head)];
            stream.read_exact(&mut body).await?;
            let _ = results.send(String::from_utf8_lossy(&body).into_owned());
            "thanks"
        }
        _ => "",
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await
}

/// The length of the body that a head announces.
pub(crate) fn length(head: &str) -> usize {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.parse().ok()).unwrap_or_default()
}

const HTML: &str = include_str!("page.html");
const STREAM_HTML: &str = include_str!("stream.html");
