//! The metrics of a scope, as OTLP has them: cumulative from the process' start.

use super::{Labels, Span};
use crate::counters::{BOUNDS, BUCKETS, Exemplar, HistogramSums};
use crate::metrics::table::{Kind, Metric};
use crate::otlp::{Message, Value, attribute};

/// The metrics of a scope, in the making.
#[derive(Debug)]
pub(crate) struct OtlpPage {
    span: Span,
    metrics: Message,
    /// The points of the metric that was begun last.
    points: Message,
    metric: Option<&'static Metric>,
}

impl OtlpPage {
    pub(super) fn new(span: Span) -> Self {
        let metrics = Message::with_capacity(32 << 10);
        Self { span, metrics, points: Message::default(), metric: None }
    }

    pub(super) fn begin(&mut self, metric: &'static Metric) {
        self.end();
        self.metric = Some(metric);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.end();
        self.metrics.into_bytes()
    }

    /// Writes the metric that was begun, if it has any points.
    fn end(&mut self) {
        let points = std::mem::take(&mut self.points).into_bytes();
        let Some(metric) = self.metric.take().filter(|_| !points.is_empty()) else { return };
        self.metrics.message(METRIC, |written| {
            written.text(1, metric.name);
            written.text(2, metric.help);
            written.text(3, unit(metric));
            match metric.kind {
                Kind::Gauge => written.message(5, |gauge| gauge.raw(&points)),
                Kind::Counter => written.message(7, |sum| {
                    sum.raw(&points);
                    sum.number(2, CUMULATIVE);
                    sum.number(3, 1);
                }),
                Kind::Histogram => written.message(9, |histogram| {
                    histogram.raw(&points);
                    histogram.number(2, CUMULATIVE);
                }),
            }
        });
    }

    pub(super) fn count(&mut self, labels: Labels<'_>, count: u64, like: Option<&Exemplar>) {
        let span = self.span;
        self.points.message(1, |point| {
            write_labels(point, 7, labels);
            point.fixed64(2, span.from);
            point.fixed64(3, span.to);
            point.fixed64(6, count);
            if let Some(like) = like {
                point.message(5, |written| exemplar(written, like));
            }
        });
    }

    pub(super) fn gauge(&mut self, labels: Labels<'_>, value: f64) {
        let span = self.span;
        self.points.message(1, |point| {
            write_labels(point, 7, labels);
            point.fixed64(3, span.to);
            point.double(4, value);
        });
    }

    pub(super) fn histogram(
        &mut self,
        labels: Labels<'_>,
        sums: &HistogramSums,
        like: &[Option<Exemplar>; BUCKETS],
    ) {
        let span = self.span;
        let bounds = BOUNDS.map(|nanos| std::time::Duration::from_nanos(nanos).as_secs_f64());
        self.points.message(1, |point| {
            write_labels(point, 9, labels);
            point.fixed64(2, span.from);
            point.fixed64(3, span.to);
            point.fixed64(4, sums.count());
            point.double(5, sums.seconds());
            point.packed64(6, sums.buckets().iter().copied());
            point.packed64(7, bounds.iter().map(|bound| bound.to_bits()));
            for like in like.iter().flatten() {
                point.message(8, |written| exemplar(written, like));
            }
        });
    }
}

fn write_labels(point: &mut Message, field: u32, labels: Labels<'_>) {
    for (label, value) in labels {
        attribute(point, field, label, Value::Text(value));
    }
}

fn exemplar(written: &mut Message, like: &Exemplar) {
    written.fixed64(2, like.unix_ms.saturating_mul(1_000_000));
    written.double(3, like.seconds());
    if let Some((trace, span)) = &like.trace {
        written.bytes(4, span);
        written.bytes(5, trace);
    }
    attribute(written, 7, "mainstay.call.id", Value::Text(&like.call.to_string()));
}

/// The unit by UCUM, as OTLP wants it.
fn unit(metric: &Metric) -> &'static str {
    match metric.unit() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    }
}

/// The field of a scope's metrics.
const METRIC: u32 = 2;

const CUMULATIVE: u64 = 2;
