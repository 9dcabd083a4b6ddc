//! Connections that another client's pool keeps: hyper-util's, say. That pool doesn't ask anybody whether a connection is still good, and can't be
//! told for how long one is. So a lent connection sees to it itself: when it has rested as long as is right it ends, as if the server had ended
//! it, and the pool lets go of it.
//!
//! ```text
//!            the head of an answer ─▶ Answered ─┐ its body is over, and nothing was sent since
//!   busy ───────────────────────────────────────┴─▶ resting ─▶ over: its time is up, before the server's limit
//!     ▲                                               │  └───▶ over: the server ended it, which teaches the limit
//!     └── bytes come ◀── in use again ◀── a request ──┘
//! ```
//!
//! Bytes don't say where an answer ends, so a connection never rests by itself: whoever reads the answer says so ([`Link::on_head`]). It goes on
//! only with what was sent *before* that answer's head, so that a request which another call has sent meanwhile is never cut.
//!
//! What isn't here: HTTP/2, whose servers say goodbye by GOAWAY, and probes of a learned limit, which need a connection that nobody uses.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::HeaderMap;
use mainstay_core::{BreakKind, Certainty, Timestamp};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep_until};

use super::lifetime::Lifetime;
use super::rest::Terms;
use super::{Broken, Target};
use crate::Clock;
use crate::connect::Transport;

/// A connection for another client's pool.
#[derive(Debug)]
pub(crate) struct Lent {
    transport: Transport,
    link: Arc<Link>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A lent connection, for whoever reads its answers.
#[derive(Debug)]
pub(crate) struct Link {
    target: Arc<Target>,
    lifetime: Lifetime,
    peer: Option<std::net::SocketAddr>,
    /// Bytes that its client has given it.
    sent: AtomicU64,
    answers: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: State,
    /// The task that reads from it.
    reader: Option<Waker>,
}

#[derive(Debug)]
enum State {
    Busy,
    Resting {
        terms: Terms,
        _idle: Idle,
    },
    /// In use again after so long, and nothing has come yet.
    Used(Duration),
    Over,
}

/// Counts as idle.
#[derive(Debug)]
struct Idle(Arc<Target>);

impl Idle {
    fn at(target: &Arc<Target>) -> Self {
        target.lent_idle.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(target))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.lent_idle.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer of a lent connection whose head is here.
#[derive(Debug)]
pub(crate) struct Answered {
    link: Arc<Link>,
    sent: u64,
}

impl Target {
    /// A new connection for another client's pool, in one of this target's places.
    ///
    /// # Errors
    ///
    /// As with [`Target::lease`]; nothing was sent.
    pub(crate) async fn lend(self: &Arc<Self>) -> Result<Lent, Broken> {
        let place = self.place().await.ok_or_else(|| {
            Broken::new(BreakKind::LimitReached, Certainty::NotSent)
                .details("there are too many connections to this endpoint".to_owned())
        })?;
        let changes = self.changes();
        let transport = self.connector().connect(place, &mut Vec::new()).await?;
        let lifetime = self.enter(&transport, changes);
        let link = Link {
            target: Arc::clone(self),
            lifetime,
            peer: transport.meter().peer(),
            sent: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            inner: Mutex::new(Inner { state: State::Busy, reader: None }),
        };
        Ok(Lent { transport, link: Arc::new(link), timer: None })
    }
}

impl Lent {
    /// Whether ALPN agreed on HTTP/2.
    pub(crate) fn agreed_on_http2(&self) -> bool {
        self.transport.agreed_on_http2()
    }

    /// What whoever reads its answers is to have.
    pub(crate) const fn link(&self) -> &Arc<Link> {
        &self.link
    }

    fn note_sent(&self, sent: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &sent {
            Poll::Ready(Ok(bytes)) => self.link.on_sent(*bytes as u64),
            Poll::Ready(Err(_)) => self.link.on_end(),
            Poll::Pending => {}
        }
        sent
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Whoever still holds an answer's head holds the link too.
        self.link.inner.lock().state = State::Over;
    }
}

impl Link {
    /// An answer's head has come over it.
    pub(crate) fn on_head(self: &Arc<Self>, fields: &HeaderMap) -> Answered {
        // The first answer of a connection says what all of them do.
        if self.answers.fetch_add(1, Ordering::Relaxed) == 0 {
            self.target.note_hint(fields);
        }
        Answered { link: Arc::clone(self), sent: self.sent.load(Ordering::Acquire) }
    }

    fn on_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::AcqRel);
        let mut inner = self.inner.lock();
        if let State::Resting { terms, .. } = &inner.state {
            inner.state = State::Used(Clock::now().since(terms.since));
        }
    }

    fn on_bytes(&self) {
        let mut inner = self.inner.lock();
        match inner.state {
            State::Busy | State::Over => {}
            State::Used(rested) => {
                let rest = self.target.rest();
                if rest.survival_counts(rested) {
                    rest.note_survived(rested);
                }
                inner.state = State::Busy;
            }
            State::Resting { .. } => inner.state = State::Busy,
        }
    }

    /// The connection has ended, and not by us.
    fn on_end(&self) {
        let now = Clock::now();
        let state = std::mem::replace(&mut self.inner.lock().state, State::Over);
        match state {
            State::Busy | State::Over => {}
            State::Resting { terms, .. } => self.target.rest().note_closed(terms, now),
            State::Used(rested) => self.target.rest().note_met(Some(rested), now),
        }
    }

    /// Until when it rests, if it does. Whoever asks is woken when that changes.
    fn rests_until(&self, cx: &Context<'_>) -> Option<Timestamp> {
        let mut inner = self.inner.lock();
        if !inner.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            inner.reader = Some(cx.waker().clone());
        }
        match &inner.state {
            State::Resting { terms, .. } => Some(terms.usable_until),
            State::Busy | State::Used(_) | State::Over => None,
        }
    }

    /// Its time is over. False if it was put to use at this very moment.
    fn retire(&self) -> bool {
        let mut inner = self.inner.lock();
        let State::Resting { terms, .. } = &inner.state else { return false };
        if terms.is_retired(Clock::now()) {
            self.target.rest().note_avoided();
        }
        inner.state = State::Over;
        true
    }

    /// On which terms it rests from now on.
    fn terms(&self, now: Timestamp) -> Terms {
        let rest = self.target.rest();
        let is_kept = rest.reuses(now)
            && self.lifetime.allows(now, self.answers.load(Ordering::Relaxed))
            && self.target.leads_to(self.lifetime.changes, self.peer);
        rest.lent_terms(now, if is_kept { self.lifetime.expires_at } else { now })
    }
}

impl Answered {
    /// Its body is over. The connection rests, unless a request is under way on it already.
    pub(crate) fn end(self) {
        let Self { link, sent } = self;
        let mut inner = link.inner.lock();
        if !matches!(inner.state, State::Busy) || link.sent.load(Ordering::Acquire) != sent {
            return;
        }
        let (terms, idle) = (link.terms(Clock::now()), Idle::at(&link.target));
        inner.state = State::Resting { terms, _idle: idle };
        let reader = inner.reader.take();
        drop(inner);
        reader.into_iter().for_each(Waker::wake);
    }
}

impl AsyncRead for Lent {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        match Pin::new(&mut self.transport).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if buf.filled().len() > before || room == 0 => self.link.on_bytes(),
            Poll::Ready(ended) => {
                self.link.on_end();
                return Poll::Ready(ended);
            }
            Poll::Pending => {
                let Some(until) = self.link.rests_until(cx) else {
                    self.timer = None;
                    return Poll::Pending;
                };
                let until = Clock::instant(until);
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
                if timer.deadline() != until {
                    timer.as_mut().reset(until);
                }
                ready!(timer.as_mut().poll(cx));
                if !self.link.retire() {
                    return Poll::Pending;
                }
                // Nothing was read: the pool sees a connection that its peer has ended.
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lent {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.transport).poll_write(cx, bytes);
        self.note_sent(sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.transport).poll_write_vectored(cx, bytes);
        self.note_sent(sent)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::HeaderName;
    use mainstay_config::settings::{ConnectSettings, Endpoint, Scheme};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A lent connection and its other end.
    async fn lent() -> (Arc<Target>, Lent, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = Endpoint {
            name: "a".to_owned(),
            scheme: Scheme::Http,
            host: address.ip().to_string(),
            port: address.port(),
            base_path: String::new(),
        };
        let target = Target::new(&endpoint, &ConnectSettings::default()).unwrap();
        let (lent, accepted) = tokio::join!(target.lend(), listener.accept());
        (target, lent.unwrap(), accepted.unwrap().0)
    }

    /// The head of an answer that says for how long its connection is kept.
    fn head(lent: &Lent) -> Answered {
        let timeout = HeaderValue::from_static("timeout=5");
        lent.link()
            .on_head(&[(HeaderName::from_static("keep-alive"), timeout)].into_iter().collect())
    }

    /// Whether the connection ends within a minute, and when.
    async fn ends(lent: &mut Lent) -> Option<Duration> {
        let began = Clock::now();
        let read = timeout(MINUTE, lent.read(&mut [0; 1])).await.ok()?;
        assert_eq!(read.unwrap(), 0);
        Some(Clock::now().since(began))
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_rests_ends_before_its_servers_limit_and_is_idle_until_then() {
        let (target, mut lent, _peer) = lent().await;
        assert_eq!((target.counts().idle, target.counts().in_use), (0, 1));
        head(&lent).end();
        assert_eq!((target.counts().idle, target.counts().in_use), (1, 0));
        let after = ends(&mut lent).await.unwrap();
        assert!(
            after >= Duration::from_millis(4_500) && after < Duration::from_secs(5),
            "{after:?}"
        );
        assert_eq!((target.counts().idle, target.counts().stale_avoided), (0, 1));
        drop(lent);
        assert_eq!(target.counts().in_use, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_for_an_answer_never_ends_whoever_says_that_another_is_over() {
        let (target, mut lent, _peer) = lent().await;
        // The next request is out before the last answer's end is told.
        let answered = head(&lent);
        lent.write_all(b"next").await.unwrap();
        answered.end();
        assert_eq!(ends(&mut lent).await, None);
        // And one that is sent while it rests.
        head(&lent).end();
        lent.write_all(b"next").await.unwrap();
        assert_eq!(ends(&mut lent).await, None);
        assert_eq!((target.counts().idle, target.counts().stale_avoided), (0, 0));
    }

    #[tokio::test]
    async fn what_its_server_does_to_it_teaches_the_limit() {
        let (target, mut lent, peer) = lent().await;
        lent.link().on_head(&HeaderMap::new()).end();
        drop(peer);
        assert!(ends(&mut lent).await.is_some());
        assert_eq!((target.counts().closed_stale, target.counts().stale_met), (1, 0));
    }

    #[tokio::test]
    async fn a_request_that_meets_the_servers_end_is_counted_and_no_other_end_is() {
        let (target, mut lent, mut peer) = lent().await;
        lent.link().on_head(&HeaderMap::new()).end();
        lent.write_all(b"next").await.unwrap();
        peer.read_exact(&mut [0; 4]).await.unwrap();
        drop(peer);
        assert!(ends(&mut lent).await.is_some());
        assert_eq!((target.counts().closed_stale, target.counts().stale_met), (0, 1));
    }
}
