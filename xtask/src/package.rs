//! `cargo xtask package`: the Debian package, with man pages and completions made by the binary that is in it.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use crate::setup;
use crate::step::{self, Step};

/// Makes it.
pub(crate) fn run() -> Result<(), String> {
    if !setup::answers("cargo", &["deb", "--version"]) {
        step::run(&[Step::cargo("install --locked cargo-deb")])?;
    }
    step::run(&[Step::cargo("build --profile dist --package mainstay-cli")])?;
    let folder = Path::new("target/packaging");
    let wrong = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(wrong)?;
    let man = folder.join("man");
    asked(Command::new(BINARY).args(["man", "--dir"]).arg(&man))?;
    for shell in ["bash", "zsh", "fish"] {
        let script = File::create(folder.join(format!("mainstay.{shell}"))).map_err(wrong)?;
        asked(Command::new(BINARY).args(["completions", shell]).stdout(script))?;
    }
    step::run(&[Step::cargo("deb --package mainstay-cli --profile dist --no-build --strip")])
}

fn asked(command: &mut Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

const BINARY: &str = "target/dist/mainstay";
