//! `/events`: server-sent events, from the one after `Last-Event-ID` on (WHATWG HTML, 9.2).
//!
//! | parameter | meaning |
//! |---|---|
//! | `count=N` | so many events from here on |
//! | `last=N` | event N is the last: the same for all who go on |
//! | `every=TIME` | the pause between two |
//! | `size=BYTES` | the data of an event is padded to that length |
//! | `lines` | its data has several lines |
//! | `comments` | a comment before each event |
//! | `retry=MS` | a `retry` field at the beginning |
//! | `ids=none` | without ids, so that a stream begins anew each time |
//! | `ids=opaque` | with ids that only the server understands |
//! | `ignore-last-id` | the server begins anew whatever it is told |

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::source::{Script, Stream};
use super::{Reply, Request, Source};
use crate::fault::parse_duration;
use crate::site::Site;

/// What the events of a stream look like.
#[derive(Debug)]
pub(crate) struct Ticks {
    server: String,
    ids: Ids,
    size_bytes: usize,
    is_multiline: bool,
    has_comments: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    Numbers,
    Opaque,
    None,
}

pub(super) fn answer(site: &Site, request: &Request) -> Reply {
    let number = |name| request.query(name).and_then(|n| n.parse::<u64>().ok());
    let ids = match request.query("ids") {
        None => Ids::Numbers,
        Some("opaque") => Ids::Opaque,
        Some("none") => Ids::None,
        Some(_) => return Reply::error(StatusCode::BAD_REQUEST, "ids is none or opaque"),
    };
    let seen = match request.query("ignore-last-id") {
        None => request.text("last-event-id").and_then(|id| ids.read(id.trim())).unwrap_or(0),
        Some(_) => 0,
    };
    let count = number("count").unwrap_or(EVENTS_LIMIT).min(EVENTS_LIMIT);
    let last = seen.saturating_add(count).min(number("last").unwrap_or(u64::MAX));
    let ticks = Ticks {
        server: site.name.clone(),
        ids,
        size_bytes: usize::try_from(number("size").unwrap_or(0).min(SIZE_LIMIT_BYTES)).unwrap_or(0),
        is_multiline: request.query("lines").is_some(),
        has_comments: request.query("comments").is_some(),
    };
    let every = request.query("every").and_then(parse_duration).unwrap_or(EVENTS_EVERY);
    let prelude = number("retry").map_or_else(Bytes::new, |ms| format!("retry: {ms}\n\n").into());
    stream(Script::Ticks(ticks), seen.saturating_add(1), last, every, prelude)
}

/// An answer of the blocks `next..=last`, with something before them.
pub(super) fn stream(
    script: Script,
    next: u64,
    last: u64,
    every: Duration,
    prelude: Bytes,
) -> Reply {
    let mut reply = Reply::new(StatusCode::OK, "text/event-stream", Bytes::new());
    reply.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply.source = Source::Stream(Stream { script, next, last, every, rest: prelude, sent: 0 });
    reply
}

impl Ticks {
    pub(super) fn block(&self, number: u64) -> String {
        let mut block = String::new();
        if self.has_comments {
            block.push_str(": still here\n");
        }
        if let Some(id) = self.ids.write(number) {
            // Writing into a string can't fail.
            let _ = writeln!(block, "id: {id}");
        }
        block.push_str("event: tick\n");
        for line in self.data(number).lines() {
            let _ = writeln!(block, "data: {line}");
        }
        block.push('\n');
        block
    }

    /// JSON, however many lines it has.
    fn data(&self, number: u64) -> String {
        let comma = if self.is_multiline { ",\n" } else { "," };
        let data = format!("{{\"server\":\"{}\"{comma}\"n\":{number}}}", self.server);
        let frame = comma.len() + "\"pad\":\"\"".len();
        if self.size_bytes < data.len() + frame {
            return data;
        }
        let pad = "x".repeat(self.size_bytes - data.len() - frame);
        format!("{}{comma}\"pad\":\"{pad}\"}}", data.trim_end_matches('}'))
    }
}

impl Ids {
    fn write(self, number: u64) -> Option<String> {
        match self {
            Self::Numbers => Some(number.to_string()),
            Self::Opaque => Some(format!("e-{:016x}", number.wrapping_mul(SCRAMBLE))),
            Self::None => None,
        }
    }

    /// The number of an id that it has written.
    fn read(self, id: &str) -> Option<u64> {
        match self {
            Self::Numbers => id.parse().ok(),
            Self::Opaque => {
                let scrambled = u64::from_str_radix(id.strip_prefix("e-")?, 16).ok()?;
                Some(scrambled.wrapping_mul(UNSCRAMBLE))
            }
            Self::None => None,
        }
    }
}

/// A stream that ends after a day at ten a second, so "for ever" has an end.
const EVENTS_LIMIT: u64 = 864_000;

const EVENTS_EVERY: Duration = Duration::from_millis(100);

/// An event is made whole in memory.
const SIZE_LIMIT_BYTES: u64 = 1 << 20;

/// Odd, so that it has an inverse modulo 2^64, which follows.
const SCRAMBLE: u64 = 0x9e37_79b9_7f4a_7c15;
const UNSCRAMBLE: u64 = 0xf1de_83e1_9937_733d;

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks() -> Ticks {
        Ticks {
            server: "a".into(),
            ids: Ids::Numbers,
            size_bytes: 0,
            is_multiline: false,
            has_comments: false,
        }
    }

    #[test]
    fn an_opaque_id_is_read_as_it_was_written() {
        assert_eq!(SCRAMBLE.wrapping_mul(UNSCRAMBLE), 1);
        for number in [0, 1, 2, 77, u64::MAX] {
            let id = Ids::Opaque.write(number).unwrap();
            assert_eq!(Ids::Opaque.read(&id), Some(number));
            assert_eq!(Ids::Numbers.read(&id), None);
        }
    }

    #[test]
    fn data_has_the_size_that_was_asked_for() {
        for is_multiline in [false, true] {
            let ticks = Ticks { size_bytes: 500, is_multiline, ..ticks() };
            let data = ticks.data(7);
            assert_eq!(data.len(), 500);
            let json: serde_json::Value = serde_json::from_str(&data).unwrap();
            assert_eq!(json["n"], 7);
        }
        assert_eq!(Ticks { size_bytes: 3, ..ticks() }.data(7), "{\"server\":\"a\",\"n\":7}");
    }

    #[test]
    fn a_block_has_its_lines_in_order() {
        let ticks = Ticks { is_multiline: true, has_comments: true, ..ticks() };
        assert_eq!(
            ticks.block(5),
            ": still here\nid: 5\nevent: tick\ndata: {\"server\":\"a\",\ndata: \"n\":5}\n\n"
        );
    }
}
