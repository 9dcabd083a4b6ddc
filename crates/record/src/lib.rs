//! Events of calls, turned into metrics, log lines and feeds.
//!
//! Everything that can be asked why reads one stream of [`mainstay_core::Event`]s. The client and the proxy hand
//! them in here: each call's own through a [`CallTrace`], an upstream's through its [`UpstreamRecorder`].
//!
//! ```text
//!   events ──> UpstreamRecorder ──> counters ──> metrics, Counts, Census     every call; nothing else for a healthy one
//!                    │
//!                    ├── news ────> Feed, log line of a change               only while somebody reads
//!                    └── call over ─> recent calls, log line                 only if something broke
//! ```
//!
//! It decides nothing, and nothing here makes a call wait: counters are relaxed additions, a slow reader of the feed
//! loses items, a slow log loses lines, and what is lost is counted.

mod call;
mod census;
mod counters;
mod counts;
mod feed;
mod file;
mod id;
mod label;
mod log;
mod metrics;
mod names;
mod recorder;
mod trace;
mod upstream;

pub use call::{
    AttemptFacts, AttemptRecord, CallFilter, CallOutcome, CallRecord, Circumstances,
    CircumstancesRecord, ConnectionFacts, ConnectionRecord, HoldRecord, NoteRecord, Step, StepName,
    StepOutcome, StepRecord, TunnelRecord, WrongFilter,
};
pub use census::{Census, CensusPart};
pub use counts::{ByCode, CallCounts, Counts, EndpointCounts, HedgeCounts, UpstreamCounts};
pub use feed::{Feed, FeedItem, FeedNews};
pub use file::{RecordCalls, RecordFile, RecordsOptions, RecordsStatus, rotated};
pub use id::{CallId, NoCallId};
pub use log::{LogCalls, LogFormat, LogOptions, LogSink, WriterSink, rfc3339};
pub use metrics::{
    EndpointSnapshot, NamesSnapshot, RingCounts, StaleCloses, StoredSnapshot, UpstreamSnapshot,
    manual, metrics_content_type,
};
pub use recorder::{Recorder, RecorderOptions};
pub use trace::{CallTag, CallTrace};
pub use upstream::UpstreamRecorder;
