//! Numbers and times written into a line by hand: what each request's line is made of costs no formatter.

use std::cell::Cell;
use std::fmt::{Display, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use mainstay_core::outbox::WallTime;

/// The longest number has twenty digits.
const DIGITS: usize = 20;

/// Each byte in two hexadecimal digits.
const HEX: [[u8; 2]; 256] = {
    let (digits, mut table, mut byte) = (b"0123456789abcdef", [[0; 2]; 256], 0);
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

/// A number, in decimal digits.
pub(crate) fn push_number(line: &mut Vec<u8>, number: u64) {
    if (100..1000).contains(&number) {
        return line.extend_from_slice(&three(number));
    }
    let (mut digits, mut at, mut rest) = ([b'0'; DIGITS], DIGITS, number);
    loop {
        at -= 1;
        // Below ten.
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 || at == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[at..]);
}

/// An address, as its own formatter writes it.
pub(crate) fn push_address(line: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else { return push_shown(line, address) };
    // Four numbers of at most three digits, and the points between them.
    let (mut text, mut end) = ([b'.'; 16], 0);
    for part in address.octets() {
        let digits = three(part.into());
        let from = usize::from(part < 100) + usize::from(part < 10);
        for digit in &digits[from..] {
            text[end] = *digit;
            end += 1;
        }
        end += 1;
    }
    line.extend_from_slice(&text[..end - 1]);
}

/// What is written by its own formatter, which takes its time.
pub(crate) fn push_shown(line: &mut Vec<u8>, shown: impl Display) {
    struct Into<'a>(&'a mut Vec<u8>);
    impl std::fmt::Write for Into<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // Writing into memory can't fail.
    let _ = write!(Into(line), "{shown}");
}

/// The bytes in hexadecimal digits, two for each.
pub(crate) fn write_hex(digits: &mut [u8], bytes: &[u8]) {
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&HEX[usize::from(*byte)]);
    }
}

/// Milliseconds to the microsecond, without zeros at the end: 3.14.
pub(crate) fn push_millis(line: &mut Vec<u8>, length: Duration) {
    let micros = micros(length);
    push_number(line, micros / 1000);
    push_fraction(line, micros % 1000);
}

/// Whole microseconds, rounded.
pub(crate) fn micros(length: Duration) -> u64 {
    u64::try_from((length.as_nanos() + 500) / 1000).unwrap_or(u64::MAX)
}

/// Thousandths behind a point, if there are any.
pub(crate) fn push_fraction(line: &mut Vec<u8>, thousandths: u64) {
    if thousandths == 0 {
        return;
    }
    line.push(b'.');
    let digits = three(thousandths);
    let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
    line.extend_from_slice(&digits[..3 - zeros]);
}

/// The last three decimal digits.
const fn three(number: u64) -> [u8; 3] {
    [b'0' + (number / 100 % 10) as u8, b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

/// `2026-11-27T01:38:07.000Z`.
pub(crate) fn push_time(line: &mut Vec<u8>, unix_ms: u64) {
    line.extend_from_slice(&second(unix_ms / 1000).rfc3339);
    line.extend_from_slice(&three(unix_ms));
    line.push(b'Z');
}

/// `27/Nov/2026:01:38:07 +0000`, as Apache has it.
pub(crate) fn push_apache_time(line: &mut Vec<u8>, unix_ms: u64) {
    line.extend_from_slice(&second(unix_ms / 1000).apache);
}

/// A second in the forms in which lines tell it.
#[derive(Clone, Copy)]
struct Second {
    unix: u64,
    /// Up to the point behind the seconds.
    rfc3339: [u8; 20],
    apache: [u8; 26],
}

/// Most lines of a thread are of the same second as the line before, and a date takes longer to make than all else in a line.
fn second(unix: u64) -> Second {
    thread_local! {
        static LAST: Cell<Option<Second>> = const { Cell::new(None) };
    }
    match LAST.get() {
        Some(last) if last.unix == unix => last,
        _ => {
            let made = Second::of(unix);
            LAST.set(Some(made));
            made
        }
    }
}

impl Second {
    fn of(unix: u64) -> Self {
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        // Of four digits: what is later isn't a clock's.
        let text = WallTime(unix.min(LAST_SECOND) * 1000).to_string();
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
        let month = part(5, 7).parse::<usize>().ok();
        let month = month.and_then(|month| MONTHS.get(month.wrapping_sub(1))).unwrap_or(&"---");
        let of_apache = format!("{}/{month}/{}:{} +0000", part(8, 10), part(0, 4), part(11, 19));
        Self { unix, rfc3339: sized(part(0, 20)), apache: sized(&of_apache) }
    }
}

/// The text in so many bytes.
fn sized<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [b' '; N];
    bytes.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
    bytes
}

/// The last one of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        write(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn numbers_and_lengths_are_what_their_formatters_write() {
        for number in [0, 7, 10, 999, 1_000, 65_535, u64::MAX] {
            assert_eq!(written(|line| push_number(line, number)), number.to_string());
        }
        for micros in [0, 1, 10, 100, 999, 1_000, 1_500, 3_141, 12_340, 86_400_000_000] {
            let shown = (micros as f64 / 1e3).to_string();
            let length = Duration::from_micros(micros);
            assert_eq!(written(|line| push_millis(line, length)), shown);
        }
        assert_eq!(written(|line| push_millis(line, Duration::from_nanos(1_500))), "0.002");
        assert_eq!(written(|line| push_millis(line, Duration::from_nanos(1_499))), "0.001");
        for address in ["0.0.0.0", "127.0.0.1", "9.10.99.100", "255.255.255.255", "::1", "fe80::12"]
        {
            let parsed = address.parse().unwrap();
            assert_eq!(written(|line| push_address(line, parsed)), address);
        }
    }

    #[test]
    fn bytes_have_two_digits_each() {
        let mut digits = [0; 8];
        write_hex(&mut digits, &[0x00, 0x0f, 0xf0, 0xa5]);
        assert_eq!(&digits, b"000ff0a5");
    }

    #[test]
    fn a_second_that_is_remembered_is_no_other_one() {
        let rfc3339 = |ms| written(|line| push_time(line, ms));
        let apache = |ms| written(|line| push_apache_time(line, ms));
        for ms in [1_709_164_799_999, 1_709_164_800_000, 1_709_164_799_001, 0, 951_782_400_007] {
            assert_eq!(rfc3339(ms), WallTime(ms).to_string());
            assert_eq!(rfc3339(ms), WallTime(ms).to_string());
        }
        assert_eq!(apache(1_709_164_799_999), "28/Feb/2024:23:59:59 +0000");
        assert_eq!(apache(1_709_164_800_000), "29/Feb/2024:00:00:00 +0000");
        assert_eq!(rfc3339(u64::MAX).get(..20), Some("9999-12-31T23:59:59."));
    }
}
