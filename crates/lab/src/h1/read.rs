//! Reads a request's head, and says how its body is framed.

use std::time::Duration;

use bytes::Buf;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tokio::time::timeout;

use super::{Connection, Unreadable, Version};
use crate::api::{Request, has_token};

/// A request's head.
pub(crate) struct Head {
    /// With an empty body as yet.
    pub(crate) request: Request,
    pub(crate) framing: Framing,
    pub(crate) version: Version,
    pub(crate) expects_continue: bool,
}

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

impl Connection {
    /// Reads a head from its first byte to its empty line.
    pub(crate) async fn read_head(&mut self) -> Result<Head, Unreadable> {
        let read = async {
            loop {
                if let Some((length, head)) = parse(&self.buffer)? {
                    self.buffer.advance(length);
                    return Ok(head);
                }
                if self.buffer.len() > HEAD_LIMIT_BYTES {
                    return Err(TOO_LARGE);
                }
                self.fill().await?;
            }
        };
        match timeout(HEAD_FOR, read).await {
            Ok(head) => head,
            Err(_) => {
                Err(Unreadable::Refused(StatusCode::REQUEST_TIMEOUT, "the head took too long"))
            }
        }
    }
}

/// The head at the beginning of these bytes and its length; none while it isn't complete.
fn parse(bytes: &[u8]) -> Result<Option<(usize, Head)>, Unreadable> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_LIMIT];
    let mut parsed = httparse::Request::new(&mut fields);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_LIMIT_BYTES => length,
        Ok(httparse::Status::Complete(_)) | Err(httparse::Error::TooManyHeaders) => {
            return Err(TOO_LARGE);
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(bad("the head isn't HTTP/1.1")),
    };
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes());
    let uri = parsed.path.unwrap_or_default().parse::<Uri>();
    let (Ok(method), Ok(uri)) = (method, uri) else {
        return Err(bad("the method or the target is broken"));
    };
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for field in parsed.headers.iter() {
        let (name, value) =
            (HeaderName::from_bytes(field.name.as_bytes()), HeaderValue::from_bytes(field.value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(bad("a header is broken"));
        };
        headers.append(name, value);
    }
    let is_old = parsed.version == Some(0);
    let closes = has_token(&headers, header::CONNECTION, "close");
    // HTTP/1.0 could ask to be kept alive, but a body without a length then has no end.
    let keep_alive = !closes && !is_old;
    let framing = framing(&headers)?;
    let expects_continue = !is_old && has_token(&headers, header::EXPECT, "100-continue");
    let request = Request::new(method, &uri, headers);
    let version = Version { is_old, keep_alive };
    Ok(Some((length, Head { request, framing, version, expects_continue })))
}

/// RFC 9112, 6.3; whatever two readers could read in two ways is refused.
fn framing(headers: &HeaderMap) -> Result<Framing, Unreadable> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).into_iter();
    let length = lengths.next();
    let codings: Vec<_> = headers.get_all(header::TRANSFER_ENCODING).into_iter().collect();
    match (codings.as_slice(), length) {
        ([], None) => Ok(Framing::Length(0)),
        ([], Some(value)) => {
            let text = value.to_str().unwrap_or_default();
            let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            match text.parse() {
                Ok(length) if is_number && lengths.next().is_none() => Ok(Framing::Length(length)),
                _ => Err(bad("the content-length is broken")),
            }
        }
        ([coding], None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            Ok(Framing::Chunked)
        }
        ([_, ..], Some(_)) => Err(bad("both a content-length and a transfer-encoding")),
        ([_, ..], None) => {
            Err(Unreadable::Refused(StatusCode::NOT_IMPLEMENTED, "only chunked is spoken here"))
        }
    }
}

fn bad(why: &'static str) -> Unreadable {
    Unreadable::Refused(StatusCode::BAD_REQUEST, why)
}

const TOO_LARGE: Unreadable =
    Unreadable::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "the head is too large");

/// As large as the largest head that common servers take.
pub(crate) const HEAD_LIMIT_BYTES: usize = 64 * 1024;

const FIELDS_LIMIT: usize = 128;

/// A head is one or two packets; who takes longer is stuck.
pub(crate) const HEAD_FOR: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(head: &str) -> Option<u16> {
        match parse(head.as_bytes()) {
            Err(Unreadable::Refused(status, _)) => Some(status.as_u16()),
            Ok(_) | Err(Unreadable::Gone) => None,
        }
    }

    #[test]
    fn a_head_is_read_with_its_framing() {
        let text = "POST /x?y=1 HTTP/1.1\r\nhost: a\r\ncontent-length: 12\r\n\r\nrest";
        let (length, head) = parse(text.as_bytes()).unwrap_or(None).unwrap();
        assert_eq!(length, text.len() - 4);
        assert_eq!((head.request.path.as_str(), head.request.query.as_str()), ("/x", "y=1"));
        assert_eq!(head.framing, Framing::Length(12));
        assert!(head.version.keep_alive);
        assert!(matches!(parse(&text.as_bytes()[..20]), Ok(None)));
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (head, status) in [
            ("POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
            ("POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 501),
            ("PRI * HTTP/2.0\r\n\r\n", 400),
            ("not http at all\r\n\r\n", 400),
        ] {
            assert_eq!(status_of(head), Some(status), "{head}");
        }
    }

    #[test]
    fn too_many_fields_are_refused() {
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(FIELDS_LIMIT + 1));
        assert_eq!(status_of(&head), Some(431));
    }
}
