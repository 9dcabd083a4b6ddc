//! The three date formats of HTTP (RFC 9110, section 5.6.7).
//!
//! ```text
//!   IMF-fixdate   Sun, 06 Nov 1994 08:49:37 GMT
//!   RFC 850       Sunday, 06-Nov-94 08:49:37 GMT
//!   asctime       Sun Nov  6 08:49:37 1994
//! ```
//!
//! The crate `httpdate` would do, but it needs `std`; it is the oracle of this module's property tests instead. This
//! reader is as strict as the grammar: names in this very case, each field in its width, days that the month has.
//! Only whether the name of the day fits the date is not asked: the date says all, and servers get the name wrong.

/// Seconds since 1970 of an HTTP date, negative before; `None` if it isn't one.
///
/// `unix_now` decides the century of an RFC 850 date: the latest in which it isn't more than 50 years ahead.
pub(crate) fn parse(value: &[u8], unix_now: u64) -> Option<i64> {
    imf_fixdate(value).or_else(|| asctime(value)).or_else(|| rfc_850(value, unix_now))
}

/// A date and time of day whose fields are in range for some year.
pub(super) struct Date {
    pub(super) year: i64,
    /// From 0.
    pub(super) month: usize,
    pub(super) day: i64,
    pub(super) second_of_day: i64,
}

fn imf_fixdate(value: &[u8]) -> Option<i64> {
    let mut rest = Cursor(value);
    rest.one_of(&DAYS)?;
    rest.literal(b", ")?;
    let day = rest.digits(2)?;
    rest.literal(b" ")?;
    let month = rest.one_of(&MONTHS)?;
    rest.literal(b" ")?;
    let year = rest.digits(4)?;
    rest.literal(b" ")?;
    let second_of_day = rest.time_of_day()?;
    rest.literal(b" GMT")?;
    rest.end()?;
    Date { year, month, day, second_of_day }.unix()
}

fn rfc_850(value: &[u8], unix_now: u64) -> Option<i64> {
    let mut rest = Cursor(value);
    rest.one_of(&LONG_DAYS)?;
    rest.literal(b", ")?;
    let day = rest.digits(2)?;
    rest.literal(b"-")?;
    let month = rest.one_of(&MONTHS)?;
    rest.literal(b"-")?;
    let year = rest.digits(2)?;
    rest.literal(b" ")?;
    let second_of_day = rest.time_of_day()?;
    rest.literal(b" GMT")?;
    rest.end()?;
    Date { year, month, day, second_of_day }.in_century_near(unix_now).unix()
}

fn asctime(value: &[u8]) -> Option<i64> {
    let mut rest = Cursor(value);
    rest.one_of(&DAYS)?;
    rest.literal(b" ")?;
    let month = rest.one_of(&MONTHS)?;
    rest.literal(b" ")?;
    let day = match rest.literal(b" ") {
        Some(()) => rest.digits(1)?,
        None => rest.digits(2)?,
    };
    rest.literal(b" ")?;
    let second_of_day = rest.time_of_day()?;
    rest.literal(b" ")?;
    let year = rest.digits(4)?;
    rest.end()?;
    Date { year, month, day, second_of_day }.unix()
}

impl Date {
    /// Seconds since 1970; `None` for a day that the month doesn't have in this year.
    pub(super) fn unix(&self) -> Option<i64> {
        let last = MONTH_DAYS[self.month] + i64::from(self.month == FEBRUARY && is_leap(self.year));
        (1..=last).contains(&self.day).then(|| self.unix_in(self.year))
    }

    /// Seconds since 1970 of the same day and time in `year`.
    fn unix_in(&self, year: i64) -> i64 {
        let leap_day = i64::from(self.month > FEBRUARY && is_leap(year));
        let day_of_year = MONTH_DAYS[..self.month].iter().sum::<i64>() + leap_day + self.day - 1;
        (days_before(year) - days_before(1970) + day_of_year) * DAY + self.second_of_day
    }

    /// A date whose year is in two digits, put into its century: the RFC has it that what appears to be more than
    /// 50 years ahead lies in the past.
    fn in_century_near(self, unix_now: u64) -> Self {
        let now = i64::try_from(unix_now).unwrap_or(i64::MAX).min(LATEST);
        // No year is shorter than this: the guess is never too early, and too late by a few years at most.
        let latest_year = 1970 + now / (365 * DAY) + 50;
        let year = latest_year - (latest_year - self.year).rem_euclid(100);
        let too_far = self.unix_in(year - 50) > now;
        Self { year: if too_far { year - 100 } else { year }, ..self }
    }
}

/// What is left to be read.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl Cursor<'_> {
    pub(super) fn literal(&mut self, literal: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(literal)?;
        Some(())
    }

    /// The place of the name that comes next. No name begins with another one of its list.
    fn one_of(&mut self, names: &[&str]) -> Option<usize> {
        names.iter().position(|name| self.literal(name.as_bytes()).is_some())
    }

    /// A number of exactly so many digits.
    pub(super) fn digits(&mut self, width: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(width)?;
        self.0 = rest;
        number.iter().try_fold(0, |sum, byte| {
            byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0'))
        })
    }

    /// `hour:minute:second` as the second of the day. Second 60 only where a leap second can be, at 23:59.
    pub(super) fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.digits(2)?;
        self.literal(b":")?;
        let minute = self.digits(2)?;
        self.literal(b":")?;
        let second = self.digits(2)?;
        let leap = (hour, minute, second) == (23, 59, 60);
        let valid = hour < 24 && minute < 60 && (second < 60 || leap);
        valid.then_some(hour * 3_600 + minute * 60 + second)
    }

    pub(super) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Days from the first day of the year 1 to that of `year`, by the Gregorian calendar carried on to both sides.
fn days_before(year: i64) -> i64 {
    let past = year - 1;
    365 * past + past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const LONG_DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const MONTH_DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// Its place in the year, from 0.
const FEBRUARY: usize = 1;

/// Seconds.
const DAY: i64 = 86_400;

/// Some time in the year 10,000, after which four digits name no year: keeps any wall clock within the arithmetic.
const LATEST: i64 = 8_050 * 365 * DAY;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of the RFC.
    const EXAMPLE: i64 = 784_111_777;

    /// Thu, 06 Aug 2026 12:00:00 GMT.
    const NOW: u64 = 1_786_017_600;

    fn check(value: &str, expected: Option<i64>) {
        assert_eq!(parse(value.as_bytes(), NOW), expected, "{value:?}");
    }

    #[test]
    fn the_three_examples_of_the_rfc_are_one_moment() {
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(EXAMPLE));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(EXAMPLE));
        check("Sun Nov  6 08:49:37 1994", Some(EXAMPLE));
    }

    #[test]
    fn anything_but_the_grammar_is_refused() {
        for value in [
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "sun, 06 nov 1994 08:49:37 gmt",
            "Son, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Okt 1994 08:49:37 GMT",
            "06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sunday, 06 Nov 94 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov   6 08:49:37 1994",
            "Sun Nov  6 08:49:37 94",
            "Sun Nov  6 08:49:37 1994 GMT",
            "1994-11-06T08:49:37Z",
            "",
        ] {
            check(value, None);
        }
    }

    #[test]
    fn a_field_out_of_its_range_is_refused() {
        for value in [
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 32 Dec 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 23:59:61 GMT",
            "Sun, 06 Nov 1994 08:49:60 GMT",
            "Sun Nov  0 08:49:37 1994",
        ] {
            check(value, None);
        }
    }

    #[test]
    fn february_has_29_days_in_leap_years_only() {
        check("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400));
        check("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800));
        check("Wed, 01 Mar 2000 00:00:00 GMT", Some(951_868_800));
        check("Thu, 29 Feb 1900 00:00:00 GMT", None);
        check("Sat, 29 Feb 2025 00:00:00 GMT", None);
        check("Mon, 29 Feb 2100 00:00:00 GMT", None);
    }

    #[test]
    fn a_leap_second_is_the_first_second_of_the_next_day() {
        check("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800));
        check("Sun, 01 Jan 2017 00:00:00 GMT", Some(1_483_228_800));
    }

    #[test]
    fn years_run_from_0_to_9999() {
        check("Thu, 01 Jan 1970 00:00:00 GMT", Some(0));
        check("Wed, 31 Dec 1969 23:59:59 GMT", Some(-1));
        check("Sat, 01 Jan 0000 00:00:00 GMT", Some(-62_167_219_200));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799));
    }

    #[test]
    fn two_digits_name_a_year_at_most_50_years_ahead() {
        let year = |years: i64| days_before(years) - days_before(1970);
        check("Thursday, 01-Jan-26 00:00:00 GMT", Some(year(2026) * DAY));
        check("Wednesday, 01-Jan-76 00:00:00 GMT", Some(year(2076) * DAY));
        check("Saturday, 01-Jan-77 00:00:00 GMT", Some(year(1977) * DAY));
        check("Friday, 01-Jan-99 00:00:00 GMT", Some(year(1999) * DAY));
        check("Saturday, 01-Jan-00 00:00:00 GMT", Some(year(2000) * DAY));
        // Fifty years to the second, and one second more.
        check("Thursday, 06-Aug-76 12:00:00 GMT", Some(3_363_940_800));
        check("Friday, 06-Aug-76 12:00:01 GMT", Some(3_363_940_801 - 36_525 * DAY));
    }

    #[test]
    fn two_digits_near_the_turn_of_a_century_reach_into_the_next() {
        let at = |year: i64| ((days_before(year) - days_before(1970)) * DAY) as u64;
        let parsed = parse(b"Monday, 01-Jan-05 00:00:00 GMT", at(2095));
        assert_eq!(parsed, Some(at(2105) as i64));
        // 2100 is no leap year, so this is no date, whatever 2000 was.
        assert_eq!(parse(b"Monday, 29-Feb-00 00:00:00 GMT", at(2095)), None);
        assert_eq!(parse(b"Tuesday, 29-Feb-00 00:00:00 GMT", at(2026)), Some(951_782_400));
    }
}
