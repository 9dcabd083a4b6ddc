//! `Retry-After`, `RateLimit` and its kin: what an upstream says of when to come back.

use std::time::Duration;

use mainstay_core::retry::rate_limit::Hint;
use mainstay_core::retry::retry_after;

use super::{borrowed, fields, knobs};

/// Words of such fields.
pub const WORDS: &[&str] = &[
    "retry-after: ",
    "ratelimit: ",
    "ratelimit-policy: ",
    "x-ratelimit-reset: ",
    "x-ratelimit-remaining: 0\n",
    "retry-after-ms: ",
    "\"a\";r=0;t=1",
    ";q=1;w=2",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    ":",
    "?1",
    "99999999999999999999",
    "-1",
    "1.5",
    ", ",
    ":YQ==:",
    "(",
    ")",
    "\n",
];

/// Longer than anything that is believed of an upstream.
const NEVER: Duration = Duration::from_secs(400 * 24 * 3600);

/// Runs it: no wait is longer than is believed, and a refusal's hint is one of the answer's.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    let Some(([status, when], rest)) = knobs(bytes) else { return };
    let status = [200, 403, 429, 503][usize::from(status % 4)];
    let now_ms = [0, 784_111_777_000, 1_786_017_600_000, u64::MAX / 2][usize::from(when % 4)];
    let fields = fields(rest);
    let hint = Hint::of(borrowed(&fields), status, now_ms);
    if let Some(hint) = hint {
        assert!(hint.wait <= NEVER, "{hint:?}");
    }
    let refusal = Hint::of_refusal(borrowed(&fields), status, now_ms);
    assert!(refusal.is_none() || refusal == hint, "{refusal:?} and {hint:?}");
    let _ = retry_after::parse(rest, now_ms / 1000);
}
