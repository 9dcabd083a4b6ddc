//! Whether a request is one of a route's.

use http::{HeaderName, HeaderValue};
use mainstay_config::settings::{Matcher, PathMatch};

use super::{Asked, Condition};

/// A route's conditions, ready to be asked.
#[derive(Debug)]
pub struct Compiled {
    hosts: Box<[Host]>,
    path: Option<PathMatch>,
    methods: Box<[String]>,
    query: Box<[(String, Option<String>)]>,
    /// `None` is a condition that no request can meet, since it names a field or a value that can't exist.
    headers: Box<[Option<Field>]>,
}

/// A field that must be there, with a value if one is given.
type Field = (HeaderName, Option<HeaderValue>);

#[derive(Debug)]
enum Host {
    Exact(String),
    /// Any name that ends so: the dot is part of it.
    Below(String),
}

impl Compiled {
    #[must_use]
    pub fn new(matcher: &Matcher) -> Self {
        let named = matcher.headers.iter().map(|wanted| {
            let name = HeaderName::try_from(wanted.name.as_str()).ok()?;
            let value = wanted.value.as_deref().map(HeaderValue::try_from).transpose().ok()?;
            Some((name, value))
        });
        Self {
            hosts: matcher.hosts.iter().map(|host| Host::new(host)).collect(),
            path: matcher.path.clone(),
            methods: matcher.methods.clone().into(),
            query: matcher
                .query
                .iter()
                .map(|wanted| (wanted.name.clone(), wanted.value.clone()))
                .collect(),
            headers: named.collect(),
        }
    }

    #[must_use]
    pub fn matches(&self, asked: &Asked<'_>) -> bool {
        self.host_fits(asked)
            && self.path_fits(asked)
            && self.method_fits(asked)
            && self.query.iter().all(|wanted| parameter_fits(asked, wanted))
            && self.headers.iter().all(|wanted| field_fits(asked, wanted.as_ref()))
    }

    /// The conditions that aren't met; none when it matches.
    #[must_use]
    pub fn failed(&self, asked: &Asked<'_>) -> Vec<Condition> {
        let own = [
            (Condition::Host, self.host_fits(asked)),
            (Condition::Path, self.path_fits(asked)),
            (Condition::Method, self.method_fits(asked)),
        ];
        let query = self.query.iter().enumerate();
        let query = query.map(|(place, one)| (Condition::Query(place), parameter_fits(asked, one)));
        let fields = self.headers.iter().enumerate();
        let fields =
            fields.map(|(place, one)| (Condition::Header(place), field_fits(asked, one.as_ref())));
        let all = own.into_iter().chain(query).chain(fields);
        all.filter(|(_, fits)| !fits).map(|(condition, _)| condition).collect()
    }

    fn host_fits(&self, asked: &Asked<'_>) -> bool {
        self.hosts.is_empty() || self.hosts.iter().any(|host| host.matches(asked.host))
    }

    fn path_fits(&self, asked: &Asked<'_>) -> bool {
        self.path.as_ref().is_none_or(|path| path_matches(path, asked.uri.path()))
    }

    fn method_fits(&self, asked: &Asked<'_>) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|method| asked.method == method.as_str())
    }
}

impl Host {
    fn new(host: &str) -> Self {
        match host.strip_prefix('*') {
            Some(below) if below.starts_with('.') => Self::Below(below.to_ascii_lowercase()),
            _ => Self::Exact(host.to_ascii_lowercase()),
        }
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(end) => {
                let (host, end) = (host.as_bytes(), end.as_bytes());
                host.len() > end.len() && host[host.len() - end.len()..].eq_ignore_ascii_case(end)
            }
        }
    }
}

fn path_matches(wanted: &PathMatch, path: &str) -> bool {
    match wanted {
        PathMatch::Prefix(prefix) => {
            let prefix = prefix.trim_end_matches('/');
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        PathMatch::Pattern(pattern) => {
            let path = path.strip_prefix('/').unwrap_or(path);
            let mut given = path.split('/').filter(|_| !path.is_empty());
            for segment in pattern {
                if segment == "**" {
                    return true;
                }
                let fits =
                    |given: &str| stands_for_one(segment) && !given.is_empty() || segment == given;
                if !given.next().is_some_and(fits) {
                    return false;
                }
            }
            given.next().is_none()
        }
    }
}

fn stands_for_one(segment: &str) -> bool {
    segment == "*" || segment.starts_with('{') && segment.ends_with('}')
}

/// Whether the query has the parameter. Compared after percent-decoding, with `+` as a space, as forms are encoded.
fn parameter_fits(asked: &Asked<'_>, (name, value): &(String, Option<String>)) -> bool {
    let query = asked.uri.query().unwrap_or_default();
    query.split('&').filter(|pair| !pair.is_empty()).any(|pair| {
        let (given_name, given_value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_value = |value: &String| decoded_eq(given_value, value);
        decoded_eq(given_name, name) && value.as_ref().is_none_or(is_value)
    })
}

/// Whether `encoded`, decoded, is `plain`.
fn decoded_eq(encoded: &str, plain: &str) -> bool {
    let mut rest = encoded.as_bytes();
    let mut plain = plain.bytes();
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, tail),
                _ => (b'%', &rest[1..]),
            },
            (b'+', tail) => (b' ', tail),
            (byte, tail) => (*byte, tail),
        };
        if plain.next() != Some(byte) {
            return false;
        }
        rest = tail;
    }
    plain.next().is_none()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn field_fits(asked: &Asked<'_>, wanted: Option<&Field>) -> bool {
    match wanted {
        None => false,
        Some((name, None)) => asked.headers.contains_key(name),
        Some((name, Some(value))) => asked.headers.get_all(name).iter().any(|given| given == value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, Method, Uri};
    use mainstay_config::settings::NameMatch;

    /// Whether `matcher` matches each of these targets (`host path`).
    fn check(matcher: Matcher, matching: &[&str], others: &[&str]) {
        let compiled = Compiled::new(&matcher);
        let mut headers = HeaderMap::new();
        headers.insert("x-team", HeaderValue::from_static("blue"));
        let matches = |target: &&str| {
            let (host, path) = target.split_once(' ').unwrap();
            let uri: Uri = path.parse().unwrap();
            let asked = Asked { method: &Method::GET, uri: &uri, headers: &headers, host };
            let matches = compiled.matches(&asked);
            assert_eq!(matches, compiled.failed(&asked).is_empty(), "{target}");
            matches
        };
        for target in matching {
            assert!(matches(target), "{target} should match {matcher:?}");
        }
        for target in others {
            assert!(!matches(target), "{target} should not match {matcher:?}");
        }
    }

    fn named(name: &str, value: Option<&str>) -> Vec<NameMatch> {
        vec![NameMatch { name: name.to_owned(), value: value.map(str::to_owned) }]
    }

    fn pattern(text: &str) -> Matcher {
        let segments = text.split('/').map(str::to_owned).collect();
        Matcher { path: Some(PathMatch::Pattern(segments)), ..Matcher::default() }
    }

    #[test]
    fn without_conditions_everything_matches() {
        check(Matcher::default(), &["a /", " /x?y"], &[]);
    }

    #[test]
    fn hosts_match_without_regard_to_case_and_a_star_stands_for_names_below() {
        let hosts = vec!["api.test".to_owned(), "*.example.com".to_owned()];
        check(
            Matcher { hosts, ..Matcher::default() },
            &["API.test /", "a.example.com /", "a.b.example.com /"],
            &["example.com /", "notexample.com /", "api.test.evil /", " /"],
        );
    }

    #[test]
    fn a_prefix_is_made_of_whole_segments() {
        for prefix in ["/v1", "/v1/"] {
            let path = Some(PathMatch::Prefix(prefix.to_owned()));
            check(
                Matcher { path, ..Matcher::default() },
                &["a /v1", "a /v1/x", "a /v1?y"],
                &["a /v10", "a /"],
            );
        }
        let path = Some(PathMatch::Prefix("/".to_owned()));
        check(Matcher { path, ..Matcher::default() }, &["a /", "a /x"], &[]);
    }

    #[test]
    fn a_pattern_names_segments_one_by_one() {
        check(
            pattern("users/{id}/mail"),
            &["a /users/7/mail"],
            &["a /users/mail", "a /users//mail", "a /users/7/mail/x"],
        );
        check(pattern("users/*"), &["a /users/7"], &["a /users", "a /users/7/8", "a /users/"]);
        check(pattern("users/**"), &["a /users", "a /users/7/8"], &["a /user"]);
        check(pattern("**"), &["a /", "a /x/y"], &[]);
    }

    #[test]
    fn methods_are_compared_exactly() {
        let of = |method: &str| Matcher { methods: vec![method.to_owned()], ..Matcher::default() };
        check(of("GET"), &["a /"], &[]);
        check(of("get"), &[], &["a /"]);
        check(of("POST"), &[], &["a /"]);
    }

    #[test]
    fn parameters_are_compared_decoded() {
        let of = |value| Matcher { query: named("a b", value), ..Matcher::default() };
        check(of(None), &["h /?a+b", "h /?x=1&a%20b=c"], &["h /", "h /?ab=1", "h /?x=a+b"]);
        check(of(Some("é")), &["h /?a+b=%C3%A9"], &["h /?a+b=%C3", "h /?a+b", "h /?a+b=%zz"]);
    }

    #[test]
    fn fields_must_be_there_and_have_the_value_if_one_is_given() {
        let of = |name, value| Matcher { headers: named(name, value), ..Matcher::default() };
        check(of("x-team", None), &["a /"], &[]);
        check(of("x-team", Some("blue")), &["a /"], &[]);
        check(of("x-team", Some("red")), &[], &["a /"]);
        check(of("x-other", None), &[], &["a /"]);
        check(of("no name", None), &[], &["a /"]);
    }
}
