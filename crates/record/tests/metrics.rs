//! The text of a scrape, read by a parser of its own and compared with what happened.

mod common;

use std::time::Duration;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use mainstay_core::breaker::{BreakerState, Forced, WindowCounts};
use mainstay_core::budget::BudgetLevel;
use mainstay_core::limit::LimitView;
use mainstay_core::upstream::{EndpointView, LoadView, Percentile};
use mainstay_core::{BreakKind, Event, Ratio};
use mainstay_record::{
    EndpointSnapshot, NamesSnapshot, RingCounts, StaleCloses, StoredSnapshot, UpstreamSnapshot,
    manual,
};

/// What a scraper makes of a text: types by family, values by series.
#[derive(Debug, Default)]
struct Scrape {
    types: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
    exemplars: BTreeMap<String, String>,
    ended: bool,
}

impl Scrape {
    /// Reads either format, strictly: a family is described before its series, and its series stand together.
    fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        let mut family = String::new();
        for line in text.lines() {
            assert!(!scrape.ended, "after the end: {line}");
            if line == "# EOF" {
                scrape.ended = true;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect(line);
                assert_eq!(name, family, "described by another line");
                assert!(scrape.types.insert(name.into(), kind.into()).is_none(), "twice: {name}");
            } else if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').expect(line);
                assert!(name == family && name.ends_with(unit), "{line}");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split_once(' ').expect(line).0.into();
            } else {
                let (line, exemplar) = line.split_once(" # ").unwrap_or((line, ""));
                let (series, value) = line.rsplit_once(' ').expect(line);
                if !exemplar.is_empty() {
                    scrape.exemplars.insert(series.into(), exemplar.into());
                }
                assert!(series.starts_with(&family), "{series} in {family}");
                let known = scrape.values.insert(series.into(), value.parse().expect(line));
                assert_eq!(known, None, "twice: {series}");
            }
        }
        scrape
    }

    fn of(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("no {series}"))
    }
}

fn endpoint(name: &str, breaker: BreakerState) -> EndpointSnapshot {
    let view = EndpointView {
        name: name.into(),
        tier: 0,
        weight: 1,
        healthy: true,
        last_check: None,
        ejected_until: Some(at(70_000)),
        throttled_until: Some(at(10)),
        breaker,
        breaker_stops: true,
        forced: Forced::No,
        drained: false,
        route_breakers: vec![
            ("open".into(), BreakerState::Open { until: at(1) }),
            ("shut".into(), BreakerState::Closed),
        ],
        counts: WindowCounts::default(),
        latency: ms(12),
        in_flight: 3,
        warm: Ratio::percent(100),
    };
    EndpointSnapshot {
        names: Some(NamesSnapshot {
            addresses: 2,
            age: Some(ms(1_500)),
            lookups: vec![("found", 3), ("resolver-timeout", 1)],
        }),
        percentiles: vec![(Percentile::P50, ms(5)), (Percentile::P99, ms(80))],
        certificate_ends_at: Some(1_800_000_000),
        view,
        idle_connections: 4,
        busy_connections: 2,
        stale: StaleCloses { avoided: 9, met: 1, seen: 5 },
        idle_limit: Some(ms(1500)),
    }
}

fn snapshot() -> UpstreamSnapshot {
    UpstreamSnapshot {
        name: "api".into(),
        at: at(60_000),
        endpoints: vec![
            endpoint("a", BreakerState::HalfOpen { probing: 1, succeeded: 0 }),
            endpoint("b", BreakerState::Closed),
        ],
        budget: BudgetLevel { tokens: 70, capacity: 500, calls: 40, extra: 3 },
        load: LoadView {
            limit: Some(LimitView {
                current: 20,
                min: 4,
                max: 200,
                usual_latency: None,
                probing: false,
            }),
            in_flight: 17,
            waiting: 2,
            paused_until: Some(at(61_000)),
            rate_available: None,
            throttle: None,
        },
        rings: RingCounts {
            open: 3,
            bytes: 4096,
            made: 7,
            refused: 2,
            resumed: 5,
            over: 4,
            unknown: 1,
            fallen_out: 6,
        },
        stored: vec![StoredSnapshot {
            state: "stopped",
            items: 2,
            bytes: 300,
            oldest: Duration::from_secs(90),
        }],
    }
}

/// Every kind of event once, and two healthy calls.
fn scrape(openmetrics: bool) -> Scrape {
    let recorder = recorder();
    recorder.set_incidents(Default::default(), false);
    let api = api(&recorder);
    tell(&api, &healthy());
    tell(&api, &healthy());
    tell(&api, &everything());
    Scrape::read(&recorder.metrics_text(openmetrics, &[snapshot()]))
}

#[test]
fn both_formats_hold_the_same_numbers() {
    let (old, new) = (scrape(false), scrape(true));
    assert!(new.ended && !old.ended);
    let plain = |series: &String| series.replace(".0\"}", "\"}");
    let values = |scrape: &Scrape| -> BTreeMap<String, u64> {
        scrape.values.iter().map(|(series, value)| (plain(series), value.to_bits())).collect()
    };
    assert_eq!(values(&old), values(&new));
    assert_eq!(old.types["mainstay_calls_total"], "counter");
    assert_eq!(new.types["mainstay_calls"], "counter");
}

#[test]
fn what_became_of_event_streams_that_are_kept_is_what_is_scraped() {
    let scrape = scrape(false);
    let check = |series: &str, value: f64| assert_eq!(scrape.of(series), value, "{series}");
    check(r#"mainstay_event_rings{upstream="api"}"#, 3.0);
    check(r#"mainstay_event_ring_bytes{upstream="api"}"#, 4096.0);
    check(r#"mainstay_event_rings_begun_total{upstream="api",result="kept"}"#, 7.0);
    check(r#"mainstay_event_rings_begun_total{upstream="api",result="refused"}"#, 2.0);
    for (result, count) in [("resumed", 5.0), ("over", 4.0), ("unknown", 1.0), ("fallen-out", 6.0)]
    {
        let series = format!(r#"mainstay_event_returns_total{{upstream="api",result="{result}"}}"#);
        check(&series, count);
    }
}

#[test]
fn what_happened_is_what_is_scraped() {
    let scrape = scrape(false);
    let check = |series: &str, value: f64| assert_eq!(scrape.of(series), value, "{series}");
    check(r#"mainstay_calls_started_total{upstream="api"}"#, 4.0);
    check(r#"mainstay_calls_total{upstream="api",outcome="delivered"}"#, 3.0);
    check(r#"mainstay_calls_total{upstream="api",outcome="as_is"}"#, 0.0);
    check(r#"mainstay_calls_total{upstream="api",outcome="failed"}"#, 1.0);
    check(r#"mainstay_calls_in_progress{upstream="api"}"#, 0.0);
    check(r#"mainstay_calls_saved_total{upstream="api",saved="failover"}"#, 1.0);
    check(
        r#"mainstay_call_failures_total{upstream="api",kind="reset-before-head",certainty="maybe-processed"}"#,
        1.0,
    );
    check(r#"mainstay_attempts_total{upstream="api",endpoint="a",reason="first"}"#, 4.0);
    check(r#"mainstay_attempts_total{upstream="api",endpoint="b",reason="failover"}"#, 1.0);
    check(r#"mainstay_attempt_results_total{upstream="api",endpoint="a",result="broke"}"#, 2.0);
    check(
        r#"mainstay_breaks_total{upstream="api",endpoint="a",kind="response-timeout",phase="wait"}"#,
        1.0,
    );
    check(r#"mainstay_body_failures_total{upstream="api",endpoint="b",kind="body-reset"}"#, 1.0);
    check(r#"mainstay_retries_refused_total{upstream="api",reason="outcome-unknown"}"#, 1.0);
    check(r#"mainstay_retries_refused_total{upstream="api",reason="budget-empty"}"#, 0.0);
    check(r#"mainstay_breaker_transitions_total{upstream="api",endpoint="a",to="open"}"#, 1.0);
    check(r#"mainstay_ejections_total{upstream="api",endpoint="b",cause="success-rate"}"#, 1.0);
    check(r#"mainstay_failed_open_total{upstream="api",endpoint="b"}"#, 1.0);
    check(r#"mainstay_request_bodies_unrepeatable_total{upstream="api"}"#, 1.0);
    check(r#"mainstay_amplification_ratio{upstream="api",window="total"}"#, 1.25);
    check(r#"mainstay_amplification_ratio{upstream="api",window="60s"}"#, 1.25);
}

#[test]
fn checks_are_counted_by_what_came_of_them() {
    let recorder = recorder();
    let api = api(&recorder);
    for outcome in [Ok(()), Ok(()), Err(BreakKind::ConnectRefused)] {
        api.on_check(A, outcome);
    }
    let scrape = Scrape::read(&recorder.metrics_text(false, &[]));
    let check = |endpoint: &str, result: &str, value: f64| {
        let labels = format!(r#"upstream="api",endpoint="{endpoint}",result="{result}""#);
        assert_eq!(scrape.of(&format!("mainstay_checks_total{{{labels}}}")), value, "{labels}");
    };
    check("a", "passed", 2.0);
    check("a", "connect-refused", 1.0);
    check("b", "passed", 0.0);
    let counts = recorder.counts();
    let checks = &counts.upstream("api").expect("it was counted").endpoints[0].checks;
    assert_eq!((checks["passed"], checks["connect-refused"]), (2, 1));
}

#[test]
fn a_histogram_counts_each_call_in_all_buckets_above_it() {
    let scrape = scrape(false);
    let bucket = |le: &str| {
        let labels = format!(r#"{{upstream="api",outcome="delivered",le="{le}"}}"#);
        scrape.of(&format!("mainstay_call_duration_seconds_bucket{labels}"))
    };
    let buckets = ["0.0005", "0.0025", "0.005", "1", "2.5", "60", "+Inf"].map(bucket);
    assert_eq!(buckets, [0.0, 0.0, 2.0, 2.0, 3.0, 3.0, 3.0]);
    let whole = r#"{upstream="api",outcome="delivered"}"#;
    assert_eq!(scrape.of(&format!("mainstay_call_duration_seconds_count{whole}")), 3.0);
    let sum = scrape.of(&format!("mainstay_call_duration_seconds_sum{whole}"));
    assert!((sum - 1.040).abs() < 1e-9, "{sum}");
}

#[test]
fn states_and_levels_are_those_of_the_snapshot() {
    let scrape = scrape(false);
    let check = |series: &str, value: f64| assert_eq!(scrape.of(series), value, "{series}");
    check(r#"mainstay_breaker_state{upstream="api",endpoint="a",state="half_open"}"#, 1.0);
    check(r#"mainstay_breaker_state{upstream="api",endpoint="a",state="closed"}"#, 0.0);
    let route =
        r#"mainstay_route_breaker_state{upstream="api",endpoint="a",route="open",state="open"}"#;
    check(route, 1.0);
    assert!(!scrape.values.keys().any(|series| series.contains(r#"route="shut""#)));
    check(r#"mainstay_endpoint_healthy{upstream="api",endpoint="a"}"#, 1.0);
    check(r#"mainstay_endpoint_ejected{upstream="api",endpoint="a"}"#, 1.0);
    check(r#"mainstay_endpoint_throttled{upstream="api",endpoint="a"}"#, 0.0);
    check(r#"mainstay_endpoint_latency_seconds{upstream="api",endpoint="a"}"#, 0.012);
    check(r#"mainstay_attempts_in_flight{upstream="api",endpoint="b"}"#, 3.0);
    check(r#"mainstay_connections{upstream="api",endpoint="b",state="idle"}"#, 4.0);
    check(r#"mainstay_budget_tokens{upstream="api"}"#, 70.0);
    check(r#"mainstay_budget_window_extra_attempts{upstream="api"}"#, 3.0);
    let slow = r#"mainstay_endpoint_latency_percentile_seconds{upstream="api",endpoint="a",percentile="p99"}"#;
    check(slow, 0.08);
    check(r#"mainstay_concurrency_limit{upstream="api"}"#, 20.0);
    check(r#"mainstay_limit_in_flight{upstream="api"}"#, 17.0);
    check(r#"mainstay_line_length{upstream="api"}"#, 2.0);
    check(r#"mainstay_paused{upstream="api"}"#, 1.0);
}

#[test]
fn the_log_s_drops_are_a_metric() {
    let (recorder, _) = logging(Default::default(), Default::default());
    let scrape = Scrape::read(&recorder.metrics_text(false, &[]));
    assert_eq!(scrape.of("mainstay_log_lines_dropped_total"), 7.0);
    assert_eq!(recorder.counts().log_lines_dropped, 7);
}

#[test]
fn whether_the_outbox_s_database_can_be_asked_is_told_where_there_is_an_outbox() {
    let recorder = recorder();
    let told = || {
        let text = recorder.metrics_text(false, &[]);
        let line = text.lines().find_map(|line| line.strip_prefix("mainstay_outbox_reachable "));
        line.map(str::to_owned)
    };
    assert_eq!(told(), None);
    recorder.note_outbox(true);
    assert_eq!(told().as_deref(), Some("1"));
    recorder.note_outbox(false);
    assert_eq!(told().as_deref(), Some("0"));
}

#[test]
fn the_manual_and_the_scrape_have_the_same_metrics() {
    let manual = manual();
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `mainstay_"));
    let told: BTreeSet<String> = rows
        .filter_map(|row| row.split_once('`'))
        .map(|(name, _)| format!("mainstay_{name}"))
        .collect();
    let scrape = scrape(false);
    let scraped: BTreeSet<String> = scrape.types.keys().cloned().collect();
    // The table of useful queries names some in other forms.
    assert!(scraped.is_subset(&told), "{:?}", scraped.difference(&told));
    for name in &scraped {
        assert!(scrape.values.keys().any(|series| series.starts_with(name)), "{name} is empty");
    }
}

#[test]
fn names_from_the_config_cannot_break_the_text() {
    let recorder = recorder();
    let odd = recorder.upstream("a\"b\\c\nd", &["e\n\"} 1"]);
    tell(&odd, &healthy());
    let scrape = Scrape::read(&recorder.metrics_text(true, &[]));
    assert_eq!(scrape.of(r#"mainstay_calls_started_total{upstream="a\"b\\c\nd"}"#), 1.0);
}

#[test]
fn the_amplification_of_the_last_minute_forgets_what_was_before() {
    let recorder = recorder();
    let api = api(&recorder);
    for second in 0..300 {
        let start = second * 1000;
        let mut events = vec![(start, Event::CallStarted)];
        let extra = if second < 150 { 3 } else { 1 };
        events.extend(vec![
            (start, started(1, A, mainstay_core::event::AttemptReason::First));
            extra
        ]);
        tell(&api, &events);
    }
    let text = recorder.metrics_text(false, &[UpstreamSnapshot { at: at(300_000), ..snapshot() }]);
    let scrape = Scrape::read(&text);
    assert_eq!(scrape.of(r#"mainstay_amplification_ratio{upstream="api",window="total"}"#), 2.0);
    assert_eq!(scrape.of(r#"mainstay_amplification_ratio{upstream="api",window="60s"}"#), 1.0);
}

#[test]
fn a_failed_call_stands_for_its_latency_its_failure_and_its_break_in_openmetrics_alone() {
    assert!(scrape(false).exemplars.is_empty());
    let exemplars = scrape(true).exemplars;
    for (series, value) in [
        ("mainstay_call_duration_seconds_bucket{upstream=\"api\",outcome=\"failed\",le=", "} "),
        ("mainstay_call_failures_total{upstream=\"api\",kind=\"reset-before-head\"", "} "),
        ("mainstay_breaks_total{upstream=\"api\",endpoint=\"a\",kind=\"response-timeout\"", "} "),
    ] {
        let found = exemplars.iter().find(|(known, _)| known.starts_with(series));
        let (known, exemplar) = found.unwrap_or_else(|| panic!("none for {series}: {exemplars:?}"));
        let is_a_call = exemplar.starts_with("{call_id=\"") && exemplar.contains(value);
        assert!(is_a_call, "{known} {exemplar}");
        // What stands for a bucket is in it.
        if let Some((_, le)) = known.split_once("le=\"") {
            let bound: f64 = le.trim_end_matches("\"}").parse().unwrap_or(f64::INFINITY);
            let took: f64 = exemplar.split(' ').nth(1).unwrap().parse().unwrap();
            assert!(took <= bound, "{known} {exemplar}");
        }
    }
    let healthy = exemplars.keys().any(|series| series.contains("le=\"0.005\""));
    assert!(!healthy, "a healthy call that isn't sampled stands for nothing");
}
