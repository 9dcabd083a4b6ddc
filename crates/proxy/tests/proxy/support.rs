//! An application that speaks raw bytes, and upstreams that say what they are told and remember what they heard.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use mainstay_config::Settings;
use mainstay_config::settings::{
    CallFields, ConnectSettings, Endpoint, Forwarded, HostRewrite, Limits, Listener, Matcher,
    Outbox, Records, Route, Scheme, Upstream,
};
use mainstay_core::breaker::BreakerSettings;
use mainstay_core::heal::socket::SocketSettings;
use mainstay_core::upstream::EndpointSettings;
use mainstay_core::{CallPolicy, Checked, UpstreamSettings};
use mainstay_proxy::{Options, Proxy};

/// What nothing here takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// An upstream. Each request that it hears, head and body, is one message.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    heard: Receiver<Vec<u8>>,
}

impl Origin {
    /// Answers each request with `answer`, whole or not, and closes the connection if told.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>, close: bool) -> Self {
        let answer = answer.into();
        Self::with(move |mut tcp, heard| {
            while let Some(request) = read_request(&mut tcp) {
                let _ = heard.send(request);
                if tcp.write_all(&answer).is_err() || close {
                    return;
                }
            }
        })
    }

    /// Plain and good.
    pub(crate) fn good() -> Self {
        Self::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false)
    }

    /// Treats each connection with `treat`.
    pub(crate) fn with(
        treat: impl Fn(TcpStream, &Sender<Vec<u8>>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (say, heard) = channel();
        let treat = Arc::new(treat);
        thread::spawn(move || {
            for tcp in listener.incoming() {
                let (Ok(tcp), treat, say) = (tcp, Arc::clone(&treat), say.clone()) else { return };
                thread::spawn(move || treat(tcp, &say));
            }
        });
        Self { address, heard }
    }

    /// The next request that it hears.
    pub(crate) fn hear(&self) -> String {
        let bytes = self.heard.recv_timeout(PATIENCE).expect("the upstream hears a request");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// All requests that it has heard by now.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.try_iter().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }
}

/// Reads head and body, by length or in chunks; what was read of it when the connection ends. `None` for nothing.
pub(crate) fn read_request(tcp: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while !is_complete(&bytes) {
        let mut piece = [0; 4096];
        match tcp.read(&mut piece) {
            Ok(0) | Err(_) => return (!bytes.is_empty()).then_some(bytes),
            Ok(length) => bytes.extend_from_slice(&piece[..length]),
        }
    }
    Some(bytes)
}

fn is_complete(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let head = head.to_ascii_lowercase();
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n")
            || body.contains("\r\n0\r\n") && body.ends_with("\r\n\r\n");
    }
    let length =
        head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// Settings with one listener, and one route to one upstream with these endpoints; without any, with one that
/// nobody asks.
pub(crate) fn settings(endpoints: &[SocketAddr]) -> Settings {
    let nobody = [SocketAddr::from(([127, 0, 0, 1], 1))];
    let endpoints = if endpoints.is_empty() { &nobody } else { endpoints };
    let names = |address: &SocketAddr| address.to_string();
    let policy = UpstreamSettings {
        endpoints: endpoints
            .iter()
            .map(|address| EndpointSettings { name: names(address), tier: 0, weight: 1 })
            .collect(),
        health: None,
        // What breakers refuse is told at once.
        breaker: BreakerSettings { wait_for: Duration::ZERO, ..BreakerSettings::default() },
        ..UpstreamSettings::default()
    };
    let endpoint = |address: &SocketAddr| Endpoint {
        name: names(address),
        scheme: Scheme::Http,
        host: address.ip().to_string(),
        port: address.port(),
        base_path: String::new(),
    };
    let upstream = Upstream {
        name: "api".into(),
        policy: Checked::new(policy).unwrap(),
        endpoints: endpoints.iter().map(endpoint).collect(),
        connect: ConnectSettings::default(),
        probe: None,
    };
    Settings {
        listeners: vec![Listener { address: "127.0.0.1:0".parse().unwrap(), tls: None }],
        admin: None,
        limits: Limits::default(),
        records: Records::default(),
        threads: Some(2),
        drain_timeout: PATIENCE,
        upstreams: vec![upstream],
        routes: vec![route("all", Matcher::default())],
        outbox: Outbox::default(),
        traces: mainstay_config::settings::Traces::default(),
        callbacks: Vec::new(),
        incidents: mainstay_config::settings::Incidents::default(),
        metrics: mainstay_config::settings::Metrics::default(),
        log_calls: false,
        log_format: mainstay_config::settings::LogFormat::default(),
        access_log: mainstay_config::settings::AccessLog::default(),
    }
}

/// A route to the first upstream.
pub(crate) fn route(name: &str, matcher: Matcher) -> Route {
    Route {
        name: name.into(),
        matcher,
        upstream: 0,
        policy: Arc::new(Checked::new(CallPolicy::default()).unwrap()),
        replay_bytes: 64 * 1024,
        spill: None,
        body_idle_timeout: PATIENCE,
        host: HostRewrite::Endpoint,
        forwarded: Forwarded::Nothing,
        strip_prefix: None,
        idempotency_headers: vec!["idempotency-key".into()],
        hash_header: None,
        fields: CallFields::default(),
        stale: None,
        fallback: None,
        outbox: None,
        websocket: SocketSettings::default(),
    }
}

/// A proxy in front of `origin`.
pub(crate) fn proxy(origin: &Origin) -> Proxy {
    start(settings(&[origin.address]))
}

pub(crate) fn start(settings: Settings) -> Proxy {
    Proxy::start(settings, Options::quiet()).unwrap()
}

/// An application.
pub(crate) struct App {
    tcp: TcpStream,
    /// Read, and not yet given out.
    bytes: Vec<u8>,
}

/// What an application got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    pub(crate) fn member(&self, name: &str) -> serde_json::Value {
        let document: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        document[name].clone()
    }
}

impl App {
    pub(crate) fn of(proxy: &Proxy) -> Self {
        Self::at(proxy.addresses()[0])
    }

    pub(crate) fn at(address: SocketAddr) -> Self {
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { tcp, bytes: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.tcp.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// A GET on this connection.
    pub(crate) fn get(&mut self, path: &str) -> Got {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n")).answer()
    }

    /// One answer with a body of known length, in chunks, or none.
    pub(crate) fn answer(&mut self) -> Got {
        let head = loop {
            if let Some(end) = find(&self.bytes, b"\r\n\r\n") {
                break self.bytes.drain(..end + 4).collect::<Vec<_>>();
            }
            assert!(
                self.more(),
                "the connection ended in a head: {:?}",
                String::from_utf8_lossy(&self.bytes)
            );
        };
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut got = Got { status, head, body: String::new() };
        if got.field("transfer-encoding").is_some() {
            while find(&self.bytes, b"0\r\n\r\n").is_none() {
                assert!(self.more(), "the connection ended in a body in chunks");
            }
            got.body = String::from_utf8(std::mem::take(&mut self.bytes)).unwrap();
        } else if status != 100 {
            let length: usize =
                got.field("content-length").map_or(0, |length| length.parse().unwrap());
            while self.bytes.len() < length {
                assert!(self.more(), "the connection ended in a body");
            }
            got.body = String::from_utf8(self.bytes.drain(..length).collect()).unwrap();
        }
        got
    }

    /// Reads until this came, and forgets it and what was before.
    pub(crate) fn expect(&mut self, wanted: &str) {
        let end = loop {
            match find(&self.bytes, wanted.as_bytes()) {
                Some(start) => break start + wanted.len(),
                None => assert!(self.more(), "{wanted:?} never came"),
            }
        };
        self.bytes.drain(..end);
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> String {
        let end = loop {
            match find(&self.bytes, b"\r\n") {
                Some(end) => break end,
                None => assert!(self.more(), "the connection ended in a line"),
            }
        };
        let line = self.bytes.drain(..end + 2).take(end).collect();
        String::from_utf8(line).unwrap()
    }

    /// The next so many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.bytes.len() < count {
            assert!(self.more(), "the connection ended behind {:?}", self.bytes);
        }
        self.bytes.drain(..count).collect()
    }

    /// Everything until the connection ends.
    pub(crate) fn rest(&mut self) -> String {
        while self.more() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.bytes)).into_owned()
    }

    /// Whether the connection was closed in an orderly way, or reset, with nothing more in it.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.bytes.is_empty() && !self.more()
    }

    pub(crate) fn shut_down(&mut self) {
        self.tcp.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Reads once; false at the end.
    fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        match self.tcp.read(&mut piece) {
            Ok(length) => {
                self.bytes.extend_from_slice(&piece[..length]);
                length > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// Waits for what happens on another thread.
#[track_caller]
pub(crate) fn until(condition: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "it didn't happen");
        thread::yield_now();
    }
}
