//! What can be drawn on: how wide, in which letters, with colours or without.

use std::io::IsTerminal;

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paper {
    pub(crate) columns: usize,
    /// Whether letters beyond ASCII can be shown.
    pub(crate) unicode: bool,
    pub(crate) colour: bool,
}

/// What a text says by its colour, besides by its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ink {
    Bold,
    Good,
    Bad,
    Faint,
}

const INKS: [Ink; 4] = [Ink::Bold, Ink::Good, Ink::Bad, Ink::Faint];

impl Ink {
    /// The terminal's code for it.
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Faint => "2",
        }
    }
}

/// Columns where nobody says how many there are.
const COLUMNS: usize = 100;

/// The narrowest that is drawn in.
const LEAST_COLUMNS: usize = 60;

impl Paper {
    pub(crate) fn of_stdout(width: Option<u16>) -> Self {
        Self::of(width, COLUMNS)
    }

    /// For a line for each of many things: what isn't shown to anybody (a file, another program) isn't folded.
    pub(crate) fn of_list(width: Option<u16>) -> Self {
        Self::of(width, usize::MAX)
    }

    /// `elsewhere`: the columns where nobody says how many there are.
    fn of(width: Option<u16>, elsewhere: usize) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let terminal = is_terminal.then(|| console::Term::stdout().size_checked()).flatten();
        let columns = width.map(usize::from);
        let columns = columns.or_else(|| terminal.map(|(_, columns)| usize::from(columns)));
        Self {
            columns: columns.unwrap_or(elsewhere).max(LEAST_COLUMNS),
            unicode: is_utf8(|name| std::env::var(name).ok()),
            colour: is_terminal
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// The text in this ink. Control characters, which a record's texts may hold, are shown as `?`.
    pub(crate) fn ink(&self, ink: Ink, text: &str) -> String {
        let text = self.clean(text);
        if !self.colour {
            return text;
        }
        format!("\u{1b}[{}m{text}\u{1b}[0m", ink.code())
    }

    /// The pieces of a text that [`Paper::ink`] and [`Paper::flow`] made, each with its ink: what was clean when it was put
    /// in ink holds no other control characters.
    pub(crate) fn spans(&self, text: &str) -> Vec<(Option<Ink>, String)> {
        let mut spans = Vec::new();
        for (place, piece) in text.split("\u{1b}[").enumerate() {
            let (ink, words) = match piece.split_once('m') {
                Some((code, words)) if place > 0 => {
                    (INKS.into_iter().find(|ink| ink.code() == code), words)
                }
                _ => (None, piece),
            };
            if !words.is_empty() {
                spans.push((ink, words.to_owned()));
            }
        }
        spans
    }

    /// The text as it may be shown: foreign texts must not steer the terminal.
    pub(crate) fn clean(&self, text: &str) -> String {
        let shown = |letter: char| match letter {
            _ if letter.is_control() || is_direction(letter) => '?',
            '…' if !self.unicode => '.',
            '→' if !self.unicode => '>',
            '·' | '–' if !self.unicode => '-',
            _ if self.unicode || letter.is_ascii() => letter,
            _ => '?',
        };
        text.chars().map(shown).collect()
    }

    /// Texts after each other, each in its ink, in lines of at most the paper's width: those after the first are indented by
    /// `indent`. Blanks between words are kept, but for those at which a line is broken; a word that is wider than a line is
    /// broken too.
    pub(crate) fn flow(&self, indent: usize, spans: &[(Option<Ink>, &str)]) -> String {
        let mut lines = Lines { paper: self, indent, text: String::new(), column: 0, blanks: 0 };
        for (ink, text) in spans {
            lines.span(*ink, text);
        }
        if !lines.text.is_empty() {
            lines.text.push('\n');
        }
        lines.text
    }
}

/// Lines that are being filled.
struct Lines<'a> {
    paper: &'a Paper,
    indent: usize,
    text: String,
    column: usize,
    /// Blanks that stand before the next word, unless it begins a line.
    blanks: usize,
}

impl Lines<'_> {
    fn span(&mut self, ink: Option<Ink>, text: &str) {
        // What goes into the same line in the same ink is one piece: colours are switched once.
        let mut piece = String::new();
        for (place, word) in text.split(char::is_whitespace).enumerate() {
            self.blanks += usize::from(place > 0);
            if word.is_empty() {
                continue;
            }
            let word = self.paper.clean(word);
            let mut letters: Vec<char> = word.chars().collect();
            if self.column > 0 && self.column + self.blanks + letters.len() > self.paper.columns {
                self.put(ink, &mut piece);
                self.fold();
            }
            while self.column + self.blanks + letters.len() > self.paper.columns {
                let fits = self.paper.columns.saturating_sub(self.column + self.blanks).max(1);
                let rest = letters.split_off(fits);
                self.add(&letters, &mut piece);
                self.put(ink, &mut piece);
                self.fold();
                letters = rest;
            }
            self.add(&letters, &mut piece);
        }
        self.put(ink, &mut piece);
    }

    fn add(&mut self, letters: &[char], piece: &mut String) {
        piece.extend(std::iter::repeat_n(' ', self.blanks));
        piece.extend(letters);
        self.column += self.blanks + letters.len();
        self.blanks = 0;
    }

    fn put(&mut self, ink: Option<Ink>, piece: &mut String) {
        let words = piece.trim_start_matches(' ');
        self.text.extend(std::iter::repeat_n(' ', piece.len() - words.len()));
        match ink {
            Some(ink) if !words.is_empty() => self.text.push_str(&self.paper.ink(ink, words)),
            _ => self.text.push_str(words),
        }
        piece.clear();
    }

    fn fold(&mut self) {
        self.text.push('\n');
        (self.column, self.blanks) = (0, self.indent);
    }
}

/// Marks that turn the direction of what follows.
const fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether the locale's letters are UTF-8: the first variable that is set decides, as for the C library.
fn is_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// A foreign text where there is no paper, as in a table that may go into a file: it can't steer the terminal.
pub(crate) fn clean(text: &str) -> String {
    text.replace(char::is_control, "?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_is_set_says_which_letters_there_are() {
        let check = |all: &str, lang: &str| {
            is_utf8(|name| match name {
                "LC_ALL" => Some(all.to_owned()),
                "LANG" => Some(lang.to_owned()),
                _ => None,
            })
        };
        assert!(check("", "en_GB.UTF-8"));
        assert!(check("C.utf8", "C"));
        assert!(!check("C", "en_GB.UTF-8"));
        assert!(!check("", ""));
    }

    #[test]
    fn foreign_texts_cant_steer_the_terminal() {
        let paper = Paper { columns: 60, unicode: true, colour: true };
        assert_eq!(paper.clean("a\u{1b}[2Jb\u{9b}\u{202e}\n"), "a?[2Jb???");
        let ascii = Paper { unicode: false, ..paper };
        assert_eq!(ascii.clean("é → …"), "? > .");
    }

    #[test]
    fn texts_flow_in_their_inks_and_words_wider_than_a_line_are_broken() {
        let paper = Paper { columns: 60, unicode: true, colour: true };
        let long = "x".repeat(70);
        let flow = paper.flow(2, &[(Some(Ink::Bold), "a b  c"), (None, "  d "), (None, &long)]);
        let wanted = format!("\u{1b}[1ma b  c\u{1b}[0m  d\n  {}\n  {}\n", &long[..58], &long[..12]);
        assert_eq!(flow, wanted);
        assert_eq!(paper.flow(2, &[(None, "  "), (None, "")]), "");
    }

    #[test]
    fn what_was_put_in_ink_can_be_taken_apart() {
        let paper = Paper { columns: 60, unicode: true, colour: true };
        let text = paper.flow(2, &[(None, "a "), (Some(Ink::Bad), "b\u{1b}[1mc"), (None, " m")]);
        let wanted = [(None, "a "), (Some(Ink::Bad), "b?[1mc"), (None, " m")];
        let wanted: Vec<_> = wanted.map(|(ink, text)| (ink, text.to_owned())).into();
        assert_eq!(paper.spans(text.trim_end()), wanted);
    }

    #[test]
    fn lines_end_before_the_papers_edge() {
        let paper = Paper { columns: 60, unicode: true, colour: false };
        let text = paper.flow(4, &[(None, "    "), (None, &"words ".repeat(40))]);
        assert!(
            text.lines().all(|line| line.len() <= 60 && line.starts_with("    words")),
            "{text}"
        );
    }
}
