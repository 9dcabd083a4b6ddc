//! Writes that are stored until they are delivered: the proxy's side of the outbox.
//!
//! ```text
//!   request ─▶ forward::stored ─┬─ stored first ────────────────▶ 202 ─┐
//!                               └─ tried directly, can't be now ─▶ 202 ─┴─▶ store ─▶ courier ─▶ the upstream
//! ```
//!
//! What may be stored after a direct call is core's to say ([`after_call`](mainstay_core::outbox::after_call)), as is what follows from
//! each delivery's call. `courier` makes those calls with the current generation's routes, so that a reload holds for what
//! was stored before it.

mod courier;
mod intake;
mod seldom;

use std::collections::{HashMap, HashSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mainstay::Clock;
use mainstay::stored::Unopened;
use mainstay_config::settings::{Outbox as OutboxSettings, Settings};
use mainstay_outbox::store::{Access, Keep, OpenError, WrongAddress};
use mainstay_outbox::{
    DeliveryId, Dispatcher, Dispatching, KeyError, Keys, SecretsError, Store, StoreError, Summary,
};
use parking_lot::Mutex;
use tokio::runtime;
use tokio::sync::{Mutex as TurnLock, OwnedMutexGuard, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::shared::Shared;
use courier::Courier;
pub(crate) use seldom::Seldom;

/// An open outbox.
#[derive(Debug)]
pub(crate) struct Outbox {
    store: Store,
    settings: OutboxSettings,
    /// Requests with a key of their own that are tried directly now, by their scope.
    tried_now: Mutex<HashSet<[u8; 32]>>,
    /// Who has the turn in a lane, and who waits for it.
    turns: Mutex<HashMap<String, Arc<TurnLock<()>>>>,
    orders: watch::Sender<Dispatching>,
    /// Whether the thread has nothing more to do.
    ended: watch::Sender<bool>,
    running: Mutex<Option<JoinHandle<()>>>,
    /// Writes that can't be stored.
    pub(crate) unstored: Seldom,
}

/// A request with a key of its own is tried directly until this is dropped.
pub(crate) struct TriedNow<'a> {
    outbox: &'a Outbox,
    scope: [u8; 32],
}

impl<'a> TriedNow<'a> {
    /// `None` if it is already.
    pub(crate) fn begin(outbox: &'a Outbox, scope: [u8; 32]) -> Option<Self> {
        // Made only where it is new: the end of one forgets the scope.
        let is_new = outbox.tried_now.lock().insert(scope);
        is_new.then(|| Self { outbox, scope })
    }
}

impl Drop for TriedNow<'_> {
    fn drop(&mut self) {
        self.outbox.tried_now.lock().remove(&self.scope);
    }
}

/// The turn in a lane: until it is dropped, no other request of the lane is tried or stored by this proxy.
pub(crate) struct Turn<'a> {
    outbox: &'a Outbox,
    lane: String,
    turn: Option<OwnedMutexGuard<()>>,
}

impl<'a> Turn<'a> {
    /// Waits for it. Those who wait get it in the order in which they came.
    pub(crate) async fn of(outbox: &'a Outbox, upstream: &str, lane: &str) -> Self {
        let lane = format!("{upstream}\n{lane}");
        let turns = Arc::clone(outbox.turns.lock().entry(lane.clone()).or_default());
        // Made before the wait: who gives up waiting tidies up as well.
        let mut turn = Self { outbox, lane, turn: None };
        turn.turn = Some(turns.lock_owned().await);
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut turns = self.outbox.turns.lock();
        drop(self.turn.take());
        // One in the map: nobody waits.
        if turns.get(&self.lane).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.lane);
        }
    }
}

/// Why an outbox can't be opened.
#[derive(Debug)]
pub enum OutboxError {
    /// The store.
    Open(OpenError),
    /// A key.
    Key(KeyError),
    /// The database's URL.
    Address(WrongAddress),
    /// The secrets of callbacks.
    Secrets(SecretsError),
    /// A thread or its runtime.
    Thread(io::Error),
}

impl std::fmt::Display for OutboxError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(error) => write!(f, "the outbox can't be opened: {error}"),
            Self::Key(error) => write!(f, "outbox.keys: {error}"),
            Self::Address(error) => write!(f, "the outbox's database: {error}"),
            Self::Secrets(error) => write!(f, "the secrets of callbacks: {error}"),
            Self::Thread(_) => f.write_str("can't start the outbox's thread"),
        }
    }
}

impl std::error::Error for OutboxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            Self::Open(_) | Self::Key(_) | Self::Address(_) | Self::Secrets(_) => None,
        }
    }
}

/// Whether these settings need one.
pub(crate) fn is_wanted(settings: &Settings) -> bool {
    settings.routes.iter().any(|route| route.outbox.is_some())
}

/// Whether an open outbox by `old` can go on by `new`.
pub(crate) fn is_same_store(old: &OutboxSettings, new: &OutboxSettings) -> bool {
    let fixed = |settings: &OutboxSettings| {
        let OutboxSettings { path, postgres, postgres_file, postgres_env, .. } = settings.clone();
        let place = (path, postgres, postgres_file, postgres_env, settings.schema.clone());
        let OutboxSettings { keys, items, bytes, lane_items, reserve_bytes, .. } = settings.clone();
        let limits = (items, bytes, lane_items, reserve_bytes);
        let rest = (settings.lease, settings.intake.clone(), settings.status_path.clone());
        (place, keys, limits, rest)
    };
    fixed(old) == fixed(new)
}

/// Opens the store that these settings name: for a proxy that delivers from it, or for a visitor.
///
/// It waits for the disk, or for the database.
///
/// # Errors
///
/// [`OutboxError`]. Nothing was changed, then.
pub fn open_store(
    settings: &OutboxSettings,
    keys: Keys,
    access: Access,
) -> Result<Store, OutboxError> {
    mainstay::stored::open(settings, keys, access).map_err(|error| match error {
        Unopened::Store(error) => OutboxError::Open(error),
        Unopened::Address(error) => OutboxError::Address(error),
    })
}

impl Outbox {
    /// Opens it. Nothing is delivered before it is [started](Self::start).
    pub(crate) fn open(settings: &OutboxSettings) -> Result<Arc<Self>, OutboxError> {
        Self::over(open_store(settings, read_keys(settings)?, Access::Serve)?, settings)
    }

    /// Opens one from which another process may still deliver: writes are stored from now on, and delivered once that one has let go.
    pub(crate) fn inherit(settings: &OutboxSettings) -> Result<Arc<Self>, OutboxError> {
        let store = match open_store(settings, read_keys(settings)?, Access::Serve) {
            Err(OutboxError::Open(OpenError::InUse(_))) => {
                open_store(settings, read_keys(settings)?, Access::Visit)?
            }
            opened => opened?,
        };
        Self::over(store, settings)
    }

    fn over(store: Store, settings: &OutboxSettings) -> Result<Arc<Self>, OutboxError> {
        if let Some(trouble) = store.trouble() {
            tracing::error!(
                trouble,
                "the outbox's database can't be reached: nothing is stored until it is there"
            );
        }
        Ok(Arc::new(Self {
            store,
            settings: settings.clone(),
            tried_now: Mutex::default(),
            turns: Mutex::default(),
            orders: watch::Sender::new(Dispatching::Goes),
            ended: watch::Sender::new(false),
            running: Mutex::new(None),
            unstored: Seldom::default(),
        }))
    }

    /// Begins to deliver, on a thread of its own, so that a backlog doesn't take the workers' time.
    pub(crate) fn start(self: &Arc<Self>, shared: &Arc<Shared>) -> Result<(), OutboxError> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(OutboxError::Thread)?;
        let (store, orders) = (self.store.clone(), self.orders.subscribe());
        let courier = Arc::new(Courier::new(shared, self.store.clone()));
        let (shared, ended) = (Arc::clone(shared), self.ended.clone());
        let running = thread::Builder::new()
            .name("mainstay-outbox".into())
            .spawn(move || {
                let refusing = store.clone();
                let work =
                    AssertUnwindSafe(|| runtime.block_on(run(store, courier, shared, orders)));
                if catch_unwind(work).is_err() {
                    tracing::error!(
                        "the outbox's thread panicked: nothing is delivered until a restart"
                    );
                    refusing.refuse("the thread that delivers has ended".to_owned());
                }
                ended.send_replace(true);
                // A look at the whole store may be under way, and may take a minute.
                runtime.shutdown_background();
            })
            .map_err(OutboxError::Thread)?;
        *self.running.lock() = Some(running);
        Ok(())
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) const fn settings(&self) -> &OutboxSettings {
        &self.settings
    }

    /// Offers nothing more, and lets what is on its way come to its end.
    pub(crate) fn drain(&self) {
        self.orders.send_replace(Dispatching::Drains);
    }

    /// Waits until a delivery is neither waiting nor on its way, for at most `patience`, and not while the proxy drains. Its summary then,
    /// or as it is.
    pub(crate) async fn settled(
        &self,
        id: DeliveryId,
        patience: Duration,
    ) -> Result<Summary, StoreError> {
        let mut orders = self.orders.subscribe();
        let drains = async {
            // The sender is this one's own.
            let _ = orders.wait_for(|order| *order != Dispatching::Goes).await;
        };
        tokio::select! {
            settled = self.store.settled(id, patience) => return settled,
            () = drains => {}
        }
        self.store.summary(id).await
    }

    /// Waits until no request whose order or key others have to heed is tried directly.
    pub(crate) async fn untried(&self) {
        while !(self.turns.lock().is_empty() && self.tried_now.lock().is_empty()) {
            sleep(LOOKED_AGAIN_AFTER).await;
        }
    }

    /// Waits until nothing is on its way any more.
    pub(crate) async fn drained(&self) {
        let mut ended = self.ended.subscribe();
        // The sender is this one's own.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    /// Stops at once: calls are cut.
    pub(crate) fn stop(&self) {
        self.orders.send_replace(Dispatching::Stops);
        if let Some(running) = self.running.lock().take()
            && running.join().is_err()
        {
            tracing::error!("the outbox's thread panicked");
        }
    }
}

fn read_keys(settings: &OutboxSettings) -> Result<Keys, OutboxError> {
    let files = settings.keys.iter().map(|file| Path::new(file.as_str()));
    Keys::read(files).map_err(OutboxError::Key)
}

/// Waits until no other process delivers from here, and this one may.
async fn serve(store: &Store) {
    let failing = Seldom::default();
    let mut is_told = false;
    loop {
        match store.serve() {
            Ok(()) => return,
            Err(OpenError::InUse(_)) => {
                if !is_told {
                    tracing::info!(
                        "stored writes are delivered once the process before has let go of them"
                    );
                    is_told = true;
                }
            }
            Err(error) => {
                if let Some(count) = failing.happened(Clock::now()) {
                    tracing::error!(%error, count, "nothing is delivered: the outbox can't be locked");
                }
            }
        }
        sleep(LOOKED_AGAIN_AFTER).await;
    }
}

/// The thread's work.
async fn run(
    store: Store,
    courier: Arc<Courier>,
    shared: Arc<Shared>,
    orders: watch::Receiver<Dispatching>,
) {
    let mut until_stopped = orders.clone();
    tokio::select! {
        () = serve(&store) => {}
        _ = until_stopped.wait_for(|order| *order != Dispatching::Goes) => return,
    }
    // Nothing is offered before that is written: what may have been done would be done twice.
    loop {
        match store.stop_interrupted().await {
            Ok(0) => break,
            Ok(count) => {
                tracing::warn!(
                    count,
                    "deliveries were on their way when the last process ended, may have been done, and wait for a person"
                );
                break;
            }
            Err(error) => {
                tracing::error!(%error, "the outbox can't be written, nothing is delivered")
            }
        }
        tokio::select! {
            _ = until_stopped.wait_for(|order| *order != Dispatching::Goes) => return,
            () = sleep(TRIED_AGAIN_AFTER) => {}
        }
    }
    let dispatcher = Dispatcher::new(store.clone(), Arc::clone(&courier));
    let intake = async {
        let table = shared.current().settings.outbox.intake.clone();
        if let Some(table) = table {
            intake::take_in(store.clone(), courier, table, orders.clone()).await;
        }
        // What is on its way comes to its end without it.
        std::future::pending().await
    };
    tokio::select! {
        () = dispatcher.run(orders.clone()) => {}
        () = tend(store.clone(), Arc::clone(&shared)) => {}
        () = intake => {}
    }
}

/// Looks at all of a store of this proxy's own.
async fn check(store: &Store) {
    match store.check().await {
        Ok(faults) => {
            for fault in &faults {
                tracing::error!(%fault, "the outbox isn't what was written");
            }
            if let Some(fault) = faults.iter().find(|fault| fault.is_whole_stores()) {
                store.refuse(fault.to_string());
            }
        }
        Err(error) => tracing::error!(%error, "the outbox can't be checked"),
    }
}

/// Checks the store once, and forgets what was finished long ago. Never ends.
async fn tend(store: Store, shared: Arc<Shared>) {
    // A database looks after its pages itself, and would be read as a whole at the start of each proxy.
    if !store.is_shared() {
        check(&store).await;
    }
    let mut ticks = interval(TEND_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let settings = shared.current().settings.outbox.clone();
        let keep = Keep { delivered: settings.keep_delivered, dead: settings.keep_dead };
        loop {
            match store.tend(keep, store.now()).await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(%error, "old deliveries can't be forgotten");
                    break;
                }
            }
        }
    }
}

/// This is how late it is noticed at most that something is over, in an upgrade.
const LOOKED_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A disk that is full or a database that is locked may be better then.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Finished deliveries are kept for hours or days; ten seconds more are none.
const TEND_EVERY: Duration = Duration::from_secs(10);
