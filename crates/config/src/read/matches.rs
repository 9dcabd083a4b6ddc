//! `query` and `headers` of a route: what must be there.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::{Reader, entries, entry};
use crate::mistake::MistakeKind;
use crate::settings::NameMatch;

impl Reader<'_> {
    /// The matches in the table `name`, sorted; `keep` gives a name the form in which it is kept.
    pub(super) fn matches(
        &mut self,
        table: &DeTable<'_>,
        name: &str,
        keep: fn(&str) -> Result<String, String>,
    ) -> Vec<NameMatch> {
        let Some((_, value)) = entry(table, name) else { return Vec::new() };
        let DeValue::Table(table) = value.get_ref() else {
            let advice = format!("write {name} = {{ name = \"value\", other = true }}");
            self.mistake(
                MistakeKind::WrongType,
                &value.span(),
                format!("`{name}` is a table"),
                advice,
            );
            return Vec::new();
        };
        let mut seen = BTreeSet::new();
        let mut matches = Vec::new();
        for (key, value) in entries(table) {
            let kept = match keep(key.get_ref()) {
                Ok(kept) => kept,
                Err(advice) => {
                    self.mistake(
                        MistakeKind::WrongForm,
                        &key.span(),
                        format!("wrong name in `{name}`"),
                        advice,
                    );
                    continue;
                }
            };
            let wanted = match value.get_ref() {
                DeValue::String(text) => Some(text.to_string()),
                DeValue::Boolean(true) => None,
                _ => {
                    let advice = "a text that it must be equal to, or true for any";
                    self.mistake(
                        MistakeKind::WrongType,
                        &value.span(),
                        format!("wrong value in `{name}`"),
                        advice,
                    );
                    continue;
                }
            };
            if seen.insert(kept.clone()) {
                matches.push(NameMatch { name: kept, value: wanted });
            } else {
                let message = format!("`{kept}` is there twice");
                self.mistake(
                    MistakeKind::Taken,
                    &key.span(),
                    message,
                    "upper and lower case are the same",
                );
            }
        }
        matches.sort_by(|a, b| a.name.cmp(&b.name));
        matches
    }
}
