//! The waterfall: a block for each attempt, over one axis of time.
//!
//! ```text
//! attempt 1  a  127.0.0.1:8081, connection 3 (http/1.1, fresh)
//!   connect 127.0.0.1:8081  |=                              |  0.31 ms
//!   first-byte              | xxxxxxxxxxxxxxxx              |  1002 ms  response-timeout
//! ```

use std::fmt::Write as _;

use mainstay_record::{AttemptRecord, CallRecord, StepRecord, rfc3339};

use super::words;
use crate::paper::{Ink, Paper};

/// Columns for what stands before the bars, and for the times after them.
const LABEL: usize = 26;
const WIDEST_LABEL: usize = 40;
const TIME: usize = 9;

/// The fewest columns of a bar.
const LEAST_BAR: usize = 16;

/// Columns for a code or a word after the time.
const TOLD: usize = 26;

/// Columns for the bar's edges, and what keeps the word away from the time.
const BETWEEN: usize = 4;

/// Where a line goes on that is wider than the paper.
const INDENT: usize = 4;

/// What a bar stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fill {
    Done,
    Broke,
    GivenUp,
    Wait,
}

/// The drawing of a call.
pub(crate) fn call(record: &CallRecord, paper: &Paper) -> String {
    let mut drawing = Drawing {
        paper,
        whole_ms: whole_ms(record),
        label: label_columns(record, paper),
        text: String::new(),
    };
    drawing.head(record);
    for (place, attempt) in record.attempts.iter().enumerate() {
        drawing.attempt(attempt);
        let next = record.attempts.get(place + 1);
        drawing.explanation(attempt, next);
        if let (Some(delay), Some(next)) = (attempt.delay_ms, next) {
            let started = (next.started_ms - delay).max(0.0);
            drawing.line("");
            drawing.bar("wait", started, delay, Fill::Wait, "");
        }
    }
    drawing.tail(record);
    drawing.text
}

struct Drawing<'a> {
    paper: &'a Paper,
    whole_ms: f64,
    label: usize,
    text: String,
}

impl Drawing<'_> {
    fn head(&mut self, record: &CallRecord) {
        let (good, told) = words::outcome(record);
        let ink = if good { Ink::Good } else { Ink::Bad };
        let took = record
            .took_ms
            .map_or_else(String::new, |took| format!(" in {}", words::milliseconds(took)));
        let title = format!("call {}", record.id);
        let request = format!("  {} {}", record.method, record.path);
        self.flow(&[(Some(Ink::Bold), &title), (None, &request)]);
        let at = rfc3339(record.started_unix_ms);
        let place = format!("route {}, upstream {}, at {at}", record.route, record.upstream);
        self.flow(&[(Some(Ink::Faint), &place)]);
        self.flow(&[(Some(ink), &told), (None, &took)]);
    }

    fn attempt(&mut self, attempt: &AttemptRecord) {
        self.line("");
        let title = format!("attempt {}  {}", attempt.attempt, attempt.endpoint);
        let connection = attempt
            .connection
            .as_ref()
            .map_or_else(String::new, |connection| format!("  {}", words::connection(connection)));
        let reason = match &*attempt.reason {
            "first" => String::new(),
            reason => format!(" ({reason})"),
        };
        self.flow(&[(Some(Ink::Bold), &title), (None, &reason)]);
        if !connection.is_empty() {
            let over = format!("  over {}", connection.trim());
            self.text.push_str(&self.paper.flow(2, &[(None, &over)]));
        }
        if attempt.steps.is_empty() {
            let fill = if attempt.code.is_some() { Fill::Broke } else { Fill::Done };
            let took = attempt.took_ms.unwrap_or_default();
            self.bar("from start to end", attempt.started_ms, took, fill, "");
        }
        attempt.steps.iter().for_each(|step| self.step(step));
    }

    fn step(&mut self, step: &StepRecord) {
        let label = label(step);
        let fill = match &*step.outcome {
            "broke" => Fill::Broke,
            "given-up" => Fill::GivenUp,
            _ => Fill::Done,
        };
        let told = match (&step.code, &step.text) {
            (Some(code), _) => code.to_string(),
            (None, Some(text)) => text.clone(),
            (None, None) if fill == Fill::GivenUp => "given up".to_owned(),
            (None, None) => String::new(),
        };
        self.bar(&label, step.started_ms, step.took_ms, fill, &told);
    }

    /// What broke, and what was made of it.
    fn explanation(&mut self, attempt: &AttemptRecord, next: Option<&AttemptRecord>) {
        let Some(code) = &attempt.code else {
            if let Some(status) = attempt.status {
                let took = attempt.took_ms.unwrap_or_default();
                let told = format!("  answered {status} after {}", words::milliseconds(took));
                self.flow(&[(Some(Ink::Good), &told)]);
            }
            return;
        };
        let took = attempt
            .took_ms
            .map_or_else(String::new, |took| format!(" after {}", words::milliseconds(took)));
        let status = attempt.status.map_or_else(String::new, |status| format!(" {status}"));
        self.flow(&[(Some(Ink::Bad), &format!("  broke: {code}{status}{took}"))]);
        if let Some(certainty) = &attempt.certainty {
            self.said("how far", words::certainty(certainty));
        }
        if let Some(evidence) = &attempt.evidence {
            self.said("evidence", evidence);
        }
        if let Some(detail) = &attempt.detail {
            self.said("error", detail);
        }
        for step in attempt.steps.iter().filter(|step| step.code.is_some()) {
            let is_news = |text: &&String| !words::is_said(text, attempt.detail.as_deref());
            if let Some(text) = step.text.as_ref().filter(is_news) {
                let at = step.address.map_or_else(|| step.step.to_string(), |at| at.to_string());
                self.said("error", &format!("{at}: {text}"));
            }
        }
        if let Some(hint) = attempt.retry_after_ms {
            self.said(
                "hint",
                &format!("the peer asked to be left alone for {}", words::milliseconds(hint)),
            );
        }
        if let Some(decision) = words::decision(attempt, next) {
            self.said("decided", &decision);
        }
        if let Some(it) = &attempt.circumstances {
            let told = format!(
                "breaker {}, budget {} tokens, {} extra attempts for {} calls in its window",
                it.breaker, it.budget_tokens, it.budget_extra, it.budget_calls
            );
            self.said("before it", &told);
        }
        self.advice(code);
    }

    fn advice(&mut self, code: &str) {
        let manual = words::manual(code).unwrap_or_default();
        self.said("look at", &format!("{manual} (docs/breaks.md#{code})"));
    }

    fn tail(&mut self, record: &CallRecord) {
        for hold in record.holds.iter().filter(|hold| hold.by == "breaker") {
            if let Some(told) = words::awaited(hold) {
                self.said("it waited", &told);
            }
        }
        if let Some(code) = record.body_broke.as_deref().filter(|code| *code != "client-gone") {
            self.flow(&[(Some(Ink::Bad), &format!("  the body broke: {code}"))]);
            self.advice(code);
        }
        if let Some(why) = &record.cut {
            self.said("not healed", why);
        }
        if let Some(times) = record.upload_resumed {
            self.said(
                "upload",
                &format!("went on from where the server had it, {}", words::times(times)),
            );
        }
        if let Some(why) = &record.upload_not_resumed {
            self.said("not resumed", why);
        }
        self.line("");
        for note in &record.notes {
            let told =
                format!("{} {} at {}", note.endpoint, note.event, words::milliseconds(note.at_ms));
            self.said("meanwhile", &told);
        }
        if let (true, Some(code)) = (record.attempts.is_empty(), &record.code) {
            self.said("no attempt", code);
            self.said("decided", words::unsent(code));
            self.advice(code);
        }
        if record.body_unrepeatable {
            self.said("body", "the request's body couldn't be sent a second time");
        }
        if record.events_dropped > 0 {
            self.said(
                "left out",
                &format!("{} events, for which there was no room", record.events_dropped),
            );
        }
        self.said("the application got", &words::end(record));
    }

    /// A paragraph under a word, which its further lines are indented by.
    fn said(&mut self, word: &str, text: &str) {
        const INDENT: usize = 13;
        let word = format!("  {word}: ");
        let blanks = " ".repeat(INDENT.saturating_sub(word.chars().count()));
        let spans = [(Some(Ink::Faint), word.as_str()), (None, &blanks), (None, text)];
        self.text.push_str(&self.paper.flow(INDENT, &spans));
    }

    fn flow(&mut self, spans: &[(Option<Ink>, &str)]) {
        self.text.push_str(&self.paper.flow(INDENT, spans));
    }

    fn bar(&mut self, label: &str, started_ms: f64, took_ms: f64, fill: Fill, told: &str) {
        let paper = self.paper;
        // On narrow paper what is told of a step has a line of its own.
        let beside = paper.columns >= self.label + LEAST_BAR + TIME + TOLD + BETWEEN;
        let others = self.label + TIME + if beside { TOLD + BETWEEN } else { BETWEEN };
        let columns = paper.columns.saturating_sub(others).max(LEAST_BAR);
        let (before, length) = cells(started_ms, took_ms, self.whole_ms, columns);
        let (letter, ink) = match (fill, paper.unicode) {
            (Fill::Done, true) => ('█', Ink::Good),
            (Fill::Done, false) => ('=', Ink::Good),
            (Fill::Broke, true) => ('▓', Ink::Bad),
            (Fill::Broke, false) => ('x', Ink::Bad),
            (Fill::GivenUp, true) => ('░', Ink::Faint),
            (Fill::GivenUp, false) => ('.', Ink::Faint),
            (Fill::Wait, true) => ('┄', Ink::Faint),
            (Fill::Wait, false) => ('-', Ink::Faint),
        };
        let edge = if paper.unicode { '│' } else { '|' };
        let label = fitted(&paper.clean(&format!("  {label}")), self.label);
        let bar: String = std::iter::repeat_n(letter, length).collect();
        let after = " ".repeat(columns - before - length);
        let time = words::milliseconds(took_ms);
        let shown = if beside { fitted(&paper.clean(told), TOLD) } else { String::new() };
        let line = format!(
            "{label}{edge}{}{}{after}{edge}{time:>TIME$}  {}",
            " ".repeat(before),
            paper.ink(ink, &bar),
            paper.ink(ink, shown.trim_end())
        );
        self.line(&line);
        if !beside && !told.is_empty() {
            self.flow(&[(None, "    "), (Some(ink), told)]);
        }
    }

    fn line(&mut self, line: &str) {
        // Writing into a string can't fail.
        let _ = writeln!(self.text, "{}", line.trim_end());
    }
}

/// Columns for the labels: what the longest needs, as far as the paper has them.
fn label_columns(record: &CallRecord, paper: &Paper) -> usize {
    let steps = record.attempts.iter().flat_map(|attempt| &attempt.steps);
    let longest = steps.map(|step| label(step).len() + 3).max().unwrap_or_default();
    longest.clamp(LABEL, if paper.columns < 100 { LABEL } else { WIDEST_LABEL })
}

fn label(step: &StepRecord) -> String {
    match step.address {
        Some(address) => format!("{} {address}", step.step),
        None => step.step.to_string(),
    }
}

/// The cells before a bar, and its own: at least one, at most to the edge.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "columns are small and shares lie between 0 and 1"
)]
fn cells(started_ms: f64, took_ms: f64, whole_ms: f64, columns: usize) -> (usize, usize) {
    let cell = |millis: f64| (millis / whole_ms).clamp(0.0, 1.0) * columns as f64;
    let before = (cell(started_ms).floor() as usize).min(columns - 1);
    let end = (cell(started_ms + took_ms).round() as usize).clamp(before + 1, columns);
    (before, end - before)
}

/// The time that the axis stands for.
fn whole_ms(record: &CallRecord) -> f64 {
    let attempts = record.attempts.iter();
    let ends = attempts.flat_map(|attempt| {
        let own = attempt.started_ms + attempt.took_ms.unwrap_or_default();
        attempt.steps.iter().map(|step| step.started_ms + step.took_ms).chain([own])
    });
    ends.chain(record.took_ms).fold(0.001, f64::max)
}

/// The text in exactly so many columns.
fn fitted(text: &str, columns: usize) -> String {
    let length = text.chars().count();
    if length <= columns {
        return format!("{text:<columns$}");
    }
    text.chars().take(columns - 1).chain(['~']).collect()
}
