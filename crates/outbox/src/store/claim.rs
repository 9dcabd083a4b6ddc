//! Deliveries are offered.

use bytes::Bytes;
use mainstay_core::outbox::{Assurance, StoppedReason, WallTime};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::row::{COLUMNS, Row, millis, wall};
use super::writer::{Claims, Paper, Touched, Write};
use super::{Inner, StoreError};
use crate::seal::Part;
use crate::{DeliveryId, Keys, Offer, SealError, State, StoredHead};

/// What is offered.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// The deliveries whose turn it is.
    pub offers: Vec<Offer>,
    /// When the next one's is that isn't offered now, if there is one.
    pub next_due: Option<WallTime>,
    /// Those that had to be stopped, since they aren't what was stored or their key is gone.
    pub stopped: Vec<(DeliveryId, SealError)>,
}

/// A delivery with its content as it is stored.
type Found = (Row, Option<(Vec<u8>, Vec<u8>)>);

pub(super) async fn claim(
    inner: &Inner,
    upstream: String,
    now: WallTime,
    most: usize,
) -> Result<Claimed, StoreError> {
    let read = move |db: &Connection, claims: &mut Claims| read(db, claims, &upstream, now, most);
    let (found, next_due) = inner.writer.ask(read).await?;
    let mut claimed = Claimed { next_due, ..Claimed::default() };
    let mut once = Vec::new();
    for (row, content) in found {
        let id = row.id;
        match opened(row, content, &inner.keys) {
            Ok(offer) => {
                if offer.assurance == Assurance::None {
                    once.push(id);
                }
                claimed.offers.push(offer);
            }
            Err(why) => {
                inner.writer.write(Stop(id)).await?;
                claimed.stopped.push((id, why));
            }
        }
    }
    if !once.is_empty() {
        inner.writer.write(Begin(once)).await?;
    }
    Ok(claimed)
}

/// Those whose turn it is, and when the next one's is. Read between two commits.
fn read(
    db: &Connection,
    claims: &mut Claims,
    upstream: &str,
    now: WallTime,
    most: usize,
) -> Result<(Vec<Found>, Option<WallTime>), StoreError> {
    // Those that are on their way are due as well, and come first.
    let enough = i64::try_from(most.saturating_add(claims.len())).unwrap_or(i64::MAX);
    let rows = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM delivery WHERE upstream = ?1 AND ready = 1 AND state = 0 AND due_at <= ?2 \
             ORDER BY due_at, seq LIMIT ?3"
        ))?
        .query_map(params![upstream, millis(now), enough], Row::read)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut found = Vec::new();
    for row in rows.into_iter().filter(|row| !claims.contains(&row.id)).take(most) {
        let content = db
            .prepare_cached("SELECT head, body FROM content WHERE id = ?1 AND head IS NOT NULL")?
            .query_row([row.id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        found.push((row, content));
    }
    claims.extend(found.iter().map(|(row, _)| row.id));
    let next = db
        .prepare_cached(
            "SELECT id, due_at FROM delivery WHERE upstream = ?1 AND ready = 1 AND state = 0 ORDER BY due_at, seq",
        )?
        .query_map([upstream], |row| Ok((row.get(0)?, row.get(1)?)))?
        .find(|next| match next {
            Ok((id, _)) => !claims.contains(&DeliveryId::of_bytes(*id)),
            Err(_) => true,
        })
        .transpose()?
        .map(|(_, due_at)| wall(due_at));
    Ok((found, next))
}

fn opened(row: Row, content: Option<(Vec<u8>, Vec<u8>)>, keys: &Keys) -> Result<Offer, SealError> {
    let (head, body) = content.filter(|_| row.is_whole).ok_or(SealError::Damaged)?;
    let head = keys.open(row.id, Part::Head, &head)?;
    let body = keys.open(row.id, Part::Body, &body)?;
    Ok(Offer {
        id: row.id,
        upstream: row.upstream,
        route: row.route,
        key: row.key,
        assurance: row.assurance,
        calls: row.calls,
        maybe_done: row.maybe_done,
        accepted_at: row.accepted_at,
        expires_at: row.expires_at,
        head: StoredHead::of_json(&head).map_err(|_| SealError::Damaged)?,
        body: Bytes::from(body),
    })
}

/// A delivery that can't be offered as it is.
struct Stop(DeliveryId);

impl Write for Stop {
    type Out = ();

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<(), StoreError>> {
        let Some(mut row) = Row::by_id(paper.db, self.0)? else { return Ok(Ok(())) };
        (row.state, row.underway) = (State::Stopped(StoppedReason::Damaged), false);
        row.save(paper.db).map(Ok)
    }

    fn touched(&self) -> Touched {
        Touched::Finished(self.0)
    }
}

/// Calls are about to be made that must not be made twice. Should the process end while they are, nobody knows what became of
/// them, and the next one finds that written.
struct Begin(Vec<DeliveryId>);

impl Write for Begin {
    type Out = ();

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<(), StoreError>> {
        for id in &self.0 {
            let Some(mut row) = Row::by_id(paper.db, *id)? else { continue };
            row.underway = true;
            row.save(paper.db)?;
        }
        Ok(Ok(()))
    }

    fn touched(&self) -> Touched {
        Touched::Nobody
    }
}

/// Deliveries that were on their way when the last process ended: they may have been done, and wait for a person.
pub(super) struct Interrupted;

impl Write for Interrupted {
    type Out = u64;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<u64, StoreError>> {
        let rows = paper
            .db
            .prepare(&format!("SELECT {COLUMNS} FROM delivery WHERE underway = 1"))?
            .query_map([], Row::read)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let count = rows.len() as u64;
        for mut row in rows {
            (row.underway, row.maybe_done) = (false, true);
            if row.state == State::Waiting {
                row.state = State::Stopped(StoppedReason::MaybeDone);
            }
            row.save(paper.db)?;
        }
        Ok(Ok(count))
    }

    fn touched(&self) -> Touched {
        Touched::Nobody
    }
}
