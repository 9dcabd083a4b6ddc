//! What came of an offer is written.

use mainstay_core::outbox::{Next, WallTime};
use rusqlite::params;

use super::row::Row;
use super::writer::{Paper, Touched, Write};
use super::{StoreError, claim};
use crate::seal::Part;
use crate::{CallNote, DeliveryId, Finish, Keys, Offer, State};

/// The end of an offer, its answer sealed.
pub(super) struct Closing {
    id: DeliveryId,
    upstream: String,
    note: Option<CallNote>,
    maybe_done: bool,
    next: Next,
    answer: Option<(Vec<u8>, Vec<u8>)>,
    now: WallTime,
}

impl Closing {
    pub(super) fn of(
        offer: &Offer,
        finish: Finish,
        now: WallTime,
        keys: &Keys,
    ) -> Result<Self, StoreError> {
        let seal =
            |part, content: &[u8]| keys.seal(offer.id, part, content).map_err(StoreError::Seal);
        let answer = match &finish.answer {
            None => None,
            Some((head, body)) => {
                Some((seal(Part::AnswerHead, &head.to_json())?, seal(Part::AnswerBody, body)?))
            }
        };
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
        let counts = !matches!(self.next, Next::Again { counts: false, .. });
        row.calls = row.calls.saturating_add(u16::from(counts && self.note.is_some()));
        row.maybe_done |= self.maybe_done;
        row.underway = false;
        if let Some(note) = self.note.clone() {
            row.note(note);
        }
        if let Some((head, body)) = &self.answer {
            db.prepare_cached(
                "UPDATE content SET answer_head = ?2, answer_body = ?3 WHERE id = ?1",
            )?
            .execute(params![self.id.as_bytes(), head, body])?;
        }
        // What the upstream's own protection says is forgotten with the process; what the upstream says isn't.
        if let Next::Again { counts: true, hold_until: Some(until), .. } = self.next {
            claim::hold(db, &self.upstream, until)?;
        }
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
        }
        .map(Ok)
    }

    fn touched(&self) -> Touched {
        Touched::Finished(self.id)
    }
}
