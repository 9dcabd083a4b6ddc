//! The process itself: how it starts and fails to, how it takes new settings under load, how it ends.
//!
//! What becomes of calls when servers break is the matter of `tests/scenarios`; here the servers are well, and what is
//! sent to the real binary are signals and orders. [`binary`] runs it, [`held`] is a server whose answer waits for the test,
//! [`heard`] one that remembers what it was asked. In [`degrade`] the server goes.

mod binary;
mod degrade;
mod end;
mod heard;
mod held;
mod load;
mod packaging;
mod reload;
#[path = "../support/serving.rs"]
mod serving;
mod simulate;
mod start;
mod told;
mod upgrade;

/// What a test gives back; the error says what went wrong.
type Outcome = Result<(), String>;

/// For `map_err`.
fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Fails with these words unless it holds.
fn hold(holds: bool, otherwise: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
