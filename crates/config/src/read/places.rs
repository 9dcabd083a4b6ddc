//! Where each key was written.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::profile::Profile;

/// The places of keys, by their path in the file: `upstream.orders.breaker.window`, `route[0].path`; and the profiles on which
/// tables are laid, by the path of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    keys: BTreeMap<String, Range<usize>>,
    profiles: BTreeMap<String, Profile>,
}

impl Places {
    pub(super) fn note(&mut self, path: String, span: Range<usize>) {
        // A dotted key writes its table several times; the first place is the one to show.
        self.keys.entry(path).or_insert(span);
    }

    pub(super) fn note_profile(&mut self, prefix: &str, profile: Profile) {
        self.profiles.insert(prefix.to_owned(), profile);
    }

    /// The profile on which the table at this path is laid.
    pub(crate) fn profile(&self, prefix: &str) -> Option<Profile> {
        self.profiles.get(prefix).copied()
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Range<usize>> {
        self.keys.get(path)
    }

    /// The place of the first of `names` that is written under one of `prefixes`, which are tried in order.
    pub(crate) fn first(&self, prefixes: &[&str], names: &[&str]) -> Option<&Range<usize>> {
        let paths =
            prefixes.iter().flat_map(|prefix| names.iter().map(move |name| join(prefix, name)));
        paths.into_iter().find_map(|path| self.keys.get(&path))
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
