//! What happened to one call, in full: its attempts, what broke, what was decided, how it ended.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::CallId;

/// The story of a call. Durations are in milliseconds, to the microsecond.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The version of this form: 1.
    pub v: u8,
    /// Its id.
    pub id: CallId,
    /// The name of its route.
    pub route: Arc<str>,
    /// The name of its upstream.
    pub upstream: Arc<str>,
    /// The request's method.
    pub method: String,
    /// The request's path, without the query; control characters percent-encoded, cut at 512 bytes.
    pub path: String,
    /// When it began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// From its start to the head of the answer or to the end without one; `None` when neither was recorded.
    pub took_ms: Option<f64>,
    /// How it ended: `delivered`, `as_is`, `failed`, or `unfinished`.
    pub outcome: Cow<'static, str>,
    /// The status that the application got from the upstream, or in its place.
    pub status: Option<u16>,
    /// What saved it: `retry`, `failover` or `hedge`; `None` when nothing had to or nothing did.
    pub saved: Option<Cow<'static, str>>,
    /// What broke last, if it failed.
    pub code: Option<Cow<'static, str>>,
    /// How far the request may have got, if it failed.
    pub certainty: Option<Cow<'static, str>>,
    /// Why nothing more was tried, if the last attempt broke.
    pub stopped: Option<Cow<'static, str>>,
    /// What broke in the body of the delivered answer; the last break if there were several.
    pub body_broke: Option<Cow<'static, str>>,
    /// How often the body of the delivered answer broke, if it came whole all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healed: Option<u16>,
    /// Why the broken body of the delivered answer wasn't continued: `off`, what was missing to the proof, or the reason to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cow<'static, str>>,
    /// How often the request's body went on from where the server had it, in a resumable upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_resumed: Option<u16>,
    /// Why such an upload wasn't continued: what was missing to the proof, or the reason to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_not_resumed: Option<Cow<'static, str>>,
    /// Whether the request's body couldn't be sent again.
    pub body_unrepeatable: bool,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptRecord>,
    /// What else happened on its way, at endpoints: breakers that it opened or closed, failing open.
    pub notes: Vec<NoteRecord>,
    /// What its attempts had to wait for before they started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<HoldRecord>,
    /// Why a second attempt that was due beside the first wasn't made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge_refused: Option<Cow<'static, str>>,
    /// What the application got in place of an answer that failed, or of an error: `stale` or `static`. Its status is in
    /// `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Cow<'static, str>>,
    /// What became of the connection after it had switched protocols.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<TunnelRecord>,
    /// Events for which there was no room.
    pub events_dropped: u32,
}

/// A connection that had switched protocols.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TunnelRecord {
    /// Why it ended: `closed-by-application`, `closed-by-upstream`, `finished`, `application-gone`, `application-malformed`,
    /// `upstream-reset`, `upstream-gone`, `upstream-dead`, `upstream-malformed`, `idle`, `drained`.
    pub end: Cow<'static, str>,
    /// From the switch.
    pub lasted_ms: f64,
    /// Bytes that came from the application.
    pub sent_bytes: u64,
    /// Bytes that came from the upstream.
    pub received_bytes: u64,
    /// WebSocket Pings of Mainstay's own.
    pub pings: u64,
    /// How often the upstream's connection was opened again, before the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reopened: Option<u16>,
    /// The code of the first WebSocket Close, whoever sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_code: Option<u16>,
}

/// A wait before an attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HoldRecord {
    /// What it waited for: `limit`, `rate`, `pause`, `budget`, `endpoint`, `breaker`.
    pub by: Cow<'static, str>,
    /// When it began to, after the call's start.
    pub at_ms: f64,
    /// For how long: told of a wait for a breaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<f64>,
    /// Whether an attempt followed; of a wait for a breaker without one, the call ended there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
}

/// One attempt of a call.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Which, counted from 1.
    pub attempt: u16,
    /// The name of the endpoint.
    pub endpoint: Arc<str>,
    /// Why it was made: `first`, `retry`, `failover`, `hedge`, `resume`.
    pub reason: Cow<'static, str>,
    /// When it began, after the call's start.
    pub started_ms: f64,
    /// From its start to the head of the answer, or to the break.
    pub took_ms: Option<f64>,
    /// What became of it: `answered`, `broke`, `outrun` (the other one was faster), or `unfinished`.
    pub result: Cow<'static, str>,
    /// The status of its answer.
    pub status: Option<u16>,
    /// What broke.
    pub code: Option<Cow<'static, str>>,
    /// The phase that it broke in.
    pub phase: Option<Cow<'static, str>>,
    /// How far the request got.
    pub certainty: Option<Cow<'static, str>>,
    /// How long the peer asked to be left alone.
    pub retry_after_ms: Option<f64>,
    /// What the error said. For reading, not for deciding.
    pub detail: Option<String>,
    /// What was decided then: `retry`, `failover`, or the reason to stop.
    pub decision: Option<Cow<'static, str>>,
    /// How long the next attempt was put off.
    pub delay_ms: Option<f64>,
    /// What decided on the delay: `backoff` or `hint`.
    pub delayed_by: Option<Cow<'static, str>>,
    /// The connection that it went over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<ConnectionRecord>,
    /// Its steps, in the order in which they began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRecord>,
    /// Why the certainty is what it is, where more speaks for it than the step in which it broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Cow<'static, str>>,
    /// What the retry-safety table said of the break: the code of a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Cow<'static, str>>,
    /// How things stood when it broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circumstances: Option<CircumstancesRecord>,
}

/// The connection of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionRecord {
    /// Its number, to be found again at the admin address.
    pub id: u64,
    /// The address at its other end.
    pub peer: Option<SocketAddr>,
    /// `http/1.1` or `h2`.
    pub protocol: Cow<'static, str>,
    /// Whether TLS is spoken.
    pub secure: bool,
    /// Whether it had carried a request before.
    pub reused: bool,
    /// How long it had been established when the attempt took it.
    pub age_ms: f64,
    /// How long it had been idle, if it was a kept one.
    pub idle_ms: Option<f64>,
    /// Requests that it had carried before.
    pub requests_before: u64,
}

/// One step of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Which: `queue`, `resolve`, `connect`, `tls`, `ping`, `send`, `first-byte`, `body`.
    pub step: Cow<'static, str>,
    /// The address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// When it began, after the call's start.
    pub started_ms: f64,
    /// How long it took; until it was given up, if it was.
    pub took_ms: f64,
    /// What came of it: `done`, `broke` or `given-up`.
    pub outcome: Cow<'static, str>,
    /// What broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Cow<'static, str>>,
    /// What is worth telling, or what the error said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// How things stood when an attempt broke, before the break was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CircumstancesRecord {
    /// The breaker of the endpoint: `closed`, `open`, `half-open`.
    pub breaker: Cow<'static, str>,
    /// Tokens in the budget's bucket.
    pub budget_tokens: u32,
    /// Extra attempts that the budget has paid for in its window.
    pub budget_extra: u32,
    /// Calls in the same window.
    pub budget_calls: u32,
}

/// Something that happened at an endpoint on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoteRecord {
    /// The event's code.
    pub event: Cow<'static, str>,
    /// The name of the endpoint.
    pub endpoint: Arc<str>,
    /// When, after the call's start.
    pub at_ms: f64,
}
