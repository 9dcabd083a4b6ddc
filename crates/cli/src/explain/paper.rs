//! What can be drawn on: how wide, in which letters, with colours or without.

use std::io::IsTerminal;

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paper {
    pub(super) columns: usize,
    /// Whether letters beyond ASCII can be shown.
    pub(super) unicode: bool,
    pub(super) colour: bool,
}

/// What a text says by its colour, besides by its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ink {
    Bold,
    Good,
    Bad,
    Faint,
}

/// Columns where nobody says how many there are.
const COLUMNS: usize = 100;

/// The narrowest that is drawn in.
const LEAST_COLUMNS: usize = 60;

impl Paper {
    pub(super) fn of_stdout(width: Option<u16>) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let terminal = is_terminal.then(|| console::Term::stdout().size_checked()).flatten();
        let columns = width.map(usize::from);
        let columns = columns.or_else(|| terminal.map(|(_, columns)| usize::from(columns)));
        Self {
            columns: columns.unwrap_or(COLUMNS).max(LEAST_COLUMNS),
            unicode: is_utf8(|name| std::env::var(name).ok()),
            colour: is_terminal
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }

    /// The text in this ink. Control characters, which a record's texts may hold, are shown as `?`.
    pub(super) fn ink(&self, ink: Ink, text: &str) -> String {
        let text = self.clean(text);
        let code = match ink {
            _ if !self.colour => return text,
            Ink::Bold => 1,
            Ink::Good => 32,
            Ink::Bad => 31,
            Ink::Faint => 2,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// The text as it may be shown: foreign texts must not steer the terminal.
    pub(super) fn clean(&self, text: &str) -> String {
        let shown = |letter: char| match letter {
            _ if letter.is_control() || is_direction(letter) => '?',
            '…' if !self.unicode => '.',
            '→' if !self.unicode => '>',
            '·' if !self.unicode => '-',
            _ if self.unicode || letter.is_ascii() => letter,
            _ => '?',
        };
        text.chars().map(shown).collect()
    }

    /// The text in lines of at most the paper's width, each after `indent` spaces.
    pub(super) fn wrapped(&self, indent: usize, text: &str) -> String {
        let mut lines = String::new();
        let mut column = 0;
        for word in self.clean(text).split_whitespace() {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > self.columns {
                lines.push('\n');
                column = 0;
            }
            if column == 0 {
                lines.push_str(&" ".repeat(indent));
                column = indent;
            } else {
                lines.push(' ');
                column += 1;
            }
            lines.push_str(word);
            column += length;
        }
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines
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
    fn lines_end_before_the_papers_edge() {
        let paper = Paper { columns: 60, unicode: true, colour: false };
        let text = paper.wrapped(4, &"words ".repeat(40));
        assert!(
            text.lines().all(|line| line.len() <= 60 && line.starts_with("    words")),
            "{text}"
        );
    }
}
