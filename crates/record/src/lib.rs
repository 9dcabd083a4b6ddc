//! Events of calls, turned into metrics, log lines and feeds.
//!
//! Everything that can be asked why reads one stream of [`mainstay_core::Event`]s. The client and the proxy hand
//! them in here: each call's own through a [`CallTrace`], an upstream's through its [`UpstreamRecorder`].
//!
//! ```text
//!   events ──> UpstreamRecorder ──> counters ──> metrics, Counts, Census     every call; nothing else for a healthy one
//!                    │
//!                    ├── news ────> Feed, log line of a change               only while somebody reads
//!                    └── call over ─┬> recent calls, log line                only if something broke
//!                                   └> spans, to be exported                and of those that are sampled
//! ```
//!
//! It decides nothing, and nothing here makes a call wait: counters are relaxed additions, a slow reader of the feed
//! loses items, a slow log loses lines, and what is lost is counted.

mod access;
mod byte_set;
mod call;
mod census;
mod counters;
mod counts;
mod digits;
mod feed;
mod file;
mod history;
mod id;
mod incidents;
mod label;
mod log;
mod metrics;
mod names;
mod otlp;
mod recorder;
mod span;
mod spool;
mod trace;
mod upstream;

pub use access::{AccessAnswer, AccessFormat, AccessLine, AccessLog, AccessOptions, AccessRequest};
pub use call::{
    AttemptFacts, AttemptRecord, BreakRow, CALLS_PER_SECOND, CallFilter, CallOutcome, CallRecord,
    CallRow, Circumstances, CircumstancesRecord, ConnectionFacts, ConnectionRecord, HoldRecord,
    NoteRecord, Origin, RequestFacts, Step, StepName, StepOutcome, StepRecord, TunnelRecord,
    WrongFilter,
};
pub use census::{Census, CensusPart};
pub use counts::{ByCode, CallCounts, Counts, EndpointCounts, HedgeCounts, UpstreamCounts};
pub use feed::{Feed, FeedItem, FeedNews};
pub use file::{RecordCalls, RecordFile, RecordsOptions, RecordsStatus, rotated};
pub use history::{
    CallPart, Change, EndpointLook, EndpointNow, EndpointPart, EndpointSeries, EndpointState,
    Order, Timeline, TimelineFilter, UpstreamNow, UpstreamSeries,
};
pub use id::{CallId, NoCallId};
pub use incidents::{
    Incident, IncidentCalls, IncidentFilter, IncidentFirst, IncidentMoment, IncidentSaves,
    IncidentTurn,
};
pub use log::{
    LogCalls, LogFormat, LogLevel, LogOptions, LogSettings, LogSink, WriterSink, rfc3339,
};
pub use metrics::{
    EndpointSnapshot, NamesSnapshot, RingCounts, StaleCloses, StoredSnapshot, UpstreamSnapshot,
    manual, metrics_content_type,
};
pub use otlp::{Resource, partial_success};
pub use recorder::{Recorder, RecorderOptions};
pub use span::{Sampling, SpanBatch, SpanQueue, SpanStatus, TraceContext, TraceParent};
pub use trace::{CallBrief, CallTag, CallTrace};
pub use upstream::UpstreamRecorder;
