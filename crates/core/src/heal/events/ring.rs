//! Ids for streams that have none, and the last events under them, for applications that reconnect.
//!
//! The server's stream goes on while an application is away, and nothing else would know what it missed. The ring gives each
//! event that has no id one of its own, `ms-RUN-NUMBER`, and keeps the last blocks. An application that comes back with an id
//! gets what came after it, or is told loudly that this isn't known ([`Lost`]): an id is of another run, or has fallen out.
//!
//! It helps against breaks on the application's side only: the server knows nothing of these ids.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::block::Block;
use crate::check::{Check, Problems};

/// How much is kept, and for how long. The first bound that is reached counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSettings {
    /// How long the server's stream is read on while the application is away. 1 s to 1 h, default 1 min. Too low: an application
    /// that takes its time to reconnect can't catch up; too high: streams that nobody wants any more.
    pub keep: Duration,
    /// Events. 1 to 100,000, default 1,000. Too low: an application that was away for long can't catch up; too high: memory.
    pub events: usize,
    /// Bytes of their blocks. 4 KiB to 256 MiB, default 1 MiB. Too low and too high: the same.
    pub bytes: usize,
}

impl Default for RingSettings {
    fn default() -> Self {
        Self { keep: Duration::from_secs(60), events: 1000, bytes: 1024 * 1024 }
    }
}

impl Check for RingSettings {
    fn check(&self, problems: &mut Problems) {
        let keep = Duration::from_secs(1)..=Duration::from_secs(3600);
        problems.require(keep.contains(&self.keep), "keep", self.keep, "1s to 1h");
        let events = (1..=100_000).contains(&self.events);
        problems.require(events, "events", self.events, "1 to 100000");
        let bytes = (4 * 1024..=256 * 1024 * 1024).contains(&self.bytes);
        problems.require(bytes, "bytes", self.bytes, "4 KiB to 256 MiB");
    }
}

/// An id of ours, `ms-RUN-NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RingId {
    /// Tells one ring's ids from those of any other one.
    pub run: u64,
    /// Counts the events of a run from 1; 0 is the place before the first.
    pub number: u64,
}

impl RingId {
    /// Reads an id, written as it would be here and in no other way; `None` for any other id.
    #[must_use]
    pub fn parse(id: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(id).ok()?;
        let (run, number) = text.strip_prefix("ms-")?.split_once('-')?;
        let id = Self { run: u64::from_str_radix(run, 16).ok()?, number: number.parse().ok()? };
        (format!("{id}") == text).then_some(id)
    }
}

impl fmt::Display for RingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ms-{:016x}-{}", self.run, self.number)
    }
}

/// Why it isn't known what came after an id of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    /// Nothing is kept of its run: it is over, or of another process, or another's.
    Unknown,
    /// More came since than is kept.
    FallenOut,
}

impl Lost {
    /// A stable name for the event that tells it, and for metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unknown => "event-id-unknown",
            Self::FallenOut => "event-id-fallen-out",
        }
    }
}

/// The last events of one stream.
#[derive(Debug)]
pub struct Ring {
    settings: RingSettings,
    run: u64,
    /// The number of the event that was given an id last.
    number: u64,
    kept: VecDeque<Kept>,
    bytes: usize,
    /// The number of the event that fell out last, if it had one: what is kept is all that came after it. None fell out: 0.
    fallen_out: Option<u64>,
}

#[derive(Debug)]
struct Kept {
    /// The number in its id; `None`: the id is the server's.
    number: Option<u64>,
    block: Arc<[u8]>,
}

impl Ring {
    /// An empty one. `run` has to be another number for each ring that there ever is: chance is good enough for 64 bits.
    #[must_use]
    pub const fn new(settings: RingSettings, run: u64) -> Self {
        let kept = VecDeque::new();
        Self { settings, run, number: 0, kept, bytes: 0, fallen_out: Some(0) }
    }

    /// Keeps a whole block, and gives it as the application gets it; `None` if it isn't kept, and goes as it is.
    ///
    /// What dispatches no event isn't kept. An event with an id of the server's is, without one of ours.
    pub fn add(&mut self, bytes: &[u8]) -> Option<Arc<[u8]>> {
        let block = Block::read(bytes);
        if !block.has_data {
            return None;
        }
        if block.id.is_some_and(|id| !id.is_empty()) {
            return Some(self.keep(None, bytes.into()));
        }
        self.number += 1;
        let id = format!("{}", self.last_id());
        Some(self.keep(Some(self.number), with_id(bytes, id.as_bytes()).into()))
    }

    /// Something went by that can't be kept: nobody can be told any more what came after an earlier id.
    pub fn tear(&mut self) {
        self.kept.clear();
        self.bytes = 0;
        self.fallen_out = None;
    }

    /// Gives the oldest event up, to make room for others; false if there is none.
    pub fn give_up_oldest(&mut self) -> bool {
        let Some(oldest) = self.kept.pop_front() else { return false };
        self.bytes -= oldest.block.len();
        self.fallen_out = oldest.number;
        true
    }

    /// The blocks after the event with this id, oldest first. Ids of the server's say nothing here: only the server knows whether
    /// they say a place.
    ///
    /// # Errors
    ///
    /// Why it isn't known which they are.
    pub fn since(&self, id: RingId) -> Result<impl Iterator<Item = &Arc<[u8]>>, Lost> {
        if id.run != self.run || id.number > self.number {
            return Err(Lost::Unknown);
        }
        let place = self.kept.iter().position(|kept| kept.number == Some(id.number));
        let from = match place {
            Some(place) => place + 1,
            None if self.fallen_out == Some(id.number) => 0,
            None => return Err(Lost::FallenOut),
        };
        Ok(self.kept.iter().skip(from).map(|kept| &kept.block))
    }

    /// The id of the event that was given one last; that of the place before the first, if none was.
    #[must_use]
    pub const fn last_id(&self) -> RingId {
        RingId { run: self.run, number: self.number }
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

    /// Bytes of memory, more or less: the blocks, and what surrounds each.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.bytes + self.kept.len() * AROUND_BYTES
    }

    fn keep(&mut self, number: Option<u64>, block: Arc<[u8]>) -> Arc<[u8]> {
        self.bytes += block.len();
        self.kept.push_back(Kept { number, block: Arc::clone(&block) });
        while self.kept.len() > self.settings.events || self.bytes > self.settings.bytes {
            if !self.give_up_oldest() {
                break;
            }
        }
        block
    }
}

/// What a kept block takes beside its bytes: its place in the queue, and what an allocation and its two counts take.
const AROUND_BYTES: usize = 64;

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
    use alloc::string::{String, ToString};

    const KEEP: Duration = Duration::from_secs(60);
    const SMALL: RingSettings = RingSettings { keep: KEEP, events: 3, bytes: 4096 };

    fn add(ring: &mut Ring, text: &str) -> Option<String> {
        ring.add(text.as_bytes()).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// The data of the events since the one with this number.
    fn since(ring: &Ring, number: u64) -> Result<String, Lost> {
        since_id(ring, RingId { run: ring.run, number })
    }

    fn since_id(ring: &Ring, id: RingId) -> Result<String, Lost> {
        let blocks = ring.since(id)?;
        let data = blocks.flat_map(|block| Block::read(block).data().collect::<Vec<_>>());
        Ok(String::from_utf8(data.collect::<Vec<_>>().concat()).unwrap())
    }

    fn found(text: &str) -> Result<String, Lost> {
        Ok(text.into())
    }

    #[test]
    fn the_defaults_keep_their_own_rules() {
        assert!(Checked::new(RingSettings::default()).is_ok());
        let wrong = RingSettings { keep: Duration::ZERO, events: 100_001, bytes: 4095 };
        assert_eq!(Checked::new(wrong).map(|_| ()).unwrap_err().len(), 3);
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
    fn an_id_is_read_as_it_is_written_and_in_no_other_way() {
        let id = RingId { run: 0xab, number: 12 };
        assert_eq!(RingId::parse(id.to_string().as_bytes()), Some(id));
        for other in [
            "",
            "5",
            "ms-",
            "ms-1-2",
            "ms-00000000000000ab-012",
            "ms-00000000000000AB-12",
            "ms-00000000000000ab-12 ",
            "ms-00000000000000ab--1",
            "ms-00000000000000ab-+1",
            "Ms-00000000000000ab-12",
            "ms-+0000000000000ab-1",
        ] {
            assert_eq!(RingId::parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn what_has_an_id_keeps_it_and_what_is_no_event_isn_t_kept() {
        let mut ring = Ring::new(SMALL, 1);
        add(&mut ring, "data: a\n\n");
        let own = "data: b\nid: 5\n\n";
        assert_eq!(add(&mut ring, own).as_deref(), Some(own));
        assert_eq!(add(&mut ring, ": c\n\n"), None);
        assert_eq!(add(&mut ring, "id: 6\n\n"), None);
        add(&mut ring, "data: d\n\n");
        assert_eq!(ring.len(), 3);
        assert_eq!(since(&ring, 1), found("bd"));
        add(&mut ring, "data: e\n\n");
        assert_eq!(since(&ring, 1), found("bde"));
        add(&mut ring, "data: f\n\n");
        let lost = Err(Lost::FallenOut);
        assert_eq!(since(&ring, 1), lost, "one that had no number of ours fell out after it");
        assert_eq!(since(&ring, 2), found("ef"));
    }

    #[test]
    fn an_application_gets_what_came_after_its_id_or_is_told_that_it_isn_t_known() {
        let mut ring = Ring::new(SMALL, 1);
        assert_eq!(since(&ring, 0), found(""));
        for (place, text) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
            add(&mut ring, &format!("data: {text}\n\n"));
            let is_all = place < 3;
            assert_eq!(since(&ring, 0).is_ok(), is_all, "all there ever was, while it is");
        }
        assert_eq!(ring.len(), 3);
        assert_eq!(since(&ring, 5), found(""));
        assert_eq!(since(&ring, 3), found("de"));
        assert_eq!(since(&ring, 2), found("cde"), "all after what fell out last");
        assert_eq!(since(&ring, 1), Err(Lost::FallenOut));
        assert_eq!(since(&ring, 6), Err(Lost::Unknown));
        assert_eq!(since_id(&ring, RingId { run: 2, number: 4 }), Err(Lost::Unknown));
    }

    #[test]
    fn bytes_bound_it_too_and_an_event_that_is_larger_than_all_of_it_leaves_nothing() {
        let mut ring = Ring::new(SMALL, 1);
        add(&mut ring, "data: a\n\n");
        add(&mut ring, &format!("data: {}\n\n", "x".repeat(4096)));
        assert!(ring.is_empty() && ring.bytes == 0 && ring.memory_bytes() == 0);
        assert_eq!(since(&ring, 1), Err(Lost::FallenOut));
        assert_eq!(since(&ring, 2), found(""));
    }

    #[test]
    fn what_can_t_be_kept_makes_every_earlier_place_unknown() {
        let mut ring = Ring::new(SMALL, 1);
        add(&mut ring, "data: a\n\n");
        ring.tear();
        assert_eq!(since(&ring, 1), Err(Lost::FallenOut));
        add(&mut ring, "data: b\n\n");
        add(&mut ring, "data: c\n\n");
        assert_eq!((since(&ring, 1), since(&ring, 2)), (Err(Lost::FallenOut), found("c")));
        assert!(ring.give_up_oldest() && ring.give_up_oldest() && !ring.give_up_oldest());
        assert_eq!(since(&ring, 2), Err(Lost::FallenOut));
        assert_eq!(since(&ring, 3), found(""));
    }
}
