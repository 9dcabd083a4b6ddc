//! Whether one route takes everything that another is for, so that the later of them is never reached.

use crate::settings::{Matcher, NameMatch, PathMatch};
use crate::text::segments;

/// Whether each request that `later` matches is matched by `earlier` as well.
pub(crate) fn covers(earlier: &Matcher, later: &Matcher) -> bool {
    hosts(&earlier.hosts, &later.hosts)
        && paths(earlier.path.as_ref(), later.path.as_ref())
        && methods(&earlier.methods, &later.methods)
        && names(&earlier.query, &later.query)
        && names(&earlier.headers, &later.headers)
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

fn paths(earlier: Option<&PathMatch>, later: Option<&PathMatch>) -> bool {
    match (earlier, later) {
        (None, _) => true,
        (Some(earlier), None) => segments_cover(&segments(earlier), &["**"]),
        (Some(earlier), Some(later)) => segments_cover(&segments(earlier), &segments(later)),
    }
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
        let of = |text: &str| path(text).unwrap();
        assert_eq!(
            paths(of(earlier).as_ref(), of(later).as_ref()),
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
