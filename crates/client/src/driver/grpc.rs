//! gRPC calls, as far as the driver has to know them: which they are, and where their outcome is said.

use http::{HeaderMap, HeaderName, Response, header};
use http_body::Body as _;
use mainstay_core::BreakKind;
use mainstay_core::breaks::grpc::GrpcOutcome;

use crate::pool::AnswerBody;

/// Whether a request is a gRPC call, by its content type: `application/grpc`, with a suffix or parameters. gRPC-Web isn't: it
/// says its outcome in the body.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(rest) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
    else {
        return false;
    };
    matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The outcome that a head or trailers tell.
pub(crate) fn outcome(fields: &HeaderMap) -> Option<GrpcOutcome> {
    let status = fields.get(&GRPC_STATUS)?;
    let pushback = fields.get(&GRPC_PUSHBACK).map(http::HeaderValue::as_bytes);
    Some(GrpcOutcome::parse(status.as_bytes(), pushback))
}

/// The fields of an answer that tell its outcome before any message: its head's, or those of trailers that were read ahead.
pub(super) fn early(response: &Response<AnswerBody>) -> Option<(GrpcOutcome, &HeaderMap)> {
    let head = Some(response.headers());
    let told = |fields| Some((outcome(fields)?, fields));
    head.and_then(told).or_else(|| response.body().trailers_ahead().and_then(told))
}

/// Whether an answer ended before any message came and any outcome was told.
pub(super) fn is_cut_short(response: &Response<AnswerBody>) -> bool {
    let body = response.body();
    let is_over = body.is_end_stream() || body.trailers_ahead().is_some();
    is_over && early(response).is_none()
}

/// How a delivered answer ended, by its trailers.
pub(crate) fn ended(trailers: Option<&HeaderMap>) -> Option<BreakKind> {
    GrpcOutcome::end(trailers.and_then(outcome))
}

/// What an outcome that is a break says of itself, for the record.
pub(crate) fn describe(fields: &HeaderMap) -> Option<String> {
    let status = text(fields, &GRPC_STATUS)?;
    Some(match text(fields, &GRPC_MESSAGE) {
        Some(message) if !message.is_empty() => format!("grpc-status {status}: {message}"),
        _ => format!("grpc-status {status}"),
    })
}

fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    fields.get(name).and_then(|value| value.to_str().ok())
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_PUSHBACK: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(content_type: &'static str, wanted: bool) {
        let value = HeaderValue::from_static(content_type);
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value)]);
        assert_eq!(is_grpc(&headers), wanted, "{content_type}");
    }

    #[test]
    fn a_grpc_call_is_known_by_its_content_type() {
        check("application/grpc", true);
        check("application/grpc+proto", true);
        check("application/grpc;charset=x", true);
        check("application/grpc-web+proto", false);
        check("application/json", false);
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn trailers_tell_how_it_ended() {
        assert_eq!(ended(None), Some(BreakKind::BodyTruncated));
        let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
        assert_eq!(ended(Some(&trailers)), None);
    }
}
