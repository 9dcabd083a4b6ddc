//! What is opened on top of a view: a call as `mainstay explain` draws it, an incident, a stored write.

use mainstay_record::{CallRecord, rfc3339};

use super::ink::{Text, Tone, fold, of_paper, sign, text};
use super::{DocLine, rows, section};
use crate::explain;
use crate::paper::Paper;
use crate::top::asked::IncidentPage;
use crate::top::model::Model;
use crate::top::model::changes::folded;
use crate::top::model::page::{Content, Page, What};
use crate::top::model::wish::{DeliveryPage, Fetched};
use crate::top::told::Incident;
use crate::top::words::{self, Kind, costs, count, of, percent, seconds, span};

/// The narrowest that a waterfall is drawn in; what is narrower folds it.
const LEAST_WATERFALL: usize = 60;

pub(crate) fn doc(model: &Model, page: &Page, columns: usize) -> Vec<DocLine> {
    match (&page.content, &page.what) {
        (Content::Call(call), What::Call(id)) => {
            let name = format!("call {id}");
            loaded(call, &name, |record| waterfall(record, model, columns))
        }
        (Content::Incident(incident), What::Incident(id)) => {
            let name = format!("incident {id}");
            loaded(incident, &name, |page| of_incident(model, page, columns))
        }
        (Content::Delivery(delivery), What::Delivery(id)) => {
            let name = format!("delivery {id}");
            loaded(delivery, &name, |page| of_delivery(model, page, columns))
        }
        _ => Vec::new(),
    }
}

/// The page of what was asked for, or why it isn't there.
pub(crate) fn loaded<T>(
    it: &Fetched<T>,
    name: &str,
    doc: impl FnOnce(&T) -> Vec<DocLine>,
) -> Vec<DocLine> {
    let note = |tone, words: String| DocLine { text: text(tone, words), link: None };
    match (&it.value, &it.failed) {
        (Some(value), None) => doc(value),
        (Some(value), Some(why)) => {
            let mut lines = vec![note(Tone::Bad, format!("Not up to date: {why}"))];
            lines.extend(doc(value));
            lines
        }
        (None, Some(why)) => vec![note(Tone::Bad, format!("{name}: {why}"))],
        (None, None) => vec![note(Tone::Dim, format!("{name}: loading"))],
    }
}

/// Further paragraphs to a page, folded.
struct Lines {
    columns: usize,
    lines: Vec<DocLine>,
}

impl Lines {
    fn add(&mut self, text: &Text, indent: usize) {
        let folded = fold(text, self.columns, indent);
        self.lines.extend(folded.into_iter().map(|text| DocLine { text, link: None }));
    }

    fn link(&mut self, text: Text, what: What) {
        self.lines.push(DocLine { text, link: Some(what) });
    }

    fn title(&mut self, title: &str) {
        self.lines.extend([DocLine::default(), section(title)]);
    }

    /// A fact: its name, and what it is.
    fn fact(&mut self, name: &str, words: impl Into<String>) {
        let line = vec![(Tone::Dim, format!("  {name:<14} ")), (Tone::Plain, words.into())];
        self.add(&line, 17);
    }
}

fn waterfall(record: &CallRecord, model: &Model, columns: usize) -> Vec<DocLine> {
    // The drawing's inks come back as tones, which know of colours by themselves.
    let paper = Paper { columns: columns.max(LEAST_WATERFALL), colour: true, ..model.paper };
    let drawing = of_paper(&explain::waterfall(record, &paper), &paper);
    let folded = drawing.iter().flat_map(|line| fold(line, columns, 4));
    let mut lines: Vec<_> = folded.map(|text| DocLine { text, link: None }).collect();
    let mut endpoints: Vec<&str> = Vec::new();
    for attempt in &record.attempts {
        if !endpoints.contains(&&*attempt.endpoint) {
            endpoints.push(&attempt.endpoint);
        }
    }
    lines.push(DocLine::default());
    lines.extend(endpoints.into_iter().map(|endpoint| DocLine {
        text: text(Tone::Plain, format!("  endpoint {}/{endpoint}", record.upstream)),
        link: Some(What::Endpoint {
            upstream: record.upstream.to_string(),
            endpoint: endpoint.to_owned(),
        }),
    }));
    lines
}

/// The incident in a sentence.
fn story(one: &Incident) -> String {
    let when = match one.ended_unix_ms {
        Some(ended) => format!("from {} to {}", seconds(one.began_unix_ms), seconds(ended)),
        None => format!("since {}", seconds(one.began_unix_ms)),
    };
    let what = match (&one.endpoint, one.is_open()) {
        (Some(endpoint), true) => format!("endpoint {endpoint} breaks with"),
        (Some(endpoint), false) => format!("endpoint {endpoint} broke with"),
        (None, _) => "no endpoint could be used:".to_owned(),
    };
    format!(
        "{}: {what} {} {when}; {} met it, {}.",
        one.upstream,
        one.cause,
        of(one.calls.met, "call", "calls"),
        costs(one.calls.saved, &one.saved_by, one.calls.failed)
    )
}

fn of_incident(model: &Model, page: &IncidentPage, columns: usize) -> Vec<DocLine> {
    // The stream has newer numbers than the page.
    let one = model.known.incidents.get(&page.incident.id).unwrap_or(&page.incident);
    let now = model.now();
    let kind = match (one.is_open(), one.calls.failed > 0) {
        (_, true) => Kind::Bad,
        (true, false) => Kind::Warn,
        (false, false) => Kind::Off,
    };
    let mut lines = Lines { columns, lines: Vec::new() };
    lines.add(&text(kind.into(), format!("{} {}", sign(kind, &model.paper), story(one))), 2);
    let lasted = one.ended_unix_ms.unwrap_or(now).saturating_sub(one.began_unix_ms);
    lines.fact(
        "Lasted",
        if one.is_open() { format!("{}, and goes on", span(lasted)) } else { span(lasted) },
    );
    if let (Some(well), Some(by)) = (one.well_since_unix_ms, &one.well_by) {
        let words = format!(
            "since {}: {}; it is over once nothing has broken there for some seconds",
            seconds(well),
            words::ended(by)
        );
        lines.fact("Well again", words);
    }
    lines.fact(
        "Calls",
        format!(
            "{} met it ({}), {} saved, {} failed{}",
            count(one.calls.met),
            of(one.breaks, "break", "breaks"),
            count(one.calls.saved),
            count(one.calls.failed),
            share(one)
        ),
    );
    if one.calls.left > 0 {
        lines.fact("Left", format!("{}: the application went away first", count(one.calls.left)));
    }
    if let Some(by) = &one.began_by {
        lines.fact("Noticed by", words::began(by));
    }
    if let Some(last) = one.last_break_unix_ms {
        lines.fact("Last break", seconds(last));
    }
    if let Some(by) = &one.ended_by {
        let at = one.ended_unix_ms.map(seconds).unwrap_or_default();
        lines.fact("Ended", format!("{at}: {}", words::ended(by)));
    }
    if let Some(first) = &one.first {
        lines.title("What was seen first");
        let parts = [&first.phase, &first.certainty, &first.details];
        let parts: Vec<_> = parts.into_iter().flatten().cloned().collect();
        lines.fact(&seconds(first.at_unix_ms), parts.join(", "));
        if let Some(call) = &first.call {
            lines.link(text(Tone::Plain, format!("  call {call}")), What::Call(call.clone()));
        }
    }
    if let Some(endpoint) = &one.endpoint {
        let what = What::Endpoint { upstream: one.upstream.clone(), endpoint: endpoint.clone() };
        lines.link(text(Tone::Plain, format!("  endpoint {}/{endpoint}", one.upstream)), what);
    }
    if !page.group.is_empty() {
        let together = one.group_calls.as_ref().map_or_else(String::new, |calls| {
            format!(": {} met any of them, each counted once", of(calls.met, "call", "calls"))
        });
        lines.title(&format!("At the same time{together}"));
        for other in &page.group {
            let line = format!(
                "  {} {}",
                words::place(Some(&other.upstream), other.endpoint.as_deref()),
                other.cause
            );
            lines.link(text(Tone::Plain, line), What::Incident(other.id.clone()));
        }
    }
    lines.title("What changed until its end");
    for row in folded(page.changes.iter().enumerate()).into_iter().rev() {
        lines.add(&rows::change(row, |place| page.changes.get(place), model), 12);
    }
    let (listed, met) = (page.calls.len() as u64, one.calls.met);
    let some = if listed < met { format!(", {listed} of {}", count(met)) } else { String::new() };
    lines.title(&format!("Calls that met it: failed ones first{some}"));
    for call in &page.calls {
        lines.link(rows::call_line(call, model), What::Call(call.id.clone()));
    }
    if page.calls.is_empty() {
        lines.add(&text(Tone::Dim, "  None of them is kept any more."), 2);
    }
    lines.lines
}

#[expect(clippy::cast_precision_loss, reason = "a share is shown in few digits")]
fn share(one: &Incident) -> String {
    if one.calls.met == 0 {
        return String::new();
    }
    format!(" ({})", percent(Some(one.calls.failed as f64 / one.calls.met as f64)))
}

fn of_delivery(model: &Model, page: &DeliveryPage, columns: usize) -> Vec<DocLine> {
    let one = &page.delivery;
    let now = model.now();
    let mut lines = Lines { columns, lines: Vec::new() };
    let kind = match &*one.state {
        "dead" => Kind::Bad,
        "stopped" => Kind::Warn,
        "delivered" => Kind::Good,
        _ => Kind::Off,
    };
    let reason = one.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    let title = format!("{} delivery {} {}{reason}", sign(kind, &model.paper), one.id, one.state);
    lines.add(&text(kind.into(), title), 2);
    lines.fact("Upstream", format!("{} (route {})", one.upstream, one.route));
    lines.fact("Lane", one.lane.as_deref().unwrap_or("none"));
    lines.fact("Key", &one.key);
    lines.fact(
        "Accepted",
        format!("{}, {} ago", rfc3339(one.accepted_at), span(now.saturating_sub(one.accepted_at))),
    );
    let next = match (&*one.state, one.finished_at) {
        (_, Some(at)) => format!("none: it ended at {}", rfc3339(at)),
        ("waiting", None) if one.behind => "when those before it in its lane are done".to_owned(),
        ("waiting", None) if one.due_at <= now => "now".to_owned(),
        ("waiting", None) => format!("in {}", words::left(one.due_at, now)),
        _ => "when a person says so: retry, settle or drop it (a)".to_owned(),
    };
    lines.fact("Next call", next);
    if one.finished_at.is_none() {
        lines.fact("Given up", rfc3339(one.expires_at));
    }
    if one.maybe_done {
        lines.fact("Done?", "one of its calls may have carried it out");
    }
    lines.fact("Size", words::bytes(one.size));
    lines.title(&format!("{} made for it", of(one.calls, "call", "calls")));
    for note in page.history.iter().rev() {
        let status = note.status.map_or_else(String::new, |status| format!(" {status}"));
        let code = note.code.as_ref().map_or_else(String::new, |code| format!(" {code}"));
        let far = note.certainty.as_ref().map_or_else(String::new, |far| format!(" ({far})"));
        let attempts = of(note.attempts, "attempt", "attempts");
        let took = words::milliseconds(note.took_ms);
        let line =
            format!("  {} {}{status}{code}{far} {attempts}, {took}", rfc3339(note.at), note.call);
        lines.link(text(Tone::Plain, line), What::Call(note.call.clone()));
    }
    lines.lines
}
