//! A request's body as one attempt sends it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Sleep;

use super::replay::{Piece, Shared};
use super::spill::Fetch;
use super::{BodyError, Gate};

/// The body of one attempt's request. By default there is none.
#[derive(Debug, Default)]
pub struct Outgoing(Option<Reader>);

#[derive(Debug)]
struct Reader {
    shared: Arc<Mutex<Shared>>,
    number: u32,
    /// How many bytes of the body come before the next.
    place: u64,
    fetching: Option<Fetch>,
    left_bytes: Option<u64>,
    waits: Option<(Gate, Option<Pin<Box<Sleep>>>)>,
    trailers_sent: bool,
}

impl Outgoing {
    pub(super) fn reading(
        shared: Arc<Mutex<Shared>>,
        (number, place): (u32, u64),
        left_bytes: Option<u64>,
        gate: Option<Gate>,
    ) -> Self {
        let waits = gate.map(|gate| (gate, None));
        Self(Some(Reader {
            shared,
            number,
            place,
            fetching: None,
            left_bytes,
            waits,
            trailers_sent: false,
        }))
    }
}

impl Reader {
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some((gate, patience)) = &mut self.waits {
            let patience =
                patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(gate.patience())));
            if gate.poll_open(cx).is_pending() {
                ready!(patience.as_mut().poll(cx));
            }
            self.waits = None;
        }
        Poll::Ready(())
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        ready!(self.poll_gate(cx));
        if self.trailers_sent {
            return Poll::Ready(None);
        }
        loop {
            if let Some(fetching) = &mut self.fetching {
                let fetched = ready!(fetching.poll(cx));
                self.fetching = None;
                return Poll::Ready(Some(match fetched {
                    Ok(data) => Ok(self.data(data)),
                    Err(_) => Err(self.shared.lock().fail(BodyError::Lost)),
                }));
            }
            let piece = ready!(self.shared.lock().poll_piece(self.number, self.place, cx));
            return Poll::Ready(match piece {
                Err(error) => Some(Err(error)),
                Ok(Piece::End) => None,
                Ok(Piece::Trailers(trailers)) => {
                    self.trailers_sent = true;
                    Some(Ok(Frame::trailers(trailers)))
                }
                Ok(Piece::Data(data)) => Some(Ok(self.data(data))),
                Ok(Piece::Written(fetch)) => {
                    self.fetching = Some(fetch);
                    continue;
                }
            });
        }
    }

    fn data(&mut self, data: Bytes) -> Frame<Bytes> {
        let bytes = data.len() as u64;
        self.place += bytes;
        self.left_bytes = self.left_bytes.map(|left| left.saturating_sub(bytes));
        Frame::data(data)
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            None => Poll::Ready(None),
            Some(reader) => reader.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(reader) => reader.left_bytes.map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
