//! The id of a delivery: 32 hexadecimal digits. Whoever knows one may ask after its delivery, so it can't be guessed: 80 bits of it are the
//! system's randomness. The first 48 are the milliseconds since 1970 (as in UUIDs of version 7, RFC 9562, section 5.7), so that what is
//! accepted together stands together in the store's indexes: of wholly random ones, each would change a page of its own.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Names one delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId([u8; 16]);

impl DeliveryId {
    /// A new one.
    ///
    /// # Errors
    ///
    /// The system gives no randomness.
    pub fn fresh() -> Result<Self, std::io::Error> {
        let mut bytes = [0; 16];
        let (time, chance) = bytes.split_at_mut(6);
        // A clock that stands wrong costs the order and nothing else.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        time.copy_from_slice(&(since.as_millis() as u64).to_be_bytes()[2..]);
        aws_lc_rs::rand::fill(chance).map_err(std::io::Error::other)?;
        Ok(Self(bytes))
    }

    /// As it is stored.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// As it was stored.
    #[must_use]
    pub const fn of_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that isn't the id of a delivery: 32 hexadecimal digits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDeliveryId;

impl fmt::Display for NoDeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of a delivery has 32 hexadecimal digits")
    }
}

impl std::error::Error for NoDeliveryId {}

impl FromStr for DeliveryId {
    type Err = NoDeliveryId;

    fn from_str(text: &str) -> Result<Self, NoDeliveryId> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).map_err(|_| NoDeliveryId)?;
        if is_hex { Ok(Self(number.to_be_bytes())) } else { Err(NoDeliveryId) }
    }
}

impl Serialize for DeliveryId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeliveryId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = DeliveryId::fresh().expect("randomness");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(DeliveryId::fresh().expect("randomness"), id);
    }

    #[test]
    fn nothing_else_is_one() {
        for text in ["", "0", "+0000000000000000000000000000000", &"0".repeat(33), &"g".repeat(32)]
        {
            assert_eq!(text.parse::<DeliveryId>(), Err(NoDeliveryId), "{text}");
        }
    }
}
