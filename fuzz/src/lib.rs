//! What strangers may hand to Mainstay, made up at random, and what must hold whatever it is.
//!
//! A target is a plain function of bytes that panics where something doesn't hold. Two drivers run the same functions:
//!
//! - [`drive`], on any toolchain: what is in `corpus/TARGET`, and inputs made of that by chance, from a seed. `cargo xtask fuzz`
//!   runs it for as long as one likes, the suite for a moment (`tests/smoke.rs`).
//! - libFuzzer, which sees where an input leads and looks further there: `cargo fuzz run TARGET --features libfuzzer`, on a
//!   nightly toolchain.
//!
//! An input that broke something is mended, and stays in the corpus.

pub mod drive;
pub mod targets;

#[path = "../../tests/hardening/second.rs"]
mod second;
#[path = "../../tests/hardening/strict.rs"]
mod strict;
