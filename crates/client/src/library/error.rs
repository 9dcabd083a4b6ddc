//! What comes in place of an answer.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use mainstay_core::event::StopReason;
use mainstay_core::{Break, BreakKind, Certainty};
use mainstay_record::CallId;

use super::Request;
use super::places::Nowhere;
use crate::body::BodyError;
use crate::driver::Unanswered;
use crate::service::Service;
use crate::wishes::{Attempt, AttemptLog};

/// A request without an answer, or an answer that can't be read.
///
/// It says as data what a program decides by: what broke ([`Error::break_code`]), how far the request got ([`Error::certainty`]), what
/// was tried ([`Error::attempts`]), when it is worth coming back ([`Error::retry_after`]), and gives the request back if it was not sent
/// ([`Error::into_request`]).
///
/// ```no_run
/// # async fn example(client: mainstay::Mainstay) {
/// use mainstay::Certainty;
///
/// match client.post("https://pay.example/charges").body("5").send().await {
///     Ok(response) => println!("{}", response.status()),
///     Err(error) if matches!(error.certainty(), Certainty::NotSent | Certainty::Refused) => {
///         println!("nothing has happened ({:?}): try again in {:?}", error.break_code(), error.retry_after());
///     }
///     Err(error) => println!("ask whether it was done: {error}, call {:?}", error.call_id()),
/// }
/// # }
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    text: String,
    what: Option<Break>,
    stop: Option<StopReason>,
    certainty: Certainty,
    attempts: Vec<Attempt>,
    retry_after: Option<Duration>,
    call: Option<CallId>,
    status: Option<http::StatusCode>,
    request: Option<Request>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// Sorts of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request itself is wrong: its URL, a header field. Nothing was sent.
    Request,
    /// No upstream or route takes it. Nothing was sent.
    NoRoute,
    /// Its upstream can't be used: a certificate that can't be read, or there is no tokio runtime. Nothing was sent.
    Setup,
    /// There is no answer of the upstream.
    Unanswered,
    /// The request's own body broke while it was sent.
    RequestBody,
    /// The answer's body broke, and couldn't be continued.
    Body,
    /// The answer's body isn't what it was read as.
    Decode,
    /// The answer's body is longer than was allowed.
    TooLong,
    /// The answer has a status of failure, and was asked for that.
    Status,
    /// The answer isn't a stream of events, or too many of them in a row had none.
    Events,
    /// The answer's body couldn't be written to where it was to go.
    Write,
    /// A WebSocket connection wasn't opened, or broke.
    Socket,
}

impl Error {
    fn new(kind: ErrorKind, text: String, certainty: Certainty) -> Self {
        Self(Box::new(Inner {
            kind,
            text,
            what: None,
            stop: None,
            certainty,
            attempts: Vec::new(),
            retry_after: None,
            call: None,
            status: None,
            request: None,
            source: None,
        }))
    }

    pub(crate) fn wrong_request(
        text: String,
        source: Option<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let mut error = Self::new(ErrorKind::Request, text, Certainty::NotSent);
        error.0.source = source;
        error
    }

    pub(crate) fn no_runtime() -> Self {
        let text = "there is no tokio runtime here".to_owned();
        Self::new(ErrorKind::Setup, text, Certainty::NotSent)
    }

    /// With the request, which was not sent.
    pub(super) fn giving_back(mut self, request: Request) -> Self {
        self.0.request = Some(request);
        self
    }

    pub(super) fn nowhere(nowhere: Nowhere, request: Request) -> Self {
        let url = shown(request.url());
        let (kind, text) = match &nowhere {
            Nowhere::NotAUrl(why) => (ErrorKind::Request, format!("{url} can't be called: {why}")),
            Nowhere::OtherHost => (
                ErrorKind::NoRoute,
                format!("{url} belongs to no upstream, and other hosts are refused"),
            ),
            Nowhere::NoRoute => {
                (ErrorKind::NoRoute, format!("no route takes {} {url}", request.method()))
            }
            Nowhere::NotMade(_) => (ErrorKind::Setup, format!("no upstream can be made for {url}")),
        };
        let mut error = Self::new(kind, text, Certainty::NotSent).giving_back(request);
        if let Nowhere::NotMade(source) = nowhere {
            error.0.source = Some(source.into());
        }
        error
    }

    pub(super) fn unanswered(
        service: &Service,
        unanswered: Unanswered,
        log: &AttemptLog,
        request: Option<Request>,
        broken_body: Option<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let Unanswered { id, gave_up, request_error, .. } = unanswered;
        let name = service.name();
        let text = match request_error {
            Some(error) => error.to_string(),
            None => format!(
                "no answer of upstream {name:?}: {} after {}, {}",
                gave_up.kind.code(),
                counted(gave_up.attempts),
                phrase(gave_up.certainty)
            ),
        };
        let kind = request_error.map_or(ErrorKind::Unanswered, |_| ErrorKind::RequestBody);
        let mut error = Self::new(kind, text, gave_up.certainty);
        let attempts =
            log.attempts(|endpoint| service.upstream().endpoint_name(endpoint).to_owned());
        let own: Option<Box<dyn StdError + Send + Sync>> =
            request_error.filter(|error| *error != BodyError::ClientGone).map(Into::into);
        *error.0 = Inner {
            what: Some(Break::new(gave_up.kind, gave_up.certainty)),
            stop: Some(gave_up.stop),
            attempts,
            retry_after: gave_up.retry_after,
            call: Some(id),
            request,
            source: broken_body.or(own),
            ..*error.0
        };
        error
    }

    #[cfg(feature = "tower")]
    pub(crate) fn not_ready(source: Box<dyn StdError + Send + Sync>) -> Self {
        let text = "the inner service isn't ready, and won't be".to_owned();
        let mut error = Self::new(ErrorKind::Setup, text, Certainty::NotSent);
        error.0.source = Some(source);
        error
    }

    #[cfg(feature = "tower")]
    pub(crate) fn no_route(method: &http::Method, url: &http::Uri) -> Self {
        let text = format!("no route takes {method} {}", shown(url));
        Self::new(ErrorKind::NoRoute, text, Certainty::NotSent)
    }

    /// A call of the layer; its source is the program's body's error, or the inner service's last one.
    #[cfg(feature = "tower")]
    pub(crate) fn of_layer(
        drive: &super::drive::Drive,
        failed: super::drive::Failed<Box<dyn StdError + Send + Sync>>,
        log: &AttemptLog,
        broken_body: Option<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let super::drive::Failed { gave_up, error } = failed;
        let request_error = drive.body().failed();
        let unanswered = Unanswered { id: drive.id(), gave_up, request_error };
        Self::unanswered(drive.service(), unanswered, log, None, broken_body.or(error))
    }

    pub(super) fn broken_body(what: Break, attempts: Vec<Attempt>, call: CallId) -> Self {
        let text = format!("the answer's body broke: {}", what.kind.code());
        let mut error = Self::new(ErrorKind::Body, text, Certainty::Processed);
        error.0.what = Some(what);
        error.0.attempts = attempts;
        error.0.call = Some(call);
        error
    }

    #[cfg(feature = "json")]
    pub(super) fn decode(source: Box<dyn StdError + Send + Sync>) -> Self {
        let text = "the answer's body isn't the JSON that was expected".to_owned();
        let mut error = Self::new(ErrorKind::Decode, text, Certainty::Processed);
        error.0.source = Some(source);
        error
    }

    pub(super) fn too_long(limit: usize) -> Self {
        let text = format!("the answer's body is longer than {limit} bytes");
        Self::new(ErrorKind::TooLong, text, Certainty::Processed)
    }

    pub(super) fn no_events(
        status: http::StatusCode,
        attempts: Vec<Attempt>,
        call: CallId,
    ) -> Self {
        let text = format!("the answer isn't a stream of events; its status is {status}");
        let mut error = Self::new(ErrorKind::Events, text, Certainty::Processed);
        error.0.status = Some(status);
        error.0.attempts = attempts;
        error.0.call = Some(call);
        error
    }

    pub(super) fn silent() -> Self {
        let text = "the stream was opened too often without bringing an event".to_owned();
        Self::new(ErrorKind::Events, text, Certainty::Processed)
    }

    pub(super) fn write(source: std::io::Error) -> Self {
        let text = "the answer's body can't be written to where it is to go".to_owned();
        let mut error = Self::new(ErrorKind::Write, text, Certainty::Processed);
        error.0.source = Some(source.into());
        error
    }

    #[cfg(feature = "websocket")]
    pub(super) fn not_switched(
        status: http::StatusCode,
        attempts: Vec<Attempt>,
        call: CallId,
    ) -> Self {
        let text = format!("the server didn't switch to WebSocket; its status is {status}");
        let what = Break::new(BreakKind::UpgradeFailed, Certainty::Processed);
        let mut error = Self::new(ErrorKind::Socket, text, Certainty::Processed);
        (error.0.status, error.0.what) = (Some(status), Some(what));
        (error.0.attempts, error.0.call) = (attempts, Some(call));
        error
    }

    #[cfg(feature = "websocket")]
    pub(super) fn broken_socket(what: Break, attempts: Vec<Attempt>, call: CallId) -> Self {
        let text = format!("the WebSocket connection broke: {}", what.kind.code());
        let mut error = Self::new(ErrorKind::Socket, text, what.certainty);
        error.0.what = Some(what);
        (error.0.attempts, error.0.call) = (attempts, Some(call));
        error
    }

    #[cfg(feature = "websocket")]
    pub(super) fn unread_socket(
        what: Break,
        time: Duration,
        attempts: Vec<Attempt>,
        call: CallId,
    ) -> Self {
        let mut error = Self::broken_socket(what, attempts, call);
        error.0.text = format!(
            "the WebSocket connection broke: its peer has taken nothing of what it was sent for {time:?}"
        );
        error
    }

    #[cfg(feature = "websocket")]
    pub(crate) fn closed() -> Self {
        let text = "the connection was closed too often without bringing a message".to_owned();
        Self::new(ErrorKind::Socket, text, Certainty::Processed)
    }

    pub(super) fn status_of(
        status: http::StatusCode,
        attempts: Vec<Attempt>,
        call: CallId,
    ) -> Self {
        let mut error = Self::new(
            ErrorKind::Status,
            format!("the answer's status is {status}"),
            Certainty::Processed,
        );
        error.0.status = Some(status);
        error.0.attempts = attempts;
        error.0.call = Some(call);
        error
    }

    /// Of which sort it is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// How far the request may have got, at worst of all its attempts.
    #[must_use]
    pub const fn certainty(&self) -> Certainty {
        self.0.certainty
    }

    /// What broke last, if something did.
    #[must_use]
    pub fn break_kind(&self) -> Option<BreakKind> {
        self.0.what.map(|what| what.kind)
    }

    /// The stable code of what broke last; see the manual's page of break codes.
    #[must_use]
    pub fn break_code(&self) -> Option<&'static str> {
        self.break_kind().map(BreakKind::code)
    }

    /// Why nothing more was tried.
    #[must_use]
    pub const fn stop_reason(&self) -> Option<StopReason> {
        self.0.stop
    }

    /// The attempts that were made, in the order in which they began.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.0.attempts
    }

    /// How long after this error it is worth coming back, if that is known: what the upstream has said, or when an open breaker lets the next probe
    /// through.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The call's id, as it is in records.
    #[must_use]
    pub const fn call_id(&self) -> Option<CallId> {
        self.0.call
    }

    /// The answer's status, if the error is about that.
    #[must_use]
    pub const fn status(&self) -> Option<http::StatusCode> {
        self.0.status
    }

    /// The request, if it was not sent and its body is here as a whole: it can be sent again without a second thought.
    ///
    /// ```no_run
    /// # async fn example(client: mainstay::Mainstay) -> Result<(), mainstay::Error> {
    /// if let Err(error) = client.post("https://pay.example/charges").body("5").send().await {
    ///     match error.into_request() {
    ///         Some(request) => { /* nothing has happened: keep it for later */ }
    ///         None => { /* it may have been carried out: ask before it is sent again */ }
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn into_request(self) -> Option<Request> {
        self.0.request
    }

    /// Whether the request itself is wrong.
    #[must_use]
    pub fn is_builder(&self) -> bool {
        self.0.kind == ErrorKind::Request
    }

    /// Whether a time was over: the call's, an attempt's, that of a connect or of a body that stood still.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        let ran_out = matches!(
            self.break_kind(),
            Some(
                BreakKind::ConnectTimeout
                    | BreakKind::ResolverTimeout
                    | BreakKind::TlsTimeout
                    | BreakKind::ResponseTimeout
                    | BreakKind::BodyStalled
                    | BreakKind::DeadlineExceeded
            )
        );
        ran_out || self.0.stop == Some(StopReason::DeadlinePassed)
    }

    /// Whether no connection could be had: its name, TCP or TLS.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        use mainstay_core::Phase;
        self.break_kind().is_some_and(|kind| {
            matches!(kind.phase(), Phase::Resolve | Phase::Connect | Phase::Tls)
        })
    }

    /// Whether it is about the answer's status.
    #[must_use]
    pub fn is_status(&self) -> bool {
        self.0.kind == ErrorKind::Status
    }

    /// Whether it is about the body of the request or of the answer.
    #[must_use]
    pub fn is_body(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Body | ErrorKind::RequestBody | ErrorKind::TooLong)
    }

    /// Whether the answer's body isn't what it was read as.
    #[must_use]
    pub fn is_decode(&self) -> bool {
        self.0.kind == ErrorKind::Decode
    }
}

/// A URL without its query, which may hold secrets, and without credentials.
fn shown(url: &http::Uri) -> String {
    let host = url
        .authority()
        .map_or("", |authority| authority.as_str().rsplit('@').next().unwrap_or_default());
    let scheme = url.scheme_str().map(|scheme| format!("{scheme}://")).unwrap_or_default();
    format!("{scheme}{host}{}", url.path())
}

fn counted(attempts: u16) -> String {
    match attempts {
        0 => "no attempt".to_owned(),
        1 => "1 attempt".to_owned(),
        more => format!("{more} attempts"),
    }
}

const fn phrase(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::NotSent => "and nothing was sent",
        Certainty::Refused => "and the request was refused",
        Certainty::MaybeProcessed => "and the request may have been carried out",
        Certainty::Processed => "and the request was carried out",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("text", &self.0.text)
            .field("certainty", &self.0.certainty)
            .field("stop", &self.0.stop)
            .field("attempts", &self.0.attempts)
            .field("call", &self.0.call)
            .field("source", &self.0.source)
            .finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}
