//! What the application gets when there is no answer of the upstream: a problem document (RFC 9457).
//!
//! There are two sorts. A *break* says what happened to a call: what broke, whether the request was carried out,
//! and when to come back. A *refusal* is about the request itself: it was never sent anywhere.

mod words;

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use mainstay::Unanswered;
use mainstay::body::BodyError;
use mainstay_core::breaks::grpc;
use mainstay_core::call::GaveUp;
use mainstay_core::event::StopReason;
use mainstay_core::{BreakKind, Certainty};
use mainstay_record::{CallId, WrongFilter};
use serde_json::{Map, Value, json};

/// A problem document with its status.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    status: StatusCode,
    members: Map<String, Value>,
    retry_after: Option<u64>,
    proxy_status: String,
    /// Id and attempts, if there was a call.
    call: Option<(CallId, u16)>,
    /// What the same is to a gRPC call.
    grpc: Grpc,
}

/// The end of a gRPC call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grpc {
    status: u8,
    /// When its client may retry by itself, in milliseconds; below zero for not at all.
    pushback_millis: Option<i64>,
}

/// Why a request was refused without being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoRoute,
    BadRequest(&'static str),
    Connect,
    MaxForwards,
    BodyTooLarge,
    TooManyFields,
    HeadTooSlow,
    NotFound,
    NoSuchEndpoint,
    MethodNotAllowed(&'static str),
    Unauthorized,
    Forbidden(&'static str),
    BrowserWithoutToken,
    NotConfirmed,
    NoSuchLane,
    BadOrder(&'static str),
    BadFilter,
    TooLargeToStore,
    OutboxFull(&'static str),
    OutboxDown,
    OutboxUnsure,
    KeyReused,
    KeyInUse,
    NoDelivery,
    NoAnswerYet,
    AnswerIncomplete,
    GivenUp,
    BodyTooSlow,
}

impl Problem {
    /// The end of a call that has no answer.
    pub(crate) fn of_call(unanswered: &Unanswered) -> Self {
        let refusal = match unanswered.request_error {
            Some(BodyError::TooLarge) => Some(Refusal::BodyTooLarge),
            Some(BodyError::Malformed) => {
                Some(Refusal::BadRequest("the request's body is malformed"))
            }
            _ => None,
        };
        match refusal {
            Some(refusal) => {
                Self::of_refusal(refusal).with_call(unanswered.id, &unanswered.gave_up)
            }
            None => Self::of_break(unanswered.id, &unanswered.gave_up),
        }
    }

    fn of_break(id: CallId, gave_up: &GaveUp) -> Self {
        let kind = gave_up.kind;
        let retry_after = gave_up.retry_after.map(whole_seconds);
        let problem = Self {
            status: StatusCode::from_u16(kind.answer_status()).unwrap_or(StatusCode::BAD_GATEWAY),
            members: members([
                ("type", json!(format!("urn:mainstay:break:{}", kind.code()))),
                ("title", json!(words::title(kind))),
                ("status", json!(kind.answer_status())),
                ("detail", json!(detail(kind, gave_up.certainty, retry_after))),
                ("break", json!(kind.code())),
            ]),
            retry_after,
            proxy_status: format!(
                "mainstay; error={}; details=\"{}\"",
                kind.proxy_error(),
                kind.code()
            ),
            call: None,
            grpc: Grpc { status: grpc::status_of(kind), pushback_millis: pushback(gave_up) },
        };
        problem.with_call(id, gave_up)
    }

    fn with_call(mut self, id: CallId, gave_up: &GaveUp) -> Self {
        self.members.extend(members([
            ("certainty", json!(gave_up.certainty.code())),
            ("was_done", json!(was_done(gave_up.certainty))),
            ("stop", json!(gave_up.stop.code())),
            ("attempts", json!(gave_up.attempts)),
            ("call", json!(id.to_string())),
        ]));
        self.call = Some((id, gave_up.attempts));
        if let Some(seconds) = self.retry_after {
            self.members.insert("retry_after".to_owned(), json!(seconds));
        }
        self
    }

    /// Which delivery it is about.
    pub(crate) fn about(mut self, id: String) -> Self {
        self.members.insert("delivery".to_owned(), json!(id));
        self
    }

    /// A request that was refused.
    pub(crate) fn of_refusal(refusal: Refusal) -> Self {
        let (status, code, title, detail) = refusal.row();
        Self {
            status,
            members: members([
                ("type", json!(format!("urn:mainstay:refusal:{code}"))),
                ("title", json!(title)),
                ("status", json!(status.as_u16())),
                ("detail", json!(detail)),
                ("code", json!(code)),
            ]),
            retry_after: None,
            proxy_status: format!("mainstay; error=http_request_error; details=\"{code}\""),
            call: None,
            grpc: Grpc { status: grpc::status_of_http(status.as_u16()), pushback_millis: None },
        }
    }

    /// An order that has to be confirmed, and how.
    pub(crate) fn of_unconfirmed(wanted: &str) -> Self {
        let mut problem = Self::of_refusal(Refusal::NotConfirmed);
        problem.members.insert("wanted".to_owned(), json!(wanted));
        problem
    }

    /// A filter of the admin address that can't be used.
    pub(crate) fn of_filter(wrong: &WrongFilter) -> Self {
        let mut problem = Self::of_refusal(Refusal::BadFilter);
        problem.members.extend(members([
            ("detail", json!(wrong.to_string())),
            ("parameter", json!(wrong.parameter)),
            ("value", json!(wrong.value)),
            ("allowed", json!(wrong.allowed)),
        ]));
        problem
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// The call that it ends, and how many attempts that made.
    pub(crate) const fn call(&self) -> Option<(CallId, u16)> {
        self.call
    }

    /// The fields that go with it.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        // A 404 or 405 could be kept by a cache, and a reload may change it.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static(FORWARDED_METHODS));
        }
        if let Ok(value) = HeaderValue::try_from(self.proxy_status.as_str()) {
            headers.insert(PROXY_STATUS, value);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        headers
    }

    /// The fields that are the whole answer to a gRPC call (Trailers-Only).
    pub(crate) fn grpc_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(self.grpc.status)));
        let text = |name: &str| self.members.get(name).and_then(Value::as_str).unwrap_or_default();
        let (code, detail) = (text("break"), text("detail"));
        let code = if code.is_empty() { text("code") } else { code };
        let message = match text("certainty") {
            "" => format!("{code}: {detail}"),
            certainty => format!("{code} ({certainty}): {detail}"),
        };
        if let Ok(value) = HeaderValue::try_from(percent_encoded(&message)) {
            headers.insert(GRPC_MESSAGE, value);
        }
        if let Some(millis) = self.grpc.pushback_millis {
            headers.insert(GRPC_PUSHBACK, HeaderValue::from(millis));
        }
        if let Ok(value) = HeaderValue::try_from(self.proxy_status.as_str()) {
            headers.insert(PROXY_STATUS, value);
        }
        headers
    }

    /// The document.
    pub(crate) fn document(&self) -> Value {
        Value::Object(self.members.clone())
    }

    /// Its text.
    pub(crate) fn text(&self) -> String {
        self.document().to_string()
    }
}

impl Refusal {
    fn row(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::NoRoute => (
                StatusCode::NOT_FOUND,
                "no-route",
                "No route matches",
                "No route of the configuration matches this request, so it was not sent anywhere.",
            ),
            Self::BadRequest(detail) => {
                (StatusCode::BAD_REQUEST, "bad-request", "The request is malformed", detail)
            }
            Self::Connect => (
                StatusCode::METHOD_NOT_ALLOWED,
                "connect-refused-here",
                "CONNECT is not offered",
                "Mainstay has to see requests to keep them safe, so it offers no tunnels: send the request itself.",
            ),
            Self::MaxForwards => (
                StatusCode::METHOD_NOT_ALLOWED,
                "trace-refused",
                "TRACE ends here",
                "Max-Forwards is used up, and Mainstay doesn't echo requests, which may hold secrets.",
            ),
            Self::BodyTooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "The request's body is too large",
                "The body is larger than limits.body_size allows.",
            ),
            Self::TooManyFields => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head-too-large",
                "The request's head is too large",
                "There are more header fields than limits.header_count allows.",
            ),
            Self::HeadTooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "head-too-slow",
                "The request took too long to arrive",
                "Its head was not complete within limits.head_timeout.",
            ),
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not-found",
                "There is nothing here",
                "The admin address has /, /healthz, /readyz, /status, /live, /timeline, /incidents, /events, /metrics, /calls, /connections, /outbox, /reload and /upstreams/NAME/endpoints/NAME/order.",
            ),
            Self::NoSuchEndpoint => (
                StatusCode::NOT_FOUND,
                "no-such-endpoint",
                "There is no such endpoint",
                "No endpoint of this upstream has this name. GET /status lists upstreams and endpoints.",
            ),
            Self::MethodNotAllowed(allowed) => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "The method is not allowed",
                allowed,
            ),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "A token is needed",
                "Send the admin token as a bearer token.",
            ),
            Self::Forbidden(detail) => (StatusCode::FORBIDDEN, "forbidden", "Refused", detail),
            Self::BrowserWithoutToken => (
                StatusCode::FORBIDDEN,
                "browser-without-token",
                "A page in a browser may not act here",
                "Without a token nobody can tell whose page it is: set admin.token, token_file or token_env. Looking needs none on this machine.",
            ),
            Self::NotConfirmed => (
                StatusCode::PRECONDITION_REQUIRED,
                "not-confirmed",
                "The order has to be confirmed",
                "Send it again with the field mainstay-confirm, which says once more what is ordered: see `wanted`.",
            ),
            Self::NoSuchLane => (
                StatusCode::NOT_FOUND,
                "no-such-lane",
                "No stopped delivery holds this lane",
                "It may have been released meanwhile. GET /outbox/lanes lists the lanes that are held.",
            ),
            Self::BadOrder(detail) => {
                (StatusCode::BAD_REQUEST, "bad-request", "The order can't be carried out", detail)
            }
            Self::TooLargeToStore => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large-to-store",
                "The write is too large to be stored",
                "The body is larger than the route's outbox.body_size allows. Nothing was stored or sent.",
            ),
            Self::OutboxFull(detail) => (
                StatusCode::INSUFFICIENT_STORAGE,
                "outbox-full",
                "The write can't be stored: there is no room",
                detail,
            ),
            Self::OutboxDown => (
                StatusCode::SERVICE_UNAVAILABLE,
                "outbox-unavailable",
                "The outbox can't be used",
                "Its database failed; the proxy's log says how. Nothing was accepted.",
            ),
            Self::OutboxUnsure => (
                StatusCode::SERVICE_UNAVAILABLE,
                "outbox-unsure",
                "The write may have been stored",
                "The connection to the outbox's database broke while it was stored, and nobody could find out by now. If it was, it is delivered; ask for the delivery, or come back with the same idempotency key.",
            ),
            Self::KeyReused => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "The idempotency key was used for another request",
                "A request with this key and another method, target or body was stored before.",
            ),
            Self::KeyInUse => (
                StatusCode::CONFLICT,
                "idempotency-key-in-use",
                "A request with this idempotency key is being tried",
                "The first one isn't over yet. Come back later with the same request.",
            ),
            Self::NoDelivery => (
                StatusCode::NOT_FOUND,
                "no-such-delivery",
                "There is no such delivery",
                "Its id is wrong, or it was finished long ago: see outbox.keep_delivered.",
            ),
            Self::NoAnswerYet => (
                StatusCode::NOT_FOUND,
                "no-answer-yet",
                "There is no answer of the API yet",
                "The delivery's status says how it stands. Prefer: wait=N waits for the answer.",
            ),
            Self::AnswerIncomplete => (
                StatusCode::BAD_GATEWAY,
                "answer-incomplete",
                "The API's answer isn't here as a whole",
                "Its body broke off, or was too large to be kept. The delivery's status has what the API answered.",
            ),
            Self::GivenUp => (
                StatusCode::GONE,
                "delivery-given-up",
                "A write with this idempotency key was given up",
                "It was stored before and is a dead letter now; `mainstay outbox show` says why, and `retry` tries it again.",
            ),
            Self::BodyTooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "body-too-slow",
                "The request's body stopped coming",
                "Nothing of it came for as long as the route's body_idle_timeout. Nothing was stored or sent.",
            ),
            Self::BadFilter => (
                StatusCode::BAD_REQUEST,
                "bad-filter",
                "The filter can't be used",
                "A parameter of the query isn't one, or its value isn't allowed.",
            ),
        }
    }
}

fn members<const N: usize>(list: [(&str, Value); N]) -> Map<String, Value> {
    list.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// One plain sentence or three: what broke, whether it was done, when to come back.
fn detail(kind: BreakKind, certainty: Certainty, retry_after: Option<u64>) -> String {
    let mut text = format!("{}. {}", words::sentence(kind), words::outcome(kind, certainty));
    match retry_after {
        Some(1) => text.push_str(" It is worth coming back in 1 second."),
        Some(seconds) => text.push_str(&format!(" It is worth coming back in {seconds} seconds.")),
        None => {}
    }
    text
}

const fn was_done(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::NotSent | Certainty::Refused => "no",
        Certainty::MaybeProcessed => "unknown",
        Certainty::Processed => "yes",
    }
}

/// What a gRPC client that retries by itself is told. What may have been done mustn't be done again behind the
/// application's back, and what was retried in vain isn't retried on top of that.
fn pushback(gave_up: &GaveUp) -> Option<i64> {
    match gave_up.stop {
        StopReason::OutcomeUnknown
        | StopReason::NotDeclared
        | StopReason::AttemptsUsed
        | StopReason::BudgetEmpty
        | StopReason::ReplyStarted
        | StopReason::PushedBack
        | StopReason::LeftToCaller => Some(-1),
        StopReason::Unrepeatable
        | StopReason::DeadlineTooClose
        | StopReason::DeadlinePassed
        | StopReason::NoEndpoint
        | StopReason::BreakerOpen
        | StopReason::LineFull
        | StopReason::PushedOut
        | StopReason::RateExceeded
        | StopReason::Paused
        | StopReason::SelfThrottled => {
            let millis = gave_up.retry_after?.as_millis();
            Some(i64::try_from(millis).unwrap_or(i64::MAX))
        }
    }
}

/// As `grpc-message` is to be: what isn't printable ASCII, and `%`, as the hexadecimal of its bytes.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            b' '..=b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// Rounded up: who comes back earlier comes in vain.
fn whole_seconds(length: Duration) -> u64 {
    length.as_secs() + u64::from(length.subsec_nanos() > 0)
}

/// Methods that are passed on. Others may be too; CONNECT never is.
const FORWARDED_METHODS: &str = "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS";

const GRPC_STATUS: header::HeaderName = header::HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: header::HeaderName = header::HeaderName::from_static("grpc-message");
const GRPC_PUSHBACK: header::HeaderName = header::HeaderName::from_static("grpc-retry-pushback-ms");

/// The field of RFC 9209.
pub(crate) const PROXY_STATUS: header::HeaderName = header::HeaderName::from_static("proxy-status");

#[cfg(test)]
mod tests {
    use super::*;

    fn gave_up(kind: BreakKind, certainty: Certainty, retry_after: Option<Duration>) -> GaveUp {
        GaveUp { kind, certainty, stop: StopReason::AttemptsUsed, attempts: 3, retry_after }
    }

    fn check(gave_up: GaveUp, status: u16, member: &str, wanted: Value) -> Problem {
        let problem = Problem::of_break(CallId::next(1), &gave_up);
        assert_eq!(problem.status().as_u16(), status);
        let text: Value = serde_json::from_str(&problem.text()).unwrap();
        assert_eq!(text[member], wanted, "{text}");
        problem
    }

    #[test]
    fn a_break_says_whether_the_request_was_carried_out() {
        let kind = BreakKind::ResetBeforeHead;
        for (certainty, done) in [
            (Certainty::NotSent, "no"),
            (Certainty::Refused, "no"),
            (Certainty::MaybeProcessed, "unknown"),
            (Certainty::Processed, "yes"),
        ] {
            check(gave_up(kind, certainty, None), 502, "was_done", json!(done));
        }
    }

    #[test]
    fn the_time_to_come_back_is_rounded_up_and_told_three_times() {
        let hint = Some(Duration::from_millis(1200));
        let broke = gave_up(BreakKind::BreakerOpen, Certainty::NotSent, hint);
        let problem = check(broke, 503, "retry_after", json!(2));
        assert_eq!(problem.headers()[header::RETRY_AFTER], "2");
        assert!(problem.text().contains("coming back in 2 seconds."));
    }

    #[test]
    fn each_kind_has_words_of_its_own_and_a_proxy_status() {
        let titles: std::collections::BTreeSet<_> = BreakKind::ALL.map(words::title).into();
        assert_eq!(titles.len(), BreakKind::ALL.len());
        for kind in BreakKind::ALL {
            let problem =
                Problem::of_break(CallId::next(1), &gave_up(kind, Certainty::NotSent, None));
            let value = problem.headers()[PROXY_STATUS].to_str().unwrap().to_owned();
            assert_eq!(
                value,
                format!("mainstay; error={}; details=\"{}\"", kind.proxy_error(), kind.code())
            );
        }
    }

    #[test]
    fn a_grpc_call_ends_with_a_status_and_the_same_words() {
        let broke = gave_up(BreakKind::DeadlineExceeded, Certainty::MaybeProcessed, None);
        let headers = Problem::of_break(CallId::next(1), &broke).grpc_headers();
        assert_eq!(headers["grpc-status"], "4");
        assert_eq!(headers["grpc-retry-pushback-ms"], "-1");
        let message = headers["grpc-message"].to_str().unwrap();
        assert!(message.starts_with("deadline-exceeded (maybe-processed): "), "{message}");
        assert_eq!(percent_encoded("100 % \u{e4}\n"), "100 %25 %C3%A4%0A");
        assert_eq!(Problem::of_refusal(Refusal::NoRoute).grpc_headers()["grpc-status"], "12");
    }

    #[test]
    fn a_body_of_the_application_that_is_too_large_is_its_own_fault() {
        let unanswered = Unanswered {
            id: CallId::next(1),
            gave_up: gave_up(BreakKind::ClientGone, Certainty::MaybeProcessed, None),
            request_error: Some(BodyError::TooLarge),
        };
        assert_eq!(Problem::of_call(&unanswered).status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
