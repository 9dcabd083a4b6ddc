//! A look at everything that is stored.

use std::collections::HashSet;

use tokio::time::Instant;

use super::Core;
use super::link::Link;
use super::row::{COLUMNS, Row, select};
use super::write::READ_FOR;
use crate::store::content::look_at;
use crate::store::{Fault, StoreError};
use crate::{DeliveryId, Keys};

impl Core {
    /// Every fault there is.
    pub(super) async fn check(&self) -> Result<Vec<Fault>, StoreError> {
        let link = self.pool.link(Instant::now() + READ_FOR).await?;
        // All of it at one moment, whatever is written meanwhile.
        link.batch("SET statement_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            .await?;
        let faults = faults(&link, &self.keys).await?;
        // The connection is closed, as it is set otherwise now.
        Ok(faults)
    }
}

async fn faults(link: &Link, keys: &Keys) -> Result<Vec<Fault>, tokio_postgres::Error> {
    let mut faults = Vec::new();
    // The lanes in which something is open: what comes behind isn't ready.
    let mut lanes = HashSet::new();
    let mut after = 0_i64;
    loop {
        let rows = link
            .query(
                select!(
                    ", c.head, c.body, c.answer_head, c.answer_body, c.callback FROM delivery d LEFT JOIN content c USING (id) \
                     WHERE d.seq > $1 ORDER BY d.seq LIMIT 10"
                ),
                &[&after],
            )
            .await?;
        for found in &rows {
            let row = Row::read(found)?;
            after = row.seq;
            if row.state.is_open() && row.ready != row.lane().is_none_or(|lane| lanes.insert(lane))
            {
                faults.push(Fault::Turn(row.id));
            }
            let mut parts = [const { None }; 5];
            for (at, part) in parts.iter_mut().enumerate() {
                *part = found.try_get(COLUMNS + at)?;
            }
            look_at(keys, (row.id, row.state, row.callback.is_some()), &parts, &mut faults);
        }
        if rows.is_empty() {
            break;
        }
    }
    for row in link.query("SELECT id FROM content EXCEPT SELECT id FROM delivery", &[]).await? {
        faults.push(Fault::Orphan(row.try_get::<_, DeliveryId>(0)?));
    }
    for differs in COUNTS {
        if link.first(differs, &[]).await?.is_some() {
            faults.push(Fault::Totals);
        }
    }
    Ok(faults)
}

/// What is counted, and isn't what there is.
const COUNTS: [&str; 2] = [
    "SELECT FROM (SELECT upstream, state, sum(items) AS items, sum(bytes) AS bytes FROM totals GROUP BY upstream, state \
         HAVING sum(items) <> 0 OR sum(bytes) <> 0) AS counted \
     FULL JOIN (SELECT upstream, state, count(*) AS items, sum(size) AS bytes FROM delivery GROUP BY upstream, state) AS there \
     USING (upstream, state, items, bytes) WHERE counted.items IS NULL OR there.items IS NULL LIMIT 1",
    "SELECT FROM lane AS counted \
     FULL JOIN (SELECT upstream, lane, count(*) AS items FROM delivery WHERE lane IS NOT NULL AND state < 2 GROUP BY upstream, lane) AS there \
     USING (upstream, lane, items) WHERE counted.items IS NULL OR there.items IS NULL LIMIT 1",
];
