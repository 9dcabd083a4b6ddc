//! Without a terminal: lines. One for each incident and change of state as it comes, and one for each upstream every ten seconds.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::draw::once;
use super::model::Model;
use super::model::headline::why;
use super::model::known::Link;
use super::told::{Incident, Told};
use super::words::{self, Kind, count, percent, rate, seconds, state};
use crate::paper::Paper;

/// How often each upstream has its line.
const SUMMARY_EVERY_MS: u64 = 10_000;

/// What has been told, and what has been printed of it.
pub(crate) struct Plain {
    model: Model,
    /// Whether everything that is told at first has come: state, changes, incidents; a second state comes behind them.
    has_begun: bool,
    states: u32,
    /// The incidents that were printed, and whether as open.
    printed: BTreeMap<String, bool>,
    summary_at: u64,
}

impl Plain {
    pub(crate) fn new(paper: Paper, address: String) -> Self {
        let model = Model::new(paper, address);
        Self { model, has_begun: false, states: 0, printed: BTreeMap::new(), summary_at: 0 }
    }

    /// Whether there is enough to say how things are.
    pub(crate) const fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The lines for what was told at this moment.
    pub(crate) fn on_told(&mut self, told: Told, at: u64) -> String {
        self.model.on_time(at);
        let mut lines = String::new();
        let again =
            matches!(told, Told::Hello(_)) && matches!(self.model.known.link, Link::Lost { .. });
        let before = self.model.known.changes.back().map(|change| change.seq);
        let incidents = match &told {
            Told::Incidents(incidents) => incidents.clone(),
            Told::Lost(lost) => {
                self.line(
                    &mut lines,
                    &format!(
                        "{} were lost: this reader is too slow",
                        words::of(*lost, "event", "events")
                    ),
                );
                Vec::new()
            }
            Told::Hello(hello) if hello.missed > 0 => {
                self.line(
                    &mut lines,
                    &format!("{} weren't kept", words::of(hello.missed, "change", "changes")),
                );
                Vec::new()
            }
            Told::Hello(_) | Told::State(_) | Told::Calls(_) | Told::Changes(_) => Vec::new(),
        };
        self.states += u32::from(matches!(told, Told::State(_)) && !self.has_begun);
        // An address that knows no incidents says nothing of them.
        let is_first = !self.has_begun && (matches!(told, Told::Incidents(_)) || self.states > 1);
        self.model.on_told(told);
        if let Some((_, _, words)) = self.model.notice.take() {
            self.line(&mut lines, &words);
        }
        if again {
            self.line(&mut lines, "connected again");
        }
        if self.has_begun {
            self.changes(before, &mut lines);
        }
        for incident in incidents {
            self.incident(&incident, is_first, &mut lines);
        }
        if is_first {
            self.has_begun = true;
            self.summary(&mut lines);
        }
        lines
    }

    /// The line for a stream that is gone.
    pub(crate) fn on_lost(&mut self, why: &str, at: u64) -> String {
        self.model.on_time(at);
        let mut lines = String::new();
        if !matches!(self.model.known.link, Link::Lost { .. }) {
            self.line(&mut lines, &format!("disconnected: {why}"));
        }
        self.model.on_link(Link::Lost { since: at, why: why.to_owned() });
        lines
    }

    /// The lines whose time has come.
    pub(crate) fn on_time(&mut self, at: u64) -> String {
        self.model.on_time(at);
        let mut lines = String::new();
        let is_live = self.model.known.link == Link::Live;
        if self.has_begun && is_live && at >= self.summary_at + SUMMARY_EVERY_MS {
            self.summary(&mut lines);
        }
        lines
    }

    /// How things are, in a block.
    pub(crate) fn block(&self) -> String {
        once::block(&self.model)
    }

    fn changes(&self, before: Option<u64>, lines: &mut String) {
        for change in &self.model.known.changes {
            let is_new = before.is_none_or(|before| change.seq > before);
            // Incidents have lines of their own.
            if is_new && !change.event.starts_with("incident-") {
                self.line_at(change.at_unix_ms, lines, &words::change_line(change));
            }
        }
    }

    fn incident(&mut self, one: &Incident, is_first: bool, lines: &mut String) {
        let is_open = one.is_open();
        let is_known = self.printed.insert(one.id.clone(), is_open) == Some(is_open);
        self.printed.retain(|id, _| self.model.known.incidents.contains_key(id));
        // What had ended before this began is history.
        if is_known || (is_first && !is_open) {
            return;
        }
        let place = words::place(Some(&one.upstream), one.endpoint.as_deref());
        let costs = words::costs(one.calls.saved, &one.saved_by, one.calls.failed);
        let met = words::of(one.calls.met, "call", "calls");
        let (at, what) = match one.ended_unix_ms {
            Some(ended) => {
                let lasted = words::span(ended.saturating_sub(one.began_unix_ms));
                let by = one.ended_by.as_deref().map_or("", words::ended);
                (ended, format!("incident ended after {lasted}: {place} {}; {by}", one.cause))
            }
            None => (one.began_unix_ms, format!("incident began: {place} {}", one.cause)),
        };
        self.line_at(at, lines, &format!("{what}; {met} met it, {costs}"));
    }

    /// A line for each upstream.
    fn summary(&mut self, lines: &mut String) {
        self.summary_at = self.model.at;
        let Some(picture) = &self.model.known.picture else { return };
        let now = self.model.now();
        for upstream in &picture.upstreams {
            let one = &upstream.own.says;
            let saved: u64 = one.minute.saved.values().sum();
            let mut line = format!(
                "{} {}: {}, in the last minute {} good, {} saved, {} failed",
                one.name,
                state(&one.state).1,
                rate(one.last_s.calls),
                percent(one.minute.success),
                count(saved),
                count(one.minute.broken())
            );
            let out = upstream.endpoints.iter().map(|part| &part.says);
            let out: Vec<_> = out
                .filter(|endpoint| state(&endpoint.state).0 != Kind::Good)
                .map(|endpoint| {
                    let why = why(endpoint, now);
                    let why = if why.is_empty() { why } else { format!(", {why}") };
                    format!("{} ({}{why})", endpoint.name, state(&endpoint.state).1)
                })
                .collect();
            if !out.is_empty() {
                let more = out.len().saturating_sub(MOST_NAMED);
                let _ = write!(line, "; not up: {}", out[..out.len().min(MOST_NAMED)].join(", "));
                if more > 0 {
                    let _ = write!(line, " and {more} more");
                }
            }
            self.line(lines, &line);
        }
    }

    fn line(&self, lines: &mut String, words: &str) {
        self.line_at(self.model.now(), lines, words);
    }

    fn line_at(&self, at: u64, lines: &mut String, words: &str) {
        let time = if at == 0 { "--:--:--".to_owned() } else { seconds(at) };
        // Writing into a string can't fail.
        let _ = writeln!(lines, "{time} {}", self.model.paper.clean(words));
    }
}

/// Endpoints that aren't up and are named in a line.
const MOST_NAMED: usize = 5;
