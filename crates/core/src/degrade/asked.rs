//! What a request says that matters for answers that are kept.

use super::Directives;

/// What a method promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// GET: its answers may be kept.
    Get,
    /// HEAD: it may be answered by what a GET brought.
    Head,
    /// Safe, and nothing is kept of it: OPTIONS, TRACE.
    OtherSafe,
    /// Whatever may change something.
    Unsafe,
}

impl Verb {
    /// Methods are case-sensitive; one that nobody knows may change something.
    #[must_use]
    pub fn of(method: &str) -> Self {
        match method {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" | "TRACE" => Self::OtherSafe,
            _ => Self::Unsafe,
        }
    }

    /// Whether it changes nothing (RFC 9110, section 9.2.1).
    #[must_use]
    pub const fn is_safe(self) -> bool {
        !matches!(self, Self::Unsafe)
    }
}

/// A request, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its method.
    pub verb: Verb,
    /// Whether it wants a part only (`Range`).
    pub has_range: bool,
    /// Whether it carries `Authorization`.
    pub has_authorization: bool,
    /// Its `Cache-Control`.
    pub directives: Directives,
}

impl Asked {
    /// Reads a request's head. Names of fields are in lower case, as HTTP/2 has them.
    pub fn of<'a>(method: &str, fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut asked = Self {
            verb: Verb::of(method),
            has_range: false,
            has_authorization: false,
            directives: Directives::default(),
        };
        for (name, value) in fields {
            match name {
                "range" => asked.has_range = true,
                "authorization" => asked.has_authorization = true,
                "cache-control" => asked.directives.add(value),
                _ => {}
            }
        }
        asked
    }

    /// Whether an answer that is kept can be one to this request at all.
    pub(super) const fn may_be_answered_from_kept(&self) -> bool {
        matches!(self.verb, Verb::Get | Verb::Head) && !self.has_range && !self.directives.no_cache
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_over_all_of_its_lines() {
        let fields: [(&str, &[u8]); 4] = [
            ("cache-control", b"max-age=5"),
            ("authorization", b"Bearer x"),
            ("cache-control", b"stale-if-error=60"),
            ("range", b"bytes=0-1"),
        ];
        let asked = Asked::of("GET", fields.into_iter());
        assert!(asked.has_range && asked.has_authorization && asked.verb == Verb::Get);
        assert_eq!(asked.directives.max_age, Some(5));
        assert_eq!(asked.directives.stale_if_error, Some(60));
        assert!(!asked.may_be_answered_from_kept());
    }
}
