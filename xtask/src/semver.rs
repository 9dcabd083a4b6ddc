//! Whether a change of the library's face is one that its version allows: `cargo xtask semver`.

use std::process::Command;

use crate::step::{self, Step};
use crate::supply::tool;

/// Compares the library with the last release, by cargo-semver-checks. Before the first release there is nothing to be compared with, and that is said.
pub(crate) fn run() -> Result<(), String> {
    let Some(tag) = last_release()? else {
        println!(
            "no release yet: there is no tag that begins with `v`, so there is nothing to compare the library with"
        );
        return Ok(());
    };
    tool("cargo-semver-checks", &["semver-checks", "--version"])?;
    step::run(&[Step::cargo(&format!(
        "semver-checks --package mainstay --all-features --baseline-rev {tag}"
    ))])
}

/// The tag of the last release before what is here.
fn last_release() -> Result<Option<String>, String> {
    let tags = Command::new("git")
        .args(["tag", "--list", "v*", "--merged", "HEAD", "--sort=-version:refname"])
        .output()
        .map_err(|error| format!("git: {error}"))?;
    if !tags.status.success() {
        let why = String::from_utf8_lossy(&tags.stderr).trim().to_owned();
        return Err(format!("git can't list tags: {why}"));
    }
    let tags = String::from_utf8_lossy(&tags.stdout);
    Ok(tags.lines().next().map(str::to_owned))
}
