//! Upstreams: defaults, then the profile, then what is written.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Entry, Reader, entries, entry};
use crate::draft::{ProbeWord, UpstreamDraft};
use crate::keys::{self, Key, Value, Word};
use crate::mistake::MistakeKind;
use crate::profile::Profile;
use crate::settings::{Endpoint, Http2, Scheme};
use crate::text;

/// An upstream with all layers on it.
pub(super) struct ReadUpstream {
    pub(super) name: String,
    /// Its path in the file.
    pub(super) prefix: String,
    pub(super) span: Range<usize>,
    pub(super) draft: UpstreamDraft,
    pub(super) endpoints: Vec<Endpoint>,
    /// Whether nothing is wrong with it so far.
    pub(super) clean: bool,
}

impl Reader<'_> {
    pub(super) fn upstreams(&mut self, table: &DeTable<'_>) -> Vec<ReadUpstream> {
        let advice = "such as:  [upstream.orders]  endpoints = [\"https://a.example\"]";
        let (name, value) = match entry(table, "upstream") {
            None => {
                self.mistake(MistakeKind::Missing, &(0..0), "there is no upstream", advice);
                return Vec::new();
            }
            Some(found) => found,
        };
        let DeValue::Table(tables) = value.get_ref() else {
            self.mistake(
                MistakeKind::WrongType,
                &name.span(),
                "`upstream` is a table of upstreams by name",
                advice,
            );
            return Vec::new();
        };
        if tables.is_empty() {
            self.mistake(MistakeKind::Missing, &name.span(), "there is no upstream", advice);
        }
        let keys = keys::upstream();
        entries(tables).into_iter().filter_map(|entry| self.upstream(&keys, entry)).collect()
    }

    fn upstream(
        &mut self,
        keys: &[Key<UpstreamDraft>],
        (name, value): Entry<'_, '_>,
    ) -> Option<ReadUpstream> {
        let span = name.span();
        let DeValue::Table(table) = value.get_ref() else {
            let advice = format!("write [upstream.{}]", text::key(name.get_ref()));
            self.mistake(
                MistakeKind::UnknownKey,
                &span,
                "an upstream is a table with a name",
                advice,
            );
            return None;
        };
        let before = self.mistakes.len();
        let prefix = format!("upstream.{}", text::key(name.get_ref()));
        self.places.note(prefix.clone(), span.clone());
        self.check_name(name);
        let mut draft = UpstreamDraft::new();
        if let Some(profile) = self.profile(table) {
            profile.lay_over_upstream(&mut draft);
            self.places.note_profile(&prefix, profile);
        }
        self.apply(keys, table, &mut draft, &prefix);
        let endpoints = self.endpoints(table, &span, &mut draft, &prefix);
        self.check_tls(table);
        self.check_health(&draft, &endpoints, &prefix);
        self.check_load(&draft, &prefix);
        let name = name.get_ref().to_string();
        Some(ReadUpstream {
            name,
            prefix,
            span,
            draft,
            endpoints,
            clean: before == self.mistakes.len(),
        })
    }

    fn check_name(&mut self, name: &Spanned<toml::de::DeString<'_>>) {
        let text = name.get_ref();
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !(1..=64).contains(&text.len()) || !text.chars().all(letter) {
            let advice = "allowed: 1 to 64 letters, digits, `-`, `_` and `.`";
            self.mistake(
                MistakeKind::WrongForm,
                &name.span(),
                "that can't be the name of an upstream",
                advice,
            );
        }
    }

    /// The profile that a table names, if it is one.
    pub(super) fn profile(&mut self, table: &DeTable<'_>) -> Option<Profile> {
        let (_, value) = entry(table, "profile")?;
        let DeValue::String(name) = value.get_ref() else {
            let advice = text::suggest("", Profile::ALL.iter().map(|profile| profile.name()));
            self.mistake(
                MistakeKind::WrongType,
                &value.span(),
                "`profile` is the name of a profile",
                advice,
            );
            return None;
        };
        let profile = Profile::named(name);
        if profile.is_none() {
            let advice = text::suggest(name, Profile::ALL.iter().map(|profile| profile.name()));
            self.mistake(
                MistakeKind::UnknownName,
                &value.span(),
                format!("there is no profile {}", text::quoted(name)),
                advice,
            );
        }
        profile
    }

    fn check_tls(&mut self, table: &DeTable<'_>) {
        if let Some(DeValue::Table(tls)) = entry(table, "tls").map(|(_, value)| value.get_ref()) {
            self.certificate(tls, None, None);
        }
    }

    /// Each kind of check has keys of its own, and asks something of the endpoints.
    fn check_health(&mut self, draft: &UpstreamDraft, endpoints: &[Endpoint], prefix: &str) {
        let Some(health) = &draft.health else { return };
        let kind = health.word();
        let clear = endpoints.iter().find(|endpoint| endpoint.scheme == Scheme::Http);
        if kind != ProbeWord::Http && health.needs_http() {
            let names = ["health.path", "health.passes", "health.body_contains"];
            let message =
                format!("a check of kind \"{}\" asks for no path, status or body", name_of(kind));
            let advice = "leave this out, or say kind = \"http\"";
            self.contradiction(prefix, &names, message, advice);
        }
        if kind != ProbeWord::Grpc && health.service.is_some() {
            let message = "only a check of kind \"grpc\" asks about a service";
            let advice = "leave it out, or say kind = \"grpc\"";
            self.contradiction(prefix, &["health.service"], message, advice);
        }
        if kind == ProbeWord::Grpc && draft.connect.http2 == Http2::Never {
            let message = "connect.http2 is \"never\", and a gRPC check needs HTTP/2";
            let advice = "allowed with it: \"auto\" where all endpoints are https, or \"always\"";
            let names = ["connect.http2", "health.kind", "health.service"];
            self.contradiction(prefix, &names, message, advice);
            return;
        }
        let Some(clear) = clear else { return };
        if kind == ProbeWord::Tls {
            let message = format!("{} isn't https, so there is no TLS to check", clear.name);
            let advice = "say kind = \"tcp\", which checks TLS where there is TLS";
            self.contradiction(prefix, &["health.kind", "health.service"], message, advice);
        }
        if kind == ProbeWord::Grpc && draft.connect.http2 != Http2::Always {
            let message = format!(
                "a gRPC check needs HTTP/2, and {} isn't https, where it would be agreed on",
                clear.name
            );
            let advice = "say connect.http2 = \"always\"";
            self.contradiction(prefix, &["health.kind", "health.service"], message, advice);
        }
    }

    fn contradiction(
        &mut self,
        prefix: &str,
        names: &[&str],
        message: impl Into<String>,
        advice: &str,
    ) {
        let span = self.places.first(&[prefix], names).cloned().unwrap_or(0..0);
        self.mistake(MistakeKind::Contradiction, &span, message, advice);
    }

    /// Reads a text that is read beside its table.
    pub(super) fn own_text<T>(
        &mut self,
        keys: &[Key<T>],
        table: &DeTable<'_>,
        name: &str,
    ) -> Option<(String, Range<usize>)> {
        let (_, value) = entry(table, name)?;
        let key = keys::find(keys, name)?;
        match self.value(key, value) {
            Ok(Value::Text(text)) => Some((text, value.span())),
            Ok(_) => None,
            Err(wrong) => {
                self.wrong(key, value, &wrong);
                None
            }
        }
    }
}

fn name_of(word: ProbeWord) -> &'static str {
    ProbeWord::WORDS.iter().find(|(_, other)| *other == word).map_or("", |(name, _)| name)
}
