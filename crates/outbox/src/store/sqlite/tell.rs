//! What became of a delivery is told to whoever asked for it: one more delivery, in the same commit.
//!
//! No limit keeps it out: an ending is written however full the store is. So callbacks may take the store beyond its limits, by one for each
//! delivery that ends and each that stops; until they are delivered they count, and what is new is refused.

use mainstay_core::outbox::WallTime;
use rusqlite::OptionalExtension as _;

use super::accept::Sealed;
use super::row::{Row, unless_damaged};
use super::writer::Paper;
use crate::callback::News;
use crate::seal::Part;
use crate::store::content::part;
use crate::{SealError, State};

/// The delivery of `row` was in the state `before`, and is saved as it is now.
pub(super) fn tell(
    paper: &Paper<'_>,
    before: State,
    row: &Row,
    now: WallTime,
) -> rusqlite::Result<()> {
    // Where one that isn't what was written would be told can't be trusted either.
    let Some(upstream) = row.callback.clone().filter(|_| row.is_whole) else { return Ok(()) };
    let Some(event) = before.event_of_change(row.state) else { return Ok(()) };
    let (db, id) = (paper.db, row.id);
    let parts = db
        .prepare_cached("SELECT callback, answer_head, answer_body FROM content WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get::<_, Option<Vec<u8>>>(2)?])
        })
        .optional();
    let [target, head, body] = unless_damaged(parts)?.unwrap_or_default();
    let target = target.ok_or(SealError::Damaged);
    let target = target.and_then(|sealed| paper.keys.open(id, Part::Callback, &sealed));
    let news = News {
        event,
        at: now,
        delivery: &row.clone().summary(),
        answer: part(paper.keys, id, (Part::AnswerHead, head), (Part::AnswerBody, body)),
        target: target.ok().and_then(|target| String::from_utf8(target).ok()),
        upstream,
    };
    let told = news.delivery().map_err(|error| unwritable(&error.to_string()))?;
    let sealed = Sealed::of(told, paper.keys);
    sealed.map_err(|error| unwritable(&error.to_string()))?.put(db)
}

/// Fails the commit: an ending without its callback isn't written.
fn unwritable(why: &str) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ERROR);
    rusqlite::Error::SqliteFailure(code, Some(format!("a callback can't be made: {why}")))
}
