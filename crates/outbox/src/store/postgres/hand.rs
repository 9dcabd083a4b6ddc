//! What a person does: try again, give up, take as done. Some at a time, so that others get their turn between.

use mainstay_core::outbox::{DeadReason, WallTime};

use super::Core;
use super::accept::lengthen;
use super::close::{close, lock, promote};
use super::link::Link;
use super::row::{Lane, Row, select};
use super::write::{Change, Said};
use crate::store::{Filter, Page, StoreError};
use crate::{DeliveryId, State, Summary};

/// What is done to them.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Retry { now: WallTime, per_second: Option<u32>, before: u64 },
    Forget,
    GiveUp { now: WallTime },
    Settle { now: WallTime },
}

impl Deed {
    /// The states in which it can be done.
    const fn states(self) -> &'static [&'static str] {
        match self {
            Self::Retry { .. } => &["stopped", "dead"],
            Self::Forget => &["dead"],
            Self::GiveUp { .. } => &["waiting", "stopped"],
            Self::Settle { .. } => &["stopped"],
        }
    }
}

impl Core {
    pub(super) async fn retry(
        &self,
        filter: Filter,
        per_second: Option<u32>,
        now: WallTime,
    ) -> Result<u64, StoreError> {
        self.all(filter, |before| Deed::Retry { now, per_second, before }).await
    }

    pub(super) async fn drop_those(
        &self,
        filter: Filter,
        now: WallTime,
    ) -> Result<u64, StoreError> {
        // Dead ones first: those that are given up now are dead letters, to be forgotten another time.
        let forgotten = self.all(filter.clone(), |_| Deed::Forget).await?;
        Ok(forgotten + self.all(filter, |_| Deed::GiveUp { now }).await?)
    }

    pub(super) async fn settle(&self, filter: Filter, now: WallTime) -> Result<u64, StoreError> {
        self.all(filter, |_| Deed::Settle { now }).await
    }

    /// Does it to some after some, until there are no more of those that there are now: one that comes to such a state meanwhile isn't among
    /// them, else a retry of what fails again would never end.
    async fn all(&self, filter: Filter, deed: impl Fn(u64) -> Deed) -> Result<u64, StoreError> {
        let last = self.query("SELECT coalesce(max(seq), 0) FROM delivery", &[]).await?;
        let upto: i64 = last.first().map_or(Ok(0), |row| row.try_get(0))?;
        let wanted =
            |state: &&'static str| filter.states.is_empty() || filter.states.contains(state);
        let states: Vec<_> = deed(0).states().iter().copied().filter(wanted).collect();
        if states.is_empty() {
            return Ok(0);
        }
        let filter = Filter { states, ..filter };
        let (mut after, mut count) = (0, 0);
        loop {
            let page = Page { after: Some(after), most: AT_A_TIME };
            let mut chosen = self.list(filter.clone(), page).await?;
            let is_full = chosen.len() == AT_A_TIME as usize;
            after = chosen.last().map_or(after, |last| last.seq);
            chosen.retain(|one| one.seq <= upto);
            if !chosen.is_empty() {
                let some = Chosen { core: self, deed: deed(count), chosen };
                count += self.write(&some).await?;
                let ids: Vec<DeliveryId> = some.chosen.iter().map(|one| one.id).collect();
                self.news(&ids);
            }
            if !is_full || after >= upto {
                return Ok(count);
            }
        }
    }
}

/// Some of those that are meant.
struct Chosen<'a> {
    core: &'a Core,
    deed: Deed,
    chosen: Vec<Summary>,
}

impl Change for Chosen<'_> {
    /// How many it was done to.
    type Out = u64;

    async fn run(&self, link: &Link) -> Said<u64> {
        let lane = |one: &Summary| one.lane.clone().map(|lane| (one.upstream.clone(), lane));
        let lanes: Vec<Lane> = self.chosen.iter().filter_map(lane).collect();
        lock(link, &lanes).await?;
        let ids: Vec<DeliveryId> = self.chosen.iter().map(|one| one.id).collect();
        let found = link
            .query(
                select!("FROM delivery d WHERE d.id = ANY($1) ORDER BY d.seq FOR UPDATE OF d"),
                &[&ids],
            )
            .await?;
        let mut rows = found.iter().map(Row::read).collect::<Result<Vec<_>, _>>()?;
        // Since they were chosen some may have come to another state.
        rows.retain(|row| self.deed.states().contains(&row.state.name()));
        let count = rows.len() as u64;
        match self.deed {
            Deed::Retry { now, per_second, before } => {
                for (row, place) in rows.into_iter().zip(before..) {
                    let rate = |rate: u32| place * 1000 / u64::from(rate.max(1));
                    let later_ms = per_second.map_or(0, rate);
                    again(link, row, now, WallTime(now.0.saturating_add(later_ms))).await?;
                }
            }
            Deed::Forget => {
                let ids: Vec<DeliveryId> = rows.iter().map(|row| row.id).collect();
                forget(link, &ids).await?;
            }
            Deed::GiveUp { now } => {
                let end = State::Dead(DeadReason::Dropped);
                return Ok(close(link, &self.core.keys, &mut rows, end, now)
                    .await?
                    .map(|()| count));
            }
            Deed::Settle { now } => {
                let end = State::Delivered;
                return Ok(close(link, &self.core.keys, &mut rows, end, now)
                    .await?
                    .map(|()| count));
            }
        }
        Ok(Ok(count))
    }
}

/// One more life, as long as the first.
async fn again(
    link: &Link,
    mut row: Row,
    now: WallTime,
    due_at: WallTime,
) -> Result<(), tokio_postgres::Error> {
    let life = row.expires_at.since(row.accepted_at);
    let lane = row.lane();
    if !row.state.is_open() {
        if let Some(lane) = &lane {
            lengthen(link, lane).await?;
        }
        let place = link.first("SELECT nextval('place')", &[]).await?;
        row.seq = place.map_or(Ok(row.seq), |place| place.try_get(0))?;
        row.ready = lane.is_none();
    }
    (row.state, row.finished_at) = (State::Waiting, None);
    // It lives from when it is due: of many with a rate the last ones wait for long.
    (row.calls, row.due_at, row.expires_at) = (0, due_at, due_at.max(now).after(life));
    row.save(link).await?;
    match lane {
        None => Ok(()),
        Some(lane) => promote(link, &lane).await,
    }
}

/// Removes deliveries.
pub(super) async fn forget(link: &Link, ids: &[DeliveryId]) -> Result<(), tokio_postgres::Error> {
    link.execute("DELETE FROM content WHERE id = ANY($1)", &[&ids]).await?;
    link.execute("DELETE FROM delivery WHERE id = ANY($1)", &[&ids]).await.map(drop)
}

/// Some hundred milliseconds' work at most.
pub(super) const AT_A_TIME: u32 = 200;
