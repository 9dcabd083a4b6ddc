//! HTTP/2 by hand: frames as somebody writes them who doesn't mean to keep the rules.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use crate::support::{PATIENCE, text};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// A request's head: a whole one.
    pub(crate) fn head(stream: u32, fields: &[(&[u8], &[u8])], ends: bool) -> Self {
        let flags = END_HEADERS | if ends { END_STREAM } else { 0 };
        Self::new(HEADERS, flags, stream, block(fields))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = (self.payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// Fields as HPACK writes them without any of its arts: literal, not indexed, not coded.
pub(crate) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for part in [name, value] {
            length(&mut block, part.len());
            block.extend_from_slice(part);
        }
    }
    block
}

/// RFC 7541, section 5.1, with a prefix of seven bits.
fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        block.push(length as u8);
        return;
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// How a stream ended, or the connection under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// An answer's head with status 200.
    Good,
    /// Another head.
    Other,
    Reset(u32),
    GoAway(u32),
    Closed,
}

/// A connection of HTTP/2 in the clear, by prior knowledge.
pub(crate) struct Http2 {
    pub(crate) tcp: TcpStream,
    got: Vec<u8>,
}

/// Its half that reads.
pub(crate) struct Reading {
    tcp: OwnedReadHalf,
}

impl Reading {
    /// Reads until the connection has ended: the code of the last GOAWAY, if there was one.
    pub(crate) async fn end(mut self) -> Result<End, String> {
        let (mut got, mut end) = (Vec::new(), End::Closed);
        let mut piece = [0; 16 * 1024];
        loop {
            while let Some(frame) = cut(&mut got) {
                if frame.kind == GOAWAY {
                    end = End::GoAway(number(&frame.payload, 4));
                }
            }
            match timeout(PATIENCE, self.tcp.read(&mut piece)).await {
                Err(_) => return Err("the connection isn't ended".into()),
                Ok(Ok(0) | Err(_)) => return Ok(end),
                Ok(Ok(length)) => got.extend_from_slice(&piece[..length]),
            }
        }
    }
}

/// Takes the first frame out of bytes, if it is whole.
fn cut(got: &mut Vec<u8>) -> Option<Frame> {
    let (head, rest) = got.split_at_checked(9)?;
    let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
    let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
    let frame = Frame::new(head[3], head[4], stream, rest.get(..length)?);
    got.drain(..9 + length);
    Some(frame)
}

impl Http2 {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, String> {
        let mut opened =
            Self { tcp: TcpStream::connect(address).await.map_err(text)?, got: Vec::new() };
        opened.tcp.set_nodelay(true).map_err(text)?;
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(Frame::new(SETTINGS, 0, 0, []).bytes());
        opened.tcp.write_all(&hello).await.map_err(text)?;
        Ok(opened)
    }

    /// Both halves, to be used at the same time.
    pub(crate) fn split(self) -> (Reading, OwnedWriteHalf) {
        let (tcp, writing) = self.tcp.into_split();
        (Reading { tcp }, writing)
    }

    /// Sends; false when the proxy has hung up.
    pub(crate) async fn send(&mut self, frames: &[Frame]) -> bool {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        matches!(timeout(PATIENCE, self.tcp.write_all(&bytes)).await, Ok(Ok(())))
    }

    /// The next frame; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, String> {
        loop {
            if let Some(frame) = cut(&mut self.got) {
                return Ok(Some(frame));
            }
            let mut piece = [0; 16 * 1024];
            match timeout(PATIENCE, self.tcp.read(&mut piece)).await {
                Err(_) => return Err("no frame comes".into()),
                Ok(Ok(0) | Err(_)) => return Ok(None),
                Ok(Ok(length)) => self.got.extend_from_slice(&piece[..length]),
            }
        }
    }

    /// Reads until this stream or the connection has ended, or an answer's head has come.
    pub(crate) async fn end_of(&mut self, stream: u32) -> Result<End, String> {
        while let Some(frame) = self.next().await? {
            match frame.kind {
                HEADERS if frame.stream == stream => {
                    // `:status: 200` is the eighth entry of the static table; a change of the dynamic one's size may precede.
                    let status = frame.payload.iter().find(|byte| **byte >> 5 != 1);
                    return Ok(if status == Some(&0x88) { End::Good } else { End::Other });
                }
                RST_STREAM if frame.stream == stream => {
                    return Ok(End::Reset(number(&frame.payload, 0)));
                }
                GOAWAY => return Ok(End::GoAway(number(&frame.payload, 4))),
                _ => {}
            }
        }
        Ok(End::Closed)
    }
}

fn number(payload: &[u8], at: usize) -> u32 {
    payload
        .get(at..at + 4)
        .map_or(u32::MAX, |four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}
