//! Sends all metrics from time to time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mainstay_config::settings::Metrics as Settings;
use mainstay_record::Resource;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

use super::collector::{Collector, Signal};
use super::{FLUSH, Trouble};
use crate::admin;
use crate::shared::{Shared, unix_nanos};

/// The work of exporting metrics.
pub(super) struct Metrics {
    /// Weak, as whoever runs beside it.
    shared: Weak<Shared>,
    fares: Arc<Fares>,
    resource: Resource,
    interval: Duration,
}

/// How it fares.
#[derive(Debug, Default)]
pub(super) struct Fares {
    pub(super) exported: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) trouble: Trouble,
}

impl Metrics {
    pub(super) fn new(settings: &Settings, shared: Weak<Shared>, fares: Arc<Fares>) -> Self {
        let resource = Resource::new(settings.collector.resource.iter().map(String::as_str));
        Self { shared, fares, resource, interval: settings.interval }
    }

    /// Exports until told to stop, and then once more.
    pub(super) async fn run(&self, collector: &Collector, mut stopped: watch::Receiver<bool>) {
        let begin = tokio::time::Instant::now() + self.interval;
        let mut ticks = interval_at(begin, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Its sender lives until it has said so, or is gone: either is the end.
                _ = stopped.wait_for(|stopped| *stopped) => break,
                _ = ticks.tick() => {}
            }
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                () = self.send(collector) => {}
            }
        }
        if timeout(FLUSH, self.send(collector)).await.is_err() {
            tracing::debug!("the last metrics couldn't be exported in time");
        }
    }

    /// Sends what is counted now. What isn't taken is not sent again: the next time counts the same and more.
    async fn send(&self, collector: &Collector) {
        let Some(shared) = self.shared.upgrade() else { return };
        let snapshots = admin::snapshots(&shared).await;
        let times = (shared.started_unix_nanos, unix_nanos());
        let message = shared.recorder.metrics_otlp(&self.resource, times, &snapshots);
        drop((shared, snapshots));
        let outcome = match collector.export(Signal::Metrics, message).await {
            Ok(None) => Ok(()),
            Ok(Some((refused, why))) => Err(format!("{refused} points were refused: {why}")),
            Err(not_taken) => Err(not_taken.why),
        };
        let counter = if outcome.is_ok() { &self.fares.exported } else { &self.fares.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        self.fares.trouble.note("metrics", outcome);
    }
}
