//! What is exported over OTLP: spans of calls, and metrics.
//!
//! ```text
//!   calls ─▶ recorder's queue, bounded ─▶ this thread: encode, send ─▶ mainstay::Client ─▶ collector
//! ```
//!
//! A thread of its own takes what waits and sends it by Mainstay's own client, so that an export has what any call has: a
//! deadline, retries, a budget, a breaker. It has a recorder of its own too: exports aren't calls of applications, and aren't
//! traced. However the collector fares, calls never wait for it; what there is no room for, and what it doesn't take, is counted.

mod collector;
mod headers;
mod metrics;
mod spans;

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mainstay::pool::TargetError;
use mainstay_config::Settings;
use mainstay_config::settings::{Metrics, Traces};
use mainstay_record::SpanQueue;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::runtime;
use tokio::sync::watch;

use crate::shared::Shared;
use collector::Collector;
use spans::Spans;

/// Exports that go on until this is dropped.
#[derive(Debug)]
pub(crate) struct Exporter {
    traces: Traces,
    metrics: Metrics,
    queue: Arc<SpanQueue>,
    trouble: Arc<Trouble>,
    fares: Arc<metrics::Fares>,
    stop: watch::Sender<bool>,
    running: Mutex<Option<JoinHandle<()>>>,
}

/// Why the last export failed, while that is so.
#[derive(Debug, Default)]
pub(crate) struct Trouble(Mutex<Option<String>>);

/// Why an export can't begin.
#[derive(Debug)]
pub enum ExportError {
    /// The collector's settings can't be used; of which section.
    Target(&'static str, TargetError),
    /// Its header fields can't be read; where, and why.
    Headers(String, String),
    /// A thread or its runtime can't be made.
    Thread(io::Error),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(section, _) => write!(f, "can't use the collector of [{section}]"),
            Self::Headers(place, why) => write!(f, "{place}: {why}"),
            Self::Thread(_) => f.write_str("can't start the thread that exports"),
        }
    }
}

impl std::error::Error for ExportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Target(_, error) => Some(error),
            Self::Thread(error) => Some(error),
            Self::Headers(..) => None,
        }
    }
}

impl Exporter {
    /// Begins to export, if the settings name a collector.
    ///
    /// # Errors
    ///
    /// [`ExportError`]; nothing is exported then.
    pub(crate) fn start(
        settings: &Settings,
        shared: &Arc<Shared>,
    ) -> Result<Option<Self>, ExportError> {
        let (traces, metrics) = (settings.traces.clone(), settings.metrics.clone());
        let for_spans = Collector::new(&traces.collector, "traces")?;
        let for_metrics = Collector::new(&metrics.collector, "metrics")?;
        let queue = Arc::clone(shared.recorder.spans());
        let room = if for_spans.is_some() { traces.queue } else { 0 };
        if for_spans.is_none() && for_metrics.is_none() {
            queue.hold(room);
            return Ok(None);
        }
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ExportError::Thread)?;
        let (stop, stopped) = watch::channel(false);
        let (trouble, fares) = (Arc::<Trouble>::default(), Arc::<metrics::Fares>::default());
        let spans = Spans::new(&traces, Arc::clone(&queue), Arc::clone(&trouble));
        let levels = metrics::Metrics::new(&metrics, Arc::downgrade(shared), Arc::clone(&fares));
        let work = async move {
            let spans = async {
                if let Some(collector) = &for_spans {
                    watched(collector, spans.run(collector, stopped.clone())).await;
                }
            };
            let levels = async {
                if let Some(collector) = &for_metrics {
                    watched(collector, levels.run(collector, stopped.clone())).await;
                }
            };
            tokio::join!(spans, levels);
        };
        let running = thread::Builder::new()
            .name("mainstay-export".into())
            .spawn(move || {
                let work = AssertUnwindSafe(|| runtime.block_on(work));
                if catch_unwind(work).is_err() {
                    tracing::error!(
                        "the thread that exports panicked: nothing is exported any more"
                    );
                }
                // A name that is being looked up isn't waited for.
                runtime.shutdown_background();
            })
            .map_err(ExportError::Thread)?;
        queue.hold(room);
        let running = Mutex::new(Some(running));
        Ok(Some(Self { traces, metrics, queue, trouble, fares, stop, running }))
    }

    /// Whether it is what these settings want.
    pub(crate) fn is_by(&self, settings: &Settings) -> bool {
        self.traces == settings.traces && self.metrics == settings.metrics
    }

    /// How the export of spans fares; nothing where there is none.
    pub(crate) fn traces_status(&self) -> Value {
        let Some(endpoint) = &self.traces.collector.endpoint else { return Value::Null };
        let status = self.queue.status();
        json!({
            "endpoint": endpoint,
            "queued": status.queued,
            "exported": status.exported,
            "dropped": status.dropped,
            "refused": status.refused,
            "error": self.trouble.0.lock().clone(),
        })
    }

    /// How that of metrics does.
    pub(crate) fn metrics_status(&self) -> Value {
        let Some(endpoint) = &self.metrics.collector.endpoint else { return Value::Null };
        json!({
            "endpoint": endpoint,
            "exported": self.fares.exported.load(Relaxed),
            "failed": self.fares.failed.load(Relaxed),
            "error": self.fares.trouble.0.lock().clone(),
        })
    }

    /// Ends it: what waits is sent, in so far as that takes no more than a second.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
        if let Some(running) = self.running.lock().take()
            && running.join().is_err()
        {
            tracing::error!("the thread that exports panicked");
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // Not waited for: a reload mustn't hang on a collector that does. The thread ends by itself.
        self.stop.send_replace(true);
    }
}

impl Trouble {
    /// Remembers how an export went. A failure is told once, not for each batch, and so is its end.
    fn note(&self, what: &str, outcome: Result<(), String>) {
        let mut known = self.0.lock();
        match (&outcome, &*known) {
            (Ok(()), Some(_)) => tracing::info!("{what} are exported again"),
            (Err(why), None) => tracing::warn!("{what} can't be exported: {why}"),
            (Ok(()), None) | (Err(_), Some(_)) => {}
        }
        *known = outcome.err();
    }
}

/// Does the work while the collector's endpoint is watched over.
async fn watched(collector: &Collector, work: impl Future<Output = ()>) {
    let watching = tokio::spawn(Arc::clone(collector.service()).watch());
    work.await;
    watching.abort();
}

/// How long a shutdown waits for what is still to be sent.
const FLUSH: Duration = Duration::from_secs(1);
