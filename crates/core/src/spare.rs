//! Spare connections: how many to open ahead of demand, and when not to.
//!
//! A connect costs a call one to three round trips; a spare one has paid for them before. What is kept ready is
//! replaced as it is taken. Where connecting fails the wait doubles, so that an endpoint that is down isn't knocked at by its
//! own reserve.

use core::time::Duration;

use crate::chance::Chance;
use crate::time::Timestamp;

/// Keeps count for one endpoint.
#[derive(Debug)]
pub struct Spares {
    wanted: u32,
    failures: u32,
    not_before: Timestamp,
}

impl Spares {
    /// Keeps so many ready.
    #[must_use]
    pub const fn new(wanted: u32) -> Self {
        Self { wanted, failures: 0, not_before: Timestamp::ZERO }
    }

    /// How many to open at `now`, while `ready` can take a request at once. `usable`: whether calls may be sent there.
    #[must_use]
    pub fn due(&self, ready: u32, usable: bool, now: Timestamp) -> u32 {
        if usable && now >= self.not_before {
            self.wanted.saturating_sub(ready).min(AT_ONCE)
        } else {
            0
        }
    }

    /// One was opened.
    pub const fn on_opened(&mut self) {
        self.failures = 0;
    }

    /// One couldn't be opened: the next is tried after a second, doubled for each failure in a row up to half a minute, half of it chance.
    pub fn on_failed(&mut self, now: Timestamp, chance: &mut Chance) {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now + wait / 2 + chance.up_to(wait / 2);
    }
}

/// Handshakes at the same time: a cold start must not look like an attack.
const AT_ONCE: u32 = 4;

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_opened_a_few_at_a_time() {
        let spares = Spares::new(10);
        let due = |ready| spares.due(ready, true, Timestamp::ZERO);
        assert_eq!([due(0), due(7), due(10), due(25)], [4, 3, 0, 0]);
    }

    #[test]
    fn nothing_is_opened_where_no_call_may_go() {
        assert_eq!(Spares::new(2).due(0, false, Timestamp::ZERO), 0);
    }

    #[test]
    fn failures_in_a_row_are_waited_out_longer_and_longer_up_to_a_bound() {
        let (mut spares, mut chance) = (Spares::new(1), Chance::from_seed(7));
        let mut now = Timestamp::ZERO;
        for doubled in [1, 2, 4, 8, 16, 30, 30] {
            spares.on_failed(now, &mut chance);
            let longest = now + Duration::from_secs(doubled);
            assert_eq!(spares.due(0, true, now + Duration::from_millis(doubled * 499)), 0);
            assert_eq!(spares.due(0, true, longest), 1);
            now = longest;
        }
        spares.on_opened();
        spares.on_failed(now, &mut chance);
        assert_eq!(spares.due(0, true, now + Duration::from_secs(1)), 1);
    }
}
