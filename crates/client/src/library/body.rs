//! Bodies of requests.

use std::error::Error;
use std::fmt;

use bytes::Bytes;

use crate::body::{BoxedSource, Source, SourceError};
use crate::shown::Length;

/// The body of a request.
///
/// One that is here as a whole can be sent again as often as the policy allows. One that comes piece by piece is kept as it is
/// sent, up to the policy's `replay` (1 MiB by default), and can be sent again as long as all of it was kept.
///
/// ```
/// use mainstay::Body;
///
/// let whole = Body::from("text");
/// let bytes = Body::from(vec![1, 2, 3]);
/// let pieces = Body::new(http_body_util::Full::new(bytes::Bytes::from("any http_body::Body")));
/// ```
#[derive(Default)]
pub struct Body(pub(super) Inner);

#[derive(Default)]
pub(super) enum Inner {
    #[default]
    Empty,
    Whole(Bytes),
    Pieces(BoxedSource, SourceError),
}

impl fmt::Debug for Body {
    /// Its length, where that is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Empty => f.write_str("Body(empty)"),
            Inner::Whole(bytes) => write!(f, "Body({:?})", Length(bytes.len())),
            Inner::Pieces(..) => f.write_str("Body(in pieces)"),
        }
    }
}

impl Body {
    /// No body.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// A body that comes piece by piece. Its error, should it break, is the source of the call's.
    #[must_use]
    pub fn new<B>(body: B) -> Self
    where
        B: http_body::Body + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (source, error) = BoxedSource::new(body);
        Self(Inner::Pieces(source, error))
    }

    /// A body made of a stream's items.
    #[cfg(feature = "stream")]
    #[must_use]
    pub fn from_stream<S, D, E>(stream: S) -> Self
    where
        S: futures_core::Stream<Item = Result<D, E>> + Send + 'static,
        D: Into<Bytes> + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        Self::new(stream::Pieces { stream })
    }

    /// The driver's form of it; the body again, if a second call could send it; and where it says why it broke.
    pub(super) fn split(self) -> (Source, Option<Self>, Option<SourceError>) {
        match self.0 {
            Inner::Empty => (Source::Empty, Some(Self::empty()), None),
            Inner::Whole(bytes) => (Source::Full(bytes.clone()), Some(bytes.into()), None),
            Inner::Pieces(source, error) => (Source::Stream(source), None, Some(error)),
        }
    }

    /// Whether there is none.
    #[cfg(feature = "websocket")]
    pub(super) const fn is_empty(&self) -> bool {
        matches!(self.0, Inner::Empty)
    }

    /// All of it, if it is here as a whole.
    #[cfg(feature = "outbox")]
    pub(super) fn into_whole(self) -> Option<Bytes> {
        match self.0 {
            Inner::Empty => Some(Bytes::new()),
            Inner::Whole(bytes) => Some(bytes),
            Inner::Pieces(..) => None,
        }
    }

    /// A second one like it, if it is here as a whole.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        match &self.0 {
            Inner::Empty => Some(Self::empty()),
            Inner::Whole(bytes) => Some(bytes.clone().into()),
            Inner::Pieces(..) => None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(if bytes.is_empty() { Inner::Empty } else { Inner::Whole(bytes) })
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

#[cfg(feature = "stream")]
mod stream {
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use bytes::Bytes;
    use http_body::Frame;

    pin_project_lite::pin_project! {
        /// A stream as a body.
        pub(super) struct Pieces<S> {
            #[pin]
            pub(super) stream: S,
        }
    }

    impl<S, D, E> http_body::Body for Pieces<S>
    where
        S: futures_core::Stream<Item = Result<D, E>>,
        D: Into<Bytes>,
    {
        type Data = Bytes;
        type Error = E;

        fn poll_frame(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, E>>> {
            let item = ready!(self.project().stream.poll_next(cx));
            Poll::Ready(item.map(|piece| piece.map(|piece| Frame::data(piece.into()))))
        }
    }
}
