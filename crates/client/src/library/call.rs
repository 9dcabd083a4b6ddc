//! Calls of anything: a database, a broker, a stub of gRPC. The program makes the attempts; core decides which.

use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::event::StopReason;
use mainstay_core::{Break, BreakKind, CallFacts, Certainty, EndpointId};

use super::Upstream;
use super::drive::{Drive, Failed, Landed};
use crate::body::Replay;
use crate::service::Service;
use crate::wishes::{Attempt, AttemptLog, Wishes};

impl Upstream {
    /// A call of anything that isn't HTTP by this client: `attempt` makes one attempt at an endpoint, and is called again, for the same
    /// one or another, as core decides: with budget, breaker, backoff, limits and, of what may be done twice, hedges.
    ///
    /// An error counts as a break after which nobody knows what was done, so that only what may be done twice
    /// ([`UpstreamCall::idempotent`]) is tried again. [`UpstreamCall::classify`] says more.
    ///
    /// ```
    /// use mainstay::{BreakKind, Failure, Mainstay, UpstreamBuilder};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let db = UpstreamBuilder::new("db").endpoint("127.0.0.1:1").endpoint("127.0.0.1:2").set("health", false);
    /// let client = Mainstay::builder().upstream(db).build()?;
    /// let db = client.upstream("db").expect("it was just given");
    /// let greeting = db
    ///     .call(|endpoint, _| async move {
    ///         match endpoint.port() {
    ///             1 => Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)),
    ///             port => Ok(format!("hello from {port}")),
    ///         }
    ///     })
    ///     .classify(|error| match error.kind() {
    ///         std::io::ErrorKind::ConnectionRefused => Failure::not_sent(BreakKind::ConnectRefused),
    ///         _ => Failure::unknown(),
    ///     })
    ///     .send()
    ///     .await?;
    /// assert_eq!(greeting, "hello from 2");
    /// # Ok(()) }
    /// ```
    pub fn call<T, E, A, F>(&self, attempt: A) -> UpstreamCall<A, E, fn(&E) -> Failure>
    where
        A: FnMut(Endpoint, AttemptStart) -> F,
        F: Future<Output = Result<T, E>>,
    {
        UpstreamCall {
            upstream: self.clone(),
            attempt,
            classify: |_| Failure::unknown(),
            wishes: Wishes::default(),
            label: String::new(),
            error: PhantomData,
        }
    }
}

/// A call in the making; [`UpstreamCall::send`] runs it.
#[must_use = "a call that isn't sent does nothing"]
pub struct UpstreamCall<A, E, C> {
    upstream: Upstream,
    attempt: A,
    classify: C,
    wishes: Wishes,
    label: String,
    error: PhantomData<fn(E)>,
}

impl<A, E, C> UpstreamCall<A, E, C> {
    /// Reads an error: what broke, and how far the request got. This is what decides whether there may be another attempt, so where
    /// it isn't known, [`Failure::unknown`] is the answer that does no harm.
    pub fn classify<D: Fn(&E) -> Failure>(self, classify: D) -> UpstreamCall<A, E, D> {
        let Self { upstream, attempt, wishes, label, error, .. } = self;
        UpstreamCall { upstream, attempt, classify, wishes, label, error }
    }

    /// Says that it may be done twice: a query that only reads, a write with a key. Wrongly said, a write is doubled.
    pub fn idempotent(mut self) -> Self {
        self.wishes.idempotent = true;
        self
    }

    /// From its start to its end, all attempts and waits included; the policy's `total_timeout` (30 s by default) at most.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.wishes.time = Some(time);
        self
    }

    /// What it is called in records, in place of a path. No secrets: it is kept and shown.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Makes it. Dropping the future drops the attempts that are out, and gives back whatever the call had taken.
    ///
    /// # Errors
    ///
    /// [`CallError`]: the error that was read as an answer, or that there was none.
    pub async fn send<T, F>(self) -> Result<T, CallError<E>>
    where
        A: FnMut(Endpoint, AttemptStart) -> F,
        F: Future<Output = Result<T, E>>,
        C: Fn(&E) -> Failure,
    {
        let Self { upstream, mut attempt, classify, mut wishes, label, .. } = self;
        let hears = upstream.client.hears(&upstream.station.service);
        let log = Arc::new(AttemptLog::heard_by(hears));
        wishes.log = Some(Arc::clone(&log));
        let plan = match upstream.client.any_plan(&upstream.station) {
            Some(plan) if upstream.client.is_scripted() || upstream.station.watch().is_ok() => plan,
            Some(_) | None => return Err(CallError::unmade()),
        };
        let facts = CallFacts::of(METHOD, false, &plan.policy);
        let method = http::Method::from_bytes(METHOD.as_bytes()).unwrap_or_default();
        let mut drive = Drive::new(&plan, facts, &wishes, Replay::default(), (method, label));
        let ran = drive
            .run(|drive, start| {
                let endpoint =
                    Endpoint { service: Arc::clone(drive.service()), id: start.endpoint };
                let told = AttemptStart { number: start.attempt.0, time_left: start.time_left };
                let staged = upstream.client.staged(endpoint.name());
                let is_made = staged.breaks.is_none();
                let made = is_made.then(|| land(attempt(endpoint, told), &classify));
                staged.play(made, || None)
            })
            .await;
        let (service, id) = (Arc::clone(drive.service()), drive.id());
        match ran {
            Ok(answer) => {
                drive.end(None);
                drop(drive);
                answer.map_err(|error| CallError::answer(error, &service, &log))
            }
            Err(failed) => Err(CallError::failed(failed, &service, &log, id)),
        }
    }
}

async fn land<T, E>(
    work: impl Future<Output = Result<T, E>>,
    classify: impl Fn(&E) -> Failure,
) -> Landed<Result<T, E>, Option<E>> {
    let answered = |value| Landed::Answer { value, status: 200, retry_after: None, grpc: None };
    match work.await {
        Ok(value) => answered(Ok(value)),
        Err(error) => match classify(&error).0 {
            None => answered(Err(error)),
            Some(what) => Landed::Broke { error: Some(error), what, details: None },
        },
    }
}

/// How an error is read: as a break, with how far the request got, or as an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure(Option<Break>);

impl Failure {
    /// Nothing of the request left this host, for this reason: there was no connection, say. Whatever it is, it may be made again.
    #[must_use]
    pub const fn not_sent(kind: BreakKind) -> Self {
        Self(Some(Break::new(kind, Certainty::NotSent)))
    }

    /// The peer says that it did nothing: it is shutting down, or not the leader.
    #[must_use]
    pub const fn refused() -> Self {
        Self(Some(Break::new(BreakKind::RefusedStatus, Certainty::Refused)))
    }

    /// The peer is too busy and says so, with how long it wants to be left alone if it says that too.
    #[must_use]
    pub const fn throttled(retry_after: Option<Duration>) -> Self {
        let what = Break::new(BreakKind::Throttled, Certainty::Refused);
        Self(Some(Break { retry_after, ..what }))
    }

    /// The connection broke, or something did that leaves open what was done.
    #[must_use]
    pub const fn unknown() -> Self {
        Self(Some(Break::new(BreakKind::ResetBeforeHead, Certainty::MaybeProcessed)))
    }

    /// The peer had a failure of its own, and what it did is open: a deadlock, an internal error.
    #[must_use]
    pub const fn server_error() -> Self {
        Self(Some(Break::new(BreakKind::ServerError, Certainty::MaybeProcessed)))
    }

    /// It is an answer like any other (a constraint that doesn't hold, nothing found): it goes to the caller, and the endpoint is
    /// well.
    #[must_use]
    pub const fn answer() -> Self {
        Self(None)
    }

    #[cfg(feature = "tower")]
    pub(crate) const fn what(self) -> Option<Break> {
        self.0
    }

    /// Any break.
    #[must_use]
    pub const fn broke(what: Break) -> Self {
        Self(Some(what))
    }
}

/// The endpoint that an attempt is to go to.
#[derive(Clone, Debug)]
pub struct Endpoint {
    service: Arc<Service>,
    id: EndpointId,
}

impl Endpoint {
    fn settings(&self) -> Option<&mainstay_config::settings::Endpoint> {
        self.service.settings().endpoints.get(usize::from(self.id.0))
    }

    /// Its name: as the settings call it, or `host:port`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.service.upstream().endpoint_name(self.id)
    }

    /// Its host, a name or an address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.settings().map_or("", |endpoint| &endpoint.host)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.settings().map_or(0, |endpoint| endpoint.port)
    }

    /// Which of its upstream's endpoints it is, in the order of the settings, counted from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        usize::from(self.id.0)
    }
}

/// What an attempt is told as it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptStart {
    /// Which, counted from 1.
    pub number: u16,
    /// How much time there is for it, as something to tell the peer: when it is over, the attempt's future is dropped.
    pub time_left: Duration,
}

/// A call that ended without success: with an error that was read as an answer, or without an answer.
///
/// ```
/// use mainstay::{CallError, Certainty};
///
/// fn explain(error: CallError<std::io::Error>) -> String {
///     if error.is_answer() {
///         return format!("the peer says no: {:?}", error.into_inner());
///     }
///     match error.certainty() {
///         Certainty::NotSent | Certainty::Refused => "nothing has happened".to_owned(),
///         _ => format!("it may have been done; last: {:?}", error.break_code()),
///     }
/// }
/// ```
pub struct CallError<E> {
    error: Option<E>,
    what: Option<(Break, StopReason)>,
    upstream: String,
    attempts: Vec<Attempt>,
    retry_after: Option<Duration>,
    call: Option<mainstay_record::CallId>,
}

impl<E> CallError<E> {
    fn answer(error: E, service: &Service, log: &AttemptLog) -> Self {
        let (what, retry_after, call) = Default::default();
        let (upstream, attempts) = (service.name().to_string(), attempts(service, log));
        Self { error: Some(error), what, upstream, attempts, retry_after, call }
    }

    fn failed(
        failed: Failed<Option<E>>,
        service: &Service,
        log: &AttemptLog,
        call: mainstay_record::CallId,
    ) -> Self {
        let Failed { gave_up, error } = failed;
        Self {
            error: error.flatten(),
            what: Some((Break::new(gave_up.kind, gave_up.certainty), gave_up.stop)),
            upstream: service.name().to_string(),
            attempts: attempts(service, log),
            retry_after: gave_up.retry_after,
            call: Some(call),
        }
    }

    /// There is no runtime to watch over the upstream, or the upstream has no route.
    fn unmade() -> Self {
        let what = Break::new(BreakKind::NoEndpoint, Certainty::NotSent);
        let (upstream, attempts, retry_after, call) = Default::default();
        let what = Some((what, StopReason::NoEndpoint));
        Self { error: None, what, upstream, attempts, retry_after, call }
    }

    /// Whether the error was read as an answer ([`Failure::answer`]): nothing broke.
    #[must_use]
    pub const fn is_answer(&self) -> bool {
        self.what.is_none()
    }

    /// How far the request may have got, at worst of all attempts.
    #[must_use]
    pub fn certainty(&self) -> Certainty {
        self.what.map_or(Certainty::Processed, |(what, _)| what.certainty)
    }

    /// What broke last, if something did.
    #[must_use]
    pub fn break_kind(&self) -> Option<BreakKind> {
        self.what.map(|(what, _)| what.kind)
    }

    /// The stable code of what broke last.
    #[must_use]
    pub fn break_code(&self) -> Option<&'static str> {
        self.break_kind().map(BreakKind::code)
    }

    /// Why nothing more was tried.
    #[must_use]
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.what.map(|(_, stop)| stop)
    }

    /// The attempts that were made, in the order in which they began.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// How long after this error it is worth coming back, if that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The call's id, as it is in records.
    #[must_use]
    pub const fn call_id(&self) -> Option<mainstay_record::CallId> {
        self.call
    }

    /// The last attempt's own error, if one brought any.
    #[must_use]
    pub const fn inner(&self) -> Option<&E> {
        self.error.as_ref()
    }

    /// The same, to be kept.
    #[must_use]
    pub fn into_inner(self) -> Option<E> {
        self.error
    }
}

fn attempts(service: &Service, log: &AttemptLog) -> Vec<Attempt> {
    let mut attempts = log.attempts(|id| service.upstream().endpoint_name(id).to_owned());
    for attempt in &mut attempts {
        attempt.outcome = attempt.outcome.without_status();
    }
    attempts
}

impl<E> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            None => write!(f, "upstream {:?} answered with an error", self.upstream),
            Some((what, stop)) => write!(
                f,
                "no answer of upstream {:?}: {} ({}), {}",
                self.upstream,
                what.kind.code(),
                what.certainty.code(),
                stop.code()
            ),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallError")
            .field("error", &self.error)
            .field("what", &self.what)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

impl<E: StdError + 'static> StdError for CallError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.as_ref().map(|error| error as _)
    }
}

impl<A, E, C> fmt::Debug for UpstreamCall<A, E, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamCall")
            .field("upstream", &self.upstream.name())
            .finish_non_exhaustive()
    }
}

/// What records say in place of a method of HTTP.
const METHOD: &str = "CALL";
