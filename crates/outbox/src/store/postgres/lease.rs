//! Leases: who has a delivery on its way, and until when nobody else takes it.
//!
//! A lease ends by the database's clock, for everybody else; for the worker whose it is it ends by its own monotonic clock, counted from
//! before it asked, and so not later. What a worker holds is renewed while its calls run. A worker that was frozen, or cut off from the
//! database, for longer than that has lost it, sees that by its own clock when it goes on, and sends nothing.
//!
//! A lease has a number, which only grows. What comes of a call counts only under the last number that a delivery had.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mainstay_core::outbox::{Assurance, StoppedReason};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Core;
use super::link::Link;
use super::row::Row;
use super::tell::tell;
use super::write::{Change, Said};
use crate::store::StoreError;
use crate::{DeliveryId, State};

/// A delivery is this worker's until a time.
#[derive(Clone, Debug)]
pub struct Lease {
    pub(super) number: i64,
    until: Arc<Until>,
}

/// When it ends, which may be put off.
#[derive(Debug)]
struct Until {
    since: Instant,
    /// Milliseconds after that.
    millis: AtomicU64,
}

impl Lease {
    /// Whether it is over, for all that this worker knows: then it must not send anything any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.ends_at()
    }

    /// When it ends, unless it is renewed.
    #[must_use]
    pub fn ends_at(&self) -> Instant {
        self.until.since + Duration::from_millis(self.until.millis.load(Ordering::Acquire))
    }
}

impl Until {
    fn put_off(&self, until: Instant) {
        let millis = until.duration_since(self.since).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.millis.fetch_max(millis, Ordering::AcqRel);
    }
}

/// What this worker holds, by the numbers. A lease that nobody has any more, as its call was cut or its claim failed, isn't renewed: it ends by
/// the clock.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<HashMap<i64, Weak<Until>>>);

impl Held {
    pub(super) fn add(&self, number: i64, asked: Instant, length: Duration) -> Lease {
        let millis = AtomicU64::new(u64::try_from(length.as_millis()).unwrap_or(u64::MAX));
        let until = Arc::new(Until { since: asked, millis });
        self.0.lock().insert(number, Arc::downgrade(&until));
        Lease { number, until }
    }

    pub(super) fn remove(&self, number: i64) {
        self.0.lock().remove(&number);
    }

    fn numbers(&self) -> Vec<i64> {
        let mut held = self.0.lock();
        held.retain(|_, until| until.strong_count() > 0);
        held.keys().copied().collect()
    }
}

impl Core {
    /// Renews what this worker holds. What it has lost meanwhile ends by the clock.
    pub(super) async fn renew(&self) -> Result<(), StoreError> {
        let numbers = self.held.numbers();
        if numbers.is_empty() {
            return Ok(());
        }
        let asked = Instant::now();
        let renewed = self
            .query(
                "UPDATE lease SET until = clock_timestamp() + $3 * interval '1 millisecond' \
                 WHERE worker = $1 AND number = ANY($2) RETURNING number",
                &[&self.worker, &numbers, &self.lease_ms()],
            )
            .await?;
        let held = self.held.0.lock();
        for row in renewed {
            let number: i64 = row.try_get(0).map_err(StoreError::from)?;
            if let Some(until) = held.get(&number).and_then(Weak::upgrade) {
                until.put_off(asked + self.lease);
            }
        }
        Ok(())
    }

    pub(super) fn lease_ms(&self) -> f64 {
        self.lease.as_secs_f64() * 1e3
    }

    /// Ends leases whose time is over: what may be done twice is offered again, the rest waits for a person. How many those are.
    pub(super) async fn expire(&self) -> Result<u64, StoreError> {
        let mut stopped = 0;
        let mut failed = None;
        let over =
            "SELECT number, id FROM lease WHERE until < clock_timestamp() ORDER BY until LIMIT 500";
        for row in self.query(over, &[]).await? {
            let (number, id) = (row.try_get(0)?, row.try_get(1)?);
            // One that can't be ended now isn't in the way of the others.
            match self.write(&Expiry { core: self, number, id }).await {
                Ok(stops) => stopped += u64::from(stops),
                Err(error) => failed = Some(error),
            }
            self.news(&[id]);
        }
        failed.map_or(Ok(stopped), Err)
    }
}

/// The end of a lease whose worker hasn't told what came of it.
struct Expiry<'a> {
    core: &'a Core,
    number: i64,
    id: DeliveryId,
}

impl Change for Expiry<'_> {
    /// Whether it is stopped for it.
    type Out = bool;

    async fn run(&self, link: &Link) -> Said<bool> {
        let row = Row::locked(link, self.id).await?;
        // Somebody may have renewed or ended it since it was read.
        let over = link
            .execute(
                "DELETE FROM lease WHERE number = $1 AND until < clock_timestamp()",
                &[&self.number],
            )
            .await?;
        let Some(mut row) = row.filter(|_| over > 0) else { return Ok(Ok(false)) };
        let before = row.state;
        // Whoever had it may have sent it.
        (row.lease, row.maybe_done) = (self.number, true);
        let stops = row.state == State::Waiting && row.assurance == Assurance::None;
        if stops {
            row.state = State::Stopped(StoppedReason::MaybeDone);
        }
        row.save(link).await?;
        let told = tell(link, &self.core.keys, before, &row, self.core.clock.now()).await?;
        Ok(told.map(|()| stops))
    }
}

/// Leases that come to nothing: nobody has got what was claimed.
pub(super) struct GiveBack(pub(super) Vec<i64>);

impl Change for GiveBack {
    type Out = ();

    async fn run(&self, link: &Link) -> Said<()> {
        link.execute("DELETE FROM lease WHERE number = ANY($1)", &[&self.0]).await?;
        Ok(Ok(()))
    }
}
