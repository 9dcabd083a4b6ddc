//! A stream of events that is opened again when it ends, behind the last event.
//!
//! ```text
//!            ┌──────────────── open again: Last-Event-ID ───────────────┐
//!            ▼                                                          │
//!   idle ─▶ connecting ─▶ open ─▶ events ─▶ ended, or broken ─▶ waiting (retry)
//!                 │                                                     │
//!                 └▶ over: 204, another answer than events, too often in vain
//! ```

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::time::{Sleep, sleep};

use super::{Error, ErrorKind, Event, Events, Mainstay, Request, RequestBuilder, Response};

impl RequestBuilder {
    /// The events of this request's answers: when one ends or breaks for good, the request is made again, with the id of the last
    /// event in `Last-Event-ID`, once the server's `retry` is over.
    ///
    /// # Errors
    ///
    /// What is wrong with the request; or that it has a body in pieces, which can't be sent a second time.
    pub fn event_stream(self) -> Result<EventStream, Error> {
        let (client, request) = self.into_parts();
        let mut request = request?;
        if request.try_clone().is_none() {
            let text = "a body in pieces can't be sent with each request of a stream".to_owned();
            return Err(Error::wrong_request(text, None));
        }
        let events = HeaderValue::from_static("text/event-stream");
        request.headers.entry(header::ACCEPT).or_insert(events);
        Ok(EventStream {
            client,
            request,
            state: State::Idle,
            last_id: String::new(),
            retry: RETRY,
            in_vain: 0,
            most_in_vain: MOST_IN_VAIN,
        })
    }
}

/// Events that go on when their connection doesn't; a `futures_core::Stream` with the feature `stream`.
///
/// ```no_run
/// # async fn example(client: mainstay::Mainstay) -> Result<(), mainstay::Error> {
/// let mut events = client.get("https://api.example/prices").event_stream()?;
/// while let Some(event) = events.next().await {
///     println!("{}", event?.data);
/// }
/// # Ok(()) }
/// ```
///
/// It ends when the server says 204, and with an error when the server gives something else than events, or when too many
/// connections in a row ([`EventStream::give_up_after`]) have brought no event.
#[derive(Debug)]
pub struct EventStream {
    client: Mainstay,
    request: Request,
    state: State,
    last_id: String,
    retry: Duration,
    in_vain: u16,
    most_in_vain: u16,
}

enum State {
    Idle,
    Connecting(Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>),
    Open(Box<Events>),
    Waiting(Pin<Box<Sleep>>),
    Over,
}

impl EventStream {
    /// Begins behind the event with this id.
    #[must_use]
    pub fn after(self, id: impl Into<String>) -> Self {
        Self { last_id: id.into(), ..self }
    }

    /// So many connections in a row that bring no event are the end of it. Default 10.
    #[must_use]
    pub fn give_up_after(self, connections: u16) -> Self {
        Self { most_in_vain: connections, ..self }
    }

    /// The next event; `None` when the server has said that there is no more. What comes isn't lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// Why it ends. Nothing follows it.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The id of the last event that had one: what a later stream may begin [after](EventStream::after).
    #[must_use]
    pub fn last_id(&self) -> &str {
        &self.last_id
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Event, Error>>> {
        loop {
            match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Idle => match self.connect() {
                    Ok(connecting) => self.state = connecting,
                    Err(error) => return self.give_up(error),
                },
                State::Waiting(wait) => {
                    ready!(wait.as_mut().poll(cx));
                    self.state = State::Idle;
                }
                State::Connecting(connecting) => match ready!(connecting.as_mut().poll(cx)) {
                    Ok(response) => {
                        if let Some(error) = self.open(response) {
                            return self.give_up(error);
                        }
                    }
                    Err(error) => {
                        if let Some(error) = self.in_vain(Some(error)) {
                            return self.give_up(error);
                        }
                    }
                },
                State::Open(events) => match ready!(events.poll_event(cx)) {
                    Some(Ok(event)) => {
                        self.in_vain = 0;
                        event.id.clone_into(&mut self.last_id);
                        return Poll::Ready(Some(Ok(event)));
                    }
                    ended => {
                        events.last_id().clone_into(&mut self.last_id);
                        self.retry =
                            events.retry().map_or(self.retry, |retry| retry.min(LONGEST_RETRY));
                        if let Some(error) = self.in_vain(ended.and_then(Result::err)) {
                            return self.give_up(error);
                        }
                    }
                },
            }
        }
    }

    fn connect(&self) -> Result<State, Error> {
        // It was seen that it can be cloned when the stream was made.
        let Some(mut request) = self.request.try_clone() else { return Ok(State::Over) };
        if !self.last_id.is_empty() {
            let id = HeaderValue::try_from(&self.last_id).map_err(|error| {
                let text = "the last event's id can't be in a header field".to_owned();
                Error::wrong_request(text, Some(error.into()))
            })?;
            request.headers.insert(LAST_EVENT_ID, id);
        }
        let client = self.client.clone();
        Ok(State::Connecting(Box::pin(async move { client.execute(request).await })))
    }

    /// Reads the answer, if it has events. Else the stream is over; or, after a failure that may pass, waits.
    fn open(&mut self, response: Response) -> Option<Error> {
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            self.state = State::Over;
            return None;
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return self.in_vain(response.error_for_status().err());
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if status != StatusCode::OK || !is_events {
            return Some(Error::no_events(status, response.attempts(), response.call_id()));
        }
        self.state = State::Open(Box::new(response.into_events().behind(&self.last_id)));
        None
    }

    /// A connection has ended. The error when that was once too often.
    fn in_vain(&mut self, error: Option<Error>) -> Option<Error> {
        self.in_vain = self.in_vain.saturating_add(1);
        // What is wrong with the request, or with where it goes, won't pass.
        let is_final = error.as_ref().is_some_and(|error| {
            matches!(error.kind(), ErrorKind::Request | ErrorKind::NoRoute | ErrorKind::Setup)
        });
        if is_final || self.in_vain >= self.most_in_vain {
            return Some(error.unwrap_or_else(Error::silent));
        }
        self.state = State::Waiting(Box::pin(sleep(self.retry)));
        None
    }

    fn give_up(&mut self, error: Error) -> Poll<Option<Result<Event, Error>>> {
        self.state = State::Over;
        Poll::Ready(Some(Err(error)))
    }
}

#[cfg(feature = "stream")]
impl futures_core::Stream for EventStream {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Idle => "Idle",
            Self::Connecting(_) => "Connecting",
            Self::Open(_) => "Open",
            Self::Waiting(_) => "Waiting",
            Self::Over => "Over",
        })
    }
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What browsers wait where the server says nothing (a few seconds, by the standard).
const RETRY: Duration = Duration::from_secs(3);

/// A server that wants to be left alone for longer is asked all the same: somebody waits for its events.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Ten times three seconds, and what the calls take themselves: longer than a restart.
const MOST_IN_VAIN: u16 = 10;
