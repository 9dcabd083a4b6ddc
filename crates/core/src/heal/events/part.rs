//! What goes on to the application, piece by piece.

use alloc::vec::Vec;
use core::ops::Range;

use super::splitter::Source;

/// Bytes for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where they lie.
    pub source: Source,
    /// What they are.
    pub kind: PartKind,
}

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// One whole block.
    Block,
    /// A part of a block that is too long to be kept back.
    Fragment,
    /// The mark that a stream may begin with (U+FEFF).
    Mark,
}

/// The parts of a piece, those together that lie together: a piece that is passed on whole is one range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts(Vec<Source>);

impl Parts {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds what comes next.
    pub fn push(&mut self, source: Source) {
        match (self.0.last_mut(), &source) {
            (Some(Source::Piece(before)), Source::Piece(Range { start, end }))
                if before.end == *start =>
            {
                before.end = *end;
            }
            _ => self.0.push(source),
        }
    }

    /// The parts, in order.
    #[must_use]
    pub fn into_inner(self) -> Vec<Source> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_together_is_one_range() {
        let mut parts = Parts::new();
        for range in [0..5, 5..9, 12..15, 15..20] {
            parts.push(Source::Piece(range));
        }
        parts.push(Source::Own(b"x".to_vec()));
        parts.push(Source::Piece(20..21));
        let wanted = [
            Source::Piece(0..9),
            Source::Piece(12..20),
            Source::Own(b"x".to_vec()),
            Source::Piece(20..21),
        ];
        assert_eq!(parts.into_inner(), wanted);
    }
}
