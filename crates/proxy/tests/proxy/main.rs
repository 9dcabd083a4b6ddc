//! The proxy on real sockets: raw bytes go in at one end and come out at the other.

mod exchange;
mod smuggling;
mod support;
