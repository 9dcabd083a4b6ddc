//! A body that the program itself produces, piece by piece.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

use super::BodyError;

/// Any body, boxed. Its pieces are copied only if they aren't [`Bytes`] already.
///
/// Behind a lock that nobody waits for, so that what holds a body can be shared by threads: an error that gives it back, say.
pub struct BoxedSource(Mutex<Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>>);

/// The error with which a body broke, for whoever wants to know more than that it did.
pub(crate) type SourceError = Arc<Mutex<Option<Box<dyn Error + Send + Sync>>>>;

impl BoxedSource {
    /// Boxes `body`. What it breaks with goes to the place that comes back beside it.
    pub(crate) fn new<B>(body: B) -> (Self, SourceError)
    where
        B: Body + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let error = SourceError::default();
        let read = Read { body, error: Arc::clone(&error) };
        (Self(Mutex::new(Box::pin(read))), error)
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.get_mut().as_mut().poll_frame(cx)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.0.lock().is_end_stream()
    }

    pub(super) fn exact_length(&self) -> Option<u64> {
        self.0.lock().size_hint().exact()
    }
}

impl fmt::Debug for BoxedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxedSource")
    }
}

pin_project_lite::pin_project! {
    /// A body as sources are read.
    struct Read<B> {
        #[pin]
        body: B,
        error: SourceError,
    }
}

impl<B> Body for Read<B>
where
    B: Body,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.project();
        Poll::Ready(match ready!(this.body.poll_frame(cx)) {
            None => None,
            Some(Ok(frame)) => {
                Some(Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))))
            }
            Some(Err(error)) => {
                *this.error.lock() = Some(error.into());
                Some(Err(BodyError::ClientGone))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
