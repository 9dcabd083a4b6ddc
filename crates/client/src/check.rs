//! Active checks: asking an endpoint how it is.
//!
//! A check has a connection of its own, made for it and closed after it: that new connections can be made is part of
//! what it has to show. What breaks is told in the same kinds as a call's breaks.

mod grpc;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::BodyExt;
use mainstay_config::settings::{Probe, ProbeKind};
use mainstay_core::{Break, BreakKind, Certainty};
use tokio::time::{Instant, timeout_at};

use crate::body::Outgoing;
use crate::pool::{AnswerBody, Broken, Lease, Target};

/// Checks `target` once, over a connection of its own.
///
/// # Errors
///
/// What broke: while connecting, sending or receiving as a call's attempt would; `server-error` when the answer
/// isn't one that passes.
pub async fn run(target: &Arc<Target>, probe: &Probe) -> Result<(), Broken> {
    let until = Instant::now() + probe.timeout;
    let connected = timeout_at(until, target.lease_once()).await;
    let mut lease =
        connected.unwrap_or_else(|_| Err(late(BreakKind::ConnectTimeout, Certainty::NotSent)))?;
    match &probe.kind {
        ProbeKind::Connect | ProbeKind::Tls => Ok(()),
        ProbeKind::Grpc { service } => {
            if !lease.is_http2() {
                return Err(grpc::no_http2());
            }
            let response = ask(&mut lease, grpc::request(target, service)?, until).await?;
            grpc::judge(response, until).await
        }
        ProbeKind::Http { path, passes, body_contains } => {
            let response = ask(&mut lease, request(target, path)?, until).await?;
            let status = response.status().as_u16();
            if !passes.iter().any(|(from, to)| (*from..=*to).contains(&status)) {
                return Err(failed(status, format!("the check was answered with {status}")));
            }
            match body_contains {
                None => Ok(()),
                Some(text) if text.is_empty() => Ok(()),
                Some(text) => look_for(text, response, until).await,
            }
        }
    }
}

fn request(target: &Target, path: &str) -> Result<Request<Outgoing>, Broken> {
    let endpoint = target.endpoint();
    let uri = Uri::try_from(format!("{}{path}", endpoint.base_path)).map_err(http::Error::from);
    let made = uri.and_then(|uri| {
        Request::get(uri)
            .header(header::HOST, endpoint.authority())
            .header(header::USER_AGENT, "mainstay-check")
            .header(header::ACCEPT, "*/*")
            .body(Outgoing::default())
    });
    // Settings are checked for this, so it is a fault of ours, and the endpoint wasn't asked.
    made.map_err(|error| {
        Broken::new(BreakKind::NoEndpoint, Certainty::NotSent)
            .details(format!("the check's request can't be made: {error}"))
    })
}

async fn ask(
    lease: &mut Lease,
    request: Request<Outgoing>,
    until: Instant,
) -> Result<Response<AnswerBody>, Broken> {
    let answered = timeout_at(until, lease.send(request)).await;
    answered.unwrap_or_else(|_| Err(late(BreakKind::ResponseTimeout, Certainty::MaybeProcessed)))
}

async fn look_for(
    text: &str,
    response: Response<AnswerBody>,
    until: Instant,
) -> Result<(), Broken> {
    let (parts, mut body) = response.into_parts();
    let mut read = Vec::new();
    while read.len() < LOOKED_AT_BYTES {
        let frame = timeout_at(until, body.frame()).await;
        let frame = match frame.map_err(|_| late(BreakKind::BodyStalled, Certainty::Processed))? {
            None => break,
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Err(Broken::from(error.what)),
        };
        // Only where the new piece may complete the text: a body may come byte by byte.
        let from = read.len().saturating_sub(text.len());
        read.extend_from_slice(&frame.into_data().unwrap_or_else(|_| Bytes::new()));
        read.truncate(LOOKED_AT_BYTES);
        if contains(&read[from..], text) {
            return Ok(());
        }
    }
    Err(failed(parts.status.as_u16(), format!("the check's answer doesn't contain {text:?}")))
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn failed(status: u16, details: String) -> Broken {
    let what = Break::new(BreakKind::ServerError, Certainty::Processed);
    Broken::from(Break { status: Some(status), ..what }).details(details)
}

fn late(kind: BreakKind, certainty: Certainty) -> Broken {
    Broken::new(kind, certainty).details("the check's time was over".to_owned())
}

/// How much of an answer is looked at. A page that says how a server is says it at its beginning.
const LOOKED_AT_BYTES: usize = 64 * 1024;
