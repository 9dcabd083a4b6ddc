//! A request made out for HTTP/2.

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use http_body::Body;
use mainstay_core::{BreakKind, Certainty};

use crate::body::Outgoing;
use crate::pool::Broken;

/// Makes a request one of HTTP/2: scheme and authority go into the target, and the authority is that of `Host`.
pub(super) fn make_out(request: &mut Request<Outgoing>, scheme: Scheme) -> Result<(), Broken> {
    *request.version_mut() = Version::HTTP_2;
    let host = request.headers_mut().remove(header::HOST);
    let authority = match &host {
        Some(host) => Authority::try_from(host.as_bytes()).ok(),
        None => request.uri().authority().cloned(),
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    parts.scheme = Some(scheme);
    parts.authority = authority;
    *request.uri_mut() = Uri::from_parts(parts).map_err(|error| {
        Broken::new(BreakKind::ClientGone, Certainty::NotSent)
            .details(format!("the request has no authority: {error}"))
    })?;
    take_out_connection_fields(request.headers_mut());
    announce_length(request);
    Ok(())
}

/// Fields that say something about a connection of HTTP/1.1 make a request of HTTP/2 malformed (RFC 9113, section
/// 8.2.2).
fn take_out_connection_fields(fields: &mut HeaderMap) {
    for name in CONNECTION_FIELDS {
        fields.remove(name);
    }
    if fields.get(header::TE).is_some_and(|value| value != "trailers") {
        fields.remove(header::TE);
    }
}

fn announce_length(request: &mut Request<Outgoing>) {
    let Some(length) = request.body().size_hint().exact() else { return };
    let means_something = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    if length != 0 || means_something {
        let fields = request.headers_mut();
        fields.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

const CONNECTION_FIELDS: [HeaderName; 5] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
