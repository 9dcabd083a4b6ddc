//! A row of `delivery`: read, changed and written as a whole, by whoever has it locked.

use std::error::Error;

use mainstay_core::outbox::{Assurance, StoppedReason, WallTime};
use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::link::Link;
use crate::store::content::{history_text, millis, wall, whole};
use crate::{CallNote, DeliveryId, NewDelivery, State, Summary};

/// A delivery without its content.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) id: DeliveryId,
    pub(super) upstream: String,
    pub(super) route: String,
    pub(super) lane: Option<String>,
    pub(super) key: String,
    pub(super) scope: Option<Vec<u8>>,
    pub(super) print: Vec<u8>,
    pub(super) assurance: Assurance,
    pub(super) state: State,
    pub(super) ready: bool,
    pub(super) accepted_at: WallTime,
    pub(super) due_at: WallTime,
    pub(super) expires_at: WallTime,
    pub(super) finished_at: Option<WallTime>,
    pub(super) calls: u16,
    pub(super) maybe_done: bool,
    pub(super) size: u64,
    pub(super) history: Vec<CallNote>,
    /// The last lease of it that is over.
    pub(super) lease: i64,
    /// The last lease whose worker has told what came of it.
    pub(super) told: i64,
    /// The upstream that is told what becomes of it.
    pub(super) callback: Option<String>,
    /// What it tells of, if it is a callback.
    pub(super) about: Option<DeliveryId>,
}

/// How many columns [`Row::read`] takes: behind them a query may have more.
pub(super) const COLUMNS: usize = 24;

/// A statement that begins with all columns.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT d.seq, d.id, d.upstream, d.route, d.lane, d.key, d.scope, d.print, d.repeatable, d.state, d.reason, d.ready, \
             d.accepted_at, d.due_at, d.expires_at, d.finished_at, d.calls, d.maybe_done, d.size, d.history, d.lease, d.told, d.callback, d.about ",
            $rest
        )
    };
}
pub(super) use select;

impl Row {
    /// A new one, that has no place yet.
    pub(super) fn of(new: NewDelivery, size: u64) -> Self {
        let history: Vec<CallNote> = new.tried.into_iter().collect();
        Self {
            seq: 0,
            id: new.id,
            upstream: text(new.upstream),
            route: text(new.route),
            lane: new.lane.map(text),
            key: text(new.key),
            scope: new.scope.map(|scope| scope.to_vec()),
            print: new.print.to_vec(),
            assurance: new.assurance,
            state: State::Waiting,
            ready: true,
            accepted_at: new.accepted_at,
            due_at: new.due_at,
            expires_at: new.expires_at,
            finished_at: None,
            calls: u16::from(!history.is_empty()),
            maybe_done: new.maybe_done,
            size,
            history,
            lease: 0,
            told: 0,
            callback: new.callback.map(|callback| text(callback.upstream)),
            about: new.about,
        }
    }

    /// Reads one. What this program can't read, as somebody else has written it, is stopped.
    pub(super) fn read(row: &SqlRow) -> Result<Self, tokio_postgres::Error> {
        let reason: Option<String> = row.try_get(10)?;
        let state = State::of(i64::from(row.try_get::<_, i16>(9)?), reason.as_deref());
        let notes = serde_json::from_str(row.try_get(19)?).ok();
        let is_readable = state.is_some() && notes.is_some();
        let damaged = State::Stopped(StoppedReason::Damaged);
        Ok(Self {
            seq: row.try_get(0)?,
            id: row.try_get(1)?,
            upstream: row.try_get(2)?,
            route: row.try_get(3)?,
            lane: row.try_get(4)?,
            key: row.try_get(5)?,
            scope: row.try_get(6)?,
            print: row.try_get(7)?,
            assurance: match row.try_get(8)? {
                true => Assurance::Repeatable,
                false => Assurance::None,
            },
            state: state.filter(|_| is_readable).unwrap_or(damaged),
            ready: row.try_get(11)?,
            accepted_at: wall(row.try_get(12)?),
            due_at: wall(row.try_get(13)?),
            expires_at: wall(row.try_get(14)?),
            finished_at: row.try_get::<_, Option<i64>>(15)?.map(wall),
            calls: u16::try_from(row.try_get::<_, i32>(16)?).unwrap_or(u16::MAX),
            maybe_done: row.try_get(17)?,
            size: u64::try_from(row.try_get::<_, i64>(18)?).unwrap_or(0),
            history: notes.unwrap_or_default(),
            lease: row.try_get(20)?,
            told: row.try_get(21)?,
            callback: row.try_get(22)?,
            about: row.try_get(23)?,
        })
    }

    /// One by its id, locked until the transaction is over.
    pub(super) async fn locked(
        link: &Link,
        id: DeliveryId,
    ) -> Result<Option<Self>, tokio_postgres::Error> {
        let found =
            link.first(select!("FROM delivery d WHERE d.id = $1 FOR UPDATE OF d"), &[&id]).await?;
        found.as_ref().map(Self::read).transpose()
    }

    /// Puts it in, at the next place.
    pub(super) async fn insert(&mut self, link: &Link) -> Result<(), tokio_postgres::Error> {
        let placed = link
            .query(
                "INSERT INTO delivery (seq, id, upstream, route, lane, key, scope, print, repeatable, state, reason, ready, \
                     accepted_at, due_at, expires_at, finished_at, calls, maybe_done, size, history, callback, about) \
                 VALUES (nextval('place'), $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21) \
                 RETURNING seq",
                &[
                    &self.id,
                    &self.upstream,
                    &self.route,
                    &self.lane,
                    &self.key,
                    &self.scope,
                    &self.print,
                    &(self.assurance == Assurance::Repeatable),
                    &number(self.state),
                    &self.state.reason(),
                    &self.ready,
                    &millis(self.accepted_at),
                    &millis(self.due_at),
                    &millis(self.expires_at),
                    &self.finished_at.map(millis),
                    &i32::from(self.calls),
                    &self.maybe_done,
                    &whole(self.size),
                    &history_text(&self.history),
                    &self.callback,
                    &self.about,
                ],
            )
            .await?;
        if let Some(row) = placed.first() {
            self.seq = row.try_get(0)?;
        }
        Ok(())
    }

    /// Writes what may have changed.
    pub(super) async fn save(&self, link: &Link) -> Result<(), tokio_postgres::Error> {
        link.execute(
            "UPDATE delivery SET seq = $2, state = $3, reason = $4, ready = $5, due_at = $6, expires_at = $7, \
             finished_at = $8, calls = $9, maybe_done = $10, history = $11, lease = $12, told = $13 WHERE id = $1",
            &[
                &self.id,
                &self.seq,
                &number(self.state),
                &self.state.reason(),
                &self.ready,
                &millis(self.due_at),
                &millis(self.expires_at),
                &self.finished_at.map(millis),
                &i32::from(self.calls),
                &self.maybe_done,
                &history_text(&self.history),
                &self.lease,
                &self.told,
            ],
        )
        .await
        .map(drop)
    }

    /// Its lane, with the upstream whose it is.
    pub(super) fn lane(&self) -> Option<Lane> {
        self.lane.as_ref().map(|lane| (self.upstream.clone(), lane.clone()))
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
}

/// A lane, with the upstream whose it is.
pub(super) type Lane = (String, String);

/// As the database can have it: a text there has no zero bytes.
pub(super) fn text(mut text: String) -> String {
    if text.contains('\0') {
        text = text.replace('\0', "\u{2400}");
    }
    text
}

pub(super) fn number(state: State) -> i16 {
    // 0 to 3.
    state.number() as i16
}

impl ToSql for DeliveryId {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(self.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::UUID
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for DeliveryId {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self::of_bytes(raw.try_into()?))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::UUID
    }
}
