//! What came of an offer is written.

use mainstay_core::outbox::{Next, WallTime};
use rusqlite::params;

use super::claim;
use super::row::Row;
use super::tell::tell;
use super::writer::{Paper, Touched, Write};
use crate::store::{StoreError, content};
use crate::{CallNote, DeliveryId, Finish, Keys, Offer, State};

/// The end of an offer, its answer sealed.
pub(super) struct Closing {
    id: DeliveryId,
    upstream: String,
    note: Option<CallNote>,
    maybe_done: bool,
    next: Next,
    answer: content::Answer,
    now: WallTime,
}

impl Closing {
    pub(super) fn of(
        offer: &Offer,
        finish: Finish,
        now: WallTime,
        keys: &Keys,
    ) -> Result<Self, StoreError> {
        let answer = content::sealed_answer(keys, offer.id, &finish)?;
        let Finish { note, maybe_done, next, .. } = finish;
        Ok(Self {
            id: offer.id,
            upstream: offer.upstream.clone(),
            note,
            maybe_done,
            next,
            answer,
            now,
        })
    }
}

impl Write for Closing {
    type Out = ();

    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<(), StoreError>> {
        let db = paper.db;
        let Some(mut row) = Row::by_id(db, self.id)? else { return Ok(Err(StoreError::Unknown)) };
        row.calls = row.calls.saturating_add(u16::from(self.next.counts() && self.note.is_some()));
        row.maybe_done |= self.maybe_done;
        row.underway = false;
        if let Some(note) = self.note.clone() {
            content::note(&mut row.history, note);
        }
        if let Some((head, body)) = &self.answer {
            db.prepare_cached(
                "UPDATE content SET answer_head = ?2, answer_body = ?3 WHERE id = ?1",
            )?
            .execute(params![self.id.as_bytes(), head, body])?;
        }
        // What the upstream's own protection says is forgotten with the process; what the upstream says isn't.
        if let Some(until) = self.next.asked_hold() {
            claim::hold(db, &self.upstream, until)?;
        }
        let before = row.state;
        match self.next {
            Next::Delivered => row.close(db, State::Delivered, self.now),
            // A person may have given it up while it was on its way.
            _ if !row.state.is_open() => row.save(db),
            Next::Dead(why) => row.close(db, State::Dead(why), self.now),
            Next::Stopped(why) => {
                row.state = State::Stopped(why);
                row.save(db)
            }
            Next::Again { at, .. } => {
                row.due_at = at;
                row.save(db)
            }
        }?;
        tell(paper, before, &row, self.now).map(Ok)
    }

    fn touched(&self) -> Touched {
        Touched::Finished(self.id)
    }
}
