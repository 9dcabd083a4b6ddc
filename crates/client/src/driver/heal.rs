//! A delivered answer whose body broke goes on: further attempts ask for what is missing, under the same engine.

use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Body as _;
use mainstay_core::call::Connection;
use mainstay_core::event::AttemptId;
use mainstay_core::heal::PROGRESS_BYTES;
use mainstay_core::heal::range::{Ask, Asked, Download, End, REPLACED, Splice};
use mainstay_core::{Action, BreakKind, Certainty, EndpointId};

use super::out::Out;
use super::running::Running;
use super::{Held, hint};
use crate::pool::{AnswerBody, Broken};
use crate::service::Plan;

/// What an answer needs to go on where it breaks.
#[derive(Debug)]
pub(super) struct Healing {
    plan: Plan,
    download: Download,
    /// Bytes since the head, or since it was continued; none once that was progress, and was told.
    since_head: Option<u64>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct GoesOn {
    pub(super) running: Box<Running>,
    pub(super) healing: Box<Healing>,
    pub(super) by: By,
}

/// How a broken answer goes on.
#[derive(Debug)]
pub(super) enum By {
    /// With this body.
    Body(Box<AnswerBody>),
    /// Not at all, since nothing is missing.
    Nothing,
    /// Not at all, so that it ends as broken.
    Cut(BreakKind),
}

impl Healing {
    /// Prepares for a break of this answer.
    ///
    /// # Errors
    ///
    /// The code of what is missing to the proof that what would come then is what is missing.
    pub(super) fn of(
        plan: &Plan,
        running: &Running,
        response: &Response<AnswerBody>,
    ) -> Result<Box<Self>, &'static str> {
        let heal = &plan.policy.heal;
        let asked = Asked::of(running.head.method.as_str(), fields(&running.head.headers));
        let (status, length) = (response.status().as_u16(), response.body().size_hint().exact());
        let download =
            Download::of(asked, status, fields(response.headers()), length, &heal.ranges)
                .map_err(|why| why.code())?;
        Ok(Box::new(Self { plan: plan.clone(), download, since_head: Some(0) }))
    }

    /// Takes a piece of the body, and gives what is new in it.
    ///
    /// # Errors
    ///
    /// The code of why it can't be what it is said to be.
    pub(super) fn take(&mut self, piece: bytes::Bytes) -> Result<bytes::Bytes, &'static str> {
        let new = self.download.take(&piece).map_err(|why| why.code())?;
        Ok(if new == (0..piece.len()) { piece } else { piece.slice(new) })
    }

    /// Whether what has come since the head, this piece included, is progress; told once.
    pub(super) fn is_progress(&mut self, bytes: usize) -> bool {
        let Some(since) = &mut self.since_head else { return false };
        *since += bytes as u64;
        let enough = *since >= PROGRESS_BYTES;
        if enough {
            self.since_head = None;
        }
        enough
    }

    /// The answer that is read ended as a message should.
    ///
    /// # Errors
    ///
    /// The code of why it can't be what it was said to be.
    pub(super) fn on_end(&mut self) -> Result<End, &'static str> {
        self.download.on_end().map_err(|why| why.code())
    }

    pub(super) fn is_complete(&self) -> bool {
        self.download.is_complete()
    }

    /// Whether nothing was delivered of another answer than the first.
    pub(super) fn bytes_left(&self) -> Option<u64> {
        self.download.length().map(|length| length.saturating_sub(self.download.delivered()))
    }

    /// Goes on, by attempts until one brings what is missing or the machine wants no more of them.
    pub(super) async fn go_on(mut self: Box<Self>, mut running: Box<Running>) -> GoesOn {
        let by = loop {
            match running.next_action() {
                Some(Action::Attempt { attempt, endpoint, connection }) => {
                    let is_all = self.attempt(&mut running, attempt, endpoint, connection).await;
                    if is_all {
                        break By::Nothing;
                    }
                }
                Some(Action::Line(entry)) => running.line_up(entry).await,
                Some(Action::Continue { attempt }) => match running.answer_of(attempt) {
                    Some(held) => break By::Body(Box::new(held.response.into_body())),
                    None => debug_assert!(false, "an answer is to be gone on with that isn't held"),
                },
                Some(Action::Cut(kind)) => break By::Cut(kind),
                // There is no other attempt beside one that continues an answer, and what is to be cancelled heeds it itself.
                Some(Action::Cancel { .. } | Action::Keep { .. }) => {}
                Some(
                    action @ (Action::Deliver { .. } | Action::Fail(_) | Action::Commit { .. }),
                ) => {
                    debug_assert!(false, "{action:?} after the head");
                }
                None if running.call.is_over() => break By::Cut(BreakKind::BodyTruncated),
                None => running.sleep().await,
            }
        };
        self.since_head = Some(0);
        GoesOn { running, healing: self, by }
    }

    /// Makes one attempt, and tells the machine what came of it. True when there is nothing left to ask for.
    async fn attempt(
        &mut self,
        running: &mut Running,
        attempt: AttemptId,
        endpoint: EndpointId,
        connection: Connection,
    ) -> bool {
        running.ask = self.download.ask();
        let outcome = match self.plan.service.place(endpoint) {
            Some(place) => {
                Out::new(running, attempt, endpoint).ask(&self.plan, place, connection).await
            }
            None => Some(Err(Broken::new(BreakKind::NoEndpoint, Certainty::NotSent))),
        };
        running.ask = None;
        match outcome {
            Some(Ok(response)) => self.judge(running, attempt, endpoint, response),
            Some(Err(broken)) => {
                running.take_in(attempt, endpoint, Err(broken));
                false
            }
            None => false,
        }
    }

    fn judge(
        &mut self,
        running: &mut Running,
        attempt: AttemptId,
        endpoint: EndpointId,
        response: Response<AnswerBody>,
    ) -> bool {
        let status = response.status();
        let broken = running.call.broken_answer(status.as_u16(), hint(status, response.headers()));
        if broken.is_some() {
            running.take_in(attempt, endpoint, Ok(response));
            // It says how the endpoint is; as an answer it is of no use.
            drop(running.answer_of(attempt));
            return false;
        }
        let length = response.body().size_hint().exact();
        match self.download.judge(status.as_u16(), fields(response.headers()), length) {
            Ok(splice) => {
                running.hold(Held { attempt, endpoint, response });
                running.tell(|call, ctx| call.on_resumed(attempt, status.as_u16(), ctx));
                splice == Splice::Complete
            }
            Err(why) => {
                running.tell(|call, ctx| {
                    call.on_mismatch(attempt, status.as_u16(), why.code(), ctx);
                });
                false
            }
        }
    }
}

/// Makes the request for a whole answer one for what is missing of it.
pub(super) fn ask_for(ask: &Ask, headers: &mut HeaderMap) {
    for name in REPLACED {
        headers.remove(name);
    }
    for (name, value) in ask.fields() {
        // What is said is digits, and a field's value as it came.
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}
