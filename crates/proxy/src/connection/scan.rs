//! Looks for heads that announce a body in two ways at once: by length and in chunks.
//!
//! That is how one request is made to look like two to somebody on the way (RFC 9112, section 6.3). hyper takes the
//! chunks, drops the length and closes the connection afterwards, which is safe for us; but then nobody behind it
//! can see that there was a length. So the bytes are looked at as they pass, heads only, line by line. Nothing is
//! parsed that decides what a request is: if this loses its way (requests sent ahead behind a body in chunks), it
//! says nothing, and hyper's rule still holds.

/// Follows the heads in a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Scan {
    place: Place,
    /// The beginning of a line that came in pieces.
    line: Vec<u8>,
    lines: u32,
    length: Option<Option<u64>>,
    chunks: bool,
}

#[derive(Debug, Default)]
enum Place {
    #[default]
    Head,
    /// In a body with so many bytes left.
    Body(u64),
    /// In a body whose end isn't known.
    Lost,
}

impl Scan {
    /// The next byte is the first of a head.
    pub(super) fn restart(&mut self) {
        self.place = Place::Head;
        self.line.clear();
        self.forget();
    }

    /// Takes bytes in; true when a head among them announced both.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        let mut found = false;
        while !bytes.is_empty() {
            match &mut self.place {
                Place::Lost => return found,
                Place::Body(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= here as u64;
                    bytes = &bytes[here..];
                    if *left == 0 {
                        self.place = Place::Head;
                    }
                }
                Place::Head => match memchr::memchr(b'\n', bytes) {
                    None => {
                        let room = LINE_KEPT.saturating_sub(self.line.len());
                        self.line.extend_from_slice(&bytes[..room.min(bytes.len())]);
                        return found;
                    }
                    Some(end) => {
                        found |= self.piece(&bytes[..end]);
                        bytes = &bytes[end + 1..];
                    }
                },
            }
        }
        found
    }

    /// The end of a line, or all of it.
    fn piece(&mut self, piece: &[u8]) -> bool {
        if self.line.is_empty() {
            return self.whole(piece);
        }
        let mut line = std::mem::take(&mut self.line);
        let room = LINE_KEPT.saturating_sub(line.len());
        line.extend_from_slice(&piece[..room.min(piece.len())]);
        let found = self.whole(&line);
        line.clear();
        self.line = line;
        found
    }

    fn whole(&mut self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.first() {
            None => return self.lines > 0 && self.head_over(),
            Some(b'c' | b'C') => {
                if let Some(value) = value_of(line, b"content-length:") {
                    self.length = Some(
                        std::str::from_utf8(value).ok().and_then(|value| value.trim().parse().ok()),
                    );
                }
            }
            Some(b't' | b'T') => self.chunks |= value_of(line, b"transfer-encoding:").is_some(),
            Some(_) => {}
        }
        self.lines = self.lines.saturating_add(1);
        false
    }

    fn head_over(&mut self) -> bool {
        let found = self.chunks && self.length.is_some();
        self.place = match self.length {
            _ if self.chunks => Place::Lost,
            Some(Some(length)) if length > 0 => Place::Body(length),
            Some(None) => Place::Lost,
            Some(Some(_)) | None => Place::Head,
        };
        self.forget();
        found
    }

    fn forget(&mut self) {
        (self.lines, self.length, self.chunks) = (0, None, false);
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

/// Longer than any line that is looked for: name, some blanks, and the twenty digits of the largest number.
const LINE_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` whole and cut at each place; counts the heads with both.
    fn check(text: &str, wanted: usize) {
        let whole = usize::from(Scan::default().feed(text.as_bytes()));
        assert_eq!(whole, wanted, "{text:?}");
        for cut in 0..text.len() {
            let (mut scan, (first, second)) = (Scan::default(), text.split_at(cut));
            let found = usize::from(scan.feed(first.as_bytes()))
                + usize::from(scan.feed(second.as_bytes()));
            assert_eq!(found, wanted, "{text:?} cut at {cut}");
        }
    }

    #[test]
    fn both_ways_in_one_head_are_found_in_any_order_and_case() {
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 1);
        check("\r\nPOST / HTTP/1.1\r\ntransfer-ENCODING:chunked\nX: y\ncontent-length:3\n\n", 1);
    }

    #[test]
    fn one_way_alone_is_fine() {
        check("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 0);
        check("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 0);
    }

    #[test]
    fn what_a_body_says_is_not_a_head() {
        let part = "Content-Length: 3\r\n\r\n";
        check(&format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n{part}\r\n"), 0);
        let body = "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
        check(&format!("{head}{body}"), 0);
    }

    #[test]
    fn the_head_behind_a_body_of_known_length_is_looked_at() {
        let bad = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc{bad}"), 1);
        check(&format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{bad}"), 1);
    }
}
