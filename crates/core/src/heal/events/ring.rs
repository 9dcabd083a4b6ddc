//! Ids for streams that have none, and the last events under them, for applications that reconnect.
//!
//! The server's stream goes on while an application is away, and nothing else would know what it missed. The ring gives each
//! event that has no id one of its own, `ms-RUN-NUMBER`, and keeps the last blocks. An application that comes back with an id
//! gets what came after it, or is told loudly that this isn't known: an id is of another run, or has fallen out.
//!
//! No driver keeps one yet: somebody has to read the server's stream on while the application is away.
//!
//! It helps against breaks on the application's side only: the server knows nothing of these ids.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::block::Block;
use crate::check::{Check, Problems};

/// How much is kept. The first bound that is reached counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSettings {
    /// Events. 1 to 100,000, default 1,000. Too low: an application that was away for long can't catch up; too high: memory.
    pub events: usize,
    /// Bytes of their blocks. 4 KiB to 256 MiB, default 1 MiB. Too low and too high: the same.
    pub bytes: usize,
}

impl Default for RingSettings {
    fn default() -> Self {
        Self { events: 1000, bytes: 1024 * 1024 }
    }
}

impl Check for RingSettings {
    fn check(&self, problems: &mut Problems) {
        let events = (1..=100_000).contains(&self.events);
        problems.require(events, "events", self.events, "1 to 100000");
        let bytes = (4 * 1024..=256 * 1024 * 1024).contains(&self.bytes);
        problems.require(bytes, "bytes", self.bytes, "4 KiB to 256 MiB");
    }
}

/// The last events of one stream.
#[derive(Debug)]
pub struct Ring {
    settings: RingSettings,
    /// Tells this ring's ids from those of any other one.
    run: u64,
    /// The number of the event that was given an id last.
    number: u64,
    kept: VecDeque<Kept>,
    bytes: usize,
    /// The number of the event that fell out last, if it had one: what is kept is all that came after it.
    fallen_out: Option<u64>,
}

#[derive(Debug)]
struct Kept {
    /// The number in its id; `None`: the id is the server's.
    number: Option<u64>,
    block: Vec<u8>,
}

impl Ring {
    /// An empty one. `run` has to be another number for each ring that there ever is: chance is good enough for 64 bits.
    #[must_use]
    pub const fn new(settings: RingSettings, run: u64) -> Self {
        Self { settings, run, number: 0, kept: VecDeque::new(), bytes: 0, fallen_out: None }
    }

    /// Keeps a whole block, and gives it as the application should get it, if that isn't as it is.
    ///
    /// What dispatches no event isn't kept. An event with an id of the server's is, and goes on without one of ours.
    pub fn add(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let block = Block::read(bytes);
        if !block.has_data {
            return None;
        }
        if block.id.is_some_and(|id| !id.is_empty()) {
            self.keep(None, bytes.to_vec());
            return None;
        }
        self.number += 1;
        let with_id = with_id(bytes, self.id(self.number).as_bytes());
        self.keep(Some(self.number), with_id.clone());
        Some(with_id)
    }

    /// The blocks after the event with this id, oldest first. `None`: which they are isn't known. Ids of the server's aren't:
    /// only the server knows whether they say a place.
    #[must_use]
    pub fn since(&self, last_event_id: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
        let number = self.number_in(last_event_id)?;
        let place = self.kept.iter().position(|kept| kept.number == Some(number));
        let from = match place {
            Some(place) => place + 1,
            None if self.fallen_out == Some(number) => 0,
            None => return None,
        };
        Some(self.kept.iter().skip(from).map(|kept| kept.block.as_slice()))
    }

    /// How many events are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn keep(&mut self, number: Option<u64>, block: Vec<u8>) {
        self.bytes += block.len();
        self.kept.push_back(Kept { number, block });
        while self.kept.len() > self.settings.events || self.bytes > self.settings.bytes {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.block.len();
            self.fallen_out = oldest.number;
        }
    }

    fn id(&self, number: u64) -> String {
        format!("ms-{:016x}-{number}", self.run)
    }

    /// The number in an id of this ring's; `None` for any other.
    fn number_in(&self, id: &[u8]) -> Option<u64> {
        let text = core::str::from_utf8(id).ok()?;
        let number = text.rsplit('-').next()?.parse().ok()?;
        // Written as it would be here, so that no other spelling of it passes.
        (self.id(number) == text).then_some(number)
    }
}

/// The block with a line that sets its last event id, and with line ends as it has them. An `id` of its own that sets none
/// (a NUL in it), or an empty one, is overruled: of two the last counts, so the line stands at the end.
fn with_id(bytes: &[u8], id: &[u8]) -> Vec<u8> {
    // An LF at the beginning belongs to the block before: its line end was torn.
    let bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
    let (end, last_line) = if bytes.ends_with(b"\r\n") {
        (&b"\r\n"[..], bytes.len() - 2)
    } else {
        let last = bytes.len().saturating_sub(1);
        (&bytes[last..], last)
    };
    let mut with_id = Vec::with_capacity(bytes.len() + b"id: ".len() + id.len() + end.len());
    with_id.extend_from_slice(&bytes[..last_line]);
    with_id.extend_from_slice(b"id: ");
    with_id.extend_from_slice(id);
    with_id.extend_from_slice(end);
    with_id.extend_from_slice(&bytes[last_line..]);
    with_id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;

    const SMALL: RingSettings = RingSettings { events: 3, bytes: 4096 };

    fn add(ring: &mut Ring, text: &str) -> Option<String> {
        ring.add(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    /// The data of the events since `id`.
    fn since(ring: &Ring, id: &str) -> Option<String> {
        let blocks = ring.since(id.as_bytes())?;
        let data = blocks.flat_map(|block| Block::read(block).data().collect::<Vec<_>>());
        Some(String::from_utf8(data.collect::<Vec<_>>().concat()).unwrap())
    }

    #[test]
    fn the_defaults_keep_their_own_rules() {
        assert!(Checked::new(RingSettings::default()).is_ok());
        let wrong = RingSettings { events: 100_001, bytes: 4095 };
        assert_eq!(Checked::new(wrong).map(|_| ()).unwrap_err().len(), 2);
    }

    #[test]
    fn an_event_without_an_id_is_given_one_in_the_lines_of_its_own_kind() {
        let mut ring = Ring::new(RingSettings::default(), 0xab);
        let id = |number: u64| format!("id: ms-00000000000000ab-{number}");
        assert_eq!(add(&mut ring, "data: a\n\n"), Some(format!("data: a\n{}\n\n", id(1))));
        let crlf = add(&mut ring, "data: a\r\n\r\n");
        assert_eq!(crlf, Some(format!("data: a\r\n{}\r\n\r\n", id(2))));
        assert_eq!(add(&mut ring, "\ndata: a\r\r"), Some(format!("data: a\r{}\r\r", id(3))));
        let nul = add(&mut ring, "id: \0\ndata: a\n\n");
        assert_eq!(nul, Some(format!("id: \0\ndata: a\n{}\n\n", id(4))));
        let empty = add(&mut ring, "id\ndata: a\n\n").unwrap();
        assert_eq!(Block::read(empty.as_bytes()).id, Some(&id(5).as_bytes()[4..]));
    }

    #[test]
    fn what_has_an_id_keeps_it_and_what_is_no_event_isn_t_kept() {
        let mut ring = Ring::new(SMALL, 1);
        add(&mut ring, "data: a\n\n");
        assert_eq!(add(&mut ring, "data: b\nid: 5\n\n"), None);
        assert_eq!(add(&mut ring, ": c\n\n"), None);
        assert_eq!(add(&mut ring, "id: 6\n\n"), None);
        add(&mut ring, "data: d\n\n");
        assert_eq!(ring.len(), 3);
        assert_eq!(since(&ring, &ring.id(1)).as_deref(), Some("bd"));
        assert_eq!(since(&ring, "5"), None, "only the server knows");
        add(&mut ring, "data: e\n\n");
        assert_eq!(since(&ring, &ring.id(1)).as_deref(), Some("bde"));
        add(&mut ring, "data: f\n\n");
        assert_eq!(
            since(&ring, &ring.id(1)),
            None,
            "one that had no number of ours fell out after it"
        );
        assert_eq!(since(&ring, &ring.id(2)).as_deref(), Some("ef"));
    }

    #[test]
    fn an_application_gets_what_came_after_its_id_or_is_told_that_it_isn_t_known() {
        let mut ring = Ring::new(SMALL, 1);
        for text in ["a", "b", "c", "d", "e"] {
            add(&mut ring, &format!("data: {text}\n\n"));
        }
        assert_eq!(ring.len(), 3);
        assert_eq!(since(&ring, &ring.id(5)).as_deref(), Some(""));
        assert_eq!(since(&ring, &ring.id(3)).as_deref(), Some("de"));
        assert_eq!(
            since(&ring, &ring.id(2)).as_deref(),
            Some("cde"),
            "all after what fell out last"
        );
        assert_eq!(since(&ring, &ring.id(1)), None);
        assert_eq!(since(&ring, &ring.id(6)), None);
        assert_eq!(since(&ring, "ms-0000000000000002-4"), None, "of another run");
        assert_eq!(since(&ring, "ms-0000000000000001-04"), None, "not as it was written");
        assert_eq!(since(&ring, ""), None);
    }

    #[test]
    fn bytes_bound_it_too_and_an_event_that_is_larger_than_all_of_it_leaves_nothing() {
        let mut ring = Ring::new(SMALL, 1);
        add(&mut ring, "data: a\n\n");
        add(&mut ring, &format!("data: {}\n\n", "x".repeat(4096)));
        assert!(ring.is_empty() && ring.bytes == 0);
        assert_eq!(since(&ring, &ring.id(1)), None);
        assert_eq!(since(&ring, &ring.id(2)).as_deref(), Some(""));
    }
}
