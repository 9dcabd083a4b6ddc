//! Which layer a value comes from: built in, a profile, the upstream, the route.
//!
//! The layers were laid over each other when the file was read, and nothing is remembered of that but which keys were written
//! where. So it is found out again: the last layer that says something about a key is where its value comes from, and a value
//! that no layer says gave way to another.

use crate::draft::{CallDraft, RouteDraft, UpstreamDraft};
use crate::keys::{self, Key, Kind, Value};
use crate::profile::Profile;
use crate::read::{Places, join};
use crate::settings::{Route, Settings};
use crate::source::{Place, Source};
use crate::text;

/// One effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The key, as in the table of the upstream or the route: `retry.max_attempts`.
    pub key: String,
    /// The value, as it is written in a file.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Where it was written, if it was.
    pub place: Option<Place>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is built in.
    Default,
    /// The profile of the upstream, or of the route, says so.
    Profile(Profile),
    /// It is written at the upstream.
    Upstream,
    /// It is written at the route.
    Route,
    /// Nobody wrote it, and what is built in or the profile's gave way to a value that somebody wrote.
    GaveWay,
}

impl Origin {
    /// A stable name for documents.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Profile(_) => "profile",
            Self::Upstream => "upstream",
            Self::Route => "route",
            Self::GaveWay => "gave-way",
        }
    }
}

pub(crate) fn effective(
    settings: &Settings,
    source: &Source,
    places: &Places,
    index: usize,
) -> Vec<Effective> {
    let found = settings.routes.get(index);
    let found = found.and_then(|route| Some((route, settings.upstreams.get(route.upstream)?)));
    let Some((route, upstream)) = found else { return Vec::new() };
    let prefix = format!("upstream.{}", text::key(&upstream.name));
    // Without a written route the only one is that of the upstream.
    let own = format!("route[{index}]");
    let own = places.get(&own).is_some().then_some(own);

    let mut base = UpstreamDraft::new();
    let profile = places.profile(&prefix);
    let lower = profile.map(|profile| (profile, profile.lay_over_upstream(&mut base)));
    let mut base_route = RouteDraft::new(base.call.clone());
    let profile = own.as_deref().and_then(|own| places.profile(own));
    let upper = profile.map(|profile| (profile, profile.lay_over_call(&mut base_route.call)));

    let layers = Layers { source, places, own: own.as_deref(), prefix: &prefix, upper, lower };
    let mut all = layers.of_calls(&mut base_route, route);
    all.extend(layers.of_upstream(&mut base, &mut UpstreamDraft::of(upstream)));
    all
}

/// What was said, from the last layer to the first.
struct Layers<'l> {
    source: &'l Source,
    places: &'l Places,
    /// The path of the route, if it is written.
    own: Option<&'l str>,
    /// The path of the upstream.
    prefix: &'l str,
    /// The route's profile, and what it says.
    upper: Option<(Profile, Places)>,
    /// The upstream's.
    lower: Option<(Profile, Places)>,
}

impl Layers<'_> {
    fn of_calls(&self, base: &mut RouteDraft, route: &Route) -> Vec<Effective> {
        let calls = keys::call();
        let keys = keys::route();
        let mut draft = RouteDraft::of(route);
        switch_on(&keys, base, &mut draft);
        let wanted = |key: &&Key<RouteDraft>| {
            keys::find(&calls, &key.path).is_some() || OF_ROUTES.contains(&key.path.as_str())
        };
        let values = keys.iter().filter(wanted).filter_map(|key| {
            // `breaker` is another matter at the upstream.
            let is_inherited = keys::find(&calls, &key.path).is_some();
            self.value(&keys, key, base, &mut draft, is_inherited, self.own)
        });
        values.collect()
    }

    fn of_upstream(&self, base: &mut UpstreamDraft, draft: &mut UpstreamDraft) -> Vec<Effective> {
        let calls: Vec<Key<CallDraft>> = keys::call();
        let keys = keys::upstream();
        switch_on(&keys, base, draft);
        let own = keys.iter().filter(|key| keys::find(&calls, &key.path).is_none());
        own.filter_map(|key| self.value(&keys, key, base, draft, true, None)).collect()
    }

    /// `base`: the draft as it was before anything that is written was laid on it.
    fn value<T>(
        &self,
        keys: &[Key<T>],
        key: &Key<T>,
        base: &mut T,
        draft: &mut T,
        is_inherited: bool,
        own: Option<&str>,
    ) -> Option<Effective> {
        let section = keys::find(keys, key.section()).and_then(|head| head.field.as_ref());
        if section.is_some_and(|section| section.get(draft) == Value::Off) {
            return None;
        }
        let field = key.field.as_ref()?;
        let value = field.get(draft);
        let shown = match (&value, &key.kind) {
            (Value::Off, _) if key.off => "false".to_owned(),
            (_, Kind::Section) => return None,
            (value, kind) => kind.show(value)?,
        };
        let written = |prefix: &str| self.places.get(&join(prefix, &key.path));
        let said = |layer: &Option<(Profile, Places)>| {
            let (profile, said) = layer.as_ref()?;
            said.get(&key.path).map(|_| Origin::Profile(*profile))
        };
        let at_upstream = || written(self.prefix).filter(|_| is_inherited);
        let (origin, span) = if let Some(span) = own.and_then(written) {
            (Origin::Route, Some(span))
        } else if let Some(profile) = own.and_then(|_| said(&self.upper)) {
            (profile, None)
        } else if let Some(span) = at_upstream() {
            (Origin::Upstream, Some(span))
        } else {
            let profile = said(&self.lower).filter(|_| is_inherited);
            (profile.unwrap_or(Origin::Default), None)
        };
        let before = field.get(base);
        let gave_way = span.is_none() && before != Value::Off && before != value;
        let place = span.map(|span| self.source.place(span));
        let origin = if gave_way { Origin::GaveWay } else { origin };
        Some(Effective { key: key.path.clone(), value: shown, origin, place })
    }
}

/// Where a part is off by default or profile and is written, it begins with what is built in.
fn switch_on<T>(keys: &[Key<T>], base: &mut T, draft: &mut T) {
    for key in keys.iter().filter(|key| key.off) {
        if let (Kind::Section, Some(field)) = (&key.kind, &key.field)
            && field.get(draft) != Value::Off
            && field.get(base) == Value::Off
        {
            field.set(base, Value::Flag(true));
        }
    }
}

/// Beside what concerns calls: what only a route has, and isn't a condition or a name.
const OF_ROUTES: [&str; 2] = ["breaker", "strip_prefix"];

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
[upstream.a]
endpoints = ["https://a.example", "https://b.example"]
profile = "payments"
retry.backoff.base = "20ms"
ejection = false
[upstream.a.breaker]
window = "20s"
[upstream.b]
endpoints = ["https://c.example"]
[[route]]
path = "/v1"
upstream = "a"
retry.max_attempts = 2
total_timeout = "1s"
breaker = "route"
[[route]]
path = "/v2"
upstream = "a"
profile = "read-api"
[[route]]
upstream = "b"
"#;

    #[track_caller]
    fn check(route: usize, key: &str, value: &str, origin: Origin, line: Option<usize>) {
        let loaded = crate::parse(CONFIG, "test").unwrap();
        let all = loaded.effective(route);
        let of_key: Vec<_> = all.iter().filter(|one| one.key == key).collect();
        let [found, ..] = of_key.as_slice() else { panic!("{key} isn't in {all:#?}") };
        let found_line = found.place.as_ref().and_then(|place| place.line);
        assert_eq!((found.value.as_str(), found.origin, found_line), (value, origin, line));
    }

    #[test]
    fn the_last_layer_that_says_something_is_the_origin() {
        check(0, "retry.max_attempts", "2", Origin::Route, Some(14));
        check(0, "retry.backoff.base", "\"20ms\"", Origin::Upstream, Some(5));
        check(0, "ejection", "false", Origin::Upstream, Some(6));
        check(0, "breaker.window", "\"20s\"", Origin::Upstream, Some(8));
        check(0, "breaker", "\"route\"", Origin::Route, Some(16));
        check(1, "breaker", "\"endpoint\"", Origin::Default, None);
        check(0, "replay", "\"1MiB\"", Origin::Default, None);
    }

    #[test]
    fn a_profile_is_the_origin_of_what_it_says_and_a_routes_goes_over_an_upstreams() {
        let loaded = crate::parse(CONFIG, "test").unwrap();
        let of = |route: usize, origin: Origin| {
            let all = loaded.effective(route);
            all.into_iter().filter(|one| one.origin == origin).count()
        };
        assert!(of(0, Origin::Profile(Profile::Payments)) > 0);
        assert_eq!(of(0, Origin::Profile(Profile::ReadApi)), 0);
        assert!(of(1, Origin::Profile(Profile::ReadApi)) > 0);
        assert_eq!(of(2, Origin::Profile(Profile::Payments)), 0);
    }

    #[test]
    fn what_nobody_wrote_gives_way_and_is_told_so() {
        check(0, "total_timeout", "\"1s\"", Origin::Route, Some(15));
        check(0, "attempt_timeout", "\"1s\"", Origin::GaveWay, None);
    }

    #[test]
    fn nothing_comes_from_anywhere_but_the_defaults_where_nothing_is_written() {
        let loaded = crate::parse(CONFIG, "test").unwrap();
        let all = loaded.effective(2);
        let others: Vec<_> = all.iter().filter(|one| one.origin != Origin::Default).collect();
        assert!(others.is_empty() && all.len() > 40, "{others:#?}");
        assert!(loaded.effective(3).is_empty());
    }

    #[test]
    fn arguments_of_the_command_line_are_the_upstream() {
        let urls = ["http://a.example".to_owned()];
        let loaded = crate::quick(&urls, None, None, Some("payments")).unwrap();
        let all = loaded.effective(0);
        assert!(all.iter().any(|one| one.origin == Origin::Profile(Profile::Payments)));
        assert!(all.iter().all(|one| one.origin != Origin::Upstream));
    }
}
