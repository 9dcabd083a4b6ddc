//! How long a line may be, and when it turns around.

use core::time::Duration;

use crate::check::{Check, Problems};

/// How long a line may be, and when it turns around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineSettings {
    /// Calls that may wait at once. 0 to 10,000, default 100; with 0 nobody waits. Too low: a short burst is refused
    /// although there would have been time; too high: calls wait that would better have been told at once.
    pub length: u32,
    /// Waits up to this are good, however steadily somebody waits. Up to 10 s, default 5 ms. Too low: a burst looks like
    /// overload; too high: overload looks like a burst.
    pub target: Duration,
    /// After so long with a wait above `target` there is overload, and who came last is let in first. 1 ms to 1 min, default
    /// 100 ms. Too low: the order turns around for a burst; too high: everybody waits until it is too late.
    pub interval: Duration,
}

impl Default for LineSettings {
    fn default() -> Self {
        Self { length: 100, target: Duration::from_millis(5), interval: Duration::from_millis(100) }
    }
}

impl Check for LineSettings {
    fn check(&self, problems: &mut Problems) {
        problems.require(self.length <= LENGTH_MAX, "length", self.length, "0 to 10000");
        problems.require(self.target <= TARGET_MAX, "target", self.target, "0s to 10s");
        let interval = INTERVAL_MIN..=INTERVAL_MAX;
        let holds = interval.contains(&self.interval);
        problems.require(holds, "interval", self.interval, "1ms to 1m");
    }
}

/// Which calls go first. The higher is let in before the lower, whenever each of them came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// What may wait: background work.
    pub const LOWEST: Self = Self(0);

    /// What nobody has said anything about.
    pub const NORMAL: Self = Self(1);

    /// What somebody waits for.
    pub const HIGH: Self = Self(2);

    /// What goes before all others.
    pub const HIGHEST: Self = Self(CLASSES as u8 - 1);

    /// A priority from 0 to 3; a higher number is taken as 3.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        if number < Self::HIGHEST.0 { Self(number) } else { Self::HIGHEST }
    }

    /// Its number, from 0 to 3.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

/// Priorities that there are. Few, since each needs its own order, and people agree on no more (Google's SRE book, "Handling
/// overload", has as many levels of criticality).
pub const CLASSES: usize = 4;

/// A longer line than this is overload for sure.
const LENGTH_MAX: u32 = 10_000;

const TARGET_MAX: Duration = Duration::from_secs(10);
const INTERVAL_MIN: Duration = Duration::from_millis(1);
const INTERVAL_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;
    use std::string::String;
    use std::vec::Vec;

    fn places(settings: LineSettings) -> Vec<String> {
        let problems = Checked::new(settings).err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.place).collect()
    }

    #[test]
    fn the_defaults_are_within_their_own_rules_and_so_is_no_line_at_all() {
        assert_eq!(places(LineSettings::default()), [""; 0]);
        assert_eq!(places(LineSettings { length: 0, ..LineSettings::default() }), [""; 0]);
    }

    #[test]
    fn each_broken_rule_is_named() {
        let settings = LineSettings {
            length: 10_001,
            target: TARGET_MAX + Duration::from_nanos(1),
            interval: Duration::ZERO,
        };
        assert_eq!(places(settings), ["length", "target", "interval"]);
    }

    #[test]
    fn priorities_are_few() {
        assert_eq!(Priority::new(200), Priority::HIGHEST);
        assert!(Priority::LOWEST < Priority::NORMAL && Priority::NORMAL < Priority::HIGHEST);
    }
}
