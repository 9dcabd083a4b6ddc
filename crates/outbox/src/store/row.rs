//! One row of `delivery`: read, checked, changed and written as a whole.

use mainstay_core::outbox::{Assurance, StoppedReason, WallTime};
use rusqlite::types::{Type, Value};
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, params};

use crate::seal::sum;
use crate::{CallNote, DeliveryId, State, Summary};

/// A delivery without its content.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) id: DeliveryId,
    pub(super) upstream: String,
    pub(super) route: String,
    pub(super) lane: Option<String>,
    pub(super) key: String,
    pub(super) scope: Option<[u8; 32]>,
    pub(super) print: [u8; 32],
    pub(super) assurance: Assurance,
    pub(super) state: State,
    pub(super) ready: bool,
    /// A call is made for it that must not be made twice.
    pub(super) underway: bool,
    pub(super) accepted_at: WallTime,
    pub(super) due_at: WallTime,
    pub(super) expires_at: WallTime,
    pub(super) finished_at: Option<WallTime>,
    pub(super) calls: u16,
    pub(super) maybe_done: bool,
    pub(super) size: u64,
    pub(super) history: Vec<CallNote>,
    /// Whether it is what was written.
    pub(super) is_whole: bool,
}

/// The columns, in the order in which [`Row::read`] takes them.
pub(super) const COLUMNS: &str = "seq, id, upstream, route, lane, key, scope, print, assurance, \
     state, reason, ready, accepted_at, due_at, expires_at, finished_at, calls, maybe_done, size, history, sum, underway";

impl Row {
    /// By its id.
    pub(super) fn by_id(db: &Connection, id: DeliveryId) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM delivery WHERE id = ?1"))?
            .query_row([id.as_bytes()], Self::read)
            .optional()
    }

    /// The first open one of a lane.
    pub(super) fn first_of(
        db: &Connection,
        upstream: &str,
        lane: &str,
    ) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM delivery WHERE upstream = ?1 AND lane = ?2 AND state < 2 ORDER BY seq LIMIT 1"
        ))?
        .query_row([upstream, lane], Self::read)
        .optional()
    }

    /// Reads one. What can't be read at all, or isn't what was written, is a delivery that is stopped for it.
    pub(super) fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        let number: i64 = row.get(9)?;
        let reason: Option<String> = row.get(10)?;
        let history: String = row.get(19)?;
        let (state, notes) =
            (State::of(number, reason.as_deref()), serde_json::from_str(&history).ok());
        let is_readable = state.is_some() && notes.is_some();
        let mut read = Self {
            seq: row.get(0)?,
            id: DeliveryId::of_bytes(fixed(row, 1)?),
            upstream: row.get(2)?,
            route: row.get(3)?,
            lane: row.get(4)?,
            key: row.get(5)?,
            scope: match row.get::<_, Value>(6)? {
                Value::Null => None,
                _ => Some(fixed(row, 6)?),
            },
            print: fixed(row, 7)?,
            assurance: match row.get(8)? {
                1 => Assurance::Repeatable,
                _ => Assurance::None,
            },
            state: state.unwrap_or(State::Stopped(StoppedReason::Damaged)),
            ready: row.get::<_, i64>(11)? == 1,
            underway: row.get::<_, i64>(21)? == 1,
            accepted_at: wall(row.get(12)?),
            due_at: wall(row.get(13)?),
            expires_at: wall(row.get(14)?),
            finished_at: row.get::<_, Option<i64>>(15)?.map(wall),
            calls: u16::try_from(row.get::<_, i64>(16)?).unwrap_or(u16::MAX),
            maybe_done: row.get::<_, i64>(17)? == 1,
            size: u64::try_from(row.get::<_, i64>(18)?).unwrap_or(0),
            history: notes.unwrap_or_default(),
            is_whole: true,
        };
        let found: Vec<u8> = row.get(20)?;
        read.is_whole = is_readable && found == read.sum();
        if !read.is_whole && read.state.is_open() {
            read.state = State::Stopped(StoppedReason::Damaged);
        }
        Ok(read)
    }

    /// Puts it in. Its place is the next one.
    pub(super) fn insert(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.seq = next_seq(db)?;
        let sql = format!(
            "INSERT INTO delivery ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)"
        );
        self.run(db, &sql).map(drop)
    }

    /// Writes what has changed. Its place may be another one.
    pub(super) fn save(&self, db: &Connection) -> rusqlite::Result<()> {
        let sql = "UPDATE delivery SET seq = ?1, upstream = ?3, route = ?4, lane = ?5, key = ?6, scope = ?7, print = ?8, \
             assurance = ?9, state = ?10, reason = ?11, ready = ?12, accepted_at = ?13, due_at = ?14, expires_at = ?15, \
             finished_at = ?16, calls = ?17, maybe_done = ?18, size = ?19, history = ?20, sum = ?21, underway = ?22 WHERE id = ?2";
        self.run(db, sql).map(drop)
    }

    fn run(&self, db: &Connection, sql: &str) -> rusqlite::Result<usize> {
        db.prepare_cached(sql)?.execute(params![
            self.seq,
            self.id.as_bytes(),
            self.upstream,
            self.route,
            self.lane,
            self.key,
            self.scope,
            self.print,
            self.assurance == Assurance::Repeatable,
            self.state.number(),
            self.state.reason(),
            self.ready,
            millis(self.accepted_at),
            millis(self.due_at),
            millis(self.expires_at),
            self.finished_at.map(millis),
            self.calls,
            self.maybe_done,
            i64::try_from(self.size).unwrap_or(i64::MAX),
            self.history_text(),
            self.sum(),
            self.underway,
        ])
    }

    fn history_text(&self) -> String {
        // Numbers and strings alone.
        serde_json::to_string(&self.history).unwrap_or_else(|_| "[]".into())
    }

    fn sum(&self) -> [u8; 16] {
        let lane = self.lane.as_deref().map_or(&b"-"[..], |_| b"+");
        let scope = self.scope.as_ref().map_or(&[][..], |scope| scope);
        let numbers = [
            self.seq,
            i64::from(self.assurance == Assurance::Repeatable),
            self.state.number(),
            i64::from(self.ready),
            i64::from(self.underway),
            millis(self.accepted_at),
            millis(self.due_at),
            millis(self.expires_at),
            self.finished_at.map_or(-1, millis),
            i64::from(self.calls),
            i64::from(self.maybe_done),
            i64::try_from(self.size).unwrap_or(i64::MAX),
        ];
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        sum(&[
            self.id.as_bytes(),
            self.upstream.as_bytes(),
            self.route.as_bytes(),
            lane,
            self.lane.as_deref().unwrap_or_default().as_bytes(),
            self.key.as_bytes(),
            scope,
            &self.print,
            self.state.reason().unwrap_or_default().as_bytes(),
            self.history_text().as_bytes(),
            &numbers,
        ])
    }

    /// As it is listed.
    pub(super) fn summary(self) -> Summary {
        Summary {
            seq: self.seq,
            id: self.id,
            reason: self.state.reason(),
            behind: self.state.is_open() && !self.ready,
            state: self.state,
            upstream: self.upstream,
            route: self.route,
            lane: self.lane,
            key: self.key,
            accepted_at: self.accepted_at,
            due_at: self.due_at,
            expires_at: self.expires_at,
            finished_at: self.finished_at,
            calls: self.calls,
            maybe_done: self.maybe_done,
            size: self.size,
        }
    }

    /// Notes a call; of many the last ones are kept.
    pub(super) fn note(&mut self, note: CallNote) {
        if self.history.len() >= HISTORY_MOST {
            self.history.remove(0);
        }
        self.history.push(note);
    }

    /// It is open no more: its content goes if it was delivered, and the next of its lane is ready.
    pub(super) fn close(
        &mut self,
        db: &Connection,
        state: State,
        now: WallTime,
    ) -> rusqlite::Result<()> {
        debug_assert!(!state.is_open());
        (self.state, self.ready, self.underway) = (state, false, false);
        self.finished_at = Some(now);
        self.save(db)?;
        if state == State::Delivered {
            db.prepare_cached("UPDATE content SET head = NULL, body = NULL WHERE id = ?1")?
                .execute([self.id.as_bytes()])?;
        }
        promote(db, &self.upstream, self.lane.as_deref())
    }
}

/// Makes the first open one of a lane ready.
pub(super) fn promote(db: &Connection, upstream: &str, lane: Option<&str>) -> rusqlite::Result<()> {
    let Some(lane) = lane else { return Ok(()) };
    match Row::first_of(db, upstream, lane)? {
        Some(mut next) if !next.ready || !next.is_whole => {
            next.ready = true;
            next.save(db)
        }
        _ => Ok(()),
    }
}

/// The place after all others.
pub(super) fn next_seq(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT coalesce(max(seq), 0) + 1 FROM delivery")?
        .query_row([], |row| row.get(0))
}

pub(super) fn wall(millis: i64) -> WallTime {
    WallTime(u64::try_from(millis).unwrap_or(0))
}

pub(super) fn millis(at: WallTime) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

fn fixed<const N: usize>(row: &SqlRow<'_>, column: usize) -> rusqlite::Result<[u8; N]> {
    let bytes: Vec<u8> = row.get(column)?;
    let length = bytes.len();
    bytes.try_into().map_err(|_| {
        let why = format!("{length} bytes where {N} were written");
        rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, why.into())
    })
}

/// Enough to see how a long outage began to be seen, and how it ends; each takes some 150 bytes.
const HISTORY_MOST: usize = 32;
