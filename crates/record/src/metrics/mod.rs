//! Metrics, as a text for Prometheus and whoever reads its formats.
//!
//! [`table`] names every metric; [`counted`] writes those that come from the counters, [`seen`] those that show a
//! state at the time of the scrape. Nothing is prepared or kept for a scrape: it reads the counters and writes.

mod counted;
mod manual;
mod page;
mod seen;
mod table;

pub use manual::manual;
pub use seen::{
    EndpointSnapshot, NamesSnapshot, RingCounts, StaleCloses, StoredSnapshot, UpstreamSnapshot,
};

pub(crate) use counted::Counted;
use page::Page;

/// What is counted for the process, not for an upstream.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProcessSums {
    pub(crate) log_dropped: u64,
    pub(crate) feed_lost: u64,
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
    let mut page = Page::new(openmetrics);
    counted::write_calls(&mut page, counted);
    counted::write_endpoints(&mut page, counted);
    seen::write(&mut page, seen);
    page.family(&table::LOG_DROPPED).count(&[], process.log_dropped);
    page.family(&table::FEED_LOST).count(&[], process.feed_lost);
    page.finish()
}
