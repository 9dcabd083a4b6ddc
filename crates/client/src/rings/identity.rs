//! Who asks for what, in a form that can be compared and tells nothing.

use aws_lc_rs::{constant_time, hmac};
use http::header::{self, HeaderName};
use http::request::Parts;

use crate::service::Plan;

/// A keyed hash of a request's route, method and URL, and of what tells one user from another.
#[derive(Clone, Debug)]
pub(crate) struct Identity(hmac::Tag);

impl Identity {
    pub(super) fn of(key: &hmac::Key, plan: &Plan, head: &Parts) -> Self {
        let mut hash = hmac::Context::with_key(key);
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(plan.route.as_bytes());
        part(plan.service.name().as_bytes());
        part(head.method.as_str().as_bytes());
        part(head.uri.authority().map_or("", |authority| authority.as_str()).as_bytes());
        part(head.uri.path_and_query().map_or("", |path| path.as_str()).as_bytes());
        for name in &WHO {
            // So that a value isn't taken for one of the next field.
            let values = head.headers.get_all(name);
            part(&(values.iter().count() as u64).to_le_bytes());
            values.iter().for_each(|value| part(value.as_bytes()));
        }
        Self(hash.sign())
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }
}

pub(super) fn fresh_key() -> Option<hmac::Key> {
    let mut bytes = zeroize::Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *bytes).ok()?;
    Some(hmac::Key::new(hmac::HMAC_SHA256, &*bytes))
}

/// What tells one user from another, and one site's pages from another's.
const WHO: [HeaderName; 6] = [
    header::HOST,
    header::AUTHORIZATION,
    header::COOKIE,
    header::ORIGIN,
    HeaderName::from_static("x-api-key"),
    HeaderName::from_static("api-key"),
];
