//! Where each key was written.

use std::collections::BTreeMap;
use std::ops::Range;

/// The places of keys, by their path in the file: `upstream.orders.breaker.window`, `route[0].path`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(BTreeMap<String, Range<usize>>);

impl Places {
    pub(super) fn note(&mut self, path: String, span: Range<usize>) {
        // A dotted key writes its table several times; the first place is the one to show.
        self.0.entry(path).or_insert(span);
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Range<usize>> {
        self.0.get(path)
    }

    /// The place of the first of `names` that is written under one of `prefixes`, which are tried in order.
    pub(crate) fn first(&self, prefixes: &[&str], names: &[&str]) -> Option<&Range<usize>> {
        let paths =
            prefixes.iter().flat_map(|prefix| names.iter().map(move |name| join(prefix, name)));
        paths.into_iter().find_map(|path| self.0.get(&path))
    }
}

/// Two parts of a path.
pub(crate) fn join(first: &str, last: &str) -> String {
    match (first, last) {
        ("", last) => last.to_owned(),
        (first, "") => first.to_owned(),
        (first, last) => format!("{first}.{last}"),
    }
}
