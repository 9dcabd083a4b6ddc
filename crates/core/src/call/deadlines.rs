//! How long: when the driver has to come back, and why.

use crate::time::Timestamp;

/// When the driver has to come back, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: DeadlineReason,
}

/// Why a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlineReason {
    /// The whole call ends there.
    Call,
    /// An attempt ends there.
    Attempt,
    /// A second attempt starts there if the first has no answer.
    Hedge,
    /// The next attempt starts there.
    Backoff,
    /// A rate limit or a pause of the peer lets it start there.
    Held,
    /// What has come of an answer goes to the application there, although more was waited for.
    Commit,
}
