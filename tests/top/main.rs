//! `mainstay top` in a terminal: the real binary on a pseudo-terminal, in front of it a person's keys, behind it a running proxy
//! with the lab.
//!
//! [`terminal`] is the pseudo-terminal, read as a terminal reads it; [`stage`] is what runs behind. `screen` holds what is to
//! be seen in it and how it is left, `plain` what is printed where there is none.

mod plain;
mod screen;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod terminal;

/// What a test gives back; the error says what went wrong.
type Outcome = Result<(), String>;
