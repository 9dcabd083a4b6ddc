//! One endpoint: how it stands, its last hour as charts, what changed, what broke.

use super::chart::{self, bars, greatest, padded, strip, sum};
use super::ink::{Text, Tone, fold, sign, text};
use super::{DocLine, pages, rows, section};
use crate::top::asked::{EndpointSeries, Timeline};
use crate::top::model::Model;
use crate::top::model::changes::folded;
use crate::top::model::headline::{is_late, why};
use crate::top::model::page::{Content, Page, What};
use crate::top::told::{Breaker, Endpoint};
use crate::top::words::{self, count, left, milliseconds, of, percent, rate, since, span, state};

/// Columns for what stands before a chart.
const LABEL: usize = 12;

/// Calls and changes that are listed.
const MOST_CALLS: usize = 12;
const MOST_CHANGES: usize = 30;

pub(crate) fn doc(
    model: &Model,
    page: &Page,
    (upstream, name): (&str, &str),
    room: usize,
) -> Vec<DocLine> {
    let Some(one) = model.known.endpoint(upstream, name) else {
        let words =
            format!("There is no endpoint {name} of {upstream}: it may have left the settings.");
        return vec![DocLine { text: text(Tone::Bad, words), link: None }];
    };
    let plain = |text: Text| DocLine { text, link: None };
    let mut lines: Vec<_> = standing(model, upstream, one, room).into_iter().map(plain).collect();
    lines.push(DocLine::default());
    if let Content::Endpoint(history) = &page.content {
        lines.extend(pages::loaded(history, "its last hour", |timeline| {
            charts(model, timeline, room).into_iter().map(plain).collect()
        }));
    }
    let its =
        |of: Option<&str>, endpoint: Option<&str>| of == Some(upstream) && endpoint == Some(name);
    let incidents = model.known.incidents();
    let incidents: Vec<_> = incidents
        .into_iter()
        .filter(|one| its(Some(&one.upstream), one.endpoint.as_deref()))
        .collect();
    if !incidents.is_empty() {
        lines.extend([DocLine::default(), section("Incidents")]);
    }
    for one in incidents {
        let ended = if one.is_open() { "open".to_owned() } else { "ended".to_owned() };
        let costs = words::costs(one.calls.saved, &one.saved_by, one.calls.failed);
        let tone = if one.is_open() { Tone::Bad } else { Tone::Plain };
        let line =
            format!("  {}  {} {ended}: {costs}", words::seconds(one.began_unix_ms), one.cause);
        lines.push(DocLine { text: text(tone, line), link: Some(What::Incident(one.id.clone())) });
    }
    lines.extend([DocLine::default(), section("What changed")]);
    let changes = model.known.changes.iter().enumerate();
    let changes = changes.filter(|(_, one)| its(one.upstream.as_deref(), one.endpoint.as_deref()));
    let changes = folded(changes).into_iter().rev().take(MOST_CHANGES);
    let before = lines.len();
    lines.extend(
        changes.map(|row| plain(rows::change(row, |place| model.known.changes.get(place), model))),
    );
    if lines.len() == before {
        lines.push(plain(text(Tone::Dim, "  Nothing that is kept here.")));
    }
    lines.extend([DocLine::default(), section("Last breaks there")]);
    let calls = model.known.feed.iter().map(|row| &row.call).filter(|call| {
        call.upstream == upstream && call.breaks.iter().any(|one| one.endpoint == name)
    });
    let before = lines.len();
    lines.extend(calls.take(MOST_CALLS).map(|call| DocLine {
        text: rows::call_line(call, model),
        link: Some(What::Call(call.id.clone())),
    }));
    if lines.len() == before {
        lines.push(plain(text(Tone::Dim, "  None of them is kept here.")));
    }
    lines
}

/// How it stands.
fn standing(model: &Model, upstream: &str, one: &Endpoint, room: usize) -> Vec<Text> {
    let now = model.now();
    let (kind, word, _) = state(&one.state);
    let lasting = one
        .since_unix_ms
        .map_or_else(String::new, |since| format!(" for {}", span(now.saturating_sub(since))));
    let mut title = vec![
        (Tone::Strong, format!("{upstream}/{}", one.name)),
        (kind.into(), format!("  {} {word}", sign(kind, &model.paper))),
        (Tone::Dim, format!("{lasting}  tier {}, weight {}", one.tier, one.weight)),
    ];
    let why = why(one, now);
    if !why.is_empty() {
        title.push((Tone::Plain, format!("  {why}")));
    }
    let mut lines = fold(&title, room, 2);
    let mut fact = |name: &str, words: String| {
        let line = vec![(Tone::Dim, format!("  {name:<12} ")), (Tone::Plain, words)];
        lines.extend(fold(&line, room, 15));
    };
    let minute = &one.minute;
    fact(
        "Attempts",
        format!(
            "{}, {} in a minute, {} answered well",
            rate(one.last_s.attempts),
            count(minute.attempts),
            percent(minute.success)
        ),
    );
    let mut breaks: Vec<_> = minute.breaks.iter().collect();
    breaks.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
    let breaks: Vec<_> =
        breaks.into_iter().map(|(code, number)| format!("{code} {}", count(*number))).collect();
    if !breaks.is_empty() {
        fact("Broke", format!("{} in a minute: {}", count(minute.broke), breaks.join(", ")));
    }
    fact(
        "Latency",
        format!("p50 {}, p99 {}", words::ms(one.latency.p50_ms), words::ms(one.latency.p99_ms)),
    );
    if let Some(breaker) = &one.breaker {
        let window = one.window.as_ref().map_or_else(String::new, |window| {
            let slow = if window.slow > 0 {
                format!(", {} slow", count(window.slow))
            } else {
                String::new()
            };
            let failures = of(window.failures, "failure", "failures");
            format!("; {failures}{slow} in {} of its window", of(window.calls, "call", "calls"))
        });
        fact("Breaker", format!("{}{window}", breaker_words(breaker, now)));
    }
    for (route, breaker) in &one.route_breakers {
        fact("Breaker", format!("of route {route}: {}", breaker_words(breaker, now)));
    }
    fact(
        "Health",
        one.check.as_ref().map_or_else(
            || "not checked yet".to_owned(),
            |check| {
                let how =
                    if check.passed { "passed" } else { check.code.as_deref().unwrap_or("failed") };
                let details =
                    check.details.as_ref().map_or_else(String::new, |it| format!(": {it}"));
                format!("{how} {} ago{details}", span(now.saturating_sub(check.at_unix_ms)))
            },
        ),
    );
    let ordered =
        if one.ordered == "auto" { "none: its breaker and checks decide" } else { &one.ordered };
    fact("Order", ordered.to_owned());
    if let Some(kept) = &one.connections {
        let words = format!("{} idle, {} in use", count(kept.idle), count(kept.in_use));
        fact("Connections", words);
        let stale = if kept.stale_met > 0 {
            let found = of(kept.stale_met, "kept connection was", "kept connections were");
            format!("; {found} found closed when used")
        } else {
            String::new()
        };
        let limit = kept.idle_limit_ms.map_or_else(
            || match kept.stale_met {
                0 => "none: no kept connection was seen to be closed too early".to_owned(),
                _ => "none could be learned".to_owned(),
            },
            milliseconds,
        );
        fact("Idle limit", format!("{limit}{stale}"));
    }
    lines
}

fn breaker_words(it: &Breaker, now: u64) -> String {
    match (&*it.state, it.until_unix_ms) {
        ("open", Some(until)) if is_late(until, now) => {
            format!("open, its next call is a probe; none since {}", since(until, now))
        }
        ("open", Some(until)) => format!("open, next probe in {}", left(until, now)),
        ("open", None) => "open until it is ordered otherwise".to_owned(),
        ("half-open", _) => {
            format!("half-open: {} probing, {} succeeded", it.probing, it.succeeded)
        }
        (other, _) => other.to_owned(),
    }
}

/// The last hour.
fn charts(model: &Model, timeline: &Timeline, room: usize) -> Vec<Text> {
    let series = timeline.upstreams.iter().flat_map(|one| one.endpoints.iter().flatten()).next();
    let Some(series) = series else {
        return vec![text(Tone::Dim, "Nothing is known of its last hour.")];
    };
    let bar = room.saturating_sub(LABEL + 1).max(8);
    let mut lines = Vec::new();
    let bucket_s = (timeline.bucket_ms.max(1)) as f64 / 1000.0;
    let per_second = |value: f64| format!("{:.0}/s", value / bucket_s);
    let EndpointSeries { attempts, broke, p50_ms, p99_ms, in_flight, .. } = series;
    let columns = |values: &[Option<f64>], bar: usize, of: fn(&[Option<f64>]) -> Option<f64>| {
        chart::columns(&padded(values, bar, None), bar, of)
    };
    let mut chart = |name: &str, values: Vec<Option<f64>>, lines_high, tone, most: String| {
        for (place, bar) in bars(&values, lines_high, &model.paper).into_iter().enumerate() {
            let label = match place {
                0 => format!("{name:<LABEL$} "),
                1 => format!("{most:>LABEL$} "),
                _ => " ".repeat(LABEL + 1),
            };
            lines.push(vec![(Tone::Dim, label), (tone, bar)]);
        }
    };
    let most = |values: &[Option<f64>]| greatest(values).unwrap_or_default();
    let told = |values: &[Option<f64>]| format!("most {}", per_second(most(values)));
    chart("attempts", columns(attempts, bar, greatest), 3, Tone::Plain, told(attempts));
    if sum(broke).unwrap_or_default() > 0.0 {
        chart("broke", columns(broke, bar, greatest), 2, Tone::Bad, told(broke));
    }
    let told = |values: &[Option<f64>]| greatest(values).map_or_else(String::new, milliseconds);
    chart("p99", columns(p99_ms, bar, greatest), 3, Tone::Did, told(p99_ms));
    chart("p50", columns(p50_ms, bar, greatest), 2, Tone::Did, told(p50_ms));
    chart(
        "in flight",
        columns(in_flight, bar, greatest),
        2,
        Tone::Plain,
        format!("most {:.0}", most(in_flight)),
    );
    let mut states = text(Tone::Dim, format!("{:<LABEL$} ", "state"));
    states.extend(strip(&series.state, bar, &model.paper));
    lines.push(states);
    let buckets = attempts.len().max(bar) as u64;
    let span = span(buckets * timeline.bucket_ms);
    let drawn = columns(attempts, bar, greatest).len();
    let before = format!("{span} ago");
    let gap = drawn.saturating_sub(before.len());
    lines.push(text(Tone::Dim, format!("{:LABEL$} {before}{:>gap$}", "", "now")));
    let seen: Vec<char> = {
        let mut seen: Vec<char> =
            series.state.chars().filter(|one| *one != 'u' && *one != '-').collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    let legend: Vec<_> = seen
        .into_iter()
        .filter_map(|one| Some(format!("{one} {}", state(words::letter(one)?).1)))
        .collect();
    if !legend.is_empty() {
        lines.push(text(Tone::Dim, format!("{:LABEL$} {}", "", legend.join(", "))));
    }
    lines
}
