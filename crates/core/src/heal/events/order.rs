//! Whether one id comes after another by what they look like: counters, offsets, times, and what is made of them.

use core::cmp::Ordering;

/// Compares two ids as people would: runs of digits as numbers, all else has to be the same. `None`: they can't be compared.
pub(super) fn compare(one: &[u8], other: &[u8]) -> Option<Ordering> {
    let (mut one, mut other) = (one, other);
    let mut order = Ordering::Equal;
    loop {
        let (one_text, one_number) = take(&mut one);
        let (other_text, other_number) = take(&mut other);
        if one_text != other_text || one_number.is_empty() != other_number.is_empty() {
            return None;
        }
        if one_number.is_empty() {
            return Some(order);
        }
        order = order.then_with(|| numbers(one_number, other_number));
    }
}

/// Takes the text up to the next number, and the number.
fn take<'a>(id: &mut &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let (text, rest) = id.split_at(id.iter().position(is_digit).unwrap_or(id.len()));
    let end = rest.iter().position(|byte| !is_digit(byte)).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(end);
    *id = rest;
    (text, number)
}

/// Numbers of any length.
fn numbers(one: &[u8], other: &[u8]) -> Ordering {
    let plain = |number: &'_ [u8]| number.iter().position(|digit| *digit != b'0');
    let one = &one[plain(one).unwrap_or(one.len())..];
    let other = &other[plain(other).unwrap_or(other.len())..];
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_ids_are_compared_as_numbers_and_the_rest_has_to_be_the_same() {
        use Ordering::{Equal, Greater, Less};
        for (one, other, order) in [
            ("9", "10", Some(Less)),
            ("010", "9", Some(Greater)),
            ("07", "7", Some(Equal)),
            ("1700000000-9", "1700000000-10", Some(Less)),
            ("2-1", "1-99", Some(Greater)),
            ("99999999999999999999999998", "99999999999999999999999999", Some(Less)),
            ("0", "000", Some(Equal)),
            ("a1", "a2", Some(Less)),
            ("a1b", "a2b", Some(Less)),
            ("a1", "b2", None),
            ("1-2", "1", None),
            ("1", "1-2", None),
            ("1", "x", None),
            ("", "1", None),
            ("abc", "abd", None),
            ("abc", "abc", Some(Equal)),
        ] {
            assert_eq!(compare(one.as_bytes(), other.as_bytes()), order, "{one} {other}");
            let turned = order.map(Ordering::reverse);
            assert_eq!(compare(other.as_bytes(), one.as_bytes()), turned, "{other} {one}");
        }
    }
}
