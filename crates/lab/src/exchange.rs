//! From a request to what becomes of it: the fault that meets it, in words that both HTTP versions understand.
//!
//! Here, and only here, a request is executed, that is: counted. What comes out is carried out byte by byte in
//! `h1/` and `h2.rs`; neither knows about faults.

use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::time::Instant;

use crate::active::Active;
use crate::api::{self, Reply, Request, Twist};
use crate::fault::{Changing, Fault, Place, RetryAfter};
use crate::site::Site;

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// No answer, ever.
    Silence,
    /// RST before the answer.
    Reset,
    /// FIN before the answer.
    Close,
    /// These bytes instead of an answer, then FIN.
    Garbage(Vec<u8>),
    /// REFUSED_STREAM.
    RefuseStream,
    /// GOAWAY.
    GoAway,
    /// This answer, and GOAWAY in two steps.
    GoAwayGracefully(Box<Reply>),
    /// An answer, sent in this manner.
    Answer(Box<Reply>, Manner),
}

/// How an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should be.
    Whole,
    /// Half of the head, then silence.
    HalfHead,
    /// The head, then RST.
    HeadOnly,
    /// A part of the body, then that; none: the body is empty, or an echo without such a place.
    Cut(Option<Cut>, After),
    /// In pieces of so many bytes, with pauses.
    Pieces(u64, Duration),
}

/// How much of a body is sent before it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// In bytes.
    pub(crate) at: u64,
    /// How the last chunk looks, if there are chunks.
    pub(crate) edge: Edge,
    /// A body that turns out to be shorter isn't broken.
    pub(crate) spares_shorter: bool,
}

/// How chunks end that are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// With a whole one.
    Whole,
    /// With one that promised more.
    InChunk,
    /// Within the next one's head; the number, drawn by chance, says how far in it.
    InHead(u64),
}

/// What follows a broken answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// RST.
    Reset,
    /// FIN.
    Close,
    /// Nothing, ever.
    Silence,
}

/// Decides what becomes of a request that has been read whole, and executes it if that is part of it.
pub(crate) async fn carry_out(site: &Site, request: &Request) -> Outcome {
    let (fault, active) = site.fault_for(request);
    match fault {
        // The listener and the connection see to these, or the DNS server does; a request that meets them is answered.
        Fault::Healthy
        | Fault::Refuse
        | Fault::Blackhole
        | Fault::HalfDead
        | Fault::CloseOnReuse { .. }
        | Fault::Tls(_)
        | Fault::Dns(_)
        | Fault::H2PingPolicy { .. }
        | Fault::H2MaxStreams { .. } => executed(site, request, Manner::Whole),
        Fault::CloseIdle { after, hint: true, .. } => hinted(site, request, after),
        Fault::CloseIdle { .. } => executed(site, request, Manner::Whole),
        // `Active` has resolved it already.
        Fault::Flap { .. } => executed(site, request, Manner::Whole),
        Fault::Hang => Outcome::Silence,
        Fault::ResetBefore => Outcome::Reset,
        Fault::CloseBefore => Outcome::Close,
        Fault::Garbage { bytes } => Outcome::Garbage(site.garbage(bytes as usize)),
        Fault::H2RefuseStream => Outcome::RefuseStream,
        Fault::H2GoAway => Outcome::GoAway,
        Fault::H2GoAwayGraceful => Outcome::GoAwayGracefully(Box::new(healthy(site, request))),
        Fault::NotServing if request.path == api::grpc::HEALTH_CHECK => Outcome::Answer(
            Box::new(api::grpc::health(api::grpc::Health::NotServing)),
            Manner::Whole,
        ),
        Fault::NotServing => executed(site, request, Manner::Whole),
        Fault::ResetAfterExecute => {
            execute(site, request);
            Outcome::Reset
        }
        Fault::ResetAfterHead => executed(site, request, Manner::HeadOnly),
        Fault::ResetInBody { at } => cut(site, healthy(site, request), at, After::Reset),
        Fault::Truncate { at } => cut(site, healthy(site, request), at, After::Close),
        Fault::TruncateChunked { at } => {
            let reply = Reply { chunked: true, ..healthy(site, request) };
            cut(site, reply, at, After::Close)
        }
        Fault::Stall { at } => cut(site, healthy(site, request), at, After::Silence),
        Fault::StallHead => executed(site, request, Manner::HalfHead),
        Fault::Range(trouble) => twisted(site, request, Twist::Range(trouble)),
        Fault::EtagWeak => twisted(site, request, Twist::WeakEtag),
        Fault::EtagNone => twisted(site, request, Twist::NoEtag),
        Fault::Changing(Changing { every, lies }) => {
            let period = every.map(|every| active.period(Instant::now(), every));
            twisted(site, request, Twist::Changed { period, lies })
        }
        Fault::Trickle { bytes, every } => executed(site, request, Manner::Pieces(bytes, every)),
        Fault::Slow(delay) => {
            let outcome = executed(site, request, Manner::Whole);
            tokio::time::sleep(site.delay(delay)).await;
            outcome
        }
        Fault::Cold { extra, lasting } => {
            tokio::time::sleep(active.coldness(Instant::now(), extra, lasting)).await;
            executed(site, request, Manner::Whole)
        }
        Fault::Status { code, executed } => status(site, request, code, executed),
        Fault::Throttle { code, retry_after } => throttle(request, code, retry_after),
        Fault::Capacity { .. } => queued(site, request, &active).await,
    }
}

fn execute(site: &Site, request: &Request) -> u64 {
    site.oracle.executed(site.entry(request))
}

fn executed(site: &Site, request: &Request, manner: Manner) -> Outcome {
    Outcome::Answer(Box::new(healthy(site, request)), manner)
}

/// An answer that breaks at this place of its body.
fn cut(site: &Site, mut reply: Reply, place: Place, after: After) -> Outcome {
    let length = reply.source.left();
    let in_event = if place == Place::InEvent { reply.source.in_event() } else { None };
    let (at, edge) = site.draw(|rng| {
        if reply.upgrade.is_some() {
            return (place.cut_of_echo(rng), Edge::Whole);
        }
        let edge = match place {
            Place::InChunk => Edge::InChunk,
            Place::InChunkHead => Edge::InHead(rng.next_u64()),
            _ => Edge::Whole,
        };
        (place.cut(length, in_event, rng), edge)
    });
    let spares_shorter = matches!(place, Place::Every(_));
    if at.is_none() && spares_shorter {
        return Outcome::Answer(Box::new(reply), Manner::Whole);
    }
    reply.chunked |= place.is_of_chunks();
    let cut = at.map(|at| Cut { at, edge, spares_shorter });
    Outcome::Answer(Box::new(reply), Manner::Cut(cut, after))
}

/// A healthy answer that says how long its connection may be idle.
fn hinted(site: &Site, request: &Request, after: Duration) -> Outcome {
    let mut reply = healthy(site, request);
    if let Ok(value) = HeaderValue::from_str(&format!("timeout={}", after.as_secs().max(1))) {
        reply.headers.insert(HeaderName::from_static("keep-alive"), value);
    }
    Outcome::Answer(Box::new(reply), Manner::Whole)
}

/// Executes a request, if it is one that can be, and says what a healthy server answers.
pub(crate) fn healthy(site: &Site, request: &Request) -> Reply {
    answer(site, request, Twist::None)
}

fn twisted(site: &Site, request: &Request, twist: Twist) -> Outcome {
    Outcome::Answer(Box::new(answer(site, request, twist)), Manner::Whole)
}

fn answer(site: &Site, request: &Request, twist: Twist) -> Reply {
    api::refusal(request)
        .unwrap_or_else(|| api::answer(site, request, execute(site, request), twist))
}

fn status(site: &Site, request: &Request, code: u16, is_executed: bool) -> Outcome {
    if is_executed {
        execute(site, request);
    }
    refusal(request, code, "the script says so")
}

fn throttle(request: &Request, code: u16, retry_after: RetryAfter) -> Outcome {
    let mut outcome = refusal(request, code, "too many requests, the script says");
    let hint = match retry_after {
        RetryAfter::Absent => return outcome,
        RetryAfter::Seconds(seconds) => seconds.to_string(),
        RetryAfter::Date(seconds) => {
            // The form has whole seconds: rounded up, so that the date doesn't lie too near.
            let ahead = Duration::from_secs(u64::from(seconds)) + Duration::from_millis(999);
            // httpdate can't write dates after the year 9999; a hint of u32 seconds stays below.
            httpdate::fmt_http_date(SystemTime::now() + ahead)
        }
    };
    if let (Outcome::Answer(reply, _), Ok(value)) = (&mut outcome, HeaderValue::from_str(&hint)) {
        reply.headers.insert(header::RETRY_AFTER, value);
    }
    outcome
}

async fn queued(site: &Site, request: &Request, active: &Active) -> Outcome {
    let Some(queue) = &active.queue else {
        return executed(site, request, Manner::Whole);
    };
    match queue.serve().await {
        Ok(()) => executed(site, request, Manner::Whole),
        Err(_full) => refusal(request, 503, "the queue is full"),
    }
}

fn refusal(request: &Request, code: u16, why: &str) -> Outcome {
    // Codes are checked when a fault is read; a fault made in code may hold anything.
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = match request.is_grpc() {
        true => api::grpc::refusal(status, why),
        false => Reply::error(status, why),
    };
    reply.is_to_head = request.method == http::Method::HEAD;
    Outcome::Answer(Box::new(reply), Manner::Whole)
}
