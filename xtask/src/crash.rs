//! `cargo xtask outbox-crash`: the outbox's process is killed again and again, at random moments and at each of its writes.
//!
//! These are tests of the suite with more rounds: `crates/outbox/tests/crash.rs`, the store alone, `crates/outbox/tests/io.rs`, the same on a disk that fails, and `tests/outbox`, the real binary with
//! applications before it and a failing API behind it; and two of them on one PostgreSQL database, where proxies are killed and frozen, the database crashes
//! and its connections are cut. It fails as they do.

use crate::setup;
use crate::step::{self, Step};

/// Runs it.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let rounds = rounds(words)?;
    setup::packages(&["strace"])?;
    setup::readers();
    setup::databases();
    // As the suite builds it: a package alone would have other features, and be built anew.
    step::run(&[
        Step::cargo("test --workspace --test crash -- --nocapture --test-threads 1")
            .env("MAINSTAY_CRASH_ROUNDS", rounds.to_string()),
        Step::cargo("test --workspace --test io -- --nocapture")
            .env("MAINSTAY_CRASH_ROUNDS", rounds.to_string()),
        Step::cargo("test --workspace --test outbox -- --nocapture")
            .env("MAINSTAY_OUTBOX_ROUNDS", rounds.to_string()),
    ])
}

fn rounds(words: &[&str]) -> Result<u32, String> {
    match words {
        [] => Ok(DEFAULT_ROUNDS),
        ["--rounds", rounds] => rounds
            .parse()
            .ok()
            .filter(|rounds| (1..=MOST_ROUNDS).contains(rounds))
            .ok_or_else(|| format!("--rounds takes 1 to {MOST_ROUNDS}, not {rounds:?}")),
        _ => Err(format!("outbox-crash takes --rounds N, not `{}`", words.join(" "))),
    }
}

const DEFAULT_ROUNDS: u32 = 200;

/// Some days' worth.
const MOST_ROUNDS: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_a_number_within_bounds() {
        assert_eq!(rounds(&[]), Ok(200));
        assert_eq!(rounds(&["--rounds", "7"]), Ok(7));
        for wrong in [&["--rounds"][..], &["--rounds", "0"], &["--fast", "1"]] {
            assert!(rounds(wrong).is_err(), "{wrong:?}");
        }
    }
}
