//! Drafts to settings: values that nobody wrote give way, names are given, and the engine's rules are asked.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mainstay_core::check::Check;
use mainstay_core::upstream::{EndpointSettings, ScopeId};
use mainstay_core::{CallPolicy, Checked, Problem};

use super::Reader;
use super::cover::Reach;
use super::places::join;
use super::route::ReadRoute;
use super::upstream::ReadUpstream;
use crate::draft::{
    CallDraft, KeyRateDraft, LimitDraft, RateDraft, RouteDraft, ScopeWord, TopDraft,
};
use crate::keys::{self, Key, Kind, find};
use crate::mistake::MistakeKind;
use crate::settings::{ConnectSettings, PathMatch, Route, Upstream};
use crate::text::{quoted, show_length};

/// What is made of all drafts.
pub(super) struct Built {
    pub(super) upstreams: Vec<Upstream>,
    pub(super) routes: Vec<Route>,
    pub(super) callbacks: Vec<Route>,
}

impl Reader<'_> {
    /// `None` when something is wrong.
    pub(super) fn build(
        &mut self,
        top: &TopDraft,
        mut upstreams: Vec<ReadUpstream>,
        routes: Vec<ReadRoute>,
    ) -> Option<Built> {
        self.check_reached(&routes);
        self.check_store(top);
        self.check_callbacks(top, &routes, &upstreams);
        let names = self.names(&routes, &upstreams);
        let mut built = Vec::new();
        for (mut route, name) in routes.into_iter().zip(names) {
            let upstream = route.upstream.and_then(|index| upstreams.get_mut(index));
            let Some(upstream) = upstream else { continue };
            let scope = self.scope(&route, &name, upstream);
            let prefixes = [route.prefix.as_str(), upstream.prefix.as_str()];
            self.give_way_call(&mut route.draft.call, &prefixes);
            self.check_factor(&route.draft.call, &prefixes);
            self.check_version(&route.draft.call, &prefixes);
            self.check_fallback(&route.draft.call, &prefixes);
            self.check_events(&mut route.draft, &prefixes);
            self.check_schedule(&mut route.draft, &prefixes);
            let policy = route.draft.call.policy(scope);
            let policy = self.checked(policy, keys::route, &mut route.draft, &prefixes);
            if let Some(policy) = policy {
                built.push(finished(route, name, policy));
            }
        }
        let callbacks = self.callbacks(top, &built, &upstreams);
        let upstreams =
            upstreams.into_iter().filter_map(|upstream| self.upstream_settings(upstream));
        let upstreams: Vec<Upstream> = upstreams.collect();
        self.mistakes.is_empty().then_some(Built { upstreams, routes: built, callbacks })
    }

    /// Every route must be reached by some request.
    fn check_reached(&mut self, routes: &[ReadRoute]) {
        let clean: Vec<(&ReadRoute, Reach<'_>)> = routes
            .iter()
            .filter(|route| route.clean)
            .map(|route| (route, Reach::of(&route.matcher)))
            .collect();
        for (index, (route, later)) in clean.iter().enumerate() {
            let Some((first, earlier)) =
                clean.iter().take(index).find(|(_, earlier)| earlier.covers(later))
            else {
                continue;
            };
            let line = self.source.line(first.span.start);
            let remedy = if later.covers(earlier) {
                "take one of them out"
            } else {
                "put this one before it"
            };
            let advice = format!("the route in line {line} takes all of its requests: {remedy}");
            self.mistake(
                MistakeKind::Unreachable,
                &route.span,
                "no request reaches this route",
                advice,
            );
        }
    }

    /// The names of all routes: given, or upstream and path.
    fn names(&mut self, routes: &[ReadRoute], upstreams: &[ReadUpstream]) -> Vec<String> {
        let mut taken = BTreeSet::new();
        for route in routes {
            if let Some(name) = &route.draft.name
                && !taken.insert(name.clone())
            {
                let span =
                    self.places.first(&[&route.prefix], &["name"]).unwrap_or(&route.span).clone();
                self.mistake(
                    MistakeKind::Taken,
                    &span,
                    "two routes have this name",
                    "each name once",
                );
            }
        }
        let mut counts = BTreeMap::new();
        let named = routes.iter().map(|route| {
            let upstream = route.upstream.and_then(|index| upstreams.get(index));
            let upstream = upstream.map_or("route", |upstream| upstream.name.as_str());
            route
                .draft
                .name
                .clone()
                .unwrap_or_else(|| free_name(upstream, route, &taken, &mut counts))
        });
        named.collect()
    }

    fn scope(&mut self, route: &ReadRoute, name: &str, upstream: &mut ReadUpstream) -> ScopeId {
        if route.draft.breaker == ScopeWord::Endpoint {
            return ScopeId::default();
        }
        let scopes = &mut upstream.draft.policy.scopes;
        if scopes.len() >= MOST_SCOPES {
            let span =
                self.places.first(&[&route.prefix], &["breaker"]).unwrap_or(&route.span).clone();
            let message = "too many routes of this upstream have breakers of their own";
            self.mistake(
                MistakeKind::OutOfRange,
                &span,
                message,
                format!("allowed: {MOST_SCOPES}"),
            );
            return ScopeId::default();
        }
        scopes.push(name.to_owned());
        // At most 64, so that it fits.
        u8::try_from(scopes.len()).map(ScopeId).unwrap_or_default()
    }

    fn upstream_settings(&mut self, upstream: ReadUpstream) -> Option<Upstream> {
        let ReadUpstream { name, prefix, draft: mut all, endpoints, .. } = upstream;
        self.give_way_upstream(&mut all, &prefix);
        self.check_connect(&all.connect, &prefix);
        let mut policy = all.policy.clone();
        let drafts = all.endpoints.iter().zip(&endpoints);
        policy.endpoints = drafts
            .map(|(draft, endpoint)| EndpointSettings {
                name: endpoint.name.clone(),
                tier: draft.tier,
                weight: draft.weight,
            })
            .collect();
        let load = &mut policy.load;
        load.limit = all.limit.as_ref().map(LimitDraft::settings);
        load.endpoint_limit = all.endpoint_limit.as_ref().map(LimitDraft::settings);
        // One without a number was told as such, and there are no settings then.
        load.rate = all.rate.as_ref().and_then(RateDraft::settings);
        load.keyed_rate = all.key_rate.as_ref().and_then(KeyRateDraft::settings);
        policy.health = all.health.as_ref().map(|health| health.rhythm.clone());
        let probe = all.health.as_ref().map(|health| health.probe());
        let connect = ConnectSettings { tls: all.tls.settings(), ..all.connect.clone() };
        let policy = self.checked(policy, keys::upstream, &mut all, &[&prefix])?;
        Some(Upstream { name, policy, endpoints, connect, probe })
    }

    /// Asks the engine's rules, and tells what they say at the line of the key.
    pub(super) fn checked<S: Check, T>(
        &mut self,
        settings: S,
        keys: fn() -> Vec<Key<T>>,
        draft: &mut T,
        prefixes: &[&str],
    ) -> Option<Checked<S>> {
        match Checked::new(settings) {
            Ok(checked) => Some(checked),
            Err(problems) => {
                let keys = keys();
                for problem in problems {
                    self.problem(&problem, &keys, draft, prefixes);
                }
                None
            }
        }
    }

    fn problem<T>(&mut self, problem: &Problem, keys: &[Key<T>], draft: &mut T, prefixes: &[&str]) {
        let path = &*key_path(&problem.place);
        let section = path.rsplit_once('.').map_or("", |(section, _)| section);
        // A rule may name keys beside its own: `1ms to total_timeout`.
        let is_value =
            |path: &String| find(keys, path).is_some_and(|key| key.kind != Kind::Section);
        let words = problem.allowed.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let beside: Vec<String> = words
            .filter_map(|word| [join(section, word), word.to_owned()].into_iter().find(is_value))
            .collect();
        let misread =
            |path: &str| prefixes.iter().any(|prefix| self.faulty.contains(&join(prefix, path)));
        // Endpoints are checked as they are read; here some of them may be missing.
        if path.starts_with("endpoints") || misread(path) || beside.iter().any(|path| misread(path))
        {
            debug_assert!(!self.mistakes.is_empty(), "{problem} should have been told");
            return;
        }
        let mut candidates = vec![path];
        candidates.extend(beside.iter().map(String::as_str));
        let span = self
            .places
            .first(prefixes, &candidates)
            .or_else(|| self.places.first(prefixes, &[section, ""]));
        let span = span.cloned().unwrap_or(0..0);
        let shown = |path: &str, draft: &mut T| {
            let key = find(keys, path)?;
            key.kind.show(&key.field.as_ref()?.get(draft))
        };
        let value = shown(path, draft).unwrap_or_else(|| problem.value.clone());
        let others: Vec<String> = beside
            .iter()
            .filter_map(|path| Some(format!("{path} = {}", shown(path, draft)?)))
            .collect();
        let advice = match others.as_slice() {
            [] => format!("allowed: {}", problem.allowed),
            others => format!("allowed: {} ({})", problem.allowed, others.join(", ")),
        };
        let kind =
            if beside.is_empty() { MistakeKind::OutOfRange } else { MistakeKind::Contradiction };
        self.mistake(kind, &span, format!("`{path}` is {value}"), advice);
    }

    /// No step of a connect takes longer than the whole, and the least TTL isn't above the greatest.
    fn check_connect(&mut self, connect: &ConnectSettings, prefix: &str) {
        let (whole, dns) = (connect.connect_timeout, &connect.dns);
        for (path, value, most, limit) in [
            ("connect.resolve_timeout", connect.resolve_timeout, "timeout", whole),
            ("connect.tcp_timeout", connect.tcp_timeout, "timeout", whole),
            ("connect.tls_timeout", connect.tls_timeout, "timeout", whole),
            ("connect.dns.min_ttl", dns.min_ttl, "max_ttl", dns.max_ttl),
        ] {
            if value > limit {
                let span = self.places.first(&[prefix], &[path]).cloned().unwrap_or(0..0);
                let message = format!("`{path}` is {}", quoted(&show_length(value)));
                let advice =
                    format!("allowed: at most {most} ({most} = {})", quoted(&show_length(limit)));
                self.mistake(MistakeKind::Contradiction, &span, message, advice);
            }
        }
    }

    /// A fallback has one body, or none where its status has none.
    fn check_fallback(&mut self, call: &CallDraft, prefixes: &[&str]) {
        let Some(fallback) = &call.fallback else { return };
        let has_body = fallback.body.is_some() || fallback.file.is_some();
        let (message, advice) = match fallback.status {
            204 | 205 | 304 if has_body => (
                format!("an answer of status {} has no body", fallback.status),
                "leave out `fallback.body` and `fallback.file`, or give another status",
            ),
            _ if fallback.body.is_some() && fallback.file.is_some() => (
                "the fallback has two bodies".to_owned(),
                "give `fallback.body` or `fallback.file`",
            ),
            _ => return,
        };
        let names = ["fallback.file", "fallback.body", "fallback.status"];
        let span = self.places.first(prefixes, &names).cloned().unwrap_or(0..0);
        self.mistake(MistakeKind::Contradiction, &span, message, advice);
    }

    /// Event streams have rules of their own.
    fn check_events(&mut self, draft: &mut RouteDraft, prefixes: &[&str]) {
        let Err(problems) = Checked::new(draft.call.heal.events.settings()) else { return };
        let keys = keys::route();
        for problem in problems {
            let place = format!("heal.events.{}", problem.place);
            self.problem(&Problem { place, ..problem }, &keys, draft, prefixes);
        }
    }

    /// tus has one version.
    fn check_version(&mut self, call: &CallDraft, prefixes: &[&str]) {
        let written = self.places.first(prefixes, &["resumable_upload.interop_version"]).cloned();
        let is_tus = call
            .resumable_upload
            .as_ref()
            .is_some_and(|upload| upload.protocol == crate::draft::UploadWord::Tus);
        if let (Some(span), true) = (written, is_tus) {
            let message = "tus has no interop version";
            let advice = "leave it out, or say protocol = \"ietf\"";
            self.mistake(MistakeKind::Contradiction, &span, message, advice);
        }
    }

    /// So have the outbox's calls.
    pub(super) fn check_schedule(&mut self, draft: &mut RouteDraft, prefixes: &[&str]) {
        let Some(outbox) = &draft.call.outbox else { return };
        let Err(problems) = Checked::new(outbox.schedule.clone()) else { return };
        let keys = keys::route();
        for problem in problems {
            let place = format!("outbox.{}", problem.place);
            self.problem(&Problem { place, ..problem }, &keys, draft, prefixes);
        }
    }

    /// A factor belongs to exponential growth.
    fn check_factor(&mut self, call: &CallDraft, prefixes: &[&str]) {
        use crate::draft::GrowthWord::Exponential;
        let written = self.places.first(prefixes, &["retry.backoff.factor"]).cloned();
        if let (Some(span), true) = (written, call.retry.backoff.growth != Exponential) {
            let message = "only exponential growth has a factor";
            self.mistake(
                MistakeKind::Contradiction,
                &span,
                message,
                "leave it out, or say growth = \"exponential\"",
            );
        }
    }
}

pub(super) fn finished(route: ReadRoute, name: String, policy: Checked<CallPolicy>) -> Route {
    let RouteDraft { call, strip_prefix, .. } = route.draft;
    Route {
        name,
        matcher: route.matcher,
        upstream: route.upstream.unwrap_or_default(),
        policy: Arc::new(policy),
        replay_bytes: call.replay,
        spill: call.spill,
        body_idle_timeout: call.body_idle_timeout,
        host: call.host_rewrite(),
        forwarded: call.forwarded,
        strip_prefix,
        idempotency_headers: call.idempotency_headers,
        hash_header: call.hash_header,
        fields: call.fields,
        stale: call.stale,
        fallback: call.fallback,
        outbox: call.outbox,
        websocket: call.websocket,
    }
}

/// The key by which a place in the engine's settings is filled.
fn key_path(place: &str) -> Cow<'_, str> {
    let path = place.strip_suffix("_percent").unwrap_or(place);
    let path = path.strip_prefix("load.").unwrap_or(path);
    match path {
        "rate.rate" => "rate.calls".into(),
        "keyed_rate.each.rate" => "key_rate.calls".into(),
        "heal.events.block_bytes" => "heal.events.block".into(),
        "heal.events.terminal.data" => "heal.events.terminal_data".into(),
        "heal.events.terminal.events" => "heal.events.terminal_events".into(),
        "heal.hold.bytes" => "heal.hold".into(),
        "heal.hold.time" => "heal.hold_for".into(),
        "heal.floor.bytes_a_second" => "heal.min_rate".into(),
        "heal.floor.window" => "heal.min_rate_window".into(),
        path => match path.strip_prefix("keyed_rate.") {
            Some(path) => format!("key_rate.{}", path.strip_prefix("each.").unwrap_or(path)).into(),
            None => path.into(),
        },
    }
}

/// A name made of upstream and path, with a number when it isn't the first. `taken` are the names that are given, `counts`
/// how many have been made of each stem.
fn free_name(
    upstream: &str,
    route: &ReadRoute,
    taken: &BTreeSet<String>,
    counts: &mut BTreeMap<String, u64>,
) -> String {
    let path = match &route.matcher.path {
        None => String::new(),
        Some(PathMatch::Prefix(prefix)) => format!(":{prefix}"),
        Some(PathMatch::Pattern(segments)) => format!(":/{}", segments.join("/")),
    };
    let stem: String = format!("{upstream}{path}").chars().take(LONGEST_STEM).collect();
    let count = counts.entry(stem.clone()).or_default();
    loop {
        *count += 1;
        let name = if *count == 1 { stem.clone() } else { format!("{stem} #{count}") };
        if !taken.contains(&name) {
            return name;
        }
    }
}

/// As the engine says; told here with the place.
const MOST_SCOPES: usize = 64;

/// Leaves room for a number within the 100 characters of a name.
const LONGEST_STEM: usize = 80;
