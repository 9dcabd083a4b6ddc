//! What stands over everything: the keys, what can be ordered, whether it is meant, why it was refused.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Clear, Widget as _};

use super::ink::{Slot, Text, Tone, fold, plain, put, text};
use crate::top::model::{Dialog, Model, View};

/// As wide as a sentence is read easily.
const WIDEST: u16 = 72;

const KEYS: [(&str, &str); 14] = [
    ("1-6, Tab", "the views, in their order"),
    ("j k, arrows", "down, up"),
    ("PgDn PgUp, Space", "a screen further, back"),
    ("g G, Home End", "to the begin, to the end"),
    ("Enter, l", "open what is under the cursor"),
    ("Esc, h", "back; without a page: all, not only what fits the filter"),
    ("/", "filter by any word in a row; Enter keeps it, Esc drops it"),
    ("w", "Now, Timeline: only what isn't well"),
    ("p", "Feed: pause, and go on"),
    ("a", "act: drain, open, closed, auto; retry, settle, drop"),
    ("R", "read the settings again"),
    ("ctrl-z", "to the shell, until it brings this back (fg)"),
    ("?", "this"),
    ("q, ctrl-c", "quit"),
];

const LETTERS: &str = "Letters of a timeline: o breaker open, e ejected, x unhealthy, p probing, t throttled, \
                       w warming up, d drained, f forced open, c forced closed. Times are UTC, as in the log.";

pub(crate) fn draw(model: &Model, dialog: &Dialog, buffer: &mut Buffer, area: Rect) {
    let columns = usize::from(area.width.saturating_sub(4).min(WIDEST));
    let (title, lines) = match dialog {
        Dialog::Help => ("Keys", help(columns)),
        Dialog::Menu(orders) => {
            let mut lines = Vec::new();
            for order in orders {
                lines.push(vec![
                    (Tone::Strong, format!("{}  ", order.key())),
                    (Tone::Plain, order.title()),
                ]);
                lines.extend(fold(&text(Tone::Dim, format!("   {}", order.effect())), columns, 3));
            }
            lines.push(keys(&[("Esc", "nothing")]));
            ("What should be done?", lines)
        }
        Dialog::Confirm(order) => {
            let mut lines = fold(&text(Tone::Strong, format!("{}?", order.title())), columns, 0);
            lines.extend(fold(&plain(order.effect()), columns, 0));
            lines.push(keys(&[("y", "do it"), ("n", "don't")]));
            ("Really?", lines)
        }
        Dialog::Sent(order) => ("", fold(&plain(format!("{} ...", order.title())), columns, 0)),
        Dialog::Refused(order, why) => {
            let title = format!("{}: not done", order.title());
            let mut lines = fold(&text(Tone::Bad, title), columns, 0);
            lines.extend(fold(&plain(why), columns, 0));
            lines.push(keys(&[("any key", "back")]));
            ("Refused", lines)
        }
    };
    frame(model, buffer, area, title, &lines);
}

fn keys(keys: &[(&str, &str)]) -> Text {
    let piece = |(key, does): &(&str, &str)| {
        [(Tone::Strong, (*key).to_owned()), (Tone::Dim, format!(" {does}   "))]
    };
    keys.iter().flat_map(piece).collect()
}

fn help(columns: usize) -> Vec<Text> {
    let line = |(key, does): &(&str, &str)| {
        fold(
            &[(Tone::Strong, format!("{key:<17} ")), (Tone::Plain, (*does).to_owned())],
            columns,
            18,
        )
    };
    let mut lines: Vec<_> = KEYS.iter().flat_map(line).collect();
    let views = View::ALL.iter().enumerate();
    let views: Vec<_> =
        views.map(|(place, view)| format!("{} {}", place + 1, view.name())).collect();
    lines.extend(fold(&text(Tone::Dim, views.join("  ")), columns, 0));
    lines.extend(fold(&text(Tone::Dim, LETTERS), columns, 0));
    lines
}

/// The lines in a frame in the middle.
fn frame(model: &Model, buffer: &mut Buffer, area: Rect, title: &str, lines: &[Text]) {
    let paper = &model.paper;
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(area.height);
    let widest = lines.iter().map(|line| super::ink::width(line)).max().unwrap_or_default();
    let width = u16::try_from(widest.max(title.len() + 2)).unwrap_or(u16::MAX);
    let width = width.saturating_add(4).min(area.width);
    let x = area.x + (area.width - width) / 2;
    let y = area.y + (area.height - height) / 2;
    let at = Rect { x, y, width, height };
    Clear.render(at, buffer);
    let (corners, across, down) = match paper.unicode {
        true => (["┌", "┐", "└", "┘"], "─", "│"),
        false => (["+", "+", "+", "+"], "-", "|"),
    };
    let inner = usize::from(width.saturating_sub(2));
    let line = |left: &str, right: &str| format!("{left}{}{right}", across.repeat(inner));
    let style = Tone::Plain.style(paper);
    for y in at.y..at.bottom() {
        let (first, last) = (y == at.y, y + 1 == at.bottom());
        let edge = match (first, last) {
            (true, _) => line(corners[0], corners[1]),
            (_, true) => line(corners[2], corners[3]),
            _ => format!("{down}{}{down}", " ".repeat(inner)),
        };
        buffer.set_stringn(at.x, y, edge, usize::from(width), style);
    }
    if !title.is_empty() {
        let slot =
            Slot { x: at.x + 2, y: at.y, width: at.width.saturating_sub(4), is_right: false };
        put(buffer, slot, &text(Tone::Strong, format!(" {title} ")), paper);
    }
    for (y, line) in (at.y + 1..at.bottom().saturating_sub(1)).zip(lines) {
        let slot = Slot { x: at.x + 2, y, width: at.width.saturating_sub(4), is_right: false };
        put(buffer, slot, line, paper);
    }
}
