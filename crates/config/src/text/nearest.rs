//! What a misspelt word was meant to be.

/// The candidate that is nearest to `word`, if one is near enough to be meant.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    // Nobody's slip is that long, and the distance costs the product of the lengths.
    if word.chars().count() > LONGEST_WORD {
        return None;
    }
    let plain = plain(word);
    let near = candidates
        .into_iter()
        .map(|candidate| (distance(&plain, &self::plain(candidate)), candidate));
    let (distance, candidate) = near.min_by_key(|(distance, _)| *distance)?;
    // A third of the letters may differ: `windw` for `window`, but not `pool` for `path`.
    (distance <= plain.len().max(candidate.len()) / 3).then_some(candidate)
}

/// "did you mean ...?", or the whole list when nothing is near.
pub(crate) fn suggest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str> + Clone,
) -> String {
    match nearest(word, candidates.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => {
            let list: Vec<String> =
                candidates.into_iter().map(|word| format!("`{word}`")).collect();
            match list.as_slice() {
                [] => "there is nothing to choose from".into(),
                [one] => format!("it can only be {one}"),
                list => format!("allowed: {}", list.join(", ")),
            }
        }
    }
}

/// Without what people confuse: case and separators.
fn plain(word: &str) -> Vec<char> {
    word.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Letters to insert, delete, replace or swap with their neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = last[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

const LONGEST_WORD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(word: &str, expected: Option<&str>) {
        let candidates = ["max_attempts", "window", "pool", "path", "open_for", "base"];
        assert_eq!(nearest(word, candidates), expected, "{word}");
    }

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        check("max_atempts", Some("max_attempts"));
        check("maxAttempts", Some("max_attempts"));
        check("widnow", Some("window"));
        check("open-for", Some("open_for"));
        check("patience", None);
        check("", None);
        check(&"x".repeat(100_000), None);
    }
}
