//! What the process says about itself: reloads, orders, sockets that can't be used. On stderr, for people.
//!
//! What happens to calls isn't here: that is the log, on stdout, which the recorder writes.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;

use mainstay_proxy::Messages;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{Handle, Layer};
use tracing_subscriber::util::SubscriberInitExt;

/// From now on. Gives what can be changed about them while the process runs; a program that already listens to messages goes on
/// doing so, and nothing can be changed.
pub(crate) fn to_stderr() -> Option<Arc<dyn Messages>> {
    // Libraries below say much that is an ordinary break to us, which the log tells in our words.
    let ours = Targets::new().with_target("mainstay", LevelFilter::INFO);
    let (heard, handle) = Layer::new(ours);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false);
    match tracing_subscriber::registry().with(heard).with(lines).try_init() {
        Ok(()) => Some(Arc::new(Heard(handle))),
        Err(error) => {
            tracing::debug!(%error, "messages have a listener already");
            None
        }
    }
}

/// Which messages are heard.
#[derive(Debug)]
struct Heard(Handle<Targets, Registry>);

impl Messages for Heard {
    fn filter(&self) -> String {
        self.0.with_current(ToString::to_string).unwrap_or_default()
    }

    fn set_filter(&self, filter: &str) -> Result<(), String> {
        let targets: Targets = filter.parse().map_err(|error| format!("{error}"))?;
        self.0.reload(targets).map_err(|error| error.to_string())
    }
}
