//! The live stream: server-sent events over one answer that goes on until somebody hangs up.
//!
//! ```text
//!   socket ─▶ head ─▶ chunks ─▶ lines ─▶ Block { event, data }
//! ```
//!
//! A read waits for [`SILENCE`] at most: the address says something each second, so a longer silence is a dead connection. It doesn't
//! connect again by itself; whoever reads decides when, and tells the last id.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

use super::Place;
use super::wire::{self, Answer, MOST_BYTES, Request, invalid};

/// After so long without anything the stream is dead.
const SILENCE: Duration = Duration::from_secs(5);

/// An answer's head is never larger.
const MOST_HEAD_BYTES: usize = 16 * 1024;

/// An event of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) event: String,
    pub(crate) data: String,
}

/// Why there is no stream.
#[derive(Debug)]
pub(crate) enum Closed {
    /// The socket can't be had, or broke.
    Broke(io::Error),
    /// The address answers, but not with a stream.
    Refused(Answer),
}

impl From<io::Error> for Closed {
    fn from(error: io::Error) -> Self {
        Self::Broke(error)
    }
}

/// A stream that is being read.
#[derive(Debug)]
pub(crate) struct Live {
    lines: Lines<Body>,
    /// The id of the last whole event.
    last_id: Option<String>,
}

impl Live {
    /// Asks for `/live`, from behind this id if there is one.
    ///
    /// # Errors
    ///
    /// See [`Closed`].
    pub(crate) fn open(place: &Place, last_id: Option<&str>) -> Result<Self, Closed> {
        let last = last_id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let more = format!("Accept: text/event-stream\r\n{last}");
        let request = Request { place, method: "GET", path: "/live", body: None, more: &more };
        let stream = wire::send(&request)?;
        stream.set_read_timeout(Some(SILENCE))?;
        let mut stream = BufReader::new(stream);
        let head = read_head(&mut stream)?;
        if head.status != 200 {
            let mut body = Vec::new();
            let length = head.length.unwrap_or_default() as u64;
            stream.take(length.min(MOST_BYTES)).read_to_end(&mut body)?;
            return Err(Closed::Refused(Answer { status: head.status, body }));
        }
        let body = Body { stream, chunks: head.is_chunked.then_some(0), is_over: false };
        let lines = Lines { from: BufReader::new(body) };
        Ok(Self { lines, last_id: last_id.map(str::to_owned) })
    }

    /// The id to go on from.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The next event; waits for it.
    ///
    /// # Errors
    ///
    /// The stream broke, ended, said nothing for too long, or isn't one.
    pub(crate) fn next(&mut self) -> io::Result<Block> {
        let (mut block, mut id) = (Block { event: String::new(), data: String::new() }, None);
        loop {
            let line = self.lines.next().map_err(in_words)?;
            if line.is_empty() {
                if id.is_some() {
                    self.last_id = id.take();
                }
                if !block.data.is_empty() {
                    return Ok(block);
                }
                block.event.clear();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut block.event),
                "id" => id = Some(value.to_owned()).filter(|id| !id.contains(char::is_control)),
                "data" => {
                    if !block.data.is_empty() {
                        block.data.push('\n');
                    }
                    block.data.push_str(value);
                }
                // A comment, which only says that it lives; or what isn't for us.
                _ => {}
            }
        }
    }
}

/// What a person understands of it.
fn in_words(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            io::Error::new(ErrorKind::TimedOut, format!("nothing came for {} s", SILENCE.as_secs()))
        }
        ErrorKind::UnexpectedEof => io::Error::new(ErrorKind::UnexpectedEof, "the stream ended"),
        _ => error,
    }
}

fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<wire::Head> {
    let mut bytes = Vec::new();
    while wire::end_of_head(&bytes).is_none() {
        let room = (MOST_HEAD_BYTES - bytes.len()) as u64;
        if stream.by_ref().take(room).read_until(b'\n', &mut bytes)? == 0 {
            return Err(invalid("what answers there isn't HTTP"));
        }
    }
    wire::head(&bytes)
}

/// The answer's body without its framing.
#[derive(Debug)]
struct Body {
    stream: BufReader<TcpStream>,
    /// What is left of the chunk, if there are chunks.
    chunks: Option<u64>,
    is_over: bool,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(left) = &mut self.chunks else { return self.stream.read(into) };
        if *left == 0 && !self.is_over {
            *left = next_chunk(&mut self.stream)?;
            self.is_over = *left == 0;
        }
        if self.is_over {
            return Ok(0);
        }
        let read = self.stream.by_ref().take(*left).read(into)?;
        if read == 0 && !into.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        *left -= read as u64;
        if *left == 0 {
            // What follows a chunk is the end of its line.
            let mut end = [0; 2];
            self.stream.read_exact(&mut end)?;
            if &end != b"\r\n" {
                return Err(invalid("the stream's chunks are broken"));
            }
        }
        Ok(read)
    }
}

/// The length of the next chunk.
fn next_chunk(stream: &mut BufReader<TcpStream>) -> io::Result<u64> {
    const MOST: u64 = 64;
    let mut line = Vec::new();
    stream.by_ref().take(MOST).read_until(b'\n', &mut line)?;
    let line = String::from_utf8_lossy(&line);
    let digits = line.trim_end().split(';').next().unwrap_or_default();
    if line.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    u64::from_str_radix(digits, 16).map_err(|_| invalid("the stream's chunks are broken"))
}

/// The stream's lines.
#[derive(Debug)]
struct Lines<R: Read> {
    from: BufReader<R>,
}

impl<R: Read> Lines<R> {
    fn next(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.from.by_ref().take(MOST_BYTES).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(match line.len() as u64 + 1 >= MOST_BYTES {
                true => invalid("an event is too large"),
                false => ErrorKind::UnexpectedEof.into(),
            });
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(|_| invalid("the stream isn't UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::args::Admin;

    /// A stream that is answered with these bytes, and what was asked.
    fn answered(bytes: impl Into<Vec<u8>>, last: Option<&str>) -> (Result<Live, Closed>, String) {
        let (bytes, listener) = (bytes.into(), TcpListener::bind("127.0.0.1:0").expect("a port"));
        let admin = listener.local_addr().expect("its address").to_string();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            let mut asked = String::new();
            let mut lines = BufReader::new(&stream);
            while !asked.ends_with("\r\n\r\n") {
                lines.read_line(&mut asked).expect("a line");
            }
            (&stream).write_all(&bytes).expect("written");
            asked
        });
        let admin = Admin { admin, token: Some("t".into()), token_file: None, token_env: None };
        let live = Live::open(&Place::of(&admin).expect("a place"), last);
        (live, server.join().expect("no panic"))
    }

    #[test]
    fn events_are_read_out_of_chunks_wherever_these_are_cut() {
        let pieces = [
            "id: b-1\neven",
            "t: state\ndata: {",
            "}\n\n:\n",
            "\nevent: x\ndata: 1\n",
            "data: 2\n\n",
        ];
        let chunk = |piece: &&str| format!("{:x};x=y\r\n{piece}\r\n", piece.len());
        let chunks: String = pieces.iter().map(chunk).collect();
        let (live, asked) = answered(
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"),
            Some("b-0"),
        );
        assert!(asked.contains("Last-Event-ID: b-0\r\n"), "{asked}");
        assert!(asked.contains("Authorization: Bearer t\r\n"), "{asked}");
        let mut live = live.expect("a stream");
        assert_eq!(live.last_id(), Some("b-0"));
        let block = |event: &str, data: &str| Block { event: event.into(), data: data.into() };
        assert_eq!(live.next().ok(), Some(block("state", "{}")));
        assert_eq!(live.last_id(), Some("b-1"));
        assert_eq!(live.next().ok(), Some(block("x", "1\n2")));
        assert_eq!(live.next().map_err(|error| error.to_string()), Err("the stream ended".into()));
    }

    #[test]
    fn an_event_that_isnt_whole_is_none_and_its_id_isnt_taken() {
        let (live, _) =
            answered(b"HTTP/1.1 200 OK\r\n\r\nid: b-1\ndata: 1\n\nid: b-2\ndata: 2\n", None);
        let mut live = live.expect("a stream");
        assert_eq!(live.next().map(|block| block.data).ok().as_deref(), Some("1"));
        assert!(live.next().is_err());
        assert_eq!(live.last_id(), Some("b-1"));
    }

    #[test]
    fn a_chunk_that_isnt_whole_is_no_end() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (chunks, wanted) in [
            ("20\r\ndata: 1", "the stream ended"),
            ("3\r\nabcde\r\n", "the stream's chunks are broken"),
            ("zz\r\n", "the stream's chunks are broken"),
        ] {
            let (live, _) = answered(format!("{head}{chunks}"), None);
            let ended = live.expect("a stream").next().map_err(|error| error.to_string());
            assert_eq!(ended, Err(wanted.into()), "{chunks}");
        }
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let (live, _) = answered(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", None);
        assert!(
            matches!(live, Err(Closed::Refused(Answer { status: 401, body })) if body == b"no")
        );
    }
}
