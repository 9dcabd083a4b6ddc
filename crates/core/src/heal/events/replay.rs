//! What a new connection sends is compared with what was delivered, until it is known where the new begins.
//!
//! Where the server begins isn't told, so each place is a *guess* at first: at any block that is remembered, or right behind the
//! block that set the last id. A block that comes keeps the guesses that expected it and ends the others. A guess that has seen
//! all blocks again expects *news*. Ids are unique (a stream where they aren't isn't continued), so an id decides everything;
//! a block without one may leave both open, a repetition and news, and is kept until a later one decides.

use alloc::vec::Vec;

use super::block::Block;
use super::history::{Entry, History};
use super::unhealable::Unhealable;

/// A connection whose place in the stream isn't known yet.
#[derive(Debug)]
pub(super) struct Replay {
    /// For each guess that expects a repetition, the place of the block that comes next if it is right.
    guesses: Vec<usize>,
    /// Whether the guess lives that the server has gone on after the last id, and all that it had to send again has come.
    expects_news: bool,
    /// Whether any block came.
    has_begun: bool,
    /// Whether the place is known: an id was recognised, or there was nothing that news could be taken for.
    is_sure: bool,
    /// Blocks that are news, or a repetition, one after another.
    undecided: Vec<Vec<u8>>,
    undecided_bytes: usize,
    /// How many bytes may be undecided.
    most_bytes: usize,
}

/// What a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Delivered before.
    Repeat,
    /// Not to be told yet. It is kept.
    Undecided,
    /// News; the blocks that were kept are too, and come before it.
    News(Vec<Vec<u8>>),
    /// News, and with it the place is known for good.
    Settled(Vec<Vec<u8>>),
}

impl Replay {
    /// A connection begins.
    pub(super) fn new(history: &History, most_bytes: usize) -> Self {
        let mut replay = Self {
            guesses: (0..=history.place_after_id()).collect(),
            expects_news: false,
            has_begun: false,
            is_sure: false,
            undecided: Vec::new(),
            undecided_bytes: 0,
            most_bytes,
        };
        replay.promote(history.len());
        replay
    }

    /// Whether nothing is open: all that had to be repeated was, and what has come since is delivered.
    pub(super) fn owes_nothing(&self) -> bool {
        self.expects_news && self.undecided.is_empty()
    }

    /// A block came that dispatches an event.
    pub(super) fn judge(
        &mut self,
        block: &Block<'_>,
        history: &History,
    ) -> Result<Verdict, Unhealable> {
        let entry = Entry::of(block);
        let has_begun = core::mem::replace(&mut self.has_begun, true);
        self.guesses.retain(|place| history.is_at(*place, &entry));
        if self.guesses.is_empty() {
            return self.judge_unmatched(block, &entry, history, has_begun);
        }
        self.guesses.iter_mut().for_each(|place| *place += 1);
        if !self.expects_news || entry.has_id() {
            // An id that was delivered is no news, and neither is what was kept before it.
            self.is_sure |= entry.has_id();
            self.expects_news = false;
            self.undecided.clear();
            self.undecided_bytes = 0;
            self.promote(history.len());
            return Ok(Verdict::Repeat);
        }
        if self.guesses.contains(&history.len()) {
            // Two guesses expect news now, and differ in whether this block was some. An event with an id can't tell them apart any
            // more. It takes a last id that was set by a block without an event.
            return Err(Unhealable::Ambiguous);
        }
        self.keep(block)
    }

    /// No guess expected it as a repetition.
    fn judge_unmatched(
        &mut self,
        block: &Block<'_>,
        entry: &Entry,
        history: &History,
        has_begun: bool,
    ) -> Result<Verdict, Unhealable> {
        let may_be_forgotten = history.has_forgotten() && !self.is_sure;
        if entry.has_id() && history.holds(entry) {
            // What was taken for a repetition until now may have been one of what is forgotten.
            let differs = Unhealable::RepeatDiffers;
            return Err(if may_be_forgotten { Unhealable::TooManyEvents } else { differs });
        }
        if history.knows_id(block, entry) {
            return Err(Unhealable::IdReused);
        }
        if !self.expects_news {
            let is_beyond = block.id.is_some_and(|id| history.is_beyond_all(id));
            return Err(match (may_be_forgotten && !is_beyond, has_begun) {
                (true, _) => Unhealable::TooManyEvents,
                (false, true) => Unhealable::RepeatDiffers,
                (false, false) => Unhealable::TailNotRepeated,
            });
        }
        match block.id.filter(|_| entry.has_id()) {
            Some(id) if may_be_forgotten && !history.is_beyond_all(id) => {
                Err(Unhealable::TooManyEvents)
            }
            Some(_) => Ok(Verdict::Settled(self.release())),
            None if may_be_forgotten => self.keep(block),
            None => {
                self.is_sure = true;
                Ok(Verdict::News(self.release()))
            }
        }
    }

    /// A guess that has nothing left to expect again expects news.
    fn promote(&mut self, end: usize) {
        let before = self.guesses.len();
        self.guesses.retain(|place| *place < end);
        self.expects_news |= self.guesses.len() < before;
    }

    fn keep(&mut self, block: &Block<'_>) -> Result<Verdict, Unhealable> {
        self.undecided_bytes += block.bytes.len();
        if self.undecided_bytes > self.most_bytes {
            return Err(Unhealable::Ambiguous);
        }
        self.undecided.push(block.bytes.to_vec());
        Ok(Verdict::Undecided)
    }

    fn release(&mut self) -> Vec<Vec<u8>> {
        self.undecided_bytes = 0;
        core::mem::take(&mut self.undecided)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    /// What becomes of the blocks `again` after those of `before`: what is given, as text, or the reason why not.
    fn replay(most: usize, before: &[&str], again: &[&str]) -> Result<String, Unhealable> {
        let mut history = History::new(most, None);
        before.iter().for_each(|text| history.push(&Block::read(text.as_bytes())));
        let mut replay = Replay::new(&history, 100);
        let mut given = String::new();
        for text in again {
            let block = Block::read(text.as_bytes());
            match replay.judge(&block, &history)? {
                Verdict::Repeat => given.push('-'),
                Verdict::Undecided => given.push('?'),
                Verdict::News(kept) | Verdict::Settled(kept) => {
                    kept.iter().for_each(|kept| given.push(char::from(kept[6])));
                    given.push(char::from(block.bytes[6]));
                    // Those are part of what a later block is compared with, as in the stream.
                    kept.iter().for_each(|kept| history.push(&Block::read(kept)));
                    history.push(&block);
                }
            }
        }
        Ok(given)
    }

    const A: &str = "data: a\nid: 1\n\n";
    const B: &str = "data: b\nid: 2\n\n";
    const C: &str = "data: c\nid: 3\n\n";
    const X: &str = "data: x\n\n";
    const Y: &str = "data: y\n\n";

    fn given(text: &str) -> Result<String, Unhealable> {
        Ok(String::from(text))
    }

    #[test]
    fn a_server_that_heeds_the_last_id_sends_news() {
        assert_eq!(replay(9, &[A], &[B, C]), given("bc"));
        assert_eq!(replay(9, &[], &[A, B]), given("ab"));
        assert_eq!(replay(9, &[A], &[X, B]), given("xb"));
    }

    #[test]
    fn a_server_that_begins_anywhere_before_repeats_up_to_the_last() {
        assert_eq!(replay(9, &[A, B], &[A, B, C]), given("--c"));
        assert_eq!(replay(9, &[A, B], &[B, C]), given("-c"));
        assert_eq!(replay(9, &[X, A, Y, B], &[X, A, Y, B, X, C]), given("?---xc"));
    }

    #[test]
    fn what_came_after_the_last_id_is_recognised() {
        assert_eq!(replay(9, &[A, X, Y], &[X, Y, X, B]), given("--xb"));
        assert_eq!(replay(9, &[A, X, Y], &[A, X, Y, B]), given("---b"));
        assert_eq!(replay(9, &[A, X, Y], &[X, B]), Err(Unhealable::RepeatDiffers));
        assert_eq!(replay(9, &[A, X], &[B]), Err(Unhealable::TailNotRepeated));
        assert_eq!(replay(9, &[A, X], &[Y]), Err(Unhealable::TailNotRepeated));
    }

    #[test]
    fn what_may_be_either_waits_for_an_id() {
        // A greeting that comes with each connection, or the beginning once more.
        assert_eq!(replay(9, &[X, A, B], &[X, C]), given("?xc"));
        assert_eq!(replay(9, &[X, A, B], &[X, A, B, C]), given("?--c"));
        assert_eq!(replay(9, &[X, A, B], &[X, Y]), given("?xy"));
        assert_eq!(replay(9, &[X, A, X], &[X, A, X, B]), given("---b"));
        assert_eq!(replay(9, &[X, A, X], &[X, Y]), given("-y"));
        let many = [X; 13];
        let before: Vec<&str> = many.into_iter().chain([A]).collect();
        assert_eq!(replay(99, &before, &many), Err(Unhealable::Ambiguous));
    }

    #[test]
    fn two_ways_to_have_seen_all_of_it_can_t_be_told_apart() {
        let place = "id: 7\n\n";
        assert_eq!(replay(9, &[X, place], &[A]), given("a"));
        assert_eq!(replay(9, &[X, place], &[Y, A]), given("ya"));
        assert_eq!(replay(9, &[X, place], &[X, A]), Err(Unhealable::Ambiguous));
        assert_eq!(replay(9, &[X, place, X], &[X, A]), given("-a"));
        assert_eq!(replay(9, &[X, place, X], &[X, X, A]), Err(Unhealable::Ambiguous));
    }

    #[test]
    fn an_id_with_another_event_is_another_stream() {
        let other = "data: o\nid: 1\n\n";
        assert_eq!(replay(9, &[A, B], &[other]), Err(Unhealable::IdReused));
        assert_eq!(replay(9, &[A, B], &[A, "data: o\nid: 2\n\n"]), Err(Unhealable::IdReused));
        assert_eq!(replay(9, &[A, B], &[X, other]), Err(Unhealable::IdReused));
    }

    #[test]
    fn a_repetition_that_leaves_something_out_is_none() {
        assert_eq!(replay(9, &[A, X, B], &[A, B]), Err(Unhealable::RepeatDiffers));
        assert_eq!(replay(9, &[A, B], &[A, C]), Err(Unhealable::RepeatDiffers));
    }

    #[test]
    fn what_is_forgotten_is_told_from_news_by_ids_that_rise() {
        assert_eq!(replay(2, &[A, B, C], &["data: d\nid: 4\n\n"]), given("d"));
        assert_eq!(replay(2, &[A, B, C], &[X, "data: d\nid: 4\n\n"]), given("?xd"));
        assert_eq!(replay(2, &[A, B, C], &[A]), Err(Unhealable::TooManyEvents));
        assert_eq!(replay(2, &[A, B, C], &[X, A]), Err(Unhealable::TooManyEvents));
        assert_eq!(replay(2, &[A, B, X], &[A]), Err(Unhealable::TooManyEvents));
        assert_eq!(replay(2, &[A, B, X], &[C]), Err(Unhealable::TailNotRepeated));
        assert_eq!(replay(2, &[A, B, C], &[C, X, "data: d\nid: 4\n\n"]), given("-xd"));
    }
}
