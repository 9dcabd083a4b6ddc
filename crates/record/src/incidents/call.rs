//! What a call says about incidents when it is over.

use std::sync::Arc;

use mainstay_core::event::{AttemptId, Saved};
use mainstay_core::{BreakKind, Event, Timestamp};

use super::Key;
use crate::CallId;
use crate::call::kept::KeptCall;
use crate::trace::shortened;

/// What became of calls that met an incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Met {
    pub(crate) saved: u64,
    pub(crate) failed: u64,
    /// Their application went away first.
    pub(crate) left: u64,
    /// By a retry, by another endpoint, by a hedge, by being healed.
    pub(crate) saved_by: [u64; 4],
}

impl Met {
    pub(crate) fn add(&mut self, more: Self) {
        self.saved += more.saved;
        self.failed += more.failed;
        self.left += more.left;
        self.saved_by.iter_mut().zip(more.saved_by).for_each(|(sum, more)| *sum += more);
    }

    fn of(call: &KeptCall) -> Self {
        let mut met = Self::default();
        let (mut is_left, mut is_over, mut saved_by) = (false, false, None);
        for (_, event) in call.trace().events() {
            match *event {
                Event::CallFailed { kind, .. } => {
                    (is_left, is_over) = (kind == BreakKind::ClientGone, true);
                }
                Event::BodyFailed { kind: BreakKind::ClientGone, .. } => is_left = true,
                Event::CallDelivered { saved, .. } => {
                    is_over = true;
                    saved_by = match saved {
                        Saved::NotNeeded => saved_by,
                        Saved::ByRetry => Some(0),
                        Saved::ByFailover => Some(1),
                        Saved::ByHedge => Some(2),
                    };
                }
                Event::AnswerHealed { .. } => saved_by = saved_by.or(Some(3)),
                _ => {}
            }
        }
        if is_left || !is_over {
            met.left = 1;
        } else if call.is_failed() {
            met.failed = 1;
        } else {
            met.saved = 1;
            if let Some(count) = saved_by.and_then(|place: usize| met.saved_by.get_mut(place)) {
                *count = 1;
            }
        }
        met
    }
}

/// A call that is over, as far as incidents want to know.
#[derive(Debug)]
pub(crate) struct CallEnd {
    pub(crate) id: CallId,
    pub(crate) met: Met,
    /// What broke and where, each once.
    pub(crate) breaks: Vec<BreakOfCall>,
}

/// A break that a call met, once or several times.
#[derive(Debug)]
pub(crate) struct BreakOfCall {
    pub(crate) key: Key,
    /// The last time.
    pub(crate) at: Timestamp,
    /// What its first error said.
    pub(crate) details: Option<Arc<str>>,
}

impl CallEnd {
    /// `None` if nothing broke that anybody but the application is to blame for.
    pub(crate) fn of(call: &KeptCall) -> Option<Self> {
        let names = call.names();
        let mut breaks: Vec<BreakOfCall> = Vec::new();
        for (at, event) in call.trace().events() {
            let mut of = None;
            let key = match *event {
                Event::AttemptFailed { attempt, endpoint, what, .. }
                    if what.kind.blames_endpoint() =>
                {
                    of = Some(attempt);
                    Key::of(names.upstream(), Some(names.endpoint(endpoint)), what.kind)
                }
                Event::BodyFailed { endpoint, kind } if kind.blames_endpoint() => {
                    Key::of(names.upstream(), Some(names.endpoint(endpoint)), kind)
                }
                // No endpoint was asked: that is what broke.
                Event::CallFailed { kind, .. } if breaks.is_empty() && is_nowhere(kind) => {
                    Key::of(names.upstream(), None, kind)
                }
                _ => continue,
            };
            match breaks.iter_mut().find(|known| known.key == key) {
                Some(known) => known.at = *at,
                None => {
                    let facts = of.and_then(|attempt: AttemptId| call.trace().facts(attempt));
                    let details = facts.and_then(|facts| facts.detail.as_deref());
                    let details = details.map(|text| shortened(text, DETAILS_BYTES).into());
                    breaks.push(BreakOfCall { key, at: *at, details });
                }
            }
        }
        if breaks.is_empty() {
            return None;
        }
        Some(Self { id: call.id(), met: Met::of(call), breaks })
    }
}

/// Whether a call that fails so was sent nowhere by our own decision.
pub(crate) const fn is_nowhere(kind: BreakKind) -> bool {
    !kind.blames_endpoint() && !matches!(kind, BreakKind::ClientGone)
}

/// As much of an error's text as an incident shows.
const DETAILS_BYTES: usize = 256;
