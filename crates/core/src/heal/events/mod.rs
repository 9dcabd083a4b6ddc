//! Healing server-sent events (`text/event-stream`, WHATWG HTML, section 9.2): a stream that broke goes on behind the last
//! event that the application had, or it breaks loudly.
//!
//! ```text
//!   piece ─▶ Splitter ─▶ whole blocks ─▶ new? ─▶ the application
//!                │                        │ comes again: left out
//!                ▼                        ▼ nobody can tell: Unhealable, an error event, an abnormal end
//!          what isn't whole           Replay, against History
//!          is kept back
//! ```
//!
//! # What is promised, and by what
//!
//! *The application gets each event that the server sends, whole, once, and in order; or it is told that this can't be had.*
//!
//! - **Whole.** Only whole blocks are passed on, as they came. A break loses what is kept back, of which the application has seen
//!   nothing. A block beyond [`EventSettings::block_bytes`] is passed on as it comes, and from then on the stream can't be healed.
//! - **Each.** After a break the server is asked, by `Last-Event-ID`, for what comes after the last id that was *given* ([`Stream::resume`]).
//!   That is the server's own word for that place if it has one word for one place: so a stream in which an id came twice isn't
//!   continued, nor one whose last id can't be sent as it is.
//! - **Once.** What comes over the new connection is compared with what was delivered until it is known where in the stream it begins:
//!   after the last id, as asked; or before, since the server begins from the start, or from what it still has. What was
//!   delivered has to come again exactly, without a gap, up to the last of it, and is left out; then come news.
//!   Events without ids that were delivered after the last id lie behind the place that was asked for: a server that has gone
//!   on right there sends them first. If they don't come, it can't be told what else is missing, and that is
//!   [`Unhealable::TailNotRepeated`]; [`EventSettings::volatile`] names the events that don't matter.
//! - **Never two for one.** An event is compared by its id, type and data. The same id with another event is
//!   [`Unhealable::IdReused`]: the server has begun to count anew. An event without an id that could be either waits for one that
//!   decides, at best one with an id; if none can, it is [`Unhealable::Ambiguous`].
//! - **In bounded memory.** [`EventSettings::remembered`] events are remembered. Beyond that an id is known to be new only if all ids
//!   rose so far (counters, offsets, times) and it is above them. If they didn't, the stream isn't continued:
//!   [`Unhealable::TooManyEvents`].
//!
//! What is taken on trust: that a server that answers `Last-Event-ID` with 200 sends what came after it, if it has it. A server that
//! goes on with what happens now, and leaves out what happened meanwhile, looks the same, to an `EventSource` as well.
//!
//! # The rest
//!
//! [`StreamHead`] reads the heads, [`Terminal`] knows the streams that end with an event of their own, [`Vigil`] has the times, and
//! [`Recorded`] gives ids to the events of streams that have none and keeps them in a [`Ring`], for breaks on the application's side;
//! [`Attendance`] says whether and how long the stream is read on for that.
//!
//! What it doesn't do: decide whether the method may be repeated, what a reconnect costs and how often it is tried. That is as for
//! every other attempt.

mod attendance;
mod block;
mod digest;
mod head;
mod history;
mod order;
mod part;
mod recorded;
mod replay;
mod ring;
mod settings;
mod splitter;
mod stream;
mod terminal;
mod unhealable;
mod vigil;
mod written;

pub use attendance::{Attendance, Duty};
pub use block::Block;
pub use head::{Continuation, HeadRefusal, StreamHead};
pub use part::{Part, PartKind, Parts};
pub use recorded::{Passed, Recorded};
pub use ring::{Lost, Ring, RingId, RingSettings};
pub use settings::{EndRule, EventSettings};
pub use splitter::Source;
pub use stream::{Resume, Stream, StreamCounts, StreamEnd};
pub use terminal::{Terminal, TerminalOf};
pub use unhealable::Unhealable;
pub use vigil::{Due, Vigil};
pub use written::{BreakNotice, GapNotice, HEARTBEAT};
