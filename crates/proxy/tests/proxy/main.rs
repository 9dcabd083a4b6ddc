//! The proxy on real sockets: raw bytes go in at one end and come out at the other.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod admin;
mod callbacks;
mod degrade;
mod exchange;
mod http2;
mod life;
mod live;
mod metrics;
mod outbox;
mod parking;
mod smuggling;
mod support;
mod websocket;
mod websocket_again;
