//! An upstream that remembers each byte, the binary in front of it, and applications that speak raw bytes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::strict::{self, Message, Rest, Side};
use crate::support::{Binary, PATIENCE, text};
use crate::{Outcome, judge, second};

/// An upstream that answers each whole request with its target, and remembers all that it heard.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    heard: Heard,
}

/// What came, by connection.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

impl Recorder {
    pub(crate) async fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let heard = Heard::default();
        let kept = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(record(tcp, Arc::clone(&kept)));
            }
        });
        Ok(Self { address, heard })
    }

    /// The bytes of each connection.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many whole requests it has heard by now, but for those with this target.
    pub(crate) fn count_but_for(&self, target: &str) -> usize {
        let messages =
            self.heard().into_iter().flat_map(|bytes| strict::read(&bytes, Side::Requests).0);
        messages.filter(|message| message.start[1] != target).count()
    }

    /// The whole requests of all connections, as all three readers see them.
    ///
    /// # Errors
    ///
    /// Where they see different ones, or one of them something malformed.
    pub(crate) async fn agreed(&self) -> Result<Vec<Message>, String> {
        let (heard, mut all) = (self.heard(), Vec::new());
        for bytes in &heard {
            let (mut messages, rest) = strict::read(bytes, Side::Requests);
            let shown = String::from_utf8_lossy(bytes);
            if let Rest::Wrong(why) = rest {
                return Err(format!("the upstream heard {why}: {shown:?}"));
            }
            let (seen, wrong) = second::read(bytes, Side::Requests);
            if wrong || seen != messages {
                return Err(format!("httparse sees {seen:?}, and not {messages:?}: {shown:?}"));
            }
            all.append(&mut messages);
        }
        judge::requests(&heard, &all).await?;
        Ok(all)
    }
}

async fn record(mut tcp: TcpStream, heard: Heard) {
    let place = {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(Vec::new());
        heard.len() - 1
    };
    let (mut answered, mut piece) = (0, vec![0; 64 * 1024]);
    while let Ok(length @ 1..) = tcp.read(&mut piece).await {
        let (messages, rest) = {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard[place].extend_from_slice(&piece[..length]);
            strict::read(&heard[place], Side::Requests)
        };
        for message in &messages[answered..] {
            let target = &message.start[1];
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{target}", target.len());
            if tcp.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
        answered = messages.len();
        if matches!(rest, Rest::Wrong(_)) {
            return;
        }
    }
}

/// The binary in front of an upstream at `address`, with no opinion on it: neither breaker nor checks.
pub(crate) async fn in_front_of(address: SocketAddr, more: &str) -> Result<Binary, String> {
    in_front_of_with(address, more, "").await
}

/// The same, with settings of the upstream's as well.
pub(crate) async fn in_front_of_with(
    address: SocketAddr,
    more: &str,
    upstream: &str,
) -> Result<Binary, String> {
    let config = format!(
        "{more}\n[upstream.api]\nendpoints = [\"http://{address}\"]\nhealth = false\nbreaker.mode = \"off\"\nejection = false\n\
         retry.max_attempts = 1\n{upstream}"
    );
    Binary::run(&config).await
}

/// An application's connection.
pub(crate) struct App {
    pub(crate) tcp: TcpStream,
    pub(crate) got: Vec<u8>,
}

impl App {
    pub(crate) async fn of(address: SocketAddr) -> Result<Self, String> {
        Ok(Self { tcp: TcpStream::connect(address).await.map_err(text)?, got: Vec::new() })
    }

    /// Sends, unless the proxy has hung up already.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.tcp.write_all(bytes).await;
    }

    pub(crate) async fn shut_down(&mut self) {
        let _ = self.tcp.shutdown().await;
    }

    /// Reads until the connection ends.
    pub(crate) async fn rest(&mut self) -> Result<&[u8], String> {
        while self.more().await? {}
        Ok(&self.got)
    }

    /// Reads until these requests are answered.
    pub(crate) async fn answers(&mut self, to: &[&str]) -> Result<Vec<Message>, String> {
        loop {
            let (messages, rest) = strict::read(&self.got, Side::Answers { to, ended: false });
            if let Rest::Wrong(why) = rest {
                return Err(format!(
                    "the application got {why}: {:?}",
                    String::from_utf8_lossy(&self.got)
                ));
            }
            if messages.len() >= to.len() {
                return Ok(messages);
            }
            if !self.more().await? {
                return Err(format!(
                    "the connection ended behind {:?}",
                    String::from_utf8_lossy(&self.got)
                ));
            }
        }
    }

    /// Reads once; false at the end.
    pub(crate) async fn more(&mut self) -> Result<bool, String> {
        let mut piece = vec![0; 16 * 1024];
        match timeout(PATIENCE, self.tcp.read(&mut piece)).await {
            Err(_) => Err(format!("nothing came behind {:?}", String::from_utf8_lossy(&self.got))),
            Ok(Ok(length)) => {
                self.got.extend_from_slice(&piece[..length]);
                Ok(length > 0)
            }
            Ok(Err(_)) => Ok(false),
        }
    }
}

/// A plain request on a connection of its own, which must be answered with its own target.
pub(crate) async fn probe(binary: &Binary, target: &str) -> Outcome {
    let mut app = App::of(binary.proxy).await?;
    app.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await;
    let answers = app.answers(&["GET"]).await?;
    match answers.first() {
        Some(answer) if answer.body == target.as_bytes() => Ok(()),
        other => Err(format!("the answer to {target} is {other:?}")),
    }
}

/// Asks again until it holds, for what happens elsewhere.
pub(crate) async fn until<F: Future<Output = Result<bool, String>>>(
    what: &str,
    mut holds: impl FnMut() -> F,
) -> Outcome {
    let asked = async {
        while !holds().await? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    timeout(PATIENCE, asked).await.map_err(|_| format!("it never happens that {what}"))?
}
