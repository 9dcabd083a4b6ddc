//! One request's body: its source, and what has been read of it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use mainstay_core::Timestamp;
use parking_lot::Mutex;

use super::kept::Kept;
use super::spill::{Fetch, Spill, Stored};
use super::store::Disk;
use super::{BodyError, Gate, Outgoing, Source, Store};
use crate::{Clock, trailers};

/// What bounds a request's body.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplayLimits {
    /// Bytes that are kept for replay in memory.
    pub kept_bytes: usize,
    /// Bytes beyond them that are kept in a file, if the store has a disk.
    pub spilled_bytes: u64,
    /// Bytes that the body may have.
    pub body_bytes: Option<u64>,
}

/// The body of a call's request, shared by its attempts, one after the other. An empty body costs nothing.
#[derive(Debug, Default)]
pub struct Replay(Option<Arc<Mutex<Shared>>>);

pub(super) struct Shared {
    source: Source,
    limits: ReplayLimits,
    /// Everything read so far, while the body is repeatable: first what is in memory, then the rest.
    kept: Kept,
    spill: Option<Spill>,
    disk: Option<Arc<Disk>>,
    trailers: Option<HeaderMap>,
    /// The source has been read to its end.
    ended: bool,
    read_bytes: u64,
    repeatable: bool,
    failed: Option<BodyError>,
    moved_at: Timestamp,
    /// How far the attempt has come that may read.
    reached: u64,
    /// The attempt that may read; earlier ones have been superseded.
    reader: u32,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, read_bytes, ended, repeatable, failed, .. } = self;
        let mut shown = f.debug_struct("Shared");
        shown.field("source", source).field("read_bytes", read_bytes).field("ended", ended);
        shown.field("repeatable", repeatable).field("failed", failed).finish_non_exhaustive()
    }
}

/// What a reader gets next.
pub(super) enum Piece {
    Data(Bytes),
    Written(Fetch),
    Trailers(HeaderMap),
    End,
}

impl Replay {
    /// The body that comes from `source`.
    #[must_use]
    pub fn new(source: Source, limits: ReplayLimits, store: &Store) -> Self {
        let empty = match &source {
            Source::Empty => true,
            Source::Full(bytes) => bytes.is_empty(),
            Source::Incoming(incoming) => incoming.is_end_stream(),
            Source::Begun(bytes, incoming) => bytes.is_empty() && incoming.is_end_stream(),
            Source::Stream(stream) => stream.is_end_stream(),
        };
        if empty {
            return Self(None);
        }
        Self(Some(Arc::new(Mutex::new(Shared {
            source,
            limits,
            kept: Kept::new(limits.kept_bytes as u64, store.memory.share()),
            spill: None,
            disk: store.disk.clone(),
            trailers: None,
            ended: false,
            read_bytes: 0,
            repeatable: true,
            failed: None,
            moved_at: Timestamp::ZERO,
            reached: 0,
            reader: 0,
        }))))
    }

    /// The body for one more attempt, from its first byte. Readers of earlier attempts get nothing any more,
    /// unless all of it is here: then two attempts may send it at a time.
    ///
    /// Only while [`Replay::is_repeatable`], or for the first attempt.
    #[must_use]
    pub fn outgoing(&self, gate: Option<Gate>) -> Outgoing {
        self.outgoing_from(0, gate)
    }

    /// The same from its byte at `place` on, which an earlier attempt has sent, or which comes next.
    #[must_use]
    pub fn outgoing_from(&self, place: u64, gate: Option<Gate>) -> Outgoing {
        let Some(shared) = &self.0 else { return Outgoing::default() };
        let (reader, left) = {
            let mut shared = shared.lock();
            shared.reader += 1;
            shared.reached = place;
            (shared.reader, shared.total_bytes().map(|total| total.saturating_sub(place)))
        };
        Outgoing::reading(Arc::clone(shared), (reader, place), left, gate)
    }

    /// How far the last attempt has come: so much of the body was given to a connection, by it or before.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.0.as_ref().map_or(0, |shared| shared.lock().reached)
    }

    /// How many bytes it has, where that is known before all of it is read.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        self.0.as_ref().map_or(Some(0), |shared| shared.lock().total_bytes())
    }

    /// Whether it can be sent once more.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| shared.lock().repeatable)
    }

    /// Whether all of it is in memory, so that two attempts can send it at a time. They could from a file as well, but
    /// what is that large costs more to send twice than an answer that comes sooner is worth.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| {
            let shared = shared.lock();
            shared.ended && shared.repeatable && shared.spill.is_none()
        })
    }

    /// Whether it has outgrown memory, and goes on in a file.
    #[must_use]
    pub fn is_spilled(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| shared.lock().spill.is_some())
    }

    /// Whether there is one at all.
    #[must_use]
    pub const fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// Whether nothing more of it can come.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| shared.lock().is_all_here())
    }

    /// Whether a part of it has been read, and more may come.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.0.as_ref().is_some_and(|shared| {
            let shared = shared.lock();
            shared.read_bytes > 0 && !shared.is_all_here()
        })
    }

    /// Why it can't be read on, if it can't.
    #[must_use]
    pub fn failed(&self) -> Option<BodyError> {
        self.0.as_ref().and_then(|shared| shared.lock().failed)
    }

    /// When a piece of it was last taken to be sent; `None` if none was.
    #[must_use]
    pub fn moved_at(&self) -> Option<Timestamp> {
        self.0.as_ref().map(|shared| shared.lock().moved_at).filter(|at| *at > Timestamp::ZERO)
    }
}

impl Shared {
    /// The exact length of the whole body, where it is known before it is read.
    fn total_bytes(&self) -> Option<u64> {
        let left = match &self.source {
            Source::Empty => Some(0),
            Source::Full(bytes) => Some(bytes.len() as u64),
            Source::Incoming(incoming) => incoming.size_hint().exact(),
            Source::Begun(bytes, incoming) => {
                incoming.size_hint().exact().map(|rest| rest + bytes.len() as u64)
            }
            Source::Stream(stream) => stream.exact_length(),
        };
        left.map(|left| left + self.read_bytes)
    }

    /// Whether nothing more can come of it: the source has ended, whether or not anybody has read that.
    fn is_all_here(&self) -> bool {
        self.ended
            || match &self.source {
                Source::Empty => true,
                Source::Full(bytes) => bytes.is_empty(),
                Source::Incoming(incoming) => incoming.is_end_stream(),
                Source::Begun(bytes, incoming) => bytes.is_empty() && incoming.is_end_stream(),
                Source::Stream(stream) => stream.is_end_stream(),
            }
    }

    /// What comes at `place`, which is where the reader is: what is kept of it, or the next piece of the source.
    pub(super) fn poll_piece(
        &mut self,
        reader: u32,
        place: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Piece, BodyError>> {
        // What is here as a whole can be sent by two attempts at a time; the source has one reader.
        if reader != self.reader && !(self.ended && self.repeatable) {
            return Poll::Ready(Err(BodyError::Superseded));
        }
        if let Some(piece) = self.stored(place) {
            self.moved_at = Clock::now();
            self.note_reached(reader, place, &piece);
            return Poll::Ready(Ok(piece));
        }
        if let Some(failed) = self.failed {
            return Poll::Ready(Err(failed));
        }
        // What comes next of the source isn't what comes at another place.
        if place != self.read_bytes {
            return Poll::Ready(Err(self.fail(BodyError::Lost)));
        }
        if self.ended {
            return Poll::Ready(Ok(self.trailers.clone().map_or(Piece::End, Piece::Trailers)));
        }
        ready!(self.poll_room(cx));
        let frame = ready!(self.poll_source(cx));
        self.moved_at = Clock::now();
        let piece = self.take_in(frame)?;
        self.note_reached(reader, place, &piece);
        Poll::Ready(Ok(piece))
    }

    /// What comes out of the file is counted as it is asked for: it was sent before.
    fn note_reached(&mut self, reader: u32, place: u64, piece: &Piece) {
        let bytes = match piece {
            Piece::Data(data) => data.len() as u64,
            Piece::Written(_) | Piece::Trailers(_) | Piece::End => 0,
        };
        if reader == self.reader {
            self.reached = self.reached.max(place + bytes);
        }
    }

    fn stored(&self, place: u64) -> Option<Piece> {
        if let Some(data) = self.kept.at(place) {
            return Some(Piece::Data(data));
        }
        let stored = self.spill.as_ref()?.at(place.checked_sub(self.kept.len())?)?;
        Some(match stored {
            Stored::Here(data) => Piece::Data(data),
            Stored::Written(fetch) => Piece::Written(fetch),
        })
    }

    /// Ready when one more piece can be kept, or none has to be.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(spill) = &mut self.spill else { return Poll::Ready(()) };
        // Whoever asks has read all that is kept, so that nothing is missed that is forgotten now.
        if ready!(spill.poll_room(cx)).is_err() {
            self.forget();
        }
        Poll::Ready(())
    }

    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Source::Begun(bytes, _) if !bytes.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            Source::Incoming(incoming) | Source::Begun(_, incoming) => {
                Pin::new(incoming).poll_frame(cx).map_err(|error| read_error(&error))
            }
            Source::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn take_in(
        &mut self,
        frame: Option<Result<Frame<Bytes>, BodyError>>,
    ) -> Result<Piece, BodyError> {
        match frame {
            None => {
                self.ended = true;
                Ok(Piece::End)
            }
            Some(Err(error)) => Err(self.fail(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => self.take_data(data),
                Err(frame) => {
                    self.trailers = frame.into_trailers().ok().map(trailers::cleaned);
                    self.ended = true;
                    Ok(self.trailers.clone().map_or(Piece::End, Piece::Trailers))
                }
            },
        }
    }

    fn take_data(&mut self, data: Bytes) -> Result<Piece, BodyError> {
        self.read_bytes += data.len() as u64;
        if self.limits.body_bytes.is_some_and(|limit| self.read_bytes > limit) {
            return Err(self.fail(BodyError::TooLarge));
        }
        if self.repeatable && !self.keep(data.clone()) {
            self.forget();
        }
        Ok(Piece::Data(data))
    }

    /// Keeps what was read; false when there is no room for it.
    fn keep(&mut self, mut data: Bytes) -> bool {
        if self.spill.is_none() {
            self.kept.fill(&mut data);
        }
        data.is_empty() || self.spill(data)
    }

    /// Keeps in the file what memory has no room for.
    fn spill(&mut self, data: Bytes) -> bool {
        let Some(disk) = &self.disk else { return false };
        let most_bytes = self.limits.spilled_bytes;
        // What is known to be too large needn't be written first.
        let fits = |bytes| bytes <= self.kept.len().saturating_add(most_bytes);
        if self.spill.is_none() && !self.total_bytes().is_none_or(fits) {
            return false;
        }
        self.spill.get_or_insert_with(|| Spill::new(disk, most_bytes)).push(data)
    }

    /// A body that broke at its source, that is too large, or lost, ends the call: there is nothing to send again.
    pub(super) fn fail(&mut self, error: BodyError) -> BodyError {
        self.forget();
        self.failed = Some(error);
        error
    }

    fn forget(&mut self) {
        self.repeatable = false;
        self.kept.clear();
        self.spill = None;
    }
}

fn read_error(error: &hyper::Error) -> BodyError {
    if error.is_parse() || error.is_user() { BodyError::Malformed } else { BodyError::ClientGone }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_no_more_is_not_taken_for_what_comes_next() {
        let limits = ReplayLimits { kept_bytes: 4, ..ReplayLimits::default() };
        let source = Source::Full(Bytes::from_static(b"0123456789"));
        let replay = Replay::new(source, limits, &Store::new(100));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut first = replay.outgoing(None);
        let whole = Pin::new(&mut first).poll_frame(&mut cx);
        assert!(matches!(whole, Poll::Ready(Some(Ok(frame))) if frame.is_data()));
        assert!(!replay.is_repeatable());
        for place in [6, 11] {
            let mut rest = replay.outgoing_from(place, None);
            let lost = Pin::new(&mut rest).poll_frame(&mut cx);
            assert!(matches!(lost, Poll::Ready(Some(Err(BodyError::Lost)))), "{place}: {lost:?}");
        }
        assert_eq!(replay.failed(), Some(BodyError::Lost));
    }
}
