//! The draft of what is said about answers that break.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::heal::range::RangeSettings;
use mainstay_core::heal::{HealSettings, HoldSettings, RateFloor};

use super::EventsDraft;

/// `[heal]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealDraft {
    /// Bytes; `None` switches holding off.
    pub(crate) hold: Option<u64>,
    pub(crate) hold_for: Duration,
    pub(crate) resume_within: Option<Duration>,
    pub(crate) validators: Vec<String>,
    pub(crate) skip: u64,
    pub(crate) events: EventsDraft,
    /// Bytes a second; `None` for no floor.
    pub(crate) min_rate: Option<u64>,
    pub(crate) min_rate_window: Duration,
}

impl HealDraft {
    pub(super) fn of(heal: &HealSettings) -> Self {
        let (hold, floor) = (heal.hold, heal.floor);
        Self {
            hold: hold.map(|hold| hold.bytes),
            hold_for: hold.unwrap_or_default().time,
            resume_within: heal.resume_within,
            validators: heal.ranges.as_good_as_tag.clone(),
            skip: heal.ranges.skip_limit_bytes,
            events: EventsDraft::of(&heal.events),
            min_rate: floor.map(|floor| floor.bytes_a_second),
            min_rate_window: floor.unwrap_or_default().window,
        }
    }

    pub(super) fn settings(&self) -> HealSettings {
        HealSettings {
            hold: self.hold.map(|bytes| HoldSettings { bytes, time: self.hold_for }),
            resume_within: self.resume_within,
            ranges: RangeSettings {
                as_good_as_tag: self.validators.clone(),
                skip_limit_bytes: self.skip,
            },
            events: Arc::new(self.events.checked()),
            floor: self
                .min_rate
                .map(|bytes_a_second| RateFloor { bytes_a_second, window: self.min_rate_window }),
        }
    }
}
