//! The same streams as a reader of another make sees them: heads by the crate httparse, bodies cut out in a way of its own.
//!
//! It forgives what httparse forgives. Where it sees other messages than [`crate::strict`] does, the bytes could be
//! understood in two ways, and that is what smuggling lives on.

use crate::strict::{Message, Side};

/// All whole messages in a stream, and whether anything is behind them that isn't just the beginning of another.
pub(crate) fn read(bytes: &[u8], side: Side<'_>) -> (Vec<Message>, bool) {
    let (mut messages, mut at, mut answered) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let (message, length) = match side {
            Side::Requests => match request(&bytes[at..]) {
                Seen::Whole(message, length) => (message, length),
                Seen::Part => return (messages, false),
                Seen::Wrong => return (messages, true),
            },
            Side::Answers { to, ended } => {
                let Some(method) = to.get(answered) else { return (messages, true) };
                match answer(&bytes[at..], method, ended) {
                    Seen::Whole(message, length) => (message, length),
                    Seen::Part => return (messages, false),
                    Seen::Wrong => return (messages, true),
                }
            }
        };
        answered += usize::from(!message.start[1].starts_with('1'));
        at += length;
        messages.push(message);
    }
    (messages, false)
}

enum Seen {
    Whole(Message, usize),
    Part,
    Wrong,
}

fn request(bytes: &[u8]) -> Seen {
    let mut room = [httparse::EMPTY_HEADER; ROOM];
    let mut head = httparse::Request::new(&mut room);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            let version = format!("HTTP/1.{}", head.version.unwrap_or_default());
            let start = [head.method, head.path].map(|part| part.unwrap_or_default().to_owned());
            let [method, path] = start;
            finish([method, path, version], head.headers, bytes, length, Without::Nothing)
        }
        Ok(httparse::Status::Partial) => Seen::Part,
        Err(_) => Seen::Wrong,
    }
}

fn answer(bytes: &[u8], to: &str, ended: bool) -> Seen {
    let mut room = [httparse::EMPTY_HEADER; ROOM];
    let mut head = httparse::Response::new(&mut room);
    match head.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => {
            let status = head.code.unwrap_or_default();
            let start = [
                format!("HTTP/1.{} ", head.version.unwrap_or_default()),
                status.to_string(),
                head.reason.unwrap_or_default().to_owned(),
            ];
            let bodiless = to == "HEAD" || status < 200 || matches!(status, 204 | 304);
            let without = match (bodiless, ended) {
                (true, _) => Without::Body,
                (false, true) => Without::End,
                (false, false) => Without::EndYet,
            };
            finish(start, head.headers, bytes, length, without)
        }
        Ok(httparse::Status::Partial) => Seen::Part,
        Err(_) => Seen::Wrong,
    }
}

/// What a message without a length has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// No body whatever is announced.
    Body,
    /// All that is there.
    End,
    EndYet,
}

fn finish(
    start: [String; 3],
    fields: &[httparse::Header<'_>],
    bytes: &[u8],
    head: usize,
    without: Without,
) -> Seen {
    let of = |name: &str| fields.iter().rev().find(|field| field.name.eq_ignore_ascii_case(name));
    let rest = &bytes[head..];
    let text = |field: &httparse::Header<'_>| {
        String::from_utf8_lossy(field.value).trim().to_ascii_lowercase()
    };
    let (body, length) = if without == Without::Body {
        (Vec::new(), 0)
    } else if let Some(coding) = of("transfer-encoding") {
        if !text(coding).ends_with("chunked") {
            return Seen::Wrong;
        }
        match unchunked(rest) {
            Ok(Some(found)) => found,
            Ok(None) => return Seen::Part,
            Err(()) => return Seen::Wrong,
        }
    } else if let Some(announced) = of("content-length") {
        match text(announced).parse::<usize>() {
            Ok(length) if rest.len() >= length => (rest[..length].to_vec(), length),
            Ok(_) => return Seen::Part,
            Err(_) => return Seen::Wrong,
        }
    } else {
        match without {
            Without::Nothing | Without::Body => (Vec::new(), 0),
            Without::End => (rest.to_vec(), rest.len()),
            Without::EndYet => return Seen::Part,
        }
    };
    let field = |field: &httparse::Header<'_>| {
        (field.name.to_ascii_lowercase(), field.value.trim_ascii().to_vec())
    };
    Seen::Whole(Message { start, fields: fields.iter().map(field).collect(), body }, head + length)
}

type Unchunked = Result<Option<(Vec<u8>, usize)>, ()>;

fn unchunked(bytes: &[u8]) -> Unchunked {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let (head, size) = match httparse::parse_chunk_size(&bytes[at..]) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(()),
        };
        at += head;
        let size = usize::try_from(size).map_err(|_| ())?;
        if size == 0 {
            let mut room = [httparse::EMPTY_HEADER; ROOM];
            return match httparse::parse_headers(&bytes[at..], &mut room) {
                Ok(httparse::Status::Complete((length, _))) => Ok(Some((body, at + length))),
                Ok(httparse::Status::Partial) => Ok(None),
                Err(_) => Err(()),
            };
        }
        let Some(end) = at.checked_add(size).filter(|end| end + 2 <= bytes.len()) else {
            return Ok(None);
        };
        body.extend_from_slice(&bytes[at..end]);
        if &bytes[end..end + 2] != b"\r\n" {
            return Err(());
        }
        at = end + 2;
    }
}

/// More fields than any case has.
const ROOM: usize = 256;
