//! Chance for live traffic: one generator a thread, seeded differently in each.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use mainstay_core::Chance;

thread_local! {
    static CHANCE: RefCell<Chance> = RefCell::new(Chance::from_seed(seed()));
}

/// Lends the thread's generator to `use_it`, which must not ask for it again.
pub(crate) fn with_chance<T>(use_it: impl FnOnce(&mut Chance) -> T) -> T {
    CHANCE.with_borrow_mut(use_it)
}

/// A generator of one's own, for what lasts longer than a call's decision.
#[must_use]
pub fn fresh_chance() -> Chance {
    Chance::from_seed(with_chance(Chance::next_u64))
}

/// A number that differs from thread to thread and from run to run: the hash of nothing under the standard
/// library's random keys.
pub(crate) fn seed() -> u64 {
    RandomState::new().hash_one(())
}
