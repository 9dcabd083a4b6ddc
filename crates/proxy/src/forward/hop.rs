//! Fields that concern one connection only, and stay here (RFC 9110, section 7.6.1).

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Removes what mustn't go on: the fields that `Connection` names, and those that are known to be of this kind.
///
/// `te` stays if it says `trailers` and nothing else of what it said.
pub(super) fn strip(headers: &mut HeaderMap) {
    // One look at the names tells which of them are there: most heads have none, or just `connection: keep-alive`.
    let (mut connection, mut te, mut always) = (false, false, [false; KNOWN]);
    for name in headers.keys() {
        match ALWAYS.iter().position(|known| known == name) {
            Some(place) => always[place] = true,
            None => {
                connection |= *name == header::CONNECTION;
                te |= *name == header::TE;
            }
        }
    }
    if connection {
        strip_named(headers);
    }
    for (name, _) in ALWAYS.iter().zip(always).filter(|(_, there)| *there) {
        headers.remove(name);
    }
    if te && headers.contains_key(header::TE) {
        let trailers = has_token(headers, &header::TE, "trailers");
        headers.remove(header::TE);
        if trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
}

fn strip_named(headers: &mut HeaderMap) {
    if !headers.get_all(header::CONNECTION).iter().all(is_plain) {
        let named: Vec<HeaderName> = tokens(headers, &header::CONNECTION)
            .filter(|token| !token.eq_ignore_ascii_case("te"))
            .filter_map(|token| HeaderName::try_from(token).ok())
            // A request can't be robbed of what frames it and says where it goes by naming that in `Connection`.
            .filter(|name| !matches!(*name, header::CONTENT_LENGTH | header::HOST))
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    headers.remove(header::CONNECTION);
}

/// Whether a `Connection` field names no other field.
fn is_plain(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"keep-alive")
        || value.as_bytes().eq_ignore_ascii_case(b"close")
}

/// Whether the list-valued field `name` holds `token`.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|given| given.eq_ignore_ascii_case(token))
}

/// The members of a list-valued field, without parameters.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    let members = values.flat_map(|value| value.split(','));
    members
        .map(|member| member.split(';').next().unwrap_or_default().trim())
        .filter(|token| !token.is_empty())
}

const KNOWN: usize = 7;
static ALWAYS: [HeaderName; KNOWN] = [
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    // Nobody has a use for it since HTTP/2 in the clear by upgrade was taken out of the standard.
    HeaderName::from_static("http2-settings"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &[(&str, &str)], after: &[(&str, &str)]) {
        let read = |list: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in list {
                let name = HeaderName::try_from(*name).unwrap();
                headers.append(name, HeaderValue::try_from(*value).unwrap());
            }
            headers
        };
        let mut headers = read(before);
        strip(&mut headers);
        assert_eq!(headers, read(after));
    }

    #[test]
    fn fields_of_one_connection_stay_here() {
        check(
            &[
                ("connection", "close, X-Mine"),
                ("connection", "x-other"),
                ("x-mine", "1"),
                ("x-other", "2"),
                ("x-end", "3"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("proxy-authorization", "Basic eDp5"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("http2-settings", "AAMAAABk"),
            ],
            &[("x-end", "3")],
        );
    }

    #[test]
    fn nobody_can_have_the_length_or_the_host_taken_out() {
        check(
            &[("connection", "content-length, host"), ("content-length", "3"), ("host", "a")],
            &[("content-length", "3"), ("host", "a")],
        );
    }

    #[test]
    fn trailers_may_be_asked_for() {
        check(&[("connection", "te"), ("te", "gzip;q=0.5, Trailers")], &[("te", "trailers")]);
        check(&[("te", "gzip")], &[]);
    }
}
