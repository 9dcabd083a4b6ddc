//! Texts in their tones: how they look, how they are cut and folded.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use crate::paper::{Ink, Paper};
use crate::top::words::Kind;

/// What a text says by its look, besides by its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Dim,
    Good,
    Warn,
    Bad,
    /// What Mainstay did.
    Did,
}

/// A text in its tones.
pub(crate) type Text = Vec<(Tone, String)>;

impl From<Kind> for Tone {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Good => Self::Good,
            Kind::Warn | Kind::Probing => Self::Warn,
            Kind::Bad => Self::Bad,
            Kind::Off => Self::Dim,
        }
    }
}

impl Tone {
    /// The terminal's own colours, so that it is readable on light and on dark.
    pub(crate) fn style(self, paper: &Paper) -> Style {
        let style = Style::new();
        let colour = |style: Style, colour| if paper.colour { style.fg(colour) } else { style };
        match self {
            Self::Plain => style,
            Self::Strong => style.add_modifier(Modifier::BOLD),
            Self::Dim => style.add_modifier(Modifier::DIM),
            Self::Good => colour(style, Color::Green),
            Self::Warn => colour(style, Color::Yellow),
            Self::Bad => colour(style, Color::Red).add_modifier(Modifier::BOLD),
            Self::Did => colour(style, Color::Cyan),
        }
    }
}

/// A text of one tone.
pub(crate) fn text(tone: Tone, text: impl Into<String>) -> Text {
    vec![(tone, text.into())]
}

pub(crate) fn plain(words: impl Into<String>) -> Text {
    text(Tone::Plain, words)
}

/// The sign of a kind: no state is told by colour alone.
pub(crate) const fn sign(kind: Kind, paper: &Paper) -> &'static str {
    match (kind, paper.unicode) {
        (Kind::Good, true) => "●",
        (Kind::Probing, true) => "◐",
        (Kind::Warn, true) => "▲",
        (Kind::Bad, true) => "■",
        (Kind::Off, true) => "○",
        (Kind::Good, false) => "+",
        (Kind::Probing, false) => "~",
        (Kind::Warn, false) => "!",
        (Kind::Bad, false) => "x",
        (Kind::Off, false) => "-",
    }
}

/// The line to be drawn. Foreign texts can't steer the terminal.
pub(crate) fn line(pieces: &[(Tone, String)], paper: &Paper) -> Line<'static> {
    let span = |(tone, words): &(Tone, String)| Span::styled(paper.clean(words), tone.style(paper));
    Line::from(pieces.iter().map(span).collect::<Vec<_>>())
}

/// Columns that it takes.
pub(crate) fn width(pieces: &[(Tone, String)]) -> usize {
    pieces.iter().map(|(_, words)| Span::raw(words.as_str()).width()).sum()
}

/// Where a text goes: so many columns from there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) x: u16,
    pub(crate) y: u16,
    pub(crate) width: u16,
    pub(crate) is_right: bool,
}

/// Draws a text into a slot; what doesn't fit is cut, and that is seen.
pub(crate) fn put(buffer: &mut Buffer, slot: Slot, pieces: &[(Tone, String)], paper: &Paper) {
    let Slot { x, y, width: room, is_right } = slot;
    if room == 0 || y >= buffer.area.bottom() || x >= buffer.area.right() {
        return;
    }
    let line = line(pieces, paper);
    let wide = u16::try_from(line.width()).unwrap_or(u16::MAX);
    if wide <= room {
        let x = if is_right { x + room - wide } else { x };
        buffer.set_line(x, y, &line, room);
    } else {
        buffer.set_line(x, y, &line, room - 1);
        let cut = if paper.unicode { "…" } else { "~" };
        buffer.set_string(x + room - 1, y, cut, Tone::Dim.style(paper));
    }
}

/// The text in lines of at most so many columns, broken at blanks; all but the first are indented.
pub(crate) fn fold(pieces: &[(Tone, String)], columns: usize, indent: usize) -> Vec<Text> {
    let indent = indent.min(columns / 2);
    let mut lines: Vec<Text> = vec![Text::new()];
    let mut column = 0;
    for (tone, words) in pieces {
        for word in words.split_inclusive(' ') {
            let letters = word.trim_end_matches(' ').chars().count();
            if column > indent && column + letters > columns {
                lines.push(text(Tone::Plain, " ".repeat(indent)));
                column = indent;
            }
            let mut rest: Vec<char> = word.chars().collect();
            // A word that is wider than a line is broken too.
            while column + rest.len() > columns && rest.len() > 1 && column + letters > columns {
                let fits = columns.saturating_sub(column).max(1);
                let later = rest.split_off(fits.min(rest.len()));
                push(&mut lines, *tone, rest.iter().collect());
                if later.is_empty() {
                    rest = later;
                    break;
                }
                lines.push(text(Tone::Plain, " ".repeat(indent)));
                (column, rest) = (indent, later);
            }
            column += rest.len();
            push(&mut lines, *tone, rest.into_iter().collect());
        }
    }
    lines
}

fn push(lines: &mut [Text], tone: Tone, words: String) {
    if let Some(line) = lines.last_mut() {
        match line.last_mut() {
            Some((last, text)) if *last == tone => text.push_str(&words),
            _ => line.push((tone, words)),
        }
    }
}

/// A drawing that was made for paper, as texts in lines.
pub(crate) fn of_paper(drawing: &str, paper: &Paper) -> Vec<Text> {
    let tone = |ink: Option<Ink>| match ink {
        None => Tone::Plain,
        Some(Ink::Bold) => Tone::Strong,
        Some(Ink::Good) => Tone::Good,
        Some(Ink::Bad) => Tone::Bad,
        Some(Ink::Faint) => Tone::Dim,
    };
    let line = |line: &str| paper.spans(line).into_iter().map(|(ink, words)| (tone(ink), words));
    drawing.lines().map(|one| line(one).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_folded_at_blanks_and_words_that_are_too_wide_are_broken() {
        let shown = |pieces: &[(Tone, String)], columns, indent| -> Vec<String> {
            let lines = fold(pieces, columns, indent);
            lines.iter().map(|line| line.iter().map(|(_, words)| &**words).collect()).collect()
        };
        let pieces = [(Tone::Bad, "one two ".to_owned()), (Tone::Plain, "three four".to_owned())];
        assert_eq!(shown(&pieces, 10, 2), ["one two ", "  three ", "  four"]);
        assert_eq!(shown(&plain("abcdefgh ij"), 4, 0), ["abcd", "efgh", " ij"]);
        assert_eq!(shown(&plain(""), 4, 0), [""]);
        assert_eq!(shown(&plain("a b"), 0, 0).concat(), "a b");
    }

    #[test]
    fn what_doesnt_fit_is_seen_to_be_cut() {
        let paper = Paper { columns: 80, unicode: true, colour: false };
        let drawn = |words: &str, is_right| {
            let mut buffer = Buffer::empty(ratatui::layout::Rect::new(0, 0, 6, 1));
            put(&mut buffer, Slot { x: 0, y: 0, width: 6, is_right }, &plain(words), &paper);
            buffer.content().iter().map(|cell| cell.symbol()).collect::<String>()
        };
        assert_eq!(drawn("abc", true), "   abc");
        assert_eq!(drawn("abcdef", false), "abcdef");
        assert_eq!(drawn("abcdefg", false), "abcde…");
        assert_eq!(drawn("a\u{1b}[2J\u{202e}", false), "a?[2J?");
    }
}
