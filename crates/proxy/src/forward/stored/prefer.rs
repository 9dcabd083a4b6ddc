//! `Prefer` (RFC 7240), as far as it is about waiting.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

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

    /// Takes out what is asked of us; what is asked of the API stays.
    pub(super) fn take_out(headers: &mut HeaderMap) {
        let is_ours = |preference: &str| {
            let name = preference.split([';', '=']).next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("respond-async") || name.eq_ignore_ascii_case("wait")
        };
        let values = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        let others: Vec<&str> = values
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|preference| !preference.is_empty() && !is_ours(preference))
            .collect();
        match HeaderValue::try_from(others.join(", ")) {
            Ok(left) if !left.is_empty() => headers.insert(PREFER, left),
            _ => headers.remove(PREFER),
        };
    }
}

/// The field.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// A longer wait holds a connection for what may take days.
const WAIT_MOST: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn what_is_asked_of_the_api_goes_on() {
        for (given, left) in [
            ("respond-async, wait=5", None),
            (
                "return=minimal; x=1, Respond-Async, handling=strict",
                Some("return=minimal; x=1, handling=strict"),
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, HeaderValue::from_static(given));
            Preferences::take_out(&mut headers);
            let found = headers.get(PREFER).map(|value| value.to_str().unwrap());
            assert_eq!(found, left);
        }
    }
}
