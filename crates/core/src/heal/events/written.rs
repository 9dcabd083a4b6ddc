//! What we write into a stream ourselves, between two blocks: a sign of life, and the word that it broke.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::ring::{Lost, RingId};
use super::unhealable::Unhealable;
use crate::breaks::BreakKind;

/// A comment: applications hear that the stream lives, and see no event.
pub const HEARTBEAT: &[u8] = b": mainstay healing\n\n";

/// What the error event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakNotice<'a> {
    /// What broke.
    pub kind: BreakKind,
    /// Why it can't be continued, if that is a matter of the stream and not of means.
    pub reason: Option<Unhealable>,
    /// The id after which the application stands.
    pub last_event_id: Option<&'a [u8]>,
    /// Events that were delivered.
    pub delivered: u64,
}

impl BreakNotice<'_> {
    /// The event, of the type `name`. Its data are an object with an `error` in it, as the APIs of language models have it: their
    /// own client libraries take it for the error that it is.
    #[must_use]
    pub fn event(&self, name: &str) -> Vec<u8> {
        let mut text = String::new();
        text.push_str("event: ");
        text.push_str(name);
        text.push_str(
            "\ndata: {\"type\":\"error\",\"error\":{\"type\":\"stream_broken\",\"code\":\"",
        );
        text.push_str(self.kind.code());
        text.push_str("\",\"message\":\"the stream broke and can't be continued: ");
        text.push_str(self.kind.code());
        text.push_str("\"},\"code\":\"");
        text.push_str(self.kind.code());
        text.push('"');
        if let Some(reason) = self.reason {
            text.push_str(",\"reason\":\"");
            text.push_str(reason.code());
            text.push('"');
        }
        if let Some(id) = self.last_event_id {
            text.push_str(",\"last_event_id\":");
            push_json(&mut text, &String::from_utf8_lossy(id));
        }
        // Writing into a `String` can't fail.
        let _ = write!(text, ",\"delivered\":{}}}\n\n", self.delivered);
        text.into_bytes()
    }
}

/// What the event tells that goes before a stream which may not join on to what the application has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapNotice<'a> {
    /// Why it isn't known what is missing.
    pub why: Lost,
    /// The id with which the application came back.
    pub last_event_id: &'a [u8],
    /// The id for the place before the stream's first event, if it is kept. It takes the application off the old one.
    pub id: Option<RingId>,
}

impl GapNotice<'_> {
    /// The event, of the type `name`. Its data are like those of [`BreakNotice`].
    #[must_use]
    pub fn event(&self, name: &str) -> Vec<u8> {
        let (code, mut text) = (self.why.code(), String::new());
        // Writing into a `String` can't fail.
        let _ = writeln!(text, "event: {name}");
        if let Some(id) = self.id {
            let _ = writeln!(text, "id: {id}");
        }
        let _ = write!(
            text,
            "data: {{\"type\":\"error\",\"error\":{{\"type\":\"stream_gap\",\"code\":\"{code}\",\"message\":\
             \"events may be missing before the next one: {code}\"}},\"code\":\"{code}\",\"last_event_id\":"
        );
        push_json(&mut text, &String::from_utf8_lossy(self.last_event_id));
        text.push_str("}\n\n");
        text.into_bytes()
    }
}

/// A JSON string (RFC 8259, section 7), on one line.
fn push_json(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' | '\\' => {
                text.push('\\');
                text.push(character);
            }
            '\0'..='\x1f' => {
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            _ => text.push(character),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::events::block::Block;
    use alloc::format;

    #[test]
    fn the_event_tells_what_broke_why_it_stays_so_and_where_the_application_stands() {
        let notice = BreakNotice {
            kind: BreakKind::BodyReset,
            reason: Some(Unhealable::IdsRepeat),
            last_event_id: Some(b"41"),
            delivered: 7,
        };
        let text = String::from_utf8(notice.event("error")).unwrap();
        let error = "{\"type\":\"error\",\"error\":{\"type\":\"stream_broken\",\"code\":\"body-reset\",\
                     \"message\":\"the stream broke and can't be continued: body-reset\"},\"code\":\"body-reset\"";
        let more = "\"reason\":\"event-ids-repeat\",\"last_event_id\":\"41\",\"delivered\":7}";
        assert_eq!(text, format!("event: error\ndata: {error},{more}\n\n"));
        let bare = BreakNotice { reason: None, last_event_id: None, ..notice };
        let text = String::from_utf8(bare.event("broken")).unwrap();
        assert_eq!(text, format!("event: broken\ndata: {error},\"delivered\":7}}\n\n"));
    }

    #[test]
    fn whatever_an_id_is_the_event_stays_one_block_and_sets_no_id() {
        let id = b"a\"b\\c\x01\x7f\xff\n\r\nid: x\n\n\xc3\xa4";
        let notice = BreakNotice {
            kind: BreakKind::BodyStalled,
            reason: None,
            last_event_id: Some(id),
            delivered: 0,
        };
        let event = notice.event("error");
        let block = Block::read(&event);
        assert_eq!((block.event, block.id), (&b"error"[..], None));
        let line: Vec<_> = block.data().collect();
        let wanted = "\"code\":\"body-stalled\",\"last_event_id\":\"a\\\"b\\\\c\\u0001\u{7f}\u{fffd}\
                      \\u000a\\u000d\\u000aid: x\\u000a\\u000aä\",\"delivered\":0}";
        let [line] = line.as_slice() else { panic!("{line:?}") };
        assert!(line.ends_with(wanted.as_bytes()), "{}", String::from_utf8_lossy(line));
    }

    #[test]
    fn a_gap_is_told_by_an_event_that_takes_the_application_off_its_old_id() {
        let id = Some(RingId { run: 1, number: 0 });
        let notice = GapNotice { why: Lost::FallenOut, last_event_id: b"ms-x\n", id };
        let event = notice.event("error");
        let block = Block::read(&event);
        assert_eq!((block.event, block.id), (&b"error"[..], Some(&b"ms-0000000000000001-0"[..])));
        let wanted = "{\"type\":\"error\",\"error\":{\"type\":\"stream_gap\",\"code\":\"event-id-fallen-out\",\"message\":\
                      \"events may be missing before the next one: event-id-fallen-out\"},\"code\":\"event-id-fallen-out\",\
                      \"last_event_id\":\"ms-x\\u000a\"}";
        assert_eq!(block.data_line().map(String::from_utf8_lossy).as_deref(), Some(wanted));
        let bare = GapNotice { id: None, ..notice }.event("error");
        assert_eq!(Block::read(&bare).id, None);
    }

    #[test]
    fn the_sign_of_life_is_no_event() {
        let block = Block::read(HEARTBEAT);
        assert!(!block.has_data && block.id.is_none() && block.retry.is_none());
    }
}
