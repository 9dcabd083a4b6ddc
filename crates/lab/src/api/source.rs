//! Where the bytes of an answer come from: memory, a pattern, or a clock.

use std::time::Duration;

use bytes::Bytes;

/// The body of an answer, piece by piece.
#[derive(Debug)]
pub(crate) enum Source {
    /// Bytes at hand.
    Bytes(Bytes),
    /// The bytes `next..end` of the pattern of `/bytes`.
    Pattern { next: u64, end: u64 },
    /// Server-sent events, one at a time.
    Events(Events),
}

/// Events with the ids `next..=last`.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) server: String,
    pub(crate) next: u64,
    pub(crate) last: u64,
    pub(crate) every: Duration,
    /// What is left of an event that was cut.
    pub(crate) rest: Bytes,
    pub(crate) is_first: bool,
}

impl Source {
    pub(crate) fn empty() -> Self {
        Self::Bytes(Bytes::new())
    }

    /// Bytes left, if known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Pattern { next, end } => Some(end - next),
            Self::Events(_) => None,
        }
    }

    /// Bytes up to the middle of the second event of a stream, or of the first if it is the last.
    pub(crate) fn in_event(&self) -> Option<u64> {
        match self {
            Self::Events(events) => events.in_event(),
            Self::Bytes(_) | Self::Pattern { .. } => None,
        }
    }

    /// Whether [`Source::next`] never waits.
    pub(crate) fn is_instant(&self) -> bool {
        !matches!(self, Self::Events(_))
    }

    /// At most so many bytes, at least one; none at the end.
    pub(crate) async fn next(&mut self, most: usize) -> Option<Bytes> {
        let most = most.clamp(1, PIECE_BYTES);
        match self {
            Self::Bytes(bytes) if bytes.is_empty() => None,
            Self::Bytes(bytes) => Some(bytes.split_to(most.min(bytes.len()))),
            Self::Pattern { next, end } => {
                let until = (*next + most as u64).min(*end);
                let piece: Vec<u8> = (*next..until).map(pattern_byte).collect();
                *next = until;
                (!piece.is_empty()).then(|| piece.into())
            }
            Self::Events(events) => events.next(most).await,
        }
    }
}

impl Events {
    async fn next(&mut self, most: usize) -> Option<Bytes> {
        if self.rest.is_empty() {
            if self.next > self.last {
                return None;
            }
            if !self.is_first {
                tokio::time::sleep(self.every).await;
            }
            self.is_first = false;
            self.rest = self.event(self.next).into();
            self.next += 1;
        }
        Some(self.rest.split_to(most.min(self.rest.len())))
    }

    fn in_event(&self) -> Option<u64> {
        let first = self.event(self.next).len() as u64;
        match self.last.checked_sub(self.next)? {
            0 => Some(first / 2),
            _ => Some(first + self.event(self.next + 1).len() as u64 / 2),
        }
    }

    fn event(&self, id: u64) -> String {
        let server = &self.server;
        format!("id: {id}\nevent: tick\ndata: {{\"server\":\"{server}\",\"n\":{id}}}\n\n")
    }
}

/// Byte number `at` of `/bytes/N`: the same at every server, and not the same at any two near places, so that a
/// body healed with a piece too much or too few is noticed.
pub fn pattern_byte(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// A piece fills some pages of the socket's buffer, and a cut is exact whatever its size.
pub(crate) const PIECE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pattern_is_the_same_however_it_is_cut() {
        let mut source = Source::Pattern { next: 3, end: 40 };
        let mut read = Vec::new();
        while let Some(piece) = source.next(7).await {
            assert!(piece.len() <= 7);
            read.extend_from_slice(&piece);
        }
        assert_eq!(read, (3..40).map(pattern_byte).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_cut_event_goes_on_where_it_was_cut() {
        let mut events = Source::Events(Events {
            server: "a".into(),
            next: 5,
            last: 6,
            every: Duration::ZERO,
            rest: Bytes::new(),
            is_first: true,
        });
        let mut read = Vec::new();
        while let Some(piece) = events.next(4).await {
            read.extend_from_slice(&piece);
        }
        let text = String::from_utf8(read).unwrap();
        assert_eq!(text.matches("\n\n").count(), 2);
        assert!(
            text.starts_with("id: 5\nevent: tick\ndata: {\"server\":\"a\",\"n\":5}\n\nid: 6\n"),
            "{text}"
        );
    }
}
