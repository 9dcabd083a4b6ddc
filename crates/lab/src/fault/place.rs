//! Where a body breaks.

use std::fmt::{self, Display, Formatter};

use super::amount::parse_size;
use crate::rng::Rng;

/// Where a body breaks: always short of its end, for it wouldn't be broken otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Place {
    /// After half of it; of an endless one, within the second event or thereabouts.
    #[default]
    Middle,
    /// After so many bytes.
    Byte(u64),
    /// After its first byte.
    First,
    /// Before its last byte; an endless one never comes to it.
    Last,
    /// Anywhere, all bytes equally likely.
    Random,
    /// Anywhere, after so many bytes in the mean, counted over all bodies. One that is shorter than what was drawn is
    /// sent whole.
    Every(u64),
    /// In the middle, behind a chunk. These three send a body in chunks; HTTP/2 has none, there they are the middle.
    BetweenChunks,
    /// In the middle, within a chunk's bytes: its head promised more.
    InChunk,
    /// In the middle, within the head of the next chunk: in its hexadecimal length, or before the end of the line.
    InChunkHead,
    /// Within the second event of an event stream; of any other body, in the middle.
    InEvent,
}

impl Place {
    /// The words, without those that hold a number.
    const WORDS: [(&'static str, Self); 8] = [
        ("middle", Self::Middle),
        ("first", Self::First),
        ("last", Self::Last),
        ("random", Self::Random),
        ("between-chunks", Self::BetweenChunks),
        ("in-chunk", Self::InChunk),
        ("in-chunk-header", Self::InChunkHead),
        ("in-event", Self::InEvent),
    ];

    /// Reads what follows `at=`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let word = Self::WORDS.iter().find(|(word, _)| *word == text);
        word.map(|(_, place)| *place).or_else(|| parse_size(text).map(Self::Byte))
    }

    /// Whether it speaks of chunks.
    pub(crate) fn is_of_chunks(self) -> bool {
        matches!(self, Self::BetweenChunks | Self::InChunk | Self::InChunkHead)
    }

    /// How many bytes of a body of this length come before the break, if one comes; `in_event`: where the second event
    /// is half sent.
    pub(crate) fn cut(
        self,
        length: Option<u64>,
        in_event: Option<u64>,
        rng: &mut Rng,
    ) -> Option<u64> {
        let middle = length.map_or(CUT_OF_ENDLESS, |length| length / 2);
        let asked = match self {
            Self::Middle | Self::BetweenChunks | Self::InChunk | Self::InChunkHead => middle,
            Self::Byte(at) => at,
            Self::First => 1,
            Self::Last => u64::MAX,
            Self::Random => (length.unwrap_or(2 * CUT_OF_ENDLESS) as f64 * rng.next_unit()) as u64,
            Self::Every(mean) => {
                let drawn = exponential(mean, rng);
                return length.is_none_or(|length| drawn < length).then_some(drawn);
            }
            Self::InEvent => in_event.unwrap_or(middle),
        };
        match length {
            Some(0) => None,
            Some(length) => Some(asked.min(length - 1)),
            None => Some(asked),
        }
    }

    /// How many bytes of a stream without end or chunks come before the break: an echo.
    pub(crate) fn cut_of_echo(self, rng: &mut Rng) -> Option<u64> {
        match self {
            Self::Byte(at) => Some(at),
            Self::First => Some(1),
            Self::Every(mean) => Some(exponential(mean, rng)),
            Self::Middle
            | Self::Last
            | Self::Random
            | Self::BetweenChunks
            | Self::InChunk
            | Self::InChunkHead
            | Self::InEvent => None,
        }
    }
}

/// A length of this mean that knows nothing of what went before: breaks come as often in one long body as in the many
/// pieces that it is asked for again.
fn exponential(mean: u64, rng: &mut Rng) -> u64 {
    (-(mean as f64) * (1.0 - rng.next_unit()).ln()) as u64
}

impl Display for Place {
    /// The parameter, with a space before it; nothing for the default.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Middle => Ok(()),
            Self::Byte(at) => write!(f, " at={at}"),
            Self::Every(mean) => write!(f, " every={mean}"),
            other => {
                let word = Self::WORDS.iter().find(|(_, place)| place == other);
                write!(f, " at={}", word.map_or("", |(word, _)| word))
            }
        }
    }
}

/// Within the second event of an event stream.
const CUT_OF_ENDLESS: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(place: Place, length: Option<u64>) -> Option<u64> {
        place.cut(length, None, &mut Rng::new(7))
    }

    #[test]
    fn a_cut_is_short_of_the_end() {
        assert_eq!(cut(Place::Middle, Some(10)), Some(5));
        assert_eq!(cut(Place::Byte(3), Some(10)), Some(3));
        assert_eq!(cut(Place::Byte(99), Some(10)), Some(9));
        assert_eq!(cut(Place::First, Some(10)), Some(1));
        assert_eq!(cut(Place::First, Some(1)), Some(0));
        assert_eq!(cut(Place::Last, Some(10)), Some(9));
        assert_eq!(cut(Place::Byte(3), Some(0)), None);
        assert_eq!(cut(Place::Middle, None), Some(64));
    }

    #[test]
    fn a_random_cut_may_be_anywhere_in_the_body() {
        let mut rng = Rng::new(7);
        let mut seen = [false; 10];
        for _ in 0..200 {
            seen[Place::Random.cut(Some(10), None, &mut rng).unwrap() as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
    }

    #[test]
    fn a_long_transfer_breaks_as_often_as_it_says() {
        let mut rng = Rng::new(7);
        let (total, mut sent, mut breaks) = (100_000_000_u64, 0, 0);
        while sent < total {
            match Place::Every(300_000).cut(Some(total - sent), None, &mut rng) {
                Some(at) => (sent, breaks) = (sent + at, breaks + 1),
                None => sent = total,
            }
        }
        assert!((290..380).contains(&breaks), "{breaks}");
    }

    #[test]
    fn a_body_far_below_the_mean_mostly_arrives_whole() {
        let mut rng = Rng::new(7);
        let place = Place::Every(1_000_000);
        let broken =
            (0..1000).filter(|_| place.cut(Some(10_000), None, &mut rng).is_some()).count();
        assert!((1..30).contains(&broken), "{broken}");
    }
}
