//! Runs calls: drives core's [`Call`](mainstay_core::Call) with real time and real connections.
//!
//! [`Client::call`] is the whole path: it drains what the machine wants, does it, tells it what came of it, and
//! sleeps until the machine's deadline. It takes no decision of its own.

mod beside;
mod degraded;
mod delivered;
mod fields;
pub(crate) mod grpc;
mod heal;
mod hold;
mod out;
mod reopen;
mod request;
mod ringed;
mod running;
mod uploading;

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::{HeaderMap, Response, StatusCode, request as head};
use mainstay_core::call::{Connection, GaveUp};
use mainstay_core::event::AttemptId;
use mainstay_core::line::Entry;
use mainstay_core::retry::rate_limit::Hint;
use mainstay_core::{Action, BreakKind, Certainty, EndpointId};
use mainstay_record::{CallId, Origin, RingCounts, Sampling};
use tokio::time::sleep_until;

pub use delivered::DeliveredBody;
#[cfg(any(feature = "testing", feature = "tower"))]
pub(crate) use fields::facts;
pub use grpc::is_grpc;

use crate::Clock;
use crate::body::{BodyError, BodyRoom, Room, Source, Store};
use crate::chance::seed;
use crate::degrade::Degraded;
use crate::pool::{AnswerBody, Broken, Exchange};
use crate::rings::Rings;
use crate::service::Plan;
use crate::wishes::Wishes;
use beside::{Beside, Landed, News};
use out::Out;
use ringed::Wants;
use running::Running;

/// Runs calls. Cheap to clone; one per core or one for all.
#[derive(Clone, Debug)]
pub struct Client {
    store: Store,
    /// For answers that are held back.
    hold: Arc<Room>,
    rings: Arc<Rings>,
    run: u64,
    reuse_timers: bool,
    sampling: Option<Sampling>,
    wishes: Wishes,
}

/// An answer of the upstream, whole or about to be; or what the route gives in its place.
#[derive(Debug)]
pub struct Answer {
    /// Head and body. Hop-by-hop fields are still in it.
    pub response: Response<DeliveredBody>,
    /// The call's id.
    pub id: CallId,
    /// Attempts made, the first included.
    pub attempts: u16,
    /// Which endpoint gave it; none if it stands in for one that didn't come.
    pub endpoint: Option<EndpointId>,
    /// Whether it is a broken attempt's own answer, delivered since nothing better came.
    pub as_is: bool,
    /// What broke last before this answer was delivered, if anything did.
    pub last_break: Option<BreakKind>,
    /// How far the request may have got, at worst, in the attempts that broke before it.
    pub worst: Certainty,
    /// That it isn't the upstream's to this request, but stands in for one that didn't come, or for an error.
    pub degraded: Option<Degraded>,
}

/// A call without an answer of the upstream.
#[derive(Debug)]
pub struct Unanswered {
    /// The call's id.
    pub id: CallId,
    /// Why.
    pub gave_up: GaveUp,
    /// What was wrong with the application's own body, if that ended the call.
    pub request_error: Option<BodyError>,
}

/// An attempt's answer, held until the machine says what becomes of it.
#[derive(Debug)]
struct Held {
    attempt: AttemptId,
    endpoint: EndpointId,
    response: Response<AnswerBody>,
}

impl Client {
    /// A client whose calls together keep at most so many bytes of request bodies for replay, in memory.
    #[must_use]
    pub fn new(replay_bytes_total: usize) -> Self {
        let (store, hold) = (Store::new(replay_bytes_total), Room::new(HOLD_BYTES));
        let rings = Rings::new(RINGS, RING_BYTES);
        Self {
            store,
            hold,
            rings,
            run: seed(),
            reuse_timers: false,
            sampling: None,
            wishes: Wishes::default(),
        }
    }

    /// This client with so many bytes of disk in `dir` beside the memory, for routes whose bodies may spill.
    #[must_use]
    pub fn with_disk(self, dir: PathBuf, bytes: u64) -> Self {
        Self { store: self.store.with_disk(dir, bytes), ..self }
    }

    #[cfg(any(feature = "testing", feature = "tower"))]
    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Whether files can be made on that disk now; `Ok` without one. It blocks for a moment.
    ///
    /// # Errors
    ///
    /// Why not. Calls do without, then: large bodies can't be sent again.
    pub fn try_disk(&self) -> io::Result<()> {
        self.store.try_disk()
    }

    /// Room for a body that is read before its call is made, within the bytes that [`Self::new`] was told.
    #[must_use]
    pub fn body_room(&self) -> BodyRoom {
        self.store.body_room()
    }

    /// This client, whose calls together hold back at most so many bytes of answers before they deliver them; 64 MiB
    /// unless this is said.
    #[must_use]
    pub fn holding(self, bytes_total: u64) -> Self {
        Self { hold: Room::new(bytes_total), ..self }
    }

    /// This client, which keeps at most so many event streams at a time for applications that come back, with at most so many bytes
    /// of events; 1,000 and 64 MiB unless this is said.
    #[must_use]
    pub fn keeping_streams(self, most: usize, bytes_total: u64) -> Self {
        Self { rings: Rings::new(most, bytes_total), ..self }
    }

    /// The process ends: event streams whose application is away aren't read on.
    pub fn close_streams(&self) {
        self.rings.close();
    }

    /// Whether this client is the other one as far as event streams are concerned that are kept.
    #[must_use]
    pub fn keeps_the_streams_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rings, &other.rings)
    }

    /// How it stands with the event streams of an upstream that are kept.
    #[must_use]
    pub fn ring_counts(&self, upstream: &str) -> RingCounts {
        self.rings.counts(upstream)
    }

    /// This client, for threads each of which runs one runtime in its whole life, as the proxy's do: timers that
    /// weren't needed are then kept for later calls of the thread. Elsewhere a timer could outlive its runtime.
    #[must_use]
    pub fn on_runtimes_that_keep_their_thread(self) -> Self {
        Self { reuse_timers: true, ..self }
    }

    /// This client, whose calls belong to traces: the request's own, or one that begins here. Which of them are kept in any case,
    /// `sampling` says. `None`: they don't, and what requests say of traces goes on unchanged, which is the default.
    #[must_use]
    pub fn tracing(self, sampling: Option<Sampling>) -> Self {
        Self { sampling, ..self }
    }

    /// This client for one call, with what its caller wants beside the plan.
    pub(crate) fn wishing(&self, wishes: Wishes) -> Self {
        Self { wishes, ..self.clone() }
    }

    /// Makes one call. `head` is what the upstream is to see, hop-by-hop fields already taken out, except for path
    /// prefix and `Host`, which depend on the endpoint and are set for each attempt.
    ///
    /// Dropping the future cancels the call: permit, reservation and connection are given back.
    ///
    /// # Errors
    ///
    /// [`Unanswered`] when there is no answer to deliver, and nothing to stand in for it.
    pub async fn call(
        &self,
        plan: &Plan,
        head: head::Parts,
        body: Source,
    ) -> Result<Answer, Unanswered> {
        self.call_from(Origin::Program, plan, head, body).await
    }

    /// The same for a request that comes from elsewhere, as spans say.
    ///
    /// # Errors
    ///
    /// As [`Self::call`].
    pub async fn call_from(
        &self,
        origin: Origin,
        plan: &Plan,
        mut head: head::Parts,
        body: Source,
    ) -> Result<Answer, Unanswered> {
        match self.wants(plan, &mut head, &body) {
            Wants::Plain => self.run(origin, plan, head, body).await,
            Wants::Kept(answer) => Ok(*answer),
            Wants::New(newcomer) => {
                let answer = self.run(origin, plan, head, body).await?;
                Ok(self.keep_stream(plan, *newcomer, answer))
            }
        }
    }

    /// Runs the call, up to the head of its answer.
    async fn run(
        &self,
        origin: Origin,
        plan: &Plan,
        head: head::Parts,
        body: Source,
    ) -> Result<Answer, Unanswered> {
        // It is made where it stays: it is too large to be moved without need.
        let mut running =
            Box::write(Box::new_uninit(), Running::new(self, origin, plan, head, body));
        running.tell(|call, ctx| call.on_start(ctx));
        loop {
            match running.next_action() {
                Some(Action::Attempt { attempt, endpoint, connection }) => {
                    running.attempt(plan, attempt, endpoint, connection).await;
                }
                Some(Action::Line(entry)) => running.line_up(entry).await,
                Some(Action::Keep { .. }) => running.keep(),
                Some(Action::Deliver { attempt }) => {
                    return match running.answer_of(attempt) {
                        Some(held) => Ok(running.deliver_or_degrade(plan, held)),
                        None => Err(running.lost_answer()),
                    };
                }
                Some(Action::Fail(gave_up)) => return running.fail_or_degrade(plan, gave_up),
                // The one that is awaited has been dropped already: what awaits it heeds this itself.
                Some(Action::Cancel { attempt } | Action::Commit { attempt }) => {
                    running.end_beside(attempt);
                }
                Some(action @ (Action::Continue { .. } | Action::Cut(_))) => {
                    debug_assert!(false, "{action:?} of an answer that nobody holds");
                }
                None => {
                    if !running.sleep(plan).await {
                        return Err(running.lost_answer());
                    }
                }
            }
        }
    }
}

impl Running {
    /// Makes one attempt and tells the machine what came of it. Its answer, if one came, is held.
    async fn attempt(
        &mut self,
        plan: &Plan,
        attempt: AttemptId,
        endpoint: EndpointId,
        connection: Connection,
    ) {
        if let Some(outcome) = self.outcome(plan, attempt, endpoint, connection).await {
            self.take_in(attempt, endpoint, outcome);
        }
    }

    /// Makes one attempt, and gives what came of it; `None` when another one was faster.
    async fn outcome(
        &mut self,
        plan: &Plan,
        attempt: AttemptId,
        endpoint: EndpointId,
        connection: Connection,
    ) -> Option<Result<Response<AnswerBody>, Broken>> {
        match plan.service.place(endpoint) {
            Some(place) => Out::new(self, attempt, endpoint).ask(plan, place, connection).await,
            // Core's ids are places in the very list that the service was made from.
            None => Some(Err(Broken::new(BreakKind::NoEndpoint, Certainty::NotSent))),
        }
    }

    /// Tells the machine what came of an attempt, and holds its answer.
    fn take_in(
        &mut self,
        attempt: AttemptId,
        endpoint: EndpointId,
        outcome: Result<Response<AnswerBody>, Broken>,
    ) {
        self.tell_of_body();
        let outcome = match outcome {
            Ok(response) => match self.upload_answered(attempt, endpoint, response) {
                Some(response) => Ok(response),
                None => return,
            },
            Err(broken) => {
                self.upload_broke(attempt);
                Err(broken)
            }
        };
        match outcome {
            Ok(response) => {
                let status = response.status();
                let early = self.speaks_grpc(status).then(|| grpc::early(&response)).flatten();
                if let Some((outcome, fields)) = early {
                    if let Some(what) = outcome.broken() {
                        let details = grpc::describe(fields);
                        self.note_answer(attempt, endpoint, &what, details);
                        self.note_stream();
                    }
                    self.hold(Held { attempt, endpoint, response });
                    self.tell(|call, ctx| call.on_grpc_outcome(attempt, outcome, ctx));
                    return;
                }
                let hint = hint(status, response.headers());
                if let Some(what) = self.call.broken_answer(status.as_u16(), hint) {
                    self.note_answer(attempt, endpoint, &what, None);
                }
                self.hold(Held { attempt, endpoint, response });
                self.tell(|call, ctx| call.on_head(attempt, status.as_u16(), hint, ctx));
            }
            Err(mut broken) => {
                self.note(attempt, endpoint, &mut broken);
                if broken.what.certainty != Certainty::NotSent {
                    self.note_stream();
                }
                self.tell(|call, ctx| call.on_break(attempt, broken.what, ctx));
            }
        }
    }

    /// Starts an attempt beside the one that is out.
    fn start_beside(&mut self, plan: &Plan, ids: (AttemptId, EndpointId), connection: Connection) {
        let (attempt, endpoint) = ids;
        match plan.service.place(endpoint) {
            Some(place) => {
                let request = self.request(plan, place, ids);
                self.beside =
                    Some(Beside::new(ids, Arc::clone(&place.target), connection, request));
            }
            None => {
                let broken = Broken::new(BreakKind::NoEndpoint, Certainty::NotSent);
                self.take_in(attempt, endpoint, Err(broken));
            }
        }
    }

    /// Something is new of the attempt beside the one that is out.
    fn heed_beside(&mut self, plan: &Plan, news: News) {
        let Some(beside) = self.beside.take() else { return };
        let (attempt, endpoint) = (beside.attempt, beside.endpoint);
        match news {
            News::Flown(landed) => match *landed {
                Landed { outcome: Ok(mut response), exchange } => {
                    match self.hold_back(plan, &mut response) {
                        Some(enough) => {
                            self.beside = Some(beside.held(response, exchange, enough));
                        }
                        None => self.land((attempt, endpoint), Ok(response), exchange),
                    }
                }
                Landed { outcome, exchange } => self.land((attempt, endpoint), outcome, exchange),
            },
            News::Waits => {
                self.beside = Some(beside);
                self.tell(|call, ctx| call.on_held(attempt, ctx));
            }
            News::Landed(landed) => {
                self.land((attempt, endpoint), landed.outcome, landed.exchange);
            }
        }
    }

    /// The attempt beside the one that is out has ended.
    fn land(
        &mut self,
        (attempt, endpoint): (AttemptId, EndpointId),
        outcome: Result<Response<AnswerBody>, Broken>,
        exchange: Option<Exchange>,
    ) {
        if let Some(exchange) = exchange {
            self.seen(attempt, Some(exchange));
        }
        let outcome = outcome.and_then(|response| self.unless_cut_short(response));
        self.take_in(attempt, endpoint, outcome);
    }

    /// Stops the attempt beside the one that is out: its time is over, or the other one was faster.
    fn end_beside(&mut self, attempt: AttemptId) {
        let is_it = self.beside.as_ref().is_some_and(|beside| beside.attempt == attempt);
        let Some(beside) = self.beside.take_if(|_| is_it) else { return };
        if self.call.is_out(attempt) {
            let endpoint = beside.endpoint;
            let Landed { outcome, exchange } = beside.end();
            self.land((attempt, endpoint), outcome, exchange);
        } else {
            self.note_outrun(attempt, beside.into_exchange());
        }
    }

    /// Waits in the upstream's line, and tells the machine what came of it.
    async fn line_up(&mut self, entry: Entry) {
        let service = Arc::clone(self.service());
        match service.lineup().seat(service.upstream(), entry, Clock::now()).await {
            Ok(seat) => self.tell(|call, ctx| call.on_turn(seat, ctx)),
            Err(why) => self.tell(|call, ctx| call.on_turned_away(why, ctx)),
        }
    }

    /// Sleeps until the machine's deadline, or until the attempt ends that was beside another and goes on alone. False, at once,
    /// where neither is to come: a broken invariant, which would be waited for on and on.
    async fn sleep(&mut self, plan: &Plan) -> bool {
        let deadline = self.call.next_deadline();
        if deadline.is_none() && self.beside.is_none() {
            debug_assert!(false, "a call without action or deadline would wait for ever");
            return false;
        }
        let late = deadline.map(|deadline| sleep_until(Clock::instant(deadline.at)));
        let mut late = pin!(late);
        let news = poll_fn(|cx| {
            if let Some(Poll::Ready(news)) = self.beside.as_mut().map(|beside| beside.poll(cx)) {
                return Poll::Ready(Some(news));
            }
            match late.as_mut().as_pin_mut() {
                Some(late) => late.poll(cx).map(|()| None),
                None => Poll::Pending,
            }
        });
        match news.await {
            Some(news) => self.heed_beside(plan, news),
            None => self.tell(|call, ctx| call.on_time(ctx)),
        }
        true
    }
}

/// Event streams that are kept, and bytes of their events, unless somebody says otherwise.
const RINGS: usize = 1000;
const RING_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of answers that are held back unless somebody says otherwise.
const HOLD_BYTES: u64 = 64 * 1024 * 1024;

/// How long the answer asks us to stay away, if it turns the call away.
fn hint(status: StatusCode, headers: &HeaderMap) -> Option<std::time::Duration> {
    // Nearly all answers are none, and they needn't cost a look at the wall clock.
    if !Hint::is_refusal(status.as_u16()) {
        return None;
    }
    let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    Hint::of_refusal(fields, status.as_u16(), Clock::unix_millis()).map(|hint| hint.wait)
}
