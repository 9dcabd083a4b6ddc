//! A look at everything that is stored.

use std::fmt;

use rusqlite::Connection;

use super::StoreError;
use super::row::{COLUMNS, Row};
use crate::seal::Part;
use crate::{DeliveryId, Keys, SealError};

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
    /// A delivery that waits has no content.
    Missing(DeliveryId),
    /// What is counted isn't what there is.
    Totals,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(what) => write!(f, "the file's structure: {what}"),
            Self::Row(id) => write!(f, "delivery {id}: its row isn't what was written"),
            Self::Content(id, error) => write!(f, "delivery {id}: {error}"),
            Self::Missing(id) => write!(f, "delivery {id}: its content is missing"),
            Self::Totals => f.write_str("the number of deliveries isn't what is counted"),
        }
    }
}

/// Every fault there is, up to a hundred of the structure's.
pub(super) fn check(db: &Connection, keys: &Keys) -> Result<Vec<Fault>, StoreError> {
    let mut faults = tree(db)?;
    let mut rows = db.prepare(&format!("SELECT {COLUMNS} FROM delivery ORDER BY seq"))?;
    let mut content =
        db.prepare("SELECT head, body, answer_head, answer_body FROM content WHERE id = ?1")?;
    for row in rows.query_map([], Row::read)? {
        let row = row?;
        if !row.is_whole {
            faults.push(Fault::Row(row.id));
        }
        let parts: [Option<Vec<u8>>; 4] = content
            .query_row([row.id.as_bytes()], |row| {
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
            })
            .unwrap_or_default();
        if row.state.is_open() && (parts[0].is_none() || parts[1].is_none()) {
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
    let counted: i64 = db.query_row(
        "SELECT count(*) FROM (SELECT upstream, state, items, bytes FROM totals WHERE items <> 0 EXCEPT \
         SELECT upstream, state, count(*), sum(size) FROM delivery GROUP BY upstream, state)",
        [],
        |row| row.get(0),
    )?;
    if counted > 0 {
        faults.push(Fault::Totals);
    }
    Ok(faults)
}

fn tree(db: &Connection) -> Result<Vec<Fault>, StoreError> {
    let said = db
        .prepare("PRAGMA integrity_check")?
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(said.into_iter().filter(|said| said != "ok").map(Fault::Tree).collect())
}
