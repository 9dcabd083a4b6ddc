//! Counters that each thread has to itself, as far as possible.
//!
//! An atomic addition costs 2 ns while one thread does it and several times that when the cache line wanders between
//! cores. So what every healthy call counts exists eight times, each on cache lines of its own, and a thread keeps to
//! one of them; readers add them up.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One per core on the machines that this runs on; with more cores some share, which is correct, only slower.
const SHARDS: usize = 8;

/// One value per shard.
#[derive(Debug, Default)]
pub(crate) struct Sharded<T>([Padded<T>; SHARDS]);

/// Two cache lines: some processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T> Sharded<T> {
    /// The value of this thread's shard.
    pub(crate) fn mine(&self) -> &T {
        &self.0[place()].0
    }

    /// The values of all shards.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }
}

/// This thread's shard, chosen in turn when it first asks.
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    const NONE: usize = usize::MAX;
    thread_local! {
        static PLACE: Cell<usize> = const { Cell::new(NONE) };
    }
    PLACE.with(|place| {
        if place.get() == NONE {
            place.set(NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        // Tells the compiler that the index is in range.
        place.get() % SHARDS
    })
}
