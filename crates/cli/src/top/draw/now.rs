//! Now: the sentence, the figures, what is open, and each upstream with its endpoints.

use super::chart;
use super::ink::{Text, Tone, fold, plain, sign, text};
use super::table::{Column, left, right};
use crate::top::model::Model;
use crate::top::model::headline::{groups, headline, why};
use crate::top::model::picture::{Picture, UpstreamPart};
use crate::top::told::{Counts, Upstream};
use crate::top::words::{self, Kind, clock, count, of, percent, rate, since, span, state};

pub(crate) const COLUMNS: &[Column] = &[
    left("  Endpoint", 14, 1, 0),
    left("State", 19, 0, 0),
    left("Why, and what next", 30, 4, 2),
    left("Latency p99", 12, 0, 6),
    right("p50", 8, 7),
    right("p99", 8, 3),
    right("In flight", 9, 5),
    right("Attempts", 8, 4),
    right("Good", 9, 1),
    left("Idle limit", 10, 0, 8),
];

/// Columns of the latency line.
const SPARK: usize = 12;

/// How many open incidents are listed.
const MOST_INCIDENTS: usize = 3;

/// Below this share of good answers something is wrong.
const GOOD: f64 = 0.99;

/// Below this level a budget is soon empty.
const LOW: f64 = 0.2;

pub(crate) fn head(model: &Model, columns: usize) -> Vec<Text> {
    let now = model.now();
    let headline = headline(&model.known, now);
    let mark = sign(headline.kind, &model.paper);
    let mut lines =
        fold(&text(headline.kind.into(), format!("{mark} {}", headline.text)), columns, 2);
    if !headline.next.is_empty() {
        lines.extend(fold(&plain(format!("  {}", headline.next)), columns, 2));
    }
    let Some(picture) = &model.known.picture else { return lines };
    lines.extend(fold(&figures(model, picture), columns, 2));
    let incidents = model.known.incidents();
    let open = groups(incidents.into_iter().filter(|one| one.is_open()));
    for group in open.iter().take(MOST_INCIDENTS) {
        let kind = if group.failed > 0 { Kind::Bad } else { Kind::Warn };
        let place = match group.endpoints.as_slice() {
            [] => group.first.upstream.clone(),
            some => format!("{}/{}", group.first.upstream, some.join(", ")),
        };
        lines.push(vec![
            (kind.into(), format!("{} {place} {}", sign(kind, &model.paper), group.first.cause)),
            (
                Tone::Dim,
                format!(
                    " since {}, {}{}: ",
                    since(group.began, now),
                    span(now.saturating_sub(group.began)),
                    match group.incidents {
                        1 => String::new(),
                        all => format!(", {all} incidents"),
                    }
                ),
            ),
            (Tone::Plain, format!("{} met it, {}", of(group.met, "call", "calls"), group.costs())),
        ]);
    }
    if open.len() > MOST_INCIDENTS {
        let more = open[MOST_INCIDENTS..].iter().map(|group| group.incidents).sum();
        lines.push(text(
            Tone::Dim,
            format!("  and {}", of(more, "more incident", "more incidents")),
        ));
    }
    lines.push(Text::new());
    lines
}

/// Calls, how many were answered well, saved and failed, what that cost, and what is left.
#[expect(clippy::cast_precision_loss, reason = "shares are shown in few digits")]
fn figures(model: &Model, picture: &Picture) -> Text {
    let upstreams = || picture.upstreams.iter().map(|one| &one.own.says);
    let ended = |one: &Upstream| one.minute.delivered + one.minute.failed;
    let known = || upstreams().filter_map(|one| Some((ended(one) as f64, one.minute.success?)));
    let all: f64 = known().map(|(ended, _)| ended).sum();
    let success = (all > 0.0).then(|| known().map(|(ended, good)| ended * good).sum::<f64>() / all);
    let calls: u64 = upstreams().map(|one| one.minute.calls).sum();
    let extra: f64 = upstreams()
        .filter_map(|one| Some((one.minute.amplification? - 1.0) * one.minute.calls as f64))
        .sum();
    let mut saved = Counts::new();
    for (cause, number) in upstreams().flat_map(|one| &one.total.saved) {
        *saved.entry(cause.clone()).or_default() += number;
    }
    let failed: u64 = upstreams().map(|one| one.total.broken()).sum();
    let per_second: u64 = upstreams().map(|one| one.last_s.calls).sum();
    let levels = upstreams().filter_map(|one| Some((one.budget.as_ref()?.level?, &one.name)));
    let tight = levels.min_by(|left, right| left.0.total_cmp(&right.0));

    let dot = "  ·  ";
    let tone = |is_bad| if is_bad { Tone::Bad } else { Tone::Plain };
    let mut line = vec![
        (Tone::Strong, format!("  {}", rate(per_second))),
        (Tone::Dim, format!(", {} on their way{dot}", count(picture.top.says.calls_in_progress))),
        (tone(success.is_some_and(|share| share < GOOD)), percent(success)),
        (Tone::Dim, format!(" good{dot}")),
    ];
    let since = model
        .known
        .hello
        .as_ref()
        .map_or_else(String::new, |hello| format!(" since {}", clock(hello.started_unix_ms)));
    let by: Vec<_> = words::saved_by(&saved)
        .into_iter()
        .map(|(cause, number)| format!("{} by {cause}", count(number)))
        .collect();
    let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
    line.extend([
        (Tone::Dim, format!("saved{since}: ")),
        (Tone::Did, count(saved.values().sum())),
        (Tone::Dim, format!("{by}, failed: ")),
        (tone(failed > 0), count(failed)),
    ]);
    if calls > 0 {
        let extra = (extra / calls as f64).max(0.0);
        let words = format!("{dot}extra attempts: {:.1} % (x{:.2})", extra * 100.0, 1.0 + extra);
        line.push((Tone::Dim, words));
    }
    if let Some((level, name)) = tight {
        let of = if picture.upstreams.len() > 1 { format!(" ({name})") } else { String::new() };
        line.push((Tone::Dim, format!("{dot}budget left{of}: ")));
        line.push((tone(level < LOW), percent(Some(level))));
    }
    line
}

/// The line of an upstream, above its endpoints.
pub(crate) fn upstream(model: &Model, place: usize) -> Text {
    let part = model.known.picture.as_ref().and_then(|picture| picture.upstreams.get(place));
    part.map_or_else(Text::new, |part| upstream_line(model, part))
}

fn upstream_line(model: &Model, part: &UpstreamPart) -> Text {
    let one = &part.own.says;
    let (kind, word, _) = state(&one.state);
    let dot = " · ";
    let is_up = |number: usize| state(&part.endpoints[number].says.state).0 == Kind::Good;
    let bad = (0..part.endpoints.len()).filter(|number| !is_up(*number)).count() as u64;
    let mut line = vec![
        (Tone::Strong, one.name.clone()),
        (kind.into(), format!("  {} {word}", sign(kind, &model.paper))),
    ];
    if bad > 0 {
        let all = part.endpoints.len() as u64;
        line.push((Tone::Dim, format!(" ({} of {} not up)", count(bad), count(all))));
    }
    let success = one.minute.success;
    line.push((Tone::Dim, format!("  {}{dot}", rate(one.last_s.calls))));
    let tone = if success.is_some_and(|share| share < GOOD) { Tone::Bad } else { Tone::Plain };
    line.push((tone, percent(success)));
    line.push((Tone::Dim, " good".to_owned()));
    if let Some(amplification) = one.minute.amplification {
        line.push((Tone::Dim, format!("{dot}x{amplification:.2}")));
    }
    let by: Vec<_> = words::saved_by(&one.minute.saved)
        .into_iter()
        .map(|(cause, number)| format!("{} by {cause}", count(number)))
        .collect();
    if !by.is_empty() {
        line.push((Tone::Dim, format!("{dot}saved in a minute: ")));
        line.push((Tone::Did, by.join(", ")));
    }
    if let Some(level) = one.budget.as_ref().and_then(|budget| budget.level) {
        let tone = if level < LOW { Tone::Bad } else { Tone::Dim };
        line.push((tone, format!("{dot}budget {} left", percent(Some(level)))));
    }
    if let Some(load) = &one.load {
        if let Some(limit) = &load.limit {
            line.push((Tone::Dim, format!("{dot}limit {}/{}", limit.in_flight, limit.current)));
        }
        if load.waiting > 0 {
            line.push((Tone::Warn, format!("{dot}{} waiting", count(load.waiting))));
        }
        if load.paused_until_unix_ms.is_some() {
            line.push((Tone::Warn, format!("{dot}paused")));
        }
        if let Some(throttle) = load.throttle.as_ref().filter(|it| it.refused_percent > 0.0) {
            line.push((Tone::Warn, format!("{dot}{:.1} % throttled", throttle.refused_percent)));
        }
    }
    line
}

/// The cells of an endpoint.
pub(crate) fn endpoint(model: &Model, place: usize, number: usize) -> Vec<Text> {
    let part = model.known.picture.as_ref().and_then(|picture| picture.upstreams.get(place));
    let Some((part, one)) = part.and_then(|part| Some((part, &part.endpoints.get(number)?.says)))
    else {
        return Vec::new();
    };
    let now = model.now();
    let (kind, word, _) = state(&one.state);
    let tiers = part.endpoints.iter().any(|other| other.says.tier != one.tier);
    let mut name = plain(format!("  {}", one.name));
    if tiers {
        name.push((Tone::Dim, format!(" tier {}", one.tier)));
    }
    let mut how = vec![(kind.into(), format!("{} {word}", sign(kind, &model.paper)))];
    if let (true, Some(since)) = (kind != Kind::Good, one.since_unix_ms) {
        how.push((Tone::Dim, format!(" {}", span(now.saturating_sub(since)))));
    }
    let spark = model.known.spark(part.name(), &one.name);
    let values: Vec<_> =
        spark.map(|spark| spark.values.iter().copied().collect()).unwrap_or_default();
    let success = one.minute.success;
    let tone = if success.is_some_and(|share| share < GOOD) { Tone::Bad } else { Tone::Plain };
    let kept = one.connections.as_ref().and_then(|kept| kept.idle_limit_ms);
    vec![
        name,
        how,
        plain(why(one, now)),
        text(Tone::Dim, chart::spark(&values, SPARK, &model.paper)),
        plain(words::ms(one.latency.p50_ms)),
        plain(words::ms(one.latency.p99_ms)),
        plain(one.in_flight.map_or_else(|| "–".to_owned(), count)),
        plain(rate(one.last_s.attempts)),
        text(tone, percent(success)),
        text(
            Tone::Dim,
            kept.map_or_else(String::new, |limit| format!("<= {}", words::milliseconds(limit))),
        ),
    ]
}
