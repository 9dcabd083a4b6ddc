//! The rows of the feed, the timeline, incidents, stored writes and connections.

use super::chart;
use super::ink::{Text, Tone, plain, sign, text};
use super::table::{Column, left, right};
use crate::top::model::Model;
use crate::top::model::changes::Row;
use crate::top::model::list::{self, Section};
use crate::top::told::{Call, Change, Incident};
use crate::top::words::{
    self, Kind, bytes, count, decided, milliseconds, of, place, seconds, short, span, state,
};

pub(crate) const FEED: &[Column] = &[
    left("Ended", 8, 0, 4),
    left("Outcome", 19, 0, 0),
    left("Upstream", 10, 1, 3),
    left("Request", 14, 2, 2),
    left("What broke, and what was decided", 34, 5, 0),
    right("Took", 8, 1),
];

pub(crate) const INCIDENTS: &[Column] = &[
    left("  Where", 16, 2, 0),
    left("Cause", 16, 1, 0),
    left("Began", 8, 0, 2),
    left("Lasted", 11, 0, 3),
    right("Met", 8, 4),
    right("Saved", 8, 1),
    right("Failed", 7, 0),
    left("Ended by", 14, 2, 5),
];

pub(crate) const OUTBOX: &[Column] = &[
    left("  Id or lane", 34, 0, 0),
    left("Upstream", 10, 1, 1),
    left("Lane", 10, 1, 4),
    left("Why", 16, 2, 0),
    right("Calls", 5, 3),
    right("Size", 9, 5),
    left("Accepted", 9, 0, 2),
];

pub(crate) const CONNECTIONS: &[Column] = &[
    right("Id", 6, 6),
    left("Endpoint", 16, 2, 0),
    left("Peer", 20, 1, 3),
    left("Protocol", 9, 0, 4),
    left("State", 9, 0, 0),
    right("Age", 8, 1),
    right("Requests", 8, 2),
    right("Sent, received", 20, 8),
    right("Round trip", 10, 5),
    right("Sent again", 10, 7),
];

pub(crate) fn about_feed(model: &Model) -> Text {
    let known = &model.known;
    let most = known.hello.as_ref().map_or(0, |hello| hello.calls_per_s);
    let mut words = format!("Calls in which something broke, at most {most} a second; ");
    words.push_str(&match known.left_out {
        0 => "none was left out".to_owned(),
        left_out => format!("{} left out", of(left_out, "more was", "more were")),
    });
    words.push_str(&format!(
        ". {} of {} kept here.",
        count(model.items.len() as u64),
        count(model.feed().len() as u64)
    ));
    let mut line = text(Tone::Dim, words);
    if model.paused.is_some() {
        line.push((Tone::Warn, format!(" Paused: {} new.", count(model.missed_by_pause()))));
    }
    line
}

pub(crate) fn about_outbox(model: &Model) -> Text {
    let top = model.known.picture.as_ref().map(|picture| &picture.top.says);
    let Some(counts) = top.and_then(|top| top.outbox.as_ref()) else { return Text::new() };
    let tone = |number| if number > 0 { Tone::Bad } else { Tone::Plain };
    let (Some(waiting), Some(stopped), Some(delivered), Some(dead)) =
        (counts.waiting, counts.stopped, counts.delivered, counts.dead)
    else {
        return vec![(Tone::Bad, "The outbox can't be asked now.".to_owned())];
    };
    let mut line = vec![
        (Tone::Strong, count(waiting)),
        (Tone::Dim, " waiting, ".to_owned()),
        (tone(stopped), count(stopped)),
        (Tone::Dim, " stopped, ".to_owned()),
        (tone(dead), count(dead)),
        (Tone::Dim, format!(" dead, {} delivered.", count(delivered))),
    ];
    if let Some(oldest) = counts.oldest_waiting_unix_ms {
        let age = span(model.now().saturating_sub(oldest));
        line.push((Tone::Dim, format!(" The oldest waits for {age}.")));
    }
    let is_cut = model.stored.value.as_ref().is_some_and(|stored| {
        [&stored.stopped, &stored.dead, &stored.waiting].iter().any(|those| those.is_cut)
    });
    if is_cut {
        line.push((
            Tone::Warn,
            " Of each state the oldest are listed; `mainstay outbox` lists all.".to_owned(),
        ));
    }
    if let (Some(why), true) = (&model.stored.failed, model.stored.value.is_some()) {
        line.push((Tone::Bad, format!(" Not up to date: {why}")));
    }
    line
}

/// How a call ended, and how that is meant.
fn outcome(call: &Call) -> (Kind, String) {
    let status = call.status.map_or_else(String::new, |status| format!(" {status}"));
    match (call.failed, &call.saved, &call.degraded, &*call.outcome) {
        (true, .., "failed") => {
            let code = call.code.as_deref().or(call.stopped.as_deref()).unwrap_or("?");
            (Kind::Bad, format!("failed {code}"))
        }
        (_, _, Some(by), _) => (Kind::Warn, format!("{by} stood in")),
        (true, .., "delivered") => (Kind::Bad, format!("cut{status}")),
        (true, ..) => (Kind::Bad, format!("{}{status}", call.outcome.replace('_', "-"))),
        (false, Some(by), ..) => {
            (Kind::Good, format!("saved by {}", if by == "heal" { "healing" } else { by }))
        }
        (false, None, None, "as_is") => (Kind::Warn, format!("as it is{status}")),
        (false, None, None, other) => (Kind::Warn, format!("{other}{status}")),
    }
}

/// The cells of a call of the feed.
pub(crate) fn call(model: &Model, place: usize) -> Vec<Text> {
    model.feed().get(place).map_or_else(Vec::new, |row| call_cells(&row.call, model))
}

pub(crate) fn call_cells(call: &Call, model: &Model) -> Vec<Text> {
    let (kind, told) = outcome(call);
    vec![
        text(Tone::Dim, seconds(call.at_unix_ms)),
        text(kind.into(), format!("{} {told}", sign(kind, &model.paper))),
        plain(&call.upstream),
        plain(format!("{} {}", call.method, call.path)),
        breaks(call),
        plain(words::ms(call.took_ms)),
    ]
}

/// What broke, and what was decided each time.
fn breaks(call: &Call) -> Text {
    let mut line = Text::new();
    for (number, one) in call.breaks.iter().enumerate() {
        let comma = if number > 0 { "; " } else { "" };
        line.push((Tone::Plain, format!("{comma}{}:", one.endpoint)));
        line.push((Tone::Bad, one.code.clone()));
        if let Some(decision) = &one.decision {
            line.push((Tone::Dim, format!(" {}", decided(decision))));
        }
    }
    if let (true, Some(code)) = (call.breaks.is_empty(), &call.code) {
        line.push((Tone::Bad, code.clone()));
    }
    if let (true, Some(waited)) = (call.breaks.is_empty(), call.waited_ms) {
        let space = if line.is_empty() { "" } else { " " };
        line.push((Tone::Dim, format!("{space}waited {} for a breaker", milliseconds(waited))));
    }
    line
}

/// A call in one line, for a page.
pub(crate) fn call_line(call: &Call, model: &Model) -> Text {
    let (kind, told) = outcome(call);
    let mut line = vec![
        (Tone::Dim, format!("  {}  ", seconds(call.at_unix_ms))),
        (kind.into(), format!("{} {told}", sign(kind, &model.paper))),
        (Tone::Plain, format!("  {} {}  ", call.method, call.path)),
    ];
    line.extend(breaks(call));
    line
}

/// A change of state in one line, or several that are told as one.
pub(crate) fn change<'a>(
    row: Row,
    changes: impl Fn(usize) -> Option<&'a Change>,
    model: &Model,
) -> Text {
    let (Some(first), Some(last)) = (changes(row.first), changes(row.last)) else {
        return Text::new();
    };
    let kind = words::change(&last.event).0;
    let line = match row.probes {
        0 => words::change_line(last),
        probes => words::probes_line(first, last, probes),
    };
    vec![
        (Tone::Dim, format!("  {}  ", seconds(last.at_unix_ms))),
        (kind.into(), sign(kind, &model.paper).to_owned()),
        (Tone::Plain, format!(" {line}")),
    ]
}

/// The last hour of an upstream (calls a second), or of an endpoint (its states).
pub(crate) fn timeline(model: &Model, at: usize, number: Option<usize>, room: usize) -> Text {
    let part = model.known.picture.as_ref().and_then(|picture| picture.upstreams.get(at));
    let Some(part) = part else { return Text::new() };
    let past = model.past.get(part.name());
    let timeline = past.and_then(|past| past.value.as_ref());
    let series = timeline.and_then(|it| it.upstreams.iter().find(|one| one.name == part.name()));
    let label = (room / 4).clamp(8, 24);
    let name = number.map_or_else(
        || part.name().to_owned(),
        |number| format!("  {}", part.endpoints.get(number).map_or("", |one| &one.says.name)),
    );
    let mut name: String = name.chars().take(label - 1).collect();
    name.extend(std::iter::repeat_n(' ', label - name.chars().count()));
    let tone = if number.is_none() { Tone::Strong } else { Tone::Plain };
    let mut line = text(tone, name);
    // What is told behind it.
    let told = 22;
    let bar = room.saturating_sub(label + told).max(8);
    let Some((timeline, series)) = timeline.zip(series) else {
        let why = past.and_then(|past| past.failed.clone());
        line.push((Tone::Dim, why.unwrap_or_else(|| "loading".to_owned())));
        return line;
    };
    let Some(number) = number else {
        let calls = chart::columns(&series.calls, bar, chart::greatest);
        let columns = calls.len();
        line.push((
            Tone::Did,
            format!("{}{}", " ".repeat(bar - columns), chart::spark(&calls, columns, &model.paper)),
        ));
        let broken = [&series.failed, &series.as_is];
        let failed: f64 = broken.into_iter().filter_map(|values| chart::sum(values)).sum();
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown in few digits")]
        let bucket_s = (timeline.bucket_ms.max(1) as f64) / 1000.0;
        let most = chart::greatest(&series.calls).unwrap_or_default() / bucket_s;
        line.push((Tone::Dim, format!(" most {most:.0}/s")));
        if failed > 0.0 {
            line.push((Tone::Bad, format!(", {failed:.0} failed")));
        }
        return line;
    };
    let own = part.endpoints.get(number).map(|one| &one.says);
    let states =
        own.and_then(|own| series.endpoints.as_ref()?.iter().find(|one| one.name == own.name));
    let strip = chart::strip(states.map_or("", |one| &one.state), bar, &model.paper);
    line.push((Tone::Plain, " ".repeat(bar.saturating_sub(super::ink::width(&strip)))));
    line.extend(strip);
    if let Some(own) = own {
        let (kind, word, _) = state(&own.state);
        line.push((kind.into(), format!(" {} {word}", sign(kind, &model.paper))));
    }
    line
}

/// The cells of an incident.
pub(crate) fn incident(model: &Model, place: usize) -> Vec<Text> {
    let incidents = model.known.incidents();
    incidents.get(place).map_or_else(Vec::new, |one| incident_cells(one, model))
}

fn incident_cells(one: &Incident, model: &Model) -> Vec<Text> {
    let kind = match (one.is_open(), one.calls.failed > 0) {
        (true, true) => Kind::Bad,
        (true, false) => Kind::Warn,
        (false, _) => Kind::Off,
    };
    let lasted = one.ended_unix_ms.unwrap_or_else(|| model.now()).saturating_sub(one.began_unix_ms);
    let ended = match &one.ended_by {
        Some(by) => words::ended(by),
        None if one.is_open() => "open",
        None => "",
    };
    let failed = if one.calls.failed > 0 { Tone::Bad } else { Tone::Plain };
    vec![
        vec![
            (kind.into(), format!("{} ", sign(kind, &model.paper))),
            (Tone::Plain, place(Some(&one.upstream), one.endpoint.as_deref())),
        ],
        text(if one.is_open() { Tone::Bad } else { Tone::Plain }, &one.cause),
        text(Tone::Dim, seconds(one.began_unix_ms)),
        plain(span(lasted)),
        plain(short(one.calls.met)),
        text(Tone::Did, short(one.calls.saved)),
        text(failed, short(one.calls.failed)),
        text(if one.is_open() { Tone::Bad } else { Tone::Dim }, ended),
    ]
}

/// The cells of a lane that is held.
pub(crate) fn lane(model: &Model, place: usize) -> Vec<Text> {
    let stored = model.stored.value.as_ref();
    let Some(lane) = stored.and_then(|stored| stored.lanes.get(place)) else { return Vec::new() };
    let kind = Kind::Bad;
    vec![
        vec![
            (kind.into(), format!("{} ", sign(kind, &model.paper))),
            (Tone::Strong, lane.lane.clone()),
        ],
        plain(&lane.upstream),
        plain(&lane.lane),
        plain(format!("{} behind {}", count(lane.behind), lane.held_by.id)),
        plain(count(lane.held_by.calls)),
        Text::new(),
        text(Tone::Dim, span(model.now().saturating_sub(lane.held_by.accepted_at))),
    ]
}

/// The cells of a stored write.
pub(crate) fn delivery(model: &Model, section: Section, place: usize) -> Vec<Text> {
    let Some(one) = list::delivery(model, section, place) else { return Vec::new() };
    let kind = match section {
        Section::Stopped => Kind::Warn,
        Section::Dead => Kind::Bad,
        Section::Waiting => Kind::Off,
    };
    let now = model.now();
    let why = match (&one.reason, section) {
        (Some(reason), _) => reason.clone(),
        (None, Section::Waiting) if one.behind => "behind others of its lane".to_owned(),
        (None, Section::Waiting) if one.due_at > now => {
            format!("tried in {}", words::left(one.due_at, now))
        }
        (None, Section::Waiting) => "due".to_owned(),
        (None, _) => String::new(),
    };
    let is_told = one.reason.as_deref() == Some("maybe-done");
    let why = if one.maybe_done && !is_told { format!("{why}, may have been done") } else { why };
    vec![
        vec![
            (kind.into(), format!("{} ", sign(kind, &model.paper))),
            (Tone::Plain, one.id.clone()),
        ],
        plain(&one.upstream),
        plain(one.lane.as_deref().unwrap_or_default()),
        plain(why),
        plain(count(one.calls)),
        text(Tone::Dim, bytes(one.size)),
        text(Tone::Dim, span(now.saturating_sub(one.accepted_at))),
    ]
}

/// The cells of a connection.
pub(crate) fn connection(model: &Model, place: usize) -> Vec<Text> {
    let list = model.connections.value.as_ref();
    let Some(one) = list.and_then(|list| list.get(place)) else { return Vec::new() };
    let protocol = if one.tls.as_ref().is_some_and(|tls| !tls.is_null()) { "+tls" } else { "" };
    let again = one.retransmits.unwrap_or_default();
    vec![
        text(Tone::Dim, one.id.to_string()),
        plain(words::place(Some(&one.upstream), Some(&one.endpoint))),
        plain(one.peer.as_deref().unwrap_or("–")),
        plain(format!("{}{protocol}", one.protocol)),
        plain(&one.state),
        plain(milliseconds(one.age_ms)),
        plain(short(one.requests)),
        text(Tone::Dim, format!("{}, {}", bytes(one.bytes_sent), bytes(one.bytes_received))),
        plain(words::ms(one.rtt_ms)),
        text(if again > 0 { Tone::Warn } else { Tone::Dim }, count(again)),
    ]
}
