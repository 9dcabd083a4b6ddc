//! The endpoints of an upstream: URLs, or tables.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Reader, entry};
use crate::draft::{EndpointDraft, UpstreamDraft};
use crate::keys::{self, Key};
use crate::mistake::MistakeKind;
use crate::settings::Endpoint;
use crate::text;

impl Reader<'_> {
    /// Those that can be read; their drafts go into the upstream's.
    pub(super) fn endpoints(
        &mut self,
        table: &DeTable<'_>,
        span: &Range<usize>,
        draft: &mut UpstreamDraft,
        prefix: &str,
    ) -> Vec<Endpoint> {
        let advice = "such as endpoints = [\"https://a.example\", \"https://b.example\"]";
        let Some((key, value)) = entry(table, "endpoints") else {
            self.mistake(MistakeKind::Missing, span, "the upstream has no endpoints", advice);
            return Vec::new();
        };
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            DeValue::String(_) => vec![value],
            _ => {
                self.mistake(
                    MistakeKind::WrongType,
                    &value.span(),
                    "`endpoints` is a list",
                    advice,
                );
                return Vec::new();
            }
        };
        if items.is_empty() || items.len() > MOST_ENDPOINTS {
            self.mistake(
                MistakeKind::OutOfRange,
                &key.span(),
                "`endpoints` is out of range",
                "allowed: 1 to 1000 of them",
            );
            return Vec::new();
        }
        let keys = keys::endpoint();
        let mut names = BTreeSet::new();
        let mut endpoints = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let prefix = format!("{prefix}.endpoints[{index}]");
            let Some((read, endpoint)) = self.endpoint(&keys, item, &prefix) else { continue };
            if names.insert(endpoint.name.clone()) {
                draft.endpoints.push(read);
                endpoints.push(endpoint);
            } else {
                let message = format!("two endpoints are called {}", text::quoted(&endpoint.name));
                let advice =
                    "write it as { url = \"...\", name = \"...\" }, with a name of its own";
                self.mistake(MistakeKind::Taken, &item.span(), message, advice);
            }
        }
        endpoints
    }

    fn endpoint(
        &mut self,
        keys: &[Key<EndpointDraft>],
        item: &Spanned<DeValue<'_>>,
        prefix: &str,
    ) -> Option<(EndpointDraft, Endpoint)> {
        let mut draft = EndpointDraft::default();
        let before = self.mistakes.len();
        self.places.note(prefix.to_owned(), item.span());
        match item.get_ref() {
            DeValue::String(url) => draft.url = url.to_string(),
            DeValue::Table(table) => {
                self.apply(keys, table, &mut draft, prefix);
                if entry(table, "url").is_none() {
                    self.mistake(
                        MistakeKind::Missing,
                        &item.span(),
                        "the endpoint has no `url`",
                        "such as url = \"https://a.example\"",
                    );
                }
            }
            _ => {
                let advice = "a URL, or a table { url, name, tier, weight }";
                self.mistake(
                    MistakeKind::WrongType,
                    &item.span(),
                    "that isn't an endpoint",
                    advice,
                );
            }
        }
        if before < self.mistakes.len() {
            return None;
        }
        match text::url(&draft.url) {
            Ok(url) => {
                let name = draft.name.clone().unwrap_or_else(|| url.host_and_port());
                let text::Url { scheme, host, port, base_path } = url;
                Some((draft, Endpoint { name, scheme, host, port, base_path }))
            }
            Err(advice) => {
                self.mistake(
                    MistakeKind::WrongForm,
                    &item.span(),
                    "that isn't the URL of an endpoint",
                    advice,
                );
                None
            }
        }
    }
}

/// As the engine says; told here with the place.
const MOST_ENDPOINTS: usize = 1000;
