//! The text that a scrape gets, in either of the two formats.
//!
//! They differ in little: OpenMetrics names a counter's family without `_total`, writes whole bounds as `1.0`, says units and
//! exemplars, and ends with `# EOF`. References: the Prometheus exposition format 0.0.4 and OpenMetrics 1.0.

use std::fmt::Write;

use super::Labels;
use crate::counters::{BUCKETS, Exemplar, HistogramSums};
use crate::metrics::table::{Kind, Metric};

/// A text in the making.
#[derive(Debug)]
pub(crate) struct TextPage {
    text: String,
    openmetrics: bool,
}

impl TextPage {
    pub(super) fn new(openmetrics: bool) -> Self {
        // A few upstreams fill about 16 KiB.
        Self { text: String::with_capacity(16 << 10), openmetrics }
    }

    pub(super) fn begin(&mut self, metric: &'static Metric) {
        let Metric { name, kind, help, .. } = metric;
        let total = if *kind == Kind::Counter && !self.openmetrics { "_total" } else { "" };
        let code = kind.code();
        self.line(format_args!("# HELP {name}{total} {help}"));
        self.line(format_args!("# TYPE {name}{total} {code}"));
        if let Some(unit) = metric.unit().filter(|_| self.openmetrics) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
    }

    pub(super) fn finish(mut self) -> String {
        if self.openmetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    pub(super) fn count(
        &mut self,
        metric: &Metric,
        labels: Labels<'_>,
        count: u64,
        like: Option<&Exemplar>,
    ) {
        self.sample((metric.name, "_total"), labels, "", &count.to_string(), like);
    }

    pub(super) fn gauge(&mut self, metric: &Metric, labels: Labels<'_>, value: f64) {
        self.sample((metric.name, ""), labels, "", &value.to_string(), None);
    }

    pub(super) fn histogram(
        &mut self,
        metric: &Metric,
        labels: Labels<'_>,
        sums: &HistogramSums,
        like: &[Option<Exemplar>; BUCKETS],
    ) {
        let name = metric.name;
        let count = sums.count().to_string();
        for ((bound, below), like) in sums.cumulative().zip(like) {
            let bound = if self.openmetrics { format!("{bound:?}") } else { bound.to_string() };
            self.sample((name, "_bucket"), labels, &bound, &below.to_string(), like.as_ref());
        }
        let like = like.last().and_then(Option::as_ref);
        self.sample((name, "_bucket"), labels, "+Inf", &count, like);
        self.sample((name, "_sum"), labels, "", &sums.seconds().to_string(), None);
        self.sample((name, "_count"), labels, "", &count, None);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a string can't fail.
        let _ = writeln!(self.text, "{line}");
    }

    fn sample(
        &mut self,
        (name, suffix): (&str, &str),
        labels: Labels<'_>,
        le: &str,
        value: &str,
        like: Option<&Exemplar>,
    ) {
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
        if let Some(like) = like.filter(|_| self.openmetrics) {
            self.exemplar(like);
        }
        self.text.push('\n');
    }

    /// Labels, value and time: 86 of the 128 characters that labels may have.
    fn exemplar(&mut self, like: &Exemplar) {
        self.text.push_str(" # {");
        if let Some((trace, span)) = &like.trace {
            let trace = u128::from_be_bytes(*trace);
            let span = u64::from_be_bytes(*span);
            let _ = write!(self.text, "trace_id=\"{trace:032x}\",span_id=\"{span:016x}\",");
        }
        let (seconds, millis) = (like.unix_ms / 1000, like.unix_ms % 1000);
        let _ = write!(
            self.text,
            "call_id=\"{}\"}} {} {seconds}.{millis:03}",
            like.call,
            like.seconds()
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
