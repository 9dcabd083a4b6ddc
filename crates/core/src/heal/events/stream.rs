//! One event stream on its way to the application, over as many connections as it takes.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::block::Block;
use super::history::History;
use super::part::{Part, PartKind};
use super::replay::{Replay, Verdict};
use super::settings::{EndRule, EventSettings};
use super::splitter::{BOM, Cut, Source, Splitter};
use super::unhealable::Unhealable;
use super::written::{BreakNotice, HEARTBEAT};
use crate::breaks::BreakKind;
use crate::check::Checked;

/// What has become of a stream, and what is still to come.
///
/// The driver pushes pieces in and passes on what comes out ([`Stream::take`]). When the connection ends it asks
/// [`Stream::on_end`], when it breaks [`Stream::is_complete`] and then [`Stream::resume`]; a connection that continues is
/// announced by [`Stream::on_reconnected`].
///
/// ```
/// use std::sync::Arc;
/// use mainstay_core::Checked;
/// use mainstay_core::heal::events::{Parts, Source, Stream, Unhealable};
///
/// let mut stream = Stream::new(Arc::new(Checked::default()), None);
/// let piece = b"data: a\nid: 1\n\ndata: b\nid";
/// let (mut at, mut parts) = (0, Parts::new());
/// while let Some(part) = stream.take(piece, &mut at)? {
///     parts.push(part.source);
/// }
/// assert_eq!(parts.into_inner(), [Source::Piece(0..15)]);
///
/// // It breaks, and a connection is made that asks for what came after event 1; its server begins with it.
/// assert_eq!(stream.resume()?.last_event_id.as_deref(), Some(&b"1"[..]));
/// stream.on_reconnected();
/// let (piece, mut at) = (b"data: a\nid: 1\n\ndata: b\nid: 2\n\n", 0);
/// let part = stream.take(piece, &mut at)?.expect("event 2");
/// assert_eq!(part.source.bytes(piece), b"data: b\nid: 2\n\n");
/// # Ok::<(), Unhealable>(())
/// ```
#[derive(Debug)]
pub struct Stream {
    settings: Arc<Checked<EventSettings>>,
    splitter: Splitter,
    history: History,
    /// While it isn't known where in the stream this connection is.
    replay: Option<Replay>,
    /// Blocks that turned out to be news, to be given before anything else.
    released: VecDeque<Vec<u8>>,
    retry: Option<Duration>,
    terminal: TerminalState,
    /// Why it can't be continued, whatever comes.
    spoiled: Option<Unhealable>,
    /// Whether what was given last ended a block.
    is_at_boundary: bool,
    /// Whether the application was given anything, our own included.
    has_written: bool,
    counts: StreamCounts,
    /// Reconnects since an event was given.
    fruitless: u32,
}

/// What was done so far, for records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Events that were given to the application.
    pub delivered: u64,
    /// Events that came again and were left out.
    pub repeated: u64,
}

/// How the stream stands to its terminal event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TerminalState {
    /// No event has come.
    Unknown,
    /// It is to come.
    Due,
    /// The stream isn't of those that have one.
    NotDue,
    Came,
}

/// How a broken stream is continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The `Last-Event-ID` to send in place of the request's own; `None`: the request goes as it was.
    pub last_event_id: Option<Vec<u8>>,
}

/// What the end of a connection in good order is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The end of the stream. These bytes come before it: lines that no empty line followed. They are the server's last word, and
    /// not a part of anything longer.
    Whole(Vec<u8>),
    /// The stream is to be continued ([`Stream::resume`] says how).
    Reconnect,
    /// A break: [`BreakKind::BodyTruncated`].
    Broken,
}

impl Stream {
    /// A stream begins. `asked_after` is the `Last-Event-ID` of the application's request.
    #[must_use]
    pub fn new(settings: Arc<Checked<EventSettings>>, asked_after: Option<&[u8]>) -> Self {
        Self {
            splitter: Splitter::new(settings.block_bytes),
            history: History::new(settings.remembered, asked_after),
            settings,
            replay: None,
            released: VecDeque::new(),
            retry: None,
            terminal: TerminalState::Unknown,
            spoiled: None,
            is_at_boundary: true,
            has_written: false,
            counts: StreamCounts::default(),
            fruitless: 0,
        }
    }

    /// What of `piece`, from `at` on, goes to the application next; `at` is moved. `None`: the piece is used up.
    ///
    /// # Errors
    ///
    /// It can't be told what of it the application has had. What was taken before goes to the application, and nothing after.
    pub fn take(&mut self, piece: &[u8], at: &mut usize) -> Result<Option<Part>, Unhealable> {
        loop {
            if let Some(bytes) = self.released.pop_front() {
                self.note_given(&Block::read(&bytes));
                let source = Source::Own(bytes);
                return Ok(Some(Part { source, kind: PartKind::Block }));
            }
            let Some(cut) = self.splitter.next(piece, at) else { return Ok(None) };
            match cut {
                // Only what is the very first thing of a stream is a mark to the application.
                Cut::Mark if self.has_written => {}
                Cut::Mark => {
                    self.has_written = true;
                    return Ok(Some(Part {
                        source: Source::Own(BOM.to_vec()),
                        kind: PartKind::Mark,
                    }));
                }
                Cut::Fragment { source, ends_block } => {
                    return self.give_fragment(source, ends_block).map(Some);
                }
                Cut::Block(source) => {
                    let block = Block::read(source.bytes(piece));
                    self.retry = block.retry.or(self.retry);
                    if self.is_wanted(&block)? {
                        self.note_given(&block);
                        return Ok(Some(Part { source, kind: PartKind::Block }));
                    }
                }
            }
        }
    }

    /// The connection ended in good order.
    #[must_use]
    pub fn on_end(&self) -> StreamEnd {
        let rest = self.splitter.rest();
        let last = Block::read(rest);
        if self.terminal == TerminalState::Came {
            return StreamEnd::Whole(rest.to_vec());
        }
        let owes =
            self.replay.as_ref().is_some_and(|replay| !replay.owes_nothing() || last.has_data);
        if owes || !self.is_at_boundary {
            return StreamEnd::Broken;
        }
        match &self.settings.end {
            EndRule::Terminal(terminal) if self.terminal != TerminalState::NotDue => {
                let is_whole = terminal.is_ended_by(&last);
                if is_whole { StreamEnd::Whole(rest.to_vec()) } else { StreamEnd::Broken }
            }
            EndRule::Reconnect if self.fruitless < MOST_FRUITLESS && self.resume().is_ok() => {
                StreamEnd::Reconnect
            }
            // A line that was cut off is a sign that more was to come.
            _ if !rest.is_empty() && !rest.ends_with(b"\n") && !rest.ends_with(b"\r") => {
                StreamEnd::Broken
            }
            EndRule::Terminal(_) | EndRule::Reconnect | EndRule::AsItIs => {
                StreamEnd::Whole(rest.to_vec())
            }
        }
    }

    /// The server answered a reconnect with 204: there is no more, and it doesn't want to be asked again.
    #[must_use]
    pub fn on_no_content(&self) -> StreamEnd {
        let is_due = matches!(self.terminal, TerminalState::Unknown | TerminalState::Due);
        if matches!(self.settings.end, EndRule::Terminal(_)) && is_due {
            return StreamEnd::Broken;
        }
        StreamEnd::Whole(Vec::new())
    }

    /// Whether the terminal event has come, so that whatever breaks now takes nothing away.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.terminal == TerminalState::Came
    }

    /// How it is continued after a break.
    ///
    /// # Errors
    ///
    /// What is missing to the proof that it would be continued exactly.
    pub fn resume(&self) -> Result<Resume, Unhealable> {
        if let Some(reason) = self.spoiled {
            return Err(reason);
        }
        let last_event_id = self.history.resume_after()?.map(<[u8]>::to_vec);
        Ok(Resume { last_event_id })
    }

    /// A connection is there that continues the stream, as [`Stream::resume`] said.
    pub fn on_reconnected(&mut self) {
        self.splitter = Splitter::new(self.settings.block_bytes);
        self.released.clear();
        self.replay = Some(Replay::new(&self.history, self.settings.block_bytes));
        self.fruitless = self.fruitless.saturating_add(1);
    }

    /// How long to wait before reconnecting, if by the ordinary rules it would be so long: at least what the server's last `retry`
    /// said.
    #[must_use]
    pub fn reconnect_after(&self, ordinary: Duration) -> Duration {
        self.retry.map_or(ordinary, |retry| ordinary.max(retry.min(self.settings.retry_most)))
    }

    /// What was done so far.
    #[must_use]
    pub const fn counts(&self) -> StreamCounts {
        self.counts
    }

    /// The id after which the application stands.
    #[must_use]
    pub fn last_event_id(&self) -> Option<&[u8]> {
        self.history.last_id()
    }

    /// The application was given something of our own before the stream.
    pub const fn note_written(&mut self) {
        self.has_written = true;
    }

    /// A sign of life to write, unless the application is in the middle of a block.
    pub fn heartbeat(&mut self) -> Option<&'static [u8]> {
        self.has_written |= self.is_at_boundary;
        self.is_at_boundary.then_some(HEARTBEAT)
    }

    /// The event to write before the abnormal end; `None` if there is to be none, or the application is in the middle of a block.
    #[must_use]
    pub fn error_event(&self, kind: BreakKind, reason: Option<Unhealable>) -> Option<Vec<u8>> {
        let name = self.settings.error_event.as_deref().filter(|_| self.is_at_boundary)?;
        let notice = BreakNotice {
            kind,
            reason,
            last_event_id: self.last_event_id(),
            delivered: self.counts.delivered,
        };
        Some(notice.event(name))
    }

    /// Whether a block goes to the application now.
    fn is_wanted(&mut self, block: &Block<'_>) -> Result<bool, Unhealable> {
        let Some(replay) = &mut self.replay else { return Ok(true) };
        if !block.has_data {
            // An id by itself would take the application back to where it was; comments and `retry` do no harm.
            return Ok(block.id.is_none());
        }
        if is_volatile(&self.settings, block) {
            return Ok(true);
        }
        let kept = match replay.judge(block, &self.history)? {
            Verdict::Repeat => {
                self.counts.repeated += 1;
                return Ok(false);
            }
            Verdict::Undecided => return Ok(false),
            Verdict::News(kept) => kept,
            Verdict::Settled(kept) => {
                self.replay = None;
                kept
            }
        };
        if kept.is_empty() {
            return Ok(true);
        }
        self.released.extend(kept);
        self.released.push_back(block.bytes.to_vec());
        Ok(false)
    }

    /// A block goes to the application.
    fn note_given(&mut self, block: &Block<'_>) {
        self.has_written = true;
        let is_volatile = is_volatile(&self.settings, block);
        if !is_volatile {
            self.history.push(block);
        }
        if !block.has_data {
            return;
        }
        self.counts.delivered += 1;
        self.fruitless = 0;
        if let EndRule::Terminal(terminal) = &self.settings.end {
            if terminal.is_ended_by(block) {
                self.terminal = TerminalState::Came;
            } else if self.terminal == TerminalState::Unknown && !is_volatile {
                let is_due = terminal.is_due_after(block);
                self.terminal = if is_due { TerminalState::Due } else { TerminalState::NotDue };
            }
        }
    }

    /// A part of a block that is too long: it goes on as it comes, and the stream can't be continued any more.
    fn give_fragment(&mut self, source: Source, ends_block: bool) -> Result<Part, Unhealable> {
        if self.replay.is_some() {
            return Err(Unhealable::BlockTooLong);
        }
        self.spoiled = Some(Unhealable::BlockTooLong);
        self.has_written = true;
        self.is_at_boundary = ends_block;
        Ok(Part { source, kind: PartKind::Fragment })
    }
}

/// Whether it is an event that may be missing or come twice.
fn is_volatile(settings: &EventSettings, block: &Block<'_>) -> bool {
    let is_named = |name: &alloc::string::String| name.as_bytes() == block.event;
    block.has_data && block.id.is_none() && settings.volatile.iter().any(is_named)
}

/// Streams in a row that a server ends before an event of theirs was new, and is asked again after.
const MOST_FRUITLESS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heal::events::{Terminal, TerminalOf};
    use std::string::{String, ToString};

    fn with(settings: EventSettings) -> Stream {
        Stream::new(Arc::new(Checked::new(settings).unwrap()), None)
    }

    fn plain() -> Stream {
        with(EventSettings::default())
    }

    fn llm() -> Stream {
        with(EventSettings::llm_stream())
    }

    /// What of a piece goes to the application.
    fn push(stream: &mut Stream, piece: &str) -> Result<String, Unhealable> {
        let (mut at, mut given) = (0, String::new());
        while let Some(part) = stream.take(piece.as_bytes(), &mut at)? {
            given.push_str(core::str::from_utf8(part.source.bytes(piece.as_bytes())).unwrap());
        }
        Ok(given)
    }

    fn given(text: &str) -> Result<String, Unhealable> {
        Ok(text.to_string())
    }

    const A: &str = "data: a\nid: 1\n\n";
    const B: &str = "data: b\nid: 2\n\n";
    const DONE: &str = "data: [DONE]\n\n";
    const CHUNK: &str = "data: {\"choices\":[]}\n\n";

    #[test]
    fn a_piece_of_whole_blocks_is_passed_on_as_it_is() {
        let mut stream = plain();
        let piece = [A, ": c\n\n", B].concat();
        let (mut at, mut parts) = (0, crate::heal::events::Parts::new());
        while let Some(part) = stream.take(piece.as_bytes(), &mut at).unwrap() {
            assert_eq!(part.kind, PartKind::Block);
            parts.push(part.source);
        }
        assert_eq!(parts.into_inner(), [Source::Piece(0..piece.len())]);
        assert_eq!(stream.counts(), StreamCounts { delivered: 2, repeated: 0 });
        assert_eq!(stream.last_event_id(), Some(&b"2"[..]));
    }

    #[test]
    fn what_isn_t_whole_is_lost_with_its_connection_and_comes_again() {
        let mut stream = plain();
        assert_eq!(push(&mut stream, "data: a\nid: 1\n\ndata: b\nid: 2\n"), given(A));
        assert_eq!(stream.resume(), Ok(Resume { last_event_id: Some(b"1".to_vec()) }));
        stream.on_reconnected();
        assert_eq!(push(&mut stream, B), given(B));
    }

    #[test]
    fn what_comes_again_is_left_out_with_the_ids_and_marks_of_the_beginning() {
        let mut stream = plain();
        assert_eq!(push(&mut stream, "\u{feff}id: 0\n\n"), given("\u{feff}id: 0\n\n"));
        assert_eq!(push(&mut stream, &[A, B].concat()), given(&[A, B].concat()));
        stream.on_reconnected();
        let again = ["\u{feff}id: 0\n\n", ": c\n\n", A, B, "data: c\nid: 3\n\n"].concat();
        assert_eq!(push(&mut stream, &again), given(": c\n\ndata: c\nid: 3\n\n"));
        assert_eq!(stream.counts(), StreamCounts { delivered: 3, repeated: 2 });
    }

    #[test]
    fn what_waited_for_an_id_comes_before_it() {
        let mut stream = plain();
        let hello = "data: hello\n\n";
        assert!(push(&mut stream, &[hello, A].concat()).is_ok());
        stream.on_reconnected();
        assert_eq!(push(&mut stream, hello), given(""));
        assert_eq!(stream.on_end(), StreamEnd::Broken, "nobody knows what it was");
        assert_eq!(push(&mut stream, &[B, hello].concat()), given(&[hello, B, hello].concat()));
        assert_eq!(stream.resume(), Ok(Resume { last_event_id: Some(b"2".to_vec()) }));
        assert_eq!(stream.counts().delivered, 5);
    }

    #[test]
    fn nothing_is_given_after_what_can_t_be_told() {
        let mut stream = plain();
        assert!(push(&mut stream, &[A, "data: x\n\n"].concat()).is_ok());
        stream.on_reconnected();
        assert_eq!(push(&mut stream, B), Err(Unhealable::TailNotRepeated));
        let mut stream = llm();
        assert!(push(&mut stream, &[A, "event: ping\ndata: {}\n\n"].concat()).is_ok());
        stream.on_reconnected();
        assert_eq!(push(&mut stream, B), given(B), "a ping doesn't matter there");
    }

    #[test]
    fn the_application_s_own_last_id_is_where_it_stands() {
        let settings = Arc::new(Checked::new(EventSettings::default()).unwrap());
        let mut stream = Stream::new(settings, Some(b"1"));
        let x = "data: x\n\n";
        assert_eq!(push(&mut stream, x), given(x));
        assert_eq!(stream.resume(), Ok(Resume { last_event_id: Some(b"1".to_vec()) }));
        stream.on_reconnected();
        assert_eq!(push(&mut stream, &[x, B].concat()), given(B));
    }

    #[test]
    fn a_block_that_is_too_long_goes_on_as_it_comes_and_ends_the_healing() {
        let mut stream = with(EventSettings { block_bytes: 1024, ..EventSettings::default() });
        let long = ["data: ", &"x".repeat(2000)].concat();
        assert_eq!(push(&mut stream, A), given(A));
        assert_eq!(push(&mut stream, &long), given(&long));
        assert_eq!(stream.heartbeat(), None);
        assert_eq!(stream.error_event(BreakKind::BodyReset, None), None);
        assert_eq!(stream.on_end(), StreamEnd::Broken);
        assert_eq!(push(&mut stream, "\n\n"), given("\n\n"));
        assert_eq!(stream.heartbeat(), Some(HEARTBEAT));
        assert_eq!(push(&mut stream, B), given(B));
        assert_eq!(stream.resume(), Err(Unhealable::BlockTooLong));
        let mut stream = plain();
        stream.on_reconnected();
        let long = "x".repeat(1024 * 1024 + 1);
        assert_eq!(push(&mut stream, &long), Err(Unhealable::BlockTooLong));
    }

    #[test]
    fn a_stream_s_end_is_passed_on_with_its_last_lines_unless_one_is_cut_off() {
        let end = |text: &str| {
            let mut stream = plain();
            assert!(push(&mut stream, text).is_ok());
            stream.on_end()
        };
        assert_eq!(end(""), StreamEnd::Whole(Vec::new()));
        assert_eq!(end(A), StreamEnd::Whole(Vec::new()));
        assert_eq!(end("data: a\n\ndata: b\n"), StreamEnd::Whole(b"data: b\n".to_vec()));
        assert_eq!(end("data: a\n\ndata: b"), StreamEnd::Broken);
    }

    #[test]
    fn a_stream_that_is_to_go_on_after_its_end_does_where_it_can() {
        let mut stream =
            with(EventSettings { end: EndRule::Reconnect, ..EventSettings::default() });
        assert_eq!(stream.on_end(), StreamEnd::Reconnect);
        push(&mut stream, A).unwrap();
        assert_eq!((stream.on_end(), stream.fruitless), (StreamEnd::Reconnect, 0));
        stream.on_reconnected();
        stream.on_reconnected();
        assert_eq!(stream.fruitless, 2);
        assert_eq!(stream.on_no_content(), StreamEnd::Whole(Vec::new()));
        push(&mut stream, B).unwrap();
        assert_eq!(stream.fruitless, 0);
        push(&mut stream, "id\n\n").unwrap();
        assert_eq!(stream.on_end(), StreamEnd::Whole(Vec::new()));
    }

    #[test]
    fn a_server_that_ends_each_stream_before_it_has_said_anything_is_not_asked_for_ever() {
        let mut stream =
            with(EventSettings { end: EndRule::Reconnect, ..EventSettings::default() });
        for _ in 0..MOST_FRUITLESS {
            assert_eq!(stream.on_end(), StreamEnd::Reconnect);
            stream.on_reconnected();
        }
        assert_eq!(stream.on_end(), StreamEnd::Whole(Vec::new()));
    }

    #[test]
    fn a_language_model_s_stream_is_broken_unless_its_last_event_came() {
        let mut stream = llm();
        assert_eq!(stream.on_end(), StreamEnd::Broken, "nothing came at all");
        push(&mut stream, CHUNK).unwrap();
        assert_eq!(stream.on_end(), StreamEnd::Broken);
        assert_eq!(stream.on_no_content(), StreamEnd::Broken);
        assert_eq!(stream.resume(), Err(Unhealable::NoIds));
        push(&mut stream, DONE).unwrap();
        assert!(stream.is_complete());
        assert_eq!(stream.on_end(), StreamEnd::Whole(Vec::new()));
    }

    #[test]
    fn a_last_event_without_its_empty_line_is_the_end_too() {
        let mut stream = llm();
        push(&mut stream, CHUNK).unwrap();
        push(&mut stream, "data: [DONE]").unwrap();
        assert_eq!(stream.on_end(), StreamEnd::Whole(b"data: [DONE]".to_vec()));
    }

    #[test]
    fn another_stream_on_a_language_model_s_route_ends_as_it_likes() {
        let mut stream = llm();
        push(&mut stream, "event: ping\ndata\n\n").unwrap();
        assert_eq!(stream.on_end(), StreamEnd::Broken, "a ping shows nothing");
        push(&mut stream, "data: 5\n\n").unwrap();
        assert_eq!(stream.on_end(), StreamEnd::Whole(Vec::new()));
        let terminal = Terminal { of: TerminalOf::All, ..Terminal::default() };
        let end = EndRule::Terminal(terminal);
        let mut strict = with(EventSettings { end, ..EventSettings::default() });
        push(&mut strict, "data: 5\n\n").unwrap();
        assert_eq!(strict.on_end(), StreamEnd::Broken);
    }

    #[test]
    fn the_server_s_retry_is_the_least_that_is_waited_within_bounds() {
        let mut stream = plain();
        let second = Duration::from_secs(1);
        assert_eq!(stream.reconnect_after(second), second);
        push(&mut stream, "retry: 5000\n\n").unwrap();
        assert_eq!(stream.reconnect_after(second), second * 5);
        assert_eq!(stream.reconnect_after(second * 9), second * 9);
        push(&mut stream, "retry: 999999999\n\n").unwrap();
        assert_eq!(stream.reconnect_after(second), second * 30);
    }

    #[test]
    fn the_error_event_tells_where_the_application_stands_unless_it_is_switched_off() {
        let mut stream = plain();
        push(&mut stream, A).unwrap();
        let event = stream.error_event(BreakKind::BodyReset, Some(Unhealable::NoIds)).unwrap();
        let text = String::from_utf8(event).unwrap();
        assert!(text.contains("\"last_event_id\":\"1\",\"delivered\":1}"), "{text}");
        let silent = with(EventSettings { error_event: None, ..EventSettings::default() });
        assert_eq!(silent.error_event(BreakKind::BodyReset, None), None);
    }
}
