//! Into a table of the program's own SQLite file, by rusqlite.

use rusqlite::{Connection, Transaction, params};

use super::table::quoted;
use super::{Delivery, DeliveryError, DeliveryId, EnqueueError, NoTable};

/// The table in a SQLite file from which a [`Courier`](super::Courier) takes deliveries in.
///
/// ```
/// use mainstay::outbox::{Delivery, SqliteOutbox};
///
/// let mut shop = rusqlite::Connection::open_in_memory()?;
/// let outbox = SqliteOutbox::new("mainstay_outbox")?;
/// outbox.create_table(&shop)?;
///
/// let transaction = shop.transaction()?;
/// // The program's own changes, and then:
/// let id = outbox.enqueue(&transaction, Delivery::post("/orders").body("tea").key("order-7"))?;
/// transaction.commit()?;
/// assert_eq!(id.as_str().len(), 32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOutbox {
    table: String,
    insert: String,
}

impl SqliteOutbox {
    /// The outbox in this table, `NAME` or `SCHEMA.NAME`.
    ///
    /// # Errors
    ///
    /// That can't be a table's name.
    pub fn new(table: &str) -> Result<Self, NoTable> {
        let table = quoted(table)?;
        let insert = format!(
            "INSERT INTO {table} (method, host, path, headers, body, lane, key)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id"
        );
        Ok(Self { table, insert })
    }

    /// Its name in SQL.
    #[cfg(feature = "courier")]
    pub(super) fn table(&self) -> &str {
        &self.table
    }

    /// What makes the table, for a program that keeps its schema in files of its own.
    #[must_use]
    pub fn create_sql(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (
    place INTEGER PRIMARY KEY AUTOINCREMENT,                -- the order in which they are taken in
    id TEXT NOT NULL UNIQUE DEFAULT (lower(hex(randomblob(16)))),
    method TEXT NOT NULL DEFAULT 'POST',
    host TEXT,                                              -- where routes tell hosts apart
    path TEXT NOT NULL,                                     -- with a query, if need be
    headers TEXT NOT NULL DEFAULT '{{}}',                     -- {{\"name\": \"value\", \"other\": [\"one\", \"two\"]}}
    body ANY NOT NULL DEFAULT x'',                          -- bytes, or a text's
    lane TEXT,                                              -- what its order is kept by, if not what its route says
    key TEXT,                                               -- its idempotency key; without one Mainstay makes one
    created_at INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER))
) STRICT",
            self.table
        )
    }

    /// Makes the table, if it isn't there.
    ///
    /// # Errors
    ///
    /// The database's.
    pub fn create_table(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        connection.execute(&self.create_sql(), []).map(drop)
    }

    /// Puts a delivery into the outbox: it is made after the transaction's commit, and never if that is rolled back.
    ///
    /// # Errors
    ///
    /// [`EnqueueError`]. The transaction goes on as it was.
    pub fn enqueue<D>(
        &self,
        transaction: &Transaction<'_>,
        delivery: D,
    ) -> Result<DeliveryId, EnqueueError<rusqlite::Error>>
    where
        D: TryInto<Delivery>,
        DeliveryError: From<D::Error>,
    {
        let delivery = delivery.try_into().map_err(|error| EnqueueError::Delivery(error.into()))?;
        let row = delivery.row().map_err(EnqueueError::Delivery)?;
        let mut insert =
            transaction.prepare_cached(&self.insert).map_err(EnqueueError::Database)?;
        let values =
            params![row.method, row.host, row.path, row.headers, &row.body[..], row.lane, row.key];
        let id = insert.query_row(values, |row| row.get(0)).map_err(EnqueueError::Database)?;
        Ok(DeliveryId::of(id))
    }
}
