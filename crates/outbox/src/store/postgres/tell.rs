//! What became of a delivery is told to whoever asked for it: one more delivery, in the same commit.
//!
//! No limit keeps it out: an ending is written however full the store is.

use mainstay_core::outbox::WallTime;

use super::accept::{Sealed, lengthen};
use super::link::Link;
use super::row::Row;
use super::write::Said;
use crate::callback::News;
use crate::seal::Part;
use crate::store::StoreError;
use crate::store::content::part;
use crate::{Keys, SealError, State};

/// The delivery of `row`, which is locked, was in the state `before`, and is saved as it is now.
pub(super) async fn tell(
    link: &Link,
    keys: &Keys,
    before: State,
    row: &Row,
    now: WallTime,
) -> Said<()> {
    let Some(upstream) = row.callback.clone() else { return Ok(Ok(())) };
    let Some(event) = before.event_of_change(row.state) else { return Ok(Ok(())) };
    let id = row.id;
    let sql = "SELECT callback, answer_head, answer_body FROM content WHERE id = $1";
    let found = link.first(sql, &[&id]).await?;
    let cell = |at: usize| match &found {
        Some(row) => row.try_get::<_, Option<Vec<u8>>>(at),
        None => Ok(None),
    };
    let target = cell(0)?.ok_or(SealError::Damaged);
    let target = target.and_then(|sealed| keys.open(id, Part::Callback, &sealed));
    let news = News {
        event,
        at: now,
        delivery: &row.clone().summary(),
        answer: part(keys, id, (Part::AnswerHead, cell(1)?), (Part::AnswerBody, cell(2)?)),
        target: target.ok().and_then(|target| String::from_utf8(target).ok()),
        upstream,
    };
    let told = news.delivery().map_err(|error| StoreError::Database(error.to_string()));
    let sealed = match told.and_then(|told| Sealed::of(told, keys)) {
        Ok(sealed) => sealed,
        // An ending without its callback isn't written.
        Err(error) => return Ok(Err(error)),
    };
    let of_lane = match sealed.row.lane() {
        Some(lane) => Some(lengthen(link, &lane).await?),
        None => None,
    };
    sealed.insert(link, of_lane).await?;
    Ok(Ok(()))
}
