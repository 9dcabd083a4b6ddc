//! Healing: what became of an answer that broke when its head was with the application already.
//!
//! Nothing can be tried again in secret then: what was delivered stands. What is left is to continue exactly where it broke, or to
//! break loudly. An answer that isn't complete is never passed off as one that is.
//!
//! - [`events`]: a server-sent event stream goes on behind the last event that was delivered, by `Last-Event-ID`.
//! - [`range`]: a download goes on behind what was delivered, by `Range` and `If-Range` (RFC 9110, section 14).
//! - [`socket`]: a WebSocket connection can't be continued, but its break is found soon, and told in the protocol's own words.

pub mod events;
pub mod range;
pub mod socket;
