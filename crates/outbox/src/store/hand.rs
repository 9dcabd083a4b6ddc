//! What a person does: try again, give up, take as done. Some at a time, so that others get their turn between.

use mainstay_core::outbox::{DeadReason, WallTime};
use rusqlite::Connection;

use super::query::Filter;
use super::row::{Row, next_seq, promote};
use super::writer::{Paper, Touched, Write};
use super::{Page, StoreError, query};
use crate::{DeliveryId, State};

/// See [`Store::retry`](super::Store::retry).
pub(super) struct Retry {
    pub(super) filter: Filter,
    pub(super) per_second: Option<u32>,
    pub(super) now: WallTime,
    /// So many had their turn before these.
    pub(super) done: u64,
}

impl Write for Retry {
    type Out = u64;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<u64, StoreError>> {
        let ids = chosen(paper.db, &self.filter, &["stopped", "dead"])?;
        for (place, id) in ids.iter().enumerate() {
            let Some(row) = Row::by_id(paper.db, *id)? else { continue };
            let before = self.done + place as u64;
            let later_ms = self.per_second.map_or(0, |rate| before * 1000 / u64::from(rate.max(1)));
            again(paper.db, row, self.now, WallTime(self.now.0 + later_ms))?;
        }
        Ok(Ok(ids.len() as u64))
    }

    fn touched(&self) -> Touched {
        Touched::Any
    }
}

/// One more life, as long as the first.
fn again(db: &Connection, mut row: Row, now: WallTime, due_at: WallTime) -> rusqlite::Result<()> {
    let life = row.expires_at.since(row.accepted_at);
    if !row.state.is_open() {
        row.seq = next_seq(db)?;
        row.ready = row.lane.is_none();
    }
    (row.state, row.finished_at) = (State::Waiting, None);
    (row.calls, row.due_at, row.expires_at) = (0, due_at, now.after(life));
    row.is_whole = true;
    row.save(db)?;
    promote(db, &row.upstream, row.lane.as_deref())
}

/// Dead deliveries are forgotten: one half of [`Store::drop_those`](super::Store::drop_those).
pub(super) struct Forget {
    pub(super) filter: Filter,
}

impl Write for Forget {
    type Out = u64;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<u64, StoreError>> {
        let ids = chosen(paper.db, &self.filter, &["dead"])?;
        ids.iter().try_for_each(|id| forget(paper.db, *id))?;
        Ok(Ok(ids.len() as u64))
    }

    fn touched(&self) -> Touched {
        Touched::Any
    }
}

/// Open deliveries are given up: the other half.
pub(super) struct GiveUp {
    pub(super) filter: Filter,
    pub(super) now: WallTime,
}

impl Write for GiveUp {
    type Out = u64;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<u64, StoreError>> {
        close_all(
            paper,
            &self.filter,
            &["waiting", "stopped"],
            State::Dead(DeadReason::Dropped),
            self.now,
        )
    }

    fn touched(&self) -> Touched {
        Touched::Any
    }
}

/// See [`Store::settle`](super::Store::settle).
pub(super) struct Settle {
    pub(super) filter: Filter,
    pub(super) now: WallTime,
}

impl Write for Settle {
    type Out = u64;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<u64, StoreError>> {
        close_all(paper, &self.filter, &["stopped"], State::Delivered, self.now)
    }

    fn touched(&self) -> Touched {
        Touched::Any
    }
}

/// Those of `filter` that are in one of `states` come to their end. How many they are.
fn close_all(
    paper: &Paper<'_>,
    filter: &Filter,
    states: &[&'static str],
    end: State,
    now: WallTime,
) -> rusqlite::Result<Result<u64, StoreError>> {
    let ids = chosen(paper.db, filter, states)?;
    for id in &ids {
        if let Some(mut row) = Row::by_id(paper.db, *id)? {
            row.close(paper.db, end, now)?;
        }
    }
    Ok(Ok(ids.len() as u64))
}

/// Those of `filter` that are in one of these states.
fn chosen(
    db: &Connection,
    filter: &Filter,
    states: &[&'static str],
) -> rusqlite::Result<Vec<DeliveryId>> {
    let wanted = |state: &&'static str| filter.states.is_empty() || filter.states.contains(state);
    let states: Vec<_> = states.iter().copied().filter(wanted).collect();
    if states.is_empty() {
        return Ok(Vec::new());
    }
    let filter = Filter { states, ..filter.clone() };
    let rows = query::rows(db, &filter, Page { after: None, most: AT_A_TIME })?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// Removes a delivery.
pub(super) fn forget(db: &Connection, id: DeliveryId) -> rusqlite::Result<()> {
    for table in ["delivery", "content"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE id = ?1"))?
            .execute([id.as_bytes()])?;
    }
    Ok(())
}

/// Some ten milliseconds' work.
pub(super) const AT_A_TIME: u32 = 500;
