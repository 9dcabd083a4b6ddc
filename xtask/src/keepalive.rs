//! `cargo xtask keepalive`: the keep-alive race for as long as wanted, with its figures as a table.
//!
//! It is the test of the suite (`tests/keepalive`) with a limit of a second and more time; it fails as the test does.

use crate::step::{self, Step};

/// Runs it.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let seconds = match words {
        [] => DEFAULT_SECONDS,
        ["--seconds", seconds] => seconds
            .parse()
            .ok()
            .filter(|seconds| (1..=LONGEST_SECONDS).contains(seconds))
            .ok_or_else(|| format!("--seconds takes 1 to {LONGEST_SECONDS}, not {seconds:?}"))?,
        _ => return Err(format!("keepalive takes --seconds N, not `{}`", words.join(" "))),
    };
    // As the suite builds it: a package alone would have other features, and be built anew.
    step::run(&[Step::cargo("test --workspace --test keepalive -- --nocapture")
        .env("MAINSTAY_KEEPALIVE_SECONDS", seconds.to_string())])
}

const DEFAULT_SECONDS: u32 = 60;

/// An hour: by then every figure has settled.
const LONGEST_SECONDS: u32 = 3600;
