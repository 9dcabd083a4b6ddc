//! Why an answer doesn't continue a download.

use core::fmt;

/// Why an answer doesn't continue a download. The set is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mismatch {
    /// A status that says nothing about the representation, or that it isn't to be had.
    Status,
    /// It doesn't carry the validator.
    NoValidator,
    /// Its `ETag` is weak.
    WeakValidator,
    /// Its validator is another one: the representation has changed, or this endpoint has another.
    OtherValidator,
    /// Its coding is another one.
    OtherCoding,
    /// Several parts in one answer (`multipart/byteranges`).
    SeveralParts,
    /// A 206 or 416 without `Content-Range`.
    NoContentRange,
    /// A `Content-Range` that can't be read, or that isn't one of this status.
    MalformedContentRange,
    /// It doesn't begin where it was asked to.
    WrongStart,
    /// It goes on behind the end that was asked for.
    WrongEnd,
    /// Another total length than told before, or less than there is already.
    WrongTotal,
    /// Its length isn't that of the part, or of the whole, that it says to be.
    WrongLength,
    /// It has nothing but what was delivered, and doesn't say that this is all.
    NothingNew,
    /// The whole in place of a part, and too much of it was delivered to be read once more.
    TooFarToSkip,
    /// Where it overlaps with what was delivered its bytes are others.
    OtherBytes,
    /// More bytes came than it announced.
    TooManyBytes,
}

impl Mismatch {
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::Status,
        Self::NoValidator,
        Self::WeakValidator,
        Self::OtherValidator,
        Self::OtherCoding,
        Self::SeveralParts,
        Self::NoContentRange,
        Self::MalformedContentRange,
        Self::WrongStart,
        Self::WrongEnd,
        Self::WrongTotal,
        Self::WrongLength,
        Self::NothingNew,
        Self::TooFarToSkip,
        Self::OtherBytes,
        Self::TooManyBytes,
    ];

    /// The stable code, for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    #[rustfmt::skip]
    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Status => ("status", "neither 206 nor 200 nor 416"),
            Self::NoValidator => ("no-validator", "nothing says that it is of the same representation"),
            Self::WeakValidator => ("weak-validator", "its ETag is weak"),
            Self::OtherValidator => ("other-validator", "it is of another representation"),
            Self::OtherCoding => ("other-coding", "it is coded in another way"),
            Self::SeveralParts => ("several-parts", "several parts in one answer"),
            Self::NoContentRange => ("no-content-range", "it doesn't say which part it is"),
            Self::MalformedContentRange => ("malformed-content-range", "its Content-Range can't be read"),
            Self::WrongStart => ("wrong-start", "it begins elsewhere than asked"),
            Self::WrongEnd => ("wrong-end", "it goes on behind the end that was asked for"),
            Self::WrongTotal => ("wrong-total", "another total length than before"),
            Self::WrongLength => ("wrong-length", "its length isn't that of what it says to be"),
            Self::NothingNew => ("nothing-new", "nothing but what was delivered already"),
            Self::TooFarToSkip => ("too-far-to-skip", "the whole in place of a part, and too much to read once more"),
            Self::OtherBytes => ("other-bytes", "other bytes than those that were delivered"),
            Self::TooManyBytes => ("too-many-bytes", "more bytes than it announced"),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().1)
    }
}

impl core::error::Error for Mismatch {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_reason_is_listed_once_and_has_a_code_of_its_own() {
        assert!(Mismatch::ALL.iter().enumerate().all(|(place, why)| *why as usize == place));
        assert_eq!(Mismatch::TooManyBytes as usize + 1, Mismatch::ALL.len());
        let codes: BTreeSet<_> = Mismatch::ALL.iter().map(|why| why.code()).collect();
        assert_eq!(codes.len(), Mismatch::ALL.len());
    }
}
