//! What was finished long ago is forgotten.

use std::time::Duration;

use mainstay_core::outbox::WallTime;
use rusqlite::{Connection, params};

use super::hand::{AT_A_TIME, forget};
use super::writer::{Paper, Touched, Write};
use crate::DeliveryId;
use crate::store::content::millis;
use crate::store::{Keep, StoreError};

/// See [`Store::tend`](crate::Store::tend).
pub(super) struct Tend {
    pub(super) keep: Keep,
    pub(super) now: WallTime,
}

impl Write for Tend {
    type Out = bool;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<bool, StoreError>> {
        let db = paper.db;
        let before = |keep: Duration| {
            let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
            WallTime(self.now.0.saturating_sub(keep_ms))
        };
        let mut old = finished(db, 2, before(self.keep.delivered))?;
        old.extend(finished(db, 3, before(self.keep.dead))?);
        let bytes: u64 = db
            .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM totals")?
            .query_row([], |row| row.get(0))?;
        if bytes > paper.limits.bytes || paper.free_bytes < paper.limits.reserve_bytes {
            // Room for what is still to be delivered comes before answers that nobody may ask for.
            old.extend(finished(db, 2, WallTime::NEVER)?);
        }
        old.sort_unstable();
        old.dedup();
        old.iter().try_for_each(|id| forget(db, *id))?;
        // Freed pages go back to the disk, some at a time: one with each step.
        let mut vacuum = db.prepare_cached("PRAGMA incremental_vacuum(256)")?;
        let mut pages = vacuum.query([])?;
        while pages.next()?.is_some() {}
        Ok(Ok(old.len() >= AT_A_TIME as usize))
    }

    fn touched(&self) -> Touched {
        Touched::Nobody
    }
}

fn finished(db: &Connection, state: i64, before: WallTime) -> rusqlite::Result<Vec<DeliveryId>> {
    db.prepare_cached(
        "SELECT id FROM delivery INDEXED BY delivery_finished WHERE state = ?1 AND state >= 2 AND finished_at < ?2 \
         ORDER BY finished_at LIMIT ?3",
    )?
    .query_map(params![state, millis(before), AT_A_TIME], |row| {
        row.get(0).map(DeliveryId::of_bytes)
    })?
    .collect()
}
