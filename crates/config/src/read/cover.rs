//! Whether one route takes everything that another is for, so that the later of them is never reached.

use crate::settings::{Matcher, NameMatch};
use crate::text::segments;

/// What a route matches, with its path split once: each route is compared with all before it.
pub(super) struct Reach<'m> {
    matcher: &'m Matcher,
    segments: Vec<&'m str>,
}

impl<'m> Reach<'m> {
    pub(super) fn of(matcher: &'m Matcher) -> Self {
        Self { matcher, segments: matcher.path.as_ref().map_or(vec!["**"], segments) }
    }

    /// Whether each request that `later` matches is matched by this one as well.
    pub(super) fn covers(&self, later: &Self) -> bool {
        segments_cover(&self.segments, &later.segments)
            && hosts(&self.matcher.hosts, &later.matcher.hosts)
            && methods(&self.matcher.methods, &later.matcher.methods)
            && names(&self.matcher.query, &later.matcher.query)
            && names(&self.matcher.headers, &later.matcher.headers)
    }
}

/// An empty list is any host.
fn hosts(earlier: &[String], later: &[String]) -> bool {
    let covered = |host: &String| earlier.iter().any(|pattern| host_covers(pattern, host));
    earlier.is_empty() || (!later.is_empty() && later.iter().all(covered))
}

fn host_covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        // `*.a.b` covers `x.a.b` and `*.x.a.b`, but not `a.b`.
        Some(tail) => {
            pattern == host || (host.ends_with(tail) && host.len() > tail.len() && host != pattern)
        }
        None => pattern == host,
    }
}

fn methods(earlier: &[String], later: &[String]) -> bool {
    earlier.is_empty() || (!later.is_empty() && later.iter().all(|method| earlier.contains(method)))
}

/// Each condition of the earlier one must follow from one of the later.
fn names(earlier: &[NameMatch], later: &[NameMatch]) -> bool {
    let implied = |wanted: &NameMatch| {
        later.iter().any(|given| {
            given.name == wanted.name && (wanted.value.is_none() || given.value == wanted.value)
        })
    };
    earlier.iter().all(implied)
}

fn segments_cover(earlier: &[&str], later: &[&str]) -> bool {
    match (earlier, later) {
        (["**"], _) | ([], []) => true,
        ([], _) | (_, [] | ["**"]) => false,
        ([first, rest @ ..], [other, others @ ..]) => {
            (is_any(first) || first == other) && segments_cover(rest, others)
        }
    }
}

fn is_any(segment: &str) -> bool {
    segment == "*" || segment.starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::path;

    fn check(earlier: &str, later: &str, expected: bool) {
        let of = |text: &str| Matcher { path: path(text).unwrap(), ..Matcher::default() };
        let (narrow, wide) = (of(later), of(earlier));
        assert_eq!(
            Reach::of(&wide).covers(&Reach::of(&narrow)),
            expected,
            "{earlier} covers {later}"
        );
    }

    #[test]
    fn a_path_covers_what_is_below_it() {
        check("/", "/v1", true);
        check("/v1", "/", false);
        check("/v1", "/v1/x", true);
        check("/v1", "/v10", false);
        check("/v1", "/v1/{id}/x", true);
        check("/v1/{id}/**", "/v1/a", true);
        check("/v1/{id}", "/v1/a", false);
        check("/v1/{id}", "/v1/*", true);
        check("/{a}/{b}", "/v1/{id}", true);
        check("/v1/x", "/v1/{id}", false);
        check("/**", "/", true);
        check("/{id}/**", "/**", false);
    }

    #[test]
    fn hosts_methods_and_conditions_cover_what_is_narrower() {
        let wild = ["*.a.b".to_owned()];
        let host = |name: &str| [name.to_owned()];
        assert!(
            hosts(&wild, &host("x.a.b")) && hosts(&wild, &host("*.x.a.b")) && hosts(&wild, &wild)
        );
        assert!(!hosts(&wild, &host("a.b")) && !hosts(&wild, &[]) && hosts(&[], &wild));
        let get = ["GET".to_owned()];
        assert!(methods(&[], &get) && methods(&get, &get) && !methods(&get, &[]));
        let name =
            |value: Option<&str>| [NameMatch { name: "a".into(), value: value.map(str::to_owned) }];
        assert!(names(&name(None), &name(Some("1"))) && names(&[], &name(None)));
        assert!(
            !names(&name(Some("1")), &name(None)) && !names(&name(Some("1")), &name(Some("2")))
        );
    }
}
