//! Offers deliveries to whoever makes the calls, and writes what came of them.
//!
//! For each destination there is a `Line`: how many are on their way, how many may be (`Ramp`), until when it is held. One
//! destination's trouble is its own line's. The dispatcher sleeps until the next delivery is due, a call has ended, or
//! something was stored; it polls nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainstay_core::Chance;
use mainstay_core::outbox::{
    CallEnd, DeadReason, Next, Ramp, ScheduleSettings, Standing, StoppedReason, WallTime,
    after_call,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::{CallNote, Finish, Offer, Store, StoreError, StoredHead};

/// Makes the calls.
pub trait Deliver: Send + Sync + 'static {
    /// One call for `offer`. `None`: there is no way for it any more, as no route takes it.
    fn deliver(&self, offer: &Offer) -> impl Future<Output = Option<Delivered>> + Send;

    /// How many may be on their way to `upstream` at a time.
    fn most_in_flight(&self, upstream: &str) -> u16;

    /// What became of an offer, for whoever counts.
    fn became(&self, offer: &Offer, next: Next);

    /// Something that a person should hear of.
    fn trouble(&self, error: &StoreError);

    /// The wall clock.
    fn now(&self) -> WallTime;
}

/// What came of a call.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Its end.
    pub end: CallEnd,
    /// For the record; `None` if the upstream's own protection refused it.
    pub note: Option<CallNote>,
    /// The API's answer, if there was one.
    pub answer: Option<(StoredHead, Bytes)>,
    /// The route's schedule.
    pub schedule: ScheduleSettings,
    /// How a draw of chance begins.
    pub seed: u64,
}

/// Takes deliveries from a store to [`Deliver`].
#[derive(Debug)]
pub struct Dispatcher<D> {
    store: Store,
    deliver: Arc<D>,
    lines: HashMap<String, Line>,
    underway: JoinSet<(String, Next)>,
}

/// Says how a dispatcher is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatching {
    /// Not yet.
    Goes,
    /// It offers no more, and ends when what is on its way has come to its end.
    Drains,
    /// It ends at once, and cancels what is on its way.
    Stops,
}

#[derive(Debug)]
struct Line {
    ramp: Ramp,
    in_flight: u16,
    held_until: WallTime,
    /// When there is something to be offered, as far as is known.
    next_due: Option<WallTime>,
}

impl<D: Deliver> Dispatcher<D> {
    /// One that hasn't begun. There may be only one for a store.
    #[must_use]
    pub fn new(store: Store, deliver: Arc<D>) -> Self {
        Self { store, deliver, lines: HashMap::new(), underway: JoinSet::new() }
    }

    /// Works until it is told to drain, and then until nothing is on its way any more.
    ///
    /// Dropping it cancels the calls. A delivery that must not be sent twice and whose call was cancelled is stopped
    /// when the store is opened again, since it may have been done.
    pub async fn run(mut self, mut orders: watch::Receiver<Dispatching>) {
        let mut changes = self.store.changes();
        loop {
            let order = *orders.borrow_and_update();
            let goes = order == Dispatching::Goes;
            if order == Dispatching::Stops || !goes && self.underway.is_empty() {
                return;
            }
            changes.mark_unchanged();
            let wait = if goes { self.offer().await } else { LOOK_AT_LEAST };
            tokio::select! {
                Some(done) = self.underway.join_next() => self.landed(done),
                _ = changes.changed(), if goes => {}
                changed = orders.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = sleep(wait) => {}
            }
            while let Some(done) = self.underway.try_join_next() {
                self.landed(done);
            }
        }
    }

    /// Offers what is due and has room. How long until there may be more.
    async fn offer(&mut self) -> Duration {
        match self.offered().await {
            Ok(wait) => wait,
            Err(error) => {
                self.deliver.trouble(&error);
                TROUBLED_FOR
            }
        }
    }

    async fn offered(&mut self) -> Result<Duration, StoreError> {
        let destinations = self.store.destinations().await?;
        let now = self.deliver.now();
        // A hold is kept though nothing waits: what is accepted next has to heed it.
        self.lines.retain(|name, line| {
            line.in_flight > 0 || line.held_until > now || destinations.contains(name)
        });
        let mut wait = LOOK_AT_LEAST;
        for upstream in destinations {
            // One's trouble isn't the others'.
            match self.offered_to(&upstream).await {
                Ok(Some(at)) => wait = wait.min(at.since(self.deliver.now()).max(SLEEP_LEAST)),
                Ok(None) => {}
                Err(error) => {
                    self.deliver.trouble(&error);
                    wait = wait.min(TROUBLED_FOR);
                }
            }
        }
        Ok(wait)
    }

    /// Offers what is due for one destination. When there may be more, if that is known.
    async fn offered_to(&mut self, upstream: &str) -> Result<Option<WallTime>, StoreError> {
        let now = self.deliver.now();
        let most = self.deliver.most_in_flight(upstream);
        let line = self.lines.entry(upstream.to_owned()).or_insert_with(|| Line::new(most));
        line.ramp.set_most(most);
        if let Some(room) = line.room(now) {
            let claimed = self.store.claim(upstream, now, usize::from(room)).await?;
            for (id, why) in claimed.stopped {
                self.deliver.trouble(&StoreError::Damaged(format!("delivery {id}: {why}")));
            }
            line.next_due = claimed.next_due;
            for offer in claimed.offers {
                line.in_flight += 1;
                let (store, deliver) = (self.store.clone(), Arc::clone(&self.deliver));
                self.underway.spawn(one(store, deliver, offer));
            }
        }
        Ok(line.comes_back_at(now))
    }

    fn landed(&mut self, done: Result<(String, Next), tokio::task::JoinError>) {
        let (upstream, next) = match done {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return,
            },
        };
        if let Some(line) = self.lines.get_mut(&upstream) {
            line.landed(next);
        }
    }
}

impl Line {
    fn new(most: u16) -> Self {
        let ramp = Ramp::new(most);
        Self { ramp, in_flight: 0, held_until: WallTime(0), next_due: None }
    }

    /// How many more may go now.
    fn room(&self, now: WallTime) -> Option<u16> {
        let room = self.ramp.window().saturating_sub(self.in_flight);
        (room > 0 && now >= self.held_until).then_some(room)
    }

    /// When there may be something to offer though nothing happens before.
    fn comes_back_at(&self, now: WallTime) -> Option<WallTime> {
        if self.ramp.window() <= self.in_flight {
            return None;
        }
        // What is due isn't known while it is held: nobody asked.
        if now < self.held_until { Some(self.held_until) } else { self.next_due }
    }

    fn landed(&mut self, next: Next) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match next {
            Next::Delivered | Next::Dead(DeadReason::Rejected) => self.ramp.on_answer(),
            Next::Again { hold_until: Some(until), .. } => {
                self.ramp.on_held();
                self.held_until = self.held_until.max(until);
            }
            // It never came to a call.
            Next::Stopped(StoppedReason::NoRoute | StoppedReason::Damaged) => {}
            Next::Again { hold_until: None, .. } | Next::Stopped(_) | Next::Dead(_) => {
                self.ramp.on_failure();
            }
        }
    }
}

/// One delivery's way: the call, what core says to its end, and the writing of it.
async fn one<D: Deliver>(store: Store, deliver: Arc<D>, offer: Offer) -> (String, Next) {
    let delivered = deliver.deliver(&offer).await;
    let now = deliver.now();
    let finish = match delivered {
        None => Finish {
            note: None,
            maybe_done: offer.maybe_done,
            next: Next::Stopped(StoppedReason::NoRoute),
            answer: None,
        },
        Some(delivered) => finish(&offer, delivered, now),
    };
    let next = finish.next;
    // What can't be written now is written later: a delivery whose end isn't on the disk would be made once more.
    let mut pause = WRITE_AGAIN_AFTER;
    while let Err(error) = store.finish(&offer, finish.clone(), now).await {
        deliver.trouble(&error);
        if matches!(error, StoreError::Unknown | StoreError::Closed) {
            break;
        }
        sleep(pause).await;
        pause = (pause * 2).min(WRITE_AGAIN_AT_LAST_AFTER);
    }
    deliver.became(&offer, next);
    (offer.upstream, next)
}

fn finish(offer: &Offer, delivered: Delivered, now: WallTime) -> Finish {
    let Delivered { end, note, answer, schedule, seed } = delivered;
    let standing = Standing {
        calls: offer.calls.saturating_add(u16::from(note.is_some())),
        maybe_done: offer.maybe_done,
        expires_at: offer.expires_at,
        assurance: offer.assurance,
    };
    let next = after_call(&schedule, &standing, end, now, &mut Chance::from_seed(seed));
    let maybe_done = offer.maybe_done || end.may_have_done_it();
    Finish { note, maybe_done, next, answer }
}

/// A wall clock that is set may make anything due; so a look now and then, whatever is known.
const LOOK_AT_LEAST: Duration = Duration::from_secs(30);

/// A wait that is over in the same millisecond isn't over yet.
const SLEEP_LEAST: Duration = Duration::from_millis(1);

/// After a failure of the store.
const TROUBLED_FOR: Duration = Duration::from_secs(1);

/// How soon a result is written again that couldn't be written, at first and at last.
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(100);
const WRITE_AGAIN_AT_LAST_AFTER: Duration = Duration::from_secs(10);
