//! Wall-clock time as text.

use mainstay_core::outbox::WallTime;

/// RFC 3339 in UTC, with milliseconds: `2026-03-01T12:00:00.250Z`.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> String {
    WallTime(unix_ms).to_string()
}
