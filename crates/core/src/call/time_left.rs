//! Deadlines that travel: how much time a request says it has, read and written.
//!
//! Two forms: `grpc-timeout` (gRPC over HTTP/2, "Requests": at most eight digits and a unit), and a header whose name the
//! route gives, in milliseconds or with a unit (`1500`, `1500ms`, `2s`).

use core::fmt;
use core::time::Duration;

/// The field of gRPC.
pub const GRPC_TIMEOUT: &str = "grpc-timeout";

/// Reads a `grpc-timeout`; `None` when it isn't one.
#[must_use]
pub fn parse_grpc(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.len() > GRPC_DIGITS {
        return None;
    }
    let count = number(digits)?;
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Reads a number of milliseconds, or one with `ms` or `s`; `None` when it isn't one.
#[must_use]
pub fn parse_plain(value: &[u8]) -> Option<Duration> {
    let value = value.trim_ascii();
    if let Some(digits) = value.strip_suffix(b"ms") {
        return Some(Duration::from_millis(number(digits.trim_ascii())?));
    }
    match value.strip_suffix(b"s") {
        Some(digits) => Some(Duration::from_secs(number(digits.trim_ascii())?)),
        None => Some(Duration::from_millis(number(value)?)),
    }
}

/// A whole number of at most ten digits: more is no timeout.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

/// A length of time as `grpc-timeout` writes it, in the finest unit that eight digits can hold, rounded down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcTimeout(pub Duration);

impl fmt::Display for GrpcTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let finest = [
            (self.0.as_nanos(), 'n'),
            (self.0.as_micros(), 'u'),
            (self.0.as_millis(), 'm'),
            (u128::from(self.0.as_secs()), 'S'),
            (u128::from(self.0.as_secs() / 60), 'M'),
        ];
        let fits = finest.into_iter().find(|(count, _)| *count < GRPC_LIMIT);
        let (count, unit) = fits.unwrap_or((GRPC_LIMIT - 1, 'H'));
        write!(f, "{count}{unit}")
    }
}

/// "TimeoutValue: positive integer as ASCII string of at most 8 digits".
const GRPC_DIGITS: usize = 8;
const GRPC_LIMIT: u128 = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_grpc_timeout_has_digits_and_a_unit() {
        let check = |value: &str, expected| assert_eq!(parse_grpc(value.as_bytes()), expected);
        check("1H", Some(Duration::from_secs(3600)));
        check("2M", Some(Duration::from_secs(120)));
        check("3S", Some(Duration::from_secs(3)));
        check("100m", Some(Duration::from_millis(100)));
        check("7u", Some(Duration::from_micros(7)));
        check("99999999n", Some(Duration::from_nanos(99_999_999)));
        for wrong in ["", "1", "m", "-1m", "1x", "123456789m", "1.5S", "é"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_plain_timeout_is_in_milliseconds_unless_it_says_else() {
        let check = |value: &str, expected| assert_eq!(parse_plain(value.as_bytes()), expected);
        check("1500", Some(Duration::from_millis(1500)));
        check(" 250 ms", Some(Duration::from_millis(250)));
        check("2s", Some(Duration::from_secs(2)));
        for wrong in ["", "s", "ms", "2m", "-1", "1e3", "99999999999"] {
            check(wrong, None);
        }
    }

    #[test]
    fn what_is_written_is_never_longer_than_it_was_and_is_read_again() {
        let check = |length: Duration, text: &str| {
            assert_eq!(GrpcTimeout(length).to_string(), text);
            assert!(parse_grpc(text.as_bytes()).is_some_and(|read| read <= length));
        };
        check(Duration::ZERO, "0n");
        check(Duration::from_millis(99), "99000000n");
        check(Duration::from_micros(1_500_001), "1500001u");
        check(Duration::from_secs(30), "30000000u");
        check(Duration::from_secs(3600), "3600000m");
        check(Duration::from_secs(200_000), "200000S");
        check(Duration::from_secs(100_000_000), "1666666M");
        check(Duration::MAX, "99999999H");
    }
}
