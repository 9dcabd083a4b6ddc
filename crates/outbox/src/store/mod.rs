//! The store on one machine: an SQLite file.
//!
//! **One thread writes.** Whoever wants something written hands it over and waits; what has gathered while the disk synced the last
//! commit goes into the next one together (`writer`). So the disk's syncs are shared by all who wait: the store accepts more
//! the more callers there are. Write-ahead log, `synchronous=FULL`: a commit is on the disk before anybody is told of it.
//!
//! **Others read** on a connection of their own, which a writer never holds up. The command line opens the file beside a running
//! proxy in the same way, and writes to it too; the proxy notices within half a second. A second proxy is refused.
//!
//! `open` says what is checked before a file is believed, `row` what a delivery looks like there, `accept`, `claim`, `finish`,
//! `tend` and `hand` what happens to it, in this order.

mod accept;
mod check;
mod claim;
mod finish;
mod hand;
mod mark;
mod open;
mod query;
mod row;
mod schema;
mod tend;
mod writer;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::outbox::WallTime;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{Notify, watch};

use crate::{DeliveryId, Detail, Finish, Keys, NewDelivery, Offer, Summary};
pub use accept::Accepted;
pub use check::Fault;
pub use claim::Claimed;
pub use open::{Access, OpenError};
pub use query::{Filter, Page, Totals};
pub use tend::Keep;
use writer::Writer;

/// How much is stored at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deliveries that wait, are stopped or are dead.
    pub items: u64,
    /// Bytes of their requests.
    pub bytes: u64,
    /// Deliveries of one lane that wait or are stopped.
    pub lane_items: u64,
    /// Bytes of the disk that are left free: what is accepted has to be finished too.
    pub reserve_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { items: 1_000_000, bytes: 10 << 30, lane_items: 100_000, reserve_bytes: 64 << 20 }
    }
}

/// What was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// [`Limits::items`].
    Items,
    /// [`Limits::bytes`].
    Bytes,
    /// [`Limits::lane_items`].
    Lane,
    /// The disk, but for [`Limits::reserve_bytes`].
    Disk,
}

/// Why the store didn't do as it was asked. Nothing was accepted, then.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no room.
    Full(Full),
    /// Another request had this idempotency key.
    OtherRequest(DeliveryId),
    /// There is no such delivery.
    Unknown,
    /// Content couldn't be sealed.
    Seal(crate::SealError),
    /// The database didn't do it: the reason in its words.
    Database(String),
    /// Something in it isn't what was written. It takes nothing any more.
    Damaged(String),
    /// Only whoever serves may claim, not a visitor.
    Visitor,
    /// The store is closed.
    Closed,
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(Full::Items) => f.write_str("the outbox has as many deliveries as it may"),
            Self::Full(Full::Bytes) => f.write_str("the outbox has as many bytes as it may"),
            Self::Full(Full::Lane) => f.write_str("the lane has as many deliveries as it may"),
            Self::Full(Full::Disk) => f.write_str("the outbox's disk is full"),
            Self::OtherRequest(id) => {
                write!(f, "delivery {id} has the same idempotency key and another request")
            }
            Self::Unknown => f.write_str("there is no such delivery"),
            Self::Seal(error) => error.fmt(f),
            Self::Database(why) => write!(f, "the outbox's database failed: {why}"),
            Self::Damaged(what) => write!(f, "the outbox is damaged: {what}"),
            Self::Visitor => f.write_str("only the proxy that serves an outbox delivers from it"),
            Self::Closed => f.write_str("the outbox is closed"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(Full::Disk),
            _ if is_damage(&error) => Self::Damaged(error.to_string()),
            _ => Self::Database(error.to_string()),
        }
    }
}

/// Whether something isn't what was written.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
        // A column that isn't of the kind that was written.
        None => !matches!(error, rusqlite::Error::SqliteFailure(..)),
    }
}

/// The store. Cheap to clone; the last clone's drop closes it.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    keys: Arc<Keys>,
    writer: Writer,
    reader: Arc<Mutex<Connection>>,
    shared: Arc<Shared>,
    /// Held until all else is closed: the only proxy that delivers from this file. A visitor has none.
    lock: Option<std::fs::File>,
}

/// What the writing thread tells the others.
#[derive(Debug)]
struct Shared {
    /// Counts what was written.
    changes: watch::Sender<u64>,
    /// Who waits for a delivery's end.
    waiting: Mutex<HashMap<DeliveryId, Arc<Notify>>>,
    /// What was found to be damaged, if anything was.
    damage: Mutex<Option<String>>,
}

impl Store {
    /// Stores a write. When this returns it is on the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing was stored, then.
    pub async fn accept(&self, new: NewDelivery) -> Result<Accepted, StoreError> {
        if let Some(what) = self.0.shared.damage.lock().clone() {
            return Err(StoreError::Damaged(what));
        }
        let sealed = accept::Sealed::of(new, &self.0.keys)?;
        self.0.writer.write(sealed).await
    }

    /// The deliveries to `upstream` whose turn it is, at most `most`; each is offered to nobody else until it is
    /// [finished](Self::finish). One that must not be sent twice is on the disk as being on its way when this returns.
    ///
    /// # Errors
    ///
    /// The database failed, or this is a visitor. Nothing is claimed, then.
    pub async fn claim(
        &self,
        upstream: &str,
        now: WallTime,
        most: usize,
    ) -> Result<Claimed, StoreError> {
        if let Some(what) = self.0.shared.damage.lock().clone() {
            return Err(StoreError::Damaged(what));
        }
        if self.0.lock.is_none() {
            return Err(StoreError::Visitor);
        }
        claim::claim(&self.0, upstream.to_owned(), now, most).await
    }

    /// Writes what came of an offer.
    ///
    /// # Errors
    ///
    /// The database failed: the delivery is as it was, and still claimed.
    pub async fn finish(
        &self,
        offer: &Offer,
        finish: Finish,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let closed = finish::Closing::of(offer, finish, now, &self.0.keys)?;
        self.0.writer.write(closed).await
    }

    /// Where something waits to be delivered.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn destinations(&self) -> Result<Vec<String>, StoreError> {
        self.0.writer.ask(|db, _| query::destinations(db)).await
    }

    /// Stops what was on its way when the last process ended and must not be sent twice. How many they are. For whoever serves,
    /// before the first claim.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn stop_interrupted(&self) -> Result<u64, StoreError> {
        self.0.writer.write(claim::Interrupted).await
    }

    /// Waits until a delivery is neither waiting nor on its way, for at most `patience`. Its summary then, or as it is.
    ///
    /// # Errors
    ///
    /// There is no such delivery, or the database failed.
    pub async fn settled(&self, id: DeliveryId, patience: Duration) -> Result<Summary, StoreError> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            let waiter = Waiter::new(&self.0.shared, id);
            let told = waiter.notify.notified();
            let summary = self.summary(id).await?;
            if summary.state != crate::State::Waiting {
                return Ok(summary);
            }
            if tokio::time::timeout_at(until, told).await.is_err() {
                return self.summary(id).await;
            }
        }
    }

    /// The delivery that a request of this scope was stored as, if one was.
    ///
    /// # Errors
    ///
    /// [`StoreError::OtherRequest`] if that was another request; or the database failed.
    pub async fn known(
        &self,
        scope: [u8; 32],
        print: [u8; 32],
    ) -> Result<Option<DeliveryId>, StoreError> {
        self.read(move |db, _| accept::known(db, &scope, &print)?.transpose()).await
    }

    /// Whether something waits in a lane, or is on its way: what comes now has to go behind it.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn is_lane_open(&self, upstream: &str, lane: &str) -> Result<bool, StoreError> {
        let (upstream, lane) = (upstream.to_owned(), lane.to_owned());
        self.read(move |db, _| query::is_lane_open(db, &upstream, &lane)).await
    }

    /// One delivery, as it is listed.
    ///
    /// # Errors
    ///
    /// There is no such delivery, or the database failed.
    pub async fn summary(&self, id: DeliveryId) -> Result<Summary, StoreError> {
        self.read(move |db, _| query::summary(db, id)).await
    }

    /// One delivery with all that is known of it.
    ///
    /// # Errors
    ///
    /// There is no such delivery, or the database failed.
    pub async fn detail(&self, id: DeliveryId) -> Result<Detail, StoreError> {
        self.read(move |db, keys| query::detail(db, keys, id)).await
    }

    /// Deliveries, oldest first.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn list(&self, filter: Filter, page: Page) -> Result<Vec<Summary>, StoreError> {
        self.read(move |db, _| query::list(db, &filter, page)).await
    }

    /// How many there are, of each state at each upstream.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn totals(&self) -> Result<Vec<Totals>, StoreError> {
        self.read(|db, _| query::totals(db)).await
    }

    /// Tries dead and stopped deliveries again: those that `filter` names, the first at once and then so many a second.
    /// A dead one goes to the end of its lane, since others have overtaken it. How many they are.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn retry(
        &self,
        filter: Filter,
        per_second: Option<u32>,
        now: WallTime,
    ) -> Result<u64, StoreError> {
        self.all(filter, |those, done| hand::Retry { those, per_second, now, done }).await
    }

    /// Gives open deliveries up, and forgets dead ones. How many they are.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn drop_those(&self, filter: Filter, now: WallTime) -> Result<u64, StoreError> {
        // Dead ones first: those that are given up now are dead letters, to be forgotten another time.
        let forgotten = self.all(filter.clone(), |those, _| hand::Forget { those }).await?;
        let given_up = self.all(filter, |those, _| hand::GiveUp { those, now }).await?;
        Ok(forgotten + given_up)
    }

    /// Takes a person's word that stopped deliveries have arrived. How many they are.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn settle(&self, filter: Filter, now: WallTime) -> Result<u64, StoreError> {
        self.all(filter, |those, _| hand::Settle { those, now }).await
    }

    /// Has some written after some, until there are no more of those that there are now.
    async fn all<W: writer::Write<Out = hand::Done>>(
        &self,
        filter: Filter,
        some: impl Fn(hand::Those, u64) -> W,
    ) -> Result<u64, StoreError> {
        let upto = self.0.writer.ask(|db, _| Ok(row::last_seq(db)?)).await?;
        let mut those = hand::Those { filter, after: 0, upto };
        let mut count = 0;
        loop {
            let done = self.0.writer.write(some(those.clone(), count)).await?;
            count += done.count;
            match done.after {
                Some(after) => those.after = after,
                None => return Ok(count),
            }
        }
    }

    /// Forgets what was finished long enough ago, some hundred at a time. Whether there is more.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn tend(&self, keep: Keep, now: WallTime) -> Result<bool, StoreError> {
        self.0.writer.write(tend::Tend { keep, now }).await
    }

    /// Looks at everything that is stored: the tree's structure, and each checksum. It reads the whole file, beside other work.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn check(&self) -> Result<Vec<Fault>, StoreError> {
        let path = self.0.path.clone();
        let keys = Arc::clone(&self.0.keys);
        blocking(move || check::check(&mut open::read_only(&path)?, &keys)).await
    }

    /// From now on nothing is accepted or offered: it was found to be damaged.
    pub fn refuse(&self, what: String) {
        *self.0.shared.damage.lock() = Some(what);
    }

    /// What was found to be damaged, if anything was.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        self.0.shared.damage.lock().clone()
    }

    /// Copies everything to `to`, which must not exist, beside other work.
    ///
    /// # Errors
    ///
    /// The database failed, or the copy can't be written.
    pub async fn backup(&self, to: PathBuf) -> Result<(), StoreError> {
        let path = self.0.path.clone();
        blocking(move || open::backup(&path, &to)).await
    }

    /// Counts what is written; each change is news.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.shared.changes.subscribe()
    }

    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection, &Keys) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reader, keys) = (Arc::clone(&self.0.reader), Arc::clone(&self.0.keys));
        blocking(move || ask(&reader.lock(), &keys)).await
    }
}

/// Somebody who waits for news of one delivery. It is forgotten with the last of them.
struct Waiter<'a> {
    shared: &'a Shared,
    id: DeliveryId,
    notify: Arc<Notify>,
}

impl<'a> Waiter<'a> {
    fn new(shared: &'a Shared, id: DeliveryId) -> Self {
        let notify = Arc::clone(shared.waiting.lock().entry(id).or_default());
        Self { shared, id, notify }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting.lock();
        // One here, one in the map.
        if waiting.get(&self.id).is_some_and(|notify| Arc::strong_count(notify) <= 2) {
            waiting.remove(&self.id);
        }
    }
}

impl Shared {
    /// Tells those who wait for these deliveries; all, where it isn't known which they are.
    fn tell(&self, ids: Option<&[DeliveryId]>) {
        let mut waiting = self.waiting.lock();
        match ids {
            Some(ids) => ids.iter().filter_map(|id| waiting.remove(id)).for_each(wake),
            None => waiting.drain().map(|(_, notify)| notify).for_each(wake),
        }
    }
}

fn wake(notify: Arc<Notify>) {
    notify.notify_waiters();
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Closed))
}
