//! A report for people, in lines that the paper holds.

use super::report::{BreakPart, Report, SettingPart};
use crate::paper::{Ink, Paper};

/// The text.
pub(super) fn told(report: &Report, paper: &Paper) -> String {
    let mut drawing = Drawing { paper, text: String::new() };
    drawing.head(report);
    if let Some(answered) = &report.answered {
        drawing.said("answered", Ink::Bad, &format!("{} by the proxy itself", answered.status));
        if let Some(document) = &answered.document {
            drawing.said("", Ink::Faint, &document.to_string());
        }
        return drawing.text;
    }
    drawing.upstream(report);
    drawing.breaks(&report.breaks);
    drawing.settings(&report.settings);
    drawing.text
}

struct Drawing<'a> {
    paper: &'a Paper,
    text: String,
}

impl Drawing<'_> {
    fn head(&mut self, report: &Report) {
        let title = format!("{} {}", report.method, report.url);
        let host = format!("  host {}", report.host);
        self.flow(4, &[(Some(Ink::Bold), &title), (Some(Ink::Faint), &host)]);
        let named: Vec<_> = report.listeners.iter().filter(|listener| listener.named).collect();
        let all = if named.is_empty() { report.listeners.iter().collect() } else { named };
        let scheme = |tls| if tls { "https" } else { "http" };
        let told = all.iter().map(|one| format!("{}://{}", scheme(one.tls), one.address));
        let told = told.collect::<Vec<_>>().join(", ");
        self.said("listener", Ink::Faint, &format!("{told}; each listener has the same routes"));
        for (place, route) in report.routes.iter().enumerate() {
            let word = if place == 0 { "route" } else { "" };
            let (ink, verdict) =
                if route.matches { (Ink::Good, "matches") } else { (Ink::Faint, "doesn't match") };
            self.said(word, ink, &format!("`{}` {verdict}: {}", route.name, route.why));
        }
    }

    fn upstream(&mut self, report: &Report) {
        let Some(upstream) = &report.upstream else { return };
        self.said("upstream", Ink::Bold, &upstream.name);
        for endpoint in &upstream.endpoints {
            let weight = match endpoint.weight {
                1 => String::new(),
                weight => format!(", weight {weight}"),
            };
            let name =
                if endpoint.is_named { format!("{} at ", endpoint.name) } else { String::new() };
            let told = format!("tier {}  {name}{}{weight}", endpoint.tier, endpoint.url);
            self.said("", Ink::Faint, &told);
        }
        if let Some(repeatable) = &report.repeatable {
            self.said("repeatable", Ink::Bold, &repeatable.why);
            let by = if repeatable.spills { "`replay` and `spill`" } else { "`replay`" };
            let most = repeatable.replay_bytes;
            let replay = format!("a body of more than {most} bytes can't be sent again ({by})");
            self.said("", Ink::Faint, &replay);
            if let Some(upload) = &repeatable.upload {
                self.said("upload", Ink::Bold, &upload.why);
            }
        }
    }

    fn breaks(&mut self, breaks: &[BreakPart]) {
        self.text.push('\n');
        let title = "What would happen next if its first attempt broke, all else being well:";
        self.flow(0, &[(Some(Ink::Bold), title)]);
        let is_wide = self.paper.columns >= WIDE;
        for part in breaks {
            let certainty = part.certainty.unwrap_or("no attempt");
            let example = part.example.as_ref();
            let example = example.map_or_else(String::new, |example| format!("({example}) "));
            let ink = Some(if part.is_good() { Ink::Good } else { Ink::Bad });
            if is_wide {
                let left = format!("  {:<CODE$}{certainty:<CERTAINTY$}", part.code);
                let spans = [(None, left.as_str()), (None, &example), (ink, &part.then)];
                self.flow(2 + CODE + CERTAINTY, &spans);
            } else {
                let left = format!("  {}, {certainty} {example}", part.code);
                self.flow(4, &[(None, &left)]);
                self.flow(6, &[(None, "      "), (ink, &part.then)]);
            }
        }
    }

    fn settings(&mut self, settings: &[SettingPart]) {
        self.text.push('\n');
        self.flow(
            0,
            &[(Some(Ink::Bold), "The settings that hold for it, and where each comes from:")],
        );
        for part in settings {
            let ink = if part.origin == "default" { Some(Ink::Faint) } else { None };
            let value = format!("  {} = {}", part.key, part.value);
            let blanks = " ".repeat(SETTING.saturating_sub(value.chars().count()).max(2));
            self.flow(6, &[(None, &value), (None, &blanks), (ink, &part.told)]);
        }
    }

    fn said(&mut self, word: &str, ink: Ink, text: &str) {
        let word = format!("{word:<WORD$}");
        self.flow(WORD, &[(Some(Ink::Faint), &word), (Some(ink), text)]);
    }

    fn flow(&mut self, indent: usize, spans: &[(Option<Ink>, &str)]) {
        self.text.push_str(&self.paper.flow(indent, spans));
    }
}

/// Columns for what stands before a line's text.
const WORD: usize = 12;

/// Columns for codes, certainties, and settings with their values.
const CODE: usize = 27;
const CERTAINTY: usize = 16;
const SETTING: usize = 46;

/// Where codes, certainties and sentences stand beside each other.
const WIDE: usize = 90;
