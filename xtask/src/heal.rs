//! `cargo xtask heal`: answers that break every so many bytes, read by programs that people have, and what came of each.
//!
//! It is the test of the suite (`tests/heal`) on larger numbers and as a release build; it fails as the test does.

use crate::setup;
use crate::step::{self, Step};

/// Runs it.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let options = Options::parse(words)?;
    setup::readers();
    // As the suite builds it: a package alone would have other features. One test after the other, each with the machine to itself.
    step::run(&[Step::cargo(
        "test --release --workspace --test heal -- --nocapture --test-threads 1",
    )
    .env("MAINSTAY_HEAL_DOWNLOADS", options.downloads.to_string())
    .env("MAINSTAY_HEAL_STREAMS", options.streams.to_string())])
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    /// How many in each of two rounds.
    downloads: u32,
    streams: u32,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self { downloads: 1_000, streams: 200 };
        for pair in words.chunks(2) {
            let number = pair.get(1).and_then(|number| number.parse().ok());
            let number = number.filter(|number| (1..=MOST).contains(number));
            match (pair[0], number) {
                ("--downloads", Some(number)) => options.downloads = number,
                ("--streams", Some(number)) => options.streams = number,
                ("--downloads" | "--streams", None) => {
                    return Err(format!("{} needs a number from 1 to {MOST}", pair[0]));
                }
                (other, _) => {
                    return Err(format!("heal takes --downloads N and --streams N, not `{other}`"));
                }
            }
        }
        Ok(options)
    }
}

/// A day's worth of downloads.
const MOST: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_numbers_within_bounds() {
        let told = Options::parse(&["--streams", "7"]);
        assert_eq!(told, Ok(Options { downloads: 1_000, streams: 7 }));
        for wrong in [&["--downloads"][..], &["--streams", "0"], &["--fast", "1"], &["12"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
