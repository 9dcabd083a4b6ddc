//! HTTP/1.1 by hand, so that it can break at any byte.
//!
//! ```text
//! idle -> read head -> read body -> carry out -> send -> idle
//!   |        |            |             |          |
//!   +--------+------------+-------------+----------+--> reset, close, hold or leave
//! ```
//!
//! [`Connection`] reads (`read.rs`, `body.rs`) and writes (`send.rs`); after an upgrade it is an echo, of WebSocket frames too (`websocket.rs`). This isn't a server for the world: it is
//! strict where a lenient parser would hide a client's mistake, and answers what it refuses with a status.

mod body;
mod read;
mod send;
mod websocket;

use std::io;

use bytes::BytesMut;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep_until, timeout};

pub(crate) use body::BODY_LIMIT_BYTES;
pub(crate) use read::{Framing, HEAD_LIMIT_BYTES, Head};

use crate::api::{Protocol, Reply, Request};
use crate::exchange::{After, Manner, Outcome, carry_out, healthy};
use crate::fault::Ending;
use crate::site::{IdleUntil, Site};
use crate::wire::{HOLD_FOR, Wire};

/// A connection and what was read from it but not used yet.
pub(crate) struct Connection {
    wire: Wire,
    buffer: BytesMut,
}

/// Why a request couldn't be read.
#[derive(Debug)]
pub(crate) enum Unreadable {
    /// The peer is gone.
    Gone,
    /// The peer gets this status, then the connection is closed.
    Refused(StatusCode, &'static str),
}

impl From<io::Error> for Unreadable {
    fn from(_: io::Error) -> Self {
        // Whatever it was, there is nobody left to talk to.
        Self::Gone
    }
}

/// What happens to the connection after a request.
enum Next {
    KeepAlive,
    End(After),
    Echo(Protocol, Option<u64>, After),
}

/// Serves requests until the connection ends. The buffer holds what was read already.
pub(crate) async fn serve(mut connection: Connection, site: &Site) {
    let mut served = 0u64;
    loop {
        if connection.buffer.is_empty() {
            match connection.idle(site).await {
                Idle::Bytes => {}
                Idle::Over => return connection.wire.end(site.ending_of_idle()).await,
                Idle::Gone => return,
            }
        }
        if served > 0
            && let Some(ending) = site.ending_on_reuse()
        {
            return connection.wire.end(ending).await;
        }
        match connection.exchange(site).await {
            Ok(Next::KeepAlive) => served += 1,
            Ok(Next::End(After::Close)) => return connection.wire.finish().await,
            Ok(Next::End(After::Reset)) => return connection.wire.reset(),
            Ok(Next::End(After::Silence)) => return connection.wire.hold().await,
            Ok(Next::Echo(Protocol::Echo, limit, after)) => {
                return connection.echo(limit, after).await;
            }
            Ok(Next::Echo(Protocol::WebSocket { answers_pings }, limit, after)) => {
                return connection.echo_frames(answers_pings, limit, after).await;
            }
            Err(Unreadable::Gone) => return,
            Err(Unreadable::Refused(status, why)) => {
                let _ = connection
                    .send(Reply::error(status, why), Manner::Whole, Version::closing(), &mut 0)
                    .await;
                return connection.wire.finish().await;
            }
        }
    }
}

/// How an answer has to be framed for the one who asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Version {
    /// HTTP/1.0 knows no chunks; a body without a length ends with the connection.
    pub(crate) is_old: bool,
    pub(crate) keep_alive: bool,
}

impl Version {
    pub(crate) fn closing() -> Self {
        Self { is_old: false, keep_alive: false }
    }
}

pub(crate) enum Idle {
    /// There is something to read.
    Bytes,
    /// It was idle for too long.
    Over,
    /// The peer has closed.
    Gone,
}

impl Connection {
    pub(crate) fn new(wire: Wire) -> Self {
        Self { wire, buffer: BytesMut::new() }
    }

    /// Whether it begins with these bytes; reads on while that is open.
    pub(crate) async fn begins_with(&mut self, preface: &[u8]) -> bool {
        let compare = async {
            while self.buffer.len() < preface.len() && preface.starts_with(&self.buffer) {
                if self.fill().await.is_err() {
                    break;
                }
            }
        };
        // What comes too slowly is read on as HTTP/1.1, and times out there.
        let _ = timeout(read::HEAD_FOR, compare).await;
        self.buffer.starts_with(preface)
    }

    /// Gives the bytes back, those read and not used first.
    pub(crate) fn into_wire(mut self) -> Wire {
        let read = self.buffer.split();
        self.wire.read_again(read);
        self.wire
    }

    /// Ends it cleanly.
    pub(crate) async fn finish(self) {
        self.wire.finish().await;
    }

    /// Ends it in this way.
    pub(crate) async fn end(self, ending: Ending) {
        self.wire.end(ending).await;
    }

    /// Waits for the next request's first bytes.
    pub(crate) async fn idle(&mut self, site: &Site) -> Idle {
        let since = Instant::now();
        let spread = site.spread();
        let mut rules = site.rules.subscribe();
        loop {
            let IdleUntil { close_at, look_again_at } = site.idle_until(since, spread);
            let limit = since + HOLD_FOR;
            let close_at = close_at.unwrap_or(limit).min(limit);
            let wake_at = look_again_at.map_or(close_at, |turn| turn.min(close_at));
            tokio::select! {
                // Bytes that are here already win against a deadline that has just passed.
                biased;
                read = self.fill() => return if read.is_ok() { Idle::Bytes } else { Idle::Gone },
                changed = rules.changed() => if changed.is_err() { return Idle::Over },
                () = sleep_until(wake_at) => if wake_at >= close_at { return Idle::Over },
            }
        }
    }

    async fn exchange(&mut self, site: &Site) -> Result<Next, Unreadable> {
        let Head { mut request, framing, version, expects_continue } = self.read_head().await?;
        site.oracle.received(site.entry(&request));
        if expects_continue && self.buffer.is_empty() {
            self.wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        self.read_body(framing, &mut request.body).await?;
        let outcome = carry_out(site, &request).await;
        self.perform(site, &request, version, outcome).await
    }

    async fn perform(
        &mut self,
        site: &Site,
        request: &Request,
        version: Version,
        outcome: Outcome,
    ) -> Result<Next, Unreadable> {
        let (mut reply, manner) = match outcome {
            Outcome::Silence => return Ok(Next::End(After::Silence)),
            Outcome::Reset => return Ok(Next::End(After::Reset)),
            Outcome::Close => return Ok(Next::End(After::Close)),
            Outcome::Garbage(bytes) => {
                self.wire.write_all(&bytes).await?;
                return Ok(Next::End(After::Close));
            }
            // Faults of HTTP/2 alone: here the server is healthy.
            Outcome::RefuseStream | Outcome::GoAway => (healthy(site, request), Manner::Whole),
            Outcome::GoAwayGracefully(reply) => (*reply, Manner::Whole),
            Outcome::Answer(reply, manner) => (*reply, manner),
        };
        let upgrade = reply.upgrade;
        reply.chunked &= upgrade.is_none();
        let mut answer = site.oracle.answer(site.entry(request));
        let sent = self.send(reply, manner, version, &mut answer.body_bytes).await;
        answer.ended(matches!(sent, Ok(None)));
        Ok(match (sent?, manner, upgrade) {
            (Some(after), ..) => Next::End(after),
            (None, Manner::Cut(cut, after), Some(protocol)) => {
                Next::Echo(protocol, cut.map(|cut| cut.at), after)
            }
            (None, _, Some(protocol)) => Next::Echo(protocol, None, After::Close),
            // A reset is asked for even where there was no body to break.
            (None, Manner::Cut(cut, After::Reset), None)
                if cut.is_none_or(|cut| !cut.spares_shorter) =>
            {
                Next::End(After::Reset)
            }
            (None, _, None) if version.keep_alive => Next::KeepAlive,
            (None, _, None) => Next::End(After::Close),
        })
    }

    /// Sends every byte back, up to a limit if the script cuts it there.
    async fn echo(mut self, limit: Option<u64>, after: After) {
        let mut left = limit.unwrap_or(u64::MAX);
        while left > 0 {
            if self.buffer.is_empty() && !matches!(timeout(HOLD_FOR, self.fill()).await, Ok(Ok(())))
            {
                return self.wire.finish().await;
            }
            let count = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let piece = self.buffer.split_to(count);
            left -= count as u64;
            if self.wire.write_all(&piece).await.is_err() {
                return;
            }
        }
        match after {
            After::Reset => self.wire.reset(),
            After::Close => self.wire.finish().await,
            After::Silence => self.wire.hold().await,
        }
    }

    /// Reads what there is, at least a byte; an end of file is an error. Nothing is lost when it is cancelled.
    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(FILL_BYTES);
        if self.wire.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// Most requests come in one read; large bodies are read in pieces of this size.
const FILL_BYTES: usize = 8 * 1024;
