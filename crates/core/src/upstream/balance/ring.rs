//! Consistent hashing: each endpoint owns about a hundred points on a ring per unit of weight, and a key belongs to
//! the first point at or after its hash (Karger and others, 1997; libketama).
//!
//! Points are made from the endpoint's name by a hash that is fixed here, so all instances and all releases agree.
//! The points of an endpoint are the first n of one endless row: when n changes because the ring is full, points
//! are added or taken away at the end of the row, and hardly a key moves.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Member;

/// The ring of a tier.
#[derive(Debug)]
pub(in crate::upstream) struct Ring {
    /// In rising order.
    points: Box<[u64]>,
    /// Who owns the point at the same place.
    owners: Box<[u16]>,
    /// For each part of the circle, the first point in it or after it. There are as many parts as points, so the search
    /// that is left is about one step, however large the ring.
    first_in: Box<[u32]>,
    /// By how many bits a hash is shifted to give its part.
    part_bits: u32,
}

impl Ring {
    pub(super) fn new(members: &[Member<'_>]) -> Self {
        let total: u64 = members.iter().map(|member| u64::from(member.weight)).sum();
        let mut points = Vec::new();
        for member in members {
            let seed = name_hash(member.name);
            points
                .extend((0..points_of(member.weight, total)).map(|n| (point(seed, n), member.id)));
        }
        points.sort_unstable();
        let (points, owners): (Vec<u64>, Vec<u16>) = points.into_iter().unzip();
        let parts = points.len().next_power_of_two().max(2) as u64;
        let part_bits = 64 - parts.trailing_zeros();
        let first_in = (0..parts)
            .map(|part| points.partition_point(|&point| point >> part_bits < part) as u32)
            .collect();
        Self { points: points.into(), owners: owners.into(), first_in, part_bits }
    }

    /// The owners from the hash on, clockwise, all around.
    #[inline]
    pub(in crate::upstream) fn from(&self, hash: u64) -> impl Iterator<Item = u16> + '_ {
        let (before, after) = self.owners.split_at(self.place(mixed(hash)));
        after.iter().chain(before).copied()
    }
}

impl Ring {
    /// The place of the first point at or after `hash`; past the end if there is none.
    #[inline]
    fn place(&self, hash: u64) -> usize {
        let from =
            self.first_in.get((hash >> self.part_bits) as usize).map_or(0, |&it| it as usize);
        let steps = self.points.iter().skip(from).take_while(|&&point| point < hash).count();
        from + steps
    }
}

/// A hundred per unit of weight, fewer when the ring would get too large, at least one.
fn points_of(weight: u16, total: u64) -> u64 {
    let wanted = POINTS * u64::from(weight);
    if POINTS * total <= MOST_POINTS {
        wanted
    } else {
        (u64::from(weight) * MOST_POINTS / total).max(1)
    }
}

fn point(seed: u64, n: u64) -> u64 {
    mixed(seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// FNV-1a over the name's bytes (Fowler, Noll and Vo).
fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Spreads a hash over all 64 bits, so that keys with a weak hash (a counter, say) don't cluster. The finaliser of
/// MurmurHash3 (Appleby).
#[inline]
pub(in crate::upstream) fn mixed(hash: u64) -> u64 {
    let mut z = hash;
    z = (z ^ (z >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    z = (z ^ (z >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    z ^ (z >> 33)
}

/// With a hundred points the largest of ten endpoints gets about 20 % more than its share; ten times as many would
/// bring it to 6 % and cost ten times the memory.
const POINTS: u64 = 100;

/// 900 KiB a tier.
const MOST_POINTS: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec;

    fn ring(names: &[&str], weight: u16) -> Ring {
        let members: Vec<_> = names
            .iter()
            .enumerate()
            .map(|(id, name)| Member { id: id as u16, name, weight })
            .collect();
        Ring::new(&members)
    }

    fn owner(ring: &Ring, key: u64) -> u16 {
        ring.from(key).next().expect("not empty")
    }

    #[test]
    fn the_same_key_goes_to_the_same_endpoint_in_every_release() {
        // These change only with the hash function, and then every cache behind every instance is cold.
        let ring = ring(&["a", "b", "c"], 1);
        let owners: Vec<u16> = (0..12).map(|key| owner(&ring, key)).collect();
        assert_eq!(owners, [0, 0, 0, 0, 1, 2, 0, 2, 0, 2, 0, 0]);
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let members = [("a", 1), ("b", 2), ("c", 1)];
        let members: Vec<_> = members
            .iter()
            .zip(0..)
            .map(|(&(name, weight), id)| Member { id, name, weight })
            .collect();
        let ring = Ring::new(&members);
        let mut hits = [0_u32; 3];
        (0..40_000).for_each(|key| hits[usize::from(owner(&ring, key))] += 1);
        assert!((7_000..13_000).contains(&hits[0]), "{hits:?}");
        assert!((16_000..24_000).contains(&hits[1]), "{hits:?}");
    }

    #[test]
    fn another_endpoint_takes_its_share_and_no_more() {
        let names: Vec<String> = (0..10).map(|n| std::format!("endpoint {n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (before, after) = (ring(&names[..9], 1), ring(&names, 1));
        let moved: Vec<u16> = (0..20_000)
            .filter(|&key| owner(&before, key) != owner(&after, key))
            .map(|key| owner(&after, key))
            .collect();
        assert!(moved.iter().all(|&id| id == 9), "keys moved between others");
        assert!((1_400..2_600).contains(&moved.len()), "{} of 20000", moved.len());
    }

    #[test]
    fn a_full_ring_moves_little_more_than_the_share() {
        let names: Vec<String> = (0..11).map(|n| std::format!("endpoint {n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (before, after) = (ring(&names[..10], 1000), ring(&names, 1000));
        assert!(after.points.len() <= 1 << 16);
        let moved = (0..20_000).filter(|&key| owner(&before, key) != owner(&after, key)).count();
        assert!((1_500..3_600).contains(&moved), "{moved} of 20000");
    }

    #[test]
    fn every_hash_finds_the_first_point_at_or_after_it() {
        let ring = ring(&["a", "b", "c"], 7);
        let hashes = ring.points.iter().flat_map(|&point| [point - 1, point, point + 1]);
        for hash in hashes.chain([0, u64::MAX]) {
            assert_eq!(ring.place(hash), ring.points.partition_point(|&point| point < hash));
        }
    }

    #[test]
    fn the_ring_is_walked_all_around_once() {
        let ring = ring(&["a", "b"], 1);
        let mut walked = vec![0; 2];
        ring.from(u64::MAX / 2).for_each(|id| walked[usize::from(id)] += 1);
        assert_eq!(walked, [100, 100]);
    }
}
