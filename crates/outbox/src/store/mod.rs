//! The store, whatever it is made of: what is asked of it and what it promises. Each kind keeps this contract in a folder of its own, and one
//! suite of tests holds all of them to it.
//!
//! | | for |
//! |---|---|
//! | `sqlite` | one proxy: a file |
//! | `postgres` | a fleet: a database that they share |
//!
//! **Time is the store's** ([`Store::now`]): who delivers from one store goes by one clock.

mod content;
mod error;
mod news;
mod postgres;
mod sqlite;
mod terms;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::outbox::{StoppedReason, WallTime};
use tokio::sync::watch;

use crate::{DeliveryId, Detail, Finish, Keys, NewDelivery, Offer, Summary};
pub use error::{OpenError, StoreError};
use news::{Shared, Waiter};
use postgres::Postgres;
pub use postgres::{
    Intake, IntakeRow, Lease, PostgresAddress, PostgresSettings, TakenIn, WrongAddress, intake_sql,
};
use sqlite::Sqlite;
pub use terms::{Accepted, Access, Claimed, Fault, Filter, Full, Keep, Limits, Page, Totals};

/// The store. Cheap to clone; the last clone's drop closes it.
#[derive(Clone, Debug)]
pub struct Store(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Sqlite(Arc<Sqlite>),
    Postgres(Arc<Postgres>),
}

impl Store {
    /// Opens the file at `path`; whoever serves makes it if there is none.
    ///
    /// What another crash left behind is recovered. A file below 64 MiB is checked as a whole, which takes up to half a second; a larger
    /// one should be [checked](Store::check) once it runs.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. Nothing was changed, then.
    pub fn open(
        path: &Path,
        keys: Keys,
        limits: Limits,
        access: Access,
    ) -> Result<Self, OpenError> {
        Ok(Self(Kind::Sqlite(Arc::new(Sqlite::open(path, keys, limits, access)?))))
    }

    /// Opens a fleet's store; whoever serves makes its tables if there are none, or brings them to this version. Any number of
    /// proxies may have it.
    ///
    /// A database that can't be reached within a few seconds keeps only a visitor from it: a proxy starts all the same, and stores
    /// nothing until it is there.
    ///
    /// It waits for the database: not for an async task.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. Nothing was changed, then.
    pub fn open_postgres(
        settings: PostgresSettings,
        keys: Keys,
        limits: Limits,
        access: Access,
    ) -> Result<Self, OpenError> {
        Ok(Self(Kind::Postgres(Arc::new(Postgres::open(settings, keys, limits, access)?))))
    }

    /// Whether others deliver from it too.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        matches!(self.0, Kind::Postgres(_))
    }

    /// Where it is, for people: a file's path, or a database without its password.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.0 {
            Kind::Sqlite(store) => store.path().display().to_string(),
            Kind::Postgres(store) => store.place(),
        }
    }

    /// Why the database can't be reached at this moment, if it can't.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &self.0 {
            Kind::Sqlite(_) => None,
            Kind::Postgres(store) => store.trouble(),
        }
    }

    /// The wall clock that this store's times are told by: the machine's for a file, the database's for a fleet.
    #[must_use]
    pub fn now(&self) -> WallTime {
        match &self.0 {
            Kind::Sqlite(_) => sqlite::now(),
            Kind::Postgres(store) => store.now(),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        match &self.0 {
            Kind::Sqlite(store) => store.shared(),
            Kind::Postgres(store) => store.shared(),
        }
    }

    /// Nothing is accepted or offered that was found to be damaged.
    fn is_whole(&self) -> Result<(), StoreError> {
        self.damage().map_or(Ok(()), |what| Err(StoreError::Damaged(what)))
    }

    /// Stores a write. When this returns it is on the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing was stored, then.
    pub async fn accept(&self, new: NewDelivery) -> Result<Accepted, StoreError> {
        self.is_whole()?;
        match &self.0 {
            Kind::Sqlite(store) => store.accept(new).await,
            Kind::Postgres(store) => store.accept(new).await,
        }
    }

    /// Stores a write that waits for a person from the start: nothing is known that could be done with it. A PostgreSQL store does that as it
    /// [takes in](Self::take_in).
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing was stored, then.
    pub async fn set_aside(
        &self,
        new: NewDelivery,
        why: StoppedReason,
    ) -> Result<Accepted, StoreError> {
        self.is_whole()?;
        match &self.0 {
            Kind::Sqlite(store) => store.set_aside(new, why).await,
            Kind::Postgres(_) => Err(StoreError::NotHere("a database sets aside what it takes in")),
        }
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
        self.is_whole()?;
        match &self.0 {
            Kind::Sqlite(store) => store.claim(upstream, now, most).await,
            Kind::Postgres(store) => store.claim(upstream, now, most).await,
        }
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
        match &self.0 {
            Kind::Sqlite(store) => store.finish(offer, finish, now).await,
            Kind::Postgres(store) => store.finish(offer, finish, now).await,
        }
    }

    /// Where something waits to be delivered.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn destinations(&self) -> Result<Vec<String>, StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.destinations().await,
            Kind::Postgres(store) => store.destinations().await,
        }
    }

    /// Becomes the one that delivers from a file that was opened as a visitor, once nobody else is. Whoever is it already stays it, and
    /// so do all who opened a fleet's database to serve.
    ///
    /// # Errors
    ///
    /// [`OpenError::InUse`] while another process is; or the lock's file can't be opened.
    pub fn serve(&self) -> Result<(), OpenError> {
        match &self.0 {
            Kind::Sqlite(store) => store.serve(),
            Kind::Postgres(_) => Ok(()),
        }
    }

    /// Whether this process delivers from here, or may.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        match &self.0 {
            Kind::Sqlite(store) => store.is_serving(),
            Kind::Postgres(_) => true,
        }
    }

    /// Lets another process deliver from here, and goes on as a visitor: what is accepted is stored as before. For after the last claim is
    /// finished. A fleet's database has room for both, and nothing is to be handed over.
    pub fn hand_over(&self) {
        match &self.0 {
            Kind::Sqlite(store) => store.hand_over(),
            Kind::Postgres(_) => {}
        }
    }

    /// Stops what was on its way when the last process ended and must not be sent twice. How many they are. For whoever serves,
    /// before the first claim.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn stop_interrupted(&self) -> Result<u64, StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.stop_interrupted().await,
            Kind::Postgres(store) => store.stop_interrupted().await,
        }
    }

    /// Waits until a delivery is neither waiting nor on its way, for at most `patience`. Its summary then, or as it is.
    ///
    /// # Errors
    ///
    /// There is no such delivery, or the database failed.
    pub async fn settled(&self, id: DeliveryId, patience: Duration) -> Result<Summary, StoreError> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            let waiter = Waiter::new(self.shared(), id);
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
        match &self.0 {
            Kind::Sqlite(store) => store.known(scope, print).await,
            Kind::Postgres(store) => store.known(scope, print).await,
        }
    }

    /// How many of a lane wait, are on their way or are stopped: what comes now has to go behind them.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn lane_items(&self, upstream: &str, lane: &str) -> Result<u64, StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.lane_items(upstream, lane).await,
            Kind::Postgres(store) => store.lane_items(upstream, lane).await,
        }
    }

    /// One delivery, as it is listed.
    ///
    /// # Errors
    ///
    /// There is no such delivery, or the database failed.
    pub async fn summary(&self, id: DeliveryId) -> Result<Summary, StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.summary(id).await,
            Kind::Postgres(store) => store.summary(id).await,
        }
    }

    /// One delivery with all that is known of it.
    ///
    /// # Errors
    ///
    /// There is no such delivery, or the database failed.
    pub async fn detail(&self, id: DeliveryId) -> Result<Detail, StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.detail(id).await,
            Kind::Postgres(store) => store.detail(id).await,
        }
    }

    /// Deliveries, oldest first.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn list(&self, filter: Filter, page: Page) -> Result<Vec<Summary>, StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.list(filter, page).await,
            Kind::Postgres(store) => store.list(filter, page).await,
        }
    }

    /// How many there are, of each state at each upstream.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn totals(&self) -> Result<Vec<Totals>, StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.totals().await,
            Kind::Postgres(store) => store.totals().await,
        }
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
        match &self.0 {
            Kind::Sqlite(store) => store.retry(filter, per_second, now).await,
            Kind::Postgres(store) => store.retry(filter, per_second, now).await,
        }
    }

    /// Gives open deliveries up, and forgets dead ones. How many they are.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn drop_those(&self, filter: Filter, now: WallTime) -> Result<u64, StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.drop_those(filter, now).await,
            Kind::Postgres(store) => store.drop_those(filter, now).await,
        }
    }

    /// Takes a person's word that stopped deliveries have arrived. How many they are.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn settle(&self, filter: Filter, now: WallTime) -> Result<u64, StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.settle(filter, now).await,
            Kind::Postgres(store) => store.settle(filter, now).await,
        }
    }

    /// Forgets what was finished long enough ago, some hundred at a time. Whether there is more.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn tend(&self, keep: Keep, now: WallTime) -> Result<bool, StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.tend(keep, now).await,
            Kind::Postgres(store) => store.tend(keep, now).await,
        }
    }

    /// Takes in some of the writes that applications have put into `table` of the same database, in their order. `router` says what
    /// becomes of each; it may be asked more than once.
    ///
    /// # Errors
    ///
    /// The database failed, there is no such table, or this store isn't in a database.
    pub async fn take_in(
        &self,
        table: &str,
        router: impl Fn(&IntakeRow) -> Intake + Send + Sync + 'static,
    ) -> Result<TakenIn, StoreError> {
        self.is_whole()?;
        match &self.0 {
            Kind::Sqlite(_) => Err(StoreError::NotHere("a file takes in nothing")),
            Kind::Postgres(store) => store.take_in(table, router).await,
        }
    }

    /// Looks at everything that is stored: the tree's structure, and each checksum. It reads the whole file, beside other work.
    ///
    /// # Errors
    ///
    /// The database failed.
    pub async fn check(&self) -> Result<Vec<Fault>, StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.check().await,
            Kind::Postgres(store) => store.check().await,
        }
    }

    /// From now on nothing is accepted or offered: it was found to be damaged.
    pub fn refuse(&self, what: String) {
        *self.shared().damage.lock() = Some(what);
    }

    /// What was found to be damaged, if anything was.
    #[must_use]
    pub fn damage(&self) -> Option<String> {
        self.shared().damage.lock().clone()
    }

    /// Copies everything to `to`, which must not exist, beside other work.
    ///
    /// # Errors
    ///
    /// The database failed, or the copy can't be written.
    pub async fn backup(&self, to: PathBuf) -> Result<(), StoreError> {
        match &self.0 {
            Kind::Sqlite(store) => store.backup(to).await,
            Kind::Postgres(_) => Err(StoreError::NotHere(
                "a PostgreSQL store is copied as its database is: with pg_dump, or by its own backups",
            )),
        }
    }

    /// Counts what is written; each change is news.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared().changes.subscribe()
    }
}
