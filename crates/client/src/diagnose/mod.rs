//! A walk along everything that a call needs of an endpoint, to say where it breaks and why.
//!
//! ```text
//! resolve -> each address -> TLS -> request -> head -> body -> the connection again -> (how long it may be idle)
//! ```
//!
//! The request goes over a connection made by the pool's own code, with the upstream's own settings, so a break here is
//! the break that a call would meet. What a call doesn't need is looked at besides, over connections of its own: the
//! addresses that lost the race, the certificates of a server that isn't trusted.

mod certificate;
mod finding;
mod seen;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, Request, Response, Uri, header};
use http_body_util::BodyExt;
use mainstay_config::settings::Http2;
use mainstay_core::breaks::StatusSet;
use mainstay_core::{Break, BreakKind, Certainty, Timestamp};
use mainstay_record::{Step, StepName, StepOutcome};
use tokio::time::{sleep, timeout};

pub use certificate::Certificate;
pub use finding::{Class, Finding};
pub use seen::{
    AddressSeen, Diagnosis, FamilySeen, HeadSeen, IdleSeen, NamesSeen, ReuseSeen, StepSeen, TlsSeen,
};

use crate::Clock;
use crate::body::Outgoing;
use crate::broken::Broken;
use crate::pool::{AnswerBody, Target};
use seen::millis;

/// What to ask, and how.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The method. No body is sent.
    pub method: Method,
    /// Path and query, behind the endpoint's base path.
    pub path: String,
    /// The `Host` to ask for, instead of the endpoint's own.
    pub host: Option<String>,
    /// More header fields.
    pub headers: HeaderMap,
    /// How long the head, and each piece of the body, may take.
    pub patience: Duration,
    /// The statuses that count as failures.
    pub failures: StatusSet,
    /// How much of a body is read.
    pub body_bytes: u64,
    /// How long at most a connection is left alone to see when the peer closes it; none: it isn't.
    pub idle_up_to: Option<Duration>,
}

/// Walks along `target`, a fresh one: a kept connection would hide what making one meets.
pub async fn walk(target: &Arc<Target>, asked: &Asked) -> Diagnosis {
    let began = Clock::now();
    let endpoint = target.endpoint();
    let mut seen = Diagnosis {
        endpoint: endpoint.name.clone(),
        url: format!(
            "{}://{}{}{}",
            endpoint.scheme.as_str(),
            endpoint.authority(),
            endpoint.base_path,
            asked.path
        ),
        class: Class::Fine,
        steps: Vec::new(),
        names: None,
        addresses: Vec::new(),
        tls: None,
        head: None,
        body_bytes: None,
        body_whole: None,
        reuse: None,
        idle: None,
        finding: None,
    };
    let mut steps = Vec::new();
    let (called, reached) =
        tokio::join!(call(target, asked, &mut seen, &mut steps), target.connector().reach_all());
    seen.steps = steps.iter().map(|step| StepSeen::of(step, began)).collect();
    let resolution = target.connector().resolution();
    seen.names = resolution.and_then(|one| one.looked_up()).map(NamesSeen::of);
    seen.addresses = reached.into_iter().map(AddressSeen::of).collect();
    if let Some(peer) = peer(&steps)
        && may_show(called.as_ref().err())
    {
        seen.tls = target.shown(peer).await.map(|shown| {
            let offered = match target.settings().http2 {
                Http2::Auto => vec!["h2", "http/1.1"],
                Http2::Always => vec!["h2"],
                Http2::Never => vec!["http/1.1"],
            };
            TlsSeen::of(&shown, offered)
        });
    }
    match called {
        Ok(()) => {
            if let Some(limit) = asked.idle_up_to {
                seen.idle = Some(leave_alone(target, limit).await);
            }
        }
        Err(broken) => {
            seen.class = Class::of(broken.what.kind);
            let finding = Finding::of(broken.what.kind, said(&broken));
            // Only a walk whose first request went well comes to a second one.
            let step = if seen.reuse.is_some() { REUSE } else { finding.step };
            seen.finding = Some(Finding { step, ..finding });
        }
    }
    seen
}

/// One call, its body, and the connection again.
async fn call(
    target: &Arc<Target>,
    asked: &Asked,
    seen: &mut Diagnosis,
    steps: &mut Vec<Step>,
) -> Result<(), Broken> {
    let mut lease = match target.lease(true).await {
        Ok(lease) => lease,
        Err(mut broken) => {
            steps.append(&mut broken.steps);
            return Err(broken);
        }
    };
    let made = request(target, asked)?;
    let sent_at = Clock::now();
    let answered = timeout(asked.patience, lease.send(made)).await;
    let answered = answered
        .unwrap_or_else(|_| Err(late(BreakKind::ResponseTimeout, Certainty::MaybeProcessed)));
    let broke = answered.as_ref().err().map(|broken| broken.what.kind);
    let exchange = lease.take_exchange();
    steps.extend(exchange.into_iter().flat_map(|exchange| exchange.steps(Clock::now(), broke)));
    drop(lease);
    let response = answered?;
    let head = head(&response, sent_at);
    let failed = failed(&response, &asked.failures);
    seen.head = Some(head);
    let body_at = Clock::now();
    let (bytes, read) = read(response, asked).await;
    seen.body_bytes = Some(bytes);
    seen.body_whole = Some(read == Ok(Read::Whole));
    let outcome = match &read {
        Ok(Read::Whole) => StepOutcome::Done(Some(format!("{bytes} bytes"))),
        Ok(Read::Partly) => {
            StepOutcome::Done(Some(format!("{bytes} bytes, and not read to its end")))
        }
        Err(kind) => StepOutcome::Broke(*kind, Some(format!("after {bytes} bytes"))),
    };
    let took = Clock::now().since(body_at);
    steps.push(Step { name: StepName::Body, started_at: body_at, took, outcome });
    if let Err(kind) = read {
        let after = format!("after {bytes} bytes of the body");
        return Err(Broken::new(kind, Certainty::Processed).details(after));
    }
    if let Some(broken) = failed {
        return Err(broken);
    }
    // Asking twice is for those methods alone that change nothing.
    if !asked.method.is_safe() {
        return Ok(());
    }
    let started_at = Clock::now();
    let mut reused = false;
    let again = again(target, asked, &mut reused).await;
    let took_ms = millis(Clock::now().since(started_at));
    let code = again.as_ref().err().map(|broken| broken.what.kind.code());
    seen.reuse = Some(ReuseSeen { reused, took_ms, code });
    again
}

/// What a call would make of the status: the failures are those of its upstream, or the default.
fn failed(response: &Response<AnswerBody>, failures: &StatusSet) -> Option<Broken> {
    let retry_after =
        response.headers().contains_key(header::RETRY_AFTER).then_some(Duration::ZERO);
    let status = response.status().as_u16();
    let what = Break::of_status(status, retry_after, failures)?;
    Some(Broken::from(what).details(format!("status {status}")))
}

fn request(target: &Target, asked: &Asked) -> Result<Request<Outgoing>, Broken> {
    let endpoint = target.endpoint();
    let authority = endpoint.authority();
    // HTTP/2 takes scheme and authority from here, HTTP/1.1 the path alone.
    let uri =
        format!("{}://{authority}{}{}", endpoint.scheme.as_str(), endpoint.base_path, asked.path);
    let host = asked.host.as_deref().unwrap_or(&authority);
    let made = Uri::try_from(uri).map_err(http::Error::from).and_then(|uri| {
        Request::builder()
            .method(asked.method.clone())
            .uri(uri)
            .header(header::HOST, host)
            .header(header::USER_AGENT, "mainstay-diagnose")
            .header(header::ACCEPT, "*/*")
            .body(Outgoing::default())
    });
    let mut made = made.map_err(|error| {
        Broken::new(BreakKind::NoEndpoint, Certainty::NotSent)
            .details(format!("the request can't be made: {error}"))
    })?;
    for (name, value) in &asked.headers {
        made.headers_mut().insert(name, value.clone());
    }
    Ok(made)
}

fn head(response: &Response<AnswerBody>, sent_at: Timestamp) -> HeadSeen {
    let text = |name: HeaderName| {
        let value = response.headers().get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    HeadSeen {
        status: response.status().as_u16(),
        version: format!("{:?}", response.version()),
        first_byte_ms: millis(Clock::now().since(sent_at)),
        server: text(header::SERVER),
        keep_alive: text(HeaderName::from_static("keep-alive")),
    }
}

/// How far a body was read that didn't break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Whole,
    Partly,
}

/// Reads a body and forgets it: how much came, and what broke.
async fn read(response: Response<AnswerBody>, asked: &Asked) -> (u64, Result<Read, BreakKind>) {
    let mut body = response.into_body();
    let mut bytes = 0;
    loop {
        match timeout(asked.patience, body.frame()).await {
            Err(_) => return (bytes, Err(BreakKind::BodyStalled)),
            Ok(None) => return (bytes, Ok(Read::Whole)),
            Ok(Some(Ok(frame))) => {
                bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if bytes > asked.body_bytes {
                    return (bytes, Ok(Read::Partly));
                }
            }
            Ok(Some(Err(error))) => return (bytes, Err(error.what.kind)),
        }
    }
}

/// A second request, over the kept connection if it was kept.
async fn again(target: &Arc<Target>, asked: &Asked, reused: &mut bool) -> Result<(), Broken> {
    let mut lease = target.lease(false).await?;
    *reused = lease.is_reused();
    let answered = timeout(asked.patience, lease.send(request(target, asked)?)).await;
    let answered = answered
        .unwrap_or_else(|_| Err(late(BreakKind::ResponseTimeout, Certainty::MaybeProcessed)));
    let response = answered?;
    if let Some(broken) = failed(&response, &asked.failures) {
        return Err(broken);
    }
    match read(response, asked).await {
        (_, Ok(_)) => Ok(()),
        (bytes, Err(kind)) => Err(Broken::new(kind, Certainty::Processed)
            .details(format!("after {bytes} bytes of the body"))),
    }
}

/// Watches the kept connection until its peer closes it. Its task sees that at once, and lets go of its place.
async fn leave_alone(target: &Target, limit: Duration) -> IdleSeen {
    let since = Clock::now();
    loop {
        let watched = Clock::now().since(since);
        let counts = target.counts();
        if counts.idle + counts.in_use == 0 {
            return IdleSeen {
                closed_after_ms: Some(millis(watched)),
                watched_ms: millis(watched),
            };
        }
        if watched >= limit {
            return IdleSeen { closed_after_ms: None, watched_ms: millis(watched) };
        }
        sleep(LOOK_EVERY.min(limit)).await;
    }
}

/// The address that took the connection.
fn peer(steps: &[Step]) -> Option<std::net::SocketAddr> {
    steps.iter().find_map(|step| match (step.name, &step.outcome) {
        (StepName::Connect(address), StepOutcome::Done(_)) => Some(address),
        _ => None,
    })
}

/// Whether a server would get so far as to show its certificates.
fn may_show(broken: Option<&Broken>) -> bool {
    use BreakKind as K;
    broken.is_none_or(|broken| {
        !matches!(broken.what.kind, K::TlsAlert | K::TlsProtocol | K::TlsTimeout)
    })
}

fn said(broken: &Broken) -> Option<String> {
    match (&broken.details, &broken.evidence) {
        (Some(details), Some(evidence)) => Some(format!("{details}; {evidence}")),
        (Some(details), None) => Some(details.clone()),
        (None, evidence) => evidence.as_deref().map(str::to_owned),
    }
}

fn late(kind: BreakKind, certainty: Certainty) -> Broken {
    Broken::new(kind, certainty).details("nothing came in time")
}

/// Enough to see that a body comes; a download of gigabytes isn't fetched to its end.
pub const BODY_BYTES: u64 = 64 * 1024 * 1024;

/// The step of the second request.
const REUSE: &str = "reuse";

const LOOK_EVERY: Duration = Duration::from_millis(20);
