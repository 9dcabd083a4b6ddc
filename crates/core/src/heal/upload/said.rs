//! What a head says of an upload.
//!
//! Offsets and lengths are integers, completeness a boolean of structured fields (RFC 9651); tus has plain numbers, which
//! read the same. A field that is said twice, or isn't well-formed, is told apart from one that isn't there.

use super::Protocol;

/// The fields of a head that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said<'a> {
    pub(super) offset: Field<u64>,
    pub(super) length: Field<u64>,
    pub(super) complete: Field<bool>,
    pub(super) location: Option<&'a [u8]>,
    version: Field<u64>,
}

/// What a field says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Field<T> {
    #[default]
    Absent,
    Is(T),
    Unreadable,
}

impl<T: Copy> Field<T> {
    fn add(&mut self, value: Option<T>) {
        *self = match (&self, value) {
            (Self::Absent, Some(value)) => Self::Is(value),
            (Self::Absent, None) | (Self::Is(_) | Self::Unreadable, _) => Self::Unreadable,
        };
    }

    pub(super) const fn value(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Absent | Self::Unreadable => None,
        }
    }
}

impl<'a> Said<'a> {
    /// Reads a head's fields. Their names are in lower case.
    pub(super) fn of(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut said = Self::default();
        for (name, value) in fields {
            match name {
                "upload-offset" => said.offset.add(integer(value)),
                "upload-length" => said.length.add(integer(value)),
                "upload-complete" => said.complete.add(boolean(value)),
                "upload-draft-interop-version" => said.version.add(integer(value)),
                "location" => said.location = Some(value),
                _ => {}
            }
        }
        said
    }

    /// Whether a 104 is one of this protocol: an IETF draft's has to say its version.
    pub(super) fn is_offer_of(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Ietf { interop_version } => {
                self.version == Field::Is(u64::from(interop_version))
            }
            Protocol::Tus => false,
        }
    }
}

/// At most fifteen digits, as RFC 9651 has it. Parameters are ignored.
fn integer(value: &[u8]) -> Option<u64> {
    let digits = item(value);
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    digits.iter().try_fold(0, |sum: u64, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'))
    })
}

fn boolean(value: &[u8]) -> Option<bool> {
    match item(value) {
        b"?1" => Some(true),
        b"?0" => Some(false),
        _ => None,
    }
}

/// The item itself, without its parameters.
fn item(value: &[u8]) -> &[u8] {
    let ends = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
    value.get(..ends).unwrap_or_default().trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(fields: &'a [(&'a str, &'a str)]) -> Said<'a> {
        Said::of(fields.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn numbers_are_whole_and_said_once() {
        for (value, wanted) in [
            ("0", Field::Is(0)),
            (" 007 ", Field::Is(7)),
            ("12;source=disk", Field::Is(12)),
            ("999999999999999", Field::Is(999_999_999_999_999)),
            ("1000000000000000", Field::Unreadable),
            ("", Field::Unreadable),
            ("-1", Field::Unreadable),
            ("1.0", Field::Unreadable),
            ("1, 2", Field::Unreadable),
            ("\"1\"", Field::Unreadable),
        ] {
            assert_eq!(of(&[("upload-offset", value)]).offset, wanted, "{value}");
        }
        let twice = of(&[("upload-offset", "1"), ("upload-offset", "1")]);
        assert_eq!(twice.offset, Field::Unreadable);
        assert_eq!(of(&[("upload-length", "1")]).offset, Field::Absent);
    }

    #[test]
    fn completeness_is_a_boolean_and_nothing_else() {
        for (value, wanted) in [
            ("?1", Field::Is(true)),
            (" ?0;x", Field::Is(false)),
            ("1", Field::Unreadable),
            ("true", Field::Unreadable),
        ] {
            assert_eq!(of(&[("upload-complete", value)]).complete, wanted, "{value}");
        }
    }

    #[test]
    fn an_offer_of_another_version_is_none() {
        let draft = Protocol::Ietf { interop_version: 8 };
        assert!(of(&[("upload-draft-interop-version", "8")]).is_offer_of(draft));
        assert!(!of(&[("upload-draft-interop-version", "6")]).is_offer_of(draft));
        assert!(!of(&[]).is_offer_of(draft));
        assert!(!of(&[("upload-draft-interop-version", "8")]).is_offer_of(Protocol::Tus));
    }
}
