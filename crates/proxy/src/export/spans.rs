//! Takes calls that wait, and sends them as spans.

use std::sync::Arc;
use std::time::Duration;

use mainstay::{Clock, fresh_chance};
use mainstay_config::settings::Traces;
use mainstay_core::retry::{BackoffSettings, Growth, Jitter, backoff};
use mainstay_record::{Resource, SpanBatch, SpanQueue};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::collector::{Collector, Signal};
use super::{FLUSH, Trouble};
use crate::shared::unix_nanos;

/// The work of exporting spans.
pub(super) struct Spans {
    queue: Arc<SpanQueue>,
    trouble: Arc<Trouble>,
    resource: Resource,
    interval: Duration,
    paths: bool,
}

impl Spans {
    pub(super) fn new(settings: &Traces, queue: Arc<SpanQueue>, trouble: Arc<Trouble>) -> Self {
        let resource = Resource::new(settings.collector.resource.iter().map(String::as_str));
        Self { queue, trouble, resource, interval: settings.interval, paths: settings.paths }
    }

    /// Exports until told to stop, and then what is left, for a second at most.
    pub(super) async fn run(&self, collector: &Collector, mut stopped: watch::Receiver<bool>) {
        let mut underway = None;
        tokio::select! {
            // Its sender lives until it has said so, or is gone: either is the end.
            _ = stopped.wait_for(|stopped| *stopped) => {}
            () = self.forever(collector, &mut underway) => {}
        }
        let mut in_hand = 0;
        let rest = async {
            // What was being sent when it was stopped goes once more: it may have arrived, and may come twice.
            let mut batch = underway.take().unwrap_or_else(|| self.queue.take());
            while !batch.is_empty() {
                in_hand = batch.len();
                self.send_once(collector, batch).await;
                in_hand = 0;
                batch = self.queue.take();
            }
        };
        let is_late = timeout(FLUSH, rest).await.is_err();
        if is_late {
            self.queue.on_refused(in_hand);
            tracing::debug!("some spans couldn't be exported in time");
        }
    }

    async fn forever(&self, collector: &Collector, underway: &mut Option<SpanBatch>) {
        loop {
            tokio::select! {
                () = self.queue.batched() => {}
                () = sleep(self.interval) => {}
            }
            let batch = self.queue.take();
            if !batch.is_empty() {
                self.send(collector, underway.insert(batch)).await;
                *underway = None;
            }
        }
    }

    async fn send_once(&self, collector: &Collector, batch: SpanBatch) {
        match collector.export(Signal::Traces, self.encode(&batch)).await {
            Ok(partial) => self.taken(&batch, partial),
            Err(_) => self.queue.on_refused(batch.len()),
        }
    }

    /// Sends a batch, again and again where the collector may take it later; meanwhile the queue takes what comes, as far as it
    /// has room.
    async fn send(&self, collector: &Collector, batch: &SpanBatch) {
        let message = self.encode(batch);
        let (began, mut retry, mut last) = (Instant::now(), 0u8, Duration::ZERO);
        loop {
            let not_taken = match collector.export(Signal::Traces, message.clone()).await {
                Ok(partial) => return self.taken(batch, partial),
                Err(not_taken) => not_taken,
            };
            self.trouble.note("spans", Err(not_taken.why));
            let Some(asked) = not_taken.later.filter(|_| began.elapsed() < TRIED_FOR) else {
                return self.queue.on_refused(batch.len());
            };
            retry = retry.saturating_add(1);
            last = backoff::wait(&PAUSES, retry, last, &mut fresh_chance());
            sleep(last.max(asked).min(PAUSES.cap)).await;
        }
    }

    fn encode(&self, batch: &SpanBatch) -> Vec<u8> {
        // Read for each batch, since the wall clock may be put right meanwhile.
        let zero = unix_nanos().saturating_sub(Clock::now().as_nanos());
        batch.encode(&self.resource, zero, self.paths)
    }

    fn taken(&self, batch: &SpanBatch, partial: Option<(u64, String)>) {
        match partial {
            None => {
                self.queue.on_exported(batch.len());
                self.trouble.note("spans", Ok(()));
            }
            Some((refused, why)) => {
                // Spans, of which a call has several.
                let calls = usize::try_from(refused).unwrap_or(usize::MAX).min(batch.len());
                self.queue.on_exported(batch.len() - calls);
                self.queue.on_refused(calls);
                self.trouble.note("spans", Err(format!("{refused} were refused: {why}")));
            }
        }
    }
}

/// The waits after exports that failed, each of which has retries of its own. A collector that is back is noticed soon.
const PAUSES: BackoffSettings = BackoffSettings {
    growth: Growth::Exponential { factor_percent: 200 },
    base: Duration::from_secs(1),
    cap: Duration::from_secs(8),
    jitter: Jitter::Equal,
};

/// For so long a batch is sent again: a restart of the collector. What comes meanwhile waits in the queue.
const TRIED_FOR: Duration = Duration::from_secs(60);
