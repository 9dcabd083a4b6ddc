//! Deliveries are offered.

use mainstay_core::outbox::{StoppedReason, WallTime};
use tokio::time::Instant;

use super::Core;
use super::lease::GiveBack;
use super::link::Link;
use super::row::{COLUMNS, Row, select};
use super::tell::tell;
use super::write::{Change, Said};
use crate::store::content::{millis, request, wall};
use crate::store::{Claimed, StoreError};
use crate::{DeliveryId, Keys, Offer, SealError, State};

/// A delivery with its content as it is stored.
type Content = Option<(Vec<u8>, Vec<u8>)>;

struct Found {
    number: i64,
    row: Row,
    content: Content,
}

struct Look {
    found: Vec<Found>,
    next_due: Option<WallTime>,
}

/// A claim.
struct Claim<'a> {
    core: &'a Core,
    upstream: &'a str,
    now: WallTime,
    most: i64,
}

impl Change for Claim<'_> {
    type Out = Look;

    async fn run(&self, link: &Link) -> Said<Look> {
        let sql = "SELECT until FROM hold WHERE upstream = $1";
        if let Some(row) = link.first(sql, &[&self.upstream]).await? {
            let until = wall(row.try_get(0)?);
            if until > self.now {
                return Ok(Ok(Look { found: Vec::new(), next_due: Some(until) }));
            }
        }
        // Others' rows are skipped while they claim them; what one has got already is refused by the index of leases.
        let leased = link
            .query(
                "WITH due AS MATERIALIZED ( \
                     SELECT d.id, d.upstream, d.lane, d.repeatable FROM delivery d \
                     WHERE d.upstream = $1 AND d.ready AND d.state = 0 AND d.due_at <= $2 \
                       AND NOT EXISTS (SELECT FROM lease l WHERE l.id = d.id) \
                       AND NOT EXISTS (SELECT FROM lease l WHERE d.lane IS NOT NULL AND l.upstream = d.upstream AND l.lane = d.lane) \
                     ORDER BY d.due_at, d.seq LIMIT $3 FOR UPDATE OF d SKIP LOCKED) \
                 INSERT INTO lease (number, id, upstream, lane, worker, once, until) \
                 SELECT nextval('lease_number'), id, upstream, lane, $4, NOT repeatable, \
                     clock_timestamp() + $5 * interval '1 millisecond' FROM due \
                 ON CONFLICT DO NOTHING RETURNING id",
                &[
                    &self.upstream,
                    &millis(self.now),
                    &self.most,
                    &self.core.worker,
                    &self.core.lease_ms(),
                ],
            )
            .await?;
        let ids: Vec<DeliveryId> =
            leased.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let mut found = Vec::new();
        if !ids.is_empty() {
            let rows = link
                .query(
                    select!(
                        ", c.head, c.body, l.number FROM delivery d JOIN lease l USING (id) LEFT JOIN content c USING (id) \
                         WHERE d.id = ANY($1) ORDER BY d.due_at, d.seq"
                    ),
                    &[&ids],
                )
                .await?;
            for row in rows {
                let head: Option<Vec<u8>> = row.try_get(COLUMNS)?;
                let body: Option<Vec<u8>> = row.try_get(COLUMNS + 1)?;
                found.push(Found {
                    number: row.try_get(COLUMNS + 2)?,
                    row: Row::read(&row)?,
                    content: head.zip(body),
                });
            }
        }
        let next = link
            .first(
                "SELECT d.due_at FROM delivery d WHERE d.upstream = $1 AND d.ready AND d.state = 0 \
                   AND NOT EXISTS (SELECT FROM lease l WHERE l.id = d.id) \
                   AND NOT EXISTS (SELECT FROM lease l WHERE d.lane IS NOT NULL AND l.upstream = d.upstream AND l.lane = d.lane) \
                 ORDER BY d.due_at, d.seq LIMIT 1",
                &[&self.upstream],
            )
            .await?;
        let next_due = next.map(|row| row.try_get(0).map(wall)).transpose()?;
        Ok(Ok(Look { found, next_due }))
    }

    async fn is_there(
        &self,
        link: &Link,
        look: &Look,
    ) -> Result<Option<bool>, tokio_postgres::Error> {
        let numbers: Vec<i64> = look.found.iter().map(|found| found.number).collect();
        let worker = &self.core.worker;
        let sql = "SELECT count(*) FROM lease WHERE worker = $1 AND number = ANY($2)";
        let there = link.first(sql, &[worker, &numbers]).await?;
        let there: i64 = there.map_or(Ok(0), |row| row.try_get(0))?;
        Ok(Some(usize::try_from(there) == Ok(numbers.len())))
    }
}

impl Core {
    pub(super) async fn claim(
        &self,
        upstream: &str,
        now: WallTime,
        most: usize,
    ) -> Result<Claimed, StoreError> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        // Before the database has given it: so it never lasts longer here than there.
        let asked = Instant::now();
        let look = self.write(&Claim { core: self, upstream, now, most }).await?;
        let mut claimed = Claimed { next_due: look.next_due, ..Claimed::default() };
        for Found { number, row, content } in look.found {
            let id = row.id;
            match opened(row, content, &self.keys) {
                Ok(mut offer) => {
                    offer.lease = Some(self.held.add(number, asked, self.lease));
                    claimed.offers.push(offer);
                }
                // Nothing is wrong with it: it is given back, and waits for its key.
                Err(SealError::NoKey(name)) => {
                    claimed.missing_key = Some(name);
                    // Where that fails its lease ends by itself; the others of this claim are offered all the same.
                    let _ = self.write(&GiveBack(vec![number])).await;
                }
                Err(why) => {
                    claimed.stopped.push((id, why));
                    // What can't even be stopped is offered again when its lease is over, and stopped then.
                    let _ = self.write(&Stop { core: self, id, number, now }).await;
                }
            }
        }
        Ok(claimed)
    }

    /// Gives back what nobody has got.
    pub(super) async fn give_back(&self, offers: &[Offer]) {
        let numbers: Vec<i64> =
            offers.iter().filter_map(|offer| offer.lease.as_ref()).map(|one| one.number).collect();
        numbers.iter().for_each(|number| self.held.remove(*number));
        // Where that fails the leases end by themselves.
        if self.write(&GiveBack(numbers)).await.is_ok() {
            self.news(&[]);
        }
    }

    /// Where something waits to be delivered.
    pub(super) async fn destinations(&self) -> Result<Vec<String>, StoreError> {
        // One step down the index for each, as there are few of them and may be very many deliveries.
        let rows = self
            .query(
                "WITH RECURSIVE next AS ( \
                     (SELECT upstream FROM delivery WHERE ready AND state = 0 ORDER BY upstream LIMIT 1) UNION ALL \
                     SELECT (SELECT d.upstream FROM delivery d WHERE d.ready AND d.state = 0 AND d.upstream > n.upstream \
                             ORDER BY d.upstream LIMIT 1) FROM next n WHERE n.upstream IS NOT NULL) \
                 SELECT upstream FROM next WHERE upstream IS NOT NULL",
                &[],
            )
            .await?;
        rows.iter().map(|row| row.try_get(0).map_err(StoreError::from)).collect()
    }
}

fn opened(row: Row, content: Content, keys: &Keys) -> Result<Offer, SealError> {
    if row.state != State::Waiting {
        return Err(SealError::Damaged);
    }
    let (head, body) = request(keys, row.id, content)?;
    Ok(Offer {
        id: row.id,
        upstream: row.upstream,
        route: row.route,
        key: row.key,
        assurance: row.assurance,
        calls: row.calls,
        maybe_done: row.maybe_done,
        accepted_at: row.accepted_at,
        expires_at: row.expires_at,
        head,
        body,
        about: row.about,
        lease: None,
        // The end of its lease says so, in the row itself.
        interrupted: false,
    })
}

/// A delivery that can't be offered as it is.
struct Stop<'a> {
    core: &'a Core,
    now: WallTime,
    id: DeliveryId,
    number: i64,
}

impl Change for Stop<'_> {
    type Out = ();

    async fn run(&self, link: &Link) -> Said<()> {
        // Somebody may have given it up since it was read.
        let row = Row::locked(link, self.id).await?.filter(|row| row.state.is_open());
        if let Some(mut row) = row {
            let before = row.state;
            row.state = State::Stopped(StoppedReason::Damaged);
            row.save(link).await?;
            if let Err(error) = tell(link, &self.core.keys, before, &row, self.now).await? {
                return Ok(Err(error));
            }
        }
        link.execute("DELETE FROM lease WHERE number = $1", &[&self.number]).await?;
        Ok(Ok(()))
    }
}
