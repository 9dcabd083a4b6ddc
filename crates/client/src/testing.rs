//! For tests of programs that call by this client: upstreams that do what a script says, without sockets, and time that leaps.
//!
//! A [`Script`] takes the place of the network. Everything above it is what runs in earnest: core's decisions, the budget, breakers,
//! waits, deadlines, records. So a test sees what the program would see, in milliseconds, and the same each time:
//!
//! ```
//! use std::time::Duration;
//! use mainstay::testing::{Act, Script, check};
//! use mainstay::{Mainstay, UpstreamBuilder};
//!
//! // Time leaps whenever nothing happens: a wait of minutes costs nothing.
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
//! # runtime.block_on(async {
//! let script = Script::new()
//!     .at("a.example:443", [Act::reset()])
//!     .at("b.example:443", [Act::answer(200, "seven")]);
//! let orders = UpstreamBuilder::new("orders")
//!     .endpoint_in_tier("https://a.example", 0)
//!     .endpoint_in_tier("https://b.example", 1);
//! let client = Mainstay::builder().upstream(orders).scripted(&script).build()?;
//!
//! let response = client.get("https://a.example/orders/7").send().await?;
//! check(&response.attempts()).retries(1).after_at_least(Duration::from_millis(1)).elsewhere();
//! assert_eq!(response.text().await?, "seven");
//! assert_eq!(script.seen().len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The runtime is to be tokio's of one thread with paused time: `#[tokio::test(start_paused = true)]`, with tokio's feature `test-util`.
//! Without it the same happens in real time.
//!
//! Calls of other kinds ([`Upstream::call`](crate::Upstream::call)) and those of the [layer](crate::tower) heed it too: a break or a hang takes the place of the
//! program's own attempt, and where an act answers, whatever it answers, the attempt is made, by the closure or the client below.
//!
//! What a script doesn't do: bodies that break after their head, and connections. For those there is the lab, with real sockets.

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, request::Parts};
use http_body_util::BodyExt;
use mainstay_core::event::AttemptReason;
use mainstay_core::retry::rate_limit::Hint;
use mainstay_core::{Break, BreakKind, Certainty};
use parking_lot::Mutex;

use crate::Clock;
use crate::body::{BodyError, Outgoing, Replay, ReplayLimits, Source, Store};
use crate::driver::{Answer, DeliveredBody, Unanswered, facts};
use crate::library::drive::{Drive, Failed, Forever, Landed, Staged};
use crate::service::Plan;
use crate::wishes::{Attempt, AttemptOutcome, Wishes};

/// What the endpoints of a client do. Clones are the same script.
#[derive(Clone, Debug, Default)]
pub struct Script(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    acts: HashMap<String, VecDeque<Act>>,
    seen: Vec<Seen>,
}

/// What an endpoint does with one request.
#[derive(Clone, Debug)]
pub struct Act {
    after: Duration,
    does: Does,
}

#[derive(Clone, Debug)]
enum Does {
    Answer { status: StatusCode, headers: HeaderMap, body: Bytes },
    Break(Break),
    Hang,
}

/// A request that an endpoint has seen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// Which endpoint, by its name.
    pub endpoint: String,
    /// The request's method.
    pub method: Method,
    /// Its path and query.
    pub target: String,
    /// Its header fields.
    pub headers: HeaderMap,
    /// Its body, as far as it came.
    pub body: Bytes,
}

impl Act {
    const fn of(does: Does) -> Self {
        Self { after: Duration::ZERO, does }
    }

    /// An answer. A status that isn't one counts as 200.
    #[must_use]
    pub fn answer(status: u16, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or_default();
        Self::of(Does::Answer { status, headers: HeaderMap::new(), body: body.into() })
    }

    /// An answer with this status, and no body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::answer(status, Bytes::new())
    }

    /// The connect is refused: nothing is sent.
    #[must_use]
    pub const fn refuse() -> Self {
        Self::of(Does::Break(Break::new(BreakKind::ConnectRefused, Certainty::NotSent)))
    }

    /// The connection is reset before the head of the answer: nobody knows what was done.
    #[must_use]
    pub const fn reset() -> Self {
        Self::of(Does::Break(Break::new(BreakKind::ResetBeforeHead, Certainty::MaybeProcessed)))
    }

    /// Any break.
    #[must_use]
    pub const fn broken(kind: BreakKind, certainty: Certainty) -> Self {
        Self::of(Does::Break(Break::new(kind, certainty)))
    }

    /// Nothing, ever.
    #[must_use]
    pub const fn hang() -> Self {
        Self::of(Does::Hang)
    }

    /// The same, after so long.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self { after: time, ..self }
    }

    /// With a field in its answer's head; what isn't one is left out, as is any of a break.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Does::Answer { headers, .. }, Ok(name), Ok(value)) =
            (&mut self.does, HeaderName::try_from(name), HeaderValue::try_from(value))
        {
            headers.append(name, value);
        }
        self
    }
}

impl Script {
    /// A script in which each endpoint answers with an empty 200.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the endpoint of this name (as the settings call it, or `host:port`) does with its next requests, in this order; the last act
    /// goes on for all that follow.
    #[must_use]
    pub fn at(self, endpoint: &str, acts: impl IntoIterator<Item = Act>) -> Self {
        self.now_at(endpoint, acts);
        self
    }

    /// The same, in the middle of a test: what was to come goes.
    pub fn now_at(&self, endpoint: &str, acts: impl IntoIterator<Item = Act>) {
        self.0.lock().acts.insert(endpoint.to_owned(), acts.into_iter().collect());
    }

    /// The requests that were seen, in their order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.0.lock().seen.clone()
    }

    /// What becomes of an attempt that the program makes itself: a break, or a hang, takes its place; for any answer it is made.
    pub(crate) fn staged(&self, endpoint: &str) -> Staged {
        let Act { after, does } = self.next_act(endpoint);
        let breaks = match does {
            Does::Answer { .. } => None,
            Does::Break(what) => Some(Ok(what)),
            Does::Hang => Some(Err(Forever)),
        };
        Staged { after, breaks }
    }

    fn next_act(&self, endpoint: &str) -> Act {
        let mut inner = self.0.lock();
        let Some(acts) = inner.acts.get_mut(endpoint) else { return Act::status(200) };
        let next = if acts.len() > 1 { acts.pop_front() } else { acts.front().cloned() };
        next.unwrap_or_else(|| Act::status(200))
    }

    /// Plays the next act of an endpoint.
    pub(crate) async fn play(
        self,
        endpoint: String,
        head: Parts,
        body: Outgoing,
    ) -> Landed<http::Response<Bytes>, ()> {
        let Act { after, does } = self.next_act(&endpoint);
        let is_sent = !matches!(&does, Does::Break(what) if what.certainty == Certainty::NotSent);
        if is_sent {
            let read = read(body).await;
            let (bytes, failed) = match read {
                Ok(bytes) => (bytes, None),
                Err(error) => (Bytes::new(), Some(error)),
            };
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
            let seen =
                Seen { endpoint, method: head.method, target, headers: head.headers, body: bytes };
            self.0.lock().seen.push(seen);
            if failed.is_some() {
                let what = Break::new(BreakKind::ClientGone, Certainty::MaybeProcessed);
                return Landed::Broke { error: (), what, details: None };
            }
        }
        tokio::time::sleep(after).await;
        match does {
            Does::Hang => pending().await,
            Does::Break(what) => Landed::Broke { error: (), what, details: None },
            Does::Answer { status, headers, body } => {
                let retry_after = hint(status, &headers);
                let mut value = http::Response::new(body);
                (*value.status_mut(), *value.headers_mut()) = (status, headers);
                Landed::Answer { value, status: status.as_u16(), retry_after, grpc: None }
            }
        }
    }
}

async fn read(mut body: Outgoing) -> Result<Bytes, BodyError> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

fn hint(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if !Hint::is_refusal(status.as_u16()) {
        return None;
    }
    let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Hint::of_refusal(fields, status.as_u16(), Clock::unix_millis()).map(|hint| hint.wait)
}

/// Plays a call: core decides, and the script does what the endpoints would.
pub(crate) async fn run(
    script: &Script,
    store: &Store,
    plan: &Plan,
    head: Parts,
    source: Source,
    wishes: Wishes,
) -> Result<Answer, Unanswered> {
    let limits = ReplayLimits {
        kept_bytes: plan.replay_bytes,
        spilled_bytes: 0,
        body_bytes: plan.body_bytes,
    };
    let body = Replay::new(source, limits, store);
    let facts = facts(plan, &head, body.is_some());
    let shown = (head.method.clone(), head.uri.path().to_owned());
    let mut drive = Drive::new(plan, facts, &wishes, body, shown);
    let played = drive
        .run(|drive, start| {
            let endpoint = drive.service().settings().endpoints.get(usize::from(start.endpoint.0));
            let (name, base) = endpoint
                .map_or(("", ""), |endpoint| (endpoint.name.as_str(), endpoint.base_path.as_str()));
            let head = head_at(&head, base);
            script.clone().play(name.to_owned(), head, drive.body().outgoing(None))
        })
        .await;
    let id = drive.id();
    match played {
        Ok(response) => {
            drive.end(None);
            let log = wishes.log.unwrap_or_default();
            Ok(Answer {
                response: response.map(DeliveredBody::standing_in),
                id,
                attempts: drive.attempts(),
                endpoint: None,
                as_is: log.is_as_is(),
                last_break: None,
                worst: Certainty::Processed,
                degraded: None,
            })
        }
        Err(Failed { gave_up, .. }) => {
            let request_error = drive.body().failed();
            if let Some(log) = wishes.log.filter(|_| gave_up.certainty == Certainty::NotSent) {
                log.give_back(head);
            }
            Err(Unanswered { id, gave_up, request_error })
        }
    }
}

/// The head of a request, as an endpoint sees it.
fn head_at(head: &Parts, base_path: &str) -> Parts {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut seen = http::Request::new(()).into_parts().0;
    seen.method = head.method.clone();
    seen.uri = Uri::try_from(format!("{base_path}{target}")).unwrap_or_else(|_| head.uri.clone());
    seen.headers = head.headers.clone();
    seen
}

/// Says what a call's attempts are to have been. Each method panics, with all attempts in its message, if they weren't.
#[must_use]
pub const fn check(attempts: &[Attempt]) -> Check<'_> {
    Check { attempts, last: None }
}

/// What is checked; see [`check`].
#[derive(Clone, Copy, Debug)]
pub struct Check<'a> {
    attempts: &'a [Attempt],
    last: Option<usize>,
}

impl<'a> Check<'a> {
    #[track_caller]
    fn require(&self, holds: bool, what: &str) {
        assert!(holds, "{what}; the attempts were {:#?}", self.attempts);
    }

    /// There was one attempt, which was answered.
    #[track_caller]
    pub fn first_was_enough(self) -> Self {
        let answered =
            matches!(self.attempts, [Attempt { outcome: AttemptOutcome::Answered(_), .. }]);
        self.require(answered, "the first attempt isn't all there was");
        self
    }

    /// There were so many attempts after the first. What follows is about the last of them.
    #[track_caller]
    pub fn retries(self, wanted: usize) -> Self {
        let made = self.attempts.len().saturating_sub(1);
        self.require(made == wanted, &format!("{made} further attempts in place of {wanted}"));
        Self { last: self.attempts.len().checked_sub(1), ..self }
    }

    #[track_caller]
    fn pair(&self) -> (&'a Attempt, &'a Attempt) {
        let place = self.last.unwrap_or(1);
        let pair = place
            .checked_sub(1)
            .and_then(|before| Some((self.attempts.get(before)?, self.attempts.get(place)?)));
        let Some(pair) = pair else {
            panic!("there was no second attempt; the attempts were {:#?}", self.attempts)
        };
        pair
    }

    /// It began so long after the one before it had ended, or later.
    #[track_caller]
    pub fn after_at_least(self, time: Duration) -> Self {
        let waited = self.waited();
        self.require(waited >= time, &format!("it waited {waited:?}, not at least {time:?}"));
        self
    }

    /// It began no later than so long after the one before it had ended.
    #[track_caller]
    pub fn after_at_most(self, time: Duration) -> Self {
        let waited = self.waited();
        self.require(waited <= time, &format!("it waited {waited:?}, not at most {time:?}"));
        self
    }

    #[track_caller]
    fn waited(&self) -> Duration {
        let (before, it) = self.pair();
        let ended = before.started_after + before.took.unwrap_or_default();
        it.started_after.saturating_sub(ended)
    }

    /// It went to another endpoint than the one before it.
    #[track_caller]
    pub fn elsewhere(self) -> Self {
        let (before, it) = self.pair();
        self.require(before.endpoint != it.endpoint, "it went to the same endpoint");
        self
    }

    /// It went to the same endpoint as the one before it.
    #[track_caller]
    pub fn at_the_same(self) -> Self {
        let (before, it) = self.pair();
        self.require(before.endpoint == it.endpoint, "it went to another endpoint");
        self
    }

    /// It was made for this reason.
    #[track_caller]
    pub fn because(self, reason: AttemptReason) -> Self {
        let (_, it) = self.pair();
        self.require(it.reason == reason, &format!("its reason isn't {reason:?}"));
        self
    }

    /// The attempt before it broke with this code.
    #[track_caller]
    pub fn after_break(self, code: &str) -> Self {
        let (before, _) = self.pair();
        self.require(
            before.code() == Some(code),
            &format!("the one before it didn't break with {code}"),
        );
        self
    }
}
