//! What was read of an answer's body before anybody asked for it: it is held back until enough is here.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use mainstay_core::heal::events::Stream;

use crate::body::Share;

/// How much of a body is enough to let its head go.
#[derive(Debug)]
pub(crate) enum Enough {
    /// Its first byte.
    FirstByte,
    /// The first byte of its first message, or the trailers in its place.
    FirstMessage,
    /// Its first event, of a stream of them, unless that is longer than so many bytes.
    FirstEvent(Box<Stream>, usize),
    /// All of it.
    Whole,
}

impl Enough {
    /// Whether it is enough with this frame.
    pub(super) fn is_reached_by(&mut self, frame: &Frame<Bytes>) -> bool {
        let Some(data) = frame.data_ref() else { return true };
        match self {
            Self::FirstByte | Self::FirstMessage => !data.is_empty(),
            Self::Whole => false,
            Self::FirstEvent(stream, left_bytes) => {
                let mut at = 0;
                // An answer of another kind has no events, and its first block ends nowhere: `hold_for` ends that.
                while matches!(stream.take(data, &mut at), Ok(Some(_))) {}
                *left_bytes = left_bytes.saturating_sub(data.len());
                stream.counts().delivered > 0 || *left_bytes == 0
            }
        }
    }
}

/// Frames that were read ahead. Nearly always it is one, and that costs no allocation.
#[derive(Debug)]
pub(super) struct Ahead {
    first: Option<Bytes>,
    more: VecDeque<Frame<Bytes>>,
    /// Bytes in all of them.
    bytes: u64,
    /// What is taken of the memory for it.
    share: Option<Share>,
}

impl Ahead {
    pub(super) const NONE: Self =
        Self { first: None, more: VecDeque::new(), bytes: 0, share: None };

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }

    pub(super) fn push(&mut self, frame: Frame<Bytes>) {
        self.bytes += length(&frame);
        match frame.into_data() {
            // An empty piece says nothing, and would pass for the first byte.
            Ok(data) if data.is_empty() => {}
            Ok(data) if self.is_empty() => self.first = Some(data),
            Ok(data) => self.more.push_back(Frame::data(data)),
            Err(frame) => self.more.push_back(frame),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Frame<Bytes>> {
        let frame = self.first.take().map(Frame::data).or_else(|| self.more.pop_front())?;
        self.bytes -= length(&frame);
        if self.is_empty() {
            self.share = None;
        }
        Some(frame)
    }

    /// The trailers, if nothing is before them.
    pub(super) fn first_trailers(&self) -> Option<&HeaderMap> {
        let first = self.more.front().filter(|_| self.first.is_none());
        first.and_then(Frame::trailers_ref)
    }

    pub(super) fn pay(&mut self, share: Share) {
        self.share = Some(share);
    }

    /// What is to come, if `incoming` comes behind it.
    pub(super) fn added_to(&self, incoming: SizeHint) -> SizeHint {
        if self.bytes == 0 {
            return incoming;
        }
        let mut hint = SizeHint::new();
        hint.set_lower(incoming.lower().saturating_add(self.bytes));
        if let Some(upper) = incoming.upper() {
            hint.set_upper(upper.saturating_add(self.bytes));
        }
        hint
    }
}

fn length(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_in_the_order_in_which_they_were_read() {
        let mut ahead = Ahead::NONE;
        assert!(ahead.is_empty());
        for text in ["", "one", "two"] {
            ahead.push(Frame::data(Bytes::from(text)));
        }
        ahead.push(Frame::trailers(HeaderMap::new()));
        assert_eq!(ahead.added_to(SizeHint::with_exact(4)).exact(), Some(10));
        let mut data = || ahead.pop().and_then(|frame| frame.into_data().ok());
        assert_eq!((data(), data()), (Some("one".into()), Some("two".into())));
        assert!(ahead.pop().is_some_and(|frame| frame.is_trailers()));
        assert!(ahead.pop().is_none());
        assert_eq!(ahead.added_to(SizeHint::with_exact(4)).exact(), Some(4));
    }
}
