//! Metrics in the making: each family with its series, one family after the other, in one of three forms.
//!
//! Two are text, for a scrape ([`text`]), one is OTLP's ([`otlp`]). Who writes families knows none of them.
//!
//! Our own, of some hundred lines, since `prometheus-client` writes OpenMetrics alone, keeps a histogram behind a mutex, and
//! would have every series made before it is read; our counters are arrays that exist anyway.

mod otlp;
mod text;

use super::table::{Kind, Metric};
use crate::counters::{BUCKETS, Exemplar, HistogramSums};
use otlp::OtlpPage;
use text::TextPage;

/// Names and values of labels, in the order in which they are shown.
type Labels<'a> = &'a [(&'static str, &'a str)];

/// All metrics, in the making.
pub(crate) enum Page {
    Text(TextPage),
    Otlp(OtlpPage),
}

/// The part of one metric. All its series are written together, as every form asks for.
pub(crate) struct Family<'a> {
    page: &'a mut Page,
    metric: &'static Metric,
}

/// Between which times OTLP's points count, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Page {
    pub(crate) fn text(openmetrics: bool) -> Self {
        Self::Text(TextPage::new(openmetrics))
    }

    pub(crate) fn otlp(span: Span) -> Self {
        Self::Otlp(OtlpPage::new(span))
    }

    /// Begins a metric.
    pub(crate) fn family(&mut self, metric: &'static Metric) -> Family<'_> {
        match self {
            Self::Text(page) => page.begin(metric),
            Self::Otlp(page) => page.begin(metric),
        }
        Family { page: self, metric }
    }

    /// What was written: a text, or the metrics of a scope.
    pub(crate) fn finish(self) -> Vec<u8> {
        match self {
            Self::Text(page) => page.finish().into_bytes(),
            Self::Otlp(page) => page.finish(),
        }
    }
}

impl Family<'_> {
    /// A counter's series.
    pub(crate) fn count(&mut self, labels: Labels<'_>, count: u64) {
        self.count_like(labels, count, None);
    }

    /// The same, with a call that stands for it.
    pub(crate) fn count_like(&mut self, labels: Labels<'_>, count: u64, like: Option<&Exemplar>) {
        self.check(Kind::Counter, labels);
        match self.page {
            Page::Text(page) => page.count(self.metric, labels, count, like),
            Page::Otlp(page) => page.count(labels, count, like),
        }
    }

    /// A gauge's series.
    pub(crate) fn gauge(&mut self, labels: Labels<'_>, value: f64) {
        self.check(Kind::Gauge, labels);
        match self.page {
            Page::Text(page) => page.gauge(self.metric, labels, value),
            Page::Otlp(page) => page.gauge(labels, value),
        }
    }

    /// A histogram's series, with a call that stands for each bucket.
    pub(crate) fn histogram(
        &mut self,
        labels: Labels<'_>,
        sums: &HistogramSums,
        like: &[Option<Exemplar>; BUCKETS],
    ) {
        self.check(Kind::Histogram, labels);
        match self.page {
            Page::Text(page) => page.histogram(self.metric, labels, sums, like),
            Page::Otlp(page) => page.histogram(labels, sums, like),
        }
    }

    fn check(&self, kind: Kind, labels: Labels<'_>) {
        debug_assert_eq!(self.metric.kind, kind, "{}", self.metric.name);
        debug_assert!(
            labels.iter().map(|(label, _)| label).eq(self.metric.labels),
            "{}: {labels:?}",
            self.metric.name
        );
    }
}
