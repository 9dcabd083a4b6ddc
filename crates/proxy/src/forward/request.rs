//! The application's request, made ready for an upstream (RFC 9110, section 7.6).

use std::sync::Arc;

use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use hyper::upgrade::OnUpgrade;
use mainstay_config::settings::Forwarded;

use super::examine::Host;
use super::reply::Inner;
use super::{hop, names};
use crate::connection::Link;
use crate::problem::Refusal;

/// Takes out what concerns this connection only, and says through whom the request came. Gives back the
/// application's side of an upgrade if it asks for one.
pub(super) fn prepare(
    head: &mut Parts,
    link: &Arc<Link>,
    host: Host,
    forwarded: Forwarded,
) -> Option<OnUpgrade> {
    let upgrade = wanted_upgrade(head);
    hop::strip(&mut head.headers);
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
    }
    head.headers.reserve(OURS);
    append(&mut head.headers, header::VIA, via(head.version));
    if forwarded != Forwarded::Nothing {
        say_from_where(&mut head.headers, link, &host.authority, forwarded);
    }
    if host.authority.is_empty() {
        head.headers.remove(header::HOST);
    } else {
        // An absolute target's host counts, not the field's (RFC 9112, section 3.2.2).
        head.headers.insert(header::HOST, host.authority);
    }
    let (protocol, upgrade) = upgrade?;
    head.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers.insert(header::UPGRADE, protocol);
    Some(upgrade)
}

/// Tells the upstream the application's address, and the scheme and host that it used.
fn say_from_where(
    headers: &mut HeaderMap,
    link: &Arc<Link>,
    authority: &HeaderValue,
    forwarded: Forwarded,
) {
    let names = names::names(link, authority);
    if forwarded.has_standard() {
        append(headers, header::FORWARDED, names.forwarded);
    }
    if forwarded.has_legacy() {
        append(headers, X_FORWARDED_FOR, names.peer);
        let proto = HeaderValue::from_static(if link.is_secure() { "https" } else { "http" });
        headers.entry(X_FORWARDED_PROTO).or_insert(proto);
        if !authority.is_empty() {
            headers.entry(X_FORWARDED_HOST).or_insert_with(|| authority.clone());
        }
    }
}

/// The protocol that the application wants to switch to, and its side of the switch.
fn wanted_upgrade(head: &mut Parts) -> Option<(HeaderValue, OnUpgrade)> {
    let upgrade = head.extensions.remove::<OnUpgrade>()?;
    let protocol = head.headers.get(header::UPGRADE)?;
    // HTTP/2 in the clear by upgrade was taken out of the standard (RFC 9113, section 3.1).
    let wanted = hop::has_token(&head.headers, &header::CONNECTION, "upgrade")
        && !hop::has_token(&head.headers, &header::UPGRADE, "h2c");
    wanted.then(|| (protocol.clone(), upgrade))
}

/// Adds to a field that lists the proxies on the way. Values of one field go on one line: there are readers that
/// look at the first line only.
pub(super) fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let mut before = headers.get_all(&name).into_iter();
    let Some(first) = before.next() else {
        headers.insert(name, value);
        return;
    };
    let mut line = first.as_bytes().to_vec();
    for part in before.chain([&value]) {
        line.extend_from_slice(b", ");
        line.extend_from_slice(part.as_bytes());
    }
    // Valid values, joined, are a valid value.
    headers.insert(name, HeaderValue::from_bytes(&line).unwrap_or(value));
}

/// What this hop spoke with the application.
pub(super) const fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_2 => "2 mainstay",
        Version::HTTP_10 => "1.0 mainstay",
        _ => "1.1 mainstay",
    })
}

/// HTTP/2 may split cookies over several fields; HTTP/1.1 wants one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut parts = headers.get_all(header::COOKIE).into_iter();
    let (Some(first), Some(second)) = (parts.next(), parts.next()) else { return };
    let mut line = first.as_bytes().to_vec();
    for part in [second].into_iter().chain(parts) {
        line.extend_from_slice(b"; ");
        line.extend_from_slice(part.as_bytes());
    }
    if let Ok(value) = HeaderValue::from_bytes(&line) {
        headers.insert(header::COOKIE, value);
    }
}

/// Counts down `Max-Forwards`. Gives the answer if the request ends here (RFC 9110, section 7.6.2).
///
/// # Errors
///
/// A TRACE that ends here: to answer it would be to echo what may be secret.
pub(super) fn ends_here(head: &mut Parts) -> Result<Option<Response<Inner>>, Refusal> {
    if !matches!(head.method, Method::OPTIONS | Method::TRACE) {
        return Ok(None);
    }
    let Some(value) = head.headers.get(header::MAX_FORWARDS) else { return Ok(None) };
    let left: u32 = match value.to_str().ok().and_then(|value| value.parse().ok()) {
        Some(left) => left,
        None => return Err(Refusal::BadRequest("Max-Forwards isn't a number.")),
    };
    match left.checked_sub(1) {
        Some(left) => {
            head.headers.insert(header::MAX_FORWARDS, HeaderValue::from(left));
            Ok(None)
        }
        None if head.method == Method::TRACE => Err(Refusal::MaxForwards),
        None => {
            let mut response = Response::new(Inner::Empty);
            *response.status_mut() = StatusCode::NO_CONTENT;
            let allowed =
                HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE");
            response.headers_mut().insert(header::ALLOW, allowed);
            Ok(Some(response))
        }
    }
}

/// Fields that are added to nearly each request, here and as it is sent: by how many the map grows at once.
const OURS: usize = 3;
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn values_are_appended_on_one_line() {
        let mut headers = HeaderMap::new();
        append(&mut headers, header::VIA, via(Version::HTTP_2));
        headers.append(header::VIA, HeaderValue::from_static("1.1 other"));
        append(&mut headers, header::VIA, via(Version::HTTP_11));
        let lines: Vec<_> = headers.get_all(header::VIA).into_iter().collect();
        assert_eq!(lines, ["2 mainstay, 1.1 other, 1.1 mainstay"]);
    }

    #[test]
    fn split_cookies_are_joined() {
        let mut headers = HeaderMap::new();
        for cookie in ["a=1", "b=2", "c=3"] {
            headers.append(header::COOKIE, HeaderValue::from_static(cookie));
        }
        join_cookies(&mut headers);
        assert_eq!(
            headers.get_all(header::COOKIE).into_iter().collect::<Vec<_>>(),
            ["a=1; b=2; c=3"]
        );
    }

    fn check(method: &str, left: &str) -> (Result<Option<StatusCode>, Refusal>, String) {
        let request = Request::builder().method(method).header("max-forwards", left).body(());
        let mut head = request.unwrap().into_parts().0;
        let ended = ends_here(&mut head).map(|answer| answer.map(|answer| answer.status()));
        (ended, head.headers["max-forwards"].to_str().unwrap().to_owned())
    }

    #[test]
    fn max_forwards_counts_down_and_ends_the_way() {
        assert_eq!(check("OPTIONS", "2"), (Ok(None), "1".to_owned()));
        assert_eq!(check("OPTIONS", "0").0, Ok(Some(StatusCode::NO_CONTENT)));
        assert_eq!(check("TRACE", "0").0, Err(Refusal::MaxForwards));
        assert!(check("TRACE", "x").0.is_err());
        assert_eq!(check("GET", "0"), (Ok(None), "0".to_owned()));
    }
}
