//! Field values that requests of one connection have in common, made once and used again.
//!
//! An application names the same host in nearly each request of a connection; what is made of it (`Forwarded`, and
//! the value of an authority that HTTP/2 brings in another form) is kept with the connection until it names another.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;

use crate::connection::Link;

/// What was made for the host that a connection named last.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// With port, as the application wrote it.
    authority: HeaderValue,
    /// For `Forwarded` (RFC 7239).
    pub(super) forwarded: HeaderValue,
    /// For `X-Forwarded-For`.
    pub(super) peer: HeaderValue,
}

/// The authority as a field's value. `None` if it can't be one.
pub(super) fn authority_value(link: &Arc<Link>, authority: &str) -> Option<HeaderValue> {
    let mut kept = link.names().lock();
    if let Some(names) = &*kept
        && names.authority == authority
    {
        return Some(names.authority.clone());
    }
    let value = HeaderValue::try_from(authority).ok()?;
    *kept = Some(Names::new(link.peer(), link.is_secure(), &value));
    Some(value)
}

/// The values for a request to this authority.
pub(super) fn names(link: &Arc<Link>, authority: &HeaderValue) -> Names {
    let mut kept = link.names().lock();
    match &*kept {
        Some(names) if names.authority == *authority => names.clone(),
        _ => kept.insert(Names::new(link.peer(), link.is_secure(), authority)).clone(),
    }
}

impl Names {
    fn new(peer: IpAddr, secure: bool, authority: &HeaderValue) -> Self {
        let node = match peer {
            IpAddr::V4(address) => address.to_string(),
            // RFC 7239, section 6: in brackets, and thus in quotes.
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        let proto = if secure { "https" } else { "http" };
        let host = authority.to_str().unwrap_or_default();
        let forwarded = if host.is_empty() {
            format!("for={node};proto={proto}")
        } else {
            // A host was checked to hold neither quotes nor backslashes.
            format!("for={node};host=\"{host}\";proto={proto}")
        };
        Self {
            // Copied: the request's own value would keep its whole head in memory as long as the connection lasts.
            authority: HeaderValue::from_bytes(authority.as_bytes())
                .unwrap_or(HeaderValue::from_static("")),
            forwarded: HeaderValue::try_from(forwarded)
                .unwrap_or(HeaderValue::from_static("for=unknown")),
            peer: HeaderValue::try_from(peer.to_string())
                .unwrap_or(HeaderValue::from_static("unknown")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_rfc_7239_wants_them() {
        let made = |peer: &str, host: &'static str| {
            Names::new(peer.parse().unwrap(), false, &HeaderValue::from_static(host)).forwarded
        };
        assert_eq!(made("127.0.0.1", "a:80"), "for=127.0.0.1;host=\"a:80\";proto=http");
        assert_eq!(made("::1", "[::1]:80"), "for=\"[::1]\";host=\"[::1]:80\";proto=http");
        assert_eq!(made("127.0.0.1", ""), "for=127.0.0.1;proto=http");
    }
}
