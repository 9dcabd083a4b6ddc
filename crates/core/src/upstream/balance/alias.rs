//! Drawing by weight in constant time: Walker's alias method, with Vose's way to build the table (Vose, "A linear
//! algorithm for generating random numbers with a given distribution", 1991).
//!
//! The table has a column for each member. A draw takes a column evenly, and in it either the column's own member or
//! the other one that fills it up.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Member;

/// A table to draw members from.
#[derive(Debug)]
pub(in crate::upstream) struct Alias {
    columns: Box<[Column]>,
    /// Whether all weights are the same, so that each column is filled by its own member.
    even: bool,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// Below it, in 2^-32, the draw is the column's own member.
    own_below: u32,
    own: u16,
    other: u16,
}

/// What was drawn.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) struct Drawn {
    pub(in crate::upstream) id: u16,
    column: u32,
}

impl Alias {
    pub(super) fn new(members: &[Member<'_>]) -> Self {
        let count = members.len() as u64;
        let total: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
        let even = members.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        // Weight × count is compared with the total, so everything stays exact in whole numbers.
        let mut fill: Vec<u64> = members.iter().map(|m| u64::from(m.weight) * count).collect();
        let mut columns: Vec<Column> = members
            .iter()
            .map(|member| Column { own_below: u32::MAX, own: member.id, other: member.id })
            .collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..members.len()).partition(|&column| fill[column] < total);
        while let (Some(&under), Some(&over)) = (small.last(), large.last()) {
            small.pop();
            columns[under].own_below = ((fill[under] << 32) / total.max(1)) as u32;
            columns[under].other = members[over].id;
            fill[over] -= total - fill[under];
            if fill[over] < total {
                large.pop();
                small.push(over);
            }
        }
        Self { columns: columns.into(), even }
    }

    pub(in crate::upstream) fn len(&self) -> usize {
        self.columns.len()
    }

    /// Draws one by weight; `bits` are random. `None` from an empty table.
    #[inline]
    pub(in crate::upstream) fn draw(&self, bits: u64) -> Option<Drawn> {
        let column = below(bits, self.columns.len() as u64);
        let Column { own_below, own, other } = *self.columns.get(column as usize)?;
        let id = if (bits as u32) < own_below { own } else { other };
        Some(Drawn { id, column })
    }

    /// Draws a second one. With even weights it is another than the first for certain; else it may be the same, and
    /// the caller draws again: what can't be another is then as likely as the weights make it.
    #[inline]
    pub(in crate::upstream) fn draw_second(&self, first: Drawn, bits: u64) -> Option<Drawn> {
        if !self.even {
            return self.draw(bits);
        }
        let others = (self.columns.len() as u64).checked_sub(1)?;
        let column = below(bits, others);
        let column = if column >= first.column { column + 1 } else { column };
        Some(Drawn { id: self.columns.get(column as usize)?.own, column })
    }
}

/// A number below `bound`, from the upper half of `bits`.
#[inline]
fn below(bits: u64, bound: u64) -> u32 {
    (((bits >> 32) * bound) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use std::vec;

    fn alias(weights: &[u16]) -> Alias {
        let members: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(id, &weight)| Member { id: id as u16, name: "", weight })
            .collect();
        Alias::new(&members)
    }

    /// Each member's share of many draws is its share of the weight, within half a percent.
    #[track_caller]
    fn check(weights: &[u16]) {
        let (alias, mut chance) = (alias(weights), Chance::from_seed(1));
        let mut hits = vec![0_u32; weights.len()];
        let draws = 400_000;
        for _ in 0..draws {
            hits[usize::from(alias.draw(chance.next_u64()).expect("not empty").id)] += 1;
        }
        let total: u32 = weights.iter().map(|&weight| u32::from(weight)).sum();
        for (&weight, &hits) in weights.iter().zip(&hits) {
            let (want, got) =
                (f64::from(weight) / f64::from(total), f64::from(hits) / f64::from(draws));
            assert!((want - got).abs() < 0.005, "{weight} of {total}: {got}");
        }
    }

    #[test]
    fn members_are_drawn_by_weight() {
        check(&[1]);
        check(&[7, 7, 7]);
        check(&[9, 1]);
        check(&[1, 2, 3, 4, 1000]);
        check(&[1000, 999, 1, 1, 500]);
    }

    #[test]
    fn the_second_of_even_weights_is_always_another() {
        let (alias, mut chance) = (alias(&[1, 1, 1]), Chance::from_seed(2));
        for _ in 0..1000 {
            let first = alias.draw(chance.next_u64()).expect("not empty");
            let second = alias.draw_second(first, chance.next_u64()).expect("there are others");
            assert_ne!(first.id, second.id);
        }
    }

    #[test]
    fn where_there_is_no_second_none_is_drawn() {
        let alone = alias(&[5]);
        let first = alone.draw(0).expect("one");
        assert!(alone.draw_second(first, 0).is_none());
        assert!(alias(&[]).draw(0).is_none());
    }
}
