//! `Retry-After` against an independent reader of HTTP dates.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstay_core::retry::retry_after::{LONGEST, parse};
use proptest::prelude::*;

/// The first second of the year 10,000, which four digits can't name.
const END: u64 = 253_402_300_800;

/// A date in the format of RFC 9110 that the oracle writes.
fn imf_fixdate(unix: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(unix))
}

/// The same in the format of RFC 850.
fn rfc_850(unix: u64) -> String {
    let date = imf_fixdate(unix);
    let day = LONG_DAYS.iter().find(|day| day.starts_with(&date[..3])).unwrap_or(&"");
    format!("{day}, {}-{}-{} {}", &date[5..7], &date[8..11], &date[14..16], &date[17..])
}

/// The same as C's `asctime` writes it.
fn asctime(unix: u64) -> String {
    let date = imf_fixdate(unix);
    let day = match date[5..7].strip_prefix('0') {
        Some(digit) => format!(" {digit}"),
        None => date[5..7].into(),
    };
    format!("{} {} {day} {} {}", &date[..3], &date[8..11], &date[17..25], &date[12..16])
}

/// What the oracle reads. It insists on the right name of the day, where we take any, and passes over the blank
/// before the time of an RFC 850 date, where we don't.
fn oracle(value: &str) -> Option<u64> {
    let names = if value.contains('-') { LONG_DAYS } else { DAYS };
    let rest = names.iter().find_map(|name| value.strip_prefix(name))?;
    if value.split(' ').count() < 4 {
        return None;
    }
    let date: SystemTime =
        names.iter().find_map(|name| httpdate::parse_http_date(&format!("{name}{rest}")).ok())?;
    date.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const LONG_DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn hint(value: &str, unix_now: u64) -> Option<u64> {
    parse(value.as_bytes(), unix_now).map(|hint| hint.as_secs())
}

proptest! {
    #[test]
    fn a_date_in_any_format_is_the_time_until_then(unix in 86_400..END, ahead in 0_u64..=86_400) {
        let now = unix - ahead;
        prop_assert_eq!(hint(&imf_fixdate(unix), now), Some(ahead));
        prop_assert_eq!(hint(&asctime(unix), now), Some(ahead));
        prop_assert_eq!(hint(&rfc_850(unix), now), Some(ahead));
    }

    #[test]
    fn a_date_with_a_two_digit_year_is_found_within_a_century(
        now in 0..END / 2,
        behind in 0..49 * 365 * 86_400_u64,
    ) {
        let past = rfc_850(now.saturating_sub(behind));
        prop_assert_eq!(hint(&past, now), Some(0));
        let future = rfc_850(now + behind);
        prop_assert_eq!(hint(&future, now), Some(behind.min(LONGEST.as_secs())));
    }

    #[test]
    fn a_date_with_a_changed_byte_is_refused_or_read_as_the_oracle_reads_it(
        unix in 86_400..END,
        format in 0_usize..3,
        place: prop::sample::Index,
        byte in prop_oneof!["[ -~]", "[0-9]", "[A-Za-z]"],
    ) {
        let date = [imf_fixdate, rfc_850, asctime][format](unix);
        let place = place.index(date.len());
        let changed = format!("{}{byte}{}", &date[..place], &date[place + 1..]);
        match oracle(&changed) {
            // Just before the date, so that the century of two digits is the same for both.
            Some(read) => {
                let found = hint(&changed, read.saturating_sub(100));
                prop_assert_eq!(found, Some(read.min(100)), "{}", changed);
            }
            None if changed.contains("23:59:60") || before_1970(&changed) => {}
            None => prop_assert_eq!(hint(&changed, 0), None, "{}", changed),
        }
    }

    #[test]
    fn digits_are_seconds_up_to_a_day(digits in "[0-9]{1,40}", blank in "[ \t]{0,3}") {
        let expected = digits.parse::<u64>().unwrap_or(u64::MAX).min(LONGEST.as_secs());
        prop_assert_eq!(hint(&format!("{blank}{digits}{blank}"), 0), Some(expected));
    }

    #[test]
    fn any_bytes_have_an_answer_and_no_hint_is_longer_than_a_day(
        value in prop::collection::vec(any::<u8>(), 0..64),
        unix_now: u64,
    ) {
        prop_assert!(parse(&value, unix_now).is_none_or(|hint| hint <= LONGEST));
    }

    #[test]
    fn nearly_a_date_has_an_answer_for_any_wall_clock(
        value in "(Mon|Sunday|Sun)(, | )[0-9A-Za-z -]{5,12}( [0-9]{2}:[0-9]{2}:[0-9]{2})?( GMT| [0-9]{4})?",
        unix_now: u64,
    ) {
        prop_assert!(parse(value.as_bytes(), unix_now).is_none_or(|hint| hint <= LONGEST));
    }
}

/// Whether the year is one that the oracle doesn't know.
fn before_1970(date: &str) -> bool {
    let year = if date.ends_with("GMT") { date.get(12..16) } else { date.get(20..24) };
    year.and_then(|year| year.parse::<u16>().ok()).is_some_and(|year| year < 1970)
}
