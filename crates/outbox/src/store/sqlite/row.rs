//! One row of `delivery`: read, checked, changed and written as a whole.

use mainstay_core::outbox::{Assurance, StoppedReason, WallTime};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row as SqlRow, ToSql, params};

use crate::seal::{SUM_BYTES, sum};
use crate::store::content::{history_text, millis, wall, whole};
use crate::{CallNote, DeliveryId, NewDelivery, State, Summary};

/// A delivery without its content.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its place among all; another one than where it is found, if it is about to move.
    pub(super) seq: i64,
    /// Where it is found: by this it is written, since anything else of it may be damaged.
    place: i64,
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
    /// The upstream that is told what becomes of it.
    pub(super) callback: Option<String>,
    /// What it tells of.
    pub(super) about: Option<DeliveryId>,
    /// Whether it is what was written.
    pub(super) is_whole: bool,
}

/// The columns, in the order in which [`Row::read`] takes them.
pub(super) const COLUMNS: &str = "seq, id, upstream, route, lane, key, scope, print, assurance, \
     state, reason, ready, accepted_at, due_at, expires_at, finished_at, calls, maybe_done, size, history, sum, underway, \
     callback, about";

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
        db.prepare_cached(&Self::first_of_sql())?.query_row([upstream, lane], Self::read).optional()
    }

    fn first_of_sql() -> String {
        format!(
            "SELECT {COLUMNS} FROM delivery INDEXED BY delivery_lane WHERE upstream = ?1 AND lane = ?2 AND state < 2 \
             ORDER BY seq LIMIT 1"
        )
    }

    /// How often the statement of [`Self::first_of`] was planned anew on this connection.
    #[cfg(test)]
    pub(super) fn planned_again(db: &Connection) -> i32 {
        let statement = db.prepare_cached(&Self::first_of_sql()).unwrap();
        statement.get_status(rusqlite::StatementStatus::RePrepare)
    }

    /// By its place.
    pub(super) fn by_place(db: &Connection, seq: i64) -> rusqlite::Result<Option<Self>> {
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM delivery WHERE seq = ?1"))?
            .query_row([seq], Self::read)
            .optional()
    }

    /// A new one, that has no place yet.
    pub(super) fn of(new: NewDelivery, size: u64) -> Self {
        let history: Vec<CallNote> = new.tried.into_iter().collect();
        Self {
            seq: 0,
            place: 0,
            id: new.id,
            upstream: new.upstream,
            route: new.route,
            lane: new.lane,
            key: new.key,
            scope: new.scope,
            print: new.print,
            assurance: new.assurance,
            state: State::Waiting,
            ready: true,
            underway: false,
            accepted_at: new.accepted_at,
            due_at: new.due_at,
            expires_at: new.expires_at,
            finished_at: None,
            calls: u16::from(!history.is_empty()),
            maybe_done: new.maybe_done,
            size,
            history,
            callback: new.callback.map(|callback| callback.upstream),
            about: new.about,
            is_whole: true,
        }
    }

    /// Reads one, whatever is in it: one that isn't what was written is a delivery that is stopped for it, and no reason to read no
    /// other.
    pub(super) fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        let mut cells = Cells { row, is_readable: true };
        let number = cells.number(9)?;
        let reason = cells.some_text(10)?;
        let state = State::of(number, reason.as_deref());
        let notes = serde_json::from_str(&cells.text(19)?).ok();
        cells.is_readable &= state.is_some() && notes.is_some();
        let seq = cells.number(0)?;
        let mut read = Self {
            seq,
            place: seq,
            id: DeliveryId::of_bytes(cells.bytes(1)?),
            upstream: cells.text(2)?,
            route: cells.text(3)?,
            lane: cells.some_text(4)?,
            key: cells.text(5)?,
            scope: cells.some_bytes(6)?,
            print: cells.bytes(7)?,
            assurance: match cells.number(8)? {
                1 => Assurance::Repeatable,
                _ => Assurance::None,
            },
            state: state.unwrap_or(State::Stopped(StoppedReason::Damaged)),
            ready: cells.number(11)? == 1,
            underway: cells.number(21)? == 1,
            accepted_at: wall(cells.number(12)?),
            due_at: wall(cells.number(13)?),
            expires_at: wall(cells.number(14)?),
            finished_at: cells.some_number(15)?.map(wall),
            calls: u16::try_from(cells.number(16)?).unwrap_or(u16::MAX),
            maybe_done: cells.number(17)? == 1,
            size: u64::try_from(cells.number(18)?).unwrap_or(0),
            history: notes.unwrap_or_default(),
            callback: cells.some_text(22)?,
            about: cells.some_bytes(23)?.map(DeliveryId::of_bytes),
            is_whole: true,
        };
        let found: [u8; SUM_BYTES] = cells.bytes(20)?;
        read.is_whole = cells.is_readable && found == read.sum();
        if !read.is_whole && read.state.is_open() {
            read.state = State::Stopped(StoppedReason::Damaged);
        }
        Ok(read)
    }

    /// Puts it in. Its place is the next one.
    pub(super) fn insert(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.seq = next_seq(db)?;
        self.place = self.seq;
        let sql = format!(
            "INSERT INTO delivery ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24)"
        );
        db.prepare_cached(&sql)?
            .execute(params![
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
                whole(self.size),
                history_text(&self.history),
                self.sum(),
                self.underway,
                self.callback,
                self.about.as_ref().map(DeliveryId::as_bytes),
            ])
            .map(drop)
    }

    /// Writes what may have changed. One that wasn't what was written doesn't become so by that: its sum fits never again.
    pub(super) fn save(&self, db: &Connection) -> rusqlite::Result<()> {
        // Only where it moves: a place that is set makes every index be written anew.
        let moves = self.seq != self.place;
        let sql = format!(
            "UPDATE delivery SET state = ?2, reason = ?3, ready = ?4, due_at = ?5, expires_at = ?6, finished_at = ?7, \
             calls = ?8, maybe_done = ?9, history = ?10, sum = ?11, underway = ?12{} WHERE seq = ?1",
            if moves { ", seq = ?13" } else { "" }
        );
        let sum = if self.is_whole { self.sum().to_vec() } else { Vec::new() };
        let finished_at = self.finished_at.map(millis);
        let (due_at, expires_at) = (millis(self.due_at), millis(self.expires_at));
        let (number, reason, history) =
            (self.state.number(), self.state.reason(), history_text(&self.history));
        let values: [&dyn ToSql; 13] = [
            &self.place,
            &number,
            &reason,
            &self.ready,
            &due_at,
            &expires_at,
            &finished_at,
            &self.calls,
            &self.maybe_done,
            &history,
            &sum,
            &self.underway,
            &self.seq,
        ];
        let values = if moves { &values[..] } else { &values[..12] };
        db.prepare_cached(&sql)?.execute(values).map(drop)
    }

    fn sum(&self) -> [u8; SUM_BYTES] {
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
            whole(self.size),
        ];
        let history = history_text(&self.history);
        let numbers: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        let mut parts = vec![
            &self.id.as_bytes()[..],
            self.upstream.as_bytes(),
            self.route.as_bytes(),
            lane,
            self.lane.as_deref().unwrap_or_default().as_bytes(),
            self.key.as_bytes(),
            scope,
            &self.print,
            self.state.reason().unwrap_or_default().as_bytes(),
            history.as_bytes(),
            &numbers,
        ];
        // Only where they are: rows of the first version have sums without.
        if let Some(callback) = &self.callback {
            parts.extend([&b"callback"[..], callback.as_bytes()]);
        }
        if let Some(about) = &self.about {
            parts.extend([&b"about"[..], about.as_bytes()]);
        }
        sum(&parts)
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
            callback: self.callback,
            about: self.about,
        }
    }

    /// It is open no more, though it may still be underway: its content goes if it was delivered, and the next of its lane is ready.
    pub(super) fn close(
        &mut self,
        db: &Connection,
        state: State,
        now: WallTime,
    ) -> rusqlite::Result<()> {
        debug_assert!(!state.is_open());
        (self.state, self.ready) = (state, false);
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

/// A place after all others there have ever been: one that was forgotten may still be on its way, and pages may have been turned to it.
pub(super) fn next_seq(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "UPDATE counter SET value = max(value, (SELECT coalesce(max(seq), 0) FROM delivery)) + 1 WHERE name = 'places' \
         RETURNING value",
    )?
    .query_row([], |row| row.get(0))
}

/// The last place that is taken.
pub(super) fn last_seq(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached("SELECT coalesce(max(seq), 0) FROM delivery")?.query_row([], |row| row.get(0))
}

/// What couldn't be read since it isn't what was written is as if it weren't there; the error, if it is another one.
pub(super) fn unless_damaged<T>(read: rusqlite::Result<Option<T>>) -> rusqlite::Result<Option<T>> {
    match read {
        Err(error) if super::is_damage(&error) => Ok(None),
        other => other,
    }
}

/// A row's cells, read whatever is in them.
struct Cells<'a> {
    row: &'a SqlRow<'a>,
    /// Whether all so far were of the kind that was written.
    is_readable: bool,
}

impl Cells<'_> {
    fn number(&mut self, column: usize) -> rusqlite::Result<i64> {
        let number = self.some_number(column)?;
        self.is_readable &= number.is_some();
        Ok(number.unwrap_or(0))
    }

    fn some_number(&mut self, column: usize) -> rusqlite::Result<Option<i64>> {
        Ok(match self.row.get_ref(column)? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number),
            _ => self.unreadable(),
        })
    }

    fn text(&mut self, column: usize) -> rusqlite::Result<String> {
        let text = self.some_text(column)?;
        self.is_readable &= text.is_some();
        Ok(text.unwrap_or_default())
    }

    fn some_text(&mut self, column: usize) -> rusqlite::Result<Option<String>> {
        Ok(match self.row.get_ref(column)? {
            ValueRef::Null => None,
            ValueRef::Text(text) => {
                self.is_readable &= std::str::from_utf8(text).is_ok();
                Some(String::from_utf8_lossy(text).into_owned())
            }
            _ => self.unreadable(),
        })
    }

    fn bytes<const N: usize>(&mut self, column: usize) -> rusqlite::Result<[u8; N]> {
        let bytes = self.some_bytes(column)?;
        self.is_readable &= bytes.is_some();
        Ok(bytes.unwrap_or([0; N]))
    }

    fn some_bytes<const N: usize>(&mut self, column: usize) -> rusqlite::Result<Option<[u8; N]>> {
        Ok(match self.row.get_ref(column)? {
            ValueRef::Null => None,
            ValueRef::Blob(bytes) => match bytes.try_into() {
                Ok(bytes) => Some(bytes),
                Err(_) => self.unreadable(),
            },
            _ => self.unreadable(),
        })
    }

    fn unreadable<T>(&mut self) -> Option<T> {
        self.is_readable = false;
        None
    }
}
