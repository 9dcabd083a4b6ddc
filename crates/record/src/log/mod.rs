//! The log: a line for each broken call when it is over, and for each change of a breaker or endpoint.
//!
//! A line goes to a [`LogSink`], which must not wait: a slow terminal or a full disk never holds up a call. What the
//! sink can't take is dropped and counted. Lines hold no header values and no query strings.

pub(crate) mod json;
mod text;
mod time;
mod writer;

use std::sync::Arc;
use std::time::Duration;

pub use time::rfc3339;
pub use writer::WriterSink;

use crate::call::CallRecord;
use crate::feed::FeedItem;

/// Takes lines, and never waits.
pub trait LogSink: Send + Sync + std::fmt::Debug {
    /// Takes one line, without its line end, or drops it and counts that.
    fn write(&self, line: String);

    /// How many lines were dropped.
    fn dropped(&self) -> u64;

    /// Waits until everything taken so far is written, at most so long. For the end of a process.
    fn flush(&self, at_most: Duration);
}

/// Which calls get a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogCalls {
    /// Those in which something broke. Default; too few for nobody, and nothing while all is well.
    #[default]
    Broken,
    /// Every call, which costs about a microsecond each.
    Every,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `key=value` pairs, for people. Default.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Where lines go, which, and how they look.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Takes the lines.
    pub sink: Arc<dyn LogSink>,
    /// Which calls get one.
    pub calls: LogCalls,
    /// How they look.
    pub format: LogFormat,
}

/// How urgent a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Info,
    Warn,
    Error,
}

impl LogOptions {
    /// Text on this sink, for broken calls.
    #[must_use]
    pub fn new(sink: Arc<dyn LogSink>) -> Self {
        Self { sink, calls: LogCalls::default(), format: LogFormat::default() }
    }

    pub(crate) fn write_call(&self, record: &CallRecord, now_unix_ms: u64) {
        let level = call_level(record);
        self.sink.write(match self.format {
            LogFormat::Text => text::call(record, level, now_unix_ms),
            LogFormat::Json => json::call(record, level, now_unix_ms),
        });
    }

    pub(crate) fn write_transition(&self, item: &FeedItem) {
        let level = transition_level(item);
        self.sink.write(match self.format {
            LogFormat::Text => text::transition(item, level),
            LogFormat::Json => json::transition(item, level),
        });
    }
}

impl Level {
    const fn code(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// An error is what the application got to feel.
fn call_level(record: &CallRecord) -> Level {
    let broke = record.attempts.iter().any(|attempt| attempt.code.is_some());
    match &*record.outcome {
        // Whoever closes a stream that it has read enough of does nothing wrong.
        "delivered"
            if record.body_broke.as_deref()
                == Some(mainstay_core::BreakKind::ClientGone.code()) =>
        {
            Level::Info
        }
        "delivered" if record.healed.is_some() => Level::Warn,
        "delivered" if record.body_broke.is_some() => Level::Error,
        "delivered" if !broke => Level::Info,
        "delivered" => Level::Warn,
        _ => Level::Error,
    }
}

fn transition_level(item: &FeedItem) -> Level {
    match &*item.event {
        "breaker-opened" | "endpoint-ejected" | "endpoint-unhealthy" => Level::Warn,
        _ => Level::Info,
    }
}
