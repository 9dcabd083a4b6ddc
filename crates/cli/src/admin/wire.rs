//! Requests and answers on a socket.

use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::Place;

/// How long each step may take. The address is on this machine or near it.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer that is read: ten thousand records are about a third of it.
pub(super) const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// What is asked.
pub(super) struct Request<'a> {
    pub(super) place: &'a Place,
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    /// What is sent, if anything is.
    pub(super) body: Option<&'a str>,
    /// Further lines of the head, each with its end.
    pub(super) more: &'a str,
}

/// An answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// An answer's head.
#[derive(Debug, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Bytes of the body, if the head says so.
    pub(super) length: Option<usize>,
    pub(super) is_chunked: bool,
}

/// Asks, and reads the whole answer.
pub(super) fn ask(request: &Request<'_>) -> io::Result<Answer> {
    let stream = send(request)?;
    let mut bytes = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut bytes)?;
    read(&bytes)
}

/// Asks, and gives the socket on which the answer comes.
pub(super) fn send(request: &Request<'_>) -> io::Result<TcpStream> {
    let address = &request.place.address;
    let mut stream = connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Request { method, path, .. } = request;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if let Some(token) = &request.place.token {
        // Writing into a string can't fail.
        let _ = write!(head, "Authorization: Bearer {token}\r\n");
    }
    let body = request.body.unwrap_or_default();
    if request.body.is_some() {
        let _ = write!(head, "Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}{}\r\n{body}", request.more).as_bytes())?;
    Ok(stream)
}

/// Tries each address of the name.
fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = invalid("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Status and body of a whole answer with a length.
fn read(bytes: &[u8]) -> io::Result<Answer> {
    let end = end_of_head(bytes).ok_or_else(|| invalid("what answers there isn't HTTP"))?;
    let head = head(&bytes[..end])?;
    let body = &bytes[end..];
    match head.length {
        Some(length) if length <= body.len() => {
            Ok(Answer { status: head.status, body: body[..length].to_vec() })
        }
        _ => Err(invalid("the answer isn't complete")),
    }
}

/// Where the body begins.
pub(super) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    const END: &[u8] = b"\r\n\r\n";
    bytes.windows(END.len()).position(|at| at == END).map(|at| at + END.len())
}

/// What is needed of a head.
pub(super) fn head(bytes: &[u8]) -> io::Result<Head> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let status =
        lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| invalid("what answers there isn't HTTP/1.1"))?;
    let mut head = Head { status, length: None, is_chunked: false };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            head.length = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.is_chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    Ok(head)
}

pub(super) fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_only_when_it_is_whole() {
        let read = |text: &str| read(text.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(
            read("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"),
            Ok(Answer { status: 404, body: b"no".to_vec() })
        );
        for text in [
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nno",
            "HTTP/1.1 200 OK\r\n\r\nno",
            "SSH-2.0-x\r\n\r\n",
            "",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
