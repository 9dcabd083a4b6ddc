//! Server-sent events (WHATWG HTML, section 9.2): what an answer's body says, event by event.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Body as _;

use super::{Error, Response, ResponseBody};

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its type; `message` where nothing else is said.
    pub event: String,
    /// Its data; several lines are joined by a line feed.
    pub data: String,
    /// The id of the last event that had one, this one included; empty before there was any.
    pub id: String,
}

impl Response {
    /// The events of this answer's body, up to its end. One that breaks goes on behind the last event where the policy and the server allow
    /// it (the policy's `heal.events`); for a stream that is to be opened again when it ends there is
    /// [`event_stream`](super::RequestBuilder::event_stream).
    #[must_use]
    pub fn into_events(self) -> Events {
        Events { body: self.into_body(), parser: Parser::default(), is_over: false }
    }
}

/// The events of one answer; a `futures_core::Stream` with the feature `stream`.
pub struct Events {
    body: ResponseBody,
    parser: Parser,
    is_over: bool,
}

impl fmt::Debug for Events {
    /// Without what has come of an event that isn't whole yet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { body, is_over, .. } = self;
        f.debug_struct("Events")
            .field("body", body)
            .field("is_over", is_over)
            .finish_non_exhaustive()
    }
}

impl Events {
    /// The next event; `None` at the end. What comes before it isn't lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// The body broke, and couldn't be continued; or an event is longer than 16 MiB. Nothing follows it.
    pub async fn next(&mut self) -> Option<Result<Event, Error>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The id of the last event that had one; empty before there was any.
    #[must_use]
    pub fn last_id(&self) -> &str {
        &self.parser.id
    }

    /// How long the server wants to be left alone before the stream is opened again, if it says so.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.parser.retry
    }

    pub(super) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, Error>>> {
        loop {
            if let Some(event) = self.parser.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if self.is_over {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                // What isn't followed by an empty line isn't an event.
                None => self.is_over = true,
                Some(Err(error)) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(frame)) => {
                    if frame.data_ref().is_some_and(|data| !self.parser.push(data)) {
                        self.is_over = true;
                        return Poll::Ready(Some(Err(Error::too_long(LONGEST_EVENT))));
                    }
                }
            }
        }
    }

    /// These events, behind those of another answer: its last id is theirs until they say another one.
    pub(super) fn behind(mut self, id: &str) -> Self {
        id.clone_into(&mut self.parser.id);
        self
    }
}

#[cfg(feature = "stream")]
impl futures_core::Stream for Events {
    type Item = Result<Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

/// Makes events of bytes as they come.
#[derive(Default)]
struct Parser {
    line: Vec<u8>,
    /// Whether the last byte was a carriage return, whose line feed doesn't end another line.
    after_return: bool,
    has_begun: bool,
    event: String,
    data: String,
    has_data: bool,
    id: String,
    retry: Option<Duration>,
    ready: VecDeque<Event>,
}

impl Parser {
    /// Takes in bytes; false when an event is too long.
    fn push(&mut self, bytes: &[u8]) -> bool {
        for &byte in bytes {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    self.end_line();
                }
                byte => {
                    self.after_return = false;
                    if self.line.len() + self.data.len() >= LONGEST_EVENT {
                        return false;
                    }
                    self.line.push(byte);
                }
            }
        }
        true
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        {
            let mut text = &line[..];
            if !std::mem::replace(&mut self.has_begun, true) {
                text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
            }
            if text.is_empty() {
                self.dispatch();
            } else {
                let text = String::from_utf8_lossy(text);
                let (name, value) = text.split_once(':').unwrap_or((&text, ""));
                self.take_field(name, value.strip_prefix(' ').unwrap_or(value));
            }
        }
        line.clear();
        self.line = line;
    }

    fn take_field(&mut self, name: &str, value: &str) {
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok().map(Duration::from_millis).or(self.retry);
            }
            // A comment, or a field that nobody knows.
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let event = std::mem::take(&mut self.event);
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.has_data) {
            let event = if event.is_empty() { "message".to_owned() } else { event };
            self.ready.push_back(Event { event, data, id: self.id.clone() });
        }
    }
}

/// One that is longer is no event that a program waits for. An image in base64 fits.
const LONGEST_EVENT: usize = 16 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a text, in one piece and byte by byte.
    fn check(text: &str, wanted: &[(&str, &str, &str)]) {
        for size in [text.len().max(1), 1] {
            let mut parser = Parser::default();
            assert!(text.as_bytes().chunks(size).all(|piece| parser.push(piece)));
            let events: Vec<_> = parser
                .ready
                .iter()
                .map(|it| (it.event.as_str(), it.data.as_str(), it.id.as_str()))
                .collect();
            assert_eq!(events, wanted, "{text:?} in pieces of {size}");
        }
    }

    #[test]
    fn lines_end_in_three_ways_and_fields_may_have_a_space() {
        check(
            "data: a\n\ndata:b\r\n\r\ndata:  c\r\r",
            &[("message", "a", ""), ("message", "b", ""), ("message", " c", "")],
        );
    }

    #[test]
    fn an_id_lasts_and_a_type_doesnt() {
        check(
            "\u{feff}event: x\nid: 1\ndata: a\ndata: b\n\ndata\n\nid: 2\n\ndata: c\n\n",
            &[("x", "a\nb", "1"), ("message", "", "1"), ("message", "c", "2")],
        );
    }

    #[test]
    fn comments_unknown_fields_and_what_isnt_ended_are_no_events() {
        check(": hello\nfoo: bar\n\ndata: half", &[]);
    }

    #[test]
    fn the_servers_wait_is_a_number_of_milliseconds() {
        let mut parser = Parser::default();
        assert!(parser.push(b"retry: 1500\nretry: soon\n\n"));
        assert_eq!(parser.retry, Some(Duration::from_millis(1500)));
    }

    #[test]
    fn an_event_without_end_is_refused_at_its_bound() {
        let mut parser = Parser::default();
        let piece = vec![b'x'; 1 << 20];
        let taken = (0..20).take_while(|_| parser.push(&piece)).count();
        assert_eq!(taken, 16);
    }
}
