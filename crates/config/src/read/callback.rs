//! Who is told of stored writes: the upstream is there, signatures can be made, and there is a way to it.

use mainstay_core::upstream::ScopeId;

use super::Reader;
use super::build::finished;
use super::route::ReadRoute;
use super::upstream::ReadUpstream;
use crate::draft::{RouteDraft, TopDraft};
use crate::keys;
use crate::mistake::MistakeKind;
use crate::settings::{Callback, Matcher, Route};
use crate::text::{quoted, suggest};

impl Reader<'_> {
    /// Tells what is wrong with the callbacks of all routes.
    pub(super) fn check_callbacks(
        &mut self,
        top: &TopDraft,
        routes: &[ReadRoute],
        upstreams: &[ReadUpstream],
    ) {
        let secrets = &top.outbox;
        let (file, env) = (&secrets.callback_secrets_file, &secrets.callback_secrets_env);
        if file.is_some() && env.is_some() {
            let place = self.places.first(&["outbox"], &["callback_secrets_env"]);
            let span = place.cloned().unwrap_or(0..0);
            let message = "the secrets of callbacks are given twice";
            let advice = "one of `callback_secrets_file` and `callback_secrets_env`";
            self.mistake(MistakeKind::Contradiction, &span, message, advice);
        }
        if let Some(webhook) = &top.incidents.webhook {
            let names = || upstreams.iter().map(|upstream| upstream.name.as_str());
            let place = self.places.first(&["incidents"], &WEBHOOK);
            let span = place.cloned().unwrap_or(0..0);
            let name = webhook.upstream.as_str();
            if name.is_empty() {
                let message = "`incidents.webhook` names no `upstream`";
                self.mistake(MistakeKind::Missing, &span, message, suggest(name, names()));
            } else if !names().any(|known| known == name) {
                let message = format!("there is no upstream {}", quoted(name));
                self.mistake(MistakeKind::UnknownName, &span, message, suggest(name, names()));
            }
            if file.is_none() && env.is_none() {
                let message = "incidents are signed, and there is no secret to sign with";
                let advice = "say `callback_secrets_file` or `callback_secrets_env` in `[outbox]`";
                self.mistake(MistakeKind::Missing, &span, message, advice);
            }
        }
        for route in routes {
            let Some(callback) = wanted(route) else { continue };
            let upstream = route.upstream.and_then(|index| upstreams.get(index));
            let prefixes =
                [route.prefix.as_str(), upstream.map_or("", |upstream| upstream.prefix.as_str())];
            self.check_callback(callback, &prefixes, upstreams);
            if file.is_none() && env.is_none() {
                let place = self.places.first(&prefixes, &CALLBACK);
                let span = place.cloned().unwrap_or(0..0);
                let message = "callbacks are signed, and there is no secret to sign with";
                let advice = "say `callback_secrets_file` or `callback_secrets_env` in `[outbox]`";
                self.mistake(MistakeKind::Missing, &span, message, advice);
            }
        }
    }

    fn check_callback(
        &mut self,
        callback: &Callback,
        prefixes: &[&str],
        upstreams: &[ReadUpstream],
    ) {
        let names = || upstreams.iter().map(|upstream| upstream.name.as_str());
        let name = callback.upstream.as_str();
        if names().any(|known| known == name) {
            return;
        }
        let (kind, message) = if name.is_empty() {
            (MistakeKind::Missing, "`outbox.callback` names no `upstream`".to_owned())
        } else {
            (MistakeKind::UnknownName, format!("there is no upstream {}", quoted(name)))
        };
        let span = self.places.first(prefixes, &CALLBACK).cloned().unwrap_or(0..0);
        self.mistake(kind, &span, message, suggest(name, names()));
    }

    /// A way to each upstream that is told of something.
    pub(super) fn callbacks(
        &mut self,
        top: &TopDraft,
        routes: &[Route],
        upstreams: &[ReadUpstream],
    ) -> Vec<Route> {
        let callbacks = routes.iter().filter_map(|route| route.outbox.as_ref()?.callback.as_ref());
        let callbacks = callbacks.chain(&top.incidents.webhook);
        let named: Vec<&str> = callbacks.map(|callback| callback.upstream.as_str()).collect();
        let told = upstreams.iter().enumerate().filter(|(_, it)| named.contains(&it.name.as_str()));
        told.filter_map(|(index, upstream)| self.way_to(index, upstream)).collect()
    }

    /// A route that no request takes, by what the upstream says of its calls.
    fn way_to(&mut self, index: usize, upstream: &ReadUpstream) -> Option<Route> {
        let prefixes = [upstream.prefix.as_str()];
        let mut draft = RouteDraft::new(upstream.draft.call.clone());
        self.give_way_call(&mut draft.call, &prefixes);
        self.check_schedule(&mut draft, &prefixes);
        let policy = draft.call.policy(ScopeId::default());
        let policy = self.checked(policy, keys::route, &mut draft, &prefixes)?;
        let route = ReadRoute {
            prefix: upstream.prefix.clone(),
            span: upstream.span.clone(),
            draft,
            matcher: Matcher::default(),
            upstream: Some(index),
            clean: upstream.clean,
        };
        Some(finished(route, format!("callback to {}", upstream.name), policy))
    }
}

/// What a route says of callbacks.
fn wanted(route: &ReadRoute) -> Option<&Callback> {
    route.draft.call.outbox.as_ref()?.callback.as_ref()
}

/// Where the webhook of incidents is written, below its table.
const WEBHOOK: [&str; 3] = ["webhook.upstream", "webhook", "webhook.path"];

/// Where it may be written.
const CALLBACK: [&str; 3] = ["outbox.callback.upstream", "outbox.callback", "outbox.callback.path"];
