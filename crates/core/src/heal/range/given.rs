//! What the head of an answer says that matters here.

use alloc::borrow::Cow;

use super::content_range::ContentRange;
use super::validator::{Coding, Tag};

/// The head of an answer, as far as it matters here.
#[derive(Clone, Debug)]
pub(super) struct Given<'a> {
    pub(super) status: u16,
    /// How many bytes its body has, if that is known.
    pub(super) exact_length: Option<u64>,
    pub(super) tag: Tag<'a>,
    /// Which of the declared fields it has first in their order, and the value.
    pub(super) declared: Option<(usize, Cow<'a, [u8]>)>,
    pub(super) range: ContentRange,
    pub(super) coding: Coding,
    pub(super) is_multipart: bool,
    pub(super) announces_trailers: bool,
}

impl<'a> Given<'a> {
    pub(super) fn of(
        status: u16,
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        exact_length: Option<u64>,
        declared: &[impl AsRef<str>],
    ) -> Self {
        let mut given = Self {
            status,
            exact_length,
            tag: Tag::default(),
            declared: None,
            range: ContentRange::default(),
            coding: Coding::default(),
            is_multipart: false,
            announces_trailers: false,
        };
        for (name, value) in fields {
            if let Some(place) = declared.iter().position(|declared| declared.as_ref() == name) {
                given.add_declared(place, value.trim_ascii());
            }
            match name {
                "etag" => given.tag.add(value),
                "content-range" => given.range.add(value),
                "content-encoding" => given.coding.add(value),
                "content-type" => given.is_multipart |= is_byte_ranges(value),
                "trailer" => given.announces_trailers = true,
                _ => {}
            }
        }
        given
    }

    /// Several lines of a field are one list (RFC 9110, section 5.3); some stores give a digest a line each.
    fn add_declared(&mut self, place: usize, value: &'a [u8]) {
        match &mut self.declared {
            Some((before, _)) if *before < place => {}
            Some((before, list)) if *before == place => {
                let list = list.to_mut();
                list.extend_from_slice(b", ");
                list.extend_from_slice(value);
            }
            // An empty value identifies nothing.
            Some(_) | None if value.is_empty() => {}
            Some(_) | None => self.declared = Some((place, Cow::Borrowed(value))),
        }
    }
}

fn is_byte_ranges(content_type: &[u8]) -> bool {
    const NAME: &[u8] = b"multipart/byteranges";
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(
        names: &[&str],
        fields: &[(&'static str, &'static str)],
    ) -> Option<(usize, Cow<'static, [u8]>)> {
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        Given::of(200, fields, None, names).declared
    }

    #[test]
    fn of_the_declared_fields_the_first_that_is_there_counts_with_all_its_lines() {
        let names = ["x-generation", "x-hash"];
        for (fields, expected) in [
            (&[][..], None),
            (&[("x-hash", "a"), ("x-generation", "1")][..], Some((0, "1"))),
            (&[("x-generation", "1"), ("x-hash", "a")][..], Some((0, "1"))),
            (
                &[("x-hash", "crc=a"), ("etag", "\"e\""), ("x-hash", "md5=b")][..],
                Some((1, "crc=a, md5=b")),
            ),
            (&[("x-generation", ""), ("x-hash", "a")][..], Some((1, "a"))),
            (&[("x-other", "a")][..], None),
        ] {
            let expected = expected.map(|(place, value)| (place, Cow::Borrowed(value.as_bytes())));
            assert_eq!(declared(&names, fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn parts_in_one_answer_are_told_by_the_media_type_alone() {
        for (value, is) in [
            ("multipart/byteranges; boundary=x", true),
            ("Multipart/ByteRanges", true),
            ("multipart/mixed; boundary=x", false),
            ("text/plain; x=multipart/byteranges", false),
        ] {
            assert_eq!(is_byte_ranges(value.as_bytes()), is, "{value}");
        }
    }
}
