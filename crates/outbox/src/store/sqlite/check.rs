//! A look at everything that is stored.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _};

use super::row::{COLUMNS, Row, unless_damaged};
use crate::store::content::look_at;
use crate::store::{Fault, StoreError};
use crate::{DeliveryId, Keys};

/// Every fault there is, up to a hundred of the structure's.
pub(super) fn check(db: &mut Connection, keys: &Keys) -> Result<Vec<Fault>, StoreError> {
    // All of it at one moment, whatever is written meanwhile.
    let db = db.transaction()?;
    let mut faults = tree(&db)?;
    let mut rows = db.prepare(&format!("SELECT {COLUMNS} FROM delivery ORDER BY seq"))?;
    let mut content = db.prepare(
        "SELECT head, body, answer_head, answer_body, callback FROM content WHERE id = ?1",
    )?;
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
                Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
            })
            .optional();
        let parts = unless_damaged(parts)?;
        let parts: [Option<Vec<u8>>; 5] = parts.unwrap_or_default();
        look_at(keys, (row.id, row.state, row.callback.is_some()), &parts, &mut faults);
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
