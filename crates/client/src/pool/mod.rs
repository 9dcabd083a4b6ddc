//! Kept connections, and the exchange of one request for one answer over them.
//!
//! [`Target`] is one endpoint as the driver sees it: it leases connections. A [`Lease`] carries one request; the
//! answer's body holds it and gives the connection back when it has been read to its end.

use std::sync::Arc;

use http::{Request, Response};
use mainstay_config::settings::{ConnectSettings, Endpoint};
use mainstay_core::{Break, Timestamp};

use crate::body::Outgoing;

/// One endpoint: its connector and its kept connections.
#[derive(Debug)]
pub struct Target {}

/// Why a target can't be made: settings that name files which can't be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum TargetError {}

/// A connection lent for one request.
#[must_use]
#[derive(Debug)]
pub struct Lease {}

/// The body of an answer. Its errors are breaks of the body phase.
#[derive(Debug)]
pub struct AnswerBody {}

/// A break in the body of an answer.
#[derive(Debug)]
pub struct AnswerError {
    /// What broke: a kind of the body phase.
    pub what: Break,
}

impl std::fmt::Display for AnswerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the answer's body broke: {}", self.what.kind.code())
    }
}

impl std::error::Error for AnswerError {}

impl http_body::Body for AnswerBody {
    type Data = bytes::Bytes;
    type Error = AnswerError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, AnswerError>>> {
        todo!()
    }
}

/// A broken exchange.
#[derive(Debug)]
pub struct Broken {
    /// What broke, and how far the request got.
    pub what: Break,
    /// Details for the record, never for decisions.
    pub details: Option<String>,
}

impl Target {
    /// A target without connections.
    ///
    /// # Errors
    ///
    /// [`TargetError`] when a certificate or key can't be read.
    pub fn new(endpoint: &Endpoint, settings: &ConnectSettings) -> Result<Arc<Self>, TargetError> {
        let _ = (endpoint, settings);
        todo!()
    }

    /// A connection: a kept one unless `fresh`, else a new one.
    ///
    /// # Errors
    ///
    /// A break of the phases resolve, connect or TLS, or `limit-reached`; nothing was sent.
    pub async fn lease(self: &Arc<Self>, fresh: bool) -> Result<Lease, Broken> {
        let _ = fresh;
        todo!()
    }

    /// Closes idle connections whose time is over. Call it about each second.
    pub fn sweep(&self, now: Timestamp) {
        let _ = now;
        todo!()
    }
}

impl Lease {
    /// Sends `request` and waits for the head of its answer. The URI's path and query are sent; over HTTP/2 the
    /// scheme and authority too.
    ///
    /// # Errors
    ///
    /// What broke. Dropping the future cancels the exchange; [`Lease::was_sent`] tells how far it got.
    pub async fn send(&mut self, request: Request<Outgoing>) -> Result<Response<AnswerBody>, Broken> {
        let _ = request;
        todo!()
    }

    /// Whether any byte of the request may have left this host.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        todo!()
    }
}

/// A request's extension: what to do when the endpoint answers 100 (Continue).
#[derive(Clone)]
pub struct OnContinue(pub Arc<dyn Fn() + Send + Sync>);
