//! The lab seen from the other end of raw sockets: each fault does at byte level what it says.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests; clippy sees only the functions marked as such"
)]

mod api;
mod breaks;
mod connections;
mod control;
mod damage;
mod holes;
mod http2;
mod load;
mod names;
mod places;
mod ranges;
mod raw;
mod streams;
mod tls;
mod websocket;
