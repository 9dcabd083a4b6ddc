//! What a person does: try again, give up, take as done. Some at a time, so that others get their turn between.

use mainstay_core::outbox::{DeadReason, WallTime};
use rusqlite::Connection;

use super::query;
use super::row::{Row, next_seq, promote};
use super::tell::tell;
use super::writer::{Paper, Touched, Write};
use crate::store::{Filter, Page, StoreError};
use crate::{DeliveryId, State};

/// Which deliveries a person means: those there were when they were named. One that comes to such a state while others are still
/// being done isn't among them, else a retry of what fails again would never end.
#[derive(Clone, Debug)]
pub(super) struct Those {
    pub(super) filter: Filter,
    /// Behind this place.
    pub(super) after: i64,
    /// Up to this place.
    pub(super) upto: i64,
}

/// Some were done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) count: u64,
    /// Where the next are; `None`: there are no more.
    pub(super) after: Option<i64>,
}

/// See [`Store::retry`](crate::Store::retry).
pub(super) struct Retry {
    pub(super) those: Those,
    pub(super) per_second: Option<u32>,
    pub(super) now: WallTime,
    /// So many had their turn before these.
    pub(super) done: u64,
}

impl Write for Retry {
    type Out = Done;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<Done, StoreError>> {
        let chosen = chosen(paper.db, &self.those, &["stopped", "dead"])?;
        let mut count = 0;
        // One that isn't what was accepted isn't sent, whoever says so.
        for row in chosen.rows.into_iter().filter(|row| row.is_whole) {
            let before = self.done + count;
            let later_ms = self.per_second.map_or(0, |rate| before * 1000 / u64::from(rate.max(1)));
            again(paper.db, row, self.now, WallTime(self.now.0.saturating_add(later_ms)))?;
            count += 1;
        }
        Ok(Ok(Done { count, after: chosen.after }))
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
    // It lives from when it is due: of many with a rate the last ones wait for long.
    (row.calls, row.due_at, row.expires_at) = (0, due_at, due_at.max(now).after(life));
    row.save(db)?;
    promote(db, &row.upstream, row.lane.as_deref())
}

/// Dead deliveries are forgotten: one half of [`Store::drop_those`](crate::Store::drop_those).
pub(super) struct Forget {
    pub(super) those: Those,
}

impl Write for Forget {
    type Out = Done;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<Done, StoreError>> {
        let chosen = chosen(paper.db, &self.those, &["dead"])?;
        chosen.rows.iter().try_for_each(|row| forget(paper.db, row.id))?;
        Ok(Ok(chosen.done()))
    }

    fn touched(&self) -> Touched {
        Touched::Any
    }
}

/// Open deliveries are given up: the other half.
pub(super) struct GiveUp {
    pub(super) those: Those,
    pub(super) now: WallTime,
}

impl Write for GiveUp {
    type Out = Done;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<Done, StoreError>> {
        let end = State::Dead(DeadReason::Dropped);
        close_all(paper, &self.those, &["waiting", "stopped"], end, self.now)
    }

    fn touched(&self) -> Touched {
        Touched::Any
    }
}

/// See [`Store::settle`](crate::Store::settle).
pub(super) struct Settle {
    pub(super) those: Those,
    pub(super) now: WallTime,
}

impl Write for Settle {
    type Out = Done;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<Done, StoreError>> {
        close_all(paper, &self.those, &["stopped"], State::Delivered, self.now)
    }

    fn touched(&self) -> Touched {
        Touched::Any
    }
}

/// The chosen ones that are in one of `states` come to their end.
fn close_all(
    paper: &Paper<'_>,
    those: &Those,
    states: &[&'static str],
    end: State,
    now: WallTime,
) -> rusqlite::Result<Result<Done, StoreError>> {
    let mut chosen = chosen(paper.db, those, states)?;
    for row in &mut chosen.rows {
        // The one before it may have made it ready since it was read.
        if let Some(mut row) = Row::by_place(paper.db, row.seq)? {
            let before = row.state;
            row.close(paper.db, end, now)?;
            tell(paper, before, &row, now)?;
        }
    }
    Ok(Ok(chosen.done()))
}

/// Some of those that are meant.
struct Chosen {
    rows: Vec<Row>,
    after: Option<i64>,
}

impl Chosen {
    fn done(&self) -> Done {
        Done { count: self.rows.len() as u64, after: self.after }
    }
}

/// Those that are in one of these states.
fn chosen(db: &Connection, those: &Those, states: &[&'static str]) -> rusqlite::Result<Chosen> {
    let filter = &those.filter;
    let wanted = |state: &&'static str| filter.states.is_empty() || filter.states.contains(state);
    let states: Vec<_> = states.iter().copied().filter(wanted).collect();
    if states.is_empty() {
        return Ok(Chosen { rows: Vec::new(), after: None });
    }
    let filter = Filter { states, ..filter.clone() };
    let page = Page { after: Some(those.after), most: AT_A_TIME };
    let mut rows = query::rows(db, &filter, page)?;
    let is_full = rows.len() == AT_A_TIME as usize;
    let after = rows.last().map(|row| row.seq).filter(|last| is_full && *last < those.upto);
    rows.retain(|row| row.seq <= those.upto);
    Ok(Chosen { rows, after })
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
