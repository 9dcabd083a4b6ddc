//! One endpoint's last hour, read off its counters.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_core::breaks::{BreakKind, Phase};

use super::ring::{Ring, Short, bucket_of};
use super::state::EndpointState;
use crate::counters::{EndpointCounters, Pulse};

/// What breaks are told apart by in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// No connection: its name, TCP, TLS, or a kept one that had ended.
    Connect,
    /// It was sent, and no answer came.
    NoAnswer,
    /// A status that is a failure, or no HTTP.
    BadAnswer,
    /// It asked for less.
    Throttled,
    /// The body broke.
    Body,
}

impl Class {
    pub(crate) const ALL: [Self; 5] =
        [Self::Connect, Self::NoAnswer, Self::BadAnswer, Self::Throttled, Self::Body];

    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::NoAnswer => "no-answer",
            Self::BadAnswer => "bad-answer",
            Self::Throttled => "throttled",
            Self::Body => "body",
        }
    }

    /// Of what an endpoint is to blame for; `None` for what it isn't.
    const fn of(kind: BreakKind) -> Option<Self> {
        Some(match kind {
            BreakKind::Throttled => Self::Throttled,
            BreakKind::MalformedResponse
            | BreakKind::HeadTooLarge
            | BreakKind::UpgradeFailed
            | BreakKind::ServerError
            | BreakKind::RefusedStatus => Self::BadAnswer,
            kind => match kind.phase() {
                Phase::Admit => return None,
                Phase::Resolve | Phase::Connect | Phase::Tls | Phase::Idle => Self::Connect,
                Phase::Send | Phase::Wait => Self::NoAnswer,
                Phase::Body => Self::Body,
            },
        })
    }
}

/// How an endpoint stands, for whoever keeps its history.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndpointLook {
    /// In a word.
    pub state: EndpointState,
    /// Attempts out.
    pub in_flight: u32,
    /// Half of its answers are faster.
    pub p50: Option<Duration>,
    /// One answer in a hundred is slower.
    pub p99: Option<Duration>,
}

/// Ten seconds. 24 bytes: a thousand endpoints have 360 of them each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EndpointBucket {
    pub(crate) attempts: u32,
    pub(crate) breaks: [Short; Class::ALL.len()],
    pub(crate) p50: Short,
    pub(crate) p99: Short,
    /// The most at a time that was seen.
    pub(crate) in_flight: u16,
    /// The furthest from being asked that was seen.
    pub(crate) state: EndpointState,
    /// The most frequent kind of break, from 1; zero for none.
    cause: u8,
}

impl EndpointBucket {
    pub(crate) fn cause(&self) -> Option<BreakKind> {
        BreakKind::ALL.get(usize::from(self.cause.checked_sub(1)?)).copied()
    }

    pub(crate) fn broke(&self) -> u64 {
        self.breaks.iter().map(|count| count.get()).sum()
    }
}

/// What was counted in some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPart {
    /// Attempts that began.
    pub attempts: u64,
    /// Attempts with an answer worth delivering.
    pub answered: u64,
    /// What broke: attempts, and bodies of delivered answers.
    pub breaks: Vec<(BreakKind, u64)>,
}

impl EndpointPart {
    /// All that broke.
    #[must_use]
    pub fn broke(&self) -> u64 {
        self.breaks.iter().map(|(_, count)| count).sum()
    }

    fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.answered += other.answered;
        for (kind, count) in &other.breaks {
            match self.breaks.iter_mut().find(|(known, _)| known == kind) {
                Some((_, known)) => *known += count,
                None => self.breaks.push((*kind, *count)),
            }
        }
    }
}

/// How an endpoint stands and fares.
#[derive(Clone, Debug, Default)]
pub struct EndpointNow {
    /// How it stands.
    pub look: EndpointLook,
    /// Since when it has stood so.
    pub since: Timestamp,
    /// Attempts, and how many broke, since the look before this one.
    pub last: (u64, u64),
    /// The last minute, to ten seconds.
    pub minute: EndpointPart,
}

/// An endpoint's past.
#[derive(Debug, Default)]
pub(crate) struct EndpointPast {
    pub(crate) ring: Ring<EndpointBucket>,
    /// Which bucket is being filled, once there is one.
    bucket: Option<u32>,
    /// What was counted when it began.
    begun: Pulse,
    /// What was seen in it so far.
    filling: EndpointBucket,
    look: EndpointLook,
    since: Timestamp,
    /// What was counted at the last look with counts: attempts and breaks.
    at_last: Option<(u64, u64)>,
    last: (u64, u64),
    /// The minute before the bucket that is being filled, the newest last.
    parts: VecDeque<EndpointPart>,
}

/// Buckets beside the one being filled that make a minute.
const MINUTE: usize = 5;

impl EndpointPast {
    /// One that begins with these counts.
    pub(crate) fn from(begun: Pulse) -> Self {
        Self { begun, ..Self::default() }
    }

    /// Notes how it stands. The counters are read when a bucket is over, and when somebody wants to know now.
    pub(crate) fn look(
        &mut self,
        at: Timestamp,
        look: EndpointLook,
        counters: &EndpointCounters,
        counts: bool,
    ) {
        let bucket = bucket_of(at);
        let begins = self.bucket != Some(bucket);
        let pulse = (begins || counts).then(|| counters.pulse());
        if let (true, Some(pulse)) = (begins, &pulse) {
            if self.bucket.is_some() {
                self.close(pulse);
                self.begun = pulse.clone();
            }
            self.bucket = Some(bucket);
        }
        if self.look.state != look.state {
            self.since = at;
        }
        self.look = look;
        let filling = &mut self.filling;
        filling.state = filling.state.max(look.state);
        filling.in_flight =
            filling.in_flight.max(u16::try_from(look.in_flight).unwrap_or(u16::MAX));
        (filling.p50, filling.p99) = (Short::of_time(look.p50), Short::of_time(look.p99));
        if let (true, Some(pulse)) = (counts, &pulse) {
            let now = (pulse.attempts, pulse.broke());
            let before = self.at_last.replace(now).unwrap_or(now);
            self.last = (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1));
        }
    }

    /// Nobody wants to know each second any more.
    pub(crate) fn rest(&mut self) {
        (self.at_last, self.last) = (None, (0, 0));
    }

    /// The bucket that was being filled is over.
    fn close(&mut self, pulse: &Pulse) {
        let Some(bucket) = self.bucket else { return };
        let part = pulse.since(&self.begun);
        self.ring.put(bucket, self.filled(&part));
        self.filling = EndpointBucket::default();
        self.parts.push_back(part);
        if self.parts.len() > MINUTE {
            self.parts.pop_front();
        }
    }

    fn filled(&self, part: &EndpointPart) -> EndpointBucket {
        let mut bucket = self.filling;
        bucket.attempts = u32::try_from(part.attempts).unwrap_or(u32::MAX);
        for (class, kept) in Class::ALL.into_iter().zip(&mut bucket.breaks) {
            let of_class = part.breaks.iter().filter(|(kind, _)| Class::of(*kind) == Some(class));
            *kept = Short::of(of_class.map(|(_, count)| count).sum());
        }
        let most = part.breaks.iter().max_by_key(|(_, count)| *count);
        bucket.cause = most.map_or(0, |(kind, _)| *kind as u8 + 1);
        bucket
    }

    /// How it stands and fares, by the counters as they are.
    pub(crate) fn now(&self, counters: &EndpointCounters) -> EndpointNow {
        let mut minute = counters.pulse().since(&self.begun);
        self.parts.iter().for_each(|part| minute.add(part));
        EndpointNow { look: self.look, since: self.since, last: self.last, minute }
    }

    /// The buckets from one to another, the one that is being filled among them.
    pub(crate) fn buckets(
        &self,
        counters: &EndpointCounters,
        range: std::ops::Range<u32>,
    ) -> Vec<Option<EndpointBucket>> {
        let filling =
            self.bucket.map(|bucket| (bucket, self.filled(&counters.pulse().since(&self.begun))));
        let known = |bucket: u32| match filling {
            Some((current, filled)) if current == bucket => Some(filled),
            _ => self.ring.get(bucket).copied(),
        };
        let is_known = |bucket: &EndpointBucket| bucket.state != EndpointState::Unknown;
        range.map(|bucket| known(bucket).filter(is_known)).collect()
    }

    /// Whether nothing of the last hour is known.
    pub(crate) fn is_over(&self, now: u32) -> bool {
        let last = self.bucket.unwrap_or(0);
        now.saturating_sub(last) as usize >= super::ring::BUCKETS
    }

    /// Whether it hasn't been looked at for so long that it can't be in use.
    pub(crate) fn is_gone(&self, now: Timestamp) -> bool {
        self.bucket.is_none_or(|bucket| bucket_of(now).saturating_sub(bucket) > 1)
    }

    /// Bytes on the heap, and its own.
    pub(crate) fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| {
            size_of::<EndpointPart>() + part.breaks.capacity() * size_of::<(BreakKind, u64)>()
        });
        size_of::<Self>() + self.ring.bytes() + parts.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_core::event::AttemptReason;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_bucket_is_24_bytes_and_each_kind_that_blames_an_endpoint_has_a_class() {
        assert_eq!(size_of::<EndpointBucket>(), 24);
        for kind in BreakKind::ALL {
            assert_eq!(Class::of(kind).is_some(), kind.blames_endpoint(), "{kind:?}");
        }
    }

    #[test]
    fn what_is_counted_in_ten_seconds_is_one_bucket_with_the_worst_that_was_seen() {
        let (counters, mut past) = (EndpointCounters::new("a"), EndpointPast::default());
        let mut look = EndpointLook { state: EndpointState::Up, ..EndpointLook::default() };
        for second in 100..125 {
            let is_out = (112..115).contains(&second);
            look.state = if is_out { EndpointState::Open } else { EndpointState::Up };
            look.in_flight = if is_out { 70_000 } else { 3 };
            past.look(at(second), look, &counters, false);
            counters.on_started(AttemptReason::First);
            match is_out {
                true => counters.on_broke(BreakKind::ConnectRefused),
                false => counters.on_answered(Duration::from_millis(5)),
            }
        }
        let buckets = past.buckets(&counters, 9..14);
        let known = |bucket: &Option<EndpointBucket>| {
            bucket.map(|it| (it.attempts, it.broke(), it.cause(), it.in_flight, it.state.letter()))
        };
        let refused = Some(BreakKind::ConnectRefused);
        let known: Vec<_> = buckets.iter().map(known).collect();
        assert_eq!(
            known,
            [
                None,
                Some((10, 0, None, 3, 'u')),
                Some((10, 3, refused, u16::MAX, 'o')),
                Some((5, 0, None, 3, 'u')),
                None
            ]
        );
        let now = past.now(&counters);
        assert_eq!((now.minute.attempts, now.minute.answered, now.minute.broke()), (25, 22, 3));
        assert_eq!((now.since, now.look.state), (at(115), EndpointState::Up));
        assert!(!past.is_over(12 + 359) && past.is_over(12 + 360));
    }

    #[test]
    fn rates_are_what_was_counted_between_two_looks() {
        let (counters, mut past) = (EndpointCounters::new("a"), EndpointPast::default());
        let look = EndpointLook::default();
        past.look(at(1), look, &counters, true);
        (0..7).for_each(|_| counters.on_started(AttemptReason::First));
        past.look(at(2), look, &counters, true);
        assert_eq!(past.now(&counters).last, (7, 0));
        past.look(at(3), look, &counters, true);
        assert_eq!(past.now(&counters).last, (0, 0));
    }
}
