//! A counter for each value of a closed set, and what was read off it.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::label::Label;

/// One atomic counter per value. For what is rare enough to be shared by all threads.
#[derive(Debug)]
pub(crate) struct Tally<L, const N: usize> {
    counts: [AtomicU64; N],
    of: PhantomData<fn(L)>,
}

/// What a [`Tally`] held when it was read.
#[derive(Clone, Debug)]
pub(crate) struct Sums<L, const N: usize> {
    counts: [u64; N],
    of: PhantomData<fn(L)>,
}

impl<L: Label, const N: usize> Tally<L, N> {
    /// Counts one.
    pub(crate) fn count(&self, label: L) {
        self.count_many(label, 1);
    }

    /// Counts several at once.
    pub(crate) fn count_many(&self, label: L, many: u64) {
        if let Some(count) = self.counts.get(label.place()) {
            count.fetch_add(many, Ordering::Relaxed);
        }
    }

    /// How often this was counted.
    pub(crate) fn of(&self, label: L) -> u64 {
        self.counts.get(label.place()).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Everything together.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Adds what is in here to `sums`.
    pub(crate) fn add_to(&self, sums: &mut Sums<L, N>) {
        for (sum, count) in sums.counts.iter_mut().zip(&self.counts) {
            *sum += count.load(Ordering::Relaxed);
        }
    }

    /// What is in here now.
    pub(crate) fn sums(&self) -> Sums<L, N> {
        let mut sums = Sums::default();
        self.add_to(&mut sums);
        sums
    }

    /// Adds counts that were read elsewhere.
    pub(crate) fn absorb(&self, sums: &Sums<L, N>) {
        for (label, count) in sums.iter() {
            self.count_many(label, count);
        }
    }
}

impl<L, const N: usize> Default for Tally<L, N> {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), of: PhantomData }
    }
}

impl<L: Label, const N: usize> Sums<L, N> {
    /// How often this was counted.
    pub(crate) fn of(&self, label: L) -> u64 {
        self.counts.get(label.place()).copied().unwrap_or(0)
    }

    /// Everything together.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Every value with its count, zeros too.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (L, u64)> {
        L::ALL.iter().copied().zip(self.counts.iter().copied())
    }

    /// The values that were ever counted.
    pub(crate) fn seen(&self) -> impl Iterator<Item = (L, u64)> {
        self.iter().filter(|(_, count)| *count > 0)
    }
}

impl<L, const N: usize> Default for Sums<L, N> {
    fn default() -> Self {
        Self { counts: [0; N], of: PhantomData }
    }
}
