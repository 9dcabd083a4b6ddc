//! What an answer is kept under.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;

/// A resource: upstream, host, path and query, as the application asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Target(Box<str>);

impl Target {
    pub(crate) fn of(upstream: &str, head: &Parts) -> Self {
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| head.uri.authority().map(|authority| authority.as_str()));
        let host = host.unwrap_or_default().to_ascii_lowercase();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        // No name of an upstream and no host has a blank in it.
        Self(format!("{upstream} {host} {path}").into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The fields of a request on which an answer depends, with the values that it had.
///
/// Beside those that `Vary` names, these are what tells one user from another: a kept answer never goes to other credentials than
/// those for which it was made, whatever `Cache-Control` says.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Varied(Box<[(HeaderName, Box<[HeaderValue]>)]>);

impl Varied {
    /// `None` when `Vary` names what can't be a field, or more than is worth comparing.
    pub(super) fn of(answer: &HeaderMap, request: &HeaderMap) -> Option<Self> {
        let mut names = CREDENTIALS.to_vec();
        for line in answer.get_all(header::VARY) {
            for name in line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                if name.is_empty() {
                    continue;
                }
                let name = HeaderName::from_bytes(name).ok()?;
                if !names.contains(&name) {
                    names.push(name);
                }
                if names.len() > MOST_NAMES {
                    return None;
                }
            }
        }
        let values = |name: HeaderName| {
            let values = request.get_all(&name).iter().cloned().collect();
            (name, values)
        };
        Some(Self(names.into_iter().map(values).collect()))
    }

    /// Whether a request has the same values.
    pub(super) fn fits(&self, request: &HeaderMap) -> bool {
        self.0.iter().all(|(name, values)| request.get_all(name).iter().eq(values.iter()))
    }

    pub(super) fn bytes(&self) -> usize {
        let values =
            |values: &[HeaderValue]| values.iter().map(|value| value.len() + 40).sum::<usize>();
        self.0.iter().map(|(name, list)| name.as_str().len() + 48 + values(list)).sum()
    }
}

/// Names only: values are credentials.
impl std::fmt::Debug for Varied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

const CREDENTIALS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::COOKIE,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
];

/// Fields that an answer may depend on: real ones name three or four.
const MOST_NAMES: usize = 16;
