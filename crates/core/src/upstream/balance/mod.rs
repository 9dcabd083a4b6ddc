//! Choosing among the endpoints of a tier: the tables that the policies draw from, made once per generation.
//!
//! Each table answers in a time that doesn't grow with the number of endpoints (the ring: with its logarithm). None knows
//! whether an endpoint is usable; `pick` asks again, a bounded number of times, when it isn't.

mod alias;
mod order;
mod ring;

use alloc::boxed::Box;

pub(super) use alias::{Alias, Drawn};
pub(super) use order::Order;
pub(super) use ring::{Ring, mixed};

use super::settings::Balance;
use crate::chance::Chance;

/// An endpoint of a tier, as the tables need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member<'a> {
    pub(super) id: u16,
    pub(super) name: &'a str,
    pub(super) weight: u16,
}

/// The table of one tier, by its policy.
#[derive(Debug)]
pub(super) enum Table {
    /// Two are drawn by weight, and the cheaper one is taken.
    Two(Alias),
    /// One after the other.
    Turns(Order),
    /// By hash.
    Ring(Ring),
}

impl Table {
    pub(super) fn new(balance: Balance, members: &[Member<'_>], chance: &mut Chance) -> Self {
        match balance {
            Balance::PeakEwma | Balance::LeastRequest => Self::Two(Alias::new(members)),
            Balance::RoundRobin => Self::Turns(Order::new(members, chance)),
            Balance::ConsistentHash => Self::Ring(Ring::new(members)),
        }
    }
}

/// Ids in the order of the members.
fn ids(members: &[Member<'_>]) -> Box<[u16]> {
    members.iter().map(|member| member.id).collect()
}
