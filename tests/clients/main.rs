//! Programs that nobody here wrote, in front of the real binary: curl, Python's standard library, Chromium.
//!
//! Our own client reads what our own proxy writes; that proves little. These programs are what users have, each strict
//! and lenient in other places, and each with retries of its own that could hide a fault or double a write.
//!
//! [`stage`] sets up the lab and the binary, [`story`] breaks one server after the other, [`page`] serves the browser, [`streams`]
//! breaks its event stream, [`uploads`] a server of uploads, and [`seen`] judges what a client saw against what the servers did.
//! A program that is missing fails its test by name; `cargo xtask test` installs what is missing.

mod model;
mod page;
mod seen;
mod stage;
mod story;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod uploads;

use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_lab::pattern_byte;
use seen::{Read, Seen, Write};
use stage::Stage;
use support::program::{Program, Running};

type Outcome = Result<(), String>;

#[tokio::test]
async fn curl_sees_no_broken_read_and_no_doubled_write_while_servers_break() -> Outcome {
    let stage = Stage::set().await?;
    let is_over = AtomicBool::new(false);
    let story = async {
        let told = story::tell(&stage).await;
        is_over.store(true, Ordering::Relaxed);
        told
    };
    let client = async {
        let mut seen = Seen::default();
        while !is_over.load(Ordering::Relaxed) {
            let number = seen.writes.len();
            let protocol =
                if number.is_multiple_of(2) { "--http1.1" } else { "--http2-prior-knowledge" };
            seen.reads.extend(curl_reads(&stage, protocol).await?);
            seen.writes.push(curl_write(&stage, protocol, number).await?);
        }
        Ok::<_, String>(seen)
    };
    let ((), seen) = tokio::try_join!(story, client)?;
    seen.check(&stage).await
}

/// A few reads over one connection, as fast as they go; one over HTTP/2, since curl 7.88 can't use a connection again
/// there with any server ("Error in the HTTP2 framing layer").
async fn curl_reads(stage: &Stage, protocol: &str) -> Result<Vec<Read>, String> {
    let url = stage.url(if protocol == "--http1.1" { "/read/[1-10]" } else { "/read" });
    let words =
        [protocol, "--output", "/dev/null", "--write-out", "%{http_code} %{time_total}\n", &url];
    let lines = curl(&words).await?;
    lines
        .lines()
        .map(|line| {
            let (status, seconds) = line.split_once(' ').ok_or(line)?;
            let status = status.parse().map_err(stage::text)?;
            let seconds = seconds.parse().map_err(stage::text)?;
            Ok(Read { status, seconds, error: None })
        })
        .collect()
}

async fn curl_write(stage: &Stage, protocol: &str, number: usize) -> Result<Write, String> {
    let id = format!("curl-{number}");
    let (url, header) = (stage.url("/write"), format!("x-request-id: {id}"));
    let words =
        [protocol, "--header", &header, "--data", "x", "--write-out", "\n%{http_code}", &url];
    let answer = curl(&words).await?;
    let (body, status) = answer.rsplit_once('\n').ok_or("no status")?;
    Ok(Write {
        id,
        status: status.parse().map_err(stage::text)?,
        body: body.to_owned(),
        error: None,
    })
}

#[tokio::test]
async fn python_sees_no_broken_read_and_no_doubled_write_while_servers_break() -> Outcome {
    let stage = Stage::set().await?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/reader.py");
    let mut python = Program::find(&["python3"])?.start(&[script, &stage.proxy().to_string()])?;
    story::tell(&stage).await?;
    let text = python.end_of_input().await?;
    serde_json::from_str::<Seen>(&text).map_err(stage::text)?.check(&stage).await
}

#[tokio::test]
async fn a_browser_sees_no_broken_read_and_no_gap_in_a_stream_while_servers_break() -> Outcome {
    let stage = Stage::set().await?;
    let profile = tempfile::tempdir().map_err(stage::text)?;
    let browser = browse(&profile, &stage.url("/page"))?;
    story::tell(&stage).await?;
    let text = stage.page.told().await?;
    drop(browser);
    let seen: Seen = serde_json::from_str(&text).map_err(stage::text)?;
    seen.check_stream()?;
    seen.check(&stage).await
}

/// Opens a page in a browser that knows nothing yet.
fn browse(profile: &tempfile::TempDir, url: &str) -> Result<Running, String> {
    let folder = format!("--user-data-dir={}", profile.path().display());
    let words = [&BROWSER_OPTIONS[..], &[&folder, url]].concat();
    Program::find(&["chromium", "chromium-browser", "google-chrome"])?.start(&words)
}

/// No window, and nothing but what the test asks for: no updates, no accounts, no pages of its own.
const BROWSER_OPTIONS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

#[tokio::test]
async fn curl_gets_and_sends_bodies_whole_in_either_protocol() -> Outcome {
    let stage = Stage::set().await?;
    let file = tempfile::NamedTempFile::new().map_err(stage::text)?;
    let bytes: Vec<u8> = (0..UPLOAD_BYTES).map(pattern_byte).collect();
    std::fs::write(file.path(), &bytes).map_err(stage::text)?;
    let sum =
        format!("\"fnv1a\":\"{:016x}\"", mainstay_lab::fnv1a(mainstay_lab::FNV_OFFSET, &bytes));
    let path = file.path().display().to_string();
    for protocol in ["--http1.1", "--http2-prior-knowledge"] {
        let check = |what: &str, is_right: bool, answer: &str| {
            is_right.then_some(()).ok_or_else(|| format!("{protocol}, {what}: {answer}"))
        };
        // HTTP/2 has no chunks, and curl would send the field all the same. Nor does curl get a 100 there: it waits for
        // a second, as long as an attempt may take here.
        let is_old = protocol == "--http1.1";
        for ask in if is_old { &["expect: 100-continue", "expect:"][..] } else { &["expect:"] } {
            for length in
                if is_old { &["x-a: b", "transfer-encoding: chunked"][..] } else { &["x-a: b"] }
            {
                let (upload, url) = (format!("@{path}"), stage.url("/up"));
                let words =
                    [protocol, "--header", ask, "--header", length, "--data-binary", &upload, &url];
                let answer = curl(&words).await?;
                check("an upload", answer.contains(&sum), &answer)?;
            }
        }
        for query in ["", "?chunked"] {
            let url = stage.url(&format!("/bytes/{UPLOAD_BYTES}{query}"));
            curl(&[protocol, "--output", &path, &url]).await?;
            let got = std::fs::read(file.path()).map_err(stage::text)?;
            check("a download", got == bytes, &format!("{} bytes", got.len()))?;
        }
        let url = stage.url("/bytes/26");
        let head = curl(&[protocol, "--head", &url]).await?.to_lowercase();
        check("a head", head.contains("content-length: 26\r\n"), &head)?;
        check("a head", head.contains("mainstay-attempts: 1\r\n"), &head)?;
        let part = curl(&[protocol, "--include", "--range", "20-", "--output", "-", &url]).await?;
        check("a range", part.contains("content-range: bytes 20-25/26\r\n"), &part)?;
        let trailers = ["--header", "te: trailers", "--include", "--raw", "--data", "x"];
        let url = stage.url("/trailers");
        let answer = curl(&[&[protocol], &trailers[..], &[&url]].concat()).await?;
        check("trailers", answer.contains("x-checksum: "), &answer)?;
    }
    Ok(())
}

/// More than sockets hold, and more than curl sends without asking; less than is kept to be sent again.
const UPLOAD_BYTES: u64 = 1_000_000;

async fn curl(words: &[&str]) -> Result<String, String> {
    // A bound of its own, far above what any call may take: a curl that hangs is a failure with a name.
    let always = ["--silent", "--show-error", "--max-time", "15"];
    Program::find(&["curl"])?.output(&[&always, words].concat()).await
}

#[test]
fn a_missing_program_is_named() {
    let missing = Program::find(&["no-such-program"]).err().unwrap_or_default();
    assert!(missing.starts_with("no-such-program isn't installed"), "{missing}");
}
