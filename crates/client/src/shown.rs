//! What of a request and of an answer is shown for debugging: names of fields, lengths of bodies, URLs without credentials and query. A program's log
//! is full of what was derived, and secrets are in the rest.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, Uri};

/// The names of fields.
pub(crate) struct Names<'a>(pub(crate) &'a HeaderMap);

/// How long a body is.
pub(crate) struct Length(pub(crate) usize);

/// A URL, without its query and without credentials.
pub(crate) struct Url<'a>(pub(crate) &'a Uri);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys().map(|name| name.as_str())).finish()
    }
}

impl fmt::Debug for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

impl fmt::Debug for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_secrets(&self.0.to_string()))
    }
}

/// A text that is a URL or a path, or was meant to be one.
pub(crate) fn without_secrets(text: &str) -> Cow<'_, str> {
    let (place, query) = match text.split_once('?') {
        Some((place, _)) => (place, "?[redacted]"),
        None => (text, ""),
    };
    let start = place.find("://").map_or(0, |scheme| scheme + 3);
    let authority = place[start..].split('/').next().unwrap_or_default();
    let at = authority.rfind('@').filter(|_| start > 0);
    match (at, query) {
        (None, "") => Cow::Borrowed(text),
        (None, query) => Cow::Owned(format!("{place}{query}")),
        (Some(at), query) => {
            Cow::Owned(format!("{}[redacted]{}{query}", &place[..start], &place[start + at..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        let check = |text: &str, wanted: &str| assert_eq!(without_secrets(text), wanted);
        check("https://a.example/b", "https://a.example/b");
        check(
            "https://me:hush@a.example/b@c?d=hush?e",
            "https://[redacted]@a.example/b@c?[redacted]",
        );
        check("https://me:hu@sh@a", "https://[redacted]@a");
        check("/users/@me", "/users/@me");
        check("/b?hush", "/b?[redacted]");
    }
}
