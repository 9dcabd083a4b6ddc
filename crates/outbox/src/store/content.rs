//! What each kind of store does to a delivery before its database has it and after: sealing and opening, the record of calls, numbers as
//! databases have them.

use bytes::Bytes;
use mainstay_core::outbox::WallTime;

use super::{Fault, StoreError};
use crate::seal::Part;
use crate::{
    CallNote, DeliveryId, Finish, Keys, NewDelivery, RequestPart, SealError, State, StoredHead,
};

/// What is sealed of a write.
pub(super) struct Content {
    /// Bytes of the request, before that.
    pub(super) size: u64,
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
    /// Where it is told what becomes of it.
    pub(super) callback: Option<Vec<u8>>,
}

impl Content {
    pub(super) fn of(new: &NewDelivery, keys: &Keys) -> Result<Self, StoreError> {
        let seal =
            |part, content: &[u8]| keys.seal(new.id, part, content).map_err(StoreError::Seal);
        let json = new.head.to_json();
        let callback = new.callback.as_ref();
        Ok(Self {
            size: (json.len() + new.body.len()) as u64,
            head: seal(Part::Head, &json)?,
            body: seal(Part::Body, &new.body)?,
            callback: callback
                .map(|callback| seal(Part::Callback, callback.target.as_bytes()))
                .transpose()?,
        })
    }
}

/// The API's answer, sealed: its head and its body.
pub(super) type Answer = Option<(Vec<u8>, Vec<u8>)>;

pub(super) fn sealed_answer(
    keys: &Keys,
    id: DeliveryId,
    finish: &Finish,
) -> Result<Answer, StoreError> {
    let seal = |part, content: &[u8]| keys.seal(id, part, content).map_err(StoreError::Seal);
    let Some((head, body)) = &finish.answer else { return Ok(None) };
    Ok(Some((seal(Part::AnswerHead, &head.to_json())?, seal(Part::AnswerBody, body)?)))
}

/// A head and a body, opened. `None` unless both are there.
pub(super) fn part(
    keys: &Keys,
    id: DeliveryId,
    head: (Part, Option<Vec<u8>>),
    body: (Part, Option<Vec<u8>>),
) -> RequestPart {
    let ((head_part, Some(head)), (body_part, Some(body))) = (head, body) else { return Ok(None) };
    let head = keys.open(id, head_part, &head)?;
    let body = keys.open(id, body_part, &body)?;
    let head = StoredHead::of_json(&head).map_err(|_| SealError::Damaged)?;
    Ok(Some((head, Bytes::from(body))))
}

/// The request of a delivery whose turn it is, opened.
pub(super) fn request(
    keys: &Keys,
    id: DeliveryId,
    stored: Option<(Vec<u8>, Vec<u8>)>,
) -> Result<(StoredHead, Bytes), SealError> {
    let (head, body) = stored.unzip();
    part(keys, id, (Part::Head, head), (Part::Body, body))?.ok_or(SealError::Damaged)
}

/// What is wrong with what is stored of a delivery: head, body, the answer's head and body, the callback's target, in this order.
pub(super) fn look_at(
    keys: &Keys,
    (id, state, is_told): (DeliveryId, State, bool),
    stored: &[Option<Vec<u8>>; 5],
    faults: &mut Vec<Fault>,
) {
    let [head, body, _, _, callback] = stored;
    let is_missing = head.is_none() || body.is_none() || is_told && callback.is_none();
    if state != State::Delivered && is_missing {
        faults.push(Fault::Missing(id));
    }
    const PARTS: [Part; 5] =
        [Part::Head, Part::Body, Part::AnswerHead, Part::AnswerBody, Part::Callback];
    for (part, stored) in PARTS.into_iter().zip(stored) {
        let Some(stored) = stored else { continue };
        if let Err(error) = keys.open(id, part, stored) {
            faults.push(Fault::Content(id, error));
        }
    }
}

/// Notes a call; of many the last ones are kept.
pub(super) fn note(history: &mut Vec<CallNote>, note: CallNote) {
    if history.len() >= HISTORY_MOST {
        history.remove(0);
    }
    history.push(note);
}

pub(super) fn history_text(history: &[CallNote]) -> String {
    // Numbers and strings alone.
    serde_json::to_string(history).unwrap_or_else(|_| "[]".into())
}

pub(super) fn wall(millis: i64) -> WallTime {
    WallTime(u64::try_from(millis).unwrap_or(0))
}

pub(super) fn millis(at: WallTime) -> i64 {
    i64::try_from(at.0).unwrap_or(i64::MAX)
}

pub(super) fn whole(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

/// Enough to see how a long outage began to be seen, and how it ends; each takes some 150 bytes.
const HISTORY_MOST: usize = 32;
