//! What the process says about itself: reloads, orders, sockets that can't be used. On stderr, for people.
//!
//! What happens to calls isn't here: that is the log, on stdout, which the recorder writes.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// From now on. A program that already listens to them goes on doing so.
pub(crate) fn to_stderr() {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false);
    // Libraries below say much that is an ordinary break to us, which the log tells in our words.
    let ours = Targets::new().with_target("mainstay", LevelFilter::INFO);
    if let Err(error) = tracing_subscriber::registry().with(lines).with(ours).try_init() {
        tracing::debug!(%error, "messages have a listener already");
    }
}
