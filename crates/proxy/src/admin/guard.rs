//! Who may ask what of the admin address.
//!
//! Without a token it is bound to loopback, and that alone isn't enough: any page in a browser on this machine can
//! send requests to loopback, and by a name that resolves to it (DNS rebinding) read the answers too. So without a
//! token the `Host` must be a loopback one, and whatever changes something must not come from another site.
//!
//! A page of this very address is trusted no further: without a token it could be told from no other page that a browser
//! shows as this one, so that it may look and not act. With one, what it orders must be said twice ([`Orderer`]): a click
//! that was lured out of somebody has no such field.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Method, header};
use mainstay_config::settings::Admin;

use super::order::decoded;
use super::page;
use crate::problem::Refusal;
use crate::proxy::Control;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) headers: &'a HeaderMap,
}

/// Lets it pass, or doesn't.
///
/// # Errors
///
/// Why not.
pub(super) fn admit(asked: Asked<'_>, admin: &Admin, bound: SocketAddr) -> Result<(), Refusal> {
    let reads = matches!(*asked.method, Method::GET | Method::HEAD);
    if !reads && comes_from_elsewhere(asked.headers) {
        return Err(Refusal::Forbidden("The order comes from another site."));
    }
    if !reads && admin.token.is_none() && is_browser(asked.headers) {
        return Err(Refusal::BrowserWithoutToken);
    }
    match &admin.token {
        // What watches whether the process lives has no token, and learns nothing but that.
        Some(_) if reads && matches!(asked.path, "/healthz" | "/readyz") => Ok(()),
        // The page asks for the token itself.
        Some(_) if reads && page::is_at(asked.path) => Ok(()),
        Some(token) if bears(asked.headers, token.reveal()) => Ok(()),
        Some(_) => Err(Refusal::Unauthorized),
        None if is_here(asked.headers, bound) => Ok(()),
        None => Err(Refusal::Forbidden("The Host isn't this machine's.")),
    }
}

/// Who gives an order.
#[derive(Clone, Debug)]
pub(super) struct Orderer {
    /// The address that it comes from.
    pub(super) who: String,
    is_browser: bool,
    confirmed: Option<String>,
}

impl Orderer {
    pub(super) fn of(peer: SocketAddr, headers: &HeaderMap) -> Self {
        let confirmed = headers.get(CONFIRM).and_then(|confirmed| confirmed.to_str().ok());
        Self {
            who: peer.to_string(),
            is_browser: is_browser(headers),
            confirmed: confirmed.map(str::to_owned),
        }
    }

    /// Whether it has said what it orders in `mainstay-confirm` as well, as a browser has to and whoever says it should.
    ///
    /// # Errors
    ///
    /// What it would have to say: the order, and what it is about, each part percent-encoded.
    pub(super) fn confirms(&self, order: &str, about: &[&str]) -> Result<(), String> {
        let is_it = |said: &String| {
            let (said, of) = said.split_once(' ').unwrap_or((said, ""));
            said == order && of.split('/').map(decoded).eq(about.iter().copied())
        };
        match &self.confirmed {
            Some(said) if is_it(said) => Ok(()),
            None if !self.is_browser => Ok(()),
            Some(_) | None => {
                let about: Vec<_> = about.iter().map(|part| encoded(part)).collect();
                Err(format!("{order} {}", about.join("/")))
            }
        }
    }
}

fn encoded(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let letter = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    part.bytes().map(letter).collect()
}

/// Whether a browser's page is behind this: programs send neither field.
fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

/// Whether a page in a browser may act, if it has the token. Without one nobody could tell whose page it is.
///
/// # Errors
///
/// Why not.
pub(super) fn may_act(control: &Control) -> Result<(), &'static str> {
    let current = control.shared.current();
    let token = current.settings.admin.as_ref().and_then(|admin| admin.token.as_ref());
    token.map(|_| ()).ok_or("no-token")
}

/// Whether an admitted request may be answered with data: a probe is admitted without the token.
pub(super) fn may_see(control: &Control, headers: &HeaderMap) -> bool {
    let current = control.shared.current();
    let token = current.settings.admin.as_ref().and_then(|admin| admin.token.as_ref());
    token.is_none_or(|token| bears(headers, token.reveal()))
}

fn bears(headers: &HeaderMap, token: &str) -> bool {
    let given =
        headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
    let Some((scheme, given)) = given.split_at_checked(BEARER.len()) else { return false };
    scheme.eq_ignore_ascii_case(BEARER) && same(given, token.as_bytes())
}

/// Compares in a time that depends on the lengths alone.
fn same(left: &[u8], right: &[u8]) -> bool {
    let differs = left.iter().zip(right).fold(0, |differs, (left, right)| differs | (left ^ right));
    left.len() == right.len() && std::hint::black_box(differs) == 0
}

/// Whether a browser says that another site's page is behind this.
fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    headers.get(header::ORIGIN).is_some_and(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin.map(|(_, host)| host) != host || host.is_none()
    })
}

fn is_here(headers: &HeaderMap, bound: SocketAddr) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback() || address == bound.ip(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// What a browser orders, once more.
const CONFIRM: &str = "mainstay-confirm";

const BEARER: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use mainstay_config::settings::Secret;

    #[track_caller]
    fn check(token: Option<&str>, request: &str, fields: &[(&str, &str)], passes: bool) {
        let bound: SocketAddr = "127.0.0.1:9900".parse().unwrap();
        let admin = Admin { address: bound, token: token.map(|token| Secret::new(token.into())) };
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::try_from(*value).unwrap(),
            );
        }
        let (method, path) = request.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let admitted = admit(Asked { method: &method, path, headers: &headers }, &admin, bound);
        assert_eq!(admitted.is_ok(), passes, "{token:?} {request} {fields:?}: {admitted:?}");
    }

    #[test]
    fn with_a_token_everything_but_the_probes_needs_it() {
        let host = ("host", "proxy.internal");
        for request in ["GET /healthz", "HEAD /readyz", "GET /", "GET /dashboard/style.css"] {
            check(Some("s3cret"), request, &[host], true);
        }
        for request in ["GET /status", "POST /reload", "POST /healthz", "POST /", "GET /live"] {
            check(Some("s3cret"), request, &[host], false);
            check(Some("s3cret"), request, &[host, ("authorization", "Bearer s3cret")], true);
            check(Some("s3cret"), request, &[host, ("authorization", "bearer s3cret")], true);
            for wrong in [
                "Bearer s3cre",
                "Bearer s3crets",
                "Bearer ",
                "s3cret",
                "Basic s3cret",
                "Bearer S3cret",
            ] {
                check(Some("s3cret"), request, &[host, ("authorization", wrong)], false);
            }
        }
    }

    #[test]
    fn without_a_token_the_host_must_be_this_machine() {
        for host in
            ["localhost", "LOCALHOST:9900", "127.0.0.1:9900", "127.9.9.9", "[::1]:9900", "[::1]"]
        {
            check(None, "GET /status", &[("host", host)], true);
        }
        for host in [
            "evil.test",
            "evil.test:9900",
            "127.0.0.1.evil.test",
            "localhost.evil.test",
            "10.0.0.1",
            "",
            "[::2]",
        ] {
            check(None, "GET /status", &[("host", host)], false);
        }
        check(None, "GET /status", &[], false);
    }

    #[test]
    fn orders_from_other_sites_are_refused() {
        let host = ("host", "localhost:9900");
        check(None, "POST /reload", &[host], true);
        let bearer = ("authorization", "Bearer t");
        for own in [("origin", "http://localhost:9900"), ("sec-fetch-site", "same-origin")] {
            // Without a token a page may look, not act.
            check(None, "POST /reload", &[host, own], false);
            check(None, "GET /status", &[host, own], true);
            check(Some("t"), "POST /reload", &[host, own], false);
            check(Some("t"), "POST /reload", &[host, own, bearer], true);
        }
        for wrong in [
            ("origin", "http://evil.test"),
            ("origin", "null"),
            ("origin", "http://localhost:8080"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            check(None, "POST /reload", &[host, wrong], false);
            check(Some("t"), "POST /reload", &[host, wrong, bearer], false);
        }
    }

    #[test]
    fn a_browser_says_twice_what_it_orders_and_what_is_said_has_to_be_right() {
        let orderer = |fields: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                let name = HeaderName::try_from(*name).unwrap();
                headers.insert(name, HeaderValue::try_from(*value).unwrap());
            }
            Orderer::of("127.0.0.1:5".parse().unwrap(), &headers)
        };
        let browser = ("sec-fetch-site", "same-origin");
        let about = ["api", "a:80/x"];
        assert_eq!(orderer(&[]).confirms("drain", &about), Ok(()));
        let wanted = Err("drain api/a%3A80%2Fx".to_owned());
        assert_eq!(orderer(&[browser]).confirms("drain", &about), wanted);
        let right = ("mainstay-confirm", "drain api/a:80%2Fx");
        assert_eq!(orderer(&[browser, right]).confirms("drain", &about), Ok(()));
        for wrong in
            ["open api/a:80%2Fx", "drain api/b", "drain", "", "drain api/a:80%2Fx/", "drain api"]
        {
            let said = ("mainstay-confirm", wrong);
            assert_eq!(orderer(&[browser, said]).confirms("drain", &about), wanted, "{wrong}");
            assert_eq!(orderer(&[said]).confirms("drain", &about), wanted, "{wrong}");
        }
    }
}
