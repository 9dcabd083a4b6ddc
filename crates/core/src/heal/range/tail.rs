//! The last bytes that were delivered, kept to be compared.

use alloc::vec::Vec;

/// How many bytes are asked for once more and compared with what was delivered.
///
/// So many that a run of equal bytes of the usual kind, such as the padding of a tar archive, doesn't fill it; so few that it
/// costs less than the head of the request that asks for it, and a copy of some nanoseconds for each piece on the way.
pub const OVERLAP: usize = 512;

/// A ring of the last [`OVERLAP`] bytes. It takes memory with the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    bytes: Vec<u8>,
    /// Where the oldest byte is, once the ring is full. Zero before.
    oldest: usize,
}

impl Tail {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Copies no more than [`OVERLAP`] bytes.
    pub(super) fn push(&mut self, piece: &[u8]) {
        let last = &piece[piece.len().saturating_sub(OVERLAP)..];
        let room = OVERLAP - self.bytes.len();
        if room > 0 {
            self.bytes.reserve_exact(room);
        }
        let (filling, replacing) = last.split_at(last.len().min(room));
        self.bytes.extend_from_slice(filling);
        let (behind, before) = replacing.split_at(replacing.len().min(OVERLAP - self.oldest));
        self.bytes[self.oldest..][..behind.len()].copy_from_slice(behind);
        self.bytes[..before.len()].copy_from_slice(before);
        self.oldest = (self.oldest + replacing.len()) % OVERLAP;
    }

    /// Whether `bytes` are those that begin so many before the end.
    pub(super) fn matches(&self, before_end: usize, bytes: &[u8]) -> bool {
        let (newer, older) = self.bytes.split_at(self.oldest);
        let Some(from) = self.len().checked_sub(before_end) else { return false };
        let (front, back) = bytes.split_at(bytes.len().min(older.len().saturating_sub(from)));
        older[from.min(older.len())..].starts_with(front)
            && newer[from.saturating_sub(older.len())..].starts_with(back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(range: core::ops::Range<usize>) -> Vec<u8> {
        range.map(|number| (number % 251) as u8).collect()
    }

    #[test]
    fn it_is_the_end_of_what_was_pushed_however_it_was_cut() {
        let all = numbered(0..4 * OVERLAP);
        for sizes in [
            &[1][..],
            &[7, 300],
            &[OVERLAP],
            &[OVERLAP - 1, 1, 2],
            &[OVERLAP + 1],
            &[3 * OVERLAP],
            &[0, 500, 20],
        ] {
            let (mut tail, mut at) = (Tail::default(), 0);
            for size in sizes.iter().cycle().take(3_000) {
                let end = (at + size).min(all.len());
                tail.push(&all[at..end]);
                at = end;
                let kept = at.min(OVERLAP);
                assert_eq!(tail.len(), kept);
                assert!(tail.matches(kept, &all[at - kept..at]), "{sizes:?} at {at}");
                assert!(tail.matches(kept / 3, &all[at - kept / 3..at]), "{sizes:?} at {at}");
            }
            assert_eq!(at, all.len());
        }
    }

    #[test]
    fn any_part_of_it_can_be_compared_and_one_wrong_byte_is_seen() {
        let all = numbered(0..OVERLAP + 100);
        let mut tail = Tail::default();
        all.chunks(90).for_each(|piece| tail.push(piece));
        for before_end in [1, 99, 100, 101, 411, 412, 413, OVERLAP] {
            for length in [0, 1, before_end / 2, before_end] {
                let from = all.len() - before_end;
                let mut bytes = all[from..from + length].to_vec();
                assert!(tail.matches(before_end, &bytes), "{before_end} {length}");
                for place in 0..length {
                    bytes[place] ^= 1;
                    assert!(!tail.matches(before_end, &bytes), "{before_end} {length} {place}");
                    bytes[place] ^= 1;
                }
            }
        }
        assert!(
            !tail.matches(OVERLAP + 1, &[]) && !tail.matches(1, &all[all.len() - 1..].repeat(2))
        );
    }
}
