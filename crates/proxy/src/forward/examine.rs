//! What hyper lets pass and a proxy must not: requests that two readers could understand differently.

use std::sync::Arc;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Version, header};
use mainstay_config::settings::Limits;

use crate::connection::Link;
use crate::problem::Refusal;

/// The host that a request is for.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// With port, as the application wrote it.
    pub(super) authority: HeaderValue,
    name_end: usize,
}

impl Host {
    /// Without port.
    pub(super) fn name(&self) -> &str {
        std::str::from_utf8(&self.authority.as_bytes()[..self.name_end]).unwrap_or_default()
    }
}

/// Checks what frames and addresses the request, and finds out its host.
///
/// # Errors
///
/// The first rule of RFC 9110 or 9112 that it breaks.
pub(super) fn examine(head: &Parts, link: &Arc<Link>) -> Result<Host, Refusal> {
    let conflict = link.take_conflict_of(&head.headers);
    examined(head, conflict, |authority| super::names::authority_value(link, authority))
}

/// The same for a head that nobody sent, whose framing is beyond doubt.
///
/// # Errors
///
/// As [`examine`].
pub(super) fn examine_unsent(head: &Parts) -> Result<Host, Refusal> {
    examined(head, false, |authority| HeaderValue::try_from(authority).ok())
}

fn examined(
    head: &Parts,
    conflict: bool,
    authority_value: impl FnOnce(&str) -> Option<HeaderValue>,
) -> Result<Host, Refusal> {
    if head.method == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    if conflict {
        return Err(Refusal::BadRequest(
            "The body's length is announced twice: as a number and in chunks.",
        ));
    }
    coding(&head.headers)?;
    length(&head.headers)?;
    target(head)?;
    let mut hosts = head.headers.get_all(header::HOST).into_iter();
    let (given, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refusal::BadRequest("There is more than one Host."));
    }
    if given.is_none() && head.version == Version::HTTP_11 {
        return Err(Refusal::BadRequest("There is no Host."));
    }
    match head.uri.authority() {
        Some(authority) => {
            absolute(head)?;
            let value = authority_value(authority.as_str()).ok_or(WRONG_HOST)?;
            let clashes =
                given.is_some_and(|given| !given.as_bytes().eq_ignore_ascii_case(value.as_bytes()));
            if head.version == Version::HTTP_2 && clashes {
                return Err(Refusal::BadRequest("Host and :authority differ."));
            }
            host(value)
        }
        // Over HTTP/2 a scheme and a path that are both left out aren't missed by h2, and would go on as a request line without a target.
        None if head.uri.path().is_empty() => Err(Refusal::BadRequest("There is no path.")),
        None => match given {
            Some(value) => host(value.clone()),
            None => Ok(Host { authority: HeaderValue::from_static(""), name_end: 0 }),
        },
    }
}

/// A body may come in chunks and in no other coding: that is all that can be decoded here, once.
fn coding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).into_iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Refusal::BadRequest("The Transfer-Encoding isn't just chunked.")),
    }
}

/// One length that is a number. Over HTTP/1.1 hyper sees to it; of those that come over HTTP/2, h2 looks at the first only, and all of
/// them would go on.
fn length(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).into_iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(()),
        (Some(length), None) if is_number(length.as_bytes()) => Ok(()),
        _ => Err(Refusal::BadRequest("The Content-Length isn't one number.")),
    }
}

/// h2 takes an empty length for one of zero, and it would go on empty.
fn is_number(length: &[u8]) -> bool {
    !length.is_empty() && length.iter().all(u8::is_ascii_digit)
}

/// A target is of visible ASCII (RFC 9112, section 3.2, and RFC 3986). hyper lets DEL and bytes beyond pass, which some servers take for
/// letters, some for blanks, and some decode.
fn target(head: &Parts) -> Result<(), Refusal> {
    let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::BadRequest("The target has bytes that must be percent-encoded."));
    }
    if target == "*" && head.method != Method::OPTIONS {
        return Err(Refusal::BadRequest("The target * is for OPTIONS alone."));
    }
    Ok(())
}

/// A target with scheme and authority, as for a proxy.
fn absolute(head: &Parts) -> Result<(), Refusal> {
    match head.uri.scheme_str() {
        Some("http" | "https") => Ok(()),
        Some(_) => Err(Refusal::BadRequest("The target's scheme is neither http nor https.")),
        None => Err(Refusal::BadRequest("The target is neither a path nor a URL.")),
    }
}

/// Reads host and port, which must be of the form of RFC 3986, section 3.2: no user, no blanks, no lists.
fn host(authority: HeaderValue) -> Result<Host, Refusal> {
    let bytes = authority.as_bytes();
    let name_end = if bytes.first() == Some(&b'[') {
        bytes.iter().position(|byte| *byte == b']').ok_or(WRONG_HOST)? + 1
    } else {
        bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len())
    };
    let (name, port) = bytes.split_at(name_end);
    let name_fits = match name {
        [b'[', address @ .., b']'] => {
            address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        }
        _ => name.iter().all(|byte| byte.is_ascii_alphanumeric() || NAME_MARKS.contains(byte)),
    };
    let port_fits = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if name.is_empty() || !name_fits || !port_fits {
        return Err(WRONG_HOST);
    }
    Ok(Host { authority, name_end })
}

/// The limits that can be judged by the head alone.
///
/// # Errors
///
/// The one that is passed.
pub(super) fn limits(head: &Parts, least_body_bytes: u64, limits: &Limits) -> Result<(), Refusal> {
    if head.headers.len() > limits.header_count {
        return Err(Refusal::TooManyFields);
    }
    if limits.body_bytes.is_some_and(|limit| least_body_bytes > limit) {
        return Err(Refusal::BodyTooLarge);
    }
    Ok(())
}

const WRONG_HOST: Refusal = Refusal::BadRequest("The Host isn't a host name or address.");

/// Beside letters and digits: the unreserved marks of RFC 3986 and what encodes others.
const NAME_MARKS: &[u8] = b"-._~%";

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn request(version: Version, method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().version(version).method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn examine(head: &Parts, conflict: bool) -> Result<String, Refusal> {
        let value = |authority: &str| HeaderValue::try_from(authority).ok();
        examined(head, conflict, value).map(|host| host.name().to_owned())
    }

    fn check(target: &str, fields: &[(&str, &str)], wanted: Result<&str, &str>) {
        let found = examine(&request(Version::HTTP_11, "GET", target, fields), false);
        let found = match &found {
            Ok(host) => Ok(host.as_str()),
            Err(Refusal::BadRequest(why)) => Err(*why),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(found, wanted, "{target} {fields:?}");
    }

    #[test]
    fn a_host_is_a_name_or_an_address_perhaps_with_a_port() {
        for (given, name) in [
            ("api.test", "api.test"),
            ("api.test:8080", "api.test"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            check("/", &[("host", given)], Ok(name));
        }
        for wrong in [
            "", "a b", "a,b", "a/b", "user@a", "a:b", "a:123456", "[::1", "[::1]x", "[]:a",
            "a:80:80", "a\t",
        ] {
            check("/", &[("host", wrong)], Err("The Host isn't a host name or address."));
        }
    }

    #[test]
    fn one_host_is_wanted() {
        check("/", &[], Err("There is no Host."));
        check("http://a/", &[], Err("There is no Host."));
        check("/", &[("host", "a"), ("host", "a")], Err("There is more than one Host."));
        let old = request(Version::HTTP_10, "GET", "/", &[]);
        assert_eq!(examine(&old, false), Ok(String::new()));
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        check("http://b.test:80/x", &[("host", "a")], Ok("b.test"));
        check("ftp://b/x", &[("host", "a")], Err("The target's scheme is neither http nor https."));
        check("b:80", &[("host", "a")], Err("The target is neither a path nor a URL."));
        check("http://user@b/x", &[("host", "a")], Err("The Host isn't a host name or address."));
        check("*", &[("host", "a")], Err("The target * is for OPTIONS alone."));
    }

    #[test]
    fn in_http2_host_and_authority_must_agree() {
        let head = |host| request(Version::HTTP_2, "GET", "http://b/x", &[("host", host)]);
        assert_eq!(examine(&head("b"), false), Ok("b".to_owned()));
        assert!(examine(&head("c"), false).is_err());
    }

    #[test]
    fn bodies_come_in_chunks_and_nothing_else() {
        let wrong = Err("The Transfer-Encoding isn't just chunked.");
        let of = |coding| [("host", "a"), ("transfer-encoding", coding)];
        check("/", &of("chunked"), Ok("a"));
        check("/", &of("Chunked"), Ok("a"));
        for coding in ["gzip, chunked", "chunked, chunked", "chunked,", "xchunked", "\u{b}chunked"]
        {
            if HeaderValue::try_from(coding).is_ok() {
                check("/", &of(coding), wrong);
            }
        }
        check(
            "/",
            &[("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            wrong,
        );
    }

    #[test]
    fn a_length_beside_chunks_is_refused() {
        let head = request(
            Version::HTTP_11,
            "POST",
            "/",
            &[("host", "a"), ("transfer-encoding", "chunked")],
        );
        assert!(matches!(examine(&head, true), Err(Refusal::BadRequest(_))));
    }

    #[test]
    fn a_length_is_one_number() {
        let wrong = Err("The Content-Length isn't one number.");
        check("/", &[("host", "a"), ("content-length", "3")], Ok("a"));
        check("/", &[("host", "a"), ("content-length", "3"), ("content-length", "3")], wrong);
        check("/", &[("host", "a"), ("content-length", "3, 3")], wrong);
        check("/", &[("host", "a"), ("content-length", "+3")], wrong);
    }

    #[test]
    fn a_target_is_visible_ascii() {
        let wrong = Err("The target has bytes that must be percent-encoded.");
        check("/%C3%A4?q=%7F|{}", &[("host", "a")], Ok("a"));
        for target in ["/\u{e4}", "/?q=\u{e4}"] {
            check(target, &[("host", "a")], wrong);
        }
    }

    #[test]
    fn tunnels_are_not_offered() {
        let head = request(Version::HTTP_11, "CONNECT", "a:443", &[("host", "a:443")]);
        assert_eq!(examine(&head, false), Err(Refusal::Connect));
    }
}
