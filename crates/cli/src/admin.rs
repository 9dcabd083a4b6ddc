//! Asks a running proxy's admin address: one GET over a socket of its own, bounded in time and size.
//!
//! The address is ours and answers whole documents with a known length, so a client for HTTP in general isn't needed.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::args;
use crate::exit::Failure;

/// How long each step may take. The address is on this machine or near it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer that is read: ten thousand records are about a third of it.
const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// An answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// What is read of a problem document.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// Asks for `path`. Any status is an answer, except that of a wrong token.
pub(crate) fn get(admin: &args::Admin, path: &str) -> Result<Answer, Failure> {
    let token = token(admin)?;
    let answer = ask(&admin.admin, path, token.as_deref()).map_err(|error| {
        Failure::of(format!(
            "the admin address {} can't be asked: {error}\n  = is the proxy running, and is this its admin \
             address (--admin)?",
            admin.admin
        ))
    })?;
    match answer.status {
        401 => Err(Failure::usage(match token {
            Some(_) => "the admin address refuses this token",
            None => "the admin address wants a token: give it with --token or --token-file",
        })),
        403 => Err(Failure::usage(format!(
            "the admin address refuses the request: {}",
            String::from_utf8_lossy(&answer.body).trim()
        ))),
        _ => Ok(answer),
    }
}

/// The document in a good answer.
pub(crate) fn document<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    if answer.status != 200 {
        let text = String::from_utf8_lossy(&answer.body);
        let status = answer.status;
        let problem = serde_json::from_slice::<Problem>(&answer.body);
        let text = problem.map_or_else(|_| text.trim().to_owned(), |problem| problem.detail);
        let message = format!("the admin address answered {status}: {text}");
        return Err(if status == 400 { Failure::usage(message) } else { Failure::of(message) });
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        Failure::of(format!("the answer isn't what Mainstay's admin address gives: {error}"))
    })
}

/// A query of these parameters, percent-encoded.
pub(crate) fn query(parameters: &[(&str, String)]) -> String {
    let encoded = |value: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let letter = |byte: u8| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        value.bytes().map(letter).collect()
    };
    let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn token(admin: &args::Admin) -> Result<Option<String>, Failure> {
    let Some(file) = &admin.token_file else { return Ok(admin.token.clone()) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    Ok(Some(text.trim().to_owned()))
}

fn ask(address: &str, path: &str, token: Option<&str>) -> io::Result<Answer> {
    let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    let mut stream = connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if let Some(token) = token {
        if token.contains(char::is_control) {
            return Err(invalid("the token holds control characters"));
        }
        request.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut bytes)?;
    read(&bytes)
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
    const END: &[u8] = b"\r\n\r\n";
    let end = bytes.windows(END.len()).position(|at| at == END);
    let end = end.ok_or_else(|| invalid("what answers there isn't HTTP"))?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status =
        lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| invalid("what answers there isn't HTTP/1.1"))?;
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let body = &bytes[end + END.len()..];
    match length {
        Some(length) if length <= body.len() => {
            Ok(Answer { status, body: body[..length].to_vec() })
        }
        _ => Err(invalid("the answer isn't complete")),
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_holds_any_value() {
        let parameters = [("limit", "3".to_owned()), ("upstream", "a b&c=\u{e9}".to_owned())];
        assert_eq!(query(&parameters), "limit=3&upstream=a%20b%26c%3D%C3%A9");
    }

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
