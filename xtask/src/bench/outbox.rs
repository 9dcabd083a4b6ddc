//! `cargo xtask bench outbox`: accepted writes a second beside the disk's own rate of syncs, and what a long backlog costs.
//!
//! What is measured is in `crates/outbox/benches/outbox.rs`; it prints the tables of docs/outbox.md.

use crate::step::{self, Step};

const HELP: &str = "\
cargo xtask bench outbox [OPTIONS]

  --rounds N    how often the rates are measured (default 5; 0: not at all)
  --seconds N   how long each of them is (default 2)
  --items N     how long the backlog becomes (default 1000000; 0: none)
  --dir DIR     on which disk (default: where temporary files are)
";

/// Runs it.
pub(crate) fn outbox(words: &[&str]) -> Result<(), String> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        print!("{HELP}");
        return Ok(());
    }
    let line = line(words)?;
    step::run(&[Step::cargo(&line)])
}

fn line(words: &[&str]) -> Result<String, String> {
    for pair in words.chunks(2) {
        let is_right = match pair {
            ["--dir", dir] => !dir.contains(' '),
            ["--rounds" | "--seconds" | "--items", number] => number.parse::<u32>().is_ok(),
            _ => false,
        };
        if !is_right {
            return Err(format!("`{}` isn't an option\n\n{HELP}", pair.join(" ")));
        }
    }
    let parts = [&["bench --package mainstay-outbox --bench outbox --"], words].concat();
    Ok(parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_handed_on_and_wrong_ones_named() {
        let told = line(&["--items", "7", "--dir", "/disk"]).unwrap();
        assert!(told.ends_with("--bench outbox -- --items 7 --dir /disk"));
        for wrong in [&["--items"][..], &["--items", "many"], &["--fast", "1"]] {
            assert!(line(wrong).unwrap_err().contains("isn't an option"), "{wrong:?}");
        }
    }
}
