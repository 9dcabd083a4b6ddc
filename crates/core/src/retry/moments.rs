//! When an allowance is full again, in all the ways in which that is written: numbers, lengths, dates.

use core::time::Duration;

use super::http_date::{self, Cursor, Date};

/// How long until the moment or the end of the length that `value` names; zero when that is past.
///
/// The rule that tells numbers apart is in the text of [`super::rate_limit`].
pub(super) fn reset_in(value: &[u8], wall_unix_ms: u64) -> Option<Duration> {
    let until = |unix_ms: u64| Duration::from_millis(unix_ms.saturating_sub(wall_unix_ms));
    if let Some(thousandths) = thousandths(value) {
        return match thousandths / 1_000 {
            0..LENGTHS_END => Some(Duration::from_millis(thousandths)),
            LENGTHS_END..SECONDS_END => Some(until(thousandths)),
            SECONDS_END..MILLIS_END => Some(until(thousandths / 1_000)),
            MILLIS_END.. => None,
        };
    }
    let moment = || rfc_3339(value).or_else(|| http_moment(value, wall_unix_ms));
    length(value).or_else(|| moment().map(until))
}

/// `1*DIGIT [ "." 1*DIGIT ]` in thousandths, rounded up; stops at the largest number.
pub(super) fn thousandths(value: &[u8]) -> Option<u64> {
    let (thousandths, rest) = decimal(value)?;
    rest.is_empty().then_some(thousandths)
}

/// A decimal number at the beginning, in thousandths, and what follows it.
fn decimal(value: &[u8]) -> Option<(u64, &[u8])> {
    let (whole, rest) = digits(value)?;
    let whole = whole
        .iter()
        .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => digits(rest)?,
        None => (&[][..], rest),
    };
    let place = |n| fraction.get(n).map_or(0, |digit| u64::from(digit - b'0'));
    let more = fraction.iter().skip(3).any(|&digit| digit != b'0');
    let part = place(0) * 100 + place(1) * 10 + place(2) + u64::from(more);
    Some((whole.saturating_mul(1_000).saturating_add(part), rest))
}

/// The digits at the beginning, one at least.
fn digits(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = value.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(value.len());
    (end > 0).then(|| value.split_at(end))
}

/// A length such as `1h2m3.5s`, as Go writes it, with days besides.
fn length(mut value: &[u8]) -> Option<Duration> {
    let mut nanos = 0_u64;
    loop {
        let (thousandths, rest) = decimal(value)?;
        let (unit, rest) =
            UNITS.iter().find_map(|(name, nanos)| Some((nanos, rest.strip_prefix(*name)?)))?;
        let part = u128::from(thousandths) * u128::from(*unit) / 1_000;
        nanos = nanos.saturating_add(u64::try_from(part).unwrap_or(u64::MAX));
        if rest.is_empty() {
            return Some(Duration::from_nanos(nanos));
        }
        value = rest;
    }
}

/// Milliseconds since 1970 of a date and time by RFC 3339, section 5.6; `None` before 1970.
///
/// A leap second, which is allowed only where one can be in UTC, is read as the second after it.
fn rfc_3339(value: &[u8]) -> Option<u64> {
    let mut rest = Cursor(value);
    let year = rest.digits(4)?;
    rest.literal(b"-")?;
    let month = rest.digits(2)?;
    rest.literal(b"-")?;
    let day = rest.digits(2)?;
    rest.literal(b"T").or_else(|| rest.literal(b"t")).or_else(|| rest.literal(b" "))?;
    let second_of_day = rest.time_of_day()?;
    let month = usize::try_from(month).ok()?.checked_sub(1).filter(|month| *month < 12)?;
    let seconds = Date { year, month, day, second_of_day }.unix()?;

    let (fraction, after) = match rest.0.strip_prefix(b".") {
        Some(fraction) => digits(fraction)?,
        None => (&[][..], rest.0),
    };
    let place = |n| fraction.get(n).map_or(0, |digit| i64::from(digit - b'0'));
    let millis = place(0) * 100 + place(1) * 10 + place(2);
    let ahead = offset(after)?;
    u64::try_from((seconds - ahead) * 1_000 + millis).ok()
}

/// `Z` or `±hour:minute`, in seconds ahead of UTC.
fn offset(value: &[u8]) -> Option<i64> {
    let (sign, rest) = match value {
        b"Z" | b"z" => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let mut rest = Cursor(rest);
    let hour = rest.digits(2)?;
    rest.literal(b":")?;
    let minute = rest.digits(2)?;
    rest.end()?;
    (hour < 24 && minute < 60).then_some(sign * (hour * 3_600 + minute * 60))
}

fn http_moment(value: &[u8], wall_unix_ms: u64) -> Option<u64> {
    let seconds = http_date::parse(value, wall_unix_ms / 1_000)?;
    Some(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000))
}

/// No allowance takes 31 years to come back.
const LENGTHS_END: u64 = 1_000_000_000;

/// Seconds since 1970 up to the year 33,658; as milliseconds that was in 2001.
const SECONDS_END: u64 = 1_000_000_000_000;

const MILLIS_END: u64 = 1_000_000_000_000_000;

/// Names of units and their nanoseconds. A name that begins with another one stands before it.
const UNITS: [(&[u8], u64); 8] = [
    (b"ms", 1_000_000),
    (b"us", 1_000),
    ("µs".as_bytes(), 1_000),
    (b"ns", 1),
    (b"s", 1_000_000_000),
    (b"m", 60_000_000_000),
    (b"h", 3_600_000_000_000),
    (b"d", 86_400_000_000_000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_thousandths_rounded_up() {
        let read = |value: &str| thousandths(value.as_bytes());
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("12.5"), Some(12_500));
        assert_eq!(read("0.0001"), Some(1));
        assert_eq!(read("0.0010"), Some(1));
        assert_eq!(read("99999999999999999999999"), Some(u64::MAX));
        for wrong in ["", ".5", "5.", "-1", "+1", "1e3", "1 ", "1,0", "0x1"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lengths_are_sums_of_parts_with_their_units() {
        let read = |value: &str| length(value.as_bytes()).map(|length| length.as_nanos() as u64);
        assert_eq!(read("1s"), Some(1_000_000_000));
        assert_eq!(read("6m0s"), Some(360_000_000_000));
        assert_eq!(read("20ms"), Some(20_000_000));
        assert_eq!(read("2m59.56s"), Some(179_560_000_000));
        assert_eq!(read("1d1h"), Some(90_000_000_000_000));
        assert_eq!(read("3µs2ns"), Some(3_002));
        assert_eq!(read("99999999999999999999h"), Some(u64::MAX));
        for wrong in ["", "s", "1", "1x", "1s2", "1s ", "1 s", "-1s", "1.s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn dates_by_rfc_3339_are_read_in_any_zone() {
        let read = |value: &str| rfc_3339(value.as_bytes());
        let noon = Some(1_786_017_600_000);
        assert_eq!(read("2026-08-06T12:00:00Z"), noon);
        assert_eq!(read("2026-08-06t14:30:00+02:30"), noon);
        assert_eq!(read("2026-08-05 23:00:00-13:00"), noon);
        assert_eq!(read("2026-08-06T12:00:00.1239z"), noon.map(|millis| millis + 123));
        assert_eq!(read("2016-12-31T23:59:60Z"), Some(1_483_228_800_000));
        for wrong in [
            "",
            "2026-08-06",
            "2026-08-06T12:00:00",
            "2026-08-06T12:00:00.Z",
            "2026-08-06T12:00:00Z ",
            "2026-08-06T12:00:00+24:00",
            "2026-08-06T12:00:00+0200",
            "2026-13-06T12:00:00Z",
            "2026-00-06T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
