//! Failures in a row, in one atomic: the generation that they belong to, and how many.
//!
//! A success in the normal case only looks (there is nothing to reset), so calls that go well don't fight for the
//! cache line. The generation in the upper half forgets the failures of an earlier closed period by itself.

use super::sync::{ALONE, AtomicU32};

/// Counts failures in a row.
#[derive(Debug)]
pub(super) struct Streak(AtomicU32);

impl Streak {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// A call of this generation went well.
    #[inline]
    pub(super) fn end(&self, generation: u16) {
        let mut seen = self.0.load(ALONE);
        while failures(seen) > 0 && !is_late(generation, seen) {
            match self.0.compare_exchange_weak(seen, pack(generation, 0), ALONE, ALONE) {
                Ok(_) => return,
                Err(other) => seen = other,
            }
        }
    }

    /// A call of this generation failed: how many have now, one after the other. None for late news.
    pub(super) fn grow(&self, generation: u16) -> u16 {
        let mut seen = self.0.load(ALONE);
        loop {
            if is_late(generation, seen) {
                return 0;
            }
            let before = if owner(seen) == generation { failures(seen) } else { 0 };
            let now = before.saturating_add(1);
            match self.0.compare_exchange_weak(seen, pack(generation, now), ALONE, ALONE) {
                Ok(_) => return now,
                Err(other) => seen = other,
            }
        }
    }
}

fn pack(generation: u16, failures: u16) -> u32 {
    u32::from(generation) << 16 | u32::from(failures)
}

fn owner(bits: u32) -> u16 {
    (bits >> 16) as u16
}

fn failures(bits: u32) -> u16 {
    bits as u16
}

/// Whether a later generation than this has begun to count.
fn is_late(generation: u16, seen: u32) -> bool {
    (owner(seen).wrapping_sub(generation) as i16) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_ends_the_row() {
        let streak = Streak::new();
        assert_eq!([streak.grow(0), streak.grow(0)], [1, 2]);
        streak.end(0);
        assert_eq!(streak.grow(0), 1);
    }

    #[test]
    fn a_new_generation_starts_at_nothing_and_late_news_change_nothing() {
        let streak = Streak::new();
        assert_eq!([streak.grow(0), streak.grow(0)], [1, 2]);
        assert_eq!(streak.grow(3), 1);
        assert_eq!(streak.grow(0), 0);
        streak.end(0);
        assert_eq!(streak.grow(3), 2);
    }
}
