//! Reads a request's body, by length or by chunks, and keeps only what tells whether it arrived.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::time::timeout;

use super::{Connection, Framing, Unreadable};
use crate::api::Body;

impl Connection {
    /// Reads a body to its end.
    pub(crate) async fn read_body(
        &mut self,
        framing: Framing,
        body: &mut Body,
    ) -> Result<(), Unreadable> {
        let read = async {
            match framing {
                Framing::Length(length) => self.take(length, body).await,
                Framing::Chunked => self.read_chunks(body).await,
            }
        };
        match timeout(BODY_FOR, read).await {
            Ok(read) => read,
            Err(_) => {
                Err(Unreadable::Refused(StatusCode::REQUEST_TIMEOUT, "the body took too long"))
            }
        }
    }

    /// Reads a short body into memory, for those who want to know what it says.
    pub(crate) async fn read_text(
        &mut self,
        framing: Framing,
        limit: usize,
    ) -> Result<String, Unreadable> {
        let length = match framing {
            Framing::Length(length) => {
                usize::try_from(length).ok().filter(|length| *length <= limit)
            }
            Framing::Chunked => None,
        };
        let too_large = Unreadable::Refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "a short body with a length, please",
        );
        let length = length.ok_or(too_large)?;
        let read = async {
            while self.buffer.len() < length {
                self.fill().await?;
            }
            let text = self.buffer.split_to(length);
            String::from_utf8(text.to_vec())
                .map_err(|_| Unreadable::Refused(StatusCode::BAD_REQUEST, "the body isn't UTF-8"))
        };
        match timeout(BODY_FOR, read).await {
            Ok(text) => text,
            Err(_) => {
                Err(Unreadable::Refused(StatusCode::REQUEST_TIMEOUT, "the body took too long"))
            }
        }
    }

    async fn read_chunks(&mut self, body: &mut Body) -> Result<(), Unreadable> {
        loop {
            let line = self.read_line().await?;
            let digits = line
                .as_ref()
                .split(|byte: &u8| *byte == b';')
                .next()
                .unwrap_or_default()
                .trim_ascii();
            match chunk_size(digits).ok_or(BROKEN)? {
                0 => break,
                size => self.take(size, body).await?,
            }
            if !self.read_line().await?.is_empty() {
                return Err(BROKEN);
            }
        }
        body.trailers = self.read_trailers().await?;
        Ok(())
    }

    async fn read_trailers(&mut self) -> Result<HeaderMap, Unreadable> {
        let mut trailers = HeaderMap::new();
        loop {
            let line = self.read_line().await?;
            if line.is_empty() {
                return Ok(trailers);
            }
            if trailers.len() == TRAILERS_LIMIT {
                return Err(BROKEN);
            }
            let colon = line.iter().position(|byte| *byte == b':').ok_or(BROKEN)?;
            let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| BROKEN)?;
            let value =
                HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).map_err(|_| BROKEN)?;
            trailers.append(name, value);
        }
    }

    /// Takes so many bytes into the body.
    async fn take(&mut self, mut left: u64, body: &mut Body) -> Result<(), Unreadable> {
        if left > BODY_LIMIT_BYTES.saturating_sub(body.length) {
            return Err(Unreadable::Refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too large",
            ));
        }
        while left > 0 {
            if self.buffer.is_empty() {
                self.fill().await?;
            }
            let count = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            body.add(&self.buffer[..count]);
            self.buffer.advance(count);
            left -= count as u64;
        }
        Ok(())
    }

    /// A line without its end.
    async fn read_line(&mut self) -> Result<BytesMut, Unreadable> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return Ok(line);
            }
            if self.buffer.len() > LINE_LIMIT_BYTES {
                return Err(BROKEN);
            }
            self.fill().await?;
        }
    }
}

fn chunk_size(digits: &[u8]) -> Option<u64> {
    // Fifteen digits can't overflow, and no sign is let through.
    if digits.is_empty() || digits.len() > 15 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

const BROKEN: Unreadable = Unreadable::Refused(StatusCode::BAD_REQUEST, "the chunks are broken");

/// Nothing of it is kept; the limit bounds the time that one request can take.
pub(crate) const BODY_LIMIT_BYTES: u64 = 1 << 30;

/// A gigabyte over a slow line.
const BODY_FOR: Duration = Duration::from_secs(300);

const LINE_LIMIT_BYTES: usize = 8 * 1024;

const TRAILERS_LIMIT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_size_is_plain_hexadecimal() {
        assert_eq!(chunk_size(b"1F"), Some(31));
        assert_eq!(chunk_size(b"0"), Some(0));
        for wrong in [&b""[..], b"+1", b"0x1", b"g", b"1234567890123456"] {
            assert_eq!(chunk_size(wrong), None);
        }
    }
}
