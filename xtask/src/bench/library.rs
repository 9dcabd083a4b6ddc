//! `cargo xtask bench library`: what a call costs through the library, beside hyper-util, tower, tower-resilience and reqwest.
//!
//! What is measured is in `xtask/bench/library`, a workspace of its own; it prints the tables of docs/benchmarks.md.

use std::path::Path;

use super::target;
use crate::step::{self, Step};

const HELP: &str = "\
cargo xtask bench library [OPTIONS]

  --rounds N     how often each client is measured (default 15)
  --calls N      calls of each measurement (default 5000)
  --at-once N    how many of them are under way at a time (default 1 and 32, one table each)
  --only NAME    this client alone, for a profiler
";

/// Builds and runs it.
pub(crate) fn library(words: &[&str]) -> Result<(), String> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        print!("{HELP}");
        return Ok(());
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/library/Cargo.toml");
    let line = line(words, &manifest, &target()?)?;
    step::run(&[Step::cargo(&line)])
}

fn line(words: &[&str], manifest: &Path, target: &Path) -> Result<String, String> {
    for pair in words.chunks(2) {
        let is_right = match pair {
            ["--only", name] => !name.contains(' '),
            ["--rounds" | "--calls" | "--at-once", number] => number.parse::<u32>().is_ok(),
            _ => false,
        };
        if !is_right {
            return Err(format!("`{}` isn't an option\n\n{HELP}", pair.join(" ")));
        }
    }
    let target = target.join("bench-library");
    let run = format!(
        "run --release --manifest-path {} --target-dir {} --",
        manifest.display(),
        target.display()
    );
    Ok([&[run.as_str()], words].concat().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_handed_on_and_wrong_ones_named() {
        let told = line(&["--rounds", "3", "--only", "mainstay"], Path::new("m"), Path::new("t"));
        assert!(told.unwrap().ends_with(" -- --rounds 3 --only mainstay"));
        for wrong in [&["--rounds"][..], &["--calls", "many"], &["--fast", "1"]] {
            let error = line(wrong, Path::new("m"), Path::new("t")).unwrap_err();
            assert!(error.contains("isn't an option"), "{wrong:?}");
        }
    }
}
