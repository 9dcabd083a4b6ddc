//! Offers deliveries to whoever makes the calls, and writes what came of them.
//!
//! For each destination core says how many more may go and when to ask again ([`Destination`]). The dispatcher sleeps until the next
//! delivery is due, a call has ended, or something was stored; it polls nothing.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use mainstay_core::Chance;
use mainstay_core::outbox::{
    CallEnd, Destination, Next, ScheduleSettings, Standing, StoppedReason, WallTime, after_call,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use crate::store::Lease;
use crate::{CallNote, Finish, Offer, SealError, Store, StoreError, StoredHead};

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
    destinations: HashMap<String, Destination>,
    underway: JoinSet<(String, Option<Next>)>,
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

impl<D: Deliver> Dispatcher<D> {
    /// One that hasn't begun. There may be only one in a process for a store.
    #[must_use]
    pub fn new(store: Store, deliver: Arc<D>) -> Self {
        Self { store, deliver, destinations: HashMap::new(), underway: JoinSet::new() }
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
        let waiting = self.store.destinations().await?;
        let now = self.store.now();
        // A hold is kept though nothing waits: what is accepted next has to heed it.
        self.destinations.retain(|name, known| !known.is_quiet(now) || waiting.contains(name));
        let mut wait = LOOK_AT_LEAST;
        for upstream in waiting {
            // One's trouble isn't the others'.
            match self.offered_to(&upstream).await {
                Ok(Some(at)) => wait = wait.min(at.since(self.store.now()).max(SLEEP_LEAST)),
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
        let now = self.store.now();
        let most = self.deliver.most_in_flight(upstream);
        let destination =
            self.destinations.entry(upstream.to_owned()).or_insert_with(|| Destination::new(most));
        destination.set_most(most);
        if let Some(room) = destination.room(now) {
            let claimed = self.store.claim(upstream, now, usize::from(room)).await?;
            for (id, why) in claimed.stopped {
                self.deliver.trouble(&StoreError::Damaged(format!("delivery {id}: {why}")));
            }
            if let Some(name) = claimed.missing_key {
                let error = SealError::NoKey(name);
                self.deliver.trouble(&StoreError::Held(upstream.to_owned(), error));
                destination.on_unreadable(now.after(UNREADABLE_FOR));
            }
            // No more than there was room for.
            let count = u16::try_from(claimed.offers.len()).unwrap_or(room);
            destination.on_claimed(count, claimed.next_due);
            for offer in claimed.offers {
                let (store, deliver) = (self.store.clone(), Arc::clone(&self.deliver));
                self.underway.spawn(one(store, deliver, offer));
            }
        }
        Ok(destination.asks_again_at(now))
    }

    fn landed(&mut self, done: Result<(String, Option<Next>), tokio::task::JoinError>) {
        let (upstream, next) = match done {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return,
            },
        };
        if let Some(destination) = self.destinations.get_mut(&upstream) {
            match next {
                Some(next) => destination.on_ended(next),
                None => destination.on_left(),
            }
        }
    }
}

/// One delivery's way: the call, what core says to its end, and the writing of it. `None`: it was left to other workers.
async fn one<D: Deliver>(store: Store, deliver: Arc<D>, offer: Offer) -> (String, Option<Next>) {
    let call = deliver.deliver(&offer);
    let delivered = match &offer.lease {
        None => call.await,
        Some(lease) => match while_held(lease, call).await {
            Some(delivered) => delivered,
            None => {
                deliver.trouble(&StoreError::LeaseOver(offer.id));
                return (offer.upstream, None);
            }
        },
    };
    let now = store.now();
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
        match error {
            StoreError::Unknown | StoreError::Closed => break,
            // What another worker makes of it counts.
            StoreError::Late(_) => return (offer.upstream, None),
            _ => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(WRITE_AGAIN_AT_LAST_AFTER);
    }
    deliver.became(&offer, next);
    (offer.upstream, Some(next))
}

/// A call, for as long as its delivery is this worker's. It is cut when that is over: others may send it from then on.
///
/// The clock is read before each step of the call, and not only when a timer rings: a process that was frozen and goes on is first shown
/// what has come in meanwhile.
async fn while_held<T>(lease: &Lease, call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    loop {
        let step = poll_fn(|cx| match lease.is_over() {
            true => Poll::Ready(None),
            false => call.as_mut().poll(cx).map(Some),
        });
        tokio::select! {
            biased;
            done = step => return done,
            // It may have been put off since.
            () = sleep_until(lease.ends_at()) => {}
        }
    }
}

fn finish(offer: &Offer, delivered: Delivered, now: WallTime) -> Finish {
    let Delivered { end, note, answer, schedule, seed } = delivered;
    let standing = Standing {
        calls: offer.calls.saturating_add(u16::from(note.is_some())),
        maybe_done: offer.maybe_done || offer.interrupted,
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

/// Keys are read at the start, so that nothing changes before; it is said again, and others of a fleet may have the key.
const UNREADABLE_FOR: Duration = Duration::from_secs(30);

/// How soon a result is written again that couldn't be written, at first and at last.
const WRITE_AGAIN_AFTER: Duration = Duration::from_millis(100);
const WRITE_AGAIN_AT_LAST_AFTER: Duration = Duration::from_secs(10);
