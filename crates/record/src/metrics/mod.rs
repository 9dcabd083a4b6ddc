//! Metrics, as a text for Prometheus and whoever reads its formats.
//!
//! [`table`] names every metric; [`counted`] writes those that come from the counters, [`seen`] those that show a
//! state at the time of the scrape. Nothing is prepared or kept for a scrape: it reads the counters and writes.

mod counted;
mod manual;
#[cfg(test)]
mod ops;
mod page;
mod seen;
mod table;

pub use manual::manual;
pub use seen::{
    EndpointSnapshot, NamesSnapshot, RingCounts, StaleCloses, StoredSnapshot, UpstreamSnapshot,
};

pub(crate) use counted::Counted;
use page::Page;
pub(crate) use page::Span;

use crate::span::SpanStatus;

/// What is counted for the process, not for an upstream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProcessSums {
    pub(crate) log_dropped: u64,
    pub(crate) feed_lost: u64,
    pub(crate) traces: SpanStatus,
    pub(crate) access_dropped: u64,
    /// None where there is no outbox.
    pub(crate) outbox_reachable: Option<bool>,
}

/// The value of `Content-Type` for a text of metrics.
#[must_use]
pub const fn metrics_content_type(openmetrics: bool) -> &'static str {
    if openmetrics {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    }
}

/// The whole text.
pub(crate) fn text(
    openmetrics: bool,
    counted: &[Counted],
    seen: &[UpstreamSnapshot],
    process: ProcessSums,
) -> String {
    let page = write(Page::text(openmetrics), counted, seen, process);
    // Nothing but text was written.
    String::from_utf8(page).unwrap_or_default()
}

/// The whole as OTLP's metrics of a scope, counted from one time to another.
pub(crate) fn otlp(
    span: Span,
    counted: &[Counted],
    seen: &[UpstreamSnapshot],
    process: ProcessSums,
) -> Vec<u8> {
    write(Page::otlp(span), counted, seen, process)
}

fn write(
    mut page: Page,
    counted: &[Counted],
    seen: &[UpstreamSnapshot],
    process: ProcessSums,
) -> Vec<u8> {
    counted::write_calls(&mut page, counted);
    counted::write_endpoints(&mut page, counted);
    seen::write(&mut page, seen);
    if let Some(is_reachable) = process.outbox_reachable {
        page.family(&table::OUTBOX_REACHABLE).gauge(&[], f64::from(is_reachable));
    }
    page.family(&table::LOG_DROPPED).count(&[], process.log_dropped);
    page.family(&table::ACCESS_DROPPED).count(&[], process.access_dropped);
    page.family(&table::FEED_LOST).count(&[], process.feed_lost);
    page.family(&table::TRACES_EXPORTED).count(&[], process.traces.exported);
    page.family(&table::TRACES_DROPPED).count(&[], process.traces.dropped);
    page.family(&table::TRACES_REFUSED).count(&[], process.traces.refused);
    page.family(&table::TRACES_QUEUED).gauge(&[], process.traces.queued as f64);
    page.finish()
}
