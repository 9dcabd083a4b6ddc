//! The events of one call, kept together until it is over.

use mainstay_core::event::AttemptId;
use mainstay_core::{BreakKind, Event, Timestamp};

use crate::call::RequestFacts;
use crate::span::TraceContext;
use crate::{AttemptFacts, CallId};

/// Events that are kept without an allocation: the four of a healthy call, and one more for a breaker's change.
const INLINE: usize = 5;

/// Events that are kept for a record. A call of ten attempts has about thirty; what has more isn't read by anybody.
const KEPT: usize = 64;

/// Events that end something and are kept all the same: how the call ended, and its body.
const ENDS: usize = 4;

/// Attempts of which facts are kept: ten that count, and most of sixteen free repeats.
const FACTS: usize = 16;

/// Steps that are kept of all attempts together. An attempt that connects has some six.
const STEPS: usize = 64;

/// What is known about a call apart from its events.
#[derive(Clone, Debug)]
pub struct CallTag {
    /// Its id.
    pub id: CallId,
    /// The name of its route; of its upstream where there are no routes.
    pub route: std::sync::Arc<str>,
    /// The request's method.
    pub method: http::Method,
    /// The request's path, without the query, which may hold secrets.
    pub path: String,
    /// What else spans say, where the call belongs to a trace.
    pub request: Option<Box<RequestFacts>>,
}

/// What the line of a call that went well says of it: nothing has to be copied for it.
#[derive(Clone, Copy, Debug)]
pub struct CallBrief<'a> {
    /// The call's id.
    pub id: CallId,
    /// The name of its route.
    pub route: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// The request's path.
    pub path: &'a str,
}

impl CallTag {
    /// The same in short.
    #[must_use]
    pub fn brief(&self) -> CallBrief<'_> {
        CallBrief {
            id: self.id,
            route: &self.route,
            method: self.method.as_str(),
            path: &self.path,
        }
    }
}

/// The events of one call. Metrics are counted as events come; the events themselves are kept for the record that
/// is written when the call met a break. A healthy call's fit in without an allocation.
#[derive(Debug)]
pub struct CallTrace {
    id: Option<CallId>,
    context: Option<TraceContext>,
    first: [Kept; INLINE],
    first_len: u8,
    more: Vec<Kept>,
    facts: Vec<(AttemptId, Box<AttemptFacts>)>,
    dropped: u32,
    broken: bool,
    /// Wall-clock time of the first break, in milliseconds since 1970, and the time on the call's own clock then.
    broke_at: Option<(u64, Timestamp)>,
}

type Kept = (Timestamp, Event);

impl Default for CallTrace {
    fn default() -> Self {
        Self {
            id: None,
            context: None,
            first: [(Timestamp::ZERO, Event::CallStarted); INLINE],
            first_len: 0,
            more: Vec::new(),
            facts: Vec::new(),
            dropped: 0,
            broken: false,
            broke_at: None,
        }
    }
}

impl CallTrace {
    /// The empty trace of a call with this id. Without an id, items of the feed can't say which call they are about.
    #[must_use]
    pub fn of(id: CallId) -> Self {
        Self { id: Some(id), ..Self::default() }
    }

    /// This trace, of a call that is told as spans.
    #[must_use]
    pub fn within(self, context: Option<TraceContext>) -> Self {
        Self { context, ..self }
    }

    /// The call's place in its trace, if it has one.
    #[must_use]
    pub const fn context(&self) -> Option<&TraceContext> {
        self.context.as_ref()
    }

    /// Whether spans will be made of it: it was sampled, or something broke.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.context.is_some_and(|context| context.is_sampled() || self.broken)
    }

    /// Adds an event. Past 64 it is only counted, unless it is the call's end.
    pub fn push(&mut self, at: Timestamp, event: Event) {
        self.broken |= is_break(&event);
        let room = if is_end(&event) { KEPT + ENDS } else { KEPT };
        let len = usize::from(self.first_len);
        if let Some(place) = self.first.get_mut(len) {
            *place = (at, event);
            self.first_len += 1;
        } else if len + self.more.len() < room {
            self.more.push((at, event));
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// Keeps what was seen of an attempt, for the record; what was said before of the same attempt is replaced. Never
    /// used for decisions.
    pub fn add_facts(&mut self, attempt: AttemptId, facts: AttemptFacts) {
        let others = self.facts.iter().filter(|(of, _)| *of != attempt);
        let steps: usize = others.map(|(_, facts)| facts.steps.len()).sum();
        let facts = facts.bounded(STEPS.saturating_sub(steps));
        let known = self.facts.iter().position(|(of, _)| *of == attempt);
        match known {
            Some(place) => *self.facts[place].1 = facts,
            None if self.facts.len() < FACTS => self.facts.push((attempt, Box::new(facts))),
            None => {}
        }
    }

    /// Whether something broke, so that a record will be written.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    pub(crate) const fn id(&self) -> Option<CallId> {
        self.id
    }

    pub(crate) const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Events in the order in which they came.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Kept> {
        self.first[..usize::from(self.first_len)].iter().chain(&self.more)
    }

    /// What was seen of an attempt.
    pub(crate) fn facts(&self, attempt: AttemptId) -> Option<&AttemptFacts> {
        self.facts.iter().find(|(of, _)| *of == attempt).map(|(_, facts)| &**facts)
    }

    /// Notes the wall-clock time at a break, once: this ties the call's clock to the world's.
    pub(crate) fn note_wall_time(&mut self, at: Timestamp, unix_millis: impl FnOnce() -> u64) {
        if self.broke_at.is_none() {
            self.broke_at = Some((unix_millis(), at));
        }
    }

    /// When the call began, in milliseconds since 1970. `now` is for calls in which nothing broke.
    pub(crate) fn started_unix_ms(&self, now: impl FnOnce() -> u64) -> u64 {
        let mut times = self.events().map(|(at, _)| *at);
        let began = times.next().unwrap_or_default();
        let (wall, at) = self.broke_at.unwrap_or_else(|| (now(), times.last().unwrap_or(began)));
        let before = at.since(began).as_millis();
        wall.saturating_sub(u64::try_from(before).unwrap_or(u64::MAX))
    }
}

/// The text, cut at a character's end if it is longer than so many bytes.
pub(crate) fn shortened(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether a call with this event in it is a broken one. One that had to wait since everything was broken is too.
pub(crate) const fn is_break(event: &Event) -> bool {
    matches!(
        event,
        Event::AttemptFailed { .. }
            | Event::BreakerAwaited { .. }
            | Event::CallFailed { .. }
            | Event::BodyFailed { .. }
    )
}

const fn is_end(event: &Event) -> bool {
    matches!(
        event,
        Event::CallDelivered { .. }
            | Event::CallFailed { .. }
            | Event::AnswerHealed { .. }
            | Event::AnswerCut { .. }
            | Event::BodyFailed { kind: BreakKind::ClientGone, .. }
            | Event::TunnelEnded { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::heal::NotHealed;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn events_past_the_bound_are_counted_and_the_end_is_still_kept() {
        let mut trace = CallTrace::default();
        (0..100).for_each(|millis| trace.push(at(millis), Event::BodyUnrepeatable));
        let end = Event::AnswerCut { kind: BreakKind::BodyReset, why: NotHealed::Off };
        (0..10).for_each(|_| trace.push(at(100), end));
        assert_eq!(trace.events().count(), 68);
        assert_eq!(trace.dropped(), 36 + 6);
        assert_eq!(trace.events().last(), Some(&(at(100), end)));
    }

    #[test]
    fn the_start_is_as_long_before_the_break_on_either_clock() {
        let mut trace = CallTrace::default();
        trace.push(at(1_000), Event::CallStarted);
        trace.note_wall_time(at(1_700), || 50_000);
        trace.note_wall_time(at(9_999), || 99_999);
        assert_eq!(trace.started_unix_ms(|| unreachable!()), 49_300);
    }

    #[test]
    fn details_are_cut_between_characters() {
        let mut trace = CallTrace::default();
        let mut add = |attempt, text: String| {
            let facts = AttemptFacts { detail: Some(text), ..AttemptFacts::default() };
            trace.add_facts(AttemptId(attempt), facts);
        };
        add(1, "é".repeat(200));
        add(2, format!("x{}", "é".repeat(200)));
        let length = |attempt| {
            trace.facts(AttemptId(attempt)).and_then(|facts| facts.detail.as_ref()).map(String::len)
        };
        assert_eq!((length(1), length(2)), (Some(256), Some(255)));
    }
}
