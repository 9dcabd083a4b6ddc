//! What is the same of a table in whatever database: its name, the ids of its rows, and what goes wrong.

use std::error::Error;
use std::fmt;

use super::DeliveryError;

/// The id of a delivery, 32 hexadecimal digits: whoever delivers it calls it by this.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryId(String);

impl DeliveryId {
    pub(super) const fn of(text: String) -> Self {
        Self(text)
    }

    /// Its digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a delivery wasn't put into the outbox.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnqueueError<E> {
    /// Something is wrong with it; the database wasn't asked.
    Delivery(DeliveryError),
    /// The database's error. What it means for the transaction, the database says.
    Database(E),
}

impl<E> fmt::Display for EnqueueError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delivery(_) => "the delivery can't be stored",
            Self::Database(_) => "the database didn't take the delivery",
        })
    }
}

impl<E: Error + 'static> Error for EnqueueError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Delivery(error) => Some(error),
            Self::Database(error) => Some(error),
        }
    }
}

/// A text that can't be the name of a table: `NAME` or `SCHEMA.NAME` can, of at most 63 bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoTable(String);

impl fmt::Display for NoTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} can't be the name of a table", self.0)
    }
}

impl Error for NoTable {}

/// A table's name in SQL, quoted.
pub(super) fn quoted(table: &str) -> Result<String, NoTable> {
    let parts: Vec<&str> = table.split('.').collect();
    let fits = |part: &&str| !part.is_empty() && part.len() <= 63 && !part.contains('\0');
    if parts.len() > 2 || !parts.iter().all(fits) {
        return Err(NoTable(table.to_owned()));
    }
    let quoted = parts.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\"")));
    Ok(quoted.collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name_whatever_is_in_it() {
        assert_eq!(quoted("shop.outbox").unwrap(), "\"shop\".\"outbox\"");
        assert_eq!(quoted("a\"; drop").unwrap(), "\"a\"\"; drop\"");
        for wrong in ["", "a.", "a.b.c", &"x".repeat(64)] {
            assert!(quoted(wrong).is_err(), "{wrong:?}");
        }
    }
}
