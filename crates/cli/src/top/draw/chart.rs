//! Charts of an hour in a few lines.

use super::ink::Tone;
use crate::paper::Paper;
use crate::top::words::{Kind, letter, state};

/// Levels of a cell, from the least that isn't nothing to full.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const LETTERS: [char; 8] = ['.', '.', ':', ':', '-', '=', '*', '#'];

const fn levels(paper: &Paper) -> [char; 8] {
    if paper.unicode { BLOCKS } else { LETTERS }
}

/// One line of so many columns; the newest value is the rightmost. Where nothing is known it is blank.
pub(crate) fn spark(values: &[Option<f64>], columns: usize, paper: &Paper) -> String {
    let values = &values[values.len().saturating_sub(columns)..];
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let cell = |value: &Option<f64>| {
        value.map_or(' ', |value| levels(paper)[level(value, most, 8).saturating_sub(1).min(7)])
    };
    let blanks = std::iter::repeat_n(' ', columns - values.len());
    blanks.chain(values.iter().map(cell)).collect()
}

/// The share of `most` that a value is, in so many steps; what isn't nothing has one at least.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "shares lie between 0 and 1, and steps are few"
)]
fn level(value: f64, most: f64, steps: usize) -> usize {
    if value <= 0.0 || most <= 0.0 {
        return 0;
    }
    ((value / most).clamp(0.0, 1.0) * steps as f64).round().max(1.0) as usize
}

/// Bars, so many lines high, from the top line down.
pub(crate) fn bars(values: &[Option<f64>], lines: usize, paper: &Paper) -> Vec<String> {
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let steps: Vec<_> =
        values.iter().map(|value| value.map(|it| level(it, most, lines * 8))).collect();
    let cell = |steps: Option<usize>, line: usize| {
        let below = (lines - 1 - line) * 8;
        match steps.map(|steps| steps.saturating_sub(below)) {
            None | Some(0) => ' ',
            Some(steps) => levels(paper)[steps.min(8) - 1],
        }
    };
    (0..lines).map(|line| steps.iter().map(|steps| cell(*steps, line)).collect()).collect()
}

/// As many buckets as there are columns, at least: what is before them isn't known.
pub(crate) fn padded<T: Copy>(buckets: &[T], columns: usize, unknown: T) -> Vec<T> {
    let before = std::iter::repeat_n(unknown, columns.saturating_sub(buckets.len()));
    before.chain(buckets.iter().copied()).collect()
}

/// Buckets put together into so many columns, each by `of`: the last bucket is in the last column.
pub(crate) fn columns<T: Copy, U>(buckets: &[T], columns: usize, of: impl Fn(&[T]) -> U) -> Vec<U> {
    let each = buckets.len().div_ceil(columns.max(1)).max(1);
    let first = buckets.len() % each;
    let (rest, whole) = buckets.split_at(first);
    let rest = (!rest.is_empty()).then_some(rest);
    rest.into_iter().chain(whole.chunks(each)).map(of).collect()
}

/// The greatest of what is known.
pub(crate) fn greatest(values: &[Option<f64>]) -> Option<f64> {
    values.iter().flatten().copied().reduce(f64::max)
}

/// The sum of what is known.
pub(crate) fn sum(values: &[Option<f64>]) -> Option<f64> {
    values.iter().flatten().copied().reduce(|sum, value| sum + value)
}

/// The states of an hour, a cell each: what it was at worst, told by letter and colour.
pub(crate) fn strip(letters: &str, room: usize, paper: &Paper) -> Vec<(Tone, String)> {
    let letters = padded(&letters.chars().collect::<Vec<_>>(), room, '-');
    let kind = |one: char| letter(one).map(|name| state(name).0);
    let worst = |some: &[char]| {
        some.iter().copied().min_by_key(|one| kind(*one).map_or(u8::MAX, rank)).unwrap_or('-')
    };
    let mut pieces: Vec<(Tone, String)> = Vec::new();
    for one in columns(&letters, room, worst) {
        let (tone, shown) = match kind(one) {
            None => (Tone::Dim, if paper.unicode { '·' } else { '.' }),
            Some(Kind::Good) => (Tone::Good, if paper.unicode { '━' } else { '-' }),
            Some(kind) => (Tone::from(kind), one),
        };
        match pieces.last_mut() {
            Some((last, text)) if *last == tone => text.push(shown),
            _ => pieces.push((tone, shown.to_string())),
        }
    }
    pieces
}

const fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Bad => 0,
        Kind::Probing => 1,
        Kind::Warn => 2,
        Kind::Off => 3,
        Kind::Good => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAPER: Paper = Paper { columns: 80, unicode: true, colour: true };
    const ASCII: Paper = Paper { unicode: false, ..PAPER };

    #[test]
    fn a_spark_ends_with_the_newest_and_shows_what_isnt_known_as_nothing() {
        let values = [Some(9.0), Some(1.0), None, Some(8.0), Some(0.0)];
        assert_eq!(spark(&values, 4, &PAPER), "▁ █▁");
        assert_eq!(spark(&values, 7, &PAPER), "  █▁ ▇▁");
        assert_eq!(spark(&values, 4, &ASCII), ". #.");
        assert_eq!(spark(&[], 3, &PAPER), "   ");
    }

    #[test]
    fn bars_fill_lines_from_below() {
        let values = [Some(16.0), Some(8.0), Some(4.0), Some(0.0), None, Some(0.1)];
        assert_eq!(bars(&values, 2, &PAPER), ["█     ", "██▄  ▁"]);
    }

    #[test]
    fn buckets_are_put_together_from_the_newest_on() {
        let values: Vec<_> = (1..=7).map(|value| Some(f64::from(value))).collect();
        assert_eq!(columns(&values, 3, sum), [Some(1.0), Some(9.0), Some(18.0)]);
        assert_eq!(columns(&values, 10, greatest), values);
        assert_eq!(columns(&[] as &[Option<f64>], 10, greatest), []);
    }

    #[test]
    fn a_strip_shows_the_worst_of_a_cell() {
        assert_eq!(strip("u", 2, &PAPER).len(), 2);
        let shown = strip("--uuouud", 4, &PAPER);
        let good = (Tone::Good, "━".to_owned());
        let wanted =
            [(Tone::Dim, "·".to_owned()), good, (Tone::Bad, "o".into()), (Tone::Dim, "d".into())];
        assert_eq!(shown, wanted);
    }
}
