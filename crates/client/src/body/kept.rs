//! The part of a body that is kept in memory.

use bytes::Bytes;

use super::room::Share;

/// The first pieces of a body, without a gap, as they were read.
pub(super) struct Kept {
    /// Each with the place of its first byte.
    pieces: Vec<(u64, Bytes)>,
    len: u64,
    most_bytes: u64,
    share: Share,
}

impl Kept {
    /// None yet, and never more than `most_bytes`, nor than `share` can take.
    pub(super) const fn new(most_bytes: u64, share: Share) -> Self {
        Self { pieces: Vec::new(), len: 0, most_bytes, share }
    }

    /// Keeps what there is room for of the next piece, and leaves the rest.
    pub(super) fn fill(&mut self, piece: &mut Bytes) {
        let fits = (piece.len() as u64).min(self.most_bytes - self.len);
        if fits > 0 && self.share.take(fits) {
            self.pieces.push((self.len, piece.split_to(fits as usize)));
            self.len += fits;
        }
    }

    /// How many bytes there are.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// What comes at `place`; nothing from its end on.
    pub(super) fn at(&self, place: u64) -> Option<Bytes> {
        if place >= self.len {
            return None;
        }
        let found = self.pieces.partition_point(|(start, _)| *start <= place).checked_sub(1)?;
        let (start, piece) = self.pieces.get(found)?;
        Some(piece.slice((place - start) as usize..))
    }

    pub(super) fn clear(&mut self) {
        (self.pieces, self.len) = (Vec::new(), 0);
        self.share.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::Room;
    use super::*;

    /// What is left of `piece`.
    fn fill(kept: &mut Kept, piece: &'static str) -> Bytes {
        let mut piece = Bytes::from_static(piece.as_bytes());
        kept.fill(&mut piece);
        piece
    }

    #[test]
    fn pieces_are_found_by_any_of_their_bytes() {
        let mut kept = Kept::new(10, Room::new(100).share());
        for piece in ["abc", "", "d", "efgh"] {
            assert_eq!(fill(&mut kept, piece), "");
        }
        assert_eq!(kept.len(), 8);
        let wanted = ["abc", "bc", "c", "d", "efgh", "fgh", "gh", "h"];
        for (place, wanted) in (0..).zip(wanted) {
            assert_eq!(kept.at(place), Some(Bytes::from_static(wanted.as_bytes())));
        }
        assert_eq!(kept.at(8), None);
        assert_eq!(kept.at(9), None);
    }

    #[test]
    fn memory_of_the_body_is_filled_to_its_last_byte() {
        let room = Room::new(100);
        let mut kept = Kept::new(5, room.share());
        assert_eq!(fill(&mut kept, "abc"), "");
        assert_eq!(fill(&mut kept, "def"), "f");
        assert_eq!(fill(&mut kept, "g"), "g");
        assert_eq!((kept.len(), room.free_bytes()), (5, 95));
        kept.clear();
        assert_eq!((kept.at(0), room.free_bytes()), (None, 100));
    }

    #[test]
    fn what_others_have_taken_isnt_there() {
        let mut kept = Kept::new(5, Room::new(2).share());
        assert_eq!(fill(&mut kept, "abc"), "abc");
        assert_eq!(fill(&mut kept, "ab"), "");
    }
}
