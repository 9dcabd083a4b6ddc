//! Where all events meet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::call::kept::KeptCall;
use crate::call::{CallRecord, recent::Recent};
use crate::counters::{UpstreamCounters, UpstreamSums};
use crate::feed::{Feed, Hub};
use crate::file::{RecordCalls, RecordWriter, RecordsOptions, RecordsStatus};
use crate::log::{LogCalls, LogOptions, json};
use crate::metrics::{self, Counted, ProcessSums, UpstreamSnapshot};
use crate::{CallId, Census, Counts, UpstreamRecorder};

/// Upstreams that are remembered after reloads have removed them, together with those in use. More than a config has.
const UPSTREAMS_KEPT: usize = 1000;

/// Counts, keeps and publishes what happens, for the whole process.
///
/// One for all cores: what a healthy call counts is kept per thread, the rest is rare.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    upstreams: Mutex<BTreeMap<Arc<str>, Arc<UpstreamCounters>>>,
}

/// What a recorder does besides counting.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// The log; `None` writes none. Default none.
    pub log: Option<LogOptions>,
    /// Wall-clock milliseconds since 1970, for records and the feed. Default the system's clock.
    pub unix_millis: fn() -> u64,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self { log: None, unix_millis: system_unix_millis }
    }
}

/// What all upstreams' recorders share.
#[derive(Debug)]
pub(crate) struct Shared {
    options: RecorderOptions,
    feed: Hub,
    recent: Recent,
    file: Mutex<Option<Arc<RecordWriter>>>,
}

impl Recorder {
    /// A recorder with nothing counted, and no log.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with(RecorderOptions::default())
    }

    /// A recorder with nothing counted.
    #[must_use]
    pub fn with(options: RecorderOptions) -> Arc<Self> {
        let shared =
            Shared { options, feed: Hub::new(), recent: Recent::default(), file: Mutex::default() };
        Arc::new(Self { shared: Arc::new(shared), upstreams: Mutex::default() })
    }

    /// The part for an upstream with these endpoints, in the order of their ids.
    ///
    /// An upstream and endpoints that were there before go on counting where they were.
    #[must_use]
    pub fn upstream(self: &Arc<Self>, name: &str, endpoints: &[&str]) -> Arc<UpstreamRecorder> {
        let mut upstreams = self.upstreams.lock();
        let calls = match upstreams.get(name) {
            Some(calls) => Arc::clone(calls),
            None => {
                let calls = UpstreamCounters::new(name);
                upstreams.insert(Arc::clone(calls.name()), Arc::clone(&calls));
                calls
            }
        };
        forget_upstreams(&mut upstreams);
        let endpoints = calls.endpoints(endpoints);
        UpstreamRecorder::new(&self.shared, calls, endpoints)
    }

    /// Everything that was counted until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let ProcessSums { log_dropped, feed_lost } = self.process_sums();
        Counts::new(&self.sums(), log_dropped, feed_lost)
    }

    /// Which events, breaks and reasons were ever reached.
    #[must_use]
    pub fn census(&self) -> Census {
        Census::new(&self.sums())
    }

    /// The text for a scrape: OpenMetrics or Prometheus, with the states that `snapshot` shows.
    #[must_use]
    pub fn metrics_text(&self, openmetrics: bool, snapshot: &[UpstreamSnapshot]) -> String {
        let now = |name: &str| snapshot.iter().find(|upstream| upstream.name == name).map(|s| s.at);
        let counted: Vec<_> = self
            .known()
            .iter()
            .map(|upstream| Counted {
                recent_amplification: now(upstream.name())
                    .and_then(|now| upstream.recent_amplification(now)),
                sums: upstream.sums(),
            })
            .collect();
        metrics::text(openmetrics, &counted, snapshot, self.process_sums())
    }

    /// A reader of what breaks and what is done about it, from now on.
    #[must_use]
    pub fn subscribe(&self) -> Feed {
        self.shared.feed.subscribe()
    }

    /// What is kept of broken calls, from now on. What is kept already stays, as far as there is room.
    ///
    /// # Errors
    ///
    /// No thread can be started for the file; what was before goes on.
    pub fn keep_records(&self, options: &RecordsOptions) -> std::io::Result<()> {
        self.shared.keep_records(options)
    }

    /// How writing records to a file goes; `None` when there is no file.
    #[must_use]
    pub fn records_status(&self) -> Option<RecordsStatus> {
        self.shared.file.lock().as_ref().map(|file| file.status())
    }

    /// The last broken calls, the newest first: a thousand if nothing else was said, and as many failed ones.
    #[must_use]
    pub fn recent(&self) -> Vec<CallRecord> {
        self.shared.recent.records()
    }

    /// The record of a broken call, if it is among the last ones.
    #[must_use]
    pub fn find(&self, call: CallId) -> Option<CallRecord> {
        self.shared.recent.find(call)
    }

    /// Waits until log and records are written, at most so long each. For the end of a process.
    pub fn flush_log(&self, at_most: Duration) {
        let file = self.shared.file.lock().clone();
        if let Some(file) = file {
            file.flush(at_most);
        }
        if let Some(log) = self.shared.log() {
            log.sink.flush(at_most);
        }
    }

    /// The upstreams, to be read without holding up whoever reloads.
    fn known(&self) -> Vec<Arc<UpstreamCounters>> {
        self.upstreams.lock().values().cloned().collect()
    }

    fn sums(&self) -> Vec<UpstreamSums> {
        self.known().iter().map(|upstream| upstream.sums()).collect()
    }

    fn process_sums(&self) -> ProcessSums {
        ProcessSums {
            log_dropped: self.shared.log().map_or(0, |log| log.sink.dropped()),
            feed_lost: self.shared.feed.lost(),
        }
    }
}

impl Shared {
    pub(crate) fn unix_millis(&self) -> u64 {
        (self.options.unix_millis)()
    }

    pub(crate) const fn log(&self) -> Option<&LogOptions> {
        self.options.log.as_ref()
    }

    /// Whether the log wants these calls.
    pub(crate) fn logs(&self, calls: LogCalls) -> bool {
        self.options.log.as_ref().is_some_and(|log| log.calls == calls)
    }

    pub(crate) const fn feed(&self) -> &Hub {
        &self.feed
    }

    /// Keeps a broken call, in memory and in the file.
    pub(crate) fn keep(&self, call: &Arc<KeptCall>) {
        let file = self.file.lock().clone();
        if let Some(file) = file
            && (call.is_failed() || file.settings().calls == RecordCalls::Broken)
        {
            file.write(json::record(&call.record()));
        }
        self.recent.keep(call);
    }

    fn keep_records(&self, options: &RecordsOptions) -> std::io::Result<()> {
        self.recent.hold(options.memory);
        let current = self.file.lock().clone();
        if current.as_ref().map(|file| file.settings()) == options.file.as_ref() {
            return Ok(());
        }
        if let Some(before) = current {
            // So that no two threads write one file; a disk that hangs is not waited for.
            before.flush(FLUSH);
        }
        let file = match &options.file {
            Some(file) => Some(Arc::new(RecordWriter::new(file.clone(), None)?)),
            None => None,
        };
        *self.file.lock() = file;
        Ok(())
    }
}

/// How long a reload waits for records that are on their way to a file.
const FLUSH: Duration = Duration::from_secs(1);

/// Drops upstreams that nobody counts for any more once there are too many.
fn forget_upstreams(upstreams: &mut BTreeMap<Arc<str>, Arc<UpstreamCounters>>) {
    let mut surplus = upstreams.len().saturating_sub(UPSTREAMS_KEPT);
    upstreams.retain(|_, upstream| {
        let forgotten = surplus > 0 && Arc::strong_count(upstream) == 1;
        surplus -= usize::from(forgotten);
        !forgotten
    });
}

fn system_unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
