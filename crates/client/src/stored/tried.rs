//! What came of a call for a write that is stored, or may be.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue};
use http_body_util::BodyExt as _;
use mainstay_core::Certainty;
use mainstay_core::outbox::{AnswerBody, CallEnd, WallTime};
use mainstay_core::retry::rate_limit::Hint;
use mainstay_outbox::{CallNote, StoredHead};

use crate::Clock;
use crate::driver::{Answer, DeliveredBody, Unanswered};
use crate::shown::Length;

/// A call that was made, with an answer that is here as a whole.
pub struct Tried {
    /// Its end.
    pub end: CallEnd,
    /// The answer, if one came, with as much of its body as is kept.
    pub answer: Option<(StoredHead, Bytes)>,
    call: String,
    attempts: u16,
    code: Option<&'static str>,
    certainty: Option<&'static str>,
}

impl fmt::Debug for Tried {
    /// The answer's head shows its fields by their names, and its body is its length.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { end, answer, call, attempts, code, certainty } = self;
        let answer = answer.as_ref().map(|(head, body)| (head, Length(body.len())));
        let mut shown = f.debug_struct("Tried");
        shown.field("end", end).field("answer", &answer).field("call", call);
        shown.field("attempts", attempts).field("code", code).field("certainty", certainty).finish()
    }
}

impl Tried {
    /// Of a call for a delivery: its answer is read.
    pub async fn of(outcome: Result<Answer, Unanswered>) -> Self {
        match outcome {
            Ok(answer) => Self::of_answer(answer).await,
            Err(unanswered) => Self::of_unanswered(&unanswered),
        }
    }

    async fn of_answer(answer: Answer) -> Self {
        let (head_end, code) = (HeadEnd::of(&answer), answer.last_break);
        let (call, attempts) = (answer.id.to_string(), answer.attempts);
        let (mut head, body) = answer.response.into_parts();
        let (kept, body) = read(body).await;
        head.headers.remove(INCOMPLETE);
        if let Some(why) = body.incomplete() {
            head.headers.insert(INCOMPLETE, HeaderValue::from_static(why));
        }
        let code = match body {
            AnswerBody::Broken(kind) => Some(kind),
            AnswerBody::PassedOn | AnswerBody::Whole | AnswerBody::TooLarge => code,
        };
        let answer = Some((StoredHead::of_answer(&head), kept));
        let code = code.map(|kind| kind.code());
        Self { end: head_end.with(body), answer, call, attempts, code, certainty: None }
    }

    /// Of one without an answer.
    #[must_use]
    pub fn of_unanswered(unanswered: &Unanswered) -> Self {
        let gave_up = &unanswered.gave_up;
        Self {
            end: CallEnd::Broken {
                kind: gave_up.kind,
                certainty: gave_up.certainty,
                hint: gave_up.retry_after,
            },
            answer: None,
            call: unanswered.id.to_string(),
            attempts: gave_up.attempts,
            code: Some(gave_up.kind.code()),
            certainty: Some(gave_up.certainty.code()),
        }
    }

    /// Of an answer that is passed on, of which the body hasn't been read.
    #[must_use]
    pub fn of_head(answer: &Answer) -> Self {
        Self {
            end: HeadEnd::of(answer).with(AnswerBody::PassedOn),
            answer: None,
            call: answer.id.to_string(),
            attempts: answer.attempts,
            code: answer.last_break.map(|kind| kind.code()),
            certainty: None,
        }
    }

    /// For the record of the delivery.
    #[must_use]
    pub fn note(&self, at: WallTime, took: Duration) -> CallNote {
        let status = match self.end {
            CallEnd::Answered { status, .. } => Some(status),
            CallEnd::Broken { .. } => None,
        };
        CallNote {
            at: at.0,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            call: self.call.clone(),
            attempts: self.attempts,
            status,
            code: self.code.map(str::to_owned),
            certainty: self.certainty.map(str::to_owned),
        }
    }
}

/// What an answer's head says, with its hint.
struct HeadEnd {
    status: u16,
    hint: Option<Duration>,
    maybe_done: bool,
}

impl HeadEnd {
    fn of(answer: &Answer) -> Self {
        let response = &answer.response;
        let status = response.status().as_u16();
        let fields =
            response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let hint = Hint::is_refusal(status)
            .then(|| Hint::of_refusal(fields, status, Clock::unix_millis()))
            .flatten();
        let maybe_done = matches!(answer.worst, Certainty::MaybeProcessed | Certainty::Processed);
        Self { status, hint: hint.map(|hint| hint.wait), maybe_done }
    }

    const fn with(self, body: AnswerBody) -> CallEnd {
        let Self { status, hint, maybe_done } = self;
        CallEnd::Answered { status, hint, maybe_done, body }
    }
}

/// Reads a body to its end, unless it is larger than is kept. Of one that isn't here as a whole nothing is kept.
async fn read(body: DeliveredBody) -> (Bytes, AnswerBody) {
    let mut body = pin!(body);
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let Some(data) = frame.data_ref() else { continue };
                if kept.len() + data.len() > ANSWER_MOST_BYTES {
                    return (Bytes::new(), AnswerBody::TooLarge);
                }
                kept.extend_from_slice(data);
            }
            Err(error) => return (Bytes::new(), AnswerBody::Broken(error.what.kind)),
        }
    }
    (kept.freeze(), AnswerBody::Whole)
}

/// Says of a stored answer that its body isn't there, and why.
pub const INCOMPLETE: HeaderName = HeaderName::from_static(mainstay_outbox::INCOMPLETE);

/// An answer to a write is a few hundred bytes; what is larger is for somebody else to keep.
const ANSWER_MOST_BYTES: usize = 1 << 20;
