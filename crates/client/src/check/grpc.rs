//! The check of kind "grpc": a call of `grpc.health.v1.Health/Check`.
//!
//! Both of its messages are a field or two of Protocol Buffers, written and read here by hand: request field 1 is the
//! service's name, answer field 1 the state, of which 1 is SERVING.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use http_body_util::BodyExt;
use mainstay_core::{Break, BreakKind, Certainty};
use tokio::time::{Instant, timeout_at};

use super::{failed, late};
use crate::body::{Outgoing, Replay, ReplayLimits, Source, Store};
use crate::driver::grpc::{describe, outcome};
use crate::pool::{AnswerBody, Broken, Target};

pub(super) fn request(target: &Target, service: &str) -> Result<Request<Outgoing>, Broken> {
    let endpoint = target.endpoint();
    let message = encode(service);
    let limits = ReplayLimits { kept_bytes: message.len(), ..ReplayLimits::default() };
    let memory = Store::new(message.len());
    let body = Replay::new(Source::Full(message), limits, &memory);
    let made = Request::post(format!("{}/grpc.health.v1.Health/Check", endpoint.base_path))
        .header(header::HOST, endpoint.authority())
        .header(header::USER_AGENT, "mainstay-check")
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(body.outgoing(None));
    made.map_err(|error| {
        Broken::new(BreakKind::NoEndpoint, Certainty::NotSent)
            .details(format!("the check's request can't be made: {error}"))
    })
}

/// Told before anything is sent: a gRPC server would only hang up on a request of HTTP/1.1.
pub(super) fn no_http2() -> Broken {
    Broken::new(BreakKind::TlsProtocol, Certainty::NotSent)
        .details("a gRPC check needs HTTP/2, and the peer agreed on HTTP/1.1 or on nothing (ALPN)")
}

/// Whether the answer says SERVING, and that the call went well.
pub(super) async fn judge(response: Response<AnswerBody>, until: Instant) -> Result<(), Broken> {
    let (parts, mut body) = response.into_parts();
    let status = parts.status.as_u16();
    if status != 200 {
        return Err(failed(status, format!("the gRPC check was answered with {status}")));
    }
    if !crate::driver::grpc::is_grpc(&parts.headers) {
        return Err(malformed("the gRPC check's answer isn't gRPC".to_owned()));
    }
    if let Some(result) = by_status(&parts.headers) {
        return result
            .and_then(|()| Err(malformed("the gRPC check's answer has no message".into())));
    }
    let mut read = Vec::new();
    let mut trailers = None;
    loop {
        let frame = timeout_at(until, body.frame()).await;
        let frame = match frame.map_err(|_| late(BreakKind::BodyStalled, Certainty::Processed))? {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Err(Broken::from(error.what)),
        };
        match frame.into_data() {
            Ok(data) => read.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
        if read.len() > LONGEST_ANSWER {
            return Err(malformed("the gRPC check's answer is too long".to_owned()));
        }
    }
    match trailers.as_ref().and_then(by_status) {
        None => Err(Broken::new(BreakKind::BodyTruncated, Certainty::Processed)
            .details("the gRPC check's answer has no grpc-status".to_owned())),
        Some(Err(broken)) => Err(broken),
        Some(Ok(())) => match decode(&read) {
            Some(SERVING) => Ok(()),
            Some(state) => Err(failed(200, format!("the service is {}", name(state)))),
            None => Err(malformed("the gRPC check's answer can't be read".to_owned())),
        },
    }
}

/// What `grpc-status` says, where it is said. Any status but OK is broken: the question was answered by nobody.
fn by_status(fields: &HeaderMap) -> Option<Result<(), Broken>> {
    let outcome = outcome(fields)?;
    if outcome.code == 0 {
        return Some(Ok(()));
    }
    let kind = outcome.kind().unwrap_or(BreakKind::ServerError);
    let what = Break::new(kind, Certainty::Processed);
    let what = Break { status: Some(200), grpc: Some(outcome.code), ..what };
    let said = describe(fields).unwrap_or_default();
    let said = match outcome.code {
        NOT_FOUND => format!("the server doesn't know the service ({said})"),
        UNIMPLEMENTED => format!("the server has no health service ({said})"),
        _ => said,
    };
    Some(Err(Broken::from(what).details(said)))
}

fn malformed(details: String) -> Broken {
    Broken::new(BreakKind::MalformedResponse, Certainty::Processed).details(details)
}

fn name(state: u64) -> String {
    match state {
        0 => "UNKNOWN".to_owned(),
        2 => "NOT_SERVING".to_owned(),
        3 => "SERVICE_UNKNOWN".to_owned(),
        other => format!("in state {other}"),
    }
}

/// A message behind gRPC's prefix: not compressed, length in four bytes.
fn encode(service: &str) -> Bytes {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(FIELD_1_TEXT);
        let mut length = service.len();
        while length >= 0x80 {
            message.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.append(&mut message);
    framed.into()
}

/// The state in a framed answer; a field that isn't there is zero. `None` for anything else.
fn decode(framed: &[u8]) -> Option<u64> {
    let (prefix, message) = framed.split_at_checked(5)?;
    let length = u32::from_be_bytes(prefix[1..].try_into().ok()?);
    if prefix[0] != 0 || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    match message {
        [] => Some(0),
        [FIELD_1_NUMBER, state] if *state < 0x80 => Some(u64::from(*state)),
        _ => None,
    }
}

const SERVING: u64 = 1;
const NOT_FOUND: u8 = 5;
const UNIMPLEMENTED: u8 = 12;
const FIELD_1_TEXT: u8 = 0x0a;
const FIELD_1_NUMBER: u8 = 0x08;
const LONGEST_ANSWER: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_service_in_field_1() {
        assert_eq!(&encode("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(&encode("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        assert_eq!(encode(&"x".repeat(200))[5..8], [0x0a, 0xc8, 1]);
    }

    #[test]
    fn an_answer_is_its_state_or_nothing() {
        assert_eq!(decode(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(decode(&[0, 0, 0, 0, 0]), Some(0));
        for wrong in [&[0, 0, 0, 0, 2, 8][..], &[1, 0, 0, 0, 2, 8, 1], &[0, 0], &[0, 0, 0, 0, 1, 9]]
        {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }
}
