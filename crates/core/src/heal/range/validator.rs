//! What identifies a representation to the byte: a strong `ETag` (RFC 9110, section 8.8.3), or a field declared to be as good.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// What is said in `ETag`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tag<'a> {
    /// Nothing.
    #[default]
    Absent,
    /// The bytes may differ where it is the same.
    Weak,
    /// With its quotes, as it goes into `If-Range`.
    Strong(&'a [u8]),
    /// Not well-formed, or said more than once.
    Unreadable,
}

impl<'a> Tag<'a> {
    /// Adds a line of the field.
    pub(super) fn add(&mut self, line: &'a [u8]) {
        let line = line.trim_ascii();
        *self = match (*self, line.strip_prefix(b"W/")) {
            (Self::Absent, None) if is_quoted(line) => Self::Strong(line),
            (Self::Absent, Some(rest)) if is_quoted(rest) => Self::Weak,
            _ => Self::Unreadable,
        };
    }
}

fn is_quoted(tag: &[u8]) -> bool {
    let inner = tag.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    inner.is_some_and(|inner| {
        inner.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..=0xff))
    })
}

/// The validator that all answers of a download must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Validator {
    Tag(Box<[u8]>),
    Declared { name: Box<str>, value: Box<[u8]> },
}

impl Validator {
    /// The declared field that counts, if it is one.
    pub(super) fn declared(&self) -> &[Box<str>] {
        match self {
            Self::Tag(_) => &[],
            Self::Declared { name, .. } => core::slice::from_ref(name),
        }
    }
}

/// The codings of a representation in order, in lower case and with commas between them; empty if it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coding(Vec<u8>);

impl Coding {
    /// Adds a line of `Content-Encoding`.
    pub(super) fn add(&mut self, line: &[u8]) {
        for item in line.split(|byte| *byte == b',') {
            let coding = item.trim_ascii().to_ascii_lowercase();
            // Other names of the same (RFC 9110, section 8.4.1).
            let coding = match &coding[..] {
                b"x-gzip" | b"x-compress" => &coding[2..],
                other => other,
            };
            // It means that there is none, and shouldn't be said here.
            if coding.is_empty() || coding == b"identity" {
                continue;
            }
            if !self.0.is_empty() {
                self.0.push(b',');
            }
            self.0.extend_from_slice(coding);
        }
    }

    pub(super) fn is_identity(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag<'a>(lines: &[&'a str]) -> Tag<'a> {
        let mut tag = Tag::default();
        lines.iter().for_each(|line| tag.add(line.as_bytes()));
        tag
    }

    #[test]
    fn a_tag_is_strong_only_if_it_is_quoted_once_and_not_marked_as_weak() {
        for line in ["\"\"", "\"abc\"", "\"W/abc\"", "\"5f-\u{fc}\"", "\"a\\b\""] {
            assert_eq!(tag(&[line]), Tag::Strong(line.as_bytes()), "{line}");
        }
        assert_eq!(tag(&["W/\"abc\""]), Tag::Weak);
        for line in
            ["", "abc", "\"abc", "abc\"", "\"", "\"a\"b\"", "\"a b\"", "w/\"a\"", "W/a", "*"]
        {
            assert_eq!(tag(&[line]), Tag::Unreadable, "{line}");
        }
        assert_eq!(tag(&["\"a\"", "\"a\""]), Tag::Unreadable);
        assert_eq!(tag(&[]), Tag::Absent);
    }

    #[test]
    fn codings_are_the_same_if_they_are_in_the_same_order() {
        let of = |lines: &[&str]| {
            let mut coding = Coding::default();
            lines.iter().for_each(|line| coding.add(line.as_bytes()));
            coding
        };
        assert!(
            of(&[]).is_identity() && of(&["Identity"]).is_identity() && of(&[" , "]).is_identity()
        );
        assert_eq!(of(&["GZip"]), of(&["x-gzip"]));
        assert_eq!(of(&["gzip, br"]), of(&["gzip", "br"]));
        assert_ne!(of(&["gzip, br"]), of(&["br, gzip"]));
        assert_ne!(of(&["gzip"]), of(&["gzip, gzip"]));
        assert_ne!(of(&["gzip"]), of(&[]));
        assert_ne!(of(&["x-other"]), of(&["other"]));
    }
}
