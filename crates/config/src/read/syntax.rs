//! Text to tree: TOML, by the `toml` crate, with the place of each key and value.

use toml::de::DeTable;

use crate::mistake::{Errors, MOST_MISTAKES, Mistake, MistakeKind};
use crate::source::Source;
use crate::text;

/// Parses the text.
///
/// # Errors
///
/// All errors of syntax. What is in the tree beside them isn't looked at: most of it would be misunderstood.
pub(super) fn parse(source: &Source) -> Result<DeTable<'_>, Errors> {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    let mistakes = errors.iter().take(MOST_MISTAKES).map(|error| {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().lines().next().unwrap_or("not TOML");
        Mistake {
            kind: MistakeKind::Syntax,
            place: source.place(&span),
            message: format!("not TOML: {message}"),
            advice: advice(source.text(), span.start),
        }
    });
    match Errors::new(mistakes.collect()) {
        Some(errors) => Err(errors),
        None => Ok(table.into_inner()),
    }
}

/// The usual slip is a length of time or a word without quotes.
fn advice(text: &str, at: usize) -> String {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or("");
    let Some((_, value)) = line.split_once('=') else { return String::new() };
    let value = value.split('#').next().unwrap_or("").trim();
    let bare = |c: char| c.is_ascii_alphanumeric() || "-_.%:/".contains(c);
    let plain = (1..=100).contains(&value.len()) && value.chars().all(bare);
    if plain && value.chars().any(|c| !c.is_ascii_digit()) {
        format!("did you mean {}?", text::quoted(value))
    } else {
        String::new()
    }
}
