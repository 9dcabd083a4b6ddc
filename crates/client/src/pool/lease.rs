//! A connection lent for one request.

use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use mainstay_core::{Break, BreakKind, Certainty};

use super::answer::{AnswerBody, Held};
use super::single::{Before, Unsent};
use super::{Broken, Connection, Target};
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
}

impl Lease {
    pub(super) fn new(home: Option<Arc<Target>>, connection: Connection) -> Self {
        let reused = connection.is_reused();
        Self { home, connection: Some(connection), reused, sent: false }
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
                Ok(Sent::Single(before, sent)) => {
                    sent.await.map_err(|failure| self.failed(Some(before), failure))
                }
                Ok(Sent::Stream(sent)) => sent.await.map_err(|failure| self.failed(None, failure)),
                Err(broken) => Err(broken),
            };
            match head {
                Ok(response) => Ok(self.answer(response)),
                Err(broken) => {
                    self.connection = None;
                    self.sent = broken.what.certainty != Certainty::NotSent;
                    Err(broken)
                }
            }
        }
    }

    fn failed(&self, before: Option<Before>, failure: Unsent) -> Broken {
        match (&self.connection, before) {
            (Some(Connection::Single(single)), Some(before)) => single.failed(before, failure),
            (Some(Connection::Stream(stream)), _) => stream.failed(failure),
            // The connection stays with the lease while its exchange is under way.
            (None, _) | (Some(Connection::Single(_)), None) => {
                debug_assert!(false, "an exchange without its connection");
                let what = Break::new(BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
                Broken::from(what).details(failure.error().to_string())
            }
        }
    }

    /// Whether any byte of the request may have left this host.
    ///
    /// True from the moment that the request is handed to the connection's task until a proof of the contrary:
    /// what a task has in its buffer it may still write when its exchange is cancelled.
    #[must_use]
    pub fn was_sent(&self) -> bool {
        self.sent
    }

    /// Whether the connection has carried a request before.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    fn answer(&mut self, response: Response<Incoming>) -> Response<AnswerBody> {
        let upgraded = response.extensions().get::<OnUpgrade>().is_some();
        let connection = self.connection.take().filter(|_| !upgraded);
        let home = self.home.take();
        let held = connection.map(|connection| Held { connection, home });
        response.map(|incoming| AnswerBody::new(incoming, held))
    }
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
enum Sent<A, B> {
    Single(Before, A),
    Stream(B),
}
