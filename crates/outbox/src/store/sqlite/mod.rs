//! A store on one machine: an SQLite file.
//!
//! **One thread writes.** Whoever wants something written hands it over and waits; what has gathered while the disk synced the last
//! commit goes into the next one together (`writer`). So the disk's syncs are shared by all who wait: the store accepts more
//! the more callers there are. Write-ahead log, `synchronous=FULL`: a commit is on the disk before anybody is told of it.
//!
//! **Others read** on a connection of their own, which a writer never holds up. The command line opens the file beside a running
//! proxy in the same way, and writes to it too; the proxy notices within half a second. A second proxy is refused.
//!
//! `open` says what is checked before a file is believed, `row` what a delivery looks like there, `accept`, `claim`, `finish`,
//! `tell`, `tend` and `hand` what happens to it, in this order.

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
mod tell;
mod tend;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use mainstay_core::outbox::{StoppedReason, WallTime};
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode};

use super::news::Shared;
use super::{Accepted, Claimed, Fault, Filter, Full, Keep, OpenError, Page, StoreError, Totals};
use crate::{DeliveryId, Detail, Finish, Keys, NewDelivery, Offer, Summary};
pub(super) use mark::path as mark_path;
use writer::Writer;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(Full::Disk),
            _ if is_damage(&error) => Self::Damaged(error.to_string()),
            _ => match doing(&error) {
                Some(doing) => Self::Database(format!("{error} while {doing} a file")),
                None => Self::Database(error.to_string()),
            },
        }
    }
}

/// What was being done to a file when the disk failed, if it is known.
fn doing(error: &rusqlite::Error) -> Option<&'static str> {
    use rusqlite::ffi;
    match error.sqlite_error()?.extended_code {
        ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_SHORT_READ => Some("reading"),
        ffi::SQLITE_IOERR_WRITE => Some("writing"),
        ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC => Some("syncing"),
        ffi::SQLITE_IOERR_TRUNCATE => Some("truncating"),
        ffi::SQLITE_IOERR_LOCK | ffi::SQLITE_IOERR_RDLOCK | ffi::SQLITE_IOERR_UNLOCK => {
            Some("locking")
        }
        _ => None,
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

/// The machine's wall clock. Before 1970 is a clock that isn't set.
pub(super) fn now() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The store. The drop of it closes the file.
#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    keys: Arc<Keys>,
    writer: Writer,
    reader: Arc<Mutex<Connection>>,
    shared: Arc<Shared>,
    /// Held until all else is closed, or handed over: the only proxy that delivers from this file. A visitor has none.
    lock: Mutex<Option<std::fs::File>>,
    /// Since when this process delivers from it, in milliseconds since 1970: what was due before may have been on its way when another
    /// one ended.
    serves_since: AtomicU64,
}

impl Sqlite {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// See [`Store::serve`](crate::Store::serve).
    pub(super) fn serve(&self) -> Result<(), OpenError> {
        let mut lock = self.lock.lock();
        if lock.is_none() {
            *lock = Some(open::lock(&self.path)?);
            self.serves_since.store(now().0, Relaxed);
        }
        Ok(())
    }

    /// See [`Store::is_serving`](crate::Store::is_serving).
    pub(super) fn is_serving(&self) -> bool {
        self.lock.lock().is_some()
    }

    /// See [`Store::hand_over`](crate::Store::hand_over).
    pub(super) fn hand_over(&self) {
        drop(self.lock.lock().take());
    }

    pub(super) async fn accept(&self, new: NewDelivery) -> Result<Accepted, StoreError> {
        let sealed = accept::Sealed::of(new, &self.keys)?;
        self.writer.write(sealed).await
    }

    pub(super) async fn set_aside(
        &self,
        new: NewDelivery,
        why: StoppedReason,
    ) -> Result<Accepted, StoreError> {
        let sealed = accept::Sealed::of(new, &self.keys)?;
        self.writer.write(sealed.stopped(why)).await
    }

    pub(super) async fn claim(
        &self,
        upstream: &str,
        now: WallTime,
        most: usize,
    ) -> Result<Claimed, StoreError> {
        if self.lock.lock().is_none() {
            return Err(StoreError::Visitor);
        }
        claim::claim(self, upstream.to_owned(), now, most).await
    }

    pub(super) async fn finish(
        &self,
        offer: &Offer,
        finish: Finish,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let closed = finish::Closing::of(offer, finish, now, &self.keys)?;
        self.writer.write(closed).await
    }

    pub(super) async fn destinations(&self) -> Result<Vec<String>, StoreError> {
        self.writer.ask(|db, _| query::destinations(db)).await
    }

    pub(super) async fn stop_interrupted(&self) -> Result<u64, StoreError> {
        self.writer.write(claim::Interrupted { now: now() }).await
    }

    pub(super) async fn known(
        &self,
        scope: [u8; 32],
        print: [u8; 32],
    ) -> Result<Option<DeliveryId>, StoreError> {
        self.read(move |db, _| accept::known(db, &scope, &print)?.transpose()).await
    }

    pub(super) async fn lane_items(&self, upstream: &str, lane: &str) -> Result<u64, StoreError> {
        let (upstream, lane) = (upstream.to_owned(), lane.to_owned());
        self.read(move |db, _| query::lane_items(db, &upstream, &lane)).await
    }

    pub(super) async fn summary(&self, id: DeliveryId) -> Result<Summary, StoreError> {
        self.read(move |db, _| query::summary(db, id)).await
    }

    pub(super) async fn detail(&self, id: DeliveryId) -> Result<Detail, StoreError> {
        self.read(move |db, keys| query::detail(db, keys, id)).await
    }

    pub(super) async fn list(
        &self,
        filter: Filter,
        page: Page,
    ) -> Result<Vec<Summary>, StoreError> {
        self.read(move |db, _| query::list(db, &filter, page)).await
    }

    pub(super) async fn totals(&self) -> Result<Vec<Totals>, StoreError> {
        self.read(|db, _| query::totals(db)).await
    }

    pub(super) async fn retry(
        &self,
        filter: Filter,
        per_second: Option<u32>,
        now: WallTime,
    ) -> Result<u64, StoreError> {
        self.all(filter, |those, done| hand::Retry { those, per_second, now, done }).await
    }

    pub(super) async fn drop_those(
        &self,
        filter: Filter,
        now: WallTime,
    ) -> Result<u64, StoreError> {
        // Dead ones first: those that are given up now are dead letters, to be forgotten another time.
        let forgotten = self.all(filter.clone(), |those, _| hand::Forget { those }).await?;
        let given_up = self.all(filter, |those, _| hand::GiveUp { those, now }).await?;
        Ok(forgotten + given_up)
    }

    pub(super) async fn settle(&self, filter: Filter, now: WallTime) -> Result<u64, StoreError> {
        self.all(filter, |those, _| hand::Settle { those, now }).await
    }

    /// Has some written after some, until there are no more of those that there are now.
    async fn all<W: writer::Write<Out = hand::Done>>(
        &self,
        filter: Filter,
        some: impl Fn(hand::Those, u64) -> W,
    ) -> Result<u64, StoreError> {
        let upto = self.writer.ask(|db, _| Ok(row::last_seq(db)?)).await?;
        let mut those = hand::Those { filter, after: 0, upto };
        let mut count = 0;
        loop {
            let done = self.writer.write(some(those.clone(), count)).await?;
            count += done.count;
            match done.after {
                Some(after) => those.after = after,
                None => return Ok(count),
            }
        }
    }

    pub(super) async fn tend(&self, keep: Keep, now: WallTime) -> Result<bool, StoreError> {
        self.writer.write(tend::Tend { keep, now }).await
    }

    pub(super) async fn check(&self) -> Result<Vec<Fault>, StoreError> {
        let path = self.path.clone();
        let keys = Arc::clone(&self.keys);
        blocking(move || check::check(&mut open::read_only(&path)?, &keys)).await
    }

    pub(super) async fn backup(&self, to: PathBuf) -> Result<(), StoreError> {
        let path = self.path.clone();
        blocking(move || open::backup(&path, &to)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection, &Keys) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reader, keys) = (Arc::clone(&self.reader), Arc::clone(&self.keys));
        blocking(move || ask(&reader.lock(), &keys)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Closed))
}
