//! What would be said for each write that fails is said once a second, with how often it would have been.

use std::time::Duration;

use mainstay_core::Timestamp;
use parking_lot::Mutex;

/// Something that is said seldom.
#[derive(Debug, Default)]
pub(crate) struct Seldom(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    last_at: Option<Timestamp>,
    /// Since then.
    unsaid: u64,
}

impl Seldom {
    /// It happened. How often since it was said last, this time included, if it is to be said now.
    pub(crate) fn happened(&self, now: Timestamp) -> Option<u64> {
        let mut said = self.0.lock();
        said.unsaid += 1;
        if said.last_at.is_some_and(|last_at| now.since(last_at) < EVERY) {
            return None;
        }
        said.last_at = Some(now);
        Some(std::mem::take(&mut said.unsaid))
    }
}

/// A person reads no faster.
const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_at_once_and_then_once_a_second_with_a_count() {
        let seldom = Seldom::default();
        let at = |millis: u64| seldom.happened(Timestamp::from_nanos(millis * 1_000_000));
        assert_eq!(at(5), Some(1));
        assert_eq!((at(6), at(1_004)), (None, None));
        assert_eq!(at(1_005), Some(3));
        assert_eq!(at(9_000), Some(1));
    }
}
