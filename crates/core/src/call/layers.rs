//! Layers of retries: what one layer tells the next, so that they don't multiply.
//!
//! Five layers with three attempts each make 243 requests of one. So each attempt says which one it is and of how many
//! (`Mainstay-Attempt: 1; of=3; depth=1`, a structured field of RFC 8941): a layer that will try again is seen by the layers
//! below, and they leave the trying to it. They do it themselves only in its last attempt, when nobody above would.

use core::fmt;

/// What a layer says of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layer {
    /// Which attempt it is, counted from 1.
    pub attempt: u8,
    /// How many there may be.
    pub of: u8,
    /// How many layers the request has come through, this one included.
    pub depth: u8,
}

impl Layer {
    /// The field's name.
    pub const FIELD: &'static str = "mainstay-attempt";

    /// Reads the field's value; `None` when it isn't one, which is ignored, as RFC 8941 says.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut parts = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let mut layer = Self { attempt: small(parts.next()?)?, of: 1, depth: 1 };
        for part in parts {
            match split_once(part, b'=') {
                Some((b"of", value)) => layer.of = small(value)?,
                Some((b"depth", value)) => layer.depth = small(value)?,
                // Parameters of later versions are none of ours.
                Some(_) | None => {}
            }
        }
        Some(layer)
    }

    /// Whether the layer tries again if this attempt fails.
    #[must_use]
    pub const fn will_retry(self) -> bool {
        self.attempt < self.of
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};of={};depth={}", self.attempt, self.of, self.depth)
    }
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..place], &bytes[place + 1..]))
}

/// A whole number from 1 to 99: no layer makes more attempts.
fn small(digits: &[u8]) -> Option<u8> {
    match digits {
        [ones @ b'1'..=b'9'] => Some(ones - b'0'),
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + (ones - b'0')),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn check(value: &str, expected: Option<(u8, u8, u8)>) {
        let read = Layer::parse(value.as_bytes());
        assert_eq!(read.map(|it| (it.attempt, it.of, it.depth)), expected, "{value}");
    }

    #[test]
    fn a_field_is_read_and_written_alike() {
        let layer = Layer { attempt: 2, of: 3, depth: 1 };
        assert_eq!(layer.to_string(), "2;of=3;depth=1");
        assert_eq!(Layer::parse(layer.to_string().as_bytes()), Some(layer));
    }

    #[test]
    fn blanks_and_unknown_parameters_are_passed_over() {
        check(" 1 ; of=3 ; depth=2;later=x", Some((1, 3, 2)));
        check("3", Some((3, 1, 1)));
    }

    #[test]
    fn what_is_none_is_none() {
        for value in ["", "x", "0", "100", "-1", "1;of=", "1;of=0", "1;of=x", "1;depth=1000"] {
            check(value, None);
        }
    }

    #[test]
    fn a_layer_in_its_last_attempt_will_not_retry() {
        assert!(Layer { attempt: 1, of: 3, depth: 1 }.will_retry());
        assert!(!Layer { attempt: 3, of: 3, depth: 1 }.will_retry());
        assert!(!Layer { attempt: 4, of: 3, depth: 1 }.will_retry());
    }
}
