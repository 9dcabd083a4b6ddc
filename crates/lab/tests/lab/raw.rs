//! A client without manners: it sends bytes, reads bytes, and tells how the connection ended.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mainstay_lab::{Lab, Rule, Spec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// An end of file.
    Fin,
    /// ECONNRESET.
    Reset,
}

pub(crate) struct Raw {
    stream: TcpStream,
}

/// Starts a lab with the server `a` that does this.
pub(crate) async fn lab(rule: &str) -> (Lab, SocketAddr) {
    let lab = Lab::start(Spec::of(["a"])).await.unwrap();
    lab.set("a", rule.parse::<Rule>().unwrap()).await.unwrap();
    let addr = lab.server("a").unwrap().addr();
    (lab, addr)
}

/// Waits for something that must happen, and not for ever.
pub(crate) async fn within<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), what).await.expect("it took too long")
}

/// A request with an id; a body is sent with its length.
pub(crate) fn request(method: &str, path: &str, id: &str, body: &str) -> String {
    let length =
        if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    format!("{method} {path} HTTP/1.1\r\nhost: lab\r\nx-request-id: {id}\r\n{length}\r\n{body}")
}

impl Raw {
    pub(crate) async fn to(addr: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(addr)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends a request with the id `x`.
    pub(crate) async fn ask(&mut self, method: &str, path: &str) {
        let body = if method == "POST" { "hello" } else { "" };
        self.send(request(method, path, "x", body)).await;
    }

    /// Everything up to and including the empty line.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = within(self.stream.read_u8()).await.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&head));
            });
            head.push(byte);
        }
        String::from_utf8(head).unwrap()
    }

    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        within(self.stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// A whole answer with a content-length: its head and its body.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = field(&head, "content-length").expect("no content-length").parse().unwrap();
        let body = self.bytes(length).await;
        (head, String::from_utf8(body).unwrap())
    }

    /// All there is, and how it ended.
    pub(crate) async fn rest(&mut self) -> (Vec<u8>, End) {
        let mut bytes = Vec::new();
        match within(self.stream.read_to_end(&mut bytes)).await {
            Ok(_) => (bytes, End::Fin),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => (bytes, End::Reset),
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether nothing comes and nothing ends, for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(40), self.stream.read(&mut byte)).await.is_err()
    }
}

/// The value of a header.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The first bytes of `/bytes/N`.
pub(crate) fn pattern(count: u64) -> Vec<u8> {
    (0..count).map(mainstay_lab::pattern_byte).collect()
}
