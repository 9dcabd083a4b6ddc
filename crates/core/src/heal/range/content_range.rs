//! `Content-Range` (RFC 9110, section 14.4).

/// What is said in `Content-Range`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ContentRange {
    /// Nothing.
    #[default]
    Absent,
    /// This part is enclosed. It isn't empty and ends within the total.
    Part {
        first: u64,
        /// Behind its last byte.
        ends: u64,
        total: Option<u64>,
    },
    /// No part is, of so many bytes.
    Unsatisfied { total: u64 },
    /// Not well-formed, of another unit than bytes, or said more than once.
    Unreadable,
}

impl ContentRange {
    /// Adds a line of the field.
    pub(super) fn add(&mut self, line: &[u8]) {
        *self = match self {
            Self::Absent => read(line.trim_ascii()).unwrap_or(Self::Unreadable),
            _ => Self::Unreadable,
        };
    }
}

fn read(value: &[u8]) -> Option<ContentRange> {
    let (unit, rest) = split(value, b' ')?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let (range, total) = split(rest, b'/')?;
    if range == b"*" {
        return Some(ContentRange::Unsatisfied { total: number(total)? });
    }
    let total = if total == b"*" { None } else { Some(number(total)?) };
    let (first, last) = split(range, b'-')?;
    let (first, ends) = (number(first)?, number(last)?.checked_add(1)?);
    let is_valid = first < ends && total.is_none_or(|total| ends <= total);
    is_valid.then_some(ContentRange::Part { first, ends, total })
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..place], &bytes[place + 1..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> ContentRange {
        let mut read = ContentRange::default();
        lines.iter().for_each(|line| read.add(line.as_bytes()));
        read
    }

    #[test]
    fn a_part_is_where_it_begins_where_it_ends_and_of_how_much() {
        for (line, first, ends, total) in [
            ("bytes 0-0/1", 0, 1, Some(1)),
            ("bytes 100-199/1000", 100, 200, Some(1000)),
            ("Bytes 100-199/*", 100, 200, None),
            (" bytes 007-9/10 ", 7, 10, Some(10)),
            ("bytes 0-18446744073709551614/*", 0, u64::MAX, None),
        ] {
            assert_eq!(of(&[line]), ContentRange::Part { first, ends, total }, "{line}");
        }
        assert_eq!(of(&["bytes */0"]), ContentRange::Unsatisfied { total: 0 });
        assert_eq!(of(&["bytes */800"]), ContentRange::Unsatisfied { total: 800 });
        assert_eq!(of(&[]), ContentRange::Absent);
    }

    #[test]
    fn what_is_wrong_in_any_way_is_unreadable() {
        for line in [
            "",
            "bytes",
            "bytes 0-9",
            "bytes=0-9/10",
            "bytes: 0-9/10",
            "bytes  0-9/10",
            "bytes 0 - 9/10",
            "bytes 0-9/ 10",
            "bytes 0-10/10",
            "bytes 9-8/10",
            "bytes -9/10",
            "bytes 0-/10",
            "bytes 0-9/",
            "bytes +0-9/10",
            "bytes 0-9/10/10",
            "bytes 0-9,20-29/100",
            "bytes */*",
            "bytes 0-18446744073709551615/*",
            "bytes 0-9/99999999999999999999",
            "items 0-9/10",
            "0-9/10",
        ] {
            assert_eq!(of(&[line]), ContentRange::Unreadable, "{line}");
        }
        assert_eq!(of(&["bytes 0-9/10", "bytes 0-9/10"]), ContentRange::Unreadable);
    }
}
