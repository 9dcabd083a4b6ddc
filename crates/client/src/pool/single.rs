//! A connection that carries one exchange at a time: HTTP/1.1.

use std::sync::Arc;

use http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use mainstay_core::breaks::evidence::{Crossing, is_farewell};
use mainstay_core::{BreakKind, Certainty, Timestamp};
use mainstay_record::ConnectionFacts;

use super::classify::{Facts, before_head};
use super::lifetime::Lifetime;
use super::{Broken, OnInformational};
use crate::body::Outgoing;
use crate::connect::{Meter, Seen, Transport};

/// One HTTP/1.1 connection.
#[derive(Debug)]
pub(super) struct Single {
    sender: SendRequest<Outgoing>,
    meter: Arc<Meter>,
    secure: bool,
    /// The shelf's division that it lies on when idle: that of the thread whose runtime its task is on.
    pub(super) division: usize,
    /// Whether it has carried an exchange before.
    pub(super) reused: bool,
    /// Since when it was idle before it was last taken.
    pub(super) idle_since: Option<Timestamp>,
    lifetime: Lifetime,
}

impl Single {
    /// Speaks HTTP/1.1 over `transport`. The connection's task runs on the current runtime.
    pub(super) async fn start(
        transport: Transport,
        division: usize,
        lifetime: Lifetime,
    ) -> Result<Self, Broken> {
        let (meter, secure) = (Arc::clone(transport.meter()), transport.is_secure());
        let started = Builder::new()
            .max_header_size(HEAD_LIMIT_BYTES)
            .handshake(TokioIo::new(transport))
            .await;
        let (sender, connection) = started.map_err(|error| {
            Broken::new(BreakKind::WriteFailed, Certainty::NotSent).details(error.to_string())
        })?;
        tokio::spawn(async move {
            // An error that belongs to a request has been given to it. What is left is an idle connection that
            // ended, and the pool sees that when it next looks at it.
            let _ = connection.with_upgrades().await;
        });
        Ok(Self { sender, meter, secure, division, reused: false, idle_since: None, lifetime })
    }

    /// Whether it can take a request now.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends `request`. What comes of it belongs to nobody's borrow, so that it can be awaited apart; a failure is to
    /// be read by [`Single::failed`], with where the connection stood before.
    pub(super) fn send(
        &mut self,
        mut request: Request<Outgoing>,
    ) -> (Before, impl Future<Output = Result<Response<Incoming>, Unsent>> + Send + use<>) {
        make_out(&mut request);
        self.meter.begin();
        let before = Before { written: self.meter.written_bytes(), read: self.meter.read_bytes() };
        (before, self.sender.try_send_request(request))
    }

    /// What is to be told of it to whoever takes it at `now`.
    pub(super) fn facts(&self, now: Timestamp) -> ConnectionFacts {
        self.meter.connection("http/1.1", self.secure, self.idle_since, now)
    }

    /// When it ended, if it has.
    pub(super) fn ended_at(&self) -> Option<Timestamp> {
        self.meter.ended_at()
    }

    /// When it is too old to be used again; nothing if it isn't to be used again at `now`.
    pub(super) fn usable_until(&self, now: Timestamp) -> Option<Timestamp> {
        let lives = !self.is_closed() && self.lifetime.allows(now, self.meter.exchanges());
        lives.then_some(self.lifetime.expires_at)
    }

    /// How often its endpoint's addresses had changed when it was established.
    pub(super) fn changes(&self) -> u64 {
        self.lifetime.changes
    }

    /// Its counters.
    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Whether it lives as far as the socket can tell: nothing has ended, broken, or come unasked.
    pub(super) fn is_alive(&self) -> bool {
        match self.meter.look() {
            Seen::Quiet => true,
            // TLS says things of its own between requests; its end is among them, and the connection's task reads it.
            Seen::Bytes => self.secure,
            Seen::End | Seen::Broken => false,
        }
    }

    /// Whether what came back to the request that began at `before` isn't its answer.
    pub(super) fn is_farewell(&self, status: StatusCode, before: Before) -> bool {
        is_farewell(status.as_u16(), self.reused, before.written, || self.meter.acked_bytes())
    }

    /// What broke.
    pub(super) fn failed(&self, before: Before, mut failure: Unsent) -> Broken {
        let read = self.meter.read_bytes() > before.read;
        let facts = Facts {
            handed_back: failure.take_message().is_some(),
            reused: self.reused,
            written: self.meter.written_bytes() > before.written,
            write_failed: self.meter.write_failed(),
            read,
            crossing: Crossing {
                written_before: before.written,
                acked_at_end: self.meter.acked_at_end(),
                answered: read,
            },
        };
        before_head(failure.error(), &facts)
    }
}

/// A request that got no answer, handed back if it was never begun.
pub(super) type Unsent = TrySendError<Request<Outgoing>>;

/// Where a connection's counters stood before a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    written: u64,
    read: u64,
}

/// Makes a request one of HTTP/1.1: its target in origin form, whatever the application's version was.
fn make_out(request: &mut Request<Outgoing>) {
    *request.version_mut() = Version::HTTP_11;
    if request.uri().authority().is_some() || request.uri().scheme().is_some() {
        let target = request.uri().path_and_query().cloned();
        *request.uri_mut() = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    if let Some(OnInformational(tell)) = request.extensions_mut().remove::<OnInformational>() {
        hyper::ext::on_informational(request, move |informational| {
            tell(informational.status(), informational.headers());
        });
    }
}

/// How large the head of an answer, or its trailers, may be. As much as the largest that servers are commonly
/// configured to send, and little enough for thousands of calls at once.
const HEAD_LIMIT_BYTES: usize = 64 * 1024;
