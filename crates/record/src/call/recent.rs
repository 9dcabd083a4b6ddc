//! The last broken calls, so that whoever has a call's id can ask what happened to it.
//!
//! Two rings: one of all broken calls, one of those that failed. In an outage that retries mostly mask, thousands are
//! saved for each that failed, and it is the failed ones that are asked about.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::kept::KeptCall;
use super::record::CallRecord;
use crate::CallId;

/// Calls that each ring holds unless told otherwise: an outage's first seconds at a modest rate, in a few megabytes.
const CALLS: usize = 1_000;

/// Rings of broken calls.
#[derive(Debug)]
pub(crate) struct Recent(Mutex<Rings>);

#[derive(Debug)]
struct Rings {
    /// How many each holds at most.
    room: usize,
    /// The number of the next call: the order in which they came.
    next: u64,
    broken: Ring,
    failed: Ring,
}

/// Calls with their numbers, the newest last.
type Ring = VecDeque<(u64, Arc<KeptCall>)>;

impl Default for Recent {
    fn default() -> Self {
        Self(Mutex::new(Rings { room: CALLS, next: 0, broken: Ring::new(), failed: Ring::new() }))
    }
}

impl Recent {
    /// Keeps a call, and lets go of the oldest when there are too many.
    pub(crate) fn keep(&self, call: &Arc<KeptCall>) {
        let failed = call.is_failed();
        let mut rings = self.0.lock();
        let Rings { room, next, .. } = *rings;
        rings.next += 1;
        let mut gone = [None, None];
        if room > 0 {
            if failed {
                gone[0] = push(&mut rings.failed, room, (next, Arc::clone(call)));
            }
            gone[1] = push(&mut rings.broken, room, (next, Arc::clone(call)));
        }
        drop(rings);
        // Freed after the lock is.
        drop(gone);
    }

    /// Holds so many from now on.
    pub(crate) fn hold(&self, room: usize) {
        let mut rings = self.0.lock();
        rings.room = room;
        let Rings { broken, failed, .. } = &mut *rings;
        let gone = [broken, failed].map(|ring| {
            let surplus = ring.len().saturating_sub(room);
            ring.drain(..surplus).collect::<Vec<_>>()
        });
        drop(rings);
        drop(gone);
    }

    /// The records of all, the newest first. Records are made outside the lock.
    pub(crate) fn records(&self) -> Vec<CallRecord> {
        self.kept().iter().map(|call| call.record()).collect()
    }

    /// All, the newest first.
    pub(crate) fn kept(&self) -> Vec<Arc<KeptCall>> {
        let mut calls: Vec<_> = {
            let rings = self.0.lock();
            rings.broken.iter().chain(&rings.failed).cloned().collect()
        };
        calls.sort_unstable_by_key(|(number, _)| Reverse(*number));
        calls.dedup_by_key(|(number, _)| *number);
        calls.into_iter().map(|(_, call)| call).collect()
    }

    /// The record of this call, if it is still kept.
    pub(crate) fn find(&self, id: CallId) -> Option<CallRecord> {
        let found = {
            let rings = self.0.lock();
            let mut calls = rings.broken.iter().rev().chain(rings.failed.iter().rev());
            calls.find(|(_, call)| call.id() == id).cloned()
        };
        found.map(|(_, call)| call.record())
    }
}

fn push(ring: &mut Ring, room: usize, call: (u64, Arc<KeptCall>)) -> Option<(u64, Arc<KeptCall>)> {
    let oldest = if ring.len() >= room { ring.pop_front() } else { None };
    ring.push_back(call);
    oldest
}
