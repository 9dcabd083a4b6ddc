//! Routes: which requests, to which upstream, and what is said about their calls.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::Reader;
use super::upstream::ReadUpstream;
use crate::draft::{CallDraft, RouteDraft};
use crate::keys::{self, Key};
use crate::mistake::MistakeKind;
use crate::settings::Matcher;
use crate::text;

/// A route with all layers on it.
pub(super) struct ReadRoute {
    /// Its path in the file; that of its upstream when it isn't written.
    pub(super) prefix: String,
    pub(super) span: Range<usize>,
    pub(super) draft: RouteDraft,
    pub(super) matcher: Matcher,
    /// `None` when it names none that exists.
    pub(super) upstream: Option<usize>,
    /// Whether nothing is wrong with it so far.
    pub(super) clean: bool,
}

impl Reader<'_> {
    pub(super) fn routes(
        &mut self,
        table: &DeTable<'_>,
        upstreams: &[ReadUpstream],
    ) -> Vec<ReadRoute> {
        let tables = self.tables(table, "route");
        match (tables.as_slice(), upstreams) {
            ([], [only]) => vec![everything_to(only)],
            ([], [_, ..]) if is_list_or_none(table) => {
                let message = "there are several upstreams and no route";
                let advice =
                    "say which requests go where:  [[route]]  path = \"/v1\"  upstream = \"...\"";
                let span = upstreams.get(1).map_or(0..0, |upstream| upstream.span.clone());
                self.mistake(MistakeKind::Missing, &span, message, advice);
                Vec::new()
            }
            ([.., (_, last)], _) if tables.len() > MOST_ROUTES => {
                let advice = format!("allowed: at most {MOST_ROUTES}");
                self.mistake(MistakeKind::OutOfRange, last, "there are too many routes", advice);
                Vec::new()
            }
            _ => {
                let keys = keys::route();
                let all = tables.into_iter().enumerate();
                all.map(|(index, (table, span))| self.route(&keys, index, table, span, upstreams))
                    .collect()
            }
        }
    }

    fn route(
        &mut self,
        keys: &[Key<RouteDraft>],
        index: usize,
        table: &DeTable<'_>,
        span: Range<usize>,
        upstreams: &[ReadUpstream],
    ) -> ReadRoute {
        let before = self.mistakes.len();
        let prefix = format!("route[{index}]");
        self.places.note(prefix.clone(), span.clone());
        let upstream = self.upstream_of(keys, table, &span, upstreams);
        let found = upstream.and_then(|index| upstreams.get(index));
        let mut call =
            found.map_or_else(CallDraft::default, |upstream| upstream.draft.call.clone());
        if let Some(profile) = self.profile(table) {
            profile.lay_over_call(&mut call);
            self.places.note_profile(&prefix, profile);
        }
        let mut draft = RouteDraft::new(call);
        self.apply(keys, table, &mut draft, &prefix);
        let matcher = Matcher {
            hosts: draft.hosts.clone(),
            path: draft.path.as_deref().and_then(|path| text::path(path).ok()).flatten(),
            methods: draft.methods.clone(),
            query: self.matches(table, "query", |name| Ok(name.to_owned())),
            headers: self.matches(table, "headers", text::field_name),
        };
        let clean = before == self.mistakes.len() && found.is_some_and(|upstream| upstream.clean);
        ReadRoute { prefix, span, draft, matcher, upstream, clean }
    }

    fn upstream_of(
        &mut self,
        keys: &[Key<RouteDraft>],
        table: &DeTable<'_>,
        span: &Range<usize>,
        upstreams: &[ReadUpstream],
    ) -> Option<usize> {
        let names = || upstreams.iter().map(|upstream| upstream.name.as_str());
        if super::entry(table, "upstream").is_none() {
            if upstreams.len() == 1 {
                return Some(0);
            }
            // Without any upstream that is told already.
            if !upstreams.is_empty() {
                self.mistake(
                    MistakeKind::Missing,
                    span,
                    "the route names no `upstream`",
                    text::suggest("", names()),
                );
            }
            return None;
        }
        let (name, value) = self.own_text(keys, table, "upstream")?;
        let found = names().position(|other| other == name);
        if found.is_none() {
            let message = format!("there is no upstream {}", text::quoted(&name));
            self.mistake(MistakeKind::UnknownName, &value, message, text::suggest(&name, names()));
        }
        found
    }
}

/// Whether `route` isn't there, or is a list as it should be.
fn is_list_or_none(table: &DeTable<'_>) -> bool {
    super::entry(table, "route")
        .is_none_or(|(_, value)| matches!(value.get_ref(), DeValue::Array(_)))
}

/// The route that is meant when there is one upstream and no route.
fn everything_to(upstream: &ReadUpstream) -> ReadRoute {
    ReadRoute {
        prefix: upstream.prefix.clone(),
        span: upstream.span.clone(),
        draft: RouteDraft::new(upstream.draft.call.clone()),
        matcher: Matcher::default(),
        upstream: Some(0),
        clean: upstream.clean,
    }
}

/// Each is compared with all before it: ten thousand take a second or two.
const MOST_ROUTES: usize = 10_000;
