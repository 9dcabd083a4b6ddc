//! A write is stored.

use tokio_postgres::types::ToSql;

use super::Core;
use super::link::Link;
use super::row::{Lane, Row};
use super::write::{Change, Said};
use crate::store::content::{Content, millis};
use crate::store::{Accepted, Full, Limits, StoreError};
use crate::{DeliveryId, Keys, NewDelivery};

/// A write whose content is sealed.
pub(super) struct Sealed {
    pub(super) hold_until: Option<i64>,
    pub(super) row: Row,
    content: Content,
}

/// One that is to be accepted.
struct Accept<'a> {
    sealed: Sealed,
    limits: &'a Limits,
}

impl Sealed {
    pub(super) fn of(new: NewDelivery, keys: &Keys) -> Result<Self, StoreError> {
        let hold_until = new.hold_until.map(millis);
        let content = Content::of(&new, keys)?;
        Ok(Self { hold_until, row: Row::of(new, content.size), content })
    }

    /// Puts it in. Its lane is locked, and has so many open ones, it included.
    pub(super) async fn insert(
        &self,
        link: &Link,
        of_lane: Option<i64>,
    ) -> Result<(), tokio_postgres::Error> {
        let mut row = self.row.clone();
        // Drawn now: those of the lane that come later get later places.
        row.ready = of_lane.is_none_or(|items| items <= 1);
        row.insert(link).await?;
        link.execute(
            "INSERT INTO content (id, head, body, callback) VALUES ($1, $2, $3, $4)",
            &[&row.id, &self.content.head, &self.content.body, &self.content.callback],
        )
        .await?;
        if let Some(until) = self.hold_until {
            hold(link, &row.upstream, until).await?;
        }
        Ok(())
    }
}

impl Change for Accept<'_> {
    type Out = Accepted;

    async fn run(&self, link: &Link) -> Said<Accepted> {
        let row = &self.sealed.row;
        if let Some(scope) = &row.scope
            && let Some(known) = known(link, scope, &row.print).await?
        {
            return Ok(known.map(Accepted::Known));
        }
        if let Some(full) = full(link, self.limits, row.size).await? {
            return Ok(Err(StoreError::Full(full)));
        }
        let of_lane = match row.lane() {
            None => None,
            Some(lane) => Some(lengthen(link, &lane).await?),
        };
        let lane_most = i64::try_from(self.limits.lane_items).unwrap_or(i64::MAX);
        if of_lane.is_some_and(|items| items > lane_most) {
            return Ok(Err(StoreError::Full(Full::Lane)));
        }
        self.sealed.insert(link, of_lane).await?;
        Ok(Ok(Accepted::New))
    }

    async fn is_there(
        &self,
        link: &Link,
        out: &Accepted,
    ) -> Result<Option<bool>, tokio_postgres::Error> {
        match out {
            Accepted::Known(_) => Ok(Some(true)),
            Accepted::New => {
                let id: &(dyn ToSql + Sync) = &self.sealed.row.id;
                let found = link.first("SELECT 1 FROM delivery WHERE id = $1", &[id]).await?;
                Ok(Some(found.is_some()))
            }
        }
    }

    fn unsure(&self) -> StoreError {
        StoreError::Unsure(self.sealed.row.id)
    }
}

impl Core {
    pub(super) async fn accept(&self, new: NewDelivery) -> Result<Accepted, StoreError> {
        let sealed = Sealed::of(new, &self.keys)?;
        let accepted = self.write(&Accept { sealed, limits: &self.limits }).await?;
        if accepted == Accepted::New {
            self.news(&[]);
        }
        Ok(accepted)
    }

    pub(super) async fn known(
        &self,
        scope: [u8; 32],
        print: [u8; 32],
    ) -> Result<Option<DeliveryId>, StoreError> {
        let rows = self.query(KNOWN, &[&&scope[..]]).await?;
        rows.first().map(|row| told(row, &print)).transpose()?.transpose()
    }

    pub(super) async fn lane_items(&self, upstream: &str, lane: &str) -> Result<u64, StoreError> {
        let lane = super::row::text(lane.to_owned());
        let sql = "SELECT items FROM lane WHERE upstream = $1 AND lane = $2";
        let items = self.query(sql, &[&upstream, &lane]).await?;
        let items: i64 = items.first().map_or(Ok(0), |row| row.try_get(0))?;
        Ok(u64::try_from(items).unwrap_or(0))
    }
}

const KNOWN: &str = "SELECT id, print FROM delivery WHERE scope = $1";

/// The delivery of this scope, if there is one; an error if it is another request.
async fn known(
    link: &Link,
    scope: &[u8],
    print: &[u8],
) -> Result<Option<Result<DeliveryId, StoreError>>, tokio_postgres::Error> {
    link.first(KNOWN, &[&scope]).await?.map(|row| told(&row, print)).transpose()
}

fn told(
    row: &tokio_postgres::Row,
    print: &[u8],
) -> Result<Result<DeliveryId, StoreError>, tokio_postgres::Error> {
    let (id, found): (DeliveryId, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
    Ok(if found == print { Ok(id) } else { Err(StoreError::OtherRequest(id)) })
}

/// Whether there is no room for one more. Those that are accepted at the same moment aren't counted: a store may have a few more than its limits.
pub(super) async fn full(
    link: &Link,
    limits: &Limits,
    size: u64,
) -> Result<Option<Full>, tokio_postgres::Error> {
    let sql = "SELECT coalesce(sum(items), 0)::bigint, coalesce(sum(bytes), 0)::bigint FROM totals WHERE state <> 2";
    let Some(row) = link.first(sql, &[]).await? else { return Ok(None) };
    let number = |at| Ok::<_, tokio_postgres::Error>(u64::try_from(row.try_get::<_, i64>(at)?));
    let (items, bytes) = (number(0)?.unwrap_or(0), number(1)?.unwrap_or(0));
    Ok(if items >= limits.items {
        Some(Full::Items)
    } else if bytes.saturating_add(size) > limits.bytes {
        Some(Full::Bytes)
    } else {
        None
    })
}

/// One more in a lane, which is locked from now on. How many there are, it included.
pub(super) async fn lengthen(link: &Link, lane: &Lane) -> Result<i64, tokio_postgres::Error> {
    lengthen_by(link, lane, 1).await
}

/// The same of several.
pub(super) async fn lengthen_by(
    link: &Link,
    lane: &Lane,
    by: i64,
) -> Result<i64, tokio_postgres::Error> {
    let rows = link
        .query(
            "INSERT INTO lane AS l VALUES ($1, $2, $3) ON CONFLICT (upstream, lane) DO UPDATE SET items = l.items + $3 \
             RETURNING items",
            &[&lane.0, &lane.1, &by],
        )
        .await?;
    rows.first().map_or(Ok(0), |row| row.try_get(0))
}

/// Notes that an upstream asks to be left alone.
pub(super) async fn hold(
    link: &Link,
    upstream: &str,
    until: i64,
) -> Result<(), tokio_postgres::Error> {
    link.execute(
        "INSERT INTO hold AS h VALUES ($1, $2) ON CONFLICT (upstream) DO UPDATE SET until = greatest(h.until, excluded.until)",
        &[&upstream, &until],
    )
    .await
    .map(drop)
}
