//! The text that is read, and places in it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// A text with its name.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    name: String,
    text: String,
    /// Where each line begins.
    starts: Vec<usize>,
    /// When the lines stand for arguments of the command line: the argument of each.
    arguments: Option<Vec<&'static str>>,
}

/// A place in a text, with the line that it is in.
///
/// It shows itself as compilers do:
///
/// ```text
///   --> mainstay.toml:12:1
///    |
/// 12 | max_atempts = 3
///    | ^^^^^^^^^^^ did you mean `max_attempts`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or the argument of the command line.
    pub name: String,
    /// The line, from 1; `None` when there is none (an argument, a file that can't be read).
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line's text, without control characters, and cut when it is very long.
    pub text: String,
    /// Which characters of `text` are meant.
    pub marked: Range<usize>,
}

impl Source {
    pub(crate) fn file(name: &str, text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
        let starts = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { name: name.to_owned(), text: text.to_owned(), starts, arguments: None }
    }

    /// A text in which each line stands for an argument.
    pub(crate) fn arguments(lines: &[(&'static str, String)]) -> Self {
        let text: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
        let arguments = lines.iter().map(|(argument, _)| *argument).collect();
        Self { arguments: Some(arguments), ..Self::file("command line", &text.join("\n")) }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The line, from 1, of a place.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.starts.partition_point(|start| *start <= at)
    }

    /// The place of `span`; of its first line, when it has several.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let line = self.line(span.start);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let text = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("");
        let count = |to: usize| text.char_indices().take_while(|(at, _)| start + at < to).count();
        let (from, to) = (count(span.start), count(span.end));
        let argument = self.arguments.as_ref().and_then(|list| list.get(line - 1));
        match argument {
            Some(argument) => {
                let value: String =
                    text.chars().skip(from).take(to.saturating_sub(from)).map(printable).collect();
                let marked = argument.len() + 1..argument.len() + 1 + value.chars().count();
                let text = format!("{argument} {value}");
                Place { name: (*argument).into(), line: None, column: 1, text, marked }
            }
            None => {
                let (text, marked) = excerpt(text, from..to.max(from + 1));
                Place { name: self.name.clone(), line: Some(line), column: from + 1, text, marked }
            }
        }
    }

    /// The whole: for what has no place of its own.
    pub(crate) fn nowhere(&self) -> Place {
        Place { name: self.name.clone(), line: None, column: 1, text: String::new(), marked: 0..0 }
    }
}

/// What is shown of a line, and where the mark is in it.
fn excerpt(line: &str, marked: Range<usize>) -> (String, Range<usize>) {
    // A mark far to the right begins the excerpt, so that it can be seen.
    let skip = if marked.end > LONGEST_LINE { marked.start } else { 0 };
    let line = without_secrets(line);
    let shown: String = line.chars().skip(skip).take(LONGEST_LINE).map(printable).collect();
    let end = (marked.end - skip).min(shown.chars().count().max(marked.start - skip + 1));
    (shown, marked.start - skip..end)
}

/// The line with stars for what follows `token =` and `postgres =`: messages end up in logs.
fn without_secrets(line: &str) -> Cow<'_, str> {
    let words = ["token", "postgres"].into_iter().flat_map(|word| line.match_indices(word));
    let mut values = words.filter_map(|(at, word)| {
        let after = &line[at + word.len()..];
        let sign = after.trim_start_matches(['"', '\'', ' ', '\t']);
        sign.starts_with('=').then(|| line.len() - sign.len() + 1)
    });
    // The rest of the line is hidden too: the first one is enough.
    let Some(value) = values.next() else { return Cow::Borrowed(line) };
    let (shown, hidden) = line.split_at(value);
    let hidden = hidden.chars().map(|c| if c.is_whitespace() { c } else { '*' });
    Cow::Owned(shown.chars().chain(hidden).collect())
}

/// Control characters would let a file write to the terminal, and tabs would shift the mark.
fn printable(c: char) -> char {
    if c == '\t' {
        ' '
    } else if c.is_control() {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

impl Place {
    /// Writes the place, the line and the mark with `label` behind it.
    pub(crate) fn show(&self, f: &mut fmt::Formatter<'_>, label: &str) -> fmt::Result {
        let number = self.line.map(|line| line.to_string()).unwrap_or_default();
        let gutter = number.len();
        match self.line {
            Some(line) => writeln!(f, "{:gutter$}--> {}:{line}:{}", "", self.name, self.column)?,
            None => writeln!(f, " --> {}", self.name)?,
        }
        if self.text.is_empty() && self.marked.is_empty() {
            return if label.is_empty() { Ok(()) } else { writeln!(f, "  = {label}") };
        }
        let marks = "^".repeat(self.marked.len());
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{number} | {}", self.text)?;
        let marked = format!("{:gutter$} | {:2$}{marks} {label}", "", "", self.marked.start);
        writeln!(f, "{}", marked.trim_end())
    }
}

/// Wider than most terminals, and small enough that a file of one endless line is still readable.
const LONGEST_LINE: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, span: Range<usize>, line: usize, column: usize, marked: &str) {
        let place = Source::file("f", text).place(&span);
        let shown: String =
            place.text.chars().skip(place.marked.start).take(place.marked.len()).collect();
        assert_eq!((place.line, place.column, shown.as_str()), (Some(line), column, marked));
    }

    #[test]
    fn places_are_counted_in_characters_from_one() {
        check("a = 1\nb = 2", 6..7, 2, 1, "b");
        check("\u{e9}\u{e9} = 1", 7..8, 1, 6, "1");
        check("a = [\n1,\n2]", 4..11, 1, 5, "[");
        check("a = 1\r\nb", 4..5, 1, 5, "1");
    }

    #[test]
    fn a_place_at_or_past_the_end_is_still_a_place() {
        check("a", 1..1, 1, 2, "");
        check("a\n", 2..2, 2, 1, "");
        check("", 0..0, 1, 1, "");
        check("a", 90..95, 1, 2, "");
    }

    #[test]
    fn long_lines_are_cut_around_the_mark() {
        let text = format!("a = \"{}\"", "x".repeat(100_000));
        check(&text, 0..1, 1, 1, "a");
        check(&text, 50_000..50_003, 1, 50_001, "xxx");
        let place = Source::file("f", &text).place(&(0..text.len()));
        assert!(place.text.len() <= LONGEST_LINE && place.marked.len() <= LONGEST_LINE);
    }

    #[test]
    fn a_token_is_never_shown() {
        let shown = |text: &str| Source::file("f", text).place(&(0..1)).text;
        assert_eq!(shown("token = \"secret\""), "token = ********");
        assert_eq!(shown("a = { \"token\" = 's t', b = 1 }"), "a = { \"token\" = ** *** * * * *");
        assert_eq!(shown("token_env = \"NAME\""), "token_env = \"NAME\"");
        assert_eq!(shown("postgres = \"postgresql://a:b@c\""), "postgres = ********************");
        assert_eq!(shown("postgres_env = \"NAME\""), "postgres_env = \"NAME\"");
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let place = Source::file("f", "\ta\u{1b}[2J").place(&(1..2));
        assert_eq!(place.text, " a\u{fffd}[2J");
    }
}
