//! What a block says: the fields of the lines between two empty ones.

use core::time::Duration;

use super::digest::Digest;

/// A whole block, read by the rules of the WHATWG HTML standard, section 9.2.6. Of a field that comes twice the last counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its bytes as they came, the empty line at the end included.
    pub bytes: &'a [u8],
    /// The last event id that it sets, which may be empty. An id with a NUL in it sets none.
    pub id: Option<&'a [u8]>,
    /// The type of the event; empty is as good as unsaid.
    pub event: &'a [u8],
    /// How long to wait before reconnecting.
    pub retry: Option<Duration>,
    /// Whether it dispatches an event: it has data, be it empty.
    pub has_data: bool,
}

impl<'a> Block<'a> {
    /// Reads a block.
    #[must_use]
    pub fn read(bytes: &'a [u8]) -> Self {
        let mut block = Self { bytes, ..Self::default() };
        for (name, value) in fields(bytes) {
            match name {
                b"data" => block.has_data = true,
                b"event" => block.event = value,
                b"id" if !value.contains(&0) => block.id = Some(value),
                b"retry" => block.retry = milliseconds(value).or(block.retry),
                _ => {}
            }
        }
        block
    }

    /// The lines of its data.
    pub fn data(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        fields(self.bytes).filter(|(name, _)| *name == b"data").map(|(_, value)| value)
    }

    /// Its data without the blanks around it, if it is one line.
    #[must_use]
    pub fn data_line(&self) -> Option<&'a [u8]> {
        let mut lines = self.data();
        let first = lines.next()?;
        lines.next().is_none().then(|| first.trim_ascii())
    }

    /// What it means to the application: comments, blanks, `retry` and line ends left aside.
    pub(super) fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        digest.add(self.event);
        match self.id {
            Some(id) => digest.add(id),
            None => digest.gap(),
        }
        self.data().for_each(|line| digest.add(line));
        digest
    }
}

/// Names and values of a block's fields, in order; comments are none.
fn fields(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    // A CR LF is read as two ends with nothing between them, and what is empty is passed over.
    bytes.split(|byte| matches!(byte, b'\r' | b'\n')).filter_map(|line| {
        match line.iter().position(|byte| *byte == b':') {
            _ if line.is_empty() => None,
            Some(0) => None,
            Some(colon) => {
                let value = &line[colon + 1..];
                Some((&line[..colon], value.strip_prefix(b" ").unwrap_or(value)))
            }
            None => Some((line, &[][..])),
        }
    })
}

/// A `retry`: ASCII digits and nothing else.
fn milliseconds(value: &[u8]) -> Option<Duration> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| {
        let number = value.iter().fold(0_u64, |sum, digit| {
            sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        });
        Duration::from_millis(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn read(text: &str) -> Block<'_> {
        Block::read(text.as_bytes())
    }

    fn data(text: &str) -> Vec<&str> {
        read(text).data().map(|line| core::str::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn the_examples_of_the_standard_are_read_as_it_says() {
        assert_eq!(data("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO", "+2", "10"]);
        assert!(!read(": test stream\n\n").has_data);
        let first = read("data: first event\nid: 1\n\n");
        assert_eq!((first.id, first.has_data), (Some(&b"1"[..]), true));
        assert_eq!(read("data:second event\nid\n\n").id, Some(&b""[..]));
        assert_eq!(data("data:  third event\n\n"), [" third event"]);
        assert_eq!(data("data\n\n"), [""]);
        assert_eq!(data("data\ndata\n\n"), ["", ""]);
        assert_eq!(data("data:test\n\n"), data("data: test\n\n"));
    }

    #[test]
    fn an_id_with_a_nul_sets_none_and_the_last_one_counts() {
        assert_eq!(read("id: a\0b\ndata\n\n").id, None);
        assert_eq!(read("id: 1\nid: a\0b\n\n").id, Some(&b"1"[..]));
        assert_eq!(read("id: 1\nid: 2\n\n").id, Some(&b"2"[..]));
        assert_eq!(read("ID: 1\n id: 2\n\n").id, None, "names are told apart by case and blanks");
    }

    #[test]
    fn retry_is_digits_only_and_as_long_as_can_be_counted() {
        let millis = |text| read(text).retry.map(|retry| retry.as_millis());
        assert_eq!(millis("retry: 1500\n\n"), Some(1500));
        for wrong in ["retry\n\n", "retry: \n\n", "retry: -1\n\n", "retry: 1s\n\n", "retry:  1\n\n"]
        {
            assert_eq!(millis(wrong), None, "{wrong}");
        }
        assert_eq!(millis("retry: 5\nretry: x\n\n"), Some(5));
        assert_eq!(millis("retry: 99999999999999999999999\n\n"), Some(u128::from(u64::MAX)));
    }

    #[test]
    fn every_line_end_ends_a_line() {
        for end in ["\n", "\r", "\r\n"] {
            let text = ["\n: c", "event: e", "data: a", "data: b", "id: 7", "", ""].join(end);
            let block = Block::read(text.as_bytes());
            assert_eq!((block.event, block.id), (&b"e"[..], Some(&b"7"[..])), "{end:?}");
            assert_eq!(block.data().collect::<Vec<_>>(), [b"a", b"b"], "{end:?}");
        }
    }

    #[test]
    fn data_of_one_line_is_told_without_the_blanks_around_it() {
        let line = |text| read(text).data_line();
        assert_eq!(line("data: [DONE]\n\n"), Some(&b"[DONE]"[..]));
        assert_eq!(line("data:  [DONE] \r\n\r\n"), Some(&b"[DONE]"[..]));
        assert_eq!(line("data\n\n"), Some(&b""[..]));
        assert_eq!(line("data: [DONE]\ndata: x\n\n"), None);
        assert_eq!(line(": [DONE]\n\n"), None);
    }

    #[test]
    fn a_digest_goes_by_what_a_block_means() {
        let digest = |text| read(text).digest();
        let one = digest("event: e\ndata: a\nid: 1\n\n");
        assert_eq!(one, digest("id:1\r\n: note\r\nretry: 5\r\ndata:a\r\nevent:e\r\n\r\n"));
        for other in [
            "data: a\nid: 1\n\n",
            "event: e\ndata: a\n\n",
            "event: e\ndata: a\nid\n\n",
            "event: e\ndata: a\ndata\nid: 1\n\n",
            "event: e\nid: 1\n\n",
            "event: ea\ndata\nid: 1\n\n",
        ] {
            assert_ne!(one, digest(other), "{other}");
        }
        assert_ne!(digest("data: ab\ndata: c\n\n"), digest("data: a\ndata: bc\n\n"));
    }
}
