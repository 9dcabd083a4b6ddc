//! Examples of what was counted: one call, by its trace and its id.
//!
//! The latest of each series is kept, of calls that can be looked up: those in which something broke, and those that are exported
//! as spans. So a healthy call that isn't sampled has nothing to do with it.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::time::nanos;
use parking_lot::Mutex;

use super::histogram::{BUCKETS, bucket_of};
use crate::CallId;

/// A call that stands for what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exemplar {
    pub(crate) call: CallId,
    /// Its trace and span, if its spans are exported.
    pub(crate) trace: Option<([u8; 16], [u8; 8])>,
    /// What was measured, in nanoseconds; of a counter the length of what it counts.
    pub(crate) took_nanos: u64,
    pub(crate) unix_ms: u64,
}

/// The latest of each bucket of a histogram.
#[derive(Debug, Default)]
pub(crate) struct BucketExemplars(Mutex<[Option<Exemplar>; BUCKETS]>);

/// The latest of each series of a counter, by its labels' values.
#[derive(Debug)]
pub(crate) struct KeyedExemplars<K>(Mutex<BTreeMap<K, Exemplar>>);

impl Exemplar {
    pub(crate) fn took(self, took: Duration) -> Self {
        Self { took_nanos: nanos(took), ..self }
    }

    pub(crate) const fn seconds(&self) -> f64 {
        Duration::from_nanos(self.took_nanos).as_secs_f64()
    }
}

impl BucketExemplars {
    pub(crate) fn keep(&self, exemplar: Exemplar) {
        if let Some(place) = self.0.lock().get_mut(bucket_of(exemplar.took_nanos)) {
            *place = Some(exemplar);
        }
    }

    pub(crate) fn all(&self) -> [Option<Exemplar>; BUCKETS] {
        *self.0.lock()
    }
}

impl<K: Ord + Clone> KeyedExemplars<K> {
    pub(crate) fn keep(&self, key: K, exemplar: Exemplar) {
        self.0.lock().insert(key, exemplar);
    }

    pub(crate) fn all(&self) -> BTreeMap<K, Exemplar> {
        self.0.lock().clone()
    }
}

impl<K> Default for KeyedExemplars<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
