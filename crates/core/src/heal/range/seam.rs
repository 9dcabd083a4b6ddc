//! Where an answer continues another one: what it has at its beginning that was delivered before.

use super::Mismatch;
use super::tail::Tail;

/// What is left of a resumed answer's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seam {
    /// To be passed over, since nothing is known of it any more.
    skip: u64,
    /// To be compared with the end of what was delivered.
    overlap: usize,
}

impl Seam {
    /// Of an answer that continues nothing.
    pub(super) const NONE: Self = Self { skip: 0, overlap: 0 };

    pub(super) const fn new(skip: u64, overlap: usize) -> Self {
        Self { skip, overlap }
    }

    pub(super) const fn is_passed(self) -> bool {
        self.skip == 0 && self.overlap == 0
    }

    /// How many bytes at the beginning of a piece were delivered before.
    pub(super) fn pass(&mut self, piece: &[u8], tail: &Tail) -> Result<usize, Mismatch> {
        let skipped = usize::try_from(self.skip).map_or(piece.len(), |skip| skip.min(piece.len()));
        let rest = &piece[skipped..];
        let compared = self.overlap.min(rest.len());
        if !tail.matches(self.overlap, &rest[..compared]) {
            return Err(Mismatch::OtherBytes);
        }
        self.skip -= skipped as u64;
        self.overlap -= compared;
        Ok(skipped + compared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(bytes: &[u8]) -> Tail {
        let mut tail = Tail::default();
        tail.push(bytes);
        tail
    }

    #[test]
    fn old_bytes_are_told_from_new_ones_however_they_are_cut() {
        let tail = tail(b"abcdef");
        for size in 1..12 {
            let mut seam = Seam::new(3, 4);
            let (mut old, mut at) = (0, 0);
            for piece in b"???cdefghij".chunks(size) {
                let passed = seam.pass(piece, &tail);
                assert_eq!(passed, Ok(7_usize.saturating_sub(at).min(piece.len())), "{size}");
                at += piece.len();
                old += passed.unwrap_or(0);
                assert_eq!(seam.is_passed(), old == 7, "{size}");
            }
            assert_eq!(old, 7);
        }
    }

    #[test]
    fn a_wrong_byte_is_found_at_each_place_of_the_overlap_and_nowhere_else() {
        let tail = tail(b"abcdef");
        for place in 0..10 {
            let mut bytes = *b"??cdefghij";
            bytes[place] = b'!';
            for size in 1..12 {
                let mut seam = Seam::new(2, 4);
                let passed =
                    bytes.chunks(size).try_for_each(|piece| seam.pass(piece, &tail).map(drop));
                assert_eq!(passed.is_err(), (2..6).contains(&place), "{place} {size}");
            }
        }
    }

    #[test]
    fn where_nothing_is_continued_all_is_new() {
        let mut seam = Seam::NONE;
        assert!(seam.is_passed());
        assert_eq!(seam.pass(b"abc", &Tail::default()), Ok(0));
    }
}
