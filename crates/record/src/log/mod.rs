//! The log: a line for each broken call when it is over, and for each change of a breaker or endpoint.
//!
//! A line goes to a [`LogSink`], which must not wait: a slow terminal or a full disk never holds up a call. What the
//! sink can't take is dropped and counted. Lines hold no header values and no query strings.

pub(crate) mod json;
mod text;
mod time;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

pub use time::rfc3339;
pub use writer::WriterSink;

use crate::call::CallRecord;
use crate::feed::FeedItem;
use crate::{CallBrief, CallTrace};

/// Takes lines, and never waits.
pub trait LogSink: Send + Sync + std::fmt::Debug {
    /// Takes one line, which `write` appends without its end, or drops it and counts that.
    fn write(&self, write: &mut dyn FnMut(&mut Vec<u8>));

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
    /// Every call, which costs some tenths of a microsecond each as text and some microseconds as JSON.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing broke, or something recovered. Default: all lines.
    #[default]
    Info,
    /// Something broke and was made good.
    Warn,
    /// The application felt it.
    Error,
}

/// What can be changed about the log while it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// Which calls get a line.
    pub calls: LogCalls,
    /// How lines look.
    pub format: LogFormat,
    /// Lines below this aren't written.
    pub level: LogLevel,
}

/// A log with its settings, each of which can be changed at any time.
#[derive(Debug)]
pub(crate) struct Log {
    sink: Arc<dyn LogSink>,
    calls: AtomicU8,
    format: AtomicU8,
    level: AtomicU8,
}

impl LogOptions {
    /// Text on this sink, for broken calls.
    #[must_use]
    pub fn new(sink: Arc<dyn LogSink>) -> Self {
        Self { sink, calls: LogCalls::default(), format: LogFormat::default() }
    }
}

impl Log {
    pub(crate) fn new(options: LogOptions) -> Self {
        let LogOptions { sink, calls, format } = options;
        let dial = || AtomicU8::new(0);
        let log = Self { sink, calls: dial(), format: dial(), level: dial() };
        log.set(LogSettings { calls, format, level: LogLevel::default() });
        log
    }

    pub(crate) fn sink(&self) -> &dyn LogSink {
        &*self.sink
    }

    pub(crate) fn settings(&self) -> LogSettings {
        let of = |dial: &AtomicU8| usize::from(dial.load(Relaxed));
        LogSettings {
            calls: LogCalls::ALL.get(of(&self.calls)).copied().unwrap_or_default(),
            format: LogFormat::ALL.get(of(&self.format)).copied().unwrap_or_default(),
            level: LogLevel::ALL.get(of(&self.level)).copied().unwrap_or_default(),
        }
    }

    pub(crate) fn set(&self, settings: LogSettings) {
        self.calls.store(settings.calls as u8, Relaxed);
        self.format.store(settings.format as u8, Relaxed);
        self.level.store(settings.level as u8, Relaxed);
    }

    /// Whether each call gets a line.
    pub(crate) fn wants_every(&self) -> bool {
        let LogSettings { calls, level, .. } = self.settings();
        // That of a healthy call is the least.
        calls == LogCalls::Every && level == LogLevel::Info
    }

    /// Writes the line of a call of which there is nothing to tell but that it went well; false for any other, of which a record
    /// has to be made.
    pub(crate) fn write_well(
        &self,
        brief: &CallBrief<'_>,
        upstream: &str,
        trace: &CallTrace,
        now_unix_ms: u64,
    ) -> bool {
        let is_text = self.settings().format == LogFormat::Text;
        let Some(well) = text::Well::of(trace).filter(|_| is_text) else { return false };
        self.sink.write(&mut |out| text::well(out, brief, upstream, well, now_unix_ms));
        true
    }

    pub(crate) fn write_call(&self, record: &CallRecord, now_unix_ms: u64) {
        let (settings, level) = (self.settings(), call_level(record));
        if level < settings.level {
            return;
        }
        self.sink.write(&mut |out| match settings.format {
            LogFormat::Text => text::call(out, record, level, now_unix_ms),
            LogFormat::Json => out.extend(json::call(record, level, now_unix_ms).into_bytes()),
        });
    }

    pub(crate) fn write_transition(&self, item: &FeedItem) {
        let (settings, level) = (self.settings(), transition_level(item));
        if level < settings.level {
            return;
        }
        self.sink.write(&mut |out| match settings.format {
            LogFormat::Text => text::transition(out, item, level),
            LogFormat::Json => out.extend(json::transition(item, level).into_bytes()),
        });
    }
}

impl LogCalls {
    /// Each.
    pub const ALL: [Self; 2] = [Self::Broken, Self::Every];

    /// What it is called in orders.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Every => "every",
        }
    }
}

impl LogFormat {
    /// Each.
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    /// What it is called in orders.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl LogLevel {
    /// Each, the least urgent first.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warn, Self::Error];

    /// What it is called in lines and orders.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// An error is what the application got to feel.
fn call_level(record: &CallRecord) -> LogLevel {
    let broke = record.attempts.iter().any(|attempt| attempt.code.is_some());
    match &*record.outcome {
        // Whoever closes a stream that it has read enough of does nothing wrong.
        "delivered"
            if record.body_broke.as_deref()
                == Some(mainstay_core::BreakKind::ClientGone.code()) =>
        {
            LogLevel::Info
        }
        "delivered" if record.healed.is_some() => LogLevel::Warn,
        "delivered" if record.body_broke.is_some() => LogLevel::Error,
        "delivered" if !broke => LogLevel::Info,
        "delivered" => LogLevel::Warn,
        _ => LogLevel::Error,
    }
}

fn transition_level(item: &FeedItem) -> LogLevel {
    match &*item.event {
        "breaker-opened" | "endpoint-ejected" | "endpoint-unhealthy" | "incident-began" => {
            LogLevel::Warn
        }
        _ => LogLevel::Info,
    }
}
