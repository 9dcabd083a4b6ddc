//! Deliveries are offered.

use std::sync::atomic::Ordering::Relaxed;

use mainstay_core::outbox::{Assurance, StoppedReason, WallTime};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::Sqlite;
use super::row::{COLUMNS, Row, unless_damaged};
use super::tell::tell;
use super::writer::{Claims, Paper, Taken, Touched, Write};
use crate::store::content::{millis, request, wall};
use crate::store::{Claimed, StoreError};
use crate::{DeliveryId, Keys, Offer, SealError, State};

/// A delivery with its content as it is stored.
type Found = (Row, Option<(Vec<u8>, Vec<u8>)>);

/// What a look found.
struct Look {
    found: Vec<Found>,
    next_due: Option<WallTime>,
    /// Dropped with it, wherever that is, it gives back what nobody has got.
    taken: Taken,
}

pub(super) async fn claim(
    inner: &Sqlite,
    upstream: String,
    now: WallTime,
    most: usize,
) -> Result<Claimed, StoreError> {
    let mut taken = inner.writer.taken();
    let look = move |db: &Connection, claims: &mut Claims| {
        let mut found = Vec::new();
        // What was found before something failed is given back as well.
        let next_due = look(db, claims, &upstream, now, most, &mut found, &mut taken)?;
        Ok(Look { found, next_due, taken })
    };
    let Look { found, next_due, mut taken } = inner.writer.ask(look).await?;
    let mut claimed = Claimed { next_due, ..Claimed::default() };
    let serves_since = WallTime(inner.serves_since.load(Relaxed));
    let mut once = Vec::new();
    for (row, content) in found {
        let (id, place) = (row.id, row.seq);
        // What was due when this process began to deliver may have been on its way when the last one ended.
        // Of what must not be made twice the disk says it, and it isn't offered.
        let interrupted = row.assurance == Assurance::Repeatable
            && row.due_at <= serves_since
            && row.accepted_at <= serves_since;
        match opened(row, content, &inner.keys) {
            Ok(offer) => {
                let offer = Offer { interrupted, ..offer };
                if offer.assurance == Assurance::None {
                    once.push(id);
                }
                claimed.offers.push(offer);
            }
            // Nothing is wrong with it: it is given back, and waits for its key.
            Err(SealError::NoKey(name)) => claimed.missing_key = Some(name),
            Err(why) => {
                claimed.stopped.push((id, why));
                // What can't even be stopped stays taken, so that it is neither offered nor in the way of others.
                if inner.writer.write(Stop { id, place, now }).await.is_err() {
                    taken.keep(id);
                }
            }
        }
    }
    if !once.is_empty() {
        let begun = inner.writer.write(Begin(once.clone())).await?;
        let is_off = |id: &DeliveryId| once.contains(id) && !begun.contains(id);
        claimed.offers.retain(|offer| !is_off(&offer.id));
    }
    claimed.offers.iter().for_each(|offer| taken.keep(offer.id));
    Ok(claimed)
}

/// Finds those whose turn it is, and when the next one's is. Read between two commits.
fn look(
    db: &Connection,
    claims: &mut Claims,
    upstream: &str,
    now: WallTime,
    most: usize,
    found: &mut Vec<Found>,
    taken: &mut Taken,
) -> Result<Option<WallTime>, StoreError> {
    if let Some(until) = held_until(db, upstream)?
        && until > now
    {
        return Ok(Some(until));
    }
    // From the index alone, as those that are on their way are due as well and come first.
    let mut due = db.prepare_cached(
        "SELECT seq, due_at FROM delivery INDEXED BY delivery_due WHERE upstream = ?1 AND ready = 1 AND state = 0 ORDER BY due_at, seq",
    )?;
    let mut due = due.query([upstream])?;
    while let Some(next) = due.next()? {
        let (place, due_at) = (next.get(0)?, wall(next.get(1)?));
        if claims.has_place(place) {
            continue;
        }
        let Some(row) = Row::by_place(db, place)? else {
            return Err(StoreError::Damaged(format!("there is no delivery at place {place}")));
        };
        if claims.has(&row) {
            continue;
        }
        if due_at > now || found.len() == most {
            return Ok(Some(due_at));
        }
        let content = db
            .prepare_cached("SELECT head, body FROM content WHERE id = ?1 AND head IS NOT NULL")?
            .query_row([row.id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional();
        let content = unless_damaged(content)?;
        claims.take(&row);
        taken.add(row.id);
        found.push((row, content));
    }
    Ok(None)
}

fn opened(row: Row, content: Option<(Vec<u8>, Vec<u8>)>, keys: &Keys) -> Result<Offer, SealError> {
    let (head, body) = request(keys, row.id, content.filter(|_| row.is_whole))?;
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
        head,
        body,
        about: row.about,
        lease: None,
        interrupted: false,
    })
}

/// A delivery that can't be offered as it is. Its place tells which it is: its id may be what is damaged.
struct Stop {
    id: DeliveryId,
    place: i64,
    now: WallTime,
}

impl Write for Stop {
    type Out = ();

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<(), StoreError>> {
        let row = Row::by_place(paper.db, self.place)?.filter(|row| row.id == self.id);
        // Somebody may have given it up since it was read.
        let Some(mut row) = row.filter(|row| row.state.is_open()) else { return Ok(Ok(())) };
        let before = row.state;
        (row.state, row.underway) = (State::Stopped(StoppedReason::Damaged), false);
        row.save(paper.db)?;
        tell(paper, before, &row, self.now).map(Ok)
    }

    fn touched(&self) -> Touched {
        Touched::Finished(self.id)
    }
}

/// Calls are about to be made that must not be made twice. Should the process end while they are, nobody knows what became of
/// them, and the next one finds that written. Those that still wait: somebody may just have dropped one.
struct Begin(Vec<DeliveryId>);

impl Write for Begin {
    type Out = Vec<DeliveryId>;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<Self::Out, StoreError>> {
        let mut begun = Vec::new();
        for id in &self.0 {
            let Some(mut row) = Row::by_id(paper.db, *id)? else { continue };
            if row.state == State::Waiting {
                row.underway = true;
                row.save(paper.db)?;
                begun.push(*id);
            }
        }
        Ok(Ok(begun))
    }

    fn touched(&self) -> Touched {
        Touched::Nobody
    }
}

/// Deliveries that were on their way when the last process ended: they may have been done, and wait for a person.
pub(super) struct Interrupted {
    pub(super) now: WallTime,
}

impl Write for Interrupted {
    type Out = u64;

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<u64, StoreError>> {
        let rows = paper
            .db
            .prepare(&format!(
                "SELECT {COLUMNS} FROM delivery INDEXED BY delivery_underway WHERE underway = 1"
            ))?
            .query_map([], Row::read)?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        let count = rows.len() as u64;
        for mut row in rows {
            let before = row.state;
            (row.underway, row.maybe_done) = (false, true);
            if row.state == State::Waiting {
                row.state = State::Stopped(StoppedReason::MaybeDone);
            }
            row.save(paper.db)?;
            tell(paper, before, &row, self.now)?;
        }
        Ok(Ok(count))
    }

    fn touched(&self) -> Touched {
        Touched::Any
    }
}

/// Until when an upstream asked to be left alone. It outlives the process: a restart is no leave to come back.
fn held_until(db: &Connection, upstream: &str) -> rusqlite::Result<Option<WallTime>> {
    db.prepare_cached("SELECT value FROM counter WHERE name = ?1")?
        .query_row([hold_name(upstream)], |row| row.get(0).map(wall))
        .optional()
}

/// Notes that an upstream asks to be left alone.
pub(super) fn hold(db: &Connection, upstream: &str, until: WallTime) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO counter VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
    )?
    .execute(params![hold_name(upstream), millis(until)])
    .map(drop)
}

fn hold_name(upstream: &str) -> String {
    format!("hold {upstream}")
}
