//! `Mainstay-Callback`: where the application wants to be told what becomes of this write.

use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay::stored::Stores;
use mainstay_outbox::Callback;

use super::super::Refused;
use crate::problem::Refusal;

/// The field, which isn't sent on.
pub(in super::super) const CALLBACK: HeaderName = HeaderName::from_static("mainstay-callback");

/// Takes it out. Who is told of this write: by the request, else by the route.
///
/// A request chooses a path and nothing else, so that nobody can have requests made to other hosts.
pub(super) fn take_out(
    headers: &mut HeaderMap,
    stores: &Stores,
) -> Result<Option<Callback>, Refused> {
    let mut asked = headers.get_all(CALLBACK).iter();
    let target = match (asked.next(), asked.next()) {
        (None, _) => None,
        (Some(value), None) => Some(target(value).ok_or(Refusal::BadRequest(
            "Mainstay-Callback is a path, with a query if need be, such as /hooks/orders?id=7: without `.` and `..`, of up to 2,048 bytes.",
        ))?),
        (Some(_), Some(_)) => return Err(Refusal::BadRequest("There are several Mainstay-Callback fields.").into()),
    };
    headers.remove(CALLBACK);
    let Some(callback) = &stores.settings.callback else {
        return match target {
            None => Ok(None),
            Some(_) => Err(Refusal::BadRequest(
                "Mainstay-Callback is asked for, and this route has no `outbox.callback`.",
            )
            .into()),
        };
    };
    let target = target.or_else(|| callback.path.clone());
    Ok(target.map(|target| Callback { upstream: callback.upstream.clone(), target }))
}

/// A path and a query in origin form.
fn target(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok().filter(|text| text.len() <= TARGET_MOST_BYTES)?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let path = text.split('?').next().unwrap_or_default();
    // They would lead out of the endpoint's own base path, there or behind a front that undoes the encoding first.
    let mut plain = path.to_ascii_lowercase();
    for (encoded, letter) in [("%2e", "."), ("%2f", "/"), ("%5c", "\\")] {
        plain = plain.replace(encoded, letter);
    }
    let is_inside = !plain.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."));
    let is_target = text.parse::<http::uri::PathAndQuery>().is_ok() && text.starts_with('/');
    (is_plain && is_inside && is_target).then(|| text.to_owned())
}

/// Enough for a path with a token.
const TARGET_MOST_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_upstream_is_taken_and_nothing_else() {
        let found = |text: &str| target(&HeaderValue::try_from(text).unwrap());
        for text in ["/", "/hooks/orders?id=7&next=http://a/../b", "/a..b/.c", "/%C3%A9"] {
            assert_eq!(found(text).as_deref(), Some(text));
        }
        let long = format!("/{}", "x".repeat(TARGET_MOST_BYTES));
        for text in [
            "",
            "hooks",
            "http://evil.test/",
            "*",
            "/a b",
            "/a#b",
            "/..",
            "/a/../b",
            "/%2e%2E/b",
            "/a/.",
            "/a\\..\\b",
            "/x%2f..%2F..",
            "/..%5cb",
            &long,
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
