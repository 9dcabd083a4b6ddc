//! The tables, and how those of older versions become those of this one.
//!
//! `delivery` is what is listed and chosen from; `content` is read when its turn comes; `totals` and `lane` are kept by
//! triggers, so that nobody counts a million rows, whoever writes. Rows of `delivery` are changed as a whole, with their checksum: see `row`.
//!
//! Queries that are made for each delivery name their index (`INDEXED BY`): SQLite has no statistics of a file that is new, and chose others, by
//! which it read and sorted all that waited.

use rusqlite::{Connection, TransactionBehavior};

use crate::store::StoreError;

/// "MNST", by which a file is known as ours.
pub(super) const APPLICATION_ID: i32 = 0x4d4e_5354;

/// One step from each version to the next; the first makes the file.
const STEPS: [&str; 2] = [VERSION_1, VERSION_2];

/// The version that this program reads and writes.
pub(super) const VERSION: usize = STEPS.len();

/// Whether a file is of an older version.
///
/// # Errors
///
/// The database failed.
pub(super) fn is_older(db: &Connection) -> rusqlite::Result<bool> {
    Ok(version(db)? < VERSION)
}

fn version(db: &Connection) -> rusqlite::Result<usize> {
    db.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings a file to this version.
///
/// # Errors
///
/// It is of a later one, or the database failed.
pub(super) fn upgrade(db: &mut Connection) -> Result<(), StoreError> {
    let found = version(db)?;
    if found > VERSION {
        return Err(StoreError::Database(format!(
            "it is of version {found}, made by a newer Mainstay; this one knows versions up to {VERSION}"
        )));
    }
    if found < VERSION { Ok(steps(db, found)?) } else { Ok(()) }
}

/// Makes the tables in an empty file.
pub(super) fn make(db: &mut Connection) -> rusqlite::Result<()> {
    steps(db, 0)
}

fn steps(db: &mut Connection, from: usize) -> rusqlite::Result<()> {
    for (step, text) in STEPS.iter().enumerate().skip(from) {
        let change = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change.execute_batch(text)?;
        change.pragma_update(None, "application_id", APPLICATION_ID)?;
        change.pragma_update(None, "user_version", step + 1)?;
        change.commit()?;
    }
    Ok(())
}

/// Whether tables, indexes and triggers are those that were made: they are text in the file too, and a flipped bit there may
/// make a trigger count otherwise, which no check of the tree tells. Others may have been added.
///
/// # Errors
///
/// What is another one, or missing.
pub(super) fn check(db: &Connection) -> Result<(), String> {
    let checked = (|| {
        let mut model = Connection::open_in_memory()?;
        make(&mut model)?;
        let mut ours =
            model.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
        let mut same = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = ?1 AND sql = ?2")?;
        let mut others = Vec::new();
        for named in ours.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (name, sql): (String, String) = named?;
            if !same.exists([&name, &sql])? {
                others.push(name);
            }
        }
        Ok(others)
    })();
    let others = checked.map_err(|error: rusqlite::Error| error.to_string())?;
    if others.is_empty() {
        return Ok(());
    }
    Err(format!("not as it was made: {}", others.join(", ")))
}

const VERSION_1: &str = "
CREATE TABLE delivery (
    seq INTEGER PRIMARY KEY,          -- the order in which they were accepted
    id BLOB NOT NULL UNIQUE,
    upstream TEXT NOT NULL,
    route TEXT NOT NULL,
    lane TEXT,
    key TEXT NOT NULL,
    scope BLOB,
    print BLOB NOT NULL,
    assurance INTEGER NOT NULL,       -- 1: may be done twice
    state INTEGER NOT NULL,           -- 0 waiting, 1 stopped, 2 delivered, 3 dead
    reason TEXT,
    ready INTEGER NOT NULL,           -- 1: the first open one of its lane
    underway INTEGER NOT NULL,        -- 1: a call is made that must not be made twice
    accepted_at INTEGER NOT NULL,     -- milliseconds since 1970, as all times
    due_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    finished_at INTEGER,
    calls INTEGER NOT NULL,
    maybe_done INTEGER NOT NULL,
    size INTEGER NOT NULL,
    history TEXT NOT NULL,
    sum BLOB NOT NULL
) STRICT;
CREATE INDEX delivery_due ON delivery (upstream, due_at, seq) WHERE ready = 1 AND state = 0;
CREATE INDEX delivery_lane ON delivery (upstream, lane, seq) WHERE lane IS NOT NULL AND state < 2;
CREATE INDEX delivery_underway ON delivery (seq) WHERE underway = 1;
CREATE INDEX delivery_state ON delivery (state, seq);
CREATE INDEX delivery_upstream ON delivery (upstream, state, seq);
CREATE INDEX delivery_finished ON delivery (state, finished_at) WHERE state >= 2;
CREATE UNIQUE INDEX delivery_scope ON delivery (scope) WHERE scope IS NOT NULL;

CREATE TABLE content (
    id BLOB PRIMARY KEY,
    head BLOB,
    body BLOB,
    answer_head BLOB,
    answer_body BLOB
) STRICT;

CREATE TABLE totals (
    upstream TEXT NOT NULL,
    state INTEGER NOT NULL,
    items INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (upstream, state)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER delivery_new AFTER INSERT ON delivery BEGIN
    INSERT INTO totals VALUES (new.upstream, new.state, 1, new.size)
    ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER delivery_gone AFTER DELETE ON delivery BEGIN
    UPDATE totals SET items = items - 1, bytes = bytes - old.size
    WHERE upstream = old.upstream AND state = old.state;
END;
CREATE TRIGGER delivery_moved AFTER UPDATE OF state, size ON delivery
WHEN old.state <> new.state OR old.size <> new.size BEGIN
    UPDATE totals SET items = items - 1, bytes = bytes - old.size
    WHERE upstream = old.upstream AND state = old.state;
    INSERT INTO totals VALUES (new.upstream, new.state, 1, new.size)
    ON CONFLICT DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;

CREATE TABLE lane (
    upstream TEXT NOT NULL,
    lane TEXT NOT NULL,
    items INTEGER NOT NULL,           -- those that wait or are stopped
    PRIMARY KEY (upstream, lane)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER lane_longer AFTER INSERT ON delivery
WHEN new.lane IS NOT NULL AND new.state < 2 BEGIN
    INSERT INTO lane VALUES (new.upstream, new.lane, 1) ON CONFLICT DO UPDATE SET items = items + 1;
END;
CREATE TRIGGER lane_longer_again AFTER UPDATE OF state ON delivery
WHEN new.lane IS NOT NULL AND old.state >= 2 AND new.state < 2 BEGIN
    INSERT INTO lane VALUES (new.upstream, new.lane, 1) ON CONFLICT DO UPDATE SET items = items + 1;
END;
CREATE TRIGGER lane_shorter AFTER UPDATE OF state ON delivery
WHEN old.lane IS NOT NULL AND old.state < 2 AND new.state >= 2 BEGIN
    UPDATE lane SET items = items - 1 WHERE upstream = old.upstream AND lane = old.lane;
    DELETE FROM lane WHERE upstream = old.upstream AND lane = old.lane AND items <= 0;
END;
CREATE TRIGGER lane_gone AFTER DELETE ON delivery WHEN old.lane IS NOT NULL AND old.state < 2 BEGIN
    UPDATE lane SET items = items - 1 WHERE upstream = old.upstream AND lane = old.lane;
    DELETE FROM lane WHERE upstream = old.upstream AND lane = old.lane AND items <= 0;
END;

CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('commits', 0), ('places', 0);
";

/// Callbacks.
const VERSION_2: &str = "
ALTER TABLE delivery ADD COLUMN callback TEXT; -- the upstream that is told what becomes of it
ALTER TABLE delivery ADD COLUMN about BLOB;    -- the delivery that it tells of
ALTER TABLE content ADD COLUMN callback BLOB;  -- where it is told, sealed
";
