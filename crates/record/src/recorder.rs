//! Where all events meet.

use std::sync::Arc;

use mainstay_core::{Event, Timestamp};

use crate::{CallTag, CallTrace};

/// Counts, keeps and publishes what happens, for the whole process.
#[derive(Debug)]
pub struct Recorder {}

/// The recorder's part for one upstream: metric handles made once, found again by name after a reload.
#[derive(Debug)]
pub struct UpstreamRecorder {}

impl Recorder {
    /// A recorder with nothing counted.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self {})
    }

    /// The part for an upstream with these endpoints, in the order of their ids.
    #[must_use]
    pub fn upstream(self: &Arc<Self>, name: &str, endpoints: &[&str]) -> Arc<UpstreamRecorder> {
        let _ = (name, endpoints);
        Arc::new(UpstreamRecorder {})
    }
}

impl UpstreamRecorder {
    /// Takes in one event of a call as it happens.
    pub fn on_call_event(&self, trace: &mut CallTrace, at: Timestamp, event: Event) {
        let _ = (trace, at, event);
    }

    /// The call is over: writes its record if it met a break.
    pub fn on_call_over(&self, tag: &CallTag, trace: CallTrace) {
        let _ = (tag, trace);
    }

    /// Takes in an event of the upstream itself: ejections, health.
    pub fn on_upstream_event(&self, at: Timestamp, event: Event) {
        let _ = (at, event);
    }
}
