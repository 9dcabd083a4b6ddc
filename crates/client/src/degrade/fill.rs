//! An answer on its way into the store, beside its way to the application.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header};
use http_body::Body;
use mainstay_config::settings::Stale;
use mainstay_core::degrade::{Asked, Given, keep};

use super::kept::{Kept, NewEntry};
use super::target::{Target, Varied};
use crate::Clock;

/// A copy of a body as it is delivered. Dropped before its end, it was never there.
pub(crate) struct Fill {
    kept: Arc<Kept>,
    target: Target,
    request: HeaderMap,
    /// There until the end.
    answer: Option<NewEntry>,
    body: Vec<u8>,
    limit: usize,
    taken: usize,
}

impl Fill {
    /// Begins to keep an answer, if it may be kept. One that mustn't be takes an older one with it.
    pub(crate) fn begin<B: Body>(
        (kept, settings): (&Arc<Kept>, &Stale),
        (upstream, route): (&str, &Arc<str>),
        head: &Parts,
        asked: &Asked,
        response: &Response<B>,
        took: Duration,
    ) -> Option<Box<Self>> {
        let fields =
            response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let given = Given::of(response.status().as_u16(), fields, Clock::unix_seconds(), took);
        let lifetime = match keep(asked, &given, &settings.policy) {
            Ok(lifetime) => lifetime,
            Err(why) => {
                if why.replaces() && kept.entries() > 0 {
                    kept.forget(&Target::of(upstream, head), route, &head.headers);
                }
                return None;
            }
        };
        let exact = response.body().size_hint().exact();
        let fits = exact.is_none_or(|length| length <= settings.answer_bytes as u64);
        if !fits || (exact.is_none() && ends_by_close(response)) {
            return None;
        }
        let answer = NewEntry {
            route: Arc::clone(route),
            varied: Varied::of(response.headers(), &head.headers)?,
            status: response.status(),
            headers: response.headers().clone(),
            lifetime,
            arrived_at: Clock::now(),
        };
        Some(Box::new(Self {
            kept: Arc::clone(kept),
            target: Target::of(upstream, head),
            request: head.headers.clone(),
            answer: Some(answer),
            body: Vec::new(),
            limit: settings.answer_bytes,
            taken: 0,
        }))
    }

    /// Adds a piece; false when it is too much, and the whole isn't to be kept.
    pub(crate) fn push(&mut self, piece: &Bytes) -> bool {
        let length = self.body.len() + piece.len();
        if length > self.limit {
            return false;
        }
        if length > self.body.capacity() {
            // As a vector grows by itself, but paid for before.
            let capacity = length.max(2 * self.body.capacity()).min(self.limit);
            let more = capacity - self.body.capacity();
            if !self.kept.take(more) {
                return false;
            }
            self.taken += more;
            self.body.reserve_exact(capacity - self.body.len());
        }
        self.body.extend_from_slice(piece);
        true
    }

    /// The body came to its end, whole.
    pub(crate) fn finish(mut self: Box<Self>) {
        let Some(mut answer) = self.answer.take() else { return };
        let body = Bytes::from(std::mem::take(&mut self.body).into_boxed_slice());
        // It is delivered as one piece.
        answer.headers.remove(header::TRANSFER_ENCODING);
        if answer.status != StatusCode::NO_CONTENT {
            answer.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        self.kept.keep(self.target.clone(), &self.request, answer, body);
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.kept.give_back(self.taken);
    }
}

/// Whether the body ends where the connection does, so that nobody can tell whether it is whole (RFC 9112, section 6.3).
fn ends_by_close<B>(response: &Response<B>) -> bool {
    response.version() < Version::HTTP_2
        && !response.headers().contains_key(header::TRANSFER_ENCODING)
}

/// Without what was asked and answered.
impl std::fmt::Debug for Fill {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fill").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}
