//! An upstream that behaves as the path asks, and remembers what each request said of its trace.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::support::text;

/// The upstream; its connections end with the test's runtime.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Whether it breaks where it is asked to.
    breaks: bool,
}

/// The fields of a request that tell of traces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) parent: Option<String>,
    pub(crate) state: Option<String>,
}

impl Server {
    /// One that does what the path says: `/break` ends the connection in place of an answer, `/slow` answers after a while, `/cut`
    /// ends it in the middle of the body, and everything else is answered. Without `breaks` everything is.
    pub(crate) async fn start(breaks: bool) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let server = Self { address, seen: Arc::default(), breaks };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        Ok(server)
    }

    /// What requests said, in the order in which they came.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let (mut path, mut seen) = (String::new(), Seen::default());
            stream.read_line(&mut path).await.ok().filter(|read| *read > 0)?;
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                match name.to_ascii_lowercase().as_str() {
                    "traceparent" => seen.parent = Some(value.to_owned()),
                    "tracestate" => seen.state = Some(value.to_owned()),
                    _ => {}
                }
            }
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
            let is = |what: &str| self.breaks && path.contains(what);
            if is("/break") {
                return None;
            }
            if is("/slow") {
                sleep(Duration::from_secs(30)).await;
            }
            let (length, body) = if is("/cut") { (1_000_000, "part") } else { (2, "ok") };
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.ok()?;
            if is("/cut") {
                // What was held back is delivered first.
                sleep(Duration::from_millis(500)).await;
                return None;
            }
        }
    }
}
