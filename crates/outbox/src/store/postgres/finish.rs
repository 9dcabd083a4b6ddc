//! What came of an offer is written.

use mainstay_core::outbox::{Next, StoppedReason, WallTime};

use super::link::Link;
use super::row::{Lane, Row};
use super::tell::tell;
use super::write::{Change, Said};
use super::{Core, accept, close};
use crate::store::StoreError;
use crate::store::content::{self, millis};
use crate::{DeliveryId, Finish, Offer, State};

/// The end of an offer, its answer sealed.
struct Closing<'a> {
    core: &'a Core,
    id: DeliveryId,
    upstream: String,
    /// The number of its lease.
    number: i64,
    finish: Finish,
    answer: content::Answer,
    now: WallTime,
}

/// How it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Written,
    /// Another worker has had it since: it was noted, and changed nothing.
    Late,
    /// There is no such delivery any more.
    Gone,
}

impl Core {
    pub(super) async fn finish(
        &self,
        offer: &Offer,
        finish: Finish,
        now: WallTime,
    ) -> Result<(), StoreError> {
        let number = offer.lease.as_ref().map_or(0, |lease| lease.number);
        let answer = content::sealed_answer(&self.keys, offer.id, &finish)?;
        let (id, upstream) = (offer.id, offer.upstream.clone());
        let closing = Closing { core: self, id, upstream, number, finish, answer, now };
        let taken = self.write(&closing).await?;
        self.held.remove(number);
        self.news(&[id]);
        match taken {
            Taken::Written => Ok(()),
            Taken::Late => Err(StoreError::Late(id)),
            Taken::Gone => Err(StoreError::Unknown),
        }
    }
}

impl Change for Closing<'_> {
    type Out = Taken;

    async fn run(&self, link: &Link) -> Said<Taken> {
        // A delivery's lane is always the same one.
        let sql = "SELECT upstream, lane FROM delivery WHERE id = $1 AND lane IS NOT NULL";
        if let Some(row) = link.first(sql, &[&self.id]).await? {
            let lane: Lane = (row.try_get(0)?, row.try_get(1)?);
            close::lock(link, &[lane]).await?;
        }
        let row = Row::locked(link, self.id).await?;
        let sql = "DELETE FROM lease WHERE number = $1";
        let held = link.execute(sql, &[&self.number]).await? > 0;
        let Some(mut row) = row else { return Ok(Ok(Taken::Gone)) };
        if row.told == self.number {
            // It was written before, and the answer to that got lost.
            return Ok(Ok(Taken::Written));
        }
        let others = link.first("SELECT FROM lease WHERE id = $1", &[&self.id]).await?.is_some();
        // Without its lease it says what became of a write that nobody has touched since: that it has arrived, or what was unknown.
        // Anything else may be a person's doing by now, and stays.
        let is_unknown = row.state == State::Stopped(StoppedReason::MaybeDone);
        let is_news = self.finish.next == Next::Delivered || is_unknown;
        if !held && (others || row.lease > self.number || !is_news) {
            row.maybe_done |= self.finish.maybe_done || self.finish.next == Next::Delivered;
            if let Some(note) = self.finish.note.clone() {
                content::note(&mut row.history, note);
            }
            row.save(link).await?;
            return Ok(Ok(Taken::Late));
        }
        (row.lease, row.told) = (self.number, self.number);
        Ok(self.finish(link, row).await?.map(|()| Taken::Written))
    }

    async fn is_there(
        &self,
        link: &Link,
        _: &Taken,
    ) -> Result<Option<bool>, tokio_postgres::Error> {
        let sql = "SELECT told FROM delivery WHERE id = $1";
        let Some(row) = link.first(sql, &[&self.id]).await? else { return Ok(None) };
        // Where it isn't, it is written again, and that tells what it comes to.
        Ok(Some(row.try_get::<_, i64>(0)? == self.number))
    }
}

impl Closing<'_> {
    async fn finish(&self, link: &Link, mut row: Row) -> Said<()> {
        let Finish { note, maybe_done, next, .. } = &self.finish;
        row.calls = row.calls.saturating_add(u16::from(next.counts() && note.is_some()));
        row.maybe_done |= maybe_done;
        if let Some(note) = note.clone() {
            content::note(&mut row.history, note);
        }
        if let Some((head, body)) = &self.answer {
            let sql = "UPDATE content SET answer_head = $2, answer_body = $3 WHERE id = $1";
            link.execute(sql, &[&self.id, head, body]).await?;
        }
        // What the upstream's own protection says is this worker's; what the upstream says is for all of them.
        if let Some(until) = next.asked_hold() {
            accept::hold(link, &self.upstream, millis(until)).await?;
        }
        let keys = &self.core.keys;
        let end =
            async |row: Row, state| close::close(link, keys, &mut [row], state, self.now).await;
        let before = row.state;
        match *next {
            Next::Delivered => return end(row, State::Delivered).await,
            // A person may have given it up while it was on its way.
            _ if !row.state.is_open() => {}
            Next::Dead(why) => return end(row, State::Dead(why)).await,
            Next::Stopped(why) => row.state = State::Stopped(why),
            Next::Again { at, .. } => {
                // It was stopped when its lease was over, and now it is known what became of it.
                if row.state == State::Stopped(StoppedReason::MaybeDone) {
                    row.state = State::Waiting;
                }
                row.due_at = at;
            }
        }
        row.save(link).await?;
        tell(link, keys, before, &row, self.now).await
    }
}
