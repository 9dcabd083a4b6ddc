//! What is known of an answer that broke, when it can be continued.

use core::time::Duration;

/// It can be told whether what comes next is what is missing of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The least that the peer has to be left alone for before it is asked: an event stream says so by `retry`.
    pub after: Duration,
    /// Whether each answer shows by itself that it is of the same representation, so that another endpoint's is as good as that of
    /// the one that gave the answer. An event stream's shows where it goes on, but not that it is the same stream.
    pub anywhere: bool,
}
