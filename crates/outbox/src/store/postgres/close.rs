//! Deliveries come to their end: here, whoever says so.

use std::collections::BTreeMap;

use mainstay_core::outbox::WallTime;

use super::link::Link;
use super::row::{Lane, Row};
use super::tell::tell;
use super::write::Said;
use crate::{DeliveryId, Keys, State};

/// Locks lanes until the transaction is over, in an order of their own, so that two who lock several don't wait for each other. Whoever
/// changes what is open in a lane, or which is its first, has locked it before he locked a delivery.
pub(super) async fn lock(link: &Link, lanes: &[Lane]) -> Result<(), tokio_postgres::Error> {
    let mut lanes: Vec<&Lane> = lanes.iter().collect();
    lanes.sort_unstable();
    lanes.dedup();
    for (upstream, lane) in lanes {
        let sql = "SELECT FROM lane WHERE upstream = $1 AND lane = $2 FOR UPDATE";
        link.query(sql, &[&upstream, &lane]).await?;
    }
    Ok(())
}

/// Some deliveries, locked with their lanes, are open no more, though they may still be on their way: their content goes if they were delivered,
/// the next of each lane is
/// ready, and who asked for it is told.
pub(super) async fn close(
    link: &Link,
    keys: &Keys,
    rows: &mut [Row],
    state: State,
    now: WallTime,
) -> Said<()> {
    debug_assert!(!state.is_open());
    let mut lanes: BTreeMap<Lane, i64> = BTreeMap::new();
    for row in &mut *rows {
        if let Some(lane) = row.lane() {
            *lanes.entry(lane).or_default() += i64::from(row.state.is_open());
        }
        let before = row.state;
        (row.state, row.ready) = (state, false);
        row.finished_at = Some(now);
        row.save(link).await?;
        if let Err(error) = tell(link, keys, before, row, now).await? {
            return Ok(Err(error));
        }
    }
    if state == State::Delivered {
        let ids: Vec<DeliveryId> = rows.iter().map(|row| row.id).collect();
        let sql = "UPDATE content SET head = NULL, body = NULL WHERE id = ANY($1)";
        link.execute(sql, &[&ids]).await?;
    }
    for (lane, closed) in lanes {
        shorten(link, &lane, closed).await?;
        promote(link, &lane).await?;
    }
    Ok(Ok(()))
}

/// So many fewer in a lane.
async fn shorten(link: &Link, lane: &Lane, closed: i64) -> Result<(), tokio_postgres::Error> {
    let sql = "UPDATE lane SET items = items - $3 WHERE upstream = $1 AND lane = $2";
    link.execute(sql, &[&lane.0, &lane.1, &closed]).await?;
    let sql = "DELETE FROM lane WHERE upstream = $1 AND lane = $2 AND items <= 0";
    link.execute(sql, &[&lane.0, &lane.1]).await.map(drop)
}

/// Makes the first open one of a lane ready.
pub(super) async fn promote(link: &Link, lane: &Lane) -> Result<(), tokio_postgres::Error> {
    link.execute(
        "UPDATE delivery SET ready = true WHERE NOT ready AND seq = ( \
             SELECT seq FROM delivery WHERE upstream = $1 AND lane = $2 AND state < 2 ORDER BY seq LIMIT 1)",
        &[&lane.0, &lane.1],
    )
    .await
    .map(drop)
}
