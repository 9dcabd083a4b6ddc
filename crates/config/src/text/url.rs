//! URLs of endpoints: scheme, host, port and base path, and nothing else.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::settings::Scheme;

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    /// In lower case, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Without a slash at the end.
    pub(crate) base_path: String,
}

impl Url {
    /// Host and port, the host of IPv6 in brackets: the name of an endpoint that has none.
    pub(crate) fn host_and_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.host_and_port();
        let own_port = self.port == self.scheme.default_port();
        let shown = if own_port {
            all.rsplit_once(':').map_or(all.as_str(), |(host, _)| host)
        } else {
            &all
        };
        write!(f, "{}://{shown}{}", self.scheme.as_str(), self.base_path)
    }
}

/// Reads `https://api.example:8443/v1`.
pub(crate) fn url(text: &str) -> Result<Url, String> {
    let (scheme, rest) = split_scheme(text)?;
    if let Some(c) = rest.chars().find(|c| matches!(c, '?' | '#')) {
        return Err(format!(
            "an endpoint has no `{c}`: a base path is all that may follow the port"
        ));
    }
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err("an endpoint has no user name: send credentials in a header field".into());
    }
    let (host, port) = split_port(authority)?;
    let port = match port {
        None => scheme.default_port(),
        Some(port) => read_port(port)?,
    };
    Ok(Url { scheme, host: read_host(host)?, port, base_path: base_path(path)? })
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), String> {
    match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => Ok((Scheme::Https, rest)),
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => Ok((Scheme::Http, rest)),
        Some(_) => Err("the scheme is http or https".into()),
        None if url(&format!("https://{text}")).is_ok() => {
            Err(format!("did you mean \"https://{text}\"?"))
        }
        None => Err("write a URL, such as \"https://api.example\"".into()),
    }
}

/// The host, without brackets, and the text of the port.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(inner) = authority.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or("the bracket isn't closed")?;
        if host.parse::<Ipv6Addr>().is_err() {
            return Err("only an IPv6 address stands in brackets".into());
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("after the bracket comes a colon and the port".into()),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Err("an IPv6 address stands in brackets".into()),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn read_port(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let port = if digits { text.parse().ok() } else { None };
    port.filter(|&port| port > 0).ok_or_else(|| "a port is 1 to 65535".into())
}

/// A host name in lower case, or an address.
fn read_host(text: &str) -> Result<String, String> {
    if text.parse::<Ipv6Addr>().is_ok() || text.parse::<Ipv4Addr>().is_ok() {
        return Ok(text.to_ascii_lowercase());
    }
    if text.is_empty() {
        return Err("the host is missing".into());
    }
    if !text.is_ascii() {
        return Err("write an international name in its ASCII form (xn--...)".into());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err("a host name is made of letters, digits, `-`, `_` and dots".into());
    }
    // All-digit last labels are mistyped addresses; a resolver would be asked for them in vain.
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err("that looks like an IPv4 address, but isn't one".into());
    }
    Ok(text.to_ascii_lowercase())
}

fn base_path(path: &str) -> Result<String, String> {
    if path.bytes().all(|b| b.is_ascii_graphic()) && !path.contains("//") {
        Ok(path.trim_end_matches('/').to_owned())
    } else {
        Err("a base path has no spaces, no empty segments and no letters beyond ASCII; encode them as %xx".into())
    }
}

/// Whether `text` can stand where a host name or address stands, and in which form it is kept.
pub(crate) fn host(text: &str) -> Result<String, String> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(address) if address.parse::<Ipv6Addr>().is_ok() => Ok(address.to_ascii_lowercase()),
        _ if text.contains(':') && text.parse::<Ipv6Addr>().is_err() => {
            Err("write the host without its port".into())
        }
        _ => read_host(text),
    }
}

/// A host with or without a port, in the form of a `Host` field.
pub(crate) fn authority(text: &str) -> Result<String, String> {
    let (name, port) = split_port(text)?;
    let name = read_host(name)?;
    let name = if name.contains(':') { format!("[{name}]") } else { name };
    Ok(match port {
        Some(port) => format!("{name}:{}", read_port(port)?),
        None => name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, scheme: Scheme, host: &str, port: u16, base_path: &str) {
        let expected = Url { scheme, host: host.into(), port, base_path: base_path.into() };
        assert_eq!(url(text), Ok(expected), "{text}");
    }

    #[test]
    fn scheme_host_port_and_base_path_are_told_apart() {
        check("https://API.example", Scheme::Https, "api.example", 443, "");
        check("http://10.0.0.1:8080/", Scheme::Http, "10.0.0.1", 8080, "");
        check("HTTPS://[::1]:8443/v1/", Scheme::Https, "::1", 8443, "/v1");
        check("http://[fe80::1]", Scheme::Http, "fe80::1", 80, "");
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for text in [
            "https://a.example",
            "http://a.example:443/v1",
            "http://[::1]",
            "https://[::1]:8443/x/y",
        ] {
            assert_eq!(url(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let wrong = [
            "",
            "a b",
            "ftp://a",
            "http://",
            "http://a:0",
            "http://a:65536",
            "http://a:+1",
            "http://a/?q",
            "http://a/#f",
            "http://u:p@a",
            "http://::1",
            "http://[::1",
            "http://[a]",
            "http://[::1]x",
            "http://\u{fc}.example",
            "http://a..b",
            "http://a/ b",
            "http://a//b",
            "http://1.2.3.4.5",
            "http://256.1.1.1",
        ];
        for text in wrong {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_missing_scheme_is_suggested() {
        assert_eq!(url("api.example").unwrap_err(), "did you mean \"https://api.example\"?");
    }
}
