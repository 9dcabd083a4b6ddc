//! Calls as spans: one for the call, one for each attempt.
//!
//! The call's span is a SERVER's where an application asked for it over a listener, since to the application Mainstay is the
//! server; else it is INTERNAL. Each attempt is a CLIENT's, a child of the call's, and its id is what the upstream was told. An
//! attempt that was made beside another is linked to it, and that one to it.

use std::borrow::Cow;

use mainstay_core::event::{AttemptId, AttemptReason};
use mainstay_core::{Break, BreakKind, EndpointId, Event, Timestamp};

use super::{Message, Resource, Value, attribute, scope};
use crate::call::facts::{Step, StepOutcome};
use crate::call::kept::KeptCall;
use crate::call::{Origin, RequestFacts};
use crate::feed::{Source, is_news, millis};
use crate::label::Label;
use crate::span::{SpanBatch, TraceContext};

impl SpanBatch {
    /// The batch as an `ExportTraceServiceRequest`. `zero_unix_nanos`: the wall-clock time at which the calls' clock began.
    /// `paths`: whether spans say the request's path.
    #[must_use]
    pub fn encode(&self, resource: &Resource, zero_unix_nanos: u64, paths: bool) -> Vec<u8> {
        let mut request = Message::with_capacity(self.0.len() * BYTES_A_CALL);
        request.message(1, |all| {
            resource.write(all, 1);
            all.message(2, |spans| {
                scope(spans, 1);
                for call in &self.0 {
                    let told = Told::of(call, zero_unix_nanos, paths);
                    told.into_iter().for_each(|told| told.write(spans));
                }
                spans.text(3, SCHEMA);
            });
            all.text(3, SCHEMA);
        });
        request.into_bytes()
    }
}

/// A call, with what its spans are made of.
struct Told<'a> {
    call: &'a KeptCall,
    context: TraceContext,
    request: &'a RequestFacts,
    attempts: Vec<Attempt>,
    began: Timestamp,
    zero_unix_nanos: u64,
    paths: bool,
    end: End,
}

/// How the call ended.
#[derive(Default)]
struct End {
    status: Option<u16>,
    error: Option<&'static str>,
    outcome: &'static str,
    saved: Option<&'static str>,
    attempts: u16,
}

struct Attempt {
    id: AttemptId,
    endpoint: EndpointId,
    reason: AttemptReason,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    outcome: Outcome,
    /// What broke in the body of its answer.
    body: Option<BreakKind>,
    /// The attempts that were out when it began beside them.
    beside: Vec<AttemptId>,
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Unfinished,
    Answered(u16),
    Broke(Break),
    Outrun,
}

impl<'a> Told<'a> {
    /// `None` for a call that belongs to no trace.
    fn of(call: &'a KeptCall, zero_unix_nanos: u64, paths: bool) -> Option<Self> {
        let context = *call.trace().context()?;
        let request = call.request()?;
        let began = call.trace().events().next().map_or(Timestamp::ZERO, |(at, _)| *at);
        let (attempts, end) = (Vec::new(), End::default());
        let mut told =
            Self { call, context, request, attempts, began, zero_unix_nanos, paths, end };
        let mut delivering = None;
        for (at, event) in call.trace().events() {
            told.take_in(*at, event, &mut delivering);
        }
        // What was answered and delivered goes on until the call is over; so does what nobody heard of again.
        for attempt in &mut told.attempts {
            attempt.ended_at = attempt.ended_at.or(Some(request.ended_at));
        }
        Some(told)
    }

    fn take_in(&mut self, at: Timestamp, event: &Event, delivering: &mut Option<AttemptId>) {
        match *event {
            Event::AttemptStarted { attempt, endpoint, reason } => {
                let out = |other: &&mut Attempt| {
                    other.ended_at.is_none() && other.outcome == Outcome::Unfinished
                };
                let mut beside = Vec::new();
                if reason == AttemptReason::Hedge {
                    for other in self.attempts.iter_mut().filter(out) {
                        beside.push(other.id);
                        other.beside.push(attempt);
                    }
                }
                self.attempts.push(Attempt {
                    id: attempt,
                    endpoint,
                    reason,
                    started_at: at,
                    ended_at: None,
                    outcome: Outcome::Unfinished,
                    body: None,
                    beside,
                });
            }
            Event::AttemptSucceeded { attempt, status, .. } => {
                *delivering = Some(attempt);
                self.end_attempt(attempt, Outcome::Answered(status), None);
            }
            Event::AttemptFailed { attempt, what, .. } => {
                self.end_attempt(attempt, Outcome::Broke(what), Some(at));
                self.end.error = Some(what.kind.code());
            }
            Event::AttemptOutrun { attempt, .. } => {
                self.end_attempt(attempt, Outcome::Outrun, Some(at))
            }
            Event::CallDelivered { status, attempts, saved, as_is, .. } => {
                self.end = End {
                    status: Some(status),
                    error: self.end.error.filter(|_| as_is),
                    outcome: if as_is { "as_is" } else { "delivered" },
                    saved: (saved != mainstay_core::event::Saved::NotNeeded).then(|| saved.code()),
                    attempts,
                };
            }
            Event::CallFailed { kind, attempts, .. } => {
                self.end =
                    End { error: Some(kind.code()), outcome: "failed", attempts, ..End::default() };
            }
            Event::CallDegraded { status, .. } => self.end.status = Some(status),
            Event::BodyFailed { kind, .. } => {
                self.end.error = Some(kind.code());
                if let Some(attempt) = delivering.and_then(|id| self.attempt(id)) {
                    attempt.body = Some(kind);
                    attempt.ended_at = Some(at);
                }
            }
            Event::BodyResumed { attempt, .. } => *delivering = Some(attempt),
            Event::AnswerHealed { .. } => self.end.error = None,
            _ => {}
        }
    }

    fn attempt(&mut self, id: AttemptId) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.id == id)
    }

    fn end_attempt(&mut self, id: AttemptId, outcome: Outcome, at: Option<Timestamp>) {
        if let Some(attempt) = self.attempt(id) {
            (attempt.outcome, attempt.ended_at) = (outcome, at);
        }
    }

    fn write(&self, spans: &mut Message) {
        spans.message(SPAN, |span| self.write_call(span));
        for attempt in &self.attempts {
            spans.message(SPAN, |span| self.write_attempt(span, attempt));
        }
    }

    fn write_call(&self, span: &mut Message) {
        let (context, request) = (&self.context, self.request);
        span.bytes(1, &context.trace_id());
        span.bytes(2, &context.span_id());
        if let Some(state) = &request.state {
            span.text(3, state);
        }
        if let Some(parent) = context.parent_id() {
            span.bytes(4, &parent);
        }
        let method = method(self.call.method());
        span.text(5, &format!("{method} {}", self.call.route()));
        span.number(
            6,
            if matches!(request.origin, Origin::Listener { .. }) { SERVER } else { INTERNAL },
        );
        self.write_times(span, self.began, request.ended_at);
        self.write_request(span);
        if let Origin::Listener { secure } = request.origin {
            let scheme = if secure { "https" } else { "http" };
            attribute(span, ATTRIBUTE, "url.scheme", Value::Text(scheme));
            if let Some((host, port)) = request.host.as_deref().map(host_and_port) {
                attribute(span, ATTRIBUTE, "server.address", Value::Text(host));
                let port = port.unwrap_or(if secure { 443 } else { 80 });
                attribute(span, ATTRIBUTE, "server.port", Value::Whole(port.into()));
            }
            attribute(
                span,
                ATTRIBUTE,
                "network.protocol.version",
                Value::Text(version(request.version)),
            );
        }
        let End { status, saved, outcome, attempts, .. } = self.end;
        if let Some(status) = status {
            attribute(span, ATTRIBUTE, "http.response.status_code", Value::Whole(status.into()));
        }
        let outcome = if outcome.is_empty() { "unfinished" } else { outcome };
        for (key, value) in [
            ("mainstay.call.id", Some(self.call.id().to_string().as_str())),
            ("mainstay.route", Some(self.call.route())),
            ("mainstay.upstream", Some(&**self.call.names().upstream())),
            ("mainstay.outcome", Some(outcome)),
            ("mainstay.saved", saved),
        ] {
            if let Some(value) = value {
                attribute(span, ATTRIBUTE, key, Value::Text(value));
            }
        }
        attribute(span, ATTRIBUTE, "mainstay.attempts", Value::Whole(attempts.into()));
        // A 4xx is the caller's to mend; a server's span has no error then.
        let status = status.filter(|status| *status >= 500).map(|status| status.to_string());
        let error = self.end.error.or(status.as_deref());
        if let Some(error) = error {
            attribute(span, ATTRIBUTE, "error.type", Value::Text(error));
        }
        self.write_decisions(span);
        if error.is_some() {
            span.message(STATUS, |status| status.number(3, ERROR));
        }
        let remote =
            if context.parent_id().is_some() { HAS_REMOTE | IS_REMOTE } else { HAS_REMOTE };
        span.fixed32(FLAGS, u32::from(context.flags(true)) | remote);
    }

    fn write_attempt(&self, span: &mut Message, attempt: &Attempt) {
        let context = &self.context;
        span.bytes(1, &context.trace_id());
        span.bytes(2, &context.attempt_id(attempt.id));
        if let Some(state) = &self.request.state {
            span.text(3, state);
        }
        span.bytes(4, &context.span_id());
        span.text(5, method(self.call.method()));
        span.number(6, CLIENT);
        self.write_times(
            span,
            attempt.started_at,
            attempt.ended_at.unwrap_or(self.request.ended_at),
        );
        self.write_request(span);
        let names = self.call.names();
        let (host, port) = names.address(attempt.endpoint);
        attribute(span, ATTRIBUTE, "server.address", Value::Text(host));
        if port > 0 {
            attribute(span, ATTRIBUTE, "server.port", Value::Whole(port.into()));
        }
        // How often the request had been sent before this, in the order of attempts.
        let resent = attempt.id.0.saturating_sub(1);
        if resent > 0 {
            attribute(span, ATTRIBUTE, "http.request.resend_count", Value::Whole(resent.into()));
        }
        attribute(
            span,
            ATTRIBUTE,
            "mainstay.endpoint",
            Value::Text(names.endpoint(attempt.endpoint)),
        );
        attribute(span, ATTRIBUTE, "mainstay.attempt.reason", Value::Text(attempt.reason.code()));
        let (error, result) = self.write_outcome(span, attempt);
        attribute(span, ATTRIBUTE, "mainstay.attempt.result", Value::Text(result));
        if let Some(error) = &error {
            attribute(span, ATTRIBUTE, "error.type", Value::Text(error));
        }
        let facts = self.call.trace().facts(attempt.id);
        if let Some(connection) = facts.and_then(|facts| facts.connection) {
            let version = connection.protocol.strip_prefix("http/").unwrap_or("2");
            attribute(span, ATTRIBUTE, "network.protocol.version", Value::Text(version));
            if let Some(peer) = connection.peer {
                let address = peer.ip().to_string();
                attribute(span, ATTRIBUTE, "network.peer.address", Value::Text(&address));
                attribute(span, ATTRIBUTE, "network.peer.port", Value::Whole(peer.port().into()));
            }
            let reused = connection.requests_before > 0 || connection.idle_for.is_some();
            attribute(span, ATTRIBUTE, "mainstay.connection.reused", Value::Flag(reused));
        }
        for step in facts.iter().flat_map(|facts| &facts.steps) {
            self.write_step(span, step);
        }
        for other in &attempt.beside {
            span.message(LINK, |link| {
                link.bytes(1, &context.trace_id());
                link.bytes(2, &context.attempt_id(*other));
                attribute(link, 4, "mainstay.link", Value::Text("beside"));
            });
        }
        if error.is_some() {
            let detail = facts.and_then(|facts| facts.detail.as_deref());
            span.message(STATUS, |status| {
                detail.into_iter().for_each(|detail| status.text(2, detail));
                status.number(3, ERROR);
            });
        }
        span.fixed32(FLAGS, u32::from(context.flags(true)) | HAS_REMOTE);
    }

    /// What became of the attempt: its error, if it is one, and its result.
    fn write_outcome(
        &self,
        span: &mut Message,
        attempt: &Attempt,
    ) -> (Option<Cow<'static, str>>, &'static str) {
        let mut status = |status: Option<u16>| {
            if let Some(status) = status {
                attribute(
                    span,
                    ATTRIBUTE,
                    "http.response.status_code",
                    Value::Whole(status.into()),
                );
            }
        };
        let (error, result) = match attempt.outcome {
            Outcome::Unfinished => (None, "unfinished"),
            Outcome::Outrun => (None, "outrun"),
            Outcome::Answered(code) => {
                status(Some(code));
                // To a client 4xx is an error too.
                ((code >= 400).then(|| code.to_string().into()), "answered")
            }
            Outcome::Broke(what) => {
                status(what.status);
                attribute(
                    span,
                    ATTRIBUTE,
                    "mainstay.break.phase",
                    Value::Text(what.phase().code()),
                );
                attribute(
                    span,
                    ATTRIBUTE,
                    "mainstay.break.certainty",
                    Value::Text(what.certainty.code()),
                );
                if let Some(grpc) = what.grpc {
                    attribute(span, ATTRIBUTE, "rpc.grpc.status_code", Value::Whole(grpc.into()));
                }
                (Some(what.kind.code().into()), "broke")
            }
        };
        (attempt.body.map(|kind| kind.code().into()).or(error), result)
    }

    fn write_request(&self, span: &mut Message) {
        let told = self.call.method();
        match method(told) {
            OTHER => {
                attribute(span, ATTRIBUTE, "http.request.method", Value::Text("_OTHER"));
                attribute(span, ATTRIBUTE, "http.request.method_original", Value::Text(told));
            }
            known => attribute(span, ATTRIBUTE, "http.request.method", Value::Text(known)),
        }
        if self.paths {
            attribute(span, ATTRIBUTE, "url.path", Value::Text(self.call.path()));
        }
    }

    /// What was decided on the way, and what happened to breakers and bodies, as events of the call's span.
    fn write_decisions(&self, span: &mut Message) {
        let source = Source { names: self.call.names(), call: None, unix_ms: 0 };
        for (at, event) in self.call.trace().events().filter(|(_, event)| is_decision(event)) {
            let item = source.item(*at, event);
            span.message(EVENT, |written| {
                written.fixed64(1, self.unix_nanos(*at));
                written.text(2, event.code());
                for (key, value) in [
                    ("mainstay.decision", item.decision.as_deref()),
                    ("mainstay.why", item.why.as_deref()),
                    ("mainstay.endpoint", item.endpoint.as_deref()),
                    ("error.type", item.code.as_deref()),
                ] {
                    if let Some(value) = value {
                        attribute(written, 3, key, Value::Text(value));
                    }
                }
                if let Some(for_ms) = item.for_ms {
                    attribute(written, 3, "mainstay.for_ms", Value::Real(for_ms));
                }
            });
        }
    }

    fn write_step(&self, span: &mut Message, step: &Step) {
        span.message(EVENT, |written| {
            written.fixed64(1, self.unix_nanos(step.started_at));
            written.text(2, step.name.code());
            attribute(written, 3, "mainstay.took_ms", Value::Real(millis(step.took)));
            match &step.outcome {
                StepOutcome::Done(_) => {}
                StepOutcome::Broke(kind, _) => {
                    attribute(written, 3, "error.type", Value::Text(kind.code()))
                }
                StepOutcome::GivenUp => {
                    attribute(written, 3, "mainstay.given_up", Value::Flag(true))
                }
            }
        });
    }

    fn write_times(&self, span: &mut Message, from: Timestamp, to: Timestamp) {
        span.fixed64(7, self.unix_nanos(from));
        span.fixed64(8, self.unix_nanos(to.max(from)));
    }

    const fn unix_nanos(&self, at: Timestamp) -> u64 {
        self.zero_unix_nanos.saturating_add(at.as_nanos())
    }
}

/// What is told by the spans themselves isn't told as an event of theirs.
const fn is_decision(event: &Event) -> bool {
    is_news(event)
        && !matches!(
            event,
            Event::AttemptStarted { .. }
                | Event::AttemptFailed { .. }
                | Event::AttemptOutrun { .. }
                | Event::CallDelivered { .. }
                | Event::CallFailed { .. }
        )
}

/// Methods that anybody may invent would make names without bound.
fn method(method: &str) -> &'static str {
    const KNOWN: [&str; 10] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or(OTHER)
}

/// An authority without its port, and the port.
fn host_and_port(authority: &str) -> (&str, Option<u16>) {
    let bracketed = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    (host, port.and_then(|port| port.parse().ok()))
}

const fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// The name of a span whose method isn't known.
const OTHER: &str = "HTTP";

/// A call of one attempt takes some 700 bytes.
const BYTES_A_CALL: usize = 1024;

const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

// Fields of a span, of its scope, and values of enums.
const SPAN: u32 = 2;
const ATTRIBUTE: u32 = 9;
const EVENT: u32 = 11;
const LINK: u32 = 13;
const STATUS: u32 = 15;
const FLAGS: u32 = 16;
const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const ERROR: u64 = 2;
const HAS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_split_at_its_port() {
        for (authority, host, port) in [
            ("a.test", "a.test", None),
            ("a.test:81", "a.test", Some(81)),
            ("[::1]", "::1", None),
            ("[::1]:81", "::1", Some(81)),
        ] {
            assert_eq!(host_and_port(authority), (host, port));
        }
    }

    #[test]
    fn invented_methods_have_one_name() {
        assert_eq!((method("GET"), method("get"), method("BREW")), ("GET", OTHER, OTHER));
    }
}
