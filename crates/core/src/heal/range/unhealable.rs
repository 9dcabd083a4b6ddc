//! Why an answer can't be healed if it breaks.

use core::fmt;

/// Why an answer can't be healed if it breaks. The set is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unhealable {
    /// Not asked for by GET: `Range` is defined for no other method.
    Method,
    /// The request had content, and nobody says what a range of an answer to that is.
    RequestContent,
    /// Neither 200 nor 206.
    Status,
    /// A 206 to a request that didn't ask for a part.
    UnaskedPart,
    /// Several parts in one answer (`multipart/byteranges`).
    SeveralParts,
    /// A 206 that doesn't say, or not in a way that can be read, which part it is.
    UnknownPart,
    /// Its length isn't that of the part that it says to be.
    Length,
    /// It announces trailers.
    Trailers,
    /// Nothing identifies the representation.
    NoValidator,
    /// Its `ETag` is weak: other bytes may have the same.
    WeakValidator,
    /// It is coded, and identified by a field that speaks of what was coded.
    Coded,
}

impl Unhealable {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Method,
        Self::RequestContent,
        Self::Status,
        Self::UnaskedPart,
        Self::SeveralParts,
        Self::UnknownPart,
        Self::Length,
        Self::Trailers,
        Self::NoValidator,
        Self::WeakValidator,
        Self::Coded,
    ];

    /// The stable code, for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    #[rustfmt::skip]
    const fn row(self) -> (&'static str, &'static str) {
        match self {
            Self::Method => ("method", "only an answer to GET can be continued"),
            Self::RequestContent => ("request-content", "the request had content"),
            Self::Status => ("status", "only a 200 or a 206 can be continued"),
            Self::UnaskedPart => ("unasked-part", "a 206 to a request that asked for no part"),
            Self::SeveralParts => ("several-parts", "several parts in one answer"),
            Self::UnknownPart => ("unknown-part", "a 206 with no Content-Range that can be read"),
            Self::Length => ("length", "its length isn't that of the part that it says to be"),
            Self::Trailers => ("trailers", "it announces trailers, and another answer's aren't its own"),
            Self::NoValidator => ("no-validator", "no strong ETag and no declared field identifies it"),
            Self::WeakValidator => ("weak-validator", "its ETag is weak, so that other bytes may have the same"),
            Self::Coded => ("coded", "it is coded, and only a declared field identifies it"),
        }
    }
}

impl fmt::Display for Unhealable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().1)
    }
}

impl core::error::Error for Unhealable {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_reason_is_listed_once_and_has_a_code_of_its_own() {
        assert!(Unhealable::ALL.iter().enumerate().all(|(place, why)| *why as usize == place));
        assert_eq!(Unhealable::Coded as usize + 1, Unhealable::ALL.len());
        let codes: BTreeSet<_> = Unhealable::ALL.iter().map(|why| why.code()).collect();
        assert_eq!(codes.len(), Unhealable::ALL.len());
    }
}
