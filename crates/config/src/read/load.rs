//! What is let through to an upstream: what belongs together, and what is missing.

use super::Reader;
use super::places::join;
use crate::draft::{LimitDraft, LimitWord, UpstreamDraft};
use crate::keys::Word;
use crate::mistake::MistakeKind;

impl Reader<'_> {
    pub(super) fn check_load(&mut self, draft: &UpstreamDraft, prefix: &str) {
        self.check_limit("limit", draft.limit.as_ref(), prefix);
        self.check_limit("endpoint_limit", draft.endpoint_limit.as_ref(), prefix);
        if let Some(rate) = &draft.rate {
            self.check_given("rate", "calls", rate.calls, prefix);
        }
        if let Some(rate) = &draft.key_rate {
            self.check_given("key_rate", "calls", rate.each.calls, prefix);
        }
    }

    fn check_limit(&mut self, section: &str, limit: Option<&LimitDraft>, prefix: &str) {
        let Some(limit) = limit else { return };
        if limit.kind == LimitWord::Fixed {
            self.check_given(section, "max", limit.max, prefix);
        }
        for (names, kinds) in OF_KINDS {
            for name in *names {
                let path = join(section, name);
                let written = self.places.first(&[prefix], &[&path]).cloned();
                if let Some(span) = written.filter(|_| !kinds.contains(&limit.kind)) {
                    let message =
                        format!("a limit of kind \"{}\" has no `{name}`", name_of(limit.kind));
                    let kinds: Vec<String> =
                        kinds.iter().map(|kind| format!("\"{}\"", name_of(*kind))).collect();
                    let advice = format!("leave it out, or say kind = {}", kinds.join(" or "));
                    self.mistake(MistakeKind::Contradiction, &span, message, advice);
                }
            }
        }
    }

    /// A number without which a section says nothing.
    fn check_given(&mut self, section: &str, name: &str, value: Option<u32>, prefix: &str) {
        let path = join(section, name);
        // One that couldn't be read was told already.
        if value.is_some() || self.faulty.contains(&join(prefix, &path)) {
            return;
        }
        let span = self.places.first(&[prefix], &[section]).cloned().unwrap_or(0..0);
        let message = format!("`{path}` is missing");
        self.mistake(MistakeKind::Missing, &span, message, format!("say how many: {name} = 100"));
    }
}

fn name_of(word: LimitWord) -> &'static str {
    LimitWord::WORDS.iter().find(|(_, other)| *other == word).map_or("", |(name, _)| name)
}

/// The keys that not every kind of limit has.
const OF_KINDS: &[(&[&str], &[LimitWord])] = &[
    (
        &["min", "initial", "window", "minimum_samples", "backoff", "tolerated_drops"],
        &[LimitWord::Aimd, LimitWord::Gradient],
    ),
    (&["slow_after"], &[LimitWord::Aimd]),
    (&["smoothing", "queue", "long_window", "tolerance"], &[LimitWord::Gradient]),
];
