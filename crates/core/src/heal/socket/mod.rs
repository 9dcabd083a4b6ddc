//! Watching WebSocket connections (RFC 6455): a tunnel whose upstream died is found, and its application told.
//!
//! ```text
//!                ┌──────────── Tunnel ────────────┐
//!   application ─┤▶ Frames ─────────▶ Outgoing ──▶├─ upstream
//!                │            ▲ Ping              │
//!                │          Vigil                 │
//!                │            ▼ Pong, swallowed   │
//!               ◀┤◀ Outgoing ◀───────── Frames ◀──┤
//!                └────────▲ Close 1012 ───────────┘
//! ```
//!
//! A message can't be sent again in secret: nobody knows what was done with it, and a connection has a state that only its two ends
//! know. So no message is repeated here; only before the first one another connection does as well, where the route says so, and
//! is opened by whoever drives the tunnel. What can be done is to notice the break soon, and to say it in the protocol's own words: a
//! Close with a code, on which clients connect again by themselves, in place of a connection on which nothing ever comes.
//!
//! - [`Frames`] finds the boundaries of frames and reads control frames; payloads pass unread, so extensions and fragments are
//!   none of its business.
//! - [`Tunnel`] passes frames on to the byte, puts Pings for the upstream between the application's frames, leaves their Pongs out,
//!   and ends both sides in good order where the protocol allows it.
//!
//! The application isn't Pinged. It is near, and what would be found is mostly one that is busy: the system's keep-alive finds those that
//! are gone.

mod end;
mod frames;
mod outgoing;
mod settings;
mod tunnel;
mod vigil;
mod written;

pub use end::TunnelEnd;
pub use frames::{Control, Cut, Frames, Malformed, Sender};
pub use settings::SocketSettings;
pub use tunnel::{ConnectionEnd, Ending, PARTS_WITHIN, Side, Tunnel, TunnelCounts};
