//! The real binary in front of those who mean harm: applications, or somebody in their place, and upstreams.
//!
//! What leaves the proxy is read by readers of three makes, which must see the same: [`strict`], written for this from
//! RFC 9112; [`second`], on the crate httparse; and h11, a Python one ([`judge`]). `docs/security.md` says which
//! promise is held by which test.

mod admin;
mod answers;
mod cases;
mod downgrade;
mod floods;
mod frames;
mod judge;
mod requests;
mod second;
mod slow;
mod stage;
mod strict;
#[path = "../support/mod.rs"]
mod support;
mod tls;

/// What a test gives back; the error says what went wrong.
type Outcome = Result<(), String>;
