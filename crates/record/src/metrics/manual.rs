//! The page of the manual on metrics, written from the table.

use std::fmt::Write;
use std::time::Duration;

use mainstay_core::Certainty;
use mainstay_core::breaks::BreakKind;
use mainstay_core::event::{AttemptReason, EjectCause, OpenCause, Saved, StopReason};

use super::table::{ALL, Kind, Metric};
use crate::counters::BOUNDS;
use crate::label::{Delay, Label, Outcome};

const HEAD: &str = "\
# Metrics

<!-- Generated from the code by `cargo xtask bless`. -->

The admin address serves these under `/metrics`, as Prometheus text or as OpenMetrics, whichever the `Accept` header
asks for. All times are in seconds. Counters begin at zero with the process and survive a reload; those of an endpoint
or upstream are found again by its name.

The number of series is bounded. Values of labels are names from the config (upstreams, endpoints, routes) or come from
the closed sets below; no metric has a path, a host, an address or an id in it. The endpoint `other` stands for
endpoints that were removed by reloads so many names ago that they aren't kept apart any more.

Series with a `kind`, `cause`, `certainty` or a code as `result` appear when they are first counted; all others are there from the start.
States and levels are those at the time of the scrape.

In OpenMetrics the buckets of `mainstay_call_duration_seconds`, `mainstay_call_failures_total` and `mainstay_breaks_total` carry an exemplar each: the last call
of that kind that can be looked up, by `call_id` (`mainstay explain`, `GET /calls/ID`) and, where its spans are [exported](traces.md), by `trace_id` and `span_id`. Healthy
calls that aren't sampled are none. Prometheus asks for OpenMetrics by itself and keeps exemplars with `--enable-feature=exemplar-storage`.

The same metrics can be sent by OTLP (`[metrics]`), cumulative since the process began; counters are called there as here, without `_total`.

`ops/` has a dashboard for Grafana and alerts for Prometheus; each alert leads to the page of its break code.

| metric | type | labels | what it tells |
|---|---|---|---|
";

const USE: &str = "
## What to watch

| question | query |
|---|---|
| Do applications feel it? | `sum by (upstream) (rate(mainstay_calls_total{outcome!=\"delivered\"}[5m]))` |
| How much is being saved? | `sum by (upstream, saved) (rate(mainstay_calls_saved_total[5m]))` |
| What breaks, and where? | `topk(5, sum by (endpoint, kind) (rate(mainstay_breaks_total[5m])))` |
| Are retries making it worse? | `mainstay_amplification_ratio{window=\"60s\"} > 1.2` |
| Was something perhaps done without an answer? | `increase(mainstay_call_failures_total{certainty=\"maybe-processed\"}[1h])` |
| Does somebody have to look at stored writes? | `mainstay_outbox_items{state=\"stopped\"} > 0 or mainstay_outbox_items{state=\"dead\"} > 0` |
| Does the outbox fall behind? | `mainstay_outbox_oldest_seconds{state=\"waiting\"} > 600` |
| Is the budget short? | `mainstay_budget_tokens / mainstay_budget_capacity_tokens < 0.1` |
| Is the log complete? | `increase(mainstay_log_lines_dropped_total[1h]) > 0` |
";

/// The page `docs/metrics.md`: every metric with its type, labels and meaning, and the values of labels.
#[must_use]
pub fn manual() -> String {
    let mut page = HEAD.to_owned();
    for metric in ALL {
        page += &row(metric);
    }
    page += "\n## Values of labels\n\n| label | values |\n|---|---|\n";
    for (label, values) in values() {
        let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
        // Writing into a string can't fail.
        let _ = writeln!(page, "| {label} | {} |", values.join(", "));
    }
    let bounds: Vec<_> =
        BOUNDS.iter().map(|bound| Duration::from_nanos(*bound).as_secs_f64().to_string()).collect();
    let _ = writeln!(page, "\nBuckets of the histograms, in seconds: {}.", bounds.join(", "));
    page + USE
}

fn row(metric: &Metric) -> String {
    let Metric { name, kind, labels, help } = metric;
    let total = if *kind == Kind::Counter { "_total" } else { "" };
    let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{name}{total}` | {} | {} | {help}. |\n", kind.code(), labels.join(", "))
}

/// Labels with their closed sets of values.
pub(super) fn values() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut phases: Vec<_> = BreakKind::ALL.iter().map(|kind| kind.phase()).collect();
    phases.sort_unstable();
    phases.dedup();
    let saved = codes::<Saved>().into_iter().filter(|code| *code != Saved::NotNeeded.code());
    vec![
        ("`outcome`", codes::<Outcome>()),
        ("`saved`", saved.collect()),
        ("`reason` of attempts", codes::<AttemptReason>()),
        ("`result` of attempts", vec!["answered", "broke"]),
        ("`reason` of retries refused", codes::<StopReason>()),
        ("`delay`", codes::<Delay>()),
        ("`certainty`", codes::<Certainty>()),
        ("`phase`", phases.iter().map(|phase| phase.code()).collect()),
        ("`kind`", codes::<BreakKind>()),
        ("`cause` of breaker opens", codes::<OpenCause>()),
        ("`cause` of ejections", codes::<EjectCause>()),
        ("`state` and `to` of breakers", vec!["closed", "open", "half_open"]),
        ("`window`", vec!["60s", "total"]),
        ("`outcome` of hedges", vec!["launched", "won", "wasted"]),
        ("`state` of stored writes", vec!["waiting", "stopped", "delivered", "dead"]),
        ("`state` of connections", vec!["idle", "busy"]),
    ]
}

fn codes<L: Label>() -> Vec<&'static str> {
    L::ALL.iter().map(|label| label.code()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_manual_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
        if std::env::var_os("MAINSTAY_BLESS").is_some() {
            std::fs::write(path, manual()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == manual(), "docs/metrics.md is old: cargo xtask bless");
    }

    #[test]
    fn names_follow_the_conventions() {
        for Metric { name, help, labels, .. } in ALL {
            assert!(name.starts_with("mainstay_") && !name.ends_with("_total"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            assert!(!help.ends_with('.') && !help.contains(['\n', '\\']), "{name}");
            assert!(labels.first().is_none_or(|label| *label == "upstream"), "{name}");
        }
    }
}
