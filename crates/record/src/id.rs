//! The id of a call: 16 hexadecimal digits, unique in a run and very likely among all runs.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digits::write_hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Names one call in answers, logs and records.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(u64);

impl CallId {
    /// The next id. `run`: a random number that differs from run to run.
    #[must_use]
    pub fn next(run: u64) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // An odd multiplier makes a permutation of the 64-bit numbers: no id comes twice in a run, and neighbours
        // don't look alike.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(run.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// The id as a number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The digits, without allocation.
    #[must_use]
    pub fn digits(self) -> [u8; 16] {
        let mut digits = [0; 16];
        write_hex(&mut digits, &self.0.to_be_bytes());
        digits
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that isn't the id of a call: 16 hexadecimal digits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCallId;

impl fmt::Display for NoCallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of a call has 16 hexadecimal digits")
    }
}

impl std::error::Error for NoCallId {}

impl FromStr for CallId {
    type Err = NoCallId;

    fn from_str(text: &str) -> Result<Self, NoCallId> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = if digits { u64::from_str_radix(text, 16).ok() } else { None };
        number.map(Self).ok_or(NoCallId)
    }
}

impl Serialize for CallId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_are_those_that_are_printed() {
        let id = CallId(0x0123_4567_89ab_cdef);
        assert_eq!(id.digits().as_slice(), id.to_string().as_bytes());
    }

    #[test]
    fn what_is_printed_can_be_read_and_nothing_else() {
        let id = CallId(0x0023_4567_89ab_cdef);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "1", "+023456789abcdef", "0023456789abcdef0", "0023456789abcdeg"] {
            assert_eq!(text.parse::<CallId>(), Err(NoCallId), "{text}");
        }
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<CallId>(&json).unwrap(), id);
    }

    #[test]
    fn ids_differ() {
        assert_ne!(CallId::next(7), CallId::next(7));
    }
}
