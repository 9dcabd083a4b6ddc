//! Installing what a fresh machine lacks.

use std::process::{Command, Stdio};

/// The test runner.
pub(crate) fn nextest() -> Result<(), String> {
    if answers("cargo", &["nextest", "--version"]) {
        return Ok(());
    }
    eprintln!("=== installing cargo-nextest");
    let status = Command::new("cargo").args(["install", "--locked", "cargo-nextest"]).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        _ => Err("cargo-nextest can't be installed; see https://nexte.st for other ways".into()),
    }
}

/// Whether a program is there and answers.
pub(crate) fn answers(program: &str, words: &[&str]) -> bool {
    Command::new(program)
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The programs that the tests run as clients, by their packages. One that can't be had is said here, and fails its
/// own test later; the others go on.
pub(crate) fn clients() {
    programs(&["chromium"]);
    readers();
}

/// Those of them that read answers which break: curl, wget, and a Python with its packages.
pub(crate) fn readers() {
    programs(&["curl", "wget", "python3"]);
    if let Err(why) = python_packages() {
        eprintln!("=== {why}: the tests that need it will fail");
    }
}

fn programs(names: &[&str]) {
    for name in names {
        if !answers(name, &["--version"])
            && let Err(why) = packages(&[name])
        {
            eprintln!("=== {why}: the tests that need it will fail");
        }
    }
}

/// The servers that the tests run as upstreams, and Node. As with the clients.
pub(crate) fn peers() {
    for (program, word, package) in
        [("nginx", "-v", "nginx"), ("haproxy", "-v", "haproxy"), ("node", "--version", "nodejs")]
    {
        if !answers(program, &[word])
            && !answers(&format!("/usr/sbin/{program}"), &[word])
            && let Err(why) = packages(&[package])
        {
            eprintln!("=== {why}: the tests that need it will fail");
        }
    }
}

/// What breaks a process at a chosen call of the system.
pub(crate) fn tracers() {
    programs(&["strace"]);
}

/// A Python of the tests' own, with the packages that they use.
fn python_packages() -> Result<(), String> {
    const PYTHON: &str = "target/peers-venv/bin/python3";
    let imports = "import httpx, requests, openai, grpc, grpc_health, websockets";
    if answers(PYTHON, &["-c", imports]) {
        return Ok(());
    }
    let packages =
        ["httpx", "requests", "openai", "grpcio", "grpcio-health-checking", "websockets"];
    eprintln!("=== installing {} into target/peers-venv", packages.join(", "));
    if !answers("python3", &["-m", "venv", "target/peers-venv"]) {
        self::packages(&["python3-venv"])?;
        if !answers("python3", &["-m", "venv", "target/peers-venv"]) {
            return Err("python3 can't make target/peers-venv".into());
        }
    }
    let install = [&["-m", "pip", "install", "--quiet"], packages.as_slice()].concat();
    if answers(PYTHON, &install) {
        Ok(())
    } else {
        Err(format!("pip can't install {} into target/peers-venv", packages.join(", ")))
    }
}

/// Installs Debian packages that are missing.
pub(crate) fn packages(names: &[&str]) -> Result<(), String> {
    let missing: Vec<&str> =
        names.iter().copied().filter(|name| !answers("dpkg", &["--status", name])).collect();
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("=== installing {}", missing.join(", "));
    let updated = answers("apt-get", &["update"]);
    let install = [&["install", "--yes", "--no-install-recommends"], missing.as_slice()].concat();
    if updated && answers("apt-get", &install) {
        Ok(())
    } else {
        Err(format!(
            "can't install {}: run `apt-get install {}` as root",
            missing.join(", "),
            missing.join(" ")
        ))
    }
}
