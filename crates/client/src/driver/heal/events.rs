//! An event stream on its way to the application: whole events only, and after a break those that it hasn't had.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use mainstay_core::heal::events::{
    Continuation, EventSettings, HeadRefusal, Parts, Source, Stream, StreamEnd, StreamHead,
    Unhealable, Vigil,
};
use mainstay_core::{BreakKind, Checked};

use super::{Ended, Goes};
use crate::Clock;

/// One event stream.
#[derive(Debug)]
pub(in crate::driver) struct Events {
    stream: Stream,
    /// When a sign of life is due, or the stream is dead.
    pub(in crate::driver) vigil: Vigil,
    /// What is to be given next.
    ready: VecDeque<Bytes>,
    /// What is wrong with what comes behind that.
    wrong: Option<Unhealable>,
    /// Whether something came since it was last waited for.
    came: bool,
}

/// The field of a request by which a stream is continued.
pub(in crate::driver) static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

impl Events {
    /// One that was asked for with these fields, and whose head is here.
    pub(super) fn new(settings: &Arc<Checked<EventSettings>>, asked: &HeaderMap) -> Self {
        let asked_after = asked.get(&LAST_EVENT_ID).map(HeaderValue::as_bytes);
        Self {
            stream: Stream::new(Arc::clone(settings), asked_after),
            vigil: Vigil::new(settings, Clock::now()),
            ready: VecDeque::new(),
            wrong: None,
            came: true,
        }
    }

    /// Takes a piece, for [`Events::next`].
    pub(super) fn take(&mut self, piece: &Bytes) {
        self.came = true;
        let (mut parts, mut at) = (Parts::new(), 0);
        loop {
            match self.stream.take(piece, &mut at) {
                Ok(Some(part)) => parts.push(part.source),
                Ok(None) => break,
                Err(wrong) => {
                    self.wrong = Some(wrong);
                    break;
                }
            }
        }
        for source in parts.into_inner() {
            self.ready.push_back(match source {
                Source::Piece(range) => piece.slice(range),
                Source::Own(bytes) => bytes.into(),
            });
        }
        if !self.ready.is_empty() {
            self.vigil.on_delivered();
        }
    }

    /// What goes to the application next, if anything does.
    ///
    /// # Errors
    ///
    /// The code of why nothing more of what came may go there.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, &'static str> {
        match (self.ready.pop_front(), self.wrong) {
            (Some(bytes), _) => Ok(Some(bytes)),
            (None, Some(wrong)) => Err(wrong.code()),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn on_end(&mut self) -> Ended {
        match self.stream.on_end() {
            StreamEnd::Whole(rest) => {
                if !rest.is_empty() {
                    self.ready.push_back(rest.into());
                }
                Ended::Whole
            }
            StreamEnd::Reconnect => Ended::More(self.stream.reconnect_after(Duration::ZERO)),
            StreamEnd::Broken => Ended::Truncated,
        }
    }

    /// Whether its last event has come, so that a break takes nothing away.
    pub(super) fn is_complete(&self) -> bool {
        self.stream.is_complete()
    }

    /// The least wait before it is asked for again; or the code of why it can't be continued.
    pub(super) fn proof(&self) -> Result<Duration, &'static str> {
        self.stream.resume().map_err(Unhealable::code)?;
        Ok(self.stream.reconnect_after(Duration::ZERO))
    }

    /// Makes the application's request one for what comes after the last event that it had.
    pub(super) fn ask_for(&self, headers: &mut HeaderMap) {
        let after = self.stream.resume().ok().and_then(|resume| resume.last_event_id);
        if let Some(Ok(id)) = after.as_deref().map(HeaderValue::from_bytes) {
            headers.insert(LAST_EVENT_ID.clone(), id);
        }
    }

    /// What the head of an answer to that means.
    pub(super) fn judge(&mut self, status: u16, given: &HeaderMap) -> Result<Goes, &'static str> {
        match stream_head(status, given).continues() {
            Continuation::GoesOn => {
                self.stream.on_reconnected();
                self.wrong = None;
                self.vigil.on_connected(Clock::now());
                Ok(Goes::On)
            }
            Continuation::Ends => match self.stream.on_no_content() {
                StreamEnd::Whole(_) | StreamEnd::Reconnect => Ok(Goes::ToItsEnd),
                StreamEnd::Broken => Err(NO_CONTENT),
            },
            // The route doesn't count it as a failure, or it would have been taken for one.
            Continuation::TryAgain => Err(HeadRefusal::Status.code()),
            Continuation::Refused(why) => Err(why.code()),
        }
    }

    /// It is away, and to be continued.
    pub(super) fn on_break(&mut self) {
        self.vigil.on_break(Clock::now());
    }

    /// Nothing is here, and the server is waited for. Its silence begins there: an application that took its time is no silent
    /// server.
    pub(in crate::driver) fn on_wait(&mut self) {
        if std::mem::take(&mut self.came) {
            self.vigil.on_bytes(Clock::now());
        }
    }

    /// A sign of life, unless the application is in the middle of an event.
    pub(in crate::driver) fn heartbeat(&mut self) -> Option<Bytes> {
        self.stream.heartbeat().map(Bytes::from_static)
    }

    /// The application was given something that isn't the server's.
    pub(in crate::driver) fn note_written(&mut self) {
        self.stream.note_written();
    }

    /// What tells the application that the stream is broken and not continued.
    pub(in crate::driver) fn last_words(&self, kind: BreakKind) -> Option<Bytes> {
        let why = self.wrong.or(self.stream.resume().err());
        self.stream.error_event(kind, why).map(Bytes::from)
    }
}

/// Whether the answer is an event stream that can be read.
pub(in crate::driver) fn is_event_stream<B>(response: &Response<B>) -> bool {
    stream_head(response.status().as_u16(), response.headers()).is_event_stream()
}

fn stream_head(status: u16, headers: &HeaderMap) -> StreamHead<'_> {
    let value = |name| headers.get(name).map(HeaderValue::as_bytes);
    StreamHead {
        status,
        content_type: value(header::CONTENT_TYPE),
        content_encoding: value(header::CONTENT_ENCODING),
    }
}

/// A 204 where a last event was due.
const NO_CONTENT: &str = "ended-without-last-event";
