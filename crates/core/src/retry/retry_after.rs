//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or an HTTP date.

use core::time::Duration;

/// Reads the value of a `Retry-After` field.
///
/// `unix_now`: wall-clock seconds since 1970, to which a date is compared; a date in the past is a hint of zero. All three date formats of RFC 9110 (section 5.6.7) are
/// understood. `None` for anything else. A hint longer than [`LONGEST`] is cut to it.
#[must_use]
pub fn parse(value: &[u8], unix_now: u64) -> Option<Duration> {
    let _ = (value, unix_now);
    todo!()
}

/// The longest hint that is believed: one day.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
