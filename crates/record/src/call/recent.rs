//! The last broken calls, so that whoever has a call's id can ask what happened to it.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use super::kept::KeptCall;
use super::record::CallRecord;
use crate::CallId;

/// Calls that are kept: an outage's first seconds at a modest rate, in about a megabyte.
const CALLS: usize = 1_000;

/// A ring of broken calls, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<VecDeque<Arc<KeptCall>>>);

impl Recent {
    /// Keeps a call, and lets go of the oldest when there are too many.
    pub(crate) fn keep(&self, call: Arc<KeptCall>) {
        let mut calls = self.0.lock();
        let oldest = if calls.len() >= CALLS { calls.pop_front() } else { None };
        calls.push_back(call);
        drop(calls);
        // Freed after the lock is.
        drop(oldest);
    }

    /// The records of all, the newest first. Records are made outside the lock.
    pub(crate) fn records(&self) -> Vec<CallRecord> {
        let calls: Vec<_> = self.0.lock().iter().rev().cloned().collect();
        calls.iter().map(|call| call.record()).collect()
    }

    /// The record of this call, if it is still kept.
    pub(crate) fn find(&self, id: CallId) -> Option<CallRecord> {
        let found = self.0.lock().iter().rev().find(|call| call.id() == id).cloned();
        found.map(|call| call.record())
    }
}
