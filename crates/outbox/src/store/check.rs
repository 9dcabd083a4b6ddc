//! A look at everything that is stored.

use std::collections::HashSet;
use std::fmt;

use rusqlite::{Connection, OptionalExtension as _};

use super::StoreError;
use super::row::{COLUMNS, Row, unless_damaged};
use crate::seal::Part;
use crate::{DeliveryId, Keys, SealError, State};

/// Something that isn't as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The file's structure, in SQLite's words.
    Tree(String),
    /// A delivery's own row.
    Row(DeliveryId),
    /// A delivery's content.
    Content(DeliveryId, SealError),
    /// A delivery that waits, is stopped or is dead has no content.
    Missing(DeliveryId),
    /// Content whose delivery is gone.
    Orphan(DeliveryId),
    /// A delivery that is offered before its turn, or that isn't though it is its turn.
    Turn(DeliveryId),
    /// What is counted isn't what there is.
    Totals,
}

impl Fault {
    /// Whether it concerns the store as a whole, and not one delivery, which is stopped when its turn comes.
    #[must_use]
    pub const fn is_whole_stores(&self) -> bool {
        matches!(self, Self::Tree(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(what) => write!(f, "the file's structure: {what}"),
            Self::Row(id) => write!(f, "delivery {id}: its row isn't what was written"),
            Self::Content(id, error) => write!(f, "delivery {id}: {error}"),
            Self::Missing(id) => write!(f, "delivery {id}: its content is missing"),
            Self::Orphan(id) => write!(f, "delivery {id}: its content is there and it isn't"),
            Self::Turn(id) => write!(f, "delivery {id}: its place in its lane is wrong"),
            Self::Totals => f.write_str("the number of deliveries isn't what is counted"),
        }
    }
}

/// Every fault there is, up to a hundred of the structure's.
pub(super) fn check(db: &mut Connection, keys: &Keys) -> Result<Vec<Fault>, StoreError> {
    // All of it at one moment, whatever is written meanwhile.
    let db = db.transaction()?;
    let mut faults = tree(&db)?;
    let mut rows = db.prepare(&format!("SELECT {COLUMNS} FROM delivery ORDER BY seq"))?;
    let mut content =
        db.prepare("SELECT head, body, answer_head, answer_body FROM content WHERE id = ?1")?;
    // The lanes in which something is open: what comes behind isn't ready.
    let mut lanes = HashSet::new();
    for row in rows.query_map([], Row::read)? {
        let row = row?;
        if !row.is_whole {
            faults.push(Fault::Row(row.id));
        }
        if row.state.is_open() {
            let lane = row.lane.as_ref().map(|lane| (row.upstream.clone(), lane.clone()));
            if row.ready != lane.is_none_or(|lane| lanes.insert(lane)) {
                faults.push(Fault::Turn(row.id));
            }
        }
        let parts = content
            .query_row([row.id.as_bytes()], |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
            })
            .optional();
        let parts = unless_damaged(parts)?;
        let parts: [Option<Vec<u8>>; 4] = parts.unwrap_or_default();
        if row.state != State::Delivered && (parts[0].is_none() || parts[1].is_none()) {
            faults.push(Fault::Missing(row.id));
        }
        const PARTS: [Part; 4] = [Part::Head, Part::Body, Part::AnswerHead, Part::AnswerBody];
        for (part, stored) in PARTS.into_iter().zip(&parts) {
            let Some(stored) = stored else { continue };
            if let Err(error) = keys.open(row.id, part, stored) {
                faults.push(Fault::Content(row.id, error));
            }
        }
    }
    let mut orphans = db.prepare("SELECT id FROM content EXCEPT SELECT id FROM delivery")?;
    for id in orphans.query_map([], |row| row.get(0))? {
        faults.push(Fault::Orphan(DeliveryId::of_bytes(id?)));
    }
    for (counted, there) in COUNTS {
        let sql = format!(
            "SELECT count(*) FROM (SELECT * FROM ({counted} EXCEPT {there}) UNION ALL SELECT * FROM ({there} EXCEPT {counted}))"
        );
        if db.query_row(&sql, [], |row| row.get::<_, i64>(0))? > 0 {
            faults.push(Fault::Totals);
        }
    }
    Ok(faults)
}

/// What is counted, and what there is.
const COUNTS: [(&str, &str); 2] = [
    (
        "SELECT upstream, state, items, bytes FROM totals WHERE items <> 0",
        "SELECT upstream, state, count(*), sum(size) FROM delivery GROUP BY upstream, state",
    ),
    (
        "SELECT upstream, lane, items FROM lane",
        "SELECT upstream, lane, count(*) FROM delivery WHERE lane IS NOT NULL AND state < 2 GROUP BY upstream, lane",
    ),
];

fn tree(db: &Connection) -> Result<Vec<Fault>, StoreError> {
    let said = db
        .prepare("PRAGMA integrity_check")?
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(said.into_iter().filter(|said| said != "ok").map(Fault::Tree).collect())
}
