//! `cargo xtask conformance`: suites that others have written. What each finds, and why what fails stays so, is in `docs/conformance.md`.
//!
//! Those that are quick and come with the tests' Python are tests of the suite too (`tests/conformance`). The cases for RFC 9113 are a
//! program that has to be built, and so are a command alone.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use crate::setup;
use crate::step::{self, Step};

/// Runs it.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    match words {
        [] => {
            http2()?;
            quick("", "")
        }
        ["http2"] => http2(),
        ["http1"] => {
            step::run(&[Step::cargo("test --workspace --test hardening -- requests:: answers::")])
        }
        ["websocket", groups @ ..] if groups.iter().all(|group| group.parse::<u8>().is_ok()) => {
            quick("websocket::", &groups.join(" "))
        }
        ["lint"] => quick("lint::", ""),
        _ => Err(format!(
            "conformance takes nothing, http1, http2, websocket (with numbers of groups) or lint, not `{}`",
            words.join(" ")
        )),
    }
}

/// Those of the suite, slow cases and all. Of the cases for WebSocket these groups, if there are any.
fn quick(filter: &str, groups: &str) -> Result<(), String> {
    setup::readers();
    let line = format!("test --package mainstay-cli --test conformance -- --nocapture {filter}");
    let step = Step::cargo(line.trim_end()).env("MAINSTAY_CONFORMANCE_ALL", "1");
    step::run(&[step.env("MAINSTAY_CONFORMANCE_GROUPS", groups)])
}

/// The cases of httpwg-cli, one after the other. Fails where another one fails than those that are known.
fn http2() -> Result<(), String> {
    const ROOT: &str = "target/conformance";
    let suite = format!("{ROOT}/bin/httpwg");
    if !std::path::Path::new(&suite).exists() {
        // With its own lock file: its dependencies' later versions don't fit together.
        step::run(&[Step::cargo(&format!("install --locked --root {ROOT} {SUITE}"))])?;
    }
    step::run(&[Step::cargo("build --package mainstay-cli")])?;
    let origin = origin()?;
    let config = format!("{ROOT}/http2.toml");
    let upstream = format!("[upstream.api]\nendpoints = [\"http://{origin}\"]\nhealth = false\n");
    std::fs::write(&config, format!("listen = \"127.0.0.1:0\"\nadmin = false\n{upstream}"))
        .map_err(|error| error.to_string())?;
    let mut proxy = Command::new("target/debug/mainstay")
        .args(["run", "--config", &config])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("mainstay: {error}"))?;
    let run = listening(&mut proxy).and_then(|address| cases(&suite, &address));
    let _ = proxy.kill();
    let _ = proxy.wait();
    let failed = run?;
    let known: BTreeSet<&str> = KNOWN.lines().filter(|line| !line.starts_with('#')).collect();
    let new: Vec<&String> = failed.iter().filter(|case| !known.contains(case.as_str())).collect();
    let mended: Vec<&&str> = known.iter().filter(|case| !failed.contains(**case)).collect();
    println!("{} cases fail, all known; {mended:?} no longer", failed.len() - new.len());
    if new.is_empty() { Ok(()) } else { Err(format!("these cases fail that didn't: {new:#?}")) }
}

fn listening(proxy: &mut std::process::Child) -> Result<String, String> {
    let stderr = proxy.stderr.take().ok_or("no standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    let said = lines
        .find_map(|line| Some(line.ok()?.split_once("listening on http://")?.1.trim().to_owned()));
    thread::spawn(move || lines.for_each(drop));
    said.ok_or_else(|| "mainstay doesn't say that it is listening".into())
}

/// The names of those that fail.
fn cases(suite: &str, address: &str) -> Result<BTreeSet<String>, String> {
    let output = Command::new(suite)
        .args(["-a", address, "--frame-timeout", "1000"])
        .env("SEQUENTIAL", "1")
        .output()
        .map_err(|error| format!("{suite}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let passed = said.matches("Test passed: ").count();
    if passed < FEWEST_PASSED {
        return Err(format!("only {passed} cases pass:\n{said}"));
    }
    println!("{passed} cases pass");
    Ok(said
        .lines()
        .filter_map(|line| Some(line.split_once("Test failed: ")?.1.trim().to_owned()))
        .collect())
}

/// A server that answers every request alike.
fn origin() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            thread::spawn(move || answer(tcp));
        }
    });
    Ok(address)
}

fn answer(mut tcp: TcpStream) {
    let (mut heard, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = tcp.read(&mut piece) {
        heard.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&heard).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if head.contains("chunked") && !body.ends_with("0\r\n\r\n") {
            continue;
        }
        let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 40\r\n\r\n";
        let _ = tcp.write_all(format!("{answer}{:40}", "an answer").as_bytes());
        return;
    }
}

/// A version, so that the same cases are run.
const SUITE: &str = "httpwg-cli@0.2.5";

/// What fails and stays so, one name a line.
const KNOWN: &str = include_str!("../../tests/conformance/http2-known.txt");

/// So many pass today; with fewer it isn't the same suite.
const FEWEST_PASSED: usize = 80;
