//! What was finished long ago is forgotten.

use std::time::Duration;

use mainstay_core::outbox::WallTime;

use super::Core;
use super::hand::{AT_A_TIME, forget};
use super::link::Link;
use super::write::{Change, Said};
use crate::DeliveryId;
use crate::store::content::millis;
use crate::store::{Keep, Limits, StoreError};

impl Core {
    pub(super) async fn tend(&self, keep: Keep, now: WallTime) -> Result<bool, StoreError> {
        self.write(&Tend { keep, now, limits: &self.limits }).await
    }
}

struct Tend<'a> {
    keep: Keep,
    now: WallTime,
    limits: &'a Limits,
}

impl Change for Tend<'_> {
    type Out = bool;

    async fn run(&self, link: &Link) -> Said<bool> {
        let before = |keep: Duration| {
            let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
            millis(WallTime(self.now.0.saturating_sub(keep_ms)))
        };
        let mut old = finished(link, 2, before(self.keep.delivered)).await?;
        old.extend(finished(link, 3, before(self.keep.dead)).await?);
        let bytes = link.first("SELECT coalesce(sum(bytes), 0)::bigint FROM totals", &[]).await?;
        let bytes: i64 = bytes.map_or(Ok(0), |row| row.try_get(0))?;
        if u64::try_from(bytes).unwrap_or(0) > self.limits.bytes {
            // Room for what is still to be delivered comes before answers that nobody may ask for.
            old.extend(finished(link, 2, i64::MAX).await?);
        }
        old.sort_unstable();
        old.dedup();
        forget(link, &old).await?;
        // A hold that is over says nothing any more.
        link.execute("DELETE FROM hold WHERE until < $1", &[&millis(self.now)]).await?;
        Ok(Ok(old.len() >= AT_A_TIME as usize))
    }
}

/// Those that several workers forget at once are skipped by all but one.
async fn finished(
    link: &Link,
    state: i16,
    before: i64,
) -> Result<Vec<DeliveryId>, tokio_postgres::Error> {
    let most = i64::from(AT_A_TIME);
    let rows = link
        .query(
            "SELECT id FROM delivery WHERE state = $1 AND state >= 2 AND finished_at < $2 \
             ORDER BY finished_at LIMIT $3 FOR UPDATE SKIP LOCKED",
            &[&state, &before, &most],
        )
        .await?;
    rows.iter().map(|row| row.try_get(0)).collect()
}
