//! A connection that is opened again when it breaks.
//!
//! ```text
//!            ┌───────────────────── opened again, what was declared is said ───────────────┐
//!            ▼                                                                              │
//!   opening ─▶ greeting ─▶ open ─▶ messages ─▶ broke, or a Close that may pass ─▶ waiting ──┘
//!      │                                  └▶ any other Close: over
//!      └▶ over: a request that can't work, too often in vain
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_sink::Sink;
use mainstay_core::Chance;
use mainstay_core::retry::backoff::wait;
use mainstay_core::retry::{BackoffSettings, Growth, Jitter};
use tokio::time::{Sleep, sleep};

use super::{Close, Message, SocketRequest, WebSocket};
use crate::chance::fresh_chance;
use crate::{Error, ErrorKind};

/// What a [`ReconnectingSocket`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketEvent {
    /// A connection is open, the first or another one, and what was declared has been said over it. What the last one had said or heard and wasn't
    /// answered may be lost: from here on the application says what it still needs.
    Opened {
        /// How many there were before it.
        before: u32,
    },
    /// A message.
    Message(Message),
}

/// A WebSocket connection that is opened again when it breaks: by the same request, after a wait that grows, elsewhere if the endpoint is down. It is a
/// [`Stream`] of what happens.
///
/// Opening another connection begins the conversation anew, and only the application knows what that means. So it declares what each connection begins
/// with ([`ReconnectingSocket::saying`]), it is told of each ([`SocketEvent::Opened`]), and nothing that it said before is ever said again from here.
///
/// ```no_run
/// # async fn example(client: mainstay::Mainstay) -> Result<(), mainstay::Error> {
/// use mainstay::websocket::SocketEvent;
///
/// let mut prices = client.get("wss://api.example/prices").websocket()?.reconnecting().saying(["subscribe tea"]);
/// while let Some(event) = prices.next_event().await {
///     match event? {
///         SocketEvent::Opened { before: 0 } => println!("open"),
///         SocketEvent::Opened { before } => println!("open again, for the {before}. time: there may be a gap"),
///         SocketEvent::Message(message) => println!("{message:?}"),
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
///
/// It ends with a Close that won't pass (any but 1001 and 1011 to 1014, unless [declared](ReconnectingSocket::also_after)), and with an error when its
/// request can't work or too many connections in a row have brought no message.
pub struct ReconnectingSocket {
    request: Arc<SocketRequest>,
    greeting: Vec<Message>,
    codes: Vec<u16>,
    most_in_vain: u8,
    in_vain: u8,
    opened: u32,
    last_wait: Duration,
    chance: Chance,
    closed: Option<Close>,
    state: State,
}

enum State {
    Idle,
    Opening(Pin<Box<dyn Future<Output = Result<WebSocket, Error>> + Send>>),
    Greeting(Box<WebSocket>, VecDeque<Message>),
    Open(Box<WebSocket>),
    Waiting(Pin<Box<Sleep>>),
    Over,
}

impl ReconnectingSocket {
    pub(super) fn new(request: SocketRequest) -> Self {
        Self {
            request: Arc::new(request),
            greeting: Vec::new(),
            codes: Vec::new(),
            most_in_vain: MOST_IN_VAIN,
            in_vain: 0,
            opened: 0,
            last_wait: Duration::ZERO,
            chance: fresh_chance(),
            closed: None,
            state: State::Idle,
        }
    }

    /// What each connection begins with: that these may be said again, as often as there are connections, is declared by this.
    #[must_use]
    pub fn saying(mut self, messages: impl IntoIterator<Item = impl Into<Message>>) -> Self {
        self.greeting = messages.into_iter().map(Into::into).collect();
        self
    }

    /// A Close with one of these codes too is no end: an application's own code for "come back", say.
    #[must_use]
    pub fn also_after(mut self, codes: impl IntoIterator<Item = u16>) -> Self {
        self.codes.extend(codes);
        self
    }

    /// So many connections in a row that bring no message, or don't open, are the end of it. Default 10.
    #[must_use]
    pub fn give_up_after(self, connections: u8) -> Self {
        Self { most_in_vain: connections.max(1), ..self }
    }

    /// What happens next; `None` after a Close that won't pass.
    ///
    /// # Errors
    ///
    /// Why it ends. Nothing follows it.
    pub async fn next_event(&mut self) -> Option<Result<SocketEvent, Error>> {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Says something over the connection that is open. There is none between two of them: then it isn't sent, and comes back.
    ///
    /// # Errors
    ///
    /// The message, where no connection is open, or it broke under it. In the second case it may have arrived.
    pub async fn say(&mut self, message: impl Into<Message>) -> Result<(), Message> {
        let message = message.into();
        let State::Open(socket) = &mut self.state else { return Err(message) };
        socket.say(message.clone()).await.map_err(|_| message)
    }

    /// How the last connection's peer said goodbye, if it did.
    #[must_use]
    pub const fn closed(&self) -> Option<&Close> {
        self.closed.as_ref()
    }

    /// Says goodbye.
    ///
    /// # Errors
    ///
    /// The connection broke before.
    pub async fn close(self) -> Result<(), Error> {
        match self.state {
            State::Open(socket) | State::Greeting(socket, _) => socket.close().await,
            State::Idle | State::Opening(_) | State::Waiting(_) | State::Over => Ok(()),
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<SocketEvent, Error>>> {
        loop {
            match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Idle => {
                    let request = Arc::clone(&self.request);
                    self.state = State::Opening(Box::pin(async move { request.open().await }));
                }
                State::Waiting(wait) => {
                    ready!(wait.as_mut().poll(cx));
                    self.state = State::Idle;
                }
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(socket) => {
                        let greeting = self.greeting.iter().cloned().collect();
                        self.state = State::Greeting(Box::new(socket), greeting);
                    }
                    Err(error) => {
                        if let Some(error) = self.in_vain(error) {
                            return self.give_up(error);
                        }
                    }
                },
                State::Greeting(socket, left) => match ready!(poll_say(socket, left, cx)) {
                    Ok(()) => {
                        if let State::Greeting(socket, _) =
                            std::mem::replace(&mut self.state, State::Over)
                        {
                            self.state = State::Open(socket);
                        }
                        let before = self.opened;
                        self.opened += 1;
                        return Poll::Ready(Some(Ok(SocketEvent::Opened { before })));
                    }
                    Err(error) => {
                        if let Some(error) = self.in_vain(error) {
                            return self.give_up(error);
                        }
                    }
                },
                State::Open(socket) => match ready!(Pin::new(&mut **socket).poll_next(cx)) {
                    Some(Ok(message)) => {
                        (self.in_vain, self.last_wait) = (0, Duration::ZERO);
                        return Poll::Ready(Some(Ok(SocketEvent::Message(message))));
                    }
                    Some(Err(error)) => {
                        if let Some(error) = self.in_vain(error) {
                            return self.give_up(error);
                        }
                    }
                    None => {
                        self.closed = socket.closed().cloned();
                        if !self.goes_on() {
                            self.state = State::Over;
                            return Poll::Ready(None);
                        }
                        if let Some(error) = self.in_vain(Error::closed()) {
                            return self.give_up(error);
                        }
                    }
                },
            }
        }
    }

    /// Whether the Close is one after which another connection is opened.
    fn goes_on(&self) -> bool {
        self.closed
            .as_ref()
            .is_some_and(|close| close.may_pass() || self.codes.contains(&close.code))
    }

    /// A connection has ended, or wasn't opened. The error when that was once too often.
    fn in_vain(&mut self, error: Error) -> Option<Error> {
        self.in_vain = self.in_vain.saturating_add(1);
        // What is wrong with the request, or with where it goes, won't pass; nor will an answer that refuses it.
        let is_refused = error.status().is_some_and(|status| {
            !status.is_server_error() && status != http::StatusCode::TOO_MANY_REQUESTS
        });
        let is_final =
            matches!(error.kind(), ErrorKind::Request | ErrorKind::NoRoute | ErrorKind::Setup);
        if is_final || is_refused || self.in_vain >= self.most_in_vain {
            return Some(error);
        }
        let time = wait(&WAIT, self.in_vain, self.last_wait, &mut self.chance);
        self.last_wait = time;
        let time = time.max(error.retry_after().unwrap_or_default());
        self.state = State::Waiting(Box::pin(sleep(time)));
        None
    }

    fn give_up(&mut self, error: Error) -> Poll<Option<Result<SocketEvent, Error>>> {
        self.state = State::Over;
        Poll::Ready(Some(Err(error)))
    }
}

/// Says what is left to be said.
fn poll_say(
    socket: &mut WebSocket,
    left: &mut VecDeque<Message>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    while !left.is_empty() {
        ready!(Pin::new(&mut *socket).poll_ready(cx))?;
        if let Some(message) = left.pop_front() {
            Pin::new(&mut *socket).start_send(message)?;
        }
    }
    Pin::new(socket).poll_flush(cx)
}

impl Stream for ReconnectingSocket {
    type Item = Result<SocketEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl fmt::Debug for ReconnectingSocket {
    /// What each connection begins with may have a token in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { request, greeting, opened, in_vain, closed, state, .. } = self;
        let mut shown = f.debug_struct("ReconnectingSocket");
        shown.field("request", request).field("greeting", &greeting.len());
        shown.field("opened", opened).field("in_vain", in_vain).field("closed", closed);
        shown.field("state", state).finish_non_exhaustive()
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle",
            Self::Opening(_) => "Opening",
            Self::Greeting(..) => "Greeting",
            Self::Open(_) => "Open",
            Self::Waiting(_) => "Waiting",
            Self::Over => "Over",
        })
    }
}

/// Half of a second at first, some minute at last, half of it by chance: many clients lose their connections at one moment.
const WAIT: BackoffSettings = BackoffSettings {
    growth: Growth::Exponential { factor_percent: 200 },
    base: Duration::from_millis(500),
    cap: Duration::from_secs(60),
    jitter: Jitter::Equal,
};

/// With these waits some two to four minutes: longer than a restart.
const MOST_IN_VAIN: u8 = 10;
