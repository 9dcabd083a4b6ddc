//! A few connections, shared by all who ask, and made anew when they break.
//!
//! While the database can't be reached, attempts are spread (exponential, full jitter: core's) and everybody waits for the same next one. Nobody waits
//! longer than his own deadline: whoever couldn't be served by then is told why.

use std::time::Duration;

use mainstay_core::Chance;
use mainstay_core::retry::backoff::{self, BackoffSettings};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::address::PostgresAddress;
use super::link::{CONNECT_FOR, Link, NoLink};
use super::tls::Tls;
use crate::store::StoreError;

/// The connections of one store.
pub(super) struct Pool {
    pub(super) address: PostgresAddress,
    pub(super) tls: Tls,
    pub(super) schema: String,
    idle: Mutex<Vec<Link>>,
    permits: Semaphore,
    gate: Mutex<Gate>,
}

/// When the next attempt to connect may be made.
struct Gate {
    failures: u8,
    next_at: Instant,
    chance: Chance,
    /// Why the last attempt failed, if it did.
    trouble: Option<NoLink>,
}

/// A connection that somebody has. Dropped without [`Lent::keep`] it is closed: nobody knows what it is in the middle of.
pub(super) struct Lent<'a> {
    link: Link,
    pool: &'a Pool,
    permit: SemaphorePermit<'a>,
}

impl std::ops::Deref for Lent<'_> {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Lent<'_> {
    /// It is as it was, for the next one.
    pub(super) fn keep(self) {
        let Self { link, pool, permit } = self;
        if !link.is_closed() {
            pool.idle.lock().push(link);
        }
        drop(permit);
    }
}

impl Pool {
    pub(super) fn new(
        address: PostgresAddress,
        tls: Tls,
        schema: String,
        most: usize,
        seed: u64,
    ) -> Self {
        let gate = Gate {
            failures: 0,
            next_at: Instant::now(),
            chance: Chance::from_seed(seed),
            trouble: None,
        };
        Self {
            address,
            tls,
            schema,
            idle: Mutex::default(),
            permits: Semaphore::new(most),
            gate: Mutex::new(gate),
        }
    }

    /// Why the database can't be reached, if it can't.
    pub(super) fn trouble(&self) -> Option<String> {
        self.gate.lock().trouble.as_ref().map(|trouble| trouble.why.clone())
    }

    /// Whether it can't be reached, and nobody need change anything for it to come back.
    pub(super) fn is_passing(&self) -> bool {
        self.gate.lock().trouble.as_ref().is_some_and(|trouble| !trouble.is_lasting)
    }

    /// A connection, by `until` at the latest.
    ///
    /// # Errors
    ///
    /// The database can't be reached by then, or all connections are busy for as long.
    pub(super) async fn link(&self, until: Instant) -> Result<Lent<'_>, StoreError> {
        let permit = match timeout_at(until, self.permits.acquire()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(StoreError::Closed),
            Err(_) => return Err(unreachable(self.trouble(), "all connections are busy")),
        };
        // The one that was used last: it is the least likely to be gone.
        loop {
            let Some(link) = self.idle.lock().pop() else { break };
            if !link.is_closed() {
                return Ok(Lent { link, pool: self, permit });
            }
        }
        let link = self.connect(until).await?;
        Ok(Lent { link, pool: self, permit })
    }

    async fn connect(&self, until: Instant) -> Result<Link, StoreError> {
        loop {
            self.turn(until).await?;
            let asked = Instant::now();
            let by = until.min(asked + CONNECT_FOR);
            match Link::open(&self.address, &self.tls, &self.schema, by).await {
                Ok(link) => {
                    self.reached();
                    return Ok(link);
                }
                Err(error) => {
                    self.failed(asked, error.clone());
                    if error.is_lasting {
                        return Err(unreachable(Some(error.why), ""));
                    }
                }
            }
        }
    }

    /// Waits until an attempt may be made.
    pub(super) async fn turn(&self, until: Instant) -> Result<(), StoreError> {
        let (next_at, trouble) = {
            let gate = self.gate.lock();
            (gate.next_at, gate.trouble.as_ref().map(|trouble| trouble.why.clone()))
        };
        if next_at >= until {
            return Err(unreachable(trouble, "it can't be reached"));
        }
        sleep_until(next_at).await;
        Ok(())
    }

    pub(super) fn reached(&self) {
        let mut gate = self.gate.lock();
        (gate.failures, gate.trouble) = (0, None);
        gate.next_at = Instant::now();
    }

    /// Notes that an attempt that began at `asked` has failed. Of several at once one counts.
    pub(super) fn failed(&self, asked: Instant, error: NoLink) {
        let mut gate = self.gate.lock();
        gate.trouble = Some(error);
        if asked < gate.next_at {
            return;
        }
        gate.failures = gate.failures.saturating_add(1);
        let (settings, failures) = (reconnects(), gate.failures);
        let wait = backoff::wait(&settings, failures, Duration::ZERO, &mut gate.chance);
        gate.next_at = Instant::now() + wait;
    }

    /// Closes what nobody uses; who has a connection still gives it back to be closed.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }
}

fn unreachable(trouble: Option<String>, otherwise: &str) -> StoreError {
    StoreError::Database(trouble.unwrap_or_else(|| otherwise.to_owned()))
}

/// At once, and at last every two seconds on average half of that: an outbox that is down costs its callers an answer.
fn reconnects() -> BackoffSettings {
    BackoffSettings {
        base: Duration::from_millis(50),
        cap: Duration::from_secs(2),
        ..BackoffSettings::default()
    }
}
