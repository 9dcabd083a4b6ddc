//! Writes that applications put into a table, in transactions of their own, are taken in: a transactional outbox.
//!
//! ```text
//!   application:  BEGIN · its own changes · INSERT INTO mainstay_outbox · COMMIT          so the write and its message are one
//!   a proxy:      BEGIN · rows, in their order ─▶ deliveries, under the same ids · DELETE · COMMIT     so none is lost or taken twice
//! ```
//!
//! One proxy takes in at a time, as two that did it side by side could turn a lane's order around. Rows that somebody has locked are
//! skipped, and so is what is behind them in their lanes. What no route takes, and what is no request, becomes a delivery that is stopped, so that it
//! is in nobody's way and can be seen. While the store is full, rows stay where they are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use bytes::Bytes;
use mainstay_core::outbox::StoppedReason;
use tokio_postgres::Row as SqlRow;

use super::Core;
use super::accept::{Sealed, full, lengthen_by};
use super::link::{Link, quoted};
use super::row::Lane;
use super::write::{Change, Said};
use crate::head::without_query;
use crate::store::{Full, StoreError};
use crate::{DeliveryId, NewDelivery, State};

/// A row of the table. When it was put there is for those who look at the table.
#[derive(Clone)]
pub struct IntakeRow {
    /// Its place in the table: rows are taken in by it.
    pub place: i64,
    /// The delivery's id.
    pub id: DeliveryId,
    /// The request's method.
    pub method: String,
    /// The host that it is for, if that matters to the routes.
    pub host: Option<String>,
    /// Path and query.
    pub path: String,
    /// Header fields in JSON: an object of texts, or of lists of them.
    pub headers: String,
    /// The body.
    pub body: Bytes,
    /// What its order is kept by; `None`: what its route says.
    pub lane: Option<String>,
    /// Its idempotency key; `None`: one is made for it.
    pub key: Option<String>,
}

impl fmt::Debug for IntakeRow {
    /// What may be secret stays out of it: the values of fields, a query, and the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("IntakeRow");
        shown.field("place", &self.place).field("id", &self.id).field("method", &self.method);
        shown.field("host", &self.host).field("path", &without_query(&self.path));
        shown.field("headers_bytes", &self.headers.len()).field("body_bytes", &self.body.len());
        shown.field("lane", &self.lane).field("key", &self.key).finish()
    }
}

/// What becomes of a row.
#[derive(Clone, Debug)]
pub enum Intake {
    /// It is delivered.
    Goes(Box<NewDelivery>),
    /// No route takes it, or it is no request: it waits for a person.
    Stops(Box<NewDelivery>),
}

/// What was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TakenIn {
    /// So many rows.
    pub rows: usize,
    /// Whether there may be more.
    pub more: bool,
    /// Why there are more that can't be taken in now.
    pub full: Option<Full>,
}

/// Says what becomes of a row.
pub(super) type Router<'a> = &'a (dyn Fn(&IntakeRow) -> Intake + Send + Sync);

impl Core {
    pub(super) async fn take_in(
        &self,
        table: &str,
        router: Router<'_>,
    ) -> Result<TakenIn, StoreError> {
        let taken = self.write(&TakeIn { core: self, table: named(table), router }).await?;
        if taken.rows > 0 {
            self.news(&[]);
        }
        Ok(taken)
    }
}

struct TakeIn<'a> {
    core: &'a Core,
    table: String,
    router: Router<'a>,
}

impl Change for TakeIn<'_> {
    type Out = TakenIn;

    async fn run(&self, link: &Link) -> Said<TakenIn> {
        let sql = "SELECT pg_try_advisory_xact_lock(hashtext('mainstay intake'), hashtext($1))";
        let turn = link.first(sql, &[&self.core.pool.schema]).await?;
        if !turn.map_or(Ok(false), |row| row.try_get(0))? {
            // Somebody else is at it.
            return Ok(Ok(TakenIn::default()));
        }
        let rows = self.rows(link).await?;
        let more = rows.len() == ROWS_MOST as usize;
        let rows = self.in_order(link, rows).await?;
        let known = known(link, &rows).await?;
        let mut taken = TakenIn { more, ..TakenIn::default() };
        let (mut fresh, mut places, mut size) = (Vec::new(), Vec::new(), 0);
        for (row, becomes) in rows {
            // One that is known already was taken in before, and put there again.
            if !known.contains(&row.id) {
                let (new, state) = match becomes {
                    Intake::Goes(new) => (*new, State::Waiting),
                    Intake::Stops(new) => (*new, State::Stopped(StoppedReason::NoRoute)),
                };
                let mut sealed = match Sealed::of(new, &self.core.keys) {
                    Ok(sealed) => sealed,
                    Err(error) => return Ok(Err(error)),
                };
                size += sealed.row.size;
                let mut limits = self.core.limits.clone();
                limits.items = limits.items.saturating_sub(fresh.len() as u64);
                if let Some(full) = full(link, &limits, size).await? {
                    (taken.full, taken.more) = (Some(full), false);
                    break;
                }
                sealed.row.state = state;
                fresh.push(sealed);
            }
            places.push(row.place);
        }
        insert(link, &fresh).await?;
        let sql = format!("DELETE FROM {} WHERE place = ANY($1)", self.table);
        link.query_once(&sql, &[&places]).await?;
        taken.rows = places.len();
        taken.more &= taken.rows > 0;
        Ok(Ok(taken))
    }
}

impl TakeIn<'_> {
    /// The first rows that nobody else has locked.
    async fn rows(&self, link: &Link) -> Result<Vec<IntakeRow>, tokio_postgres::Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {} ORDER BY place LIMIT {ROWS_MOST} FOR UPDATE SKIP LOCKED",
            self.table
        );
        link.query_once(&sql, &[]).await?.iter().map(read).collect()
    }

    /// Those of them that don't overtake one of their lane that was skipped.
    async fn in_order(
        &self,
        link: &Link,
        rows: Vec<IntakeRow>,
    ) -> Result<Vec<(IntakeRow, Intake)>, tokio_postgres::Error> {
        let places: Vec<i64> = rows.iter().map(|row| row.place).collect();
        let last = places.last().copied().unwrap_or(0);
        let sql = format!(
            "SELECT {COLUMNS} FROM {} WHERE place < $1 AND place <> ALL($2) ORDER BY place",
            self.table
        );
        let mut skipped: HashMap<Lane, i64> = HashMap::new();
        for row in link.query_once(&sql, &[&last, &places]).await? {
            let row = read(&row)?;
            if let Some(lane) = lane(&(self.router)(&row)) {
                skipped.entry(lane).or_insert(row.place);
            }
        }
        let mut in_order = Vec::new();
        for row in rows {
            let becomes = (self.router)(&row);
            let before = lane(&becomes).and_then(|lane| skipped.get(&lane));
            if before.is_none_or(|before| *before > row.place) {
                in_order.push((row, becomes));
            }
        }
        Ok(in_order)
    }
}

fn lane(becomes: &Intake) -> Option<Lane> {
    let (Intake::Goes(new) | Intake::Stops(new)) = becomes;
    new.lane.clone().map(|lane| (new.upstream.clone(), lane))
}

fn read(row: &SqlRow) -> Result<IntakeRow, tokio_postgres::Error> {
    Ok(IntakeRow {
        place: row.try_get(0)?,
        id: row.try_get(1)?,
        method: row.try_get(2)?,
        host: row.try_get(3)?,
        path: row.try_get(4)?,
        headers: row.try_get(5)?,
        body: Bytes::from(row.try_get::<_, Vec<u8>>(6)?),
        lane: row.try_get(7)?,
        key: row.try_get(8)?,
    })
}

/// Those that are deliveries already.
async fn known(
    link: &Link,
    rows: &[(IntakeRow, Intake)],
) -> Result<HashSet<DeliveryId>, tokio_postgres::Error> {
    let ids: Vec<DeliveryId> = rows.iter().map(|(row, _)| row.id).collect();
    let known = link.query("SELECT id FROM delivery WHERE id = ANY($1)", &[&ids]).await?;
    known.iter().map(|row| row.try_get(0)).collect()
}

/// Puts them in: the lanes are locked in an order of their own, then each gets its place.
async fn insert(link: &Link, fresh: &[Sealed]) -> Result<(), tokio_postgres::Error> {
    let mut lanes: BTreeMap<Lane, i64> = BTreeMap::new();
    for lane in fresh.iter().filter_map(|sealed| sealed.row.lane()) {
        *lanes.entry(lane).or_default() += 1;
    }
    for (lane, items) in &mut lanes {
        // So many there were before.
        *items = lengthen_by(link, lane, *items).await? - *items;
    }
    for sealed in fresh {
        let of_lane = sealed.row.lane().and_then(|lane| {
            let items = lanes.get_mut(&lane)?;
            *items += 1;
            Some(*items)
        });
        sealed.insert(link, of_lane).await?;
    }
    Ok(())
}

/// A table's name in SQL. Without a schema it is in `public`.
fn named(table: &str) -> String {
    let (schema, table) = table.split_once('.').unwrap_or(("public", table));
    format!("{}.{}", quoted(schema), quoted(table))
}

/// What makes the table, for whoever looks after the application's database.
#[must_use]
pub fn intake_sql(table: &str, schema: &str) -> String {
    let (of, name) = table.split_once('.').unwrap_or(("public", table));
    let (table, function) = (named(table), named(&format!("{of}.{name}_news")));
    let trigger = quoted(&format!("{name}_news"));
    let channel = schema.replace('\'', "''");
    format!(
        "-- Writes that Mainstay takes in when their transaction is committed, and delivers.
CREATE TABLE IF NOT EXISTS {table} (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- the order in which they are taken in
    id uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),      -- the delivery's id, by which it can be asked after
    method text NOT NULL DEFAULT 'POST',
    host text,                                              -- where routes tell hosts apart
    path text NOT NULL,                                     -- with a query, if need be
    headers jsonb NOT NULL DEFAULT '{{}}',                    -- {{\"name\": \"value\", \"other\": [\"one\", \"two\"]}}
    body bytea NOT NULL DEFAULT '',
    lane text,                                              -- what its order is kept by, if not what its route says
    key text,                                               -- its idempotency key; without one Mainstay makes one
    created_at timestamptz NOT NULL DEFAULT now()
);
-- Mainstay looks every second, and at once when it is told. Without the trigger, commits that put something in don't wait for each other.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_notify('{channel}', 'intake'); RETURN NULL; END $$;
CREATE OR REPLACE TRIGGER {trigger} AFTER INSERT ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();
-- GRANT INSERT ON {table} TO the_application;
-- GRANT SELECT, UPDATE, DELETE ON {table} TO the_role_of_mainstay;
"
    )
}

const COLUMNS: &str = "place, id, method, host, path, headers::text, body, lane, key";

/// Rows of one transaction: some tenths of a second's work.
const ROWS_MOST: u32 = 200;
