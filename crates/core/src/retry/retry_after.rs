//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or an HTTP date.

use core::time::Duration;

use super::http_date;

/// Reads the value of a `Retry-After` field.
///
/// `unix_now`: wall-clock seconds since 1970, to which a date is compared; a date in the past is a hint of zero.
/// All three date formats of RFC 9110 (section 5.6.7) are understood. `None` for anything else: a sign, a fraction,
/// a list, an empty value. A hint longer than [`LONGEST`] is cut to it, however many digits it has.
///
/// ```
/// use core::time::Duration;
/// use mainstay_core::retry::retry_after::parse;
///
/// let now = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT
/// assert_eq!(parse(b"120", now), Some(Duration::from_secs(120)));
/// assert_eq!(parse(b"Sun, 06 Nov 1994 08:50:00 GMT", now), Some(Duration::from_secs(23)));
/// assert_eq!(parse(b"soon", now), None);
/// ```
#[must_use]
pub fn parse(value: &[u8], unix_now: u64) -> Option<Duration> {
    let value = trim(value);
    let seconds = match delta_seconds(value) {
        Some(seconds) => seconds,
        None => seconds_until(http_date::parse(value, unix_now)?, unix_now),
    };
    Some(Duration::from_secs(seconds).min(LONGEST))
}

/// `1*DIGIT`; stops at the largest number, since what is beyond [`LONGEST`] is cut anyway.
fn delta_seconds(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some(sum.saturating_mul(10).saturating_add(digit))
    })
}

fn seconds_until(date: i64, unix_now: u64) -> u64 {
    u64::try_from(date).unwrap_or(0).saturating_sub(unix_now)
}

/// Without the optional white space around it (RFC 9110, section 5.6.3).
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let Some(start) = value.iter().position(|byte| !blank(byte)) else { return &[] };
    let end = value.iter().rposition(|byte| !blank(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

/// The longest hint that is believed: one day.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of the RFC.
    const NOW: u64 = 784_111_777;

    fn check(value: &str, expected: Option<u64>) {
        let parsed = parse(value.as_bytes(), NOW).map(|hint| hint.as_secs());
        assert_eq!(parsed, expected, "{value:?}");
    }

    #[test]
    fn seconds_are_digits_with_white_space_around_at_most() {
        check("0", Some(0));
        check("120", Some(120));
        check("00120", Some(120));
        check(" \t120\t ", Some(120));
        for value in ["", " ", "-1", "+1", "1.5", "1 2", "1,2", "1s", "0x10", "１", "\n1", "1\0"] {
            check(value, None);
        }
    }

    #[test]
    fn a_hint_of_more_than_a_day_is_cut_to_a_day() {
        let day = Some(86_400);
        check("86400", day);
        check("86401", day);
        check("18446744073709551616", day);
        check("99999999999999999999999999999999999999999999999999999999999999999999", day);
        check("Mon, 07 Nov 1994 08:49:38 GMT", day);
        check("Fri, 31 Dec 9999 23:59:59 GMT", day);
    }

    #[test]
    fn a_date_is_a_hint_of_the_time_until_then() {
        check("Sun, 06 Nov 1994 08:49:47 GMT", Some(10));
        check("Sunday, 06-Nov-94 08:49:47 GMT", Some(10));
        check("Sun Nov  6 08:49:47 1994", Some(10));
        check("  Sun, 06 Nov 1994 08:49:47 GMT ", Some(10));
    }

    #[test]
    fn a_date_in_the_past_is_a_hint_of_zero() {
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:49:36 GMT", Some(0));
        check("Wed, 31 Dec 1969 23:59:59 GMT", Some(0));
        check("Sat, 01 Jan 0000 00:00:00 GMT", Some(0));
    }

    #[test]
    fn any_wall_clock_is_taken() {
        let date = b"Sunday, 06-Nov-94 08:49:37 GMT";
        assert_eq!(parse(date, 0), Some(LONGEST));
        assert_eq!(parse(date, u64::MAX), Some(Duration::ZERO));
    }
}
