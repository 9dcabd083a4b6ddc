//! What an answer says that matters for keeping it.

use core::time::Duration;

use super::Directives;
use crate::retry::http_date;

/// The head of an answer, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its status.
    pub status: u16,
    /// Its `Cache-Control`.
    pub directives: Directives,
    /// How long it is fresh by `Expires`, counted from its `Date`. What can't be read has expired.
    pub expires_in: Option<Duration>,
    /// How old it was when it arrived, by `Age` and by `Date` (RFC 9111, section 4.2.3).
    pub age: Duration,
    /// Whether it sets a cookie.
    pub sets_cookie: bool,
    /// Whether it depends on more than a request says (`Vary: *`).
    pub varies_by_all: bool,
    /// Whether it is a part of something (`Content-Range`).
    pub is_part: bool,
}

impl Given {
    /// Reads an answer's head that arrived at `unix_now`, in seconds since 1970, so long after it was asked for. Names of
    /// fields are in lower case.
    pub fn of<'a>(
        status: u16,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        unix_now: u64,
        took: Duration,
    ) -> Self {
        let mut given = Self {
            status,
            directives: Directives::default(),
            expires_in: None,
            age: Duration::ZERO,
            sets_cookie: false,
            varies_by_all: false,
            is_part: false,
        };
        let (mut age, mut date, mut expires): (u64, Option<i64>, Option<Option<i64>>) =
            (0, None, None);
        for (name, value) in fields {
            match name {
                "cache-control" => given.directives.add(value),
                "set-cookie" => given.sets_cookie = true,
                "content-range" => given.is_part = true,
                "vary" => {
                    given.varies_by_all |=
                        value.split(|b| *b == b',').any(|v| v.trim_ascii() == b"*")
                }
                "age" => age = age.max(seconds(value)),
                "date" => date = http_date::parse(value, unix_now),
                // The earlier of two.
                "expires" => {
                    let read = http_date::parse(value, unix_now);
                    expires = Some(expires.map_or(read, |before| before.min(read)));
                }
                _ => {}
            }
        }
        let now = i64::try_from(unix_now).unwrap_or(i64::MAX);
        let apparent = date.map_or(0, |date| length(date, now));
        // The time that it took counts as age: the answer may have been made at its beginning.
        given.age = Duration::from_secs(apparent).max(Duration::from_secs(age) + took);
        given.expires_in = expires.map(|expires| {
            expires
                .map_or(Duration::ZERO, |at| Duration::from_secs(length(date.unwrap_or(now), at)))
        });
        given
    }
}

/// Seconds from one moment to a later one; zero if it is earlier. Dates end with the year 9999, so that sums of them fit.
fn length(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

/// An `Age`; what can't be read says nothing, and is caught by `Date`. More than a hundred years is as good as for ever.
fn seconds(value: &[u8]) -> u64 {
    const MOST: u64 = 100 * 365 * 86_400;
    let value = value.trim_ascii();
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    value.iter().fold(0_u64, |sum, digit| (sum * 10 + u64::from(digit - b'0')).min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: u64 = 784_111_777;

    fn of(fields: &[(&str, &str)], took: u64) -> Given {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        Given::of(200, fields, NOW, Duration::from_secs(took))
    }

    #[test]
    fn the_age_is_the_greater_of_what_is_said_and_what_the_date_says() {
        for (fields, took, age) in [
            (&[][..], 0, 0),
            (&[][..], 3, 3),
            (&[("age", "10")][..], 3, 13),
            (&[("age", "x")][..], 0, 0),
            (&[("age", "99999999999999999999999")][..], 0, 100 * 365 * 86_400),
            (&[("date", "Sun, 06 Nov 1994 08:49:07 GMT")][..], 3, 30),
            (&[("date", "Sun, 06 Nov 1994 08:49:07 GMT"), ("age", "40")][..], 0, 40),
            (&[("date", "Sun, 06 Nov 1994 09:49:07 GMT")][..], 0, 0),
            (&[("date", "yesterday")][..], 0, 0),
        ] {
            assert_eq!(of(fields, took).age.as_secs(), age, "{fields:?}");
        }
    }

    #[test]
    fn expires_counts_from_the_answers_own_date() {
        let date = ("date", "Sun, 06 Nov 1994 08:00:00 GMT");
        for (fields, left) in [
            (&[("expires", "Sun, 06 Nov 1994 08:49:47 GMT")][..], 10),
            (&[("expires", "Sun, 06 Nov 1994 08:10:00 GMT"), date][..], 600),
            (&[("expires", "Sun, 06 Nov 1994 07:10:00 GMT"), date][..], 0),
            (&[("expires", "0")][..], 0),
            (&[("expires", "Sun, 06 Nov 1994 08:10:00 GMT"), ("expires", "-1"), date][..], 0),
        ] {
            assert_eq!(of(fields, 0).expires_in, Some(Duration::from_secs(left)), "{fields:?}");
        }
        assert_eq!(of(&[date], 0).expires_in, None);
    }

    #[test]
    fn a_star_in_vary_is_found_among_others() {
        assert!(of(&[("vary", "*")], 0).varies_by_all);
        assert!(of(&[("vary", "accept, *")], 0).varies_by_all);
        assert!(of(&[("vary", "accept"), ("vary", " * ")], 0).varies_by_all);
        assert!(!of(&[("vary", "accept, x-*")], 0).varies_by_all);
    }
}
