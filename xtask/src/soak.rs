//! `cargo xtask soak`: mixed traffic and random breaks for as long as wanted, and whether anything grows, hangs or is wrong.
//!
//! It is the test of the suite (`tests/soak`) with more time and Mainstay's release build; it fails as the test does.

use std::path::Path;

use crate::step::{self, Step};

/// Runs it.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let options = Options::parse(words)?;
    step::run(&[Step::cargo("build --release --package mainstay-cli")])?;
    let absolute = |path: &str| {
        let path = std::path::absolute(Path::new(path)).map_err(|error| format!("{path}: {error}"));
        path.map(|path| path.display().to_string())
    };
    // As the suite builds it: a package alone would have other features, and be built anew.
    step::run(&[Step::cargo("test --workspace --test soak -- --nocapture")
        .env("MAINSTAY_SOAK_SECONDS", (options.minutes * 60).to_string())
        .env("MAINSTAY_SOAK_SEED", options.seed.to_string())
        .env("MAINSTAY_SOAK_BINARY", absolute("target/release/mainstay")?)
        .env("MAINSTAY_SOAK_HTML", absolute(&options.html)?)])
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    minutes: u64,
    seed: u64,
    html: String,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self { minutes: 10, seed: 1, html: "target/soak.html".to_owned() };
        for pair in words.chunks(2) {
            let value = pair.get(1).ok_or_else(|| format!("{} needs a value", pair[0]))?;
            let number = value.parse::<u64>().ok();
            match (pair[0], number) {
                ("--minutes", Some(minutes)) if (1..=MOST_MINUTES).contains(&minutes) => {
                    options.minutes = minutes;
                }
                ("--seed", Some(seed)) => options.seed = seed,
                ("--html", _) => options.html = (*value).to_owned(),
                ("--minutes", _) => {
                    return Err(format!("--minutes takes 1 to {MOST_MINUTES}, not {value}"));
                }
                ("--seed", None) => {
                    return Err(format!("--seed takes a whole number, not {value}"));
                }
                (other, _) => {
                    return Err(format!(
                        "soak takes --minutes N, --seed N and --html FILE, not `{other}`"
                    ));
                }
            }
        }
        Ok(options)
    }
}

/// A month.
const MOST_MINUTES: u64 = 45_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_and_seed_are_numbers_within_bounds() {
        let told = Options::parse(&["--minutes", "3", "--seed", "7"]).unwrap();
        assert_eq!((told.minutes, told.seed), (3, 7));
        for wrong in [&["--minutes", "0"][..], &["--seed", "x"], &["--minutes"], &["--hours", "1"]]
        {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
