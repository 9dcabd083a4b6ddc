//! The connection layer alone, for clients that pool by themselves.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection as IsConnection};
use hyper_util::rt::TokioIo;
use mainstay_config::settings::{ConnectSettings, Endpoint, Http2, Scheme};
use mainstay_core::{Break, BreakKind, Certainty};
use parking_lot::Mutex;
use tower_service::Service;

use crate::library::places::port;
use crate::pool::{Lent, Target};

/// Makes connections as Mainstay's own calls do: cached names, a race over all addresses (RFC 8305), TLS by rustls with the system's
/// authorities, keep-alive probes, a bound on unacknowledged data; and says what broke. A `Service<Uri>`, as hyper-util's client and tonic's
/// `connect_with_connector` want it.
///
/// Over TLS it offers HTTP/2 and HTTP/1.1 and says what was agreed on; [`Connector::http2_only`] offers HTTP/2 alone, as gRPC wants.
///
/// Kept connections of HTTP/1.1 end themselves a little before their server would end them, at an age that is learned from when it does and from its
/// `Keep-Alive`; also after the policy's `pool.idle_timeout`, `max_age` and `max_requests`. The pool that keeps them can't be asked what it does,
/// so this needs somebody who says when an answer is over: [`MainstayLayer`](super::MainstayLayer) does, and [`kept`](super::kept) for a client without it. Nothing is done to
/// connections of HTTP/2, whose servers say goodbye first (GOAWAY).
#[derive(Clone, Debug)]
pub struct Connector {
    settings: Arc<ConnectSettings>,
    /// Those of an upstream, which it shares with the upstream's own calls.
    own: Arc<HashMap<Origin, Arc<Target>>>,
    known: Arc<Mutex<HashMap<Origin, Arc<Target>>>>,
}

type Origin = (bool, String, u16);

impl Default for Connector {
    fn default() -> Self {
        Self::new()
    }
}

impl Connector {
    /// A connector by the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::with(ConnectSettings::default())
    }

    /// A connector that offers HTTP/2 alone over TLS.
    #[must_use]
    pub fn http2_only() -> Self {
        Self::with(ConnectSettings { http2: Http2::Always, ..ConnectSettings::default() })
    }

    /// A connector by the connection settings of an upstream: its `connect`, `dns`, `tls` and `pool`. Connections to its endpoints are among the
    /// upstream's: they count against `pool.max_connections`, are in its metrics, and what is learned of their server is known to both.
    #[must_use]
    pub fn of(upstream: &crate::Upstream) -> Self {
        let service = &upstream.station.service;
        let own = service.targets().map(|target| (origin(target.endpoint()), Arc::clone(target)));
        Self { own: Arc::new(own.collect()), ..Self::with(service.settings().connect.clone()) }
    }

    fn with(settings: ConnectSettings) -> Self {
        Self { settings: Arc::new(settings), own: Arc::default(), known: Arc::default() }
    }

    fn of_origin(&self, uri: &Uri) -> Result<Arc<Target>, ConnectError> {
        let scheme = match uri.scheme_str() {
            Some("https") => Scheme::Https,
            Some("http") => Scheme::Http,
            Some(_) | None => {
                return Err(ConnectError::setup("the scheme is neither http nor https"));
            }
        };
        let host = uri.host().ok_or_else(|| ConnectError::setup("the URI has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let said = uri.authority().map_or(Some(None), port);
        let said =
            said.ok_or_else(|| ConnectError::setup("the port isn't a number up to 65535"))?;
        let port = said.unwrap_or(scheme.default_port());
        let name = format!("{host}:{port}");
        let endpoint = Endpoint { name, scheme, host, port, base_path: String::new() };
        let origin = origin(&endpoint);
        let known = self.own.get(&origin).cloned();
        if let Some(known) = known.or_else(|| self.known.lock().get(&origin).cloned()) {
            return Ok(known);
        }
        let made = Target::new(&endpoint, &self.settings).map_err(|error| ConnectError {
            source: Some(error.into()),
            ..ConnectError::setup("the settings of TLS can't be used")
        })?;
        let mut known = self.known.lock();
        if known.len() >= MOST_ORIGINS {
            // What is forgotten is a cache; it is made anew.
            known.clear();
        }
        known.insert(origin, Arc::clone(&made));
        Ok(made)
    }
}

fn origin(endpoint: &Endpoint) -> Origin {
    (endpoint.scheme == Scheme::Https, endpoint.host.to_ascii_lowercase(), endpoint.port)
}

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let target = self.of_origin(&uri);
        Box::pin(async move {
            let lent = target?.lend().await;
            lent.map(|lent| Connection(TokioIo::new(lent))).map_err(|broken| ConnectError {
                what: broken.what,
                details: broken.details,
                source: None,
            })
        })
    }
}

/// A connection that [`Connector`] has made.
#[derive(Debug)]
pub struct Connection(TokioIo<Lent>);

impl IsConnection for Connection {
    fn connected(&self) -> Connected {
        let lent = self.0.inner();
        // Each of its answers has this in its extensions.
        let connected = Connected::new().extra(Arc::clone(lent.link()));
        if lent.agreed_on_http2() { connected.negotiated_h2() } else { connected }
    }
}

impl Read for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
}

/// A connection that couldn't be made. Nothing was sent.
#[derive(Debug)]
pub struct ConnectError {
    pub(super) what: Break,
    details: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl ConnectError {
    fn setup(text: &str) -> Self {
        let what = Break::new(BreakKind::NoEndpoint, Certainty::NotSent);
        Self { what, details: Some(text.to_owned()), source: None }
    }

    /// What broke.
    #[must_use]
    pub const fn break_kind(&self) -> BreakKind {
        self.what.kind
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what.kind.code())?;
        self.details.as_ref().map_or(Ok(()), |details| write!(f, ": {details}"))
    }
}

impl StdError for ConnectError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// Origins that are known at a time: more than a program's configuration names.
const MOST_ORIGINS: usize = 1000;
