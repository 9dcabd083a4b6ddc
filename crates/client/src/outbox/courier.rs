//! Delivers what a program's own transactions have put into its outbox, inside the program: from a SQLite file, or from a PostgreSQL database.
//!
//! ```text
//!   the program's SQLite file ─▶ rows, in their order ─▶ the outbox's own store ─▶ dispatcher ─▶ calls, by the client's policy
//!                     ▲                                │
//!                     └──── deleted, once it is there ─┘
//! ```
//!
//! A row and its delivery are in two files, and no commit covers both. So a row is stored under a scope that is made of its id: one
//! that comes again, since the process ended between the two steps, is known. Nothing is forgotten before all rows that are there have
//! been taken in, so that this holds however long the program was away.
//!
//! In PostgreSQL rows and deliveries are in one database, and one commit covers both. The store is the fleet's: any number of couriers and proxies
//! share it, each delivery is leased to one of them, and what a dead one had on its way is taken over.

mod builder;
mod intake;
mod ways;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::outbox::WallTime;
use mainstay_outbox::store::{Keep, TakenIn};
use mainstay_outbox::{Dispatcher, Dispatching, Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::DeliveryId;
use crate::Mainstay;
use intake::{Pass, Table};
use ways::{Troubles, Ways};

pub use builder::CourierBuilder;

pub use mainstay_core::outbox::{DeadReason, StoppedReason};
pub use mainstay_outbox::State;

/// Delivers stored writes while it lives, by the routes of a client that say `outbox`. Dropping it cancels what is on its way, as the
/// end of the process would; [`Courier::drain`] lets it come to its end.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use mainstay::outbox::{Courier, Delivery, SqliteOutbox};
/// use mainstay::{Mainstay, UpstreamBuilder};
///
/// let shop = UpstreamBuilder::new("shop").endpoint("https://shop.example").set("outbox.mode", "always");
/// let client = Mainstay::builder().upstream(shop).build()?;
/// let outbox = SqliteOutbox::new("mainstay_outbox")?;
/// let courier = Courier::of(&client).store("deliveries.db").intake("shop.db", &outbox).start().await?;
///
/// let mut database = rusqlite::Connection::open("shop.db")?;
/// let transaction = database.transaction()?;
/// let id = outbox.enqueue(&transaction, Delivery::post("/orders").body("tea").key("order-7"))?;
/// transaction.commit()?;
/// courier.wake();
/// # Ok(()) }
/// ```
///
/// With PostgreSQL the store is in the program's own database, beside the table:
///
/// ```no_run
/// # async fn example(client: mainstay::Mainstay) -> Result<(), Box<dyn std::error::Error>> {
/// use mainstay::outbox::Courier;
///
/// let courier = Courier::of(&client)
///     .postgres("postgresql://shop@db.example/shop")
///     .intake_table("mainstay_outbox")
///     .start()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Courier {
    #[cfg(feature = "metrics")]
    client: Mainstay,
    store: Store,
    orders: watch::Sender<Dispatching>,
    wake: Arc<Notify>,
    troubles: Arc<Troubles>,
    task: Option<JoinHandle<()>>,
}

impl Courier {
    /// One that delivers by the policy of this client.
    pub fn of(client: &Mainstay) -> CourierBuilder {
        CourierBuilder::of(client)
    }

    /// Says that a transaction was committed, so that it looks at once. Without it it looks each second.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Waits until a delivery is neither waiting nor on its way, for at most `patience`. Its state then, or as it is; `None` if it hasn't been taken
    /// in by then (or never will be: its transaction was rolled back), or was forgotten.
    ///
    /// # Errors
    ///
    /// The store can't be read.
    pub async fn settled(
        &self,
        id: &DeliveryId,
        patience: Duration,
    ) -> Result<Option<State>, CourierError> {
        let until = Instant::now() + patience.min(LONGEST_PATIENCE);
        let id = intake::id_of(id.as_str());
        let mut changes = self.store.changes();
        loop {
            changes.mark_unchanged();
            match self.store.settled(id, until.saturating_duration_since(Instant::now())).await {
                Ok(summary) => return Ok(Some(summary.state)),
                Err(StoreError::Unknown) => {}
                Err(error) => return Err(CourierError::of("the store can't be read", error)),
            }
            if timeout_at(until, changes.changed()).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// What is wrong with the store, the table or deliveries at this moment, or was within the last minute, if anything is; also that its task has
    /// ended, by a panic or with its runtime, so that nothing is delivered any more.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &self.task {
            Some(task) if task.is_finished() => Some(
                "its task has ended, with its runtime or by a panic: nothing is delivered any more"
                    .to_owned(),
            ),
            Some(_) | None => self.store.trouble().or_else(|| self.troubles.now()),
        }
    }

    /// The client's [metrics](Mainstay::metrics_text), with how many writes are stored for each upstream, how large they are, and how long the first
    /// of them has waited; and whether the store can be asked.
    #[cfg(feature = "metrics")]
    pub async fn metrics_text(&self) -> String {
        let snapshots = self.snapshots().await;
        self.client.recorder().metrics_text(false, &snapshots)
    }

    /// The same as OpenMetrics.
    #[cfg(feature = "metrics")]
    pub async fn openmetrics_text(&self) -> String {
        let snapshots = self.snapshots().await;
        self.client.recorder().metrics_text(true, &snapshots)
    }

    #[cfg(feature = "metrics")]
    async fn snapshots(&self) -> Vec<mainstay_record::UpstreamSnapshot> {
        let totals = self.store.totals().await;
        self.client.recorder().note_outbox(totals.is_ok());
        let mut all = self.client.snapshots();
        // Where it can't be asked that is told, and nothing is told of what waits.
        if let Ok(totals) = totals {
            for one in &mut all {
                one.stored = crate::stored::snapshots(&self.store, &totals, &one.name);
            }
        }
        all
    }

    /// Takes in and offers nothing more, and waits until nothing is on its way. What waits is delivered by the next courier.
    pub async fn drain(mut self) {
        self.orders.send_replace(Dispatching::Drains);
        if let Some(task) = &mut self.task {
            // It is this one's own; a panic in it was told by the runtime.
            let _ = task.await;
        }
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What its task does.
struct Work {
    ways: Arc<Ways>,
    inlet: Inlet,
    wake: Arc<Notify>,
    keep: Keep,
}

/// Where it takes deliveries in from.
#[derive(Clone, Debug)]
enum Inlet {
    /// Nowhere: it delivers what is in the store.
    Nowhere,
    /// A table in the program's own SQLite file.
    Sqlite(Arc<Table>),
    /// A table of the store's own database.
    Postgres(Arc<str>),
}

impl Work {
    async fn run(self, orders: watch::Receiver<Dispatching>) {
        let store = &self.ways.store;
        // Nothing is offered before that is written: what may have been done would be done twice.
        let mut until_stopped = orders.clone();
        while let Err(error) = store.stop_interrupted().await {
            self.ways.troubles.looking(Some(error.to_string()));
            tokio::select! {
                _ = until_stopped.wait_for(|order| *order != Dispatching::Goes) => return,
                () = sleep(LOOK_EVERY) => {}
            }
        }
        let dispatcher = Dispatcher::new(store.clone(), Arc::clone(&self.ways));
        tokio::select! {
            () = dispatcher.run(orders.clone()) => {}
            () = self.look(orders) => {}
        }
    }

    /// Takes in what is there, again and again. Never ends.
    async fn look(&self, orders: watch::Receiver<Dispatching>) {
        let mut pass = Pass::new();
        loop {
            // What is on its way comes to its end without it.
            if *orders.borrow() != Dispatching::Goes {
                std::future::pending::<()>().await;
            }
            let mut full = None;
            let taken = match &self.inlet {
                Inlet::Nowhere => Ok(false),
                Inlet::Sqlite(table) => table.take_in(&self.ways, &mut pass).await,
                Inlet::Postgres(table) => self.take_in(table).await.map(|taken| {
                    full = taken.full.map(|full| StoreError::Full(full).to_string());
                    taken.more
                }),
            };
            let tended = match taken {
                Ok(true) => continue,
                Ok(false) => self.tend(self.ways.store.now()).await.map_err(CourierError::store),
                Err(error) => Err(error),
            };
            let failed = tended.err().map(|error| error.full());
            self.ways.troubles.looking(failed.or_else(|| pass.trouble()).or(full));
            // A wake that came meanwhile is kept.
            let _ = timeout(LOOK_EVERY, self.wake.notified()).await;
        }
    }

    /// Rows of the store's own database become deliveries in one transaction.
    async fn take_in(&self, table: &str) -> Result<TakenIn, CourierError> {
        let (ways, now) = (Arc::clone(&self.ways), self.ways.store.now());
        let taken = self.ways.store.take_in(table, move |row| ways.intake(row, now)).await;
        taken.map_err(|error| CourierError::of("the table can't be read", error))
    }

    async fn tend(&self, now: WallTime) -> Result<(), StoreError> {
        while self.ways.store.tend(self.keep, now).await? {}
        Ok(())
    }
}

/// Why a courier doesn't do as it was told.
#[derive(Debug)]
pub struct CourierError {
    what: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl CourierError {
    fn of(what: &'static str, source: impl Error + Send + Sync + 'static) -> Self {
        Self { what, source: Some(Box::new(source)) }
    }

    const fn bare(what: &'static str) -> Self {
        Self { what, source: None }
    }

    fn store(source: StoreError) -> Self {
        Self::of("the store failed", source)
    }

    fn full(&self) -> String {
        let why = self.source.as_ref().map(|why| format!(": {why}"));
        format!("{}{}", self.what, why.unwrap_or_default())
    }
}

impl fmt::Display for CourierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}

impl Error for CourierError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// How soon a commit is seen that nobody told of; and how soon what failed is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// "Forever" is a length that can't be added to a time.
const LONGEST_PATIENCE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
