//! What a client saw, judged against what the servers did.

use serde::Deserialize;
use serde_json::Value;

use crate::Outcome;
use crate::stage::{ATTEMPT_TIMEOUT, Stage};

/// Everything that one client saw.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Seen {
    pub(crate) reads: Vec<Read>,
    pub(crate) writes: Vec<Write>,
    /// Ids of the events of one stream, in the order in which they came.
    #[serde(default)]
    pub(crate) events: Vec<u64>,
    /// Why the stream ended for good.
    #[serde(default)]
    pub(crate) stream_error: Option<String>,
}

/// A GET, as its program saw it.
#[derive(Debug, Deserialize)]
pub(crate) struct Read {
    pub(crate) status: u16,
    pub(crate) seconds: f64,
    /// There was no answer.
    #[serde(default)]
    pub(crate) error: Option<String>,
}

/// A POST.
#[derive(Debug, Deserialize)]
pub(crate) struct Write {
    pub(crate) id: String,
    pub(crate) status: u16,
    pub(crate) body: String,
    #[serde(default)]
    pub(crate) error: Option<String>,
}

impl Seen {
    /// Reads all came back good and in time; writes were done once at most, and their answers say the truth.
    pub(crate) async fn check(&self, stage: &Stage) -> Outcome {
        let bad: Vec<_> =
            self.reads.iter().filter(|read| read.status != 200 || read.error.is_some()).collect();
        if !bad.is_empty() || self.reads.len() < ENOUGH_READS {
            return Err(format!("of {} reads, {} were bad: {bad:?}", self.reads.len(), bad.len()));
        }
        let slowest = self.reads.iter().map(|read| read.seconds).fold(0.0, f64::max);
        // One timeout and what follows it. The servers share this machine with the client and a compiler, so a second
        // of grace is left to them, which is why the records are asked as well.
        if slowest >= 3.0 * ATTEMPT_TIMEOUT.as_secs_f64() {
            let calls = stage.slow_calls().await?;
            return Err(format!("a read took {slowest} s; slow calls: {calls:?}"));
        }
        stage.no_read_waited_twice().await?;
        let duplicates = stage.lab.oracle().duplicates();
        if !duplicates.is_empty() || self.writes.is_empty() {
            return Err(format!("{} writes, duplicates: {duplicates:?}", self.writes.len()));
        }
        self.writes
            .iter()
            .try_for_each(|write| write.check(stage.lab.oracle().executions(&write.id)))
    }

    /// A stream that was resumed has each event once.
    pub(crate) fn check_stream(&self) -> Outcome {
        let is_whole = self.events.iter().copied().eq(1..=self.events.len() as u64);
        let is_well = is_whole && self.stream_error.is_none() && self.events.len() >= ENOUGH_EVENTS;
        is_well.then_some(()).ok_or_else(|| format!("{:?}, {:?}", self.stream_error, self.events))
    }
}

impl Write {
    fn check(&self, executed: u64) -> Outcome {
        let problem: Option<Value> = serde_json::from_str(&self.body).ok();
        let was_done = problem.as_ref().and_then(|problem| problem["was_done"].as_str());
        let is_true = match (self.status, was_done) {
            _ if self.error.is_some() => false,
            (201, None) => executed == 1,
            (502..=504, Some("no")) => executed == 0,
            (502..=504, Some("unknown")) => executed <= 1,
            (502..=504, Some("yes")) => executed == 1,
            _ => false,
        };
        is_true.then_some(()).ok_or_else(|| format!("executed {executed} times: {self:?}"))
    }
}

/// Fewer than the story waits for can't be.
const ENOUGH_READS: usize = 200;

/// So many the page waits for.
const ENOUGH_EVENTS: usize = 20;
