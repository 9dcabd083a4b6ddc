//! A write is stored.

use mainstay_core::outbox::{StoppedReason, WallTime};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::claim;
use super::row::Row;
use super::writer::{Paper, Touched, Write};
use crate::store::content::Content;
use crate::store::{Accepted, Full, StoreError};
use crate::{DeliveryId, Keys, NewDelivery, State};

/// A write whose content is sealed.
pub(super) struct Sealed {
    hold_until: Option<WallTime>,
    row: Row,
    content: Content,
}

impl Sealed {
    pub(super) fn of(new: NewDelivery, keys: &Keys) -> Result<Self, StoreError> {
        let hold_until = new.hold_until;
        let content = Content::of(&new, keys)?;
        Ok(Self { hold_until, row: Row::of(new, content.size), content })
    }

    /// The same, as one that waits for a person.
    pub(super) fn stopped(mut self, why: StoppedReason) -> Self {
        self.row.state = State::Stopped(why);
        self
    }

    /// Puts it in, whatever else there is.
    pub(super) fn put(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let (row, content) = (&mut self.row, &self.content);
        row.ready = match &row.lane {
            None => true,
            Some(lane) => Row::first_of(db, &row.upstream, lane)?.is_none(),
        };
        row.insert(db)?;
        db.prepare_cached("INSERT INTO content (id, head, body, callback) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![row.id.as_bytes(), content.head, content.body, content.callback])
            .map(drop)
    }
}

impl Write for Sealed {
    type Out = Accepted;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<Accepted, StoreError>> {
        let (db, row) = (paper.db, &self.row);
        if let Some(scope) = &row.scope
            && let Some(known) = known(db, scope, &row.print)?
        {
            return Ok(known.map(Accepted::Known));
        }
        if let Some(full) = full(paper, row)? {
            return Ok(Err(StoreError::Full(full)));
        }
        self.put(db)?;
        if let Some(until) = self.hold_until {
            claim::hold(db, &self.row.upstream, until)?;
        }
        Ok(Ok(Accepted::New))
    }

    fn touched(&self) -> Touched {
        Touched::Nobody
    }
}

/// The delivery of this scope, if there is one; an error if it is another request.
pub(super) fn known(
    db: &Connection,
    scope: &[u8; 32],
    print: &[u8; 32],
) -> rusqlite::Result<Option<Result<DeliveryId, StoreError>>> {
    let known = db
        .prepare_cached("SELECT id, print FROM delivery WHERE scope = ?1")?
        .query_row([scope], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))
        .optional()?;
    Ok(known.map(|(id, found)| {
        let id = DeliveryId::of_bytes(id);
        if found == print { Ok(id) } else { Err(StoreError::OtherRequest(id)) }
    }))
}

/// Whether there is no room for one more.
fn full(paper: &Paper<'_>, row: &Row) -> rusqlite::Result<Option<Full>> {
    let (db, limits) = (paper.db, paper.limits);
    if paper.free_bytes < limits.reserve_bytes.saturating_add(row.size) {
        return Ok(Some(Full::Disk));
    }
    let (items, bytes): (u64, u64) = db
        .prepare_cached(
            "SELECT coalesce(sum(items), 0), coalesce(sum(bytes), 0) FROM totals WHERE state <> 2",
        )?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if items >= limits.items {
        return Ok(Some(Full::Items));
    }
    if bytes.saturating_add(row.size) > limits.bytes {
        return Ok(Some(Full::Bytes));
    }
    let Some(lane) = &row.lane else { return Ok(None) };
    let of_lane: Option<u64> = db
        .prepare_cached("SELECT items FROM lane WHERE upstream = ?1 AND lane = ?2")?
        .query_row([&row.upstream, lane], |row| row.get(0))
        .optional()?;
    Ok((of_lane.unwrap_or(0) >= limits.lane_items).then_some(Full::Lane))
}
