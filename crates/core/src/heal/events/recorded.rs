//! A stream that is kept in a ring as it goes by.

use alloc::sync::Arc;

use super::ring::{Lost, Ring, RingId, RingSettings};
use super::splitter::{Cut, Source, Splitter};

/// Cuts a stream into blocks, gives its events ids, and keeps the last of them.
#[derive(Debug)]
pub struct Recorded {
    splitter: Splitter,
    ring: Ring,
    /// Whether an application may come back with an id of ours.
    has_promised: bool,
}

/// What goes to the application, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passed {
    /// An event, as it is kept.
    Event(Arc<[u8]>),
    /// Something that isn't kept.
    Other(Source),
}

impl Recorded {
    /// Nothing has come. Blocks of up to `block_bytes` are waited for. `run` has to be another number each time.
    #[must_use]
    pub const fn new(settings: RingSettings, block_bytes: usize, run: u64) -> Self {
        Self {
            splitter: Splitter::new(block_bytes),
            ring: Ring::new(settings, run),
            has_promised: false,
        }
    }

    /// What of `piece`, from `at` on, goes on next; `at` is moved. `None`: the piece is used up.
    pub fn take(&mut self, piece: &[u8], at: &mut usize) -> Option<Passed> {
        loop {
            return Some(match self.splitter.next(piece, at)? {
                // It means nothing, and would mean something in the middle of another stream.
                Cut::Mark => continue,
                Cut::Fragment { source, .. } => {
                    self.ring.tear();
                    Passed::Other(source)
                }
                Cut::Block(source) => match self.ring.add(source.bytes(piece)) {
                    Some(block) => {
                        self.has_promised |= self.ring.last_id().number > 0;
                        Passed::Event(block)
                    }
                    None => Passed::Other(source),
                },
            });
        }
    }

    /// What came of a block that isn't whole. At the stream's end it is the server's last word.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        self.splitter.rest()
    }

    /// An id for the place before the first event, under which an application may come back.
    pub fn promise_all(&mut self) -> RingId {
        self.has_promised = true;
        RingId { number: 0, ..self.ring.last_id() }
    }

    /// The id of the last event that has one of ours: whoever leaves now can't have a later one.
    #[must_use]
    pub const fn last_id(&self) -> RingId {
        self.ring.last_id()
    }

    /// Whether an application may come back with an id of ours. A server that gives ids itself is asked by them.
    #[must_use]
    pub const fn has_promised(&self) -> bool {
        self.has_promised
    }

    /// The events after the one with this id.
    ///
    /// # Errors
    ///
    /// Why it isn't known which they are.
    pub fn since(&self, id: RingId) -> Result<impl Iterator<Item = &Arc<[u8]>>, Lost> {
        self.ring.since(id)
    }

    /// Bytes of memory for what is kept, more or less.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.ring.memory_bytes()
    }

    /// Gives the oldest event up; false if there is none.
    pub fn give_up_oldest(&mut self) -> bool {
        self.ring.give_up_oldest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn take(recorded: &mut Recorded, piece: &str) -> String {
        let (mut at, mut passed) = (0, Vec::new());
        while let Some(part) = recorded.take(piece.as_bytes(), &mut at) {
            match part {
                Passed::Event(block) => passed.extend_from_slice(&block),
                Passed::Other(source) => passed.extend_from_slice(source.bytes(piece.as_bytes())),
            }
        }
        String::from_utf8(passed).unwrap()
    }

    fn count(recorded: &Recorded, number: u64) -> Result<usize, Lost> {
        recorded.since(RingId { run: 1, number }).map(Iterator::count)
    }

    #[test]
    fn events_get_ids_and_are_kept_and_the_rest_goes_by() {
        let mut recorded = Recorded::new(RingSettings::default(), 1024, 1);
        assert_eq!(take(&mut recorded, "\u{feff}: hello\n\ndata: a"), ": hello\n\n");
        assert!(!recorded.has_promised());
        assert_eq!(take(&mut recorded, "\n\n"), "data: a\nid: ms-0000000000000001-1\n\n");
        assert!(recorded.has_promised());
        assert_eq!((count(&recorded, 0), count(&recorded, 1)), (Ok(1), Ok(0)));
        assert_eq!(take(&mut recorded, "data: b"), "");
        assert_eq!(recorded.rest(), b"data: b");
    }

    #[test]
    fn a_server_with_ids_of_its_own_leaves_nothing_to_be_promised() {
        let mut recorded = Recorded::new(RingSettings::default(), 1024, 1);
        let own = "data: a\nid: 7\n\n";
        assert_eq!(take(&mut recorded, own), own);
        assert!(!recorded.has_promised());
        assert_eq!(recorded.promise_all(), RingId { run: 1, number: 0 });
        assert!(recorded.has_promised());
        assert_eq!(count(&recorded, 0), Ok(1));
    }

    #[test]
    fn an_event_that_is_too_long_to_be_kept_is_no_place_to_come_back_before() {
        let mut recorded = Recorded::new(RingSettings::default(), 1024, 1);
        take(&mut recorded, "data: a\n\n");
        let long = ["data: ", &"x".repeat(2000), "\n\n"].concat();
        assert_eq!(take(&mut recorded, &long), long);
        assert_eq!(count(&recorded, 1), Err(Lost::FallenOut));
        take(&mut recorded, "data: b\n\n");
        assert_eq!(count(&recorded, 2), Ok(0));
    }
}
