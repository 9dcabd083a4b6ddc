//! `cargo xtask fuzz`: the targets of `fuzz/` for as long as wanted, from a seed.
//!
//! It is the test of the suite (`fuzz/tests/smoke.rs`) with more time. An input for which something doesn't hold is written to a file,
//! and named. With a nightly toolchain and cargo-fuzz, `cargo fuzz run TARGET --features libfuzzer` looks further.

use crate::step::{self, Step};

/// Runs it.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let Wanted { target, seconds, seed } = wanted(words)?;
    let line =
        format!("run --quiet --release --package mainstay-fuzz -- {target} {seconds} {seed}");
    step::run(&[Step::cargo(&line)])
}

#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    target: String,
    seconds: u32,
    seed: u64,
}

fn wanted(words: &[&str]) -> Result<Wanted, String> {
    let mut wanted = Wanted { target: "all".into(), seconds: 60, seed: 1 };
    for pair in words.chunks(2) {
        match *pair {
            ["--target", target] if !target.contains(' ') => wanted.target = target.into(),
            ["--seconds", seconds] => {
                let seconds =
                    seconds.parse().ok().filter(|seconds| (1..=LONGEST_SECONDS).contains(seconds));
                wanted.seconds =
                    seconds.ok_or_else(|| format!("--seconds takes 1 to {LONGEST_SECONDS}"))?;
            }
            ["--seed", seed] => {
                wanted.seed = seed.parse().map_err(|_| "--seed takes a number".to_owned())?
            }
            _ => {
                return Err(format!(
                    "fuzz takes --target T, --seconds N and --seed N, not `{}`",
                    pair.join(" ")
                ));
            }
        }
    }
    Ok(wanted)
}

/// A day for each target.
const LONGEST_SECONDS: u32 = 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_a_time_and_a_seed_may_be_said() {
        let all = wanted(&["--target", "config", "--seconds", "5", "--seed", "9"]);
        assert_eq!(all, Ok(Wanted { target: "config".into(), seconds: 5, seed: 9 }));
        for wrong in [&["--seconds", "0"][..], &["--seed"], &["--fast", "1"]] {
            assert!(wanted(wrong).is_err(), "{wrong:?}");
        }
    }
}
