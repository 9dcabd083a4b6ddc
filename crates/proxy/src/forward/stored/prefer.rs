//! `Prefer` (RFC 7240), as far as it is about waiting.

use std::time::Duration;

use http::{HeaderMap, HeaderName};

/// What a request prefers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Preferences {
    /// `respond-async`: a 202 is as good as an answer.
    pub(super) respond_async: bool,
    /// `wait`: for so long it would rather have the answer.
    pub(super) wait: Option<Duration>,
}

impl Preferences {
    /// Reads them. What isn't understood is ignored, as the RFC wants it; the first of several counts.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        for preference in values.flat_map(|value| value.split(',')) {
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("respond-async") {
                found.respond_async = true;
            }
            if name.eq_ignore_ascii_case("wait") && found.wait.is_none() {
                found.wait =
                    value.parse().ok().map(|seconds| Duration::from_secs(seconds).min(WAIT_MOST));
            }
        }
        found
    }
}

/// The field.
pub(super) const PREFER: HeaderName = HeaderName::from_static("prefer");

/// A longer wait holds a connection for what may take days.
const WAIT_MOST: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(values: &[&'static str], respond_async: bool, wait: Option<u64>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PREFER, HeaderValue::from_static(value));
        }
        let wait = wait.map(Duration::from_secs);
        assert_eq!(Preferences::of(&headers), Preferences { respond_async, wait }, "{values:?}");
    }

    #[test]
    fn preferences_are_read_and_others_ignored() {
        check(&[], false, None);
        check(&["respond-async"], true, None);
        check(&["Respond-Async; x=1, wait=10"], true, Some(10));
        check(&["return=minimal", "wait=\"5\", wait=7"], false, Some(5));
        check(&["wait=soon, respond-asynchronously"], false, None);
        check(&["wait=100000"], false, Some(300));
    }
}
