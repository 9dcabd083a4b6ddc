//! What may be wrong with what `/bytes/N` says of its content, and with its answers to ranges.

use std::time::Duration;

/// A wrong answer to a request with `Range` that can be satisfied. Without one, the server is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeTrouble {
    /// 206 of a part that begins one byte later, and says so.
    WrongStart,
    /// 206 whose total length is one too many.
    WrongTotal,
    /// 206 of the right bytes with another ETag, whatever `If-Range` says.
    OtherEtag,
    /// 206 as `multipart/byteranges` with the one part in it.
    Multipart,
    /// 200 and the whole.
    Ignored,
    /// 206 of the first half of what was asked for, and says so.
    Short,
    /// 206 that claims to be a part of what gzip made.
    Gzip,
    /// 206 with the right head and the wrong bytes.
    Lies,
    /// 416 with the right length.
    Unsatisfiable,
}

impl RangeTrouble {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::WrongStart,
        Self::WrongTotal,
        Self::OtherEtag,
        Self::Multipart,
        Self::Ignored,
        Self::Short,
        Self::Gzip,
        Self::Lies,
        Self::Unsatisfiable,
    ];

    /// The word of its fault.
    pub fn word(self) -> &'static str {
        match self {
            Self::WrongStart => "range-wrong-start",
            Self::WrongTotal => "range-wrong-total",
            Self::OtherEtag => "range-other-etag",
            Self::Multipart => "range-multipart",
            Self::Ignored => "range-ignored",
            Self::Short => "range-short",
            Self::Gzip => "range-gzip",
            Self::Lies => "range-lies",
            Self::Unsatisfiable => "range-unsatisfiable",
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.word() == word)
    }
}

/// Content that isn't the same each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changing {
    /// How long it stays the same; none: for one request.
    pub every: Option<Duration>,
    /// Whether its ETag, date or version stays as it was.
    pub lies: bool,
}
