//! `/live`: everything that is to be seen now, and what becomes of it, as server-sent events.
//!
//! What can be lost without harm (the state of a second, a sample of broken calls) is sent as it comes. Changes of state and
//! incidents are asked for by number: who was away, or too slow, gets those that it hasn't had, and is told of those that
//! aren't kept any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use mainstay::Clock;
use mainstay_record::Change;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::{self, error::SendError};
use tokio::time::timeout;

use super::guard;
use crate::journal::{self, Frame, Watcher};
use crate::proxy::Control;

/// Pieces of the stream, until the reader leaves.
pub(super) fn stream(control: &Arc<Control>, headers: &HeaderMap) -> mpsc::Receiver<Bytes> {
    let (pieces, reader) = mpsc::channel(AHEAD);
    let since = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let reading = Reading {
        watcher: Watcher::new(control),
        since: since.and_then(|id| place(control, id)),
        seq: 0,
        version: 0,
        may_act: guard::may_act(control),
        control: Arc::clone(control),
        pieces,
    };
    tokio::spawn(async move {
        // An error is that the reader has left.
        let _ = reading.run().await;
    });
    reader
}

/// The number of the last change that a reader has had, if its id is one of this process.
fn place(control: &Control, id: &str) -> Option<u64> {
    let (boot, seq) = id.rsplit_once('-')?;
    (boot == control.journal.boot()).then_some(seq)?.parse().ok()
}

struct Reading {
    control: Arc<Control>,
    watcher: Watcher,
    since: Option<u64>,
    /// The last change that was sent.
    seq: u64,
    /// The version of the incidents that were sent.
    version: u64,
    may_act: Result<(), &'static str>,
    pieces: mpsc::Sender<Bytes>,
}

type Gone = SendError<Bytes>;

impl Reading {
    async fn run(mut self) -> Result<(), Gone> {
        self.hello().await?;
        self.whole().await?;
        self.changes(true).await?;
        self.all_incidents().await?;
        loop {
            let frame = tokio::select! {
                frame = timeout(HEARTBEAT, self.watcher.frames.recv()) => frame,
                () = self.pieces.closed() => return Ok(()),
            };
            match frame {
                Err(_) => self.pieces.send(Bytes::from_static(b":\n\n")).await?,
                Ok(Ok(Frame::State(data))) => {
                    self.send("state", data).await?;
                    self.incidents().await?;
                }
                Ok(Ok(Frame::Calls(data))) => self.send("calls", data).await?,
                Ok(Ok(Frame::News)) => self.changes(false).await?,
                Ok(Err(RecvError::Lagged(lost))) => {
                    self.tell("lost", &json!({ "v": 1, "lost": lost })).await?;
                    self.whole().await?;
                    self.changes(false).await?;
                }
                Ok(Err(RecvError::Closed)) => return Ok(()),
            }
        }
    }

    async fn hello(&mut self) -> Result<(), Gone> {
        let (control, journal) = (&self.control, &self.control.journal);
        let recorder = &control.shared.recorder;
        let missed = self.since.map_or(0, |since| recorder.changes_after(since).1);
        self.seq = match self.since {
            Some(since) => since,
            None => recorder.last_change().saturating_sub(FIRST_CHANGES),
        };
        let now = Clock::unix_millis();
        let hour = BUCKET_MS * BUCKETS;
        let hello = json!({
            "v": 1,
            "boot": journal.boot(),
            "mainstay": env!("CARGO_PKG_VERSION"),
            "now_unix_ms": now,
            "started_unix_ms": journal.started_unix_ms(),
            "generation": control.shared.number(),
            "may_act": self.may_act.is_ok(),
            "why_not": self.may_act.err(),
            "tick_ms": 1000,
            "calls_per_s": mainstay_record::CALLS_PER_SECOND,
            "kept": {
                "bucket_ms": BUCKET_MS,
                "buckets": BUCKETS,
                "from_unix_ms": journal.started_unix_ms().max(now.saturating_sub(hour)),
            },
            "resumed": self.since.is_some(),
            "missed": missed,
        });
        self.tell("hello", &hello).await
    }

    /// Everything.
    async fn whole(&self) -> Result<(), Gone> {
        let outbox = journal::outbox(&self.control).await;
        self.send("state", journal::whole(&self.control, &outbox)).await
    }

    /// The changes that it hasn't had. At the beginning they are told even if there are none, so that a reader knows.
    async fn changes(&mut self, always: bool) -> Result<(), Gone> {
        let (changes, _) = self.control.shared.recorder.changes_after(self.seq);
        if changes.is_empty() && !always {
            return Ok(());
        }
        self.seq = changes.last().map_or(self.seq, |last: &Change| last.seq);
        self.tell("changes", &json!({ "v": 1, "changes": changes })).await
    }

    /// All that are open, and the last that aren't any more.
    async fn all_incidents(&mut self) -> Result<(), Gone> {
        let recorder = &self.control.shared.recorder;
        let (mut all, version) = recorder.incidents_after(0, Clock::now());
        self.version = version;
        all.sort_by_key(|incident| std::cmp::Reverse(incident.began_unix_ms));
        let mut ended = 0;
        all.retain(|incident| {
            let is_open = incident.ended_unix_ms.is_none();
            ended += usize::from(!is_open);
            is_open || ended <= FIRST_ENDED
        });
        self.tell("incidents", &json!({ "v": 1, "incidents": all })).await
    }

    /// Those that have changed, once a second at most.
    async fn incidents(&mut self) -> Result<(), Gone> {
        let recorder = &self.control.shared.recorder;
        let (changed, version) = recorder.incidents_after(self.version, Clock::now());
        self.version = version;
        if changed.is_empty() {
            return Ok(());
        }
        self.tell("incidents", &json!({ "v": 1, "incidents": changed })).await
    }

    async fn tell(&self, event: &str, data: &Value) -> Result<(), Gone> {
        self.send(event, data.to_string().into()).await
    }

    /// One event. JSON has no line breaks, so the data is one line. It goes in pieces, as a state is large and all readers'.
    async fn send(&self, event: &str, data: Bytes) -> Result<(), Gone> {
        let (boot, seq) = (self.control.journal.boot(), self.seq);
        let head = format!("id: {boot}-{seq}\nevent: {event}\ndata: ");
        self.pieces.send(head.into()).await?;
        self.pieces.send(data).await?;
        self.pieces.send(Bytes::from_static(b"\n\n")).await
    }
}

/// Pieces that wait for a slow reader, three to an event, before the journal drops for it.
const AHEAD: usize = 24;

/// A state comes each second, so this is for when the journal itself is held up.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Changes that one gets who hasn't been here before.
const FIRST_CHANGES: u64 = 50;

/// Incidents that are over and told to one who comes.
const FIRST_ENDED: usize = 20;

const BUCKET_MS: u64 = 10_000;
const BUCKETS: u64 = 360;
