//! Where the bytes of an answer come from: memory, a pattern, or a clock.

use std::time::Duration;

use bytes::Bytes;

use super::events::Ticks;
use super::llm::Text;
use crate::rng::Rng;

/// The body of an answer, piece by piece.
#[derive(Debug)]
pub(crate) enum Source {
    /// Bytes at hand.
    Bytes(Bytes),
    /// A piece of the pattern of `/bytes`.
    Pattern(Pattern),
    /// The same with something before and after it.
    Enclosed { before: Bytes, pattern: Pattern, after: Bytes },
    /// Server-sent events, one at a time.
    Stream(Stream),
}

/// The bytes `next..end` of the pattern of this seed.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) seed: u64,
    pub(crate) next: u64,
    pub(crate) end: u64,
}

/// The blocks `next..=last` of a script, with pauses between them.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) script: Script,
    pub(crate) next: u64,
    pub(crate) last: u64,
    pub(crate) every: Duration,
    /// What comes before the first, then what is left of one that was cut.
    pub(crate) rest: Bytes,
    /// How many were begun.
    pub(crate) sent: u64,
}

/// What the blocks of a stream say.
#[derive(Debug)]
pub(crate) enum Script {
    Ticks(Ticks),
    Text(Text),
}

impl Source {
    pub(crate) fn empty() -> Self {
        Self::Bytes(Bytes::new())
    }

    /// Bytes left, if known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Pattern(pattern) => Some(pattern.left()),
            Self::Enclosed { before, pattern, after } => {
                Some(before.len() as u64 + pattern.left() + after.len() as u64)
            }
            Self::Stream(_) => None,
        }
    }

    /// Bytes up to the middle of the second event of a stream, or of the first if it is the last.
    pub(crate) fn in_event(&self) -> Option<u64> {
        match self {
            Self::Stream(stream) => stream.in_event(),
            Self::Bytes(_) | Self::Pattern(_) | Self::Enclosed { .. } => None,
        }
    }

    /// Whether [`Source::next`] never waits.
    pub(crate) fn is_instant(&self) -> bool {
        !matches!(self, Self::Stream(_))
    }

    /// At most so many bytes, at least one; none at the end.
    pub(crate) async fn next(&mut self, most: usize) -> Option<Bytes> {
        let most = most.clamp(1, PIECE_BYTES);
        match self {
            Self::Bytes(bytes) => take(bytes, most),
            Self::Pattern(pattern) => pattern.take(most),
            Self::Enclosed { before, pattern, after } => {
                take(before, most).or_else(|| pattern.take(most)).or_else(|| take(after, most))
            }
            Self::Stream(stream) => stream.next(most).await,
        }
    }
}

fn take(bytes: &mut Bytes, most: usize) -> Option<Bytes> {
    (!bytes.is_empty()).then(|| bytes.split_to(most.min(bytes.len())))
}

impl Pattern {
    fn left(&self) -> u64 {
        self.end - self.next
    }

    fn take(&mut self, most: usize) -> Option<Bytes> {
        let until = (self.next + most as u64).min(self.end);
        let piece: Vec<u8> = (self.next..until).map(|at| seeded_byte(self.seed, at)).collect();
        self.next = until;
        (!piece.is_empty()).then(|| piece.into())
    }
}

impl Stream {
    async fn next(&mut self, most: usize) -> Option<Bytes> {
        if self.rest.is_empty() {
            if self.next > self.last {
                return None;
            }
            if self.sent > 0 {
                tokio::time::sleep(self.every).await;
            }
            self.rest = self.script.block(self.next).into();
            (self.next, self.sent) = (self.next + 1, self.sent + 1);
        }
        take(&mut self.rest, most)
    }

    fn in_event(&self) -> Option<u64> {
        let before = self.rest.len() as u64;
        let first = self.script.block(self.next).len() as u64;
        match self.last.checked_sub(self.next)? {
            0 => Some(before + first / 2),
            _ => Some(before + first + self.script.block(self.next + 1).len() as u64 / 2),
        }
    }
}

impl Script {
    fn block(&self, number: u64) -> String {
        match self {
            Self::Ticks(ticks) => ticks.block(number),
            Self::Text(text) => text.block(number),
        }
    }
}

/// Byte number `at` of `/bytes/N`: the same at every server, and not the same at any two near places, so that a
/// body healed with a piece too much or too few is noticed.
pub fn pattern_byte(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

/// Byte number `at` of `/bytes/N?seed=SEED`: nothing like that of another seed. Seed 0 is [`pattern_byte`].
pub fn seeded_byte(seed: u64, at: u64) -> u8 {
    if seed == 0 {
        return pattern_byte(at);
    }
    // Seeds begin far from each other: no content is another one a little further on.
    let begin = seed.wrapping_mul(0xd6e8_feb8_6659_fd93);
    (Rng::new(begin.wrapping_add(at)).next_u64() >> 56) as u8
}

/// A piece fills some pages of the socket's buffer, and a cut is exact whatever its size.
pub(crate) const PIECE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_pattern_is_the_same_however_it_is_cut() {
        let mut source = Source::Pattern(Pattern { seed: 0, next: 3, end: 40 });
        let mut read = Vec::new();
        while let Some(piece) = source.next(7).await {
            assert!(piece.len() <= 7);
            read.extend_from_slice(&piece);
        }
        assert_eq!(read, (3..40).map(pattern_byte).collect::<Vec<_>>());
    }

    #[test]
    fn seeds_have_hardly_a_byte_in_common() {
        assert!((0..100).all(|at| seeded_byte(0, at) == pattern_byte(at)));
        for (one, other) in [(0, 1), (1, 2), (2, 3), (7, u64::MAX)] {
            let same = (0..10_000).filter(|at| seeded_byte(one, *at) == seeded_byte(other, *at));
            let same = same.count();
            assert!(same < 100, "{one}, {other}: {same}");
        }
        let shifted = (0..10_000).filter(|at| seeded_byte(1, *at) == seeded_byte(1, at + 1));
        assert!(shifted.count() < 100);
    }

    #[tokio::test]
    async fn what_encloses_a_pattern_is_counted_and_sent() {
        let mut source = Source::Enclosed {
            before: "<".into(),
            pattern: Pattern { seed: 0, next: 1, end: 3 },
            after: ">".into(),
        };
        assert_eq!(source.left(), Some(4));
        let mut read = Vec::new();
        while let Some(piece) = source.next(9).await {
            read.extend_from_slice(&piece);
        }
        assert_eq!(read, [b'<', pattern_byte(1), pattern_byte(2), b'>']);
    }
}
