//! What was delivered, as far as it is needed to recognise it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::block::Block;
use super::digest::Digest;
use super::order;
use super::unhealable::Unhealable;

/// The last events that were delivered, each as a digest, and what was learned of their ids.
#[derive(Debug)]
pub(super) struct History {
    /// How many are remembered at most.
    most: usize,
    entries: VecDeque<Entry>,
    /// Whether there were more than are remembered.
    has_forgotten: bool,
    /// The id after which the application stands; empty: the server took it back.
    last_id: Option<Vec<u8>>,
    /// Events since the block that set it. They are the last ones of `entries`, unless there were too many.
    since_id: usize,
    /// Whether each id came after the one before by its looks.
    ids_rise: bool,
    /// Whether an id came twice in a row.
    ids_repeat: bool,
}

/// An event that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    content: Digest,
    /// Of its id, if it set one that isn't empty.
    id: Option<Digest>,
}

impl Entry {
    pub(super) fn of(block: &Block<'_>) -> Self {
        let id = block.id.filter(|id| !id.is_empty()).map(Digest::of);
        Self { content: block.digest(), id }
    }

    pub(super) const fn has_id(&self) -> bool {
        self.id.is_some()
    }
}

impl History {
    /// Nothing was delivered, to an application that asked for what comes after an event, if it did.
    pub(super) fn new(most: usize, asked_after: Option<&[u8]>) -> Self {
        Self {
            most,
            entries: VecDeque::new(),
            has_forgotten: false,
            last_id: asked_after.filter(|id| !id.is_empty()).map(<[u8]>::to_vec),
            since_id: 0,
            ids_rise: true,
            ids_repeat: false,
        }
    }

    pub(super) fn last_id(&self) -> Option<&[u8]> {
        self.last_id.as_deref().filter(|id| !id.is_empty())
    }

    /// `block` was delivered. Only one that dispatches an event is remembered; one that doesn't may still move the last id.
    pub(super) fn push(&mut self, block: &Block<'_>) {
        match block.id {
            Some(id) if block.has_data || self.last_id.as_deref() != Some(id) => self.note_id(id),
            Some(_) => {}
            None => self.since_id += usize::from(block.has_data),
        }
        if block.has_data {
            self.entries.push_back(Entry::of(block));
        }
        if self.entries.len() > self.most {
            self.entries.pop_front();
            self.has_forgotten = true;
        }
    }

    fn note_id(&mut self, id: &[u8]) {
        self.ids_repeat |= !id.is_empty() && self.last_id.as_deref() == Some(id);
        self.ids_rise &= match self.last_id.as_deref() {
            None => true,
            Some(last) => order::compare(last, id) == Some(Ordering::Less),
        };
        let last_id = self.last_id.get_or_insert_default();
        last_id.clear();
        last_id.extend_from_slice(id);
        self.since_id = 0;
    }

    /// The id to go on after; `None` while no event was delivered, so that the same request may be made once more.
    pub(super) fn resume_after(&self) -> Result<Option<&[u8]>, Unhealable> {
        if self.entries.is_empty() {
            return Ok(self.last_id().filter(|id| is_sendable(id)));
        }
        let id = match self.last_id.as_deref() {
            None => return Err(Unhealable::NoIds),
            Some([]) => return Err(Unhealable::IdTakenBack),
            Some(id) if !is_sendable(id) => return Err(Unhealable::IdNotSendable),
            Some(id) => id,
        };
        if self.ids_repeat || self.has_twins() {
            return Err(Unhealable::IdsRepeat);
        }
        if self.since_id > self.entries.len() {
            return Err(Unhealable::TooManySinceId);
        }
        if self.has_forgotten && !self.ids_rise {
            return Err(Unhealable::TooManyEvents);
        }
        Ok(Some(id))
    }

    /// Whether two remembered blocks have the same id. Looked for when it matters only, since it takes a sort.
    fn has_twins(&self) -> bool {
        let mut ids: Vec<Digest> = self.entries.iter().filter_map(|entry| entry.id).collect();
        ids.sort_unstable();
        ids.windows(2).any(|pair| pair[0] == pair[1])
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The place of the first event after the last id.
    pub(super) fn place_after_id(&self) -> usize {
        self.entries.len().saturating_sub(self.since_id)
    }

    pub(super) fn is_at(&self, place: usize, entry: &Entry) -> bool {
        self.entries.get(place) == Some(entry)
    }

    /// Whether this very event was delivered, as far as is remembered.
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        self.entries.contains(entry)
    }

    /// Whether an id was delivered, as far as is remembered.
    pub(super) fn knows_id(&self, block: &Block<'_>, entry: &Entry) -> bool {
        let is_last = block.id.is_some() && block.id == self.last_id();
        is_last || (entry.has_id() && self.entries.iter().any(|known| known.id == entry.id))
    }

    pub(super) const fn has_forgotten(&self) -> bool {
        self.has_forgotten
    }

    /// Whether an id comes after all that were delivered, forgotten ones among them, by an order that all of them kept.
    pub(super) fn is_beyond_all(&self, id: &[u8]) -> bool {
        let is_later = |last: &[u8]| order::compare(last, id) == Some(Ordering::Less);
        self.ids_rise && self.last_id().is_some_and(is_later)
    }
}

/// Whether an id arrives as it is in a header field: no control characters, no blanks at its ends (RFC 9110, section 5.5).
fn is_sendable(id: &[u8]) -> bool {
    let is_text = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
    id.iter().all(is_text) && id.trim_ascii().len() == id.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(most: usize, blocks: &[&str]) -> History {
        let mut history = History::new(most, None);
        blocks.iter().for_each(|text| history.push(&Block::read(text.as_bytes())));
        history
    }

    fn after(most: usize, blocks: &[&str]) -> Result<Option<Vec<u8>>, Unhealable> {
        history(most, blocks).resume_after().map(|id| id.map(<[u8]>::to_vec))
    }

    const A: &str = "data: a\nid: 1\n\n";
    const B: &str = "data: b\nid: 2\n\n";
    const C: &str = "data: c\nid: 3\n\n";
    const PLAIN: &str = "data: x\n\n";

    #[test]
    fn a_stream_goes_on_after_the_last_id_whatever_came_behind_it() {
        assert_eq!(after(9, &[]), Ok(None));
        assert_eq!(after(9, &[A, B]), Ok(Some(b"2".to_vec())));
        assert_eq!(after(9, &[PLAIN, A, PLAIN, PLAIN]), Ok(Some(b"1".to_vec())));
        assert_eq!(after(9, &[A, "id: 7\n\n"]), Ok(Some(b"7".to_vec())));
        let history = history(9, &[PLAIN, A, PLAIN]);
        assert_eq!((history.len(), history.place_after_id()), (3, 2));
    }

    #[test]
    fn without_a_place_that_is_sure_it_doesn_t_go_on() {
        assert_eq!(after(9, &[PLAIN]), Err(Unhealable::NoIds));
        assert_eq!(after(9, &[A, "id\n\n"]), Err(Unhealable::IdTakenBack));
        assert_eq!(after(9, &["data\nid:  1\n\n"]), Err(Unhealable::IdNotSendable));
        assert_eq!(after(9, &["data\nid: \u{1}\n\n"]), Err(Unhealable::IdNotSendable));
        assert_eq!(after(9, &[A, A]), Err(Unhealable::IdsRepeat));
        assert_eq!(after(9, &[A, B, A, C]), Err(Unhealable::IdsRepeat));
        assert_eq!(after(2, &[A, PLAIN, PLAIN]), Ok(Some(b"1".to_vec())));
        assert_eq!(after(2, &[A, PLAIN, PLAIN, PLAIN]), Err(Unhealable::TooManySinceId));
    }

    #[test]
    fn what_is_forgotten_needs_ids_that_rise() {
        assert_eq!(after(2, &[A, B, C]), Ok(Some(b"3".to_vec())));
        assert_eq!(after(2, &[B, A, C]), Err(Unhealable::TooManyEvents));
        assert_eq!(after(3, &[B, A, C]), Ok(Some(b"3".to_vec())));
        let rising = history(2, &[A, B, C]);
        assert!(rising.is_beyond_all(b"4") && !rising.is_beyond_all(b"1"));
        assert!(!rising.is_beyond_all(b"x"));
    }

    #[test]
    fn what_the_application_asked_after_is_its_place_from_the_beginning() {
        let mut history = History::new(9, Some(b"5"));
        assert_eq!(history.resume_after(), Ok(Some(&b"5"[..])));
        history.push(&Block::read(PLAIN.as_bytes()));
        assert_eq!(history.resume_after(), Ok(Some(&b"5"[..])));
        assert_eq!(history.place_after_id(), 0);
    }

    #[test]
    fn a_block_without_an_event_may_move_the_last_id_and_is_nothing_else() {
        let history = history(9, &[A, ": c\n\n", "id: 1\n\n", "event: x\n\n"]);
        assert_eq!((history.len(), history.place_after_id()), (1, 1));
        assert_eq!(history.resume_after(), Ok(Some(&b"1"[..])), "the same id says the same place");
        assert_eq!(after(9, &["id: 7\n\n"]), Ok(Some(b"7".to_vec())));
        assert_eq!(after(9, &[A, PLAIN, "id: 7\n\n", PLAIN]), Ok(Some(b"7".to_vec())));
        assert_eq!(after(9, &["id: 7\n\n", "data\nid: 7\n\n"]), Err(Unhealable::IdsRepeat));
    }
}
