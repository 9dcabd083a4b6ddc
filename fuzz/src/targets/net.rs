//! A proxy in this process, an upstream behind it that remembers what it heard, and applications that say raw bytes.

#![expect(clippy::unwrap_used, reason = "a stage that can't be set is a failure")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use mainstay_proxy::{Options, Proxy};

use crate::strict::{self, Message, Rest, Side};

/// Pieces of HTTP/1.1.
pub(super) const HTTP: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /x HTTP/1.1\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0",
    "Host: a\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "Content-Length: 3\r\n",
    "Content-Length: 0",
    "Transfer-Encoding: chunked\r\n",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "Connection: close\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\n",
    "Expect: 100-continue\r\n",
    " ",
    "\t",
    "\0",
    ":",
    ";x=y",
    "http://b/",
    "*",
    "HEAD",
    "OPTIONS",
    "CONNECT a:1",
    "TE: trailers\r\n",
    "Trailer: x\r\n",
    "x: y\r\n",
    "ffffffffffffffff",
    "18446744073709551616",
    "%00",
    "\u{e4}",
];

/// How long anything here may take; a proxy that needs longer hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What an upstream does.
#[derive(Clone, Debug)]
enum Manner {
    /// Answers each whole request.
    Plain,
    /// Answers the first request with these bytes, and closes.
    Says(Vec<u8>),
}

/// A proxy with an upstream.
pub(super) struct Stage {
    pub(super) proxy: SocketAddr,
    upstream: Arc<Upstream>,
    _running: Proxy,
}

#[derive(Debug)]
struct Upstream {
    manner: Mutex<Manner>,
    /// By the number of the connection: one may still be open when somebody has asked what was heard.
    heard: Mutex<BTreeMap<u64, Vec<u8>>>,
    connections: AtomicU64,
}

impl Stage {
    /// One for a target, made when it is first asked for.
    pub(super) fn of(cell: &'static OnceLock<Self>) -> &'static Self {
        cell.get_or_init(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let upstream = Arc::new(Upstream {
                manner: Mutex::new(Manner::Plain),
                heard: Mutex::default(),
                connections: AtomicU64::new(0),
            });
            let kept = Arc::clone(&upstream);
            thread::spawn(move || {
                for tcp in listener.incoming().flatten() {
                    let kept = Arc::clone(&kept);
                    thread::spawn(move || kept.serve(tcp));
                }
            });
            let running = started(&format!(
                "endpoints = [\"http://{address}\"]\nbreaker.mode = \"off\"\nretry.max_attempts = 1\nattempt_timeout = \"2s\"\n"
            ));
            Self { proxy: running.addresses()[0], upstream, _running: running }
        })
    }

    /// From now on the upstream says these bytes to each request.
    pub(super) fn says(&self, bytes: &[u8]) {
        *held(&self.upstream.manner) = Manner::Says(bytes.to_vec());
    }

    /// All that the upstream has heard since it was last asked, by connection. Panics where it is malformed, or two readers
    /// see different messages in it.
    pub(super) fn heard(&self) -> Vec<Message> {
        let mut all = Vec::new();
        for bytes in std::mem::take(&mut *held(&self.upstream.heard)).into_values() {
            let (mut messages, rest) = strict::read(&bytes, Side::Requests);
            let shown = String::from_utf8_lossy(&bytes);
            assert!(!matches!(rest, Rest::Wrong(_)), "the upstream heard {rest:?}: {shown:?}");
            let (seen, wrong) = crate::second::read(&bytes, Side::Requests);
            assert!(
                !wrong && seen == messages,
                "httparse sees {seen:?}, and not {messages:?}: {shown:?}"
            );
            all.append(&mut messages);
        }
        all
    }
}

/// A proxy under a config of one upstream.
pub(super) fn started(upstream: &str) -> Proxy {
    let config = format!(
        "listen = \"127.0.0.1:0\"\nadmin = false\nlimits.head_timeout = \"200ms\"\nlimits.idle_timeout = \"300ms\"\n[upstream.api]\nhealth = false\nejection = false\n{upstream}"
    );
    let loaded =
        mainstay_config::parse(&config, "fuzz.toml").unwrap_or_else(|errors| panic!("{errors}"));
    Proxy::start(loaded.settings, Options::quiet()).unwrap_or_else(|error| panic!("{error}"))
}

impl Upstream {
    fn serve(&self, mut tcp: TcpStream) {
        // Each connection is for one request, so that what is heard of an input isn't mixed with what is heard of the next.
        let (mut bytes, mut piece) = (Vec::new(), [0; 16 * 1024]);
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        held(&self.heard).insert(number, Vec::new());
        while let Ok(length @ 1..) = tcp.read(&mut piece) {
            bytes.extend_from_slice(&piece[..length]);
            if let Some(kept) = held(&self.heard).get_mut(&number) {
                kept.clone_from(&bytes);
            }
            let (messages, rest) = strict::read(&bytes, Side::Requests);
            if matches!(rest, Rest::Wrong(_)) {
                return;
            }
            if messages.is_empty() {
                continue;
            }
            let answer = match held(&self.manner).clone() {
                Manner::Plain => {
                    b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok".to_vec()
                }
                Manner::Says(bytes) => bytes,
            };
            let _ = tcp.write_all(&answer);
            return;
        }
    }
}

/// Says bytes to the proxy, ends, and reads until the proxy has ended too. Panics where that takes too long.
pub(super) fn say(proxy: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut tcp = TcpStream::connect(proxy).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = tcp.write_all(bytes);
    let mut got = Vec::new();
    let mut piece = [0; 16 * 1024];
    let mut ended = false;
    loop {
        match tcp.read(&mut piece) {
            Ok(0) => return got,
            Ok(length) => got.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("the proxy hangs")
            }
            Err(_) => return got,
        }
        if !std::mem::replace(&mut ended, true) {
            let _ = tcp.shutdown(Shutdown::Write);
        }
    }
}

fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
