//! Rows of the program's own SQLite file become deliveries.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mainstay_outbox::store::IntakeRow;
use mainstay_outbox::{DeliveryId, fingerprint};
use parking_lot::Mutex;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, params};

use super::ways::Ways;
use super::{CourierError, LOOK_EVERY};
use crate::outbox::SqliteOutbox;

/// The table that is taken in from, on a connection of its own.
#[derive(Debug)]
pub(super) struct Table {
    connection: Mutex<Connection>,
    select: String,
    delete: String,
}

impl Table {
    /// Opens the file. It, and the table in it, are the program's to make.
    pub(super) fn open(file: &Path, outbox: &SqliteOutbox) -> Result<Arc<Self>, rusqlite::Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags)?;
        connection.busy_timeout(PATIENCE)?;
        let table = outbox.table();
        let select = format!(
            "SELECT {COLUMNS} FROM {table} WHERE place > ?1 ORDER BY place LIMIT {ROWS_MOST}"
        );
        let delete = format!("DELETE FROM {table} WHERE place = ?1");
        connection.prepare_cached(&select)?;
        Ok(Arc::new(Self { connection: Mutex::new(connection), select, delete }))
    }

    /// Takes in the next rows. Whether there may be more that can be taken in now.
    ///
    /// Only what is committed is seen; as one transaction writes at a time, the order of places is that of commits.
    pub(super) async fn take_in(
        self: &Arc<Self>,
        ways: &Ways,
        pass: &mut Pass,
    ) -> Result<bool, CourierError> {
        if pass.again_at.is_some_and(|at| at <= Instant::now()) {
            *pass = Pass::new();
        }
        let more = self.some(ways, pass).await;
        match more {
            Ok(false) => pass.ended(),
            Ok(true) => {}
            // From the beginning, so that nothing overtakes what couldn't be stored.
            Err(_) => *pass = Pass::new(),
        }
        more
    }

    async fn some(self: &Arc<Self>, ways: &Ways, pass: &mut Pass) -> Result<bool, CourierError> {
        let after = pass.after;
        let rows = self.blocking(move |table| table.rows(after)).await?;
        let (more, mut taken, mut failed) = (rows.len() == ROWS_MOST, Vec::new(), None);
        for found in rows {
            match ways.store(&found, &mut pass.full).await {
                Ok(true) => taken.push(found.row.place),
                Ok(false) => {}
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            pass.after = found.row.place;
        }
        if !taken.is_empty() {
            self.blocking(move |table| table.forget(&taken)).await?;
        }
        failed.map_or(Ok(more), |error| Err(CourierError::store(error)))
    }

    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, CourierError> {
        let table = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&table)).await;
        let done = done.map_err(|error| CourierError::of("a look at the table was cut", error))?;
        done.map_err(|error| CourierError::of("the table can't be read", error))
    }

    fn rows(&self, after: i64) -> Result<Vec<Found>, rusqlite::Error> {
        let connection = self.connection.lock();
        let mut select = connection.prepare_cached(&self.select)?;
        select.query_map([after], Found::read)?.collect()
    }

    fn forget(&self, places: &[i64]) -> Result<(), rusqlite::Error> {
        let mut connection = self.connection.lock();
        let transaction = connection.transaction()?;
        for place in places {
            transaction.prepare_cached(&self.delete)?.execute(params![place])?;
        }
        transaction.commit()
    }
}

/// One way through the table. Rows of a lane that is full stay where they are, and so do those behind them in that lane; all others go on.
#[derive(Debug)]
pub(super) struct Pass {
    /// The place up to which it has come.
    after: i64,
    full: HashSet<Lane>,
    began: Instant,
    /// When it begins anew, while it waits at the table's end for what is put there.
    again_at: Option<Instant>,
}

/// An upstream, and a lane there.
pub(super) type Lane = (String, String);

impl Pass {
    pub(super) fn new() -> Self {
        Self { after: i64::MIN, full: HashSet::new(), began: Instant::now(), again_at: None }
    }

    /// It has come to the table's end.
    fn ended(&mut self) {
        if self.full.is_empty() {
            *self = Self::new();
        } else if self.again_at.is_none() {
            // However many rows are left, looking through them takes a small part of the time.
            let pause = (self.began.elapsed() * PAUSE_FACTOR).max(LOOK_EVERY);
            self.again_at = Some(Instant::now() + pause);
        }
    }

    /// Which lanes are full, if any are.
    pub(super) fn trouble(&self) -> Option<String> {
        let (upstream, lane) = self.full.iter().min()?;
        let others = match self.full.len() {
            1 => String::new(),
            lanes => format!(", and {} other lanes", lanes - 1),
        };
        Some(format!("the lane {lane:?} to {upstream:?} has as many deliveries as it may{others}"))
    }
}

/// A row as it was found. The table may be one that the program made itself, and SQLite keeps any type in a column that isn't of a strict table.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) row: IntakeRow,
    /// Whether all of it could be read. What could is for a person to look at.
    pub(super) is_readable: bool,
}

impl Found {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        let place = row.get(0)?;
        let mut is_readable = true;
        let mut text = |at| {
            Ok::<_, rusqlite::Error>(match row.get_ref(at)? {
                ValueRef::Null => None,
                ValueRef::Integer(number) => Some(number.to_string()),
                ValueRef::Real(number) => Some(number.to_string()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    is_readable &= std::str::from_utf8(bytes).is_ok();
                    Some(String::from_utf8_lossy(bytes).into_owned())
                }
            })
        };
        let (method, host, path, headers) = (text(2)?, text(3)?, text(4)?, text(5)?);
        let (lane, key) = (text(7)?, text(8)?);
        is_readable &= method.is_some() && path.is_some() && headers.is_some();
        let row = IntakeRow {
            place,
            id: match row.get_ref(1)? {
                ValueRef::Null => id_of(&format!("place {place}")),
                ValueRef::Integer(number) => id_of(&number.to_string()),
                ValueRef::Real(number) => id_of(&number.to_string()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => id_of_bytes(bytes),
            },
            method: method.unwrap_or_default(),
            host,
            path: path.unwrap_or_default(),
            headers: headers.unwrap_or_default(),
            // It is cast: bytes, or nothing.
            body: Bytes::copy_from_slice(row.get_ref(6)?.as_bytes_or_null()?.unwrap_or_default()),
            lane,
            key,
        };
        Ok(Self { row, is_readable })
    }
}

/// An id that isn't said as text: a UUID's own sixteen bytes are one as well.
fn id_of_bytes(bytes: &[u8]) -> DeliveryId {
    match (std::str::from_utf8(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(text), _) if text.bytes().all(|byte| byte.is_ascii_graphic()) => id_of(text),
        (_, Ok(uuid)) => DeliveryId::of_bytes(uuid),
        (Ok(text), Err(_)) => id_of(text),
        (Err(_), Err(_)) => print_of(bytes),
    }
}

/// The delivery's id: 32 hexadecimal digits, with hyphens or without. What else a program has put there stands for one all the same.
pub(super) fn id_of(text: &str) -> DeliveryId {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    digits.parse().unwrap_or_else(|_| print_of(text.as_bytes()))
}

fn print_of(bytes: &[u8]) -> DeliveryId {
    let print = fingerprint(&[bytes]);
    let mut id = [0; 16];
    id.copy_from_slice(&print[..16]);
    DeliveryId::of_bytes(id)
}

const COLUMNS: &str = "place, id, method, host, path, headers, CAST(body AS BLOB), lane, key";

/// Each is a commit of the store: some tenths of a second's work.
const ROWS_MOST: usize = 200;

/// A look through rows of full lanes takes at most an eleventh of the time.
const PAUSE_FACTOR: u32 = 10;

/// As long as another connection may hold the file against a look; then it is looked again.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_with_and_without_hyphens_and_any_other_text_stands_for_one() {
        let plain = id_of("0192f3a47b6c4d5e8f90a1b2c3d4e5f6");
        assert_eq!(id_of("0192f3a4-7b6c-4d5e-8f90-a1b2c3d4e5f6"), plain);
        assert_eq!(id_of("order-7"), id_of("order-7"));
        assert_ne!(id_of("order-7"), id_of("order-8"));
    }
}
