//! The text that a scrape gets, in either of the two formats.
//!
//! Our own, of a hundred lines, since `prometheus-client` writes OpenMetrics alone, keeps a histogram behind a mutex,
//! and would have every series made before it is read; our counters are arrays that exist anyway.
//!
//! The formats differ in little: OpenMetrics names a counter's family without `_total`, writes whole bounds as `1.0`,
//! and ends with `# EOF`. References: the Prometheus exposition format 0.0.4 and OpenMetrics 1.0.

use std::fmt::Write;

use super::table::{Kind, Metric};
use crate::counters::HistogramSums;

/// Names and values of labels, in the order in which they are shown.
type Labels<'a> = &'a [(&'static str, &'a str)];

/// A text in the making.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    openmetrics: bool,
}

/// The part of one metric. All its series are written together, as both formats ask for.
pub(crate) struct Family<'a> {
    page: &'a mut Page,
    metric: &'static Metric,
}

impl Page {
    pub(crate) fn new(openmetrics: bool) -> Self {
        // A few upstreams fill about 16 KiB.
        Self { text: String::with_capacity(16 << 10), openmetrics }
    }

    /// Begins a metric.
    pub(crate) fn family(&mut self, metric: &'static Metric) -> Family<'_> {
        let Metric { name, kind, help, .. } = metric;
        let total = if *kind == Kind::Counter && !self.openmetrics { "_total" } else { "" };
        let kind = kind.code();
        self.line(format_args!("# HELP {name}{total} {help}"));
        self.line(format_args!("# TYPE {name}{total} {kind}"));
        Family { page: self, metric }
    }

    /// The text.
    pub(crate) fn finish(mut self) -> String {
        if self.openmetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a string can't fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: Labels<'_>, le: &str, value: &str) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let bound = [("le", le)];
        let bound = if le.is_empty() { &[][..] } else { &bound[..] };
        let mut before = '{';
        for (label, value) in labels.iter().chain(bound) {
            self.text.push(before);
            self.text.push_str(label);
            self.text.push_str("=\"");
            push_escaped(&mut self.text, value);
            self.text.push('"');
            before = ',';
        }
        if before == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
        self.text.push_str(value);
        self.text.push('\n');
    }
}

impl Family<'_> {
    /// A counter's series.
    pub(crate) fn count(&mut self, labels: Labels<'_>, count: u64) {
        self.check(Kind::Counter, labels);
        self.page.sample(self.metric.name, "_total", labels, "", &count.to_string());
    }

    /// A gauge's series.
    pub(crate) fn gauge(&mut self, labels: Labels<'_>, value: f64) {
        self.check(Kind::Gauge, labels);
        self.page.sample(self.metric.name, "", labels, "", &value.to_string());
    }

    /// A histogram's series.
    pub(crate) fn histogram(&mut self, labels: Labels<'_>, sums: &HistogramSums) {
        self.check(Kind::Histogram, labels);
        let name = self.metric.name;
        let count = sums.count().to_string();
        for (bound, below) in sums.cumulative() {
            let bound =
                if self.page.openmetrics { format!("{bound:?}") } else { bound.to_string() };
            self.page.sample(name, "_bucket", labels, &bound, &below.to_string());
        }
        self.page.sample(name, "_bucket", labels, "+Inf", &count);
        self.page.sample(name, "_sum", labels, "", &sums.seconds().to_string());
        self.page.sample(name, "_count", labels, "", &count);
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

/// A label's value: backslash, quote and line end are escaped.
fn push_escaped(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            letter => text.push(letter),
        }
    }
}
