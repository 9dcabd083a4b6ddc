//! A delivered answer whose body broke goes on: further attempts ask for what is missing, under the same engine.
//!
//! What is missing is known in two ways: a download is continued by a range of it, an event stream behind its last event.

mod events;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::Body as _;
use mainstay_core::call::Connection;
use mainstay_core::event::AttemptId;
use mainstay_core::heal::range::{Ask, Asked, Download, End, REPLACED, Splice};
use mainstay_core::heal::{NotHealed, Progress, Proof};
use mainstay_core::{Action, BreakKind, EndpointId};

use super::running::Running;
use super::{Held, hint};
use crate::pool::AnswerBody;
use crate::service::Plan;

pub(super) use events::{Events, LAST_EVENT_ID, is_event_stream};

/// What an answer needs to go on where it breaks.
#[derive(Debug)]
pub(super) struct Healing {
    plan: Plan,
    what: What,
    progress: Progress,
}

/// What kind of answer it is.
#[derive(Debug)]
enum What {
    Download(Download),
    Events(Events),
}

/// What the end of an answer in good order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All of it has come.
    Whole,
    /// It was a part, and the rest is to be asked for, after so long at least.
    More(Duration),
    /// It is broken.
    Truncated,
}

/// How an answer goes on by another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    /// By its body.
    On,
    /// Nothing is missing.
    ToItsEnd,
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
        let (heal, asked) = (&plan.policy.heal, &running.head);
        if is_event_stream(response) {
            let events = Events::new(&heal.events, &asked.headers);
            return Ok(Self::new(plan, What::Events(events), Progress::of_events()));
        }
        // What is here can't break; whether an event stream is whole, its last event tells.
        if response.body().is_here() || heal.resume_within.is_none() {
            return Err(NotHealed::Off.code());
        }
        let asked = Asked::of(asked.method.as_str(), fields(&asked.headers));
        let (status, length) = (response.status().as_u16(), response.body().size_hint().exact());
        let given = fields(response.headers());
        let download =
            Download::of(asked, status, given, length, &heal.ranges).map_err(|why| why.code())?;
        Ok(Self::new(plan, What::Download(download), Progress::of_download()))
    }

    fn new(plan: &Plan, what: What, progress: Progress) -> Box<Self> {
        Box::new(Self { plan: plan.clone(), what, progress })
    }

    /// Takes a piece of the body, and gives what of it goes to the application; more of it by [`Healing::next`].
    ///
    /// # Errors
    ///
    /// The code of why it can't be what it is said to be.
    pub(super) fn take(&mut self, piece: Bytes) -> Result<Option<Bytes>, &'static str> {
        match &mut self.what {
            What::Download(download) => {
                let new = download.take(&piece).map_err(|why| why.code())?;
                let new = if new == (0..piece.len()) { piece } else { piece.slice(new) };
                Ok((!new.is_empty()).then_some(new))
            }
            What::Events(events) => {
                events.take(&piece);
                events.next()
            }
        }
    }

    /// More of what was taken, if there is any.
    ///
    /// # Errors
    ///
    /// As [`Healing::take`].
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, &'static str> {
        match &mut self.what {
            What::Download(_) => Ok(None),
            What::Events(events) => events.next(),
        }
    }

    /// Whether what has come since the head, this piece included, is progress; told once.
    pub(super) fn is_progress(&mut self, bytes: usize) -> bool {
        self.progress.on_bytes(bytes as u64)
    }

    /// The answer that is read ended as a message should.
    ///
    /// # Errors
    ///
    /// The code of why it can't be what it was said to be.
    pub(super) fn on_end(&mut self) -> Result<Ended, &'static str> {
        match &mut self.what {
            What::Download(download) => match download.on_end() {
                Ok(End::Complete) => Ok(Ended::Whole),
                Ok(End::More) => Ok(Ended::More(Duration::ZERO)),
                Ok(End::Truncated) => Ok(Ended::Truncated),
                Err(why) => Err(why.code()),
            },
            What::Events(events) => Ok(events.on_end()),
        }
    }

    /// Whether the application has all of it, so that a break takes nothing away.
    pub(super) fn is_complete(&self) -> bool {
        match &self.what {
            What::Download(download) => download.is_complete(),
            What::Events(events) => events.is_complete(),
        }
    }

    /// Whether nothing can follow: of an event stream that can't be known before its end.
    pub(super) fn is_at_its_end(&self) -> bool {
        matches!(&self.what, What::Download(download) if download.is_complete())
    }

    /// That it can be told whether what comes is what is missing.
    ///
    /// # Errors
    ///
    /// The code of what is missing to that proof.
    pub(super) fn proof(&self) -> Result<Proof, &'static str> {
        match &self.what {
            What::Download(_) => Ok(Proof { after: Duration::ZERO, anywhere: true }),
            What::Events(events) => Ok(Proof { after: events.proof()?, anywhere: false }),
        }
    }

    /// How many bytes are still to come, if that is known.
    pub(super) fn bytes_left(&self) -> Option<u64> {
        match &self.what {
            What::Download(download) => {
                Some(download.length()?.saturating_sub(download.delivered()))
            }
            What::Events(_) => None,
        }
    }

    /// The event stream, if it is one.
    pub(super) fn events(&mut self) -> Option<&mut Events> {
        match &mut self.what {
            What::Download(_) => None,
            What::Events(events) => Some(events),
        }
    }

    /// It is broken, and is to be continued.
    pub(super) fn on_break(&mut self) {
        if let What::Events(events) = &mut self.what {
            events.on_break();
        }
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
                None => {
                    if !running.sleep(&self.plan).await {
                        break By::Cut(BreakKind::BodyTruncated);
                    }
                }
            }
        };
        self.progress.begin();
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
        running.ask = Some(self.ask(&running.head.headers));
        let outcome = running.outcome(&self.plan, attempt, endpoint, connection).await;
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

    /// The fields of a request for what is missing.
    fn ask(&self, asked: &HeaderMap) -> HeaderMap {
        let mut fields = asked.clone();
        match &self.what {
            What::Download(download) => {
                if let Some(ask) = download.ask() {
                    ask_for(&ask, &mut fields);
                }
            }
            What::Events(events) => events.ask_for(&mut fields),
        }
        fields
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
        let (length, given) = (response.body().size_hint().exact(), response.headers());
        let judged = match &mut self.what {
            What::Download(download) => {
                match download.judge(status.as_u16(), fields(given), length) {
                    Ok(Splice::Complete) => Ok(Goes::ToItsEnd),
                    Ok(Splice::Continue { .. } | Splice::Skip { .. }) => Ok(Goes::On),
                    Err(why) => Err(why.code()),
                }
            }
            What::Events(events) => events.judge(status.as_u16(), given),
        };
        match judged {
            Ok(goes) => {
                running.hold(Held { attempt, endpoint, response });
                running.tell(|call, ctx| call.on_resumed(attempt, status.as_u16(), ctx));
                goes == Goes::ToItsEnd
            }
            Err(why) => {
                running.tell(|call, ctx| call.on_mismatch(attempt, status.as_u16(), why, ctx));
                false
            }
        }
    }
}

/// Makes the request for a whole answer one for what is missing of it.
fn ask_for(ask: &Ask, headers: &mut HeaderMap) {
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
