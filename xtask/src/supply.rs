//! What comes from elsewhere, and what is made of it: `cargo xtask deny`, `sbom` and `reproduce`.

use std::path::Path;
use std::process::Command;

use crate::setup;
use crate::step::{self, Step};

/// Licences, duplicates, sources, and advisories where their database can be fetched.
pub(crate) fn deny() -> Result<(), String> {
    tool("cargo-deny", &["deny", "--version"])?;
    step::run(&[Step::cargo("deny --locked check licenses bans sources")])?;
    // The database is fetched from its repository. Where nothing can be fetched that is said, and isn't a finding.
    if setup::answers("cargo", &["deny", "--locked", "fetch", "db"]) {
        step::run(&[Step::cargo("deny --locked check advisories")])
    } else {
        eprintln!(
            "=== the database of advisories can't be fetched: advisories and yanked versions are NOT checked"
        );
        Ok(())
    }
}

/// A bill of materials beside the binary's manifest, of what the binary is made of.
pub(crate) fn sbom() -> Result<(), String> {
    tool("cargo-cyclonedx", &["cyclonedx", "--version"])?;
    step::run(&[Step::cargo(
        "cyclonedx --manifest-path crates/cli/Cargo.toml --format json --spec-version 1.5 --override-filename mainstay.cdx",
    )])?;
    std::fs::create_dir_all("target/sbom").map_err(|error| error.to_string())?;
    let members = std::fs::read_dir("crates").map_err(|error| error.to_string())?.flatten();
    for member in members.map(|member| member.path()).chain(["fuzz".into(), "xtask".into()]) {
        // One is written beside each member; the binary's holds all that it is made of.
        let made = member.join("mainstay.cdx.json");
        if made.exists() && member.ends_with("cli") {
            std::fs::rename(&made, "target/sbom/mainstay.cdx.json")
                .map_err(|error| error.to_string())?;
        } else if made.exists() {
            std::fs::remove_file(&made).map_err(|error| error.to_string())?;
        }
    }
    println!("target/sbom/mainstay.cdx.json");
    Ok(())
}

/// Builds the binary twice, from copies of the sources in two folders, and compares.
pub(crate) fn reproduce() -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("mainstay-reproduce-{}", std::process::id()));
    let built: Result<Vec<String>, String> =
        ["one", "another-one"].iter().map(|name| built(&folder.join(name))).collect();
    let cleaned = std::fs::remove_dir_all(&folder);
    let hashes = built?;
    cleaned.map_err(|error| format!("{}: {error}", folder.display()))?;
    println!("{}", hashes.join("\n"));
    if hashes[0] == hashes[1] { Ok(()) } else { Err("the two builds differ".into()) }
}

/// The hash of the binary that is built in `folder`.
fn built(folder: &Path) -> Result<String, String> {
    std::fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    let folder_text = folder.display();
    // What is committed, and nothing else.
    shell(&format!("git archive HEAD | tar -x -C {folder_text}"))?;
    let registry = home("CARGO_HOME", ".cargo")?;
    let rustup = home("RUSTUP_HOME", ".rustup")?;
    let flags = format!(
        "--remap-path-prefix={folder_text}=/mainstay --remap-path-prefix={registry}=/cargo --remap-path-prefix={rustup}=/rustup"
    );
    let c_flags =
        format!("-ffile-prefix-map={folder_text}=/mainstay -ffile-prefix-map={registry}=/cargo");
    let manifest = format!(
        "build --profile dist --locked --package mainstay-cli --manifest-path {folder_text}/Cargo.toml"
    );
    let target = format!("{folder_text}/target");
    step::run(&[Step::cargo(&manifest)
        .env("RUSTFLAGS", flags)
        .env("CFLAGS", c_flags)
        .env("CARGO_INCREMENTAL", "0")
        .env("SOURCE_DATE_EPOCH", "0")
        .env("CARGO_TARGET_DIR", target)])?;
    let hash = shell(&format!("sha256sum < {folder_text}/target/dist/mainstay"))?;
    std::fs::remove_dir_all(folder.join("target")).map_err(|error| error.to_string())?;
    Ok(hash.trim().to_owned())
}

fn home(variable: &str, name: &str) -> Result<String, String> {
    let home = || std::env::var("HOME").map(|home| format!("{home}/{name}"));
    std::env::var(variable).or_else(|_| home()).map_err(|error| error.to_string())
}

fn shell(line: &str) -> Result<String, String> {
    let output =
        Command::new("sh").args(["-c", line]).output().map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Installs a subcommand of cargo, unless it answers already.
pub(crate) fn tool(package: &str, answers: &[&str]) -> Result<(), String> {
    if setup::answers("cargo", answers) {
        return Ok(());
    }
    step::run(&[Step::cargo(&format!("install --locked {package}"))])
}
