//! What is asked: by the application at first, and by us when its answer broke.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use super::Unhealable;

/// A request, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    pub(super) is_get: bool,
    pub(super) has_range: bool,
    pub(super) has_content: bool,
}

impl Asked {
    /// Reads a request's head. Names of fields are in lower case.
    pub fn of<'a>(method: &str, fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut asked = Self { is_get: method == "GET", has_range: false, has_content: false };
        for (name, value) in fields {
            match name {
                "range" => asked.has_range = true,
                "content-length" => asked.has_content |= value.trim_ascii() != b"0",
                "transfer-encoding" => asked.has_content = true,
                _ => {}
            }
        }
        asked
    }

    /// Whether an answer to it can be continued at all.
    pub(super) fn check(self) -> Result<(), Unhealable> {
        match self {
            Self { is_get: false, .. } => Err(Unhealable::Method),
            Self { has_content: true, .. } => Err(Unhealable::RequestContent),
            Self { .. } => Ok(()),
        }
    }
}

/// The fields of the application's request that a resume goes without; [`Ask::fields`] come in their place.
///
/// `If-None-Match` and `If-Modified-Since` ask for a 304, which the application has been spared already. `If-Match` and
/// `If-Unmodified-Since` stay: they held when the answer began, and where they don't any more a 412 says so at once. All
/// else stays too, above all `Accept` and `Accept-Encoding`, by which the server chose the representation, and whatever a
/// signature may cover.
pub const REPLACED: [&str; 4] = ["range", "if-range", "if-none-match", "if-modified-since"];

/// What a request says that is to continue a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    range: String,
    if_range: Option<Box<[u8]>>,
}

impl Ask {
    pub(super) fn new(first: u64, ends: Option<u64>, if_range: Option<&[u8]>) -> Self {
        let range = match ends {
            Some(ends) => format!("bytes={first}-{}", ends.saturating_sub(1)),
            None => format!("bytes={first}-"),
        };
        Self { range, if_range: if_range.map(Box::from) }
    }

    /// The value of `Range`.
    #[must_use]
    pub fn range(&self) -> &str {
        &self.range
    }

    /// The value of `If-Range`. A field that a route declares can't be said there: then only the answer tells.
    #[must_use]
    pub fn if_range(&self) -> Option<&[u8]> {
        self.if_range.as_deref()
    }

    /// The fields to be set, once those of [`REPLACED`] are gone.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let range = core::iter::once(("range", self.range.as_bytes()));
        range.chain(self.if_range().map(|tag| ("if-range", tag)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_request_is_read_for_its_method_its_range_and_its_content() {
        let of = |method, fields: &[(&'static str, &'static str)]| {
            let asked =
                Asked::of(method, fields.iter().map(|(name, value)| (*name, value.as_bytes())));
            (asked.is_get, asked.has_range, asked.has_content)
        };
        assert_eq!(of("GET", &[]), (true, false, false));
        assert_eq!(of("get", &[("range", "bytes=0-")]), (false, true, false));
        assert_eq!(of("GET", &[("content-length", "0")]), (true, false, false));
        assert_eq!(of("GET", &[("content-length", "10")]), (true, false, true));
        assert_eq!(of("GET", &[("transfer-encoding", "chunked")]), (true, false, true));
    }

    #[test]
    fn what_is_set_takes_the_place_of_what_goes() {
        let ask = Ask::new(488, Some(1_000), Some(b"\"v1\""));
        let fields: Vec<_> = ask.fields().collect();
        assert_eq!(fields, [("range", &b"bytes=488-999"[..]), ("if-range", b"\"v1\"")]);
        assert!(fields.iter().all(|(name, _)| REPLACED.contains(name)));
        let ask = Ask::new(0, None, None);
        assert_eq!(ask.fields().collect::<Vec<_>>(), [("range", &b"bytes=0-"[..])]);
    }
}
