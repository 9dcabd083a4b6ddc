//! What is known about one attempt besides the engine's events: its connection, its steps and their times, the
//! evidence behind its certainty. For reading, never for deciding.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use mainstay_core::breaks::safety::Verdict;
use mainstay_core::{BreakKind, Timestamp};

use super::record::{CircumstancesRecord, ConnectionRecord, StepRecord};
use crate::feed::millis;
use crate::trace::shortened;

/// What the driver saw of one attempt.
///
/// A driver makes it for attempts that broke, and for the others of a call in which something broke before: a
/// healthy call needs none of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AttemptFacts {
    /// The connection, if there was one.
    pub connection: Option<ConnectionFacts>,
    /// The steps of the attempt, in the order in which they began.
    pub steps: Vec<Step>,
    /// Why the certainty is what it is, where more than the step in which it broke speaks for it.
    pub evidence: Option<Cow<'static, str>>,
    /// What the error said.
    pub detail: Option<String>,
    /// What the retry-safety table said of the break.
    pub verdict: Option<Verdict>,
    /// The endpoint's breaker and the budget when it broke.
    pub circumstances: Option<Circumstances>,
}

/// The connection that an attempt went over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConnectionFacts {
    /// Its number, for the process: to be found again at the admin address.
    pub id: u64,
    /// The address at its other end.
    pub peer: Option<SocketAddr>,
    /// `http/1.1` or `h2`.
    pub protocol: &'static str,
    /// Whether TLS is spoken.
    pub secure: bool,
    /// How long it had been established when the attempt took it.
    pub age: Duration,
    /// How long it had been idle, if it was a kept one.
    pub idle_for: Option<Duration>,
    /// Requests that it had carried before.
    pub requests_before: u64,
}

/// One step of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Which.
    pub name: StepName,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took; until it was given up, if it was.
    pub took: Duration,
    /// What came of it.
    pub outcome: StepOutcome,
}

/// The steps, in the order in which an attempt takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepName {
    /// Waiting for one of the endpoint's places for connections; over HTTP/2 also for a connection that another call
    /// establishes, and for the peer's leave to begin one more stream.
    Queue,
    /// Turning the name into addresses.
    Resolve,
    /// The TCP handshake with one address. Several may run at the same time.
    Connect(SocketAddr),
    /// The TLS handshake.
    Tls,
    /// A PING on a quiet connection, to see whether it lives.
    Ping,
    /// From handing over the request to its last byte's leaving. Over HTTP/2, where a connection carries more than this
    /// request, until all of it has been handed to the connection and the connection has written since.
    Send,
    /// From there to the first byte of the answer.
    FirstByte,
    /// The body of the answer.
    Body,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum StepOutcome {
    /// It went well; with what is worth telling (addresses, a version), if anything is.
    Done(Option<String>),
    /// It broke, with what the error said.
    Broke(BreakKind, Option<String>),
    /// It was given up, since another one had won or nobody needed it any more.
    GivenUp,
}

/// How things stood when an attempt broke, before the break was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The breaker of the endpoint: `closed`, `open`, `half-open`.
    pub breaker: &'static str,
    /// Tokens in the budget's bucket.
    pub budget_tokens: u32,
    /// Extra attempts that the budget has paid for in its window.
    pub budget_extra: u32,
    /// Calls in the same window.
    pub budget_calls: u32,
}

/// Steps of one attempt that are kept: a name's first twenty addresses, and what surrounds them.
pub(crate) const STEPS: usize = 24;

/// How long the text of an error or of evidence may be that is kept, in bytes.
const TEXT_BYTES: usize = 256;

/// The same for a step, of which there are many.
const STEP_TEXT_BYTES: usize = 128;

impl AttemptFacts {
    /// These facts within their bounds, with at most so many steps: what is kept of thousands of calls must not
    /// depend on how much an error has to say. The last steps are kept, since there it broke.
    pub(crate) fn bounded(mut self, steps: usize) -> Self {
        let surplus = self.steps.len().saturating_sub(steps.min(STEPS));
        self.steps.drain(..surplus);
        self.steps.shrink_to_fit();
        for step in &mut self.steps {
            if let StepOutcome::Done(Some(text)) | StepOutcome::Broke(_, Some(text)) =
                &mut step.outcome
            {
                shorten(text, STEP_TEXT_BYTES);
            }
        }
        self.detail.iter_mut().for_each(|text| shorten(text, TEXT_BYTES));
        if let Some(Cow::Owned(text)) = &mut self.evidence {
            shorten(text, TEXT_BYTES);
        }
        self
    }
}

fn shorten(text: &mut String, bytes: usize) {
    text.truncate(shortened(text, bytes).len());
    text.shrink_to_fit();
}

impl ConnectionFacts {
    pub(super) fn record(&self) -> ConnectionRecord {
        ConnectionRecord {
            id: self.id,
            peer: self.peer,
            protocol: self.protocol.into(),
            secure: self.secure,
            reused: self.requests_before > 0 || self.idle_for.is_some(),
            age_ms: millis(self.age),
            idle_ms: self.idle_for.map(millis),
            requests_before: self.requests_before,
        }
    }
}

impl Step {
    /// The step with its time counted from `began`.
    pub(super) fn record(&self, began: Timestamp) -> StepRecord {
        let address = match self.name {
            StepName::Connect(address) => Some(address),
            _ => None,
        };
        let (outcome, code, text) = match &self.outcome {
            StepOutcome::Done(text) => ("done", None, text.clone()),
            StepOutcome::Broke(kind, text) => ("broke", Some(kind.code().into()), text.clone()),
            StepOutcome::GivenUp => ("given-up", None, None),
        };
        StepRecord {
            step: self.name.code().into(),
            address,
            started_ms: millis(self.started_at.since(began)),
            took_ms: millis(self.took),
            outcome: outcome.into(),
            code,
            text,
        }
    }
}

impl Circumstances {
    pub(super) fn record(&self) -> CircumstancesRecord {
        CircumstancesRecord {
            breaker: self.breaker.into(),
            budget_tokens: self.budget_tokens,
            budget_extra: self.budget_extra,
            budget_calls: self.budget_calls,
        }
    }
}

impl StepName {
    /// A stable name for records.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Resolve => "resolve",
            Self::Connect(_) => "connect",
            Self::Tls => "tls",
            Self::Ping => "ping",
            Self::Send => "send",
            Self::FirstByte => "first-byte",
            Self::Body => "body",
        }
    }
}

impl Step {
    /// A step that went well.
    #[must_use]
    pub fn done(name: StepName, started_at: Timestamp, now: Timestamp) -> Self {
        Self { name, started_at, took: now.since(started_at), outcome: StepOutcome::Done(None) }
    }

    /// A step that broke.
    #[must_use]
    pub fn broke(
        name: StepName,
        started_at: Timestamp,
        now: Timestamp,
        kind: BreakKind,
        detail: Option<String>,
    ) -> Self {
        let outcome = StepOutcome::Broke(kind, detail);
        Self { name, started_at, took: now.since(started_at), outcome }
    }
}
