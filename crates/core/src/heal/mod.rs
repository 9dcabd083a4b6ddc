//! Healing: what became of an answer that broke when its head was with the application already.
//!
//! While nothing of it is, a break is a failed attempt like any other; so a head is held back for a moment
//! ([`HoldSettings`]), and small answers until they are whole.
//!
//! Nothing can be tried again in secret then: what was delivered stands. What is left is to continue exactly where it broke, or to
//! break loudly. An answer that isn't complete is never passed off as one that is.
//!
//! - [`events`]: a server-sent event stream goes on behind the last event that was delivered, by `Last-Event-ID`.
//! - [`StallGuard`]: a body that doesn't come is broken too.
//! - [`range`]: a download goes on behind what was delivered, by `Range` and `If-Range` (RFC 9110, section 14).
//! - [`upload`]: a request whose body broke off goes on from where the server has it.
//! - [`socket`]: a WebSocket connection can't be continued behind its first message, but its break is found soon, and told in the
//!   protocol's own words.

pub mod events;
mod progress;
mod proof;
pub mod range;
mod settings;
pub mod socket;
mod stall;
pub mod upload;
mod why;

pub use progress::Progress;
pub use proof::Proof;
pub use settings::{Content, FIRST_EVENT_BYTES, HealSettings, HoldSettings, Wanted};
pub use stall::{RateFloor, StallGuard};
pub use why::NotHealed;
