//! Wall-clock time, and how it is written.

use core::fmt;
use core::time::Duration;

/// A point of wall-clock time, in whole milliseconds since 1970. What is stored outlives the process, so that
/// [`Timestamp`](crate::Timestamp), which begins with it, can't say when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WallTime(pub u64);

impl WallTime {
    /// The end of time.
    pub const NEVER: Self = Self(i64::MAX as u64);

    /// This much later. Fractions of a millisecond count as a whole one, so that a wait is never shorter than asked.
    #[must_use]
    pub fn after(self, length: Duration) -> Self {
        let millis = u64::try_from(length.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis).min(Self::NEVER.0))
    }

    /// How long it is from `earlier` to this; zero if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// In RFC 3339's form, in UTC: `2026-11-27T01:38:07.000Z`.
///
/// Days are turned into a date by counting years from the first of March, so that the leap day comes last and every
/// month's length follows from its number; a cycle of 400 years has 146,097 days.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1000, self.0 % 1000);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // 719,468 days lie between the first of March of the year 0 and 1970.
        let days = days + 719_468;
        let (cycle, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let date = day - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = cycle * 400 + year + carry;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let check = |unix: u64, text: &str| assert_eq!(WallTime(unix * 1000 + 7).to_string(), text);
        check(0, "1970-01-01T00:00:00.007Z");
        check(951_782_399, "2000-02-28T23:59:59.007Z");
        check(951_782_400, "2000-02-29T00:00:00.007Z");
        check(951_868_800, "2000-03-01T00:00:00.007Z");
        check(1_709_251_199, "2024-02-29T23:59:59.007Z");
        check(1_767_225_599, "2025-12-31T23:59:59.007Z");
        check(4_107_542_400, "2100-03-01T00:00:00.007Z");
    }
}
