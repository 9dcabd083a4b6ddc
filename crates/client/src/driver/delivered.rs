//! The body of an answer on its way to the application. It ends the call when it ends.
//!
//! ```text
//!             broke, and may be continued                goes on by another answer
//!   reading ───────────────────────────────▶ healing ───────────────────────────────▶ reading
//!      │ ended, or cut                          │ cut
//!      ▼                                        ▼
//!     over                                     over
//! ```

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::upgrade::OnUpgrade;
use mainstay_core::heal::StallGuard;
use mainstay_core::heal::events::{Due, Vigil};
use mainstay_core::heal::socket::{TunnelCounts, TunnelEnd};
use mainstay_core::{Break, BreakKind, Certainty, Timestamp};
use tokio::time::{Sleep, sleep_until};

use super::grpc;
use super::heal::{By, Ended, GoesOn, Healing};
use super::reopen::Handshake;
use super::running::Running;
use crate::Clock;
use crate::degrade::Fill;
use crate::pool::{AnswerBody, AnswerError};
use crate::rings::Follower;

/// The body of a delivered answer. Dropped before its end, the application is gone.
#[derive(Debug)]
pub struct DeliveredBody {
    source: Source,
    /// The call, until its end has been told, and while it isn't busy with healing.
    running: Option<Box<Running>>,
    /// What it needs to go on where it breaks, or the code of what is missing for that.
    healing: Result<Box<Healing>, &'static str>,
    /// Whether the answer that is read continues another one.
    is_continued: bool,
    guard: StallGuard,
    /// Armed by the first wait, and looked at when it ends: a body that comes as one piece needs no timer.
    timer: Option<Pin<Box<Sleep>>>,
    /// A sign of life for the application of an event stream, and when it is due, while that is being continued.
    beat: Option<Box<(Bytes, Vigil)>>,
    /// Whether anything of the body has been given, or a break held back once.
    begun: bool,
    held_back: Option<AnswerError>,
    /// What goes out before everything else, and before a break.
    first_words: Option<Bytes>,
    last_words: Option<Bytes>,
    /// Whether the call's outcome is still to come, in trailers (gRPC).
    awaits_outcome: bool,
    /// A copy for the case that a later one doesn't come.
    copy: Option<Box<Fill>>,
    /// When the connection switched protocols: there is no body then, and the call goes on until its tunnel ends.
    switched_at: Option<Timestamp>,
    /// What that agreed upon.
    handshake: Option<Box<Handshake>>,
}

/// Where the body comes from.
enum Source {
    /// An answer.
    Answer(AnswerBody),
    /// A stream that is kept, and read by a task of its own.
    Ring(Follower),
    /// The attempts to continue one that broke.
    Healing(Pin<Box<dyn Future<Output = GoesOn> + Send>>),
    /// Nothing comes any more.
    Over,
}

/// What a delivered body is told with its answer.
#[derive(Debug)]
pub(super) struct Delivery {
    /// What it needs to go on where it breaks, or the code of what is missing for that.
    pub(super) healing: Result<Box<Healing>, &'static str>,
    /// When it is stalled.
    pub(super) guard: StallGuard,
    /// Whether the trailers tell how the call ended.
    pub(super) awaits_outcome: bool,
    /// A copy that is to be filled.
    pub(super) copy: Option<Box<Fill>>,
}

impl DeliveredBody {
    pub(super) fn new(answer: AnswerBody, running: Box<Running>, delivery: Delivery) -> Self {
        let Delivery { healing, guard, awaits_outcome, copy } = delivery;
        let is_over = answer.is_end_stream();
        let running = Some(running);
        let mut body =
            Self { running, healing, guard, awaits_outcome, copy, ..Self::of_nobody(answer) };
        if is_over {
            body.end_whole(None);
        }
        body
    }

    /// The body of an answer that stands in for another one. Its call is over.
    pub(crate) fn standing_in(bytes: Bytes) -> Self {
        Self::of_nobody(AnswerBody::whole(bytes))
    }

    /// A body that belongs to no call.
    fn of_nobody(answer: AnswerBody) -> Self {
        Self {
            source: Source::Answer(answer),
            running: None,
            healing: Err(NOT_OURS),
            is_continued: false,
            guard: StallGuard::new(Duration::MAX, None),
            timer: None,
            beat: None,
            begun: false,
            held_back: None,
            first_words: None,
            last_words: None,
            awaits_outcome: false,
            copy: None,
            switched_at: None,
            handshake: None,
        }
    }

    /// A stream that is kept, and belongs to a call that others look after.
    pub(super) fn of_ring(follower: Follower) -> Self {
        Self { source: Source::Ring(follower), ..Self::standing_in(Bytes::new()) }
    }

    /// These bytes go before an event stream.
    pub(super) fn say_first(&mut self, words: Bytes) {
        if let Ok(Some(events)) = self.healing.as_mut().map(|healing| healing.events()) {
            events.note_written();
        }
        self.first_words = Some(words);
    }

    /// What comes with a switch of protocols, at this time: no body, and a call that lasts as long as its tunnel.
    pub(super) fn tunnel(running: Box<Running>, handshake: Box<Handshake>, at: Timestamp) -> Self {
        Self {
            running: Some(running),
            switched_at: Some(at),
            handshake: Some(handshake),
            ..Self::standing_in(Bytes::new())
        }
    }

    /// The connection that had switched protocols broke, and nothing was said over it: another one is opened by the same
    /// handshake, elsewhere first, within so long. `None`: nobody agrees to what the application was told.
    ///
    /// Dropping the future gives up; the call goes on until [`DeliveredBody::end_tunnel`].
    pub async fn reopen(&mut self, kind: BreakKind, within: Duration) -> Option<OnUpgrade> {
        let (running, handshake) = (self.running.as_mut()?, self.handshake.as_ref()?);
        handshake.reopen(running, kind, within).await
    }

    /// The connection that had switched protocols ended, and the call with it.
    pub fn end_tunnel(&mut self, end: TunnelEnd, counts: TunnelCounts) {
        let switched_at = self.switched_at.take();
        if let (Some(mut running), Some(at)) = (self.running.take(), switched_at) {
            running.tunnel_ended(end, Clock::now().since(at), counts);
        }
    }

    // ---- the end ------------------------------------------------------------------------------------------------

    fn end(&mut self, broke: Option<BreakKind>) {
        // What isn't whole isn't kept.
        if let (Some(copy), None) = (self.copy.take(), broke) {
            copy.finish();
        }
        if let Some(mut running) = self.running.take() {
            running.body_ended(broke);
        }
    }

    /// It came to its end, with these trailers.
    fn end_whole(&mut self, trailers: Option<&HeaderMap>) {
        let broke = if self.awaits_outcome { grpc::ended(trailers) } else { None };
        self.end(broke);
    }

    /// The answer broke, or isn't what it was said to be: `lacking` is the code of that. It is continued, or the error is what
    /// the application gets.
    fn broke(&mut self, kind: BreakKind, lacking: Option<&'static str>) -> Result<(), AnswerError> {
        // The connection is of no use any more.
        self.source = Source::Over;
        if self.healing.as_ref().is_ok_and(|healing| healing.is_complete()) {
            self.end(None);
            return Ok(());
        }
        let what = Break::new(kind, Certainty::Processed);
        let Some(mut running) = self.running.take() else { return Err(AnswerError { what }) };
        let proof = match (lacking, &self.healing) {
            (Some(lacking), _) => Err(lacking),
            (None, Ok(healing)) => healing.proof(),
            (None, Err(lacking)) => Err(*lacking),
        };
        running.body_broke(kind, proof);
        if running.call.is_over() {
            return Err(self.cut(kind));
        }
        self.heal(running);
        Ok(())
    }

    /// The answer was a part of what is missing: the rest is asked for, after so long at least.
    fn ask_for_rest(&mut self, least_wait: Duration) -> Result<(), AnswerError> {
        self.source = Source::Over;
        let Some(mut running) = self.running.take() else { return Ok(()) };
        running.tell(|call, ctx| call.on_body_part(least_wait, ctx));
        if running.call.is_over() {
            return Err(self.cut(BreakKind::BodyTruncated));
        }
        self.heal(running);
        Ok(())
    }

    /// It ends as broken. An event stream says so in its own words first.
    fn cut(&mut self, kind: BreakKind) -> AnswerError {
        self.copy = None;
        if let Ok(healing) = &mut self.healing {
            self.last_words = healing.events().and_then(|events| events.last_words(kind));
        }
        AnswerError { what: Break::new(kind, Certainty::Processed) }
    }

    fn heal(&mut self, running: Box<Running>) {
        match std::mem::replace(&mut self.healing, Err(HEALING)) {
            Ok(mut healing) => {
                healing.on_break();
                self.beat = healing.events().and_then(|events| {
                    let vigil = events.vigil;
                    events.heartbeat().map(|beat| Box::new((beat, vigil)))
                });
                self.source = Source::Healing(Box::pin(healing.go_on(running)));
            }
            Err(lacking) => {
                debug_assert!(false, "the machine continues what can't be: {lacking}");
                self.running = Some(running);
            }
        }
    }

    // ---- reading ------------------------------------------------------------------------------------------------

    fn poll_healing(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AnswerError>> {
        let Source::Healing(healing) = &mut self.source else { return Poll::Ready(Ok(())) };
        let GoesOn { running, mut healing, by } = ready!(healing.as_mut().poll(cx));
        if let (Some(events), Some(beat)) = (healing.events(), self.beat.take()) {
            events.vigil.resume(beat.1);
        }
        self.running = Some(running);
        self.healing = Ok(healing);
        self.is_continued = true;
        match by {
            By::Body(body) => self.source = Source::Answer(*body),
            By::Nothing => {
                self.source = Source::Over;
                self.end(None);
            }
            By::Cut(kind) => {
                self.source = Source::Over;
                drop(self.running.take());
                return Poll::Ready(Err(self.cut(kind)));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What of this frame is for the application; nothing if it has had it.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, &'static str> {
        let data = match frame.into_data() {
            Ok(data) => data,
            // The trailers of another message aren't this one's.
            Err(trailers) => return Ok((!self.is_continued).then_some(trailers)),
        };
        self.guard.on_bytes(data.len() as u64, Clock::now);
        let Ok(healing) = &mut self.healing else { return Ok(Some(Frame::data(data))) };
        let data = healing.take(data)?;
        Ok(data.map(|data| self.given(data)))
    }

    /// These bytes go to the application.
    fn given(&mut self, data: Bytes) -> Frame<Bytes> {
        if let (Ok(healing), Some(running)) = (&mut self.healing, &mut self.running)
            && healing.is_progress(data.len())
        {
            running.tell(|call, ctx| call.on_body_progress(ctx));
        }
        Frame::data(data)
    }

    /// More of what was read before.
    fn next_ready(&mut self) -> Result<Option<Bytes>, &'static str> {
        self.healing.as_mut().map_or(Ok(None), |healing| healing.next())
    }

    fn copy(&mut self, frame: &Frame<Bytes>) {
        // What has trailers isn't kept: nobody could tell whether they hold for a later request.
        let is_copied = match (&mut self.copy, frame.data_ref()) {
            (Some(copy), Some(piece)) => copy.push(piece),
            (Some(_), None) | (None, _) => false,
        };
        if !is_copied {
            self.copy = None;
        }
    }

    /// Looks whether this was the last frame, so that nobody has to ask again.
    fn note_end(&mut self, frame: &Frame<Bytes>) {
        let Source::Answer(answer) = &self.source else { return };
        if frame.is_trailers() {
            return self.end_whole(frame.trailers_ref());
        }
        let is_all = match &self.healing {
            Ok(healing) => healing.is_at_its_end(),
            // Where all that was announced has come, over HTTP/2 the stream's end may be a frame of its own, for which an
            // application over HTTP/1.1 has no reason to wait.
            Err(_) => {
                let nothing_left = answer.size_hint().exact() == Some(0);
                answer.is_end_stream() || (!self.awaits_outcome && nothing_left)
            }
        };
        if !is_all {
            return;
        }
        if self.is_continued {
            // A whole that came in place of a part may go on behind it, for nobody.
            self.source = Source::Over;
        }
        self.end_whole(None);
    }

    /// The answer has ended as a message should.
    fn on_end(&mut self) -> Result<(), AnswerError> {
        let told = match (&mut self.healing, &self.running) {
            (Ok(healing), Some(_)) => healing.on_end(),
            (Ok(_) | Err(_), _) => Ok(Ended::Whole),
        };
        match told {
            Ok(Ended::Whole) => {
                self.source = Source::Over;
                self.end_whole(None);
                Ok(())
            }
            Ok(Ended::More(least_wait)) => self.ask_for_rest(least_wait),
            Ok(Ended::Truncated) => self.broke(BreakKind::BodyTruncated, None),
            Err(why) => self.broke(BreakKind::BodyTruncated, Some(why)),
        }
    }

    /// Ready when what is waited for is stalled, or with a sign of life for the application.
    fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let (Source::Healing(_), Some(beat)) = (&self.source, &mut self.beat) {
            let (beat, vigil) = &mut **beat;
            return poll_vigil(&mut self.timer, vigil, cx).map(|_| Some(beat.clone()));
        }
        if self.running.is_none() || matches!(self.source, Source::Healing(_)) {
            return Poll::Pending;
        }
        let Ok(Some(events)) = self.healing.as_mut().map(|healing| healing.events()) else {
            return self.poll_stall(cx).map(|()| None);
        };
        events.on_wait();
        loop {
            match ready!(poll_vigil(&mut self.timer, &mut events.vigil, cx)) {
                Due::Dead => return Poll::Ready(None),
                Due::Heartbeat => {
                    if let Some(beat) = events.heartbeat() {
                        return Poll::Ready(Some(beat));
                    }
                }
            }
        }
    }

    /// Ready when what is waited for is stalled.
    fn poll_stall(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due = Clock::instant(self.guard.on_wait(Clock::now()));
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        // One that goes off too early is set again then, not with each piece.
        if timer.deadline() > due {
            timer.as_mut().reset(due);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            let now = Clock::now();
            if self.guard.is_stalled(now) {
                return Poll::Ready(());
            }
            timer.as_mut().reset(Clock::instant(self.guard.on_wait(now)));
        }
    }

    /// An error is given one turn later if nothing has been given yet, so that the head goes out first: the application learns that
    /// it was answered.
    fn poll_error(
        &mut self,
        error: AnswerError,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        if let Some(words) = self.last_words.take() {
            self.held_back = Some(error);
            self.begun = false;
            return Poll::Ready(Some(Ok(Frame::data(words))));
        }
        if std::mem::replace(&mut self.begun, true) {
            return Poll::Ready(Some(Err(error)));
        }
        self.held_back = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Body for DeliveredBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        if let Some(error) = self.held_back.take() {
            // After its last words as after its head: they go out before the connection ends.
            return self.poll_error(error, cx);
        }
        if let Some(words) = self.first_words.take() {
            self.begun = true;
            return Poll::Ready(Some(Ok(Frame::data(words))));
        }
        loop {
            match self.next_ready() {
                Ok(Some(data)) => {
                    self.begun = true;
                    return Poll::Ready(Some(Ok(self.given(data))));
                }
                Err(why) if self.running.is_some() => {
                    match self.broke(BreakKind::BodyTruncated, Some(why)) {
                        Ok(()) => continue,
                        Err(error) => return self.poll_error(error, cx),
                    }
                }
                Ok(None) | Err(_) => {}
            }
            let answer = match &mut self.source {
                Source::Over => return Poll::Ready(None),
                Source::Answer(answer) => answer,
                Source::Ring(follower) => match ready!(follower.poll_next(cx)) {
                    Some(Ok(bytes)) => {
                        self.begun = true;
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                    Some(Err(error)) => return self.poll_error(error, cx),
                    None => return Poll::Ready(None),
                },
                Source::Healing(_) => match self.poll_healing(cx) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(error)) => return self.poll_error(error, cx),
                    Poll::Pending => {
                        let beat = ready!(self.poll_quiet(cx));
                        return Poll::Ready(beat.map(|beat| Ok(Frame::data(beat))));
                    }
                },
            };
            let went_on = match Pin::new(answer).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match self.take(frame) {
                    Ok(Some(frame)) => {
                        self.begun = true;
                        self.copy(&frame);
                        self.note_end(&frame);
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Ok(None) => Ok(()),
                    Err(why) => self.broke(BreakKind::BodyTruncated, Some(why)),
                },
                Poll::Ready(Some(Err(error))) => self.broke(error.what.kind, None),
                Poll::Ready(None) => self.on_end(),
                Poll::Pending => match ready!(self.poll_quiet(cx)) {
                    Some(beat) => return Poll::Ready(Some(Ok(Frame::data(beat)))),
                    None => self.broke(BreakKind::BodyStalled, None),
                },
            };
            if let Err(error) = went_on {
                return self.poll_error(error, cx);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            _ if self.first_words.is_some() => false,
            Source::Over => self.held_back.is_none() && self.healing.is_err(),
            Source::Answer(answer) => answer.is_end_stream() && self.running.is_none(),
            Source::Ring(_) | Source::Healing(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.source, &self.healing) {
            (Source::Answer(answer), Err(_)) => answer.size_hint(),
            (Source::Answer(_) | Source::Over, Ok(healing)) => {
                healing.bytes_left().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            (Source::Over, Err(_)) => SizeHint::with_exact(0),
            (Source::Ring(_) | Source::Healing(_), _) => SizeHint::default(),
        }
    }
}

/// Ready with what is due. A stream that is being continued has nothing due but signs of life.
fn poll_vigil(
    timer: &mut Option<Pin<Box<Sleep>>>,
    vigil: &mut Vigil,
    cx: &mut Context<'_>,
) -> Poll<Due> {
    loop {
        let Some((at, _)) = vigil.next_deadline() else { return Poll::Pending };
        let at = Clock::instant(at);
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() != at {
            timer.as_mut().reset(at);
        }
        ready!(timer.as_mut().poll(cx));
        if let Some(due) = vigil.on_time(Clock::now()) {
            return Poll::Ready(due);
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(answer) => answer.fmt(f),
            Self::Ring(follower) => follower.fmt(f),
            Self::Healing(_) => f.write_str("Healing"),
            Self::Over => f.write_str("Over"),
        }
    }
}

/// What stands in for another answer comes from no upstream.
const NOT_OURS: &str = "not-from-upstream";

/// It is being used.
const HEALING: &str = "healing";
