//! A store that a fleet shares: PostgreSQL.
//!
//! ```text
//!   proxy ─ accept ─▶ lane (locked) ─▶ delivery, content ─▶ COMMIT ─▶ 202        NOTIFY ─▶ the other workers look
//!   proxy ─ claim ──▶ due ones, SKIP LOCKED ─▶ lease (a number, until) ─▶ a call, the lease renewed ─▶ finish, under that number
//! ```
//!
//! - **Each write is one transaction** on one of a few connections (`pool`), and is sure of its end: a commit that was cut is looked for on another
//!   connection before anybody is told anything (`write`). Nothing waits for ever: each has a deadline.
//! - **Order**: who writes in a lane locks its row first, and gets the next place only then. So places in a lane are in the order of commits.
//! - **Leases** (`lease`): a delivery on its way is one worker's, by the database's clock. When it dies, it is over after a while, and others go on.
//! - **Clock** (`clock`): the database's, so that machines whose clocks differ agree.
//! - **News** (`news`): a worker that has written something says so to the others, after the commit: a notification within it would
//!   make all commits of the database wait for each other. What gets lost is found by the look that each has every second.
//!
//! All of it runs on a thread of its own with its own runtime, as connections belong to one, and callers come from several.

mod accept;
mod address;
mod check;
mod claim;
mod clock;
mod close;
mod finish;
mod hand;
mod intake;
mod lease;
mod link;
mod news;
mod pool;
mod query;
mod row;
mod schema;
mod tell;
mod tend;
mod tls;
mod write;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use mainstay_core::outbox::WallTime;
use tokio::runtime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::news::Shared;
use super::{
    Accepted, Access, Claimed, Fault, Filter, Keep, Limits, OpenError, Page, StoreError, Totals,
};
use crate::{DeliveryId, Detail, Finish, Keys, NewDelivery, Offer, Summary};
pub use address::{PostgresAddress, WrongAddress};
use clock::Clock;
pub use intake::{Intake, IntakeRow, TakenIn, intake_sql};
pub use lease::Lease;
use news::Outgoing;
use pool::Pool;
use schema::Found;
use tls::Tls;

/// Where a fleet's store is, and how it is used.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// The database.
    pub address: PostgresAddress,
    /// The schema in which its tables are. Default `mainstay`.
    pub schema: String,
    /// So long a delivery is left to a worker that says nothing any more. At least 1 s, default 30 s.
    pub lease: Duration,
}

/// The store.
#[derive(Debug)]
pub(super) struct Postgres {
    core: Arc<Core>,
    access: Access,
    runtime: runtime::Handle,
    closing: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What all that runs on the thread shares.
pub(super) struct Core {
    pool: Pool,
    keys: Keys,
    limits: Limits,
    lease: Duration,
    /// This process, among the workers.
    worker: DeliveryId,
    held: lease::Held,
    clock: Clock,
    shared: Arc<Shared>,
    outgoing: Outgoing,
    seeds: AtomicU64,
    ready: AtomicBool,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Core({}, {})", self.pool.address, self.pool.schema)
    }
}

impl Core {
    /// Where a draw of chance begins.
    fn seed(&self) -> u64 {
        self.seeds.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
    }
}

impl Postgres {
    /// See [`Store::open_postgres`](crate::Store::open_postgres).
    pub(super) fn open(
        settings: PostgresSettings,
        keys: Keys,
        limits: Limits,
        access: Access,
    ) -> Result<Self, OpenError> {
        let place = settings.address.to_string();
        let failed = |why: String| OpenError::Postgres(place.clone(), StoreError::Database(why));
        if settings.schema.len() > NAME_MOST_BYTES || settings.schema.is_empty() {
            return Err(failed(format!("a schema's name has 1 to {NAME_MOST_BYTES} bytes")));
        }
        let tls = Tls::new(settings.address.verify()).map_err(failed)?;
        let worker = DeliveryId::fresh().map_err(|error| failed(error.to_string()))?;
        let seed = worker
            .as_bytes()
            .iter()
            .fold(0, |seed: u64, byte| seed.rotate_left(8) ^ u64::from(*byte));
        let most = match access {
            Access::Serve => CONNECTIONS,
            Access::Visit => 2,
        };
        let core = Arc::new(Core {
            pool: Pool::new(settings.address, tls, settings.schema, most, seed),
            keys,
            limits,
            lease: settings.lease,
            worker,
            held: lease::Held::default(),
            clock: Clock::new(),
            shared: Arc::new(Shared::default()),
            outgoing: Outgoing::default(),
            seeds: AtomicU64::new(seed),
            ready: AtomicBool::new(false),
        });
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let handle = runtime.handle().clone();
        let closing = watch::Sender::new(false);
        let (opened, told) = std::sync::mpsc::channel();
        let (begun, mut closes) = (Arc::clone(&core), closing.subscribe());
        let work = move || {
            runtime.block_on(async {
                let is_there = begun.begin(access).await;
                let goes_on = is_there.is_ok();
                // Who opens it waits for that.
                let _ = opened.send(is_there);
                if !goes_on {
                    return;
                }
                let work = async {
                    match access {
                        Access::Serve => begun.serve().await,
                        Access::Visit => begun.visit().await,
                    }
                };
                tokio::select! {
                    () = work => {}
                    _ = closes.wait_for(|closes| *closes) => {}
                }
                begun.last_words().await;
                begun.pool.close();
            });
            // What still runs is cut: each of its transactions is rolled back.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new()
            .name("outbox-postgres".into())
            .spawn(work)
            .map_err(|error| failed(error.to_string()))?;
        match told.recv() {
            Ok(Ok(())) => {}
            Ok(Err(NotOpened::Missing)) => {
                return Err(OpenError::NoSchema(place, core.pool.schema.clone()));
            }
            Ok(Err(NotOpened::Failed(error))) => return Err(OpenError::Postgres(place, error)),
            Err(_) => return Err(failed("its thread ended".into())),
        }
        Ok(Self { core, access, runtime: handle, closing, thread: Some(thread) })
    }

    /// Has something done on the thread. It is done to its end though nobody may wait for it any more.
    async fn on<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.runtime.spawn(work).await.unwrap_or(Err(StoreError::Closed))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.core.shared
    }

    pub(super) fn now(&self) -> WallTime {
        self.core.clock.now()
    }

    pub(super) fn place(&self) -> String {
        format!("{}, schema {}", self.core.pool.address, self.core.pool.schema)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.core.pool.trouble()
    }

    pub(super) async fn accept(&self, new: NewDelivery) -> Result<Accepted, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.accept(new).await }).await
    }

    pub(super) async fn claim(
        &self,
        upstream: &str,
        now: WallTime,
        most: usize,
    ) -> Result<Claimed, StoreError> {
        if self.access == Access::Visit {
            return Err(StoreError::Visitor);
        }
        let (core, upstream) = (Arc::clone(&self.core), upstream.to_owned());
        let (reply, claimed) = tokio::sync::oneshot::channel();
        self.runtime.spawn(async move {
            let claimed = core.claim(&upstream, now, most).await;
            if let Err(Ok(nobodys)) = reply.send(claimed) {
                core.give_back(&nobodys.offers).await;
            }
        });
        Handed { claimed, postgres: self }.taken().await
    }

    pub(super) async fn finish(
        &self,
        offer: &Offer,
        finish: Finish,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let (core, offer) = (Arc::clone(&self.core), offer.clone());
        self.on(async move { core.finish(&offer, finish, now).await }).await
    }

    pub(super) async fn destinations(&self) -> Result<Vec<String>, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.destinations().await }).await
    }

    pub(super) async fn stop_interrupted(&self) -> Result<u64, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.expire().await }).await
    }

    pub(super) async fn known(
        &self,
        scope: [u8; 32],
        print: [u8; 32],
    ) -> Result<Option<DeliveryId>, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.known(scope, print).await }).await
    }

    pub(super) async fn lane_items(&self, upstream: &str, lane: &str) -> Result<u64, StoreError> {
        let core = Arc::clone(&self.core);
        let (upstream, lane) = (upstream.to_owned(), lane.to_owned());
        self.on(async move { core.lane_items(&upstream, &lane).await }).await
    }

    pub(super) async fn summary(&self, id: DeliveryId) -> Result<Summary, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.summary(id).await }).await
    }

    pub(super) async fn detail(&self, id: DeliveryId) -> Result<Detail, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.detail(id).await }).await
    }

    pub(super) async fn list(
        &self,
        filter: Filter,
        page: Page,
    ) -> Result<Vec<Summary>, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.list(filter, page).await }).await
    }

    pub(super) async fn totals(&self) -> Result<Vec<Totals>, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.totals().await }).await
    }

    pub(super) async fn retry(
        &self,
        filter: Filter,
        per_second: Option<u32>,
        now: WallTime,
    ) -> Result<u64, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.retry(filter, per_second, now).await }).await
    }

    pub(super) async fn drop_those(
        &self,
        filter: Filter,
        now: WallTime,
    ) -> Result<u64, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.drop_those(filter, now).await }).await
    }

    pub(super) async fn settle(&self, filter: Filter, now: WallTime) -> Result<u64, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.settle(filter, now).await }).await
    }

    pub(super) async fn tend(&self, keep: Keep, now: WallTime) -> Result<bool, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.tend(keep, now).await }).await
    }

    pub(super) async fn take_in(
        &self,
        table: &str,
        router: impl Fn(&IntakeRow) -> Intake + Send + Sync + 'static,
    ) -> Result<TakenIn, StoreError> {
        let (core, table) = (Arc::clone(&self.core), table.to_owned());
        self.on(async move { core.take_in(&table, &router).await }).await
    }

    pub(super) async fn check(&self) -> Result<Vec<Fault>, StoreError> {
        let core = Arc::clone(&self.core);
        self.on(async move { core.check().await }).await
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.closing.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // It ends soon: it has nothing to say but a last notification.
            let _ = thread.join();
        }
    }
}

/// The answer to a claim. Dropped before it was taken, what is in it is given back.
struct Handed<'a> {
    claimed: tokio::sync::oneshot::Receiver<Result<Claimed, StoreError>>,
    postgres: &'a Postgres,
}

impl Handed<'_> {
    async fn taken(mut self) -> Result<Claimed, StoreError> {
        (&mut self.claimed).await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        self.claimed.close();
        // It may have come between the last look and now.
        if let Ok(Ok(nobodys)) = self.claimed.try_recv() {
            let core = Arc::clone(&self.postgres.core);
            self.postgres.runtime.spawn(async move { core.give_back(&nobodys.offers).await });
        }
    }
}

/// Why it isn't opened.
enum NotOpened {
    Missing,
    Failed(StoreError),
}

impl Core {
    /// Looks for the tables, or makes them. A database that can't be reached now may be there later, and doesn't keep one that serves from
    /// starting: until then nothing is stored.
    async fn begin(&self, access: Access) -> Result<(), NotOpened> {
        match self.make_ready(access).await {
            Ok(Found::Current) => Ok(()),
            Ok(Found::None) => Err(NotOpened::Missing),
            // It can't be reached, and that may pass.
            Err(_) if access == Access::Serve && self.pool.is_passing() => Ok(()),
            Err(error) => Err(NotOpened::Failed(error)),
        }
    }

    /// Whether the tables are those of this version.
    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Sees to it that they are.
    async fn make_ready(&self, access: Access) -> Result<Found, StoreError> {
        let link = self.pool.link(Instant::now() + OPEN_FOR).await?;
        let found = schema::upgrade(&link, &self.pool.schema, access).await?;
        link.keep();
        // Where it fails it is learned a second later.
        let _ = self.look_at_the_clock().await;
        self.ready.store(true, Ordering::Release);
        Ok(found)
    }

    async fn look_at_the_clock(&self) -> Result<(), StoreError> {
        let asked = Instant::now();
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let rows = self.query(sql, &[]).await?;
        if let Some(row) = rows.first() {
            self.clock.learn(row.try_get(0)?, asked);
        }
        Ok(())
    }
}

/// PostgreSQL cuts longer ones.
const NAME_MOST_BYTES: usize = 63;

/// Connections of one proxy. Commits of several share a sync; more of them would wait for the same disk.
const CONNECTIONS: usize = 8;

/// So long a start waits for a database that can't be reached.
const OPEN_FOR: Duration = Duration::from_secs(5);
