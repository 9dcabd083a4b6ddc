//! What Mainstay tells others of its calls: traces, to a collector that decodes them by OpenTelemetry's own messages.
//!
//! A program that is missing fails its test by name; `cargo xtask test` installs what is missing.

mod collector;
mod logs;
mod metrics;
mod secrets;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod traces;

/// Nothing, or what isn't as it should be.
type Outcome = Result<(), String>;

/// What has to be so.
fn hold(is_so: bool, what: impl std::fmt::Display) -> Outcome {
    if is_so { Ok(()) } else { Err(what.to_string()) }
}
