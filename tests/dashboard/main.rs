//! The dashboard in a real browser, in front of the real binary and the lab.
//!
//! [`browser`] drives Chromium, [`stage`] sets up what the page is about, [`views`] looks at each view while servers break and come
//! back, [`outage`] compares what the page says of one with itself, [`orders`] gives every order, [`access`] asks axe-core, [`fleet`]
//! is a thousand endpoints and a full feed. After each story the page must have said nothing on the console, asked nobody but its own
//! address, and kept its policy.

mod access;
mod browser;
mod demo;
mod fleet;
mod orders;
mod outage;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod views;

type Outcome = Result<(), String>;
