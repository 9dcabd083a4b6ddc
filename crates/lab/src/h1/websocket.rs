//! An echo of WebSocket frames (RFC 6455, 5), each sent back as it was framed, only unmasked.
//!
//! A frame is passed on while it is read, so that none is too large. Nothing is negotiated and texts aren't looked at: an
//! endpoint that has to understand messages would be of no more use to whoever tests a connection.

use std::io;

use bytes::Buf;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::Connection;
use crate::exchange::After;
use crate::wire::HOLD_FOR;

/// Why an echo is over.
enum End {
    /// So much was sent as the script allows.
    Limit,
    /// The peer has said goodbye, or was told what it did wrong.
    Closed,
    /// The connection is gone, or nothing came for too long.
    Gone,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// A frame's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    is_final: bool,
    opcode: u8,
    length: u64,
    mask: [u8; 4],
    /// Its own length.
    bytes: usize,
}

impl Connection {
    /// Sends every message back, up to a limit of bytes if the script cuts it there.
    pub(super) async fn echo_frames(
        mut self,
        answers_pings: bool,
        limit: Option<u64>,
        after: After,
    ) {
        let mut left = limit.unwrap_or(u64::MAX);
        let end = loop {
            if let Err(end) = self.echo_frame(answers_pings, &mut left).await {
                break end;
            }
        };
        match (end, after) {
            (End::Limit, After::Reset) => self.wire.reset(),
            (End::Limit, After::Silence) => self.wire.hold().await,
            (End::Limit, After::Close) | (End::Closed | End::Gone, _) => self.wire.finish().await,
        }
    }

    async fn echo_frame(&mut self, answers_pings: bool, left: &mut u64) -> Result<(), End> {
        let head = self.frame_head(left).await?;
        match head.opcode {
            CONTINUATION | TEXT | BINARY => {
                let first = u8::from(head.is_final) << 7 | head.opcode;
                self.put(&head_of(first, head.length), left).await?;
                self.echo_payload(&head, left).await
            }
            PING if !answers_pings => self.payload(&head).await.map(drop),
            PING => {
                let payload = self.payload(&head).await?;
                self.put_control(PONG, &payload, left).await
            }
            PONG => self.payload(&head).await.map(drop),
            CLOSE => {
                let payload = self.payload(&head).await?;
                self.put_control(CLOSE, &payload, left).await?;
                Err(End::Closed)
            }
            _ => self.refuse(left).await,
        }
    }

    async fn frame_head(&mut self, left: &mut u64) -> Result<Head, End> {
        loop {
            match head(&self.buffer) {
                Some(Ok(head)) => {
                    self.buffer.advance(head.bytes);
                    return Ok(head);
                }
                Some(Err(Malformed)) => return self.refuse(left).await,
                None => self.more().await?,
            }
        }
    }

    /// Sends a payload back while it comes.
    async fn echo_payload(&mut self, head: &Head, left: &mut u64) -> Result<(), End> {
        let mut at = 0;
        while at < head.length {
            if self.buffer.is_empty() {
                self.more().await?;
            }
            let rest = usize::try_from(head.length - at).unwrap_or(usize::MAX);
            let mut piece = self.buffer.split_to(self.buffer.len().min(rest));
            unmask(&mut piece, head.mask, at);
            at += piece.len() as u64;
            self.put(&piece, left).await?;
        }
        Ok(())
    }

    /// The payload of a control frame, which is short.
    async fn payload(&mut self, head: &Head) -> Result<Vec<u8>, End> {
        let length = usize::try_from(head.length).unwrap_or(CONTROL_LIMIT_BYTES);
        while self.buffer.len() < length {
            self.more().await?;
        }
        let mut payload = self.buffer.split_to(length).to_vec();
        unmask(&mut payload, head.mask, 0);
        Ok(payload)
    }

    async fn put_control(&mut self, opcode: u8, payload: &[u8], left: &mut u64) -> Result<(), End> {
        let mut frame = head_of(FINAL | opcode, payload.len() as u64);
        frame.extend_from_slice(payload);
        self.put(&frame, left).await
    }

    /// Closes for a violation of the protocol.
    async fn refuse<T>(&mut self, left: &mut u64) -> Result<T, End> {
        self.put_control(CLOSE, &PROTOCOL_ERROR.to_be_bytes(), left).await?;
        Err(End::Closed)
    }

    async fn put(&mut self, bytes: &[u8], left: &mut u64) -> Result<(), End> {
        let count = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        self.wire.write_all(&bytes[..count]).await?;
        self.wire.flush().await?;
        *left -= count as u64;
        if *left == 0 { Err(End::Limit) } else { Ok(()) }
    }

    async fn more(&mut self) -> Result<(), End> {
        timeout(HOLD_FOR, self.fill()).await.map_err(|_| End::Gone)?.map_err(End::from)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Malformed;

/// The head at the beginning of these bytes; none while it isn't complete.
fn head(bytes: &[u8]) -> Option<Result<Head, Malformed>> {
    let [first, second, rest @ ..] = bytes else { return None };
    let (is_final, opcode) = (first & FINAL != 0, first & 0x0f);
    let is_masked = second & 0x80 != 0;
    let (length, rest) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*length)), rest)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*length), rest)
        }
        short => (u64::from(short), rest),
    };
    let is_control = opcode & 0x08 != 0;
    let is_long = length > CONTROL_LIMIT_BYTES as u64;
    // No extension was agreed upon, and a client always masks.
    if first & 0x70 != 0 || !is_masked || is_control && (is_long || !is_final) || length >> 63 != 0
    {
        return Some(Err(Malformed));
    }
    let (mask, rest) = rest.split_first_chunk::<4>()?;
    let bytes = bytes.len() - rest.len();
    Some(Ok(Head { is_final, opcode, length, mask: *mask, bytes }))
}

fn head_of(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => head.push(short),
        (_, Ok(middle)) => {
            head.push(126);
            head.extend_from_slice(&middle.to_be_bytes());
        }
        (_, Err(_)) => {
            head.push(127);
            head.extend_from_slice(&length.to_be_bytes());
        }
    }
    head
}

/// Takes the mask off bytes that begin at this place of their payload.
fn unmask(bytes: &mut [u8], mask: [u8; 4], at: u64) {
    for (byte, at) in bytes.iter_mut().zip(at..) {
        *byte ^= mask[(at % 4) as usize];
    }
}

const FINAL: u8 = 0x80;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// RFC 6455, 7.4.1.
const PROTOCOL_ERROR: u16 = 1002;

/// RFC 6455, 5.5.
const CONTROL_LIMIT_BYTES: usize = 125;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_complete() {
        for (length, long) in
            [(5, &[5][..]), (300, &[126, 1, 44]), (70_000, &[127, 0, 0, 0, 0, 0, 1, 17, 112])]
        {
            let mut bytes = vec![FINAL | TEXT];
            bytes.extend_from_slice(long);
            bytes[1] |= 0x80;
            bytes.extend_from_slice(b"mask");
            assert!((0..bytes.len()).all(|end| head(&bytes[..end]).is_none()));
            let found =
                Head { is_final: true, opcode: TEXT, length, mask: *b"mask", bytes: bytes.len() };
            assert_eq!(head(&bytes), Some(Ok(found)));
            assert_eq!(head_of(FINAL | TEXT, length)[1..], *long);
        }
    }

    #[test]
    fn what_a_client_may_not_send_is_malformed() {
        for bytes in [
            &[FINAL | TEXT, 1][..],
            &[0xc0 | TEXT, 0x81],
            &[PING, 0x81],
            &[FINAL | PING, 0xfe, 0, 126],
            &[FINAL | TEXT, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(head(bytes), Some(Err(Malformed)), "{bytes:?}");
        }
    }

    #[test]
    fn a_mask_goes_on_where_a_payload_was_cut() {
        let mut whole = *b"abcdefghij";
        unmask(&mut whole, *b"mask", 0);
        let (one, two) = whole.split_at_mut(3);
        unmask(one, *b"mask", 0);
        unmask(two, *b"mask", 3);
        assert_eq!(&whole, b"abcdefghij");
    }
}
