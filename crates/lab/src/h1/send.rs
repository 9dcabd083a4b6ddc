//! Writes an answer, whole or broken at exactly the byte that was asked for.

use std::io;

use bytes::{BufMut, BytesMut};
use http::{HeaderMap, header};
use tokio::io::AsyncWriteExt;

use super::{Connection, Version};
use crate::api::{PIECE_BYTES, Reply};
use crate::exchange::{After, Cut, Edge, Manner};

/// What waits to be written.
struct Out<'a> {
    buffer: BytesMut,
    /// How much of it is of the body, chunks' heads aside.
    body_bytes: u64,
    /// How much of the body was written before.
    sent: &'a mut u64,
}

impl Connection {
    /// Sends an answer; what follows it if it was broken on purpose, none if it was sent whole. `sent` grows by the bytes
    /// of the body that the kernel has taken, at once, for the caller may not live to see the end.
    pub(crate) async fn send(
        &mut self,
        mut reply: Reply,
        manner: Manner,
        version: Version,
        sent: &mut u64,
    ) -> io::Result<Option<After>> {
        reply.seal();
        let is_framed = reply.chunked && !version.is_old;
        let buffer = head(&reply, is_framed, version.keep_alive);
        let mut out = Out { buffer, body_bytes: 0, sent };
        let cut = match manner {
            Manner::HalfHead => {
                out.buffer.truncate(out.buffer.len() / 2);
                self.write(&mut out).await?;
                return Ok(Some(After::Silence));
            }
            Manner::HeadOnly => {
                self.write(&mut out).await?;
                return Ok(Some(After::Reset));
            }
            // An answer to HEAD has no body to break, and an echo breaks later.
            Manner::Cut(cut, after) if !reply.is_to_head && reply.upgrade.is_none() => {
                cut.map(|cut| (cut, after))
            }
            Manner::Cut(..) => None,
            Manner::Whole | Manner::Pieces(..) => None,
        };
        let after = self.send_body(&mut reply, &mut out, manner, is_framed, cut).await?;
        if after == Some(After::Reset) && cut.is_some_and(|(cut, _)| cut.at > SURELY_TAKEN_BYTES) {
            self.wire.delivered().await;
        }
        Ok(after)
    }

    async fn send_body(
        &mut self,
        reply: &mut Reply,
        out: &mut Out<'_>,
        manner: Manner,
        is_framed: bool,
        cut: Option<(Cut, After)>,
    ) -> io::Result<Option<After>> {
        let (piece_bytes, pause) = match manner {
            Manner::Pieces(bytes, every) => (bytes, Some(every)),
            _ => (u64::MAX, None),
        };
        let mut left = cut.map_or(u64::MAX, |(cut, _)| cut.at);
        if !reply.source.is_instant() || pause.is_some() {
            self.write(out).await?;
        }
        loop {
            if left == 0 {
                if is_framed && let Some((Cut { edge: Edge::InHead(drawn), .. }, _)) = cut {
                    put_part_of_head(&mut out.buffer, reply.source.left(), drawn);
                }
                self.write(out).await?;
                return Ok(cut.map(|(_, after)| after));
            }
            let most = usize::try_from(left.min(piece_bytes)).unwrap_or(usize::MAX);
            let Some(piece) = reply.source.next(most).await else { break };
            left -= piece.len() as u64;
            let is_open = left == 0 && cut.is_some_and(|(cut, _)| cut.edge == Edge::InChunk);
            if is_framed {
                let more = if is_open { promised(reply.source.left()) } else { 0 };
                out.buffer.put_slice(format!("{:x}\r\n", piece.len() as u64 + more).as_bytes());
            }
            out.buffer.put_slice(&piece);
            out.body_bytes += piece.len() as u64;
            if is_framed && !is_open {
                out.buffer.put_slice(b"\r\n");
            }
            if out.buffer.len() >= WRITE_BYTES || !reply.source.is_instant() || pause.is_some() {
                self.write(out).await?;
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
        if is_framed && !reply.is_to_head {
            out.buffer.put_slice(b"0\r\n");
            put_fields(&mut out.buffer, &reply.trailers);
            out.buffer.put_slice(b"\r\n");
        }
        self.write(out).await?;
        // An endless body may have ended before its cut; it is broken all the same, unless that was by chance.
        Ok(cut.filter(|(cut, _)| !cut.spares_shorter).map(|(_, after)| after))
    }

    async fn write(&mut self, out: &mut Out<'_>) -> io::Result<()> {
        self.wire.write_all(&out.buffer).await?;
        self.wire.flush().await?;
        out.buffer.clear();
        *out.sent += std::mem::take(&mut out.body_bytes);
        Ok(())
    }
}

fn head(reply: &Reply, is_framed: bool, keep_alive: bool) -> BytesMut {
    let mut out = BytesMut::with_capacity(512);
    let reason = reply.status.canonical_reason().unwrap_or("Unknown");
    out.put_slice(format!("HTTP/1.1 {} {reason}\r\n", reply.status.as_u16()).as_bytes());
    put_fields(&mut out, &reply.headers);
    if is_framed {
        put_field(&mut out, header::TRANSFER_ENCODING.as_str(), b"chunked");
    }
    if !keep_alive && reply.upgrade.is_none() {
        put_field(&mut out, header::CONNECTION.as_str(), b"close");
    }
    out.put_slice(b"\r\n");
    out
}

fn put_fields(out: &mut BytesMut, fields: &HeaderMap) {
    for (name, value) in fields {
        put_field(out, name.as_str(), value.as_bytes());
    }
}

fn put_field(out: &mut BytesMut, name: &str, value: &[u8]) {
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// The beginning of the next chunk's head: some of its digits, or all and a part of the line's end.
fn put_part_of_head(out: &mut BytesMut, left: Option<u64>, drawn: u64) {
    let head = format!("{:x}\r\n", promised(left));
    let count = 1 + drawn % (head.len() as u64 - 1);
    out.put_slice(&head.as_bytes()[..usize::try_from(count).unwrap_or(1)]);
}

/// What a chunk says that isn't sent whole: the rest of the body, if that is known and no more than a chunk holds.
fn promised(left: Option<u64>) -> u64 {
    left.unwrap_or(1).clamp(1, PIECE_BYTES as u64)
}

/// The peer's kernel takes this much at once, whether or not its program reads.
const SURELY_TAKEN_BYTES: u64 = 16 * 1024;

/// One write for a small answer, few for a large one.
const WRITE_BYTES: usize = 32 * 1024;
