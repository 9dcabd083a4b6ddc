//! A connection lent for one request.

use std::sync::Arc;

use http::header::UPGRADE;
use http::{Request, Response};
use hyper::upgrade::OnUpgrade;
use mainstay_core::{BreakKind, Certainty, Timestamp};
use mainstay_record::Step;

use super::answer::{AnswerBody, Held, Incoming};
use super::exchange::Exchange;
use super::framing;
use super::multi::Begun;
use super::single::{Before, Unsent};
use super::{Broken, Connection, Target};
use crate::Clock;
use crate::body::Outgoing;

/// A connection lent for one request. Dropped unused it goes back; dropped in use it is closed.
#[must_use]
#[derive(Debug)]
pub struct Lease {
    /// Where the connection goes when it is free again; `None` when it is used this once.
    home: Option<Arc<Target>>,
    connection: Option<Connection>,
    reused: bool,
    sent: bool,
    /// What it does, for the record; taken at its end.
    exchange: Option<Exchange>,
}

impl Lease {
    pub(super) fn new(
        home: Option<Arc<Target>>,
        connection: Connection,
        leased_at: Timestamp,
    ) -> Self {
        let reused = connection.is_reused();
        let exchange = Some(Exchange::new(&connection, leased_at));
        Self { home, connection: Some(connection), reused, sent: false, exchange }
    }

    /// The same, over a connection that was established for it in these steps.
    pub(crate) fn established_by(mut self, steps: Vec<Step>) -> Self {
        if let Some(exchange) = &mut self.exchange {
            exchange.established_by(steps);
        }
        self
    }

    /// Sends `request` and waits for the head of its answer. The URI's path and query are sent; over HTTP/2 the
    /// scheme and the host as well.
    ///
    /// An answer that switches protocols carries the connection in its extensions
    /// ([`hyper::upgrade::on`]), and it doesn't go back to the pool.
    ///
    /// # Errors
    ///
    /// What broke. Dropping the future cancels the exchange; [`Lease::was_sent`] tells how far it got.
    pub fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Broken>> + Send {
        let fits = self.connection.is_some() && !self.sent;
        let switches = request.headers().contains_key(UPGRADE);
        debug_assert!(fits, "a lease is for one request");
        // Sent here, not when first polled: the request is large, and a future that held it would be moved about with it.
        let sent = match self.connection.as_mut().filter(|_| fits) {
            Some(Connection::Single(single)) => {
                let (before, sent) = single.send(request);
                Ok(Sent::Single(before, sent))
            }
            Some(Connection::Stream(stream)) => stream.send(request).map(Sent::Stream),
            None => Err(Broken::new(BreakKind::ClosedWhileIdle, Certainty::NotSent)
                .details("the lease had been used".to_owned())),
        };
        self.sent = true;
        async move {
            let head = match sent {
                Ok(Sent::Single(before, sent)) => match sent.await {
                    Ok(response) if self.is_farewell(&response, before) => Err(farewell()),
                    Ok(response) => Ok(response.map(Incoming::Single)),
                    Err(failure) => Err(self.failed(before, failure)),
                },
                Ok(Sent::Stream(begun)) => match &mut self.connection {
                    Some(Connection::Stream(stream)) => {
                        stream.head(begun).await.map(|response| response.map(Incoming::Stream))
                    }
                    None | Some(Connection::Single(_)) => Err(misplaced()),
                },
                Err(broken) => Err(broken),
            };
            self.note_times();
            let head =
                head.and_then(|mut response| match framing::check(&mut response, switches) {
                    Ok(()) => Ok(response),
                    Err(why) => Err(malformed(why)),
                });
            match head {
                Ok(response) => Ok(self.answer(response)),
                Err(mut broken) => {
                    if let Some(exchange) = &self.exchange {
                        broken.steps = exchange.steps(Clock::now(), Some(broken.what.kind));
                    }
                    self.note_met(broken.what.kind);
                    self.connection = None;
                    self.sent = broken.what.certainty != Certainty::NotSent;
                    Err(broken)
                }
            }
        }
    }

    fn failed(&self, before: Before, failure: Unsent) -> Broken {
        match &self.connection {
            Some(Connection::Single(single)) => single.failed(before, failure),
            // The connection stays with the lease while its exchange is under way.
            None | Some(Connection::Stream(_)) => misplaced().details(failure.error().to_string()),
        }
    }

    /// A kept connection's close was met: that teaches when the peer closes.
    fn note_met(&self, kind: BreakKind) {
        if let (BreakKind::ClosedWhileIdle, Some(home)) = (kind, &self.home) {
            let exchange = self.exchange.as_ref();
            let connection = exchange.and_then(|exchange| exchange.connection);
            home.note_met(connection.and_then(|connection| connection.idle_for));
        }
    }

    fn note_times(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            exchange.note(self.connection.as_ref());
        }
    }

    /// What it did, for the record.
    pub(crate) fn take_exchange(&mut self) -> Option<Exchange> {
        // One that was cut off is read now; an ended one's connection is gone from here, and was read at its end.
        self.note_times();
        self.exchange.take()
    }

    /// Whether any byte of the request may have left this host.
    ///
    /// True from the moment that the request is handed to the connection's task until a proof of the contrary:
    /// what a task has in its buffer it may still write when its exchange is cancelled. A stream of HTTP/2 that waits for
    /// its turn has handed over nothing.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        let waits = match &self.connection {
            Some(Connection::Stream(stream)) => stream.is_waiting(),
            None | Some(Connection::Single(_)) => false,
        };
        self.sent && !waits
    }

    /// Whether the connection has carried a request before.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether the connection speaks HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.connection, Some(Connection::Stream(_)))
    }

    fn is_farewell<B>(&self, response: &Response<B>, before: Before) -> bool {
        match &self.connection {
            Some(Connection::Single(single)) => single.is_farewell(response.status(), before),
            None | Some(Connection::Stream(_)) => false,
        }
    }

    fn answer(&mut self, response: Response<Incoming>) -> Response<AnswerBody> {
        let upgraded = response.extensions().get::<OnUpgrade>().is_some();
        let connection = self.connection.take().filter(|_| !upgraded);
        let home = self.home.take();
        // The first answer of a connection says what all of them do.
        if let Some(home) = home.as_ref().filter(|_| !self.reused) {
            home.note_hint(response.headers());
        }
        let held = connection.map(|connection| Held { connection, home });
        response.map(|incoming| AnswerBody::new(incoming, held))
    }
}

/// A broken invariant, answered without sending again.
fn misplaced() -> Broken {
    debug_assert!(false, "an exchange without its connection");
    Broken::new(BreakKind::ResetBeforeHead, Certainty::MaybeProcessed)
}

fn malformed(why: &str) -> Broken {
    Broken::new(BreakKind::MalformedResponse, Certainty::MaybeProcessed).details(why.to_owned())
}

fn farewell() -> Broken {
    let evidence = "a 408 came before the peer acknowledged any of the request (TCP_INFO): it was about the idle connection";
    let broken = Broken::new(BreakKind::ClosedWhileIdle, Certainty::NotSent);
    Broken { evidence: Some(evidence.into()), ..broken }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let unused = self.connection.take().filter(|_| !self.sent);
        if let (Some(connection), Some(home)) = (unused, &self.home) {
            home.give_back(connection);
        }
    }
}

impl Connection {
    fn is_reused(&self) -> bool {
        match self {
            Self::Single(single) => single.reused,
            Self::Stream(stream) => stream.reused,
        }
    }
}

/// A request on its way, over HTTP/1.1 or as a stream of HTTP/2.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives as long as its exchange, and a box would cost each stream an allocation"
)]
enum Sent<A> {
    Single(Before, A),
    Stream(Begun),
}
