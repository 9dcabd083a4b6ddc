//! Cuts what comes into whole blocks, wherever the pieces of it begin and end.
//!
//! A line ends with LF, CR or CR LF, and a block with an empty line. A CR ends its line at once, since the next byte may be long
//! in coming; an LF that turns out to belong to it is then the first byte of the next block, where it means nothing.
//!
//! A block that came in one piece is given as a range of it. One that is spread over pieces is kept until it is whole and
//! then given as bytes of its own. If it grows beyond the limit, what there is of it is given as fragments; the block behind it
//! is whole again.

use alloc::vec::Vec;
use core::ops::Range;

/// Where what is cut off lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the piece that came.
    Piece(Range<usize>),
    /// Here: it came in more than one piece, or is our own.
    Own(Vec<u8>),
}

impl Source {
    /// The bytes. `piece` is the piece from which it was cut.
    #[must_use]
    pub fn bytes<'a>(&'a self, piece: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Piece(range) => &piece[range.clone()],
            Self::Own(bytes) => bytes,
        }
    }
}

/// What is cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A whole block.
    Block(Source),
    /// A part of a block that is too long to be kept.
    Fragment { source: Source, ends_block: bool },
    /// The mark at the beginning of a stream ([`BOM`]).
    Mark,
}

/// One connection's stream.
#[derive(Debug)]
pub(super) struct Splitter {
    limit: usize,
    /// What there is of a block that isn't whole. Never longer than the limit.
    held: Vec<u8>,
    /// How much of the mark has come; `None`: what comes is no mark any more.
    mark: Option<usize>,
    line: Line,
    /// The block is too long and goes on as it comes.
    is_loose: bool,
}

/// Where in a line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// At its first byte.
    Start,
    /// At its first byte, behind a CR: an LF belongs to the line before.
    StartAfterCr,
    Inside,
}

impl Splitter {
    /// One that keeps blocks of up to `limit` bytes.
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, held: Vec::new(), mark: Some(0), line: Line::Start, is_loose: false }
    }

    /// Cuts off what is next in `piece`, from `at` on, which is moved behind it. `None`: all of the piece has been taken.
    pub(super) fn next(&mut self, piece: &[u8], at: &mut usize) -> Option<Cut> {
        if self.take_mark(piece, at) {
            return Some(Cut::Mark);
        }
        let from = *at;
        if from >= piece.len() {
            return None;
        }
        let end = self.scan(&piece[from..]).map(|length| from + length);
        let upto = end.unwrap_or(piece.len());
        *at = upto;
        if self.is_loose || self.held.len() + (upto - from) > self.limit {
            self.is_loose = end.is_none();
            let source = self.with_held(piece, from..upto);
            return Some(Cut::Fragment { source, ends_block: end.is_some() });
        }
        if end.is_some() {
            return Some(Cut::Block(self.with_held(piece, from..upto)));
        }
        self.held.extend_from_slice(&piece[from..]);
        None
    }

    /// What there is of a block that isn't whole. It stays.
    pub(super) fn rest(&self) -> &[u8] {
        &self.held
    }

    /// The length up to and with the empty line that ends the block; `None` if it isn't here.
    fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            at += 1;
            match (byte, self.line) {
                (b'\n', Line::StartAfterCr) => self.line = Line::Start,
                (b'\n', Line::Start) => return Some(at),
                (b'\n', Line::Inside) => self.line = Line::Start,
                (b'\r', Line::Inside) => self.line = Line::StartAfterCr,
                (b'\r', Line::Start | Line::StartAfterCr) => {
                    let is_pair = bytes.get(at) == Some(&b'\n');
                    self.line = if is_pair { Line::Start } else { Line::StartAfterCr };
                    return Some(at + usize::from(is_pair));
                }
                _ => {
                    self.line = Line::Inside;
                    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
                    at += bytes[at..].iter().position(is_end).unwrap_or(bytes.len() - at);
                }
            }
        }
        None
    }

    /// Takes the mark at the beginning of the stream, as far as it is in the piece. Whether that makes it whole.
    fn take_mark(&mut self, piece: &[u8], at: &mut usize) -> bool {
        let Some(before) = self.mark else { return false };
        let rest = &piece[*at..];
        let wanted = &BOM[before..];
        let length = rest.len().min(wanted.len());
        if rest[..length] != wanted[..length] {
            // What came of it was text.
            self.mark = None;
            self.held.extend_from_slice(&BOM[..before]);
            self.line = if before > 0 { Line::Inside } else { Line::Start };
            return false;
        }
        *at += length;
        let came = before + length;
        self.mark = Some(came).filter(|came| *came < BOM.len());
        came == BOM.len()
    }

    fn with_held(&mut self, piece: &[u8], range: Range<usize>) -> Source {
        if self.held.is_empty() {
            return Source::Piece(range);
        }
        let mut whole = core::mem::take(&mut self.held);
        whole.extend_from_slice(&piece[range]);
        Source::Own(whole)
    }
}

/// What a stream may begin with and is no part of it (U+FEFF).
pub(super) const BOM: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec;

    /// Cuts the pieces, and tells each cut as text: blocks as they are, fragments behind `~`, the mark as `BOM`.
    fn cut(limit: usize, pieces: &[&[u8]]) -> Vec<String> {
        let mut splitter = Splitter::new(limit);
        let mut cuts = Vec::new();
        for piece in pieces {
            let mut at = 0;
            while let Some(cut) = splitter.next(piece, &mut at) {
                let text =
                    |source: &Source| String::from_utf8_lossy(source.bytes(piece)).into_owned();
                cuts.push(match &cut {
                    Cut::Block(source) => text(source),
                    Cut::Fragment { source, .. } => std::format!("~{}", text(source)),
                    Cut::Mark => String::from("BOM"),
                });
            }
        }
        cuts
    }

    const STREAM: &[u8] = "data: ä€\n\n: c\r\rid\r\n\r\ndata\r\n\n\nevent: x\n\r".as_bytes();

    #[test]
    fn blocks_end_with_an_empty_line_whatever_ends_their_lines() {
        let wanted = ["data: ä€\n\n", ": c\r\r", "id\r\n\r\n", "data\r\n\n", "\n", "event: x\n\r"];
        assert_eq!(cut(100, &[STREAM]), wanted);
    }

    #[test]
    fn it_doesn_t_matter_where_pieces_begin_and_end() {
        let whole: Vec<String> = cut(100, &[STREAM]);
        for first in 0..=STREAM.len() {
            for second in first..=STREAM.len() {
                let pieces = [&STREAM[..first], &STREAM[first..second], &STREAM[second..]];
                let cuts = cut(100, &pieces);
                assert_eq!(cuts.concat(), whole.concat(), "{first} {second}");
                // A pair that was torn goes to the next block; apart from that they are the same.
                let trim = |cuts: &[String]| -> Vec<String> {
                    cuts.iter().map(|cut| String::from(cut.trim())).collect()
                };
                assert_eq!(trim(&cuts), trim(&whole), "{first} {second}");
            }
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(cut(100, &bytes).concat(), whole.concat());
    }

    #[test]
    fn a_block_that_came_in_one_piece_isn_t_copied() {
        let mut splitter = Splitter::new(100);
        let mut at = 0;
        let piece = b"data: a\n\ndata: b\n\ndata";
        let mut next = || splitter.next(piece, &mut at);
        assert_eq!(next(), Some(Cut::Block(Source::Piece(0..9))));
        assert_eq!(next(), Some(Cut::Block(Source::Piece(9..18))));
        assert_eq!(next(), None);
        assert_eq!(splitter.rest(), b"data");
        let mut at = 0;
        let whole = Source::Own(b"data: c\n\n".to_vec());
        assert_eq!(splitter.next(b": c\n\n", &mut at), Some(Cut::Block(whole)));
    }

    #[test]
    fn the_end_by_a_cr_isn_t_waited_for() {
        assert_eq!(cut(100, &[b"data: a\r\r", b"\ndata: b\r\r"]), ["data: a\r\r", "\ndata: b\r\r"]);
        assert_eq!(cut(100, &[b"data: a\r", b"\n", b"\r", b"\n"]), ["data: a\r\n\r"]);
    }

    #[test]
    fn a_mark_at_the_beginning_is_told_apart_wherever_it_is_torn() {
        let marked = [BOM, b"data\n\n"].concat();
        for at in 0..marked.len() {
            assert_eq!(cut(100, &[&marked[..at], &marked[at..]]), ["BOM", "data\n\n"], "{at}");
        }
        assert_eq!(cut(100, &[BOM, b"\ndata\n\n"]), ["BOM", "\n", "data\n\n"]);
        let twice = cut(100, &[BOM, BOM, b"data\n\n"]);
        assert_eq!(twice, ["BOM", "\u{feff}data\n\n"]);
        assert_eq!(cut(100, &[b"\xef\xbb", b"\xbe\n\n"]), ["\u{fefe}\n\n"]);
        assert_eq!(cut(100, &[b"\xef", b"\n\n"]).concat(), "\u{fffd}\n\n");
    }

    #[test]
    fn a_block_that_is_too_long_goes_on_in_fragments_and_the_next_is_whole() {
        let cuts = cut(10, &[b"data: 12", b"345", b"67", b"8\n\ndata: a\n\n"]);
        assert_eq!(cuts, ["~data: 12345", "~67", "~8\n\n", "data: a\n\n"]);
        let fits: Vec<u8> = vec![b'x'; 8];
        assert_eq!(cut(10, &[&fits, b"\n\n"]), ["xxxxxxxx\n\n"]);
        assert_eq!(cut(9, &[&fits, b"\n\n"]), ["~xxxxxxxx\n\n"]);
    }
}
