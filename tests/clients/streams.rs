//! Event streams: whoever reads one has each event once and in order by one request, whatever the servers do; or is told.

use std::path::PathBuf;

use mainstay_lab::{Lab, Rule, Spec};
use serde::Deserialize;

use crate::program::Program;
use crate::stage::{PATIENCE, Stage, endpoints, text};
use crate::support::Binary;
use crate::{Outcome, browse};

/// One stream, as httpx saw it.
#[derive(Debug, Deserialize)]
struct Read {
    status: u16,
    /// Numbers of its events, in the order in which they came.
    ids: Vec<u64>,
    /// Types of events that the servers don't send.
    kinds: Vec<Option<String>>,
    error: Option<String>,
}

impl Read {
    fn is_whole(&self) -> bool {
        let is_well = self.status == 200 && self.error.is_none() && self.kinds.is_empty();
        is_well && self.ids.iter().copied().eq(1..=EVENTS)
    }
}

#[tokio::test]
async fn no_stream_of_two_hundred_has_a_gap_or_a_duplicate_while_servers_reset_and_stall() -> Outcome
{
    let lab = Lab::start(Spec::of(["a", "b", "c"])).await.map_err(text)?;
    let binary = Binary::run(&config(&lab, "heal.events.dead_after = \"1s\"")).await?;
    let trouble = "reset-in-body at=in-event ratio=0.2; truncate-chunked every=2KB ratio=0.3; \
                   stall every=2KB ratio=0.05; reset-in-body every=2KB";
    lab.set_all(rule(trouble)?).await;
    let streams = read(&binary, &format!("/events?last={EVENTS}&every=20ms")).await?;
    check(&binary, &streams).await?;
    let healed = counted(&binary, "healed").await?;
    // Each stream is of more than two of those kilobytes.
    if healed < STREAMS / 2 {
        return Err(format!("only {healed} streams broke"));
    }
    Ok(())
}

#[tokio::test]
async fn a_browser_does_not_notice_that_its_stream_breaks_ten_times() -> Outcome {
    #[derive(Debug, Deserialize)]
    struct Page {
        events: Vec<u64>,
        opens: u64,
        errors: u64,
    }
    let stage = Stage::set().await?;
    stage.lab.set_all(rule("reset-in-body at=in-event times=10 path=/events")?).await;
    let profile = tempfile::tempdir().map_err(text)?;
    let browser = browse(&profile, &stage.url("/page/stream"))?;
    let told = stage.page.told().await?;
    drop(browser);
    let page: Page = serde_json::from_str(&told).map_err(text)?;
    let is_whole = page.events.iter().copied().eq(1..=20);
    (is_whole && page.opens == 1 && page.errors == 0).then_some(()).ok_or(told)
}

/// All are whole, and none is counted as cut.
async fn check(binary: &Binary, streams: &[Read]) -> Outcome {
    let bad: Vec<_> = streams.iter().filter(|read| !read.is_whole()).collect();
    if !bad.is_empty() || streams.len() as u64 != STREAMS {
        let counts = binary.admin("/status").await?["counts"]["calls"].clone();
        return Err(format!(
            "{} of {} are bad, as {:?}; {counts}",
            bad.len(),
            streams.len(),
            bad.first()
        ));
    }
    if counted(binary, "cut").await? > 0 {
        return Err("all streams are whole, and some are counted as cut".into());
    }
    at_rest(binary).await
}

/// Comes when no call holds anything any more.
async fn at_rest(binary: &Binary) -> Outcome {
    let rest = async {
        loop {
            let status = binary.admin("/status").await?;
            let upstreams = status["upstreams"].as_array().ok_or("no upstreams")?;
            let busy = upstreams
                .iter()
                .flat_map(|upstream| upstream["endpoints"].as_array().into_iter().flatten())
                .filter(|endpoint| endpoint["in_flight"] != 0)
                .count();
            if busy == 0 {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(PATIENCE, rest).await.map_err(|_| "calls are left over")?
}

async fn counted(binary: &Binary, name: &str) -> Result<u64, String> {
    let status = binary.admin("/status").await?;
    let count = &status["counts"]["calls"][name];
    count.as_u64().ok_or_else(|| format!("{name}: {}", status["counts"]["calls"]))
}

async fn read(binary: &Binary, path: &str) -> Result<Vec<Read>, String> {
    let script = folder("tests/clients/streams.py").display().to_string();
    let (proxy, streams) = (binary.proxy.to_string(), STREAMS.to_string());
    let venv = folder("target/peers-venv/bin/python3").display().to_string();
    let said = Program::find(&[&venv])?.output(&[&*script, &*proxy, path, &*streams]).await?;
    serde_json::from_str(&said).map_err(text)
}

fn folder(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

fn config(lab: &Lab, more: &str) -> String {
    format!("[upstream.api]\nendpoints = [{}]\n{more}\n", endpoints(lab))
}

fn rule(words: &str) -> Result<Rule, String> {
    words.parse().map_err(text)
}

const STREAMS: u64 = 200;

/// Events of each stream.
const EVENTS: u64 = 40;
