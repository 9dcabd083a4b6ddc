//! The dashboard and the alerts in `ops/`, held against the metrics that there are.

use std::collections::BTreeSet;

use serde_json::Value;

use super::manual::values;
use super::table::{ALL, Kind, Metric};

const RULES: &str = include_str!("../../../../ops/prometheus/mainstay.rules.yml");
const RULE_TESTS: &str = include_str!("../../../../ops/prometheus/mainstay.test.yml");
const DASHBOARD: &str = include_str!("../../../../ops/grafana/mainstay.json");
const BREAKS: &str = include_str!("../../../../docs/breaks.md");

/// A metric that a text names, with the labels and values that it asks for.
#[derive(Debug, PartialEq)]
struct Named<'t> {
    name: &'t str,
    asked: Vec<(&'t str, Vec<&'t str>)>,
}

/// All metrics that a text names.
fn named(text: &str) -> Vec<Named<'_>> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("mainstay_") {
        let begins = !rest[..at].ends_with(part);
        rest = &rest[at..];
        let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        rest = behind;
        if begins {
            let inner = behind.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let asked = inner.map_or(Vec::new(), |(inner, _)| selectors(inner));
            found.push(Named { name, asked });
        }
    }
    found
}

/// `a="b", c=~"d|e"`.
fn selectors(text: &str) -> Vec<(&str, Vec<&str>)> {
    let one = |selector: &'_ str| -> Option<(usize, usize, usize)> {
        let end = selector.find(['=', '!'])?;
        let from = selector.find('"')? + 1;
        Some((end, from, from + selector[from..].find('"')?))
    };
    let all = text.split(',').map(str::trim).filter(|selector| !selector.is_empty());
    all.map(|selector| {
        let (end, from, to) = one(selector).unwrap_or_else(|| panic!("{selector}"));
        (&selector[..end], selector[from..to].split('|').collect())
    })
    .collect()
}

/// The metric that a series of this name belongs to.
fn metric(name: &str) -> Option<&'static Metric> {
    ALL.into_iter().find(|metric| match metric.kind {
        Kind::Counter => name.strip_suffix("_total") == Some(metric.name),
        Kind::Gauge => name == metric.name,
        Kind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|end| name.strip_suffix(end) == Some(metric.name)),
    })
}

/// Labels that a scrape adds, and the one of buckets.
const ADDED: [&str; 3] = ["instance", "job", "le"];

/// What is wrong with the metrics that a text names.
fn wrong(text: &str) -> Vec<String> {
    let known: BTreeSet<&str> = values().into_iter().flat_map(|(_, values)| values).collect();
    let mut wrong = Vec::new();
    for Named { name, asked } in named(text) {
        let Some(metric) = metric(name) else {
            wrong.push(format!("there is no {name}"));
            continue;
        };
        for (label, values) in asked {
            if !metric.labels.contains(&label) && !ADDED.contains(&label) {
                wrong.push(format!("{name} has no label {label}"));
            }
            let closed = !["instance", "upstream", "endpoint", "route"].contains(&label);
            let odd = values.iter().filter(|value| closed && !known.contains(*value));
            wrong.extend(odd.map(|value| format!("{name}: {label} is never {value}")));
        }
    }
    wrong
}

/// The labels of `by (...)` and `on (...)`, and those that a legend or an annotation names.
fn grouped(text: &str) -> Vec<&str> {
    let lists =
        [" by (", " on (", "by (", "on ("].iter().flat_map(|word| text.split(*word).skip(1));
    let lists = lists.filter_map(|rest| rest.split(')').next()).flat_map(|list| list.split(','));
    let shown = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
    let shown = shown.map(|name| name.trim().trim_start_matches("$labels.").trim());
    lists.map(str::trim).chain(shown.filter(|name| !name.starts_with('$'))).collect()
}

#[track_caller]
fn check(text: &str) {
    let wrong = wrong(text);
    assert!(wrong.is_empty(), "{wrong:#?}\nin {text}");
    let labels: BTreeSet<&str> = named(text)
        .iter()
        .filter_map(|named| metric(named.name))
        .flat_map(|metric| metric.labels)
        .copied()
        .collect();
    for label in grouped(text) {
        assert!(labels.contains(label) || ADDED.contains(&label), "no label {label} in\n{text}");
    }
}

/// The expressions of the dashboard's panels with their legends, and what else it asks for.
fn queries(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            let text = |key: &str| fields.get(key).and_then(Value::as_str);
            if let Some(expr) = text("expr") {
                let legend =
                    text("legendFormat").or_else(|| text("titleFormat")).unwrap_or_default();
                found.push(format!("{expr} {legend}"));
            }
            found.extend(text("definition").map(str::to_owned));
            fields.values().for_each(|value| queries(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| queries(value, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_metrics_and_labels_that_there_are() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let mut found = Vec::new();
    queries(&dashboard, &mut found);
    assert!(found.len() > 30, "{} queries", found.len());
    found.iter().for_each(|query| check(query));
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "an id is used twice");
    let with_exemplars = found_with_exemplars(&dashboard);
    assert!(with_exemplars >= 2, "{with_exemplars} queries with exemplars");
}

fn found_with_exemplars(dashboard: &Value) -> usize {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets.filter(|target| target["exemplar"] == true).count()
}

#[test]
fn each_alert_asks_for_metrics_and_labels_that_there_are_and_leads_to_a_place_in_the_manual() {
    let alerts: Vec<&str> = RULES.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10);
    let headings: BTreeSet<&str> =
        BREAKS.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    for alert in alerts {
        check(alert);
        let runbook = alert.lines().find_map(|line| line.trim().strip_prefix("runbook: "));
        let runbook = runbook.unwrap_or_else(|| panic!("no runbook: {alert}")).trim_matches('"');
        match runbook.strip_prefix("docs/breaks.md#") {
            // Each kind has its heading, which a test of the page sees to.
            Some("{{ $labels.kind }}") => {}
            Some(code) => assert!(headings.contains(code), "no heading {code}"),
            None => {
                let file = runbook.split('#').next().unwrap_or_default();
                let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
                assert!(std::path::Path::new(path).join(file).is_file(), "no {file}");
            }
        }
    }
    for kind in mainstay_core::BreakKind::ALL {
        assert!(headings.contains(kind.code()), "no heading {}", kind.code());
    }
}

#[test]
fn the_made_up_series_of_the_alerts_tests_are_of_metrics_that_there_are() {
    let wrong = wrong(RULE_TESTS);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_there_is_not_is_found() {
    assert_eq!(wrong("rate(mainstay_calls_total{outcome=\"failed\"}[5m])"), [""; 0]);
    for (query, what) in [
        ("rate(mainstay_calls{outcome=\"failed\"}[5m])", "there is no mainstay_calls"),
        ("mainstay_calls_total{endpoint=\"a\"}", "mainstay_calls_total has no label endpoint"),
        (
            "mainstay_calls_total{outcome!~\"failed|lost\"}",
            "mainstay_calls_total: outcome is never lost",
        ),
    ] {
        assert_eq!(wrong(query), [what]);
    }
}
