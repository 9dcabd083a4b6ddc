//! Event streams by httpx: each has each event once and in order by one request, whatever the servers do.

use mainstay_lab::{Lab, Rule, Spec};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::Outcome;
use crate::support::program::Program;
use crate::support::{Binary, PATIENCE, text};

/// How many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Streams {
    pub(crate) count: usize,
}

/// What came of them.
#[derive(Debug)]
pub(crate) struct Figures {
    reads: Vec<Read>,
    seconds: f64,
    attempts: u64,
    /// As the proxy counts them.
    healed: u64,
    cut: u64,
}

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

impl Streams {
    pub(crate) async fn play(self) -> Result<Figures, String> {
        let lab = Lab::start(Spec::of(["a", "b", "c"])).await.map_err(text)?;
        let urls = lab.servers().iter().map(|server| format!("{:?}", server.url()));
        let urls = urls.collect::<Vec<_>>().join(", ");
        // Hundreds begin in one moment, and some break before their first event: what the budget makes of that is shown elsewhere.
        let settings = "heal.events.dead_after = \"1s\"\nbudget.floor = 200";
        let config = format!("[upstream.api]\nendpoints = [{urls}]\n{settings}\n");
        let binary = Binary::run(&config).await?;
        lab.set_all(TROUBLE.parse::<Rule>().map_err(text)?).await;
        let (begun, mut reads) = (Instant::now(), Vec::new());
        while reads.len() < self.count {
            let more = (self.count - reads.len()).min(AT_ONCE);
            reads.extend(read(&binary, more).await?);
        }
        let seconds = begun.elapsed().as_secs_f64();
        if reads.iter().any(|read| read.status != 200) {
            // Why, in Mainstay's own words.
            eprintln!("{}", binary.admin("/calls?outcome=failed&limit=2").await?);
        }
        at_rest(&binary).await?;
        let received = |server| lab.oracle().totals(server).received;
        let attempts = lab.servers().iter().map(|server| received(server.name())).sum();
        let (healed, cut) = (counted(&binary, "healed").await?, counted(&binary, "cut").await?);
        Ok(Figures { reads, seconds, attempts, healed, cut })
    }
}

impl Figures {
    /// All are whole, and none is counted as cut.
    pub(crate) fn wrong(&self) -> Outcome {
        let bad: Vec<_> = self.reads.iter().filter(|read| !read.is_whole()).collect();
        if !bad.is_empty() {
            let some = &bad[..bad.len().min(5)];
            return Err(format!("{} of {} are bad, as {some:?}", bad.len(), self.reads.len()));
        }
        if self.cut > 0 {
            return Err(format!("all streams are whole, and {} are counted as cut", self.cut));
        }
        // Each stream is of more than two of those kilobytes.
        if self.healed < self.reads.len() as u64 / 2 {
            return Err(format!("only {} of {} broke", self.healed, self.reads.len()));
        }
        Ok(())
    }

    /// The table of the manual.
    pub(crate) fn table(&self) -> String {
        let failed = self.reads.iter().filter(|read| !read.is_well()).count();
        let wrong = self.reads.iter().filter(|read| read.is_well() && !read.is_whole()).count();
        format!(
            "| event streams | failed | with a gap or a duplicate | broken and healed | attempts | seconds |\n\
             |---|---|---|---|---|---|\n| {} | {failed} | {wrong} | {} | {} | {:.0} |\n",
            self.reads.len(),
            self.healed,
            self.attempts,
            self.seconds,
        )
    }
}

impl Read {
    fn is_well(&self) -> bool {
        self.status == 200 && self.error.is_none() && self.kinds.is_empty()
    }

    fn is_whole(&self) -> bool {
        self.is_well() && self.ids.iter().copied().eq(1..=EVENTS)
    }
}

/// Reads so many streams at once.
async fn read(binary: &Binary, count: usize) -> Result<Vec<Read>, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/heal/streams.py");
    let path = format!("/events?last={EVENTS}&every=20ms");
    let words = [script, &binary.proxy.to_string(), &path, &count.to_string()];
    serde_json::from_str(&Program::python()?.output(&words).await?).map_err(text)
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
    timeout(PATIENCE, rest).await.map_err(|_| "calls are left over")?
}

async fn counted(binary: &Binary, name: &str) -> Result<u64, String> {
    let status = binary.admin("/status").await?;
    let count = &status["counts"]["calls"][name];
    count.as_u64().ok_or_else(|| format!("{name}: {}", status["counts"]["calls"]))
}

const TROUBLE: &str = "reset-in-body at=in-event ratio=0.2; truncate-chunked every=2KB ratio=0.3; \
                       stall every=2KB ratio=0.05; reset-in-body every=2KB";

/// Events of each stream.
const EVENTS: u64 = 40;

/// Each takes two connections of the proxy, and a process may have a thousand files open.
const AT_ONCE: usize = 200;
