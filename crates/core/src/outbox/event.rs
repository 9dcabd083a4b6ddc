//! What is told of a stored write to whoever asked for it.

use super::{DeadReason, StoppedReason};

/// Something became of a stored write that its application may want to hear of. That it is tried again isn't such a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The API has answered it, or a person says that it has arrived.
    Delivered,
    /// It waits for a person. Told once for each time it comes to a stop.
    Stopped(StoppedReason),
    /// It was given up.
    Dead(DeadReason),
}

impl Event {
    /// A stable name, as the type of a message.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivery.delivered",
            Self::Stopped(_) => "delivery.stopped",
            Self::Dead(_) => "delivery.dead",
        }
    }
}
