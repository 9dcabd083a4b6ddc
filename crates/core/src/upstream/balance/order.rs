//! One after the other, by weight: a fixed order of turns, as evenly spread as weights allow, and one counter.
//!
//! The order is that of stride scheduling (Waldspurger, 1995): the k-th turn of a member with weight w is due at
//! (k + p) / w, and turns are taken as they are due. Each member has a p of its own, or all of the light ones would
//! come at once. So 5:1:1 gives A B A A A C A rather than five times A.

use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{Member, ids};
use crate::chance::Chance;

/// The turns of a tier.
#[derive(Debug)]
pub(in crate::upstream) struct Order {
    turns: Box<[u16]>,
    next: Apart,
}

/// A counter that all threads write stands on a cache line of its own, away from what they only read.
#[derive(Debug)]
#[repr(align(64))]
struct Apart(AtomicUsize);

impl Order {
    /// Starts anywhere, so that many instances don't begin with the same endpoint.
    pub(super) fn new(members: &[Member<'_>], chance: &mut Chance) -> Self {
        let weights = bounded(members);
        let turns = if weights.iter().all(|&weight| weight == 1) {
            ids(members)
        } else {
            spread(members, &weights)
        };
        let start = chance.below(turns.len() as u64) as usize;
        Self { turns, next: Apart(AtomicUsize::new(start)) }
    }

    pub(in crate::upstream) fn len(&self) -> usize {
        self.turns.len()
    }

    /// Whose turn it is. Each call moves on by one, so those who skip an endpoint don't all meet the same next one.
    #[inline]
    pub(in crate::upstream) fn take(&self) -> Option<u16> {
        let turn = self.next.0.fetch_add(1, Relaxed).checked_rem(self.turns.len())?;
        self.turns.get(turn).copied()
    }
}

/// The turns by the time they are due; of those due at once, the first member goes first.
fn spread(members: &[Member<'_>], weights: &[u64]) -> Box<[u16]> {
    let total: u64 = weights.iter().sum();
    let due = |turn: u64, place: usize| ((turn << 32) + phase(place)) / weights[place];
    let mut heap: BinaryHeap<Reverse<(u64, usize, u64)>> =
        (0..members.len()).map(|place| Reverse((due(0, place), place, 0))).collect();
    let mut turns = Vec::with_capacity(total as usize);
    while turns.len() < total as usize {
        let Some(Reverse((_, place, turn))) = heap.pop() else { break };
        turns.push(members[place].id);
        heap.push(Reverse((due(turn + 1, place), place, turn + 1)));
    }
    turns.into()
}

/// Where in its stride a member's turns lie, in 2^-32: multiples of the golden ratio, which never come close to
/// each other.
fn phase(place: usize) -> u64 {
    ((1 << 31) + (place as u64).wrapping_mul(0x9e37_79b9)) & 0xffff_ffff
}

/// The weights in their smallest whole numbers, or in smaller ones yet if the order would be too long.
fn bounded(members: &[Member<'_>]) -> Vec<u64> {
    let divisor = members.iter().fold(0, |sum, member| common_divisor(sum, member.weight.into()));
    let weights: Vec<u64> =
        members.iter().map(|member| u64::from(member.weight) / divisor.max(1)).collect();
    let total: u64 = weights.iter().sum();
    if total <= MOST_TURNS {
        return weights;
    }
    weights.into_iter().map(|weight| (weight * MOST_TURNS / total).max(1)).collect()
}

fn common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Beyond it, weights are rounded: 8 KiB a tier, and four turns for each of a thousand endpoints. With each at least one, an
/// order has at most this many plus one for each endpoint.
const MOST_TURNS: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn order(weights: &[u16]) -> Order {
        let members: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(id, &weight)| Member { id: id as u16, name: "", weight })
            .collect();
        Order::new(&members, &mut Chance::from_seed(1))
    }

    #[track_caller]
    fn check(weights: &[u16], turns: &str) {
        let shown: String =
            order(weights).turns.iter().map(|&id| char::from(b'A' + id as u8)).collect();
        assert_eq!(shown, turns);
    }

    #[test]
    fn turns_are_spread_as_evenly_as_the_weights_allow() {
        check(&[1, 1, 1], "ABC");
        check(&[500, 500], "AB");
        check(&[5, 1, 1], "ABAAACA");
        check(&[4, 2], "BAA");
    }

    #[test]
    fn an_order_is_bounded_and_leaves_nobody_out() {
        let mut weights = std::vec![1000; 999];
        weights.push(1);
        let order = order(&weights);
        assert!(order.len() <= 4096 + 1000, "{}", order.len());
        assert!(order.turns.contains(&999));
    }

    #[test]
    fn each_take_moves_on_by_one() {
        let order = order(&[2, 1]);
        let taken: Vec<u16> = (0..6).filter_map(|_| order.take()).collect();
        assert_eq!(taken[..3], taken[3..]);
        assert_eq!(taken.iter().filter(|&&id| id == 0).count(), 4);
    }
}
