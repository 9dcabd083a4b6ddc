//! Stalls: a body that doesn't come, or so slowly that it is as good as not coming.
//!
//! Two clocks. One runs while nothing comes at all. The other counts, for a body whose length is known, how much came in
//! the time that was spent *waiting for the peer*: an application that reads slowly makes no slow peer. A trickle that
//! resets the first clock for ever is found by the second.

use core::time::Duration;

use crate::check::{Check, Problems};
use crate::time::Timestamp;

/// The least rate at which a body of known length has to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateFloor {
    /// Bytes a second. 1 to 1 GiB, default 256. Too low: a trickle goes on for ever; too high: slow lines are cut off.
    pub bytes_a_second: u64,
    /// Over how much waiting it is measured. 1 s to 1 h, default 30 s. Too low: a pause of the peer is taken for a stall;
    /// too high: a trickle is found late.
    pub window: Duration,
}

impl Default for RateFloor {
    fn default() -> Self {
        Self { bytes_a_second: 256, window: Duration::from_secs(30) }
    }
}

impl Check for RateFloor {
    fn check(&self, problems: &mut Problems) {
        let rates = 1..=1 << 30;
        problems.require(
            rates.contains(&self.bytes_a_second),
            "bytes_a_second",
            self.bytes_a_second,
            "1 to 1 GiB",
        );
        let windows = Duration::from_secs(1)..=Duration::from_secs(3600);
        problems.require(windows.contains(&self.window), "window", self.window, "1s to 1h");
    }
}

/// Watches one body. Tell it when waiting begins and when bytes come.
#[derive(Clone, Copy, Debug)]
pub struct StallGuard {
    silence: Duration,
    floor: Option<RateFloor>,
    /// Since when it has been waited, if it is.
    waiting: Option<Timestamp>,
    /// In the window so far: how long was waited, and what came.
    waited: Duration,
    came: u64,
}

impl StallGuard {
    /// One for a body that may be silent for so long. `floor`: for a body of known length.
    #[must_use]
    pub const fn new(silence: Duration, floor: Option<RateFloor>) -> Self {
        Self { silence, floor, waiting: None, waited: Duration::ZERO, came: 0 }
    }

    /// Nothing is here: the peer is waited for. Tells when that is a stall, if nothing comes until then.
    pub fn on_wait(&mut self, now: Timestamp) -> Timestamp {
        let since = *self.waiting.get_or_insert(now);
        self.stalled_at(since)
    }

    /// So many bytes came. The time is asked for only if they were waited for.
    pub fn on_bytes(&mut self, bytes: u64, now: impl FnOnce() -> Timestamp) {
        self.came = self.came.saturating_add(bytes);
        if let Some(since) = self.waiting.take() {
            self.waited += now().since(since);
        }
        if let Some(floor) = self.floor
            && self.waited >= floor.window
        {
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
    }

    /// Whether what is waited for is stalled.
    #[must_use]
    pub fn is_stalled(&self, now: Timestamp) -> bool {
        self.waiting.is_some_and(|since| now >= self.stalled_at(since))
    }

    /// When a wait since then is a stall, if nothing comes.
    fn stalled_at(&self, since: Timestamp) -> Timestamp {
        let silent = since + self.silence;
        match self.floor {
            // Once the window is full of waiting, what came in it has to be enough.
            Some(floor) if !self.is_enough(floor) => {
                silent.min(since + floor.window.saturating_sub(self.waited))
            }
            Some(_) | None => silent,
        }
    }

    fn is_enough(&self, floor: RateFloor) -> bool {
        let needed = u128::from(floor.bytes_a_second) * floor.window.as_millis() / 1000;
        u128::from(self.came) >= needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;

    const SILENCE: Duration = Duration::from_secs(30);
    const FLOOR: RateFloor = RateFloor { bytes_a_second: 100, window: Duration::from_secs(10) };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn the_default_floor_keeps_its_own_rules() {
        assert!(Checked::new(RateFloor::default()).is_ok());
        let none = RateFloor { bytes_a_second: 0, window: Duration::ZERO };
        assert_eq!(Checked::new(none).map(|_| ()).unwrap_err().len(), 2);
    }

    #[test]
    fn silence_is_a_stall_and_each_byte_begins_it_anew() {
        let mut guard = StallGuard::new(SILENCE, None);
        assert_eq!(guard.on_wait(at(0)), at(30));
        guard.on_bytes(1, || at(29));
        assert_eq!(guard.on_wait(at(29)), at(59));
        assert!(!guard.is_stalled(at(58)));
        assert!(guard.is_stalled(at(59)));
    }

    #[test]
    fn a_trickle_is_a_stall_once_a_window_was_waited_for_it() {
        let mut guard = StallGuard::new(SILENCE, Some(FLOOR));
        for second in 0..9 {
            guard.on_wait(at(second));
            guard.on_bytes(10, || at(second + 1));
        }
        assert_eq!(guard.on_wait(at(9)), at(10));
        assert!(!guard.is_stalled(at(9)));
        assert!(guard.is_stalled(at(10)));
    }

    #[test]
    fn a_rate_above_the_floor_is_none_however_long_it_goes_on() {
        let mut guard = StallGuard::new(SILENCE, Some(FLOOR));
        for second in 0..100 {
            guard.on_wait(at(second));
            assert!(!guard.is_stalled(at(second + 1)), "{second}");
            guard.on_bytes(120, || at(second + 1));
        }
    }

    #[test]
    fn an_application_that_reads_slowly_makes_no_slow_peer() {
        let mut guard = StallGuard::new(SILENCE, Some(FLOOR));
        for second in 0..100 {
            guard.on_bytes(1, || at(second * 60));
            assert!(!guard.is_stalled(at(second * 60)));
        }
    }

    #[test]
    fn a_window_that_brought_enough_is_followed_by_an_empty_one() {
        let mut guard = StallGuard::new(SILENCE, Some(FLOOR));
        guard.on_wait(at(0));
        guard.on_bytes(1_000_000, || at(10));
        assert_eq!(guard.on_wait(at(10)), at(20));
        assert!(guard.is_stalled(at(20)));
    }
}
