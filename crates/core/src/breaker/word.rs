//! The state word: everything that an admission has to know, in 64 bits, so that each transition is one
//! compare-and-swap and no reader ever sees half of one.
//!
//! ```text
//!   bit   0     3            8            24                                        64
//!         state   reopenings   generation   until, in ms                              open
//!         3       5            16           in flight 8 | succeeded 8 | expiry 24     half-open
//!                                           0                                         closed, forced
//! ```
//!
//! The generation grows by one with each transition, and an admission carries that of the word that gave it, so
//! late news are known as late. It wraps after 65,536 transitions: news would have to be late by exactly that
//! many to be mistaken, and then they would be one outcome too much.
//!
//! 40 bits of milliseconds are 34 years. After that an open breaker probes at once.

use core::time::Duration;

use super::facts::{BreakerState, Forced};
use super::settings::{BreakerSettings, HALF_OPEN_FOR_MAX};
use crate::time::{Timestamp, nanos};

/// The state word, unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// How often it has been opened since it was closed for the last time, without the first. Stops at 31.
    pub(super) reopenings: u8,
    /// Grows with each transition.
    pub(super) generation: u16,
    /// What it does.
    pub(super) state: State,
}

/// What a breaker does, with what it needs for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Lets everything pass and watches.
    Closed,
    /// Refuses.
    Open {
        /// Until then, in milliseconds since the run began.
        until_ms: u64,
    },
    /// Lets probes pass.
    HalfOpen(Probes),
    /// Refuses, by order.
    ForcedOpen,
    /// Lets everything pass, by order.
    ForcedClosed,
}

/// The probes of a half-open breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probes {
    /// Out now.
    pub(super) in_flight: u8,
    /// Came back well.
    pub(super) succeeded: u8,
    /// When those that are out are written off.
    pub(super) expiry: Expiry,
}

/// A point in time within the next minutes, in 24 bits: ticks of 64 ms, counted modulo 2^24 (12.4 days).
///
/// It is never more than [`HALF_OPEN_FOR_MAX`] ahead, so a point that seems to be much further ahead lies in the past.
/// Only an endpoint that nobody called for a multiple of 12.4 days can meet a point that seems to be ahead once
/// more, and then its lost probes are written off some minutes later than they might be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry(u32);

/// What a half-open breaker does with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Lets it pass as one more probe.
    Probe(Probes),
    /// Writes off the probes that are out, and begins anew with this one.
    Anew(Probes),
    /// Refuses it until then at the latest.
    Refuse(Timestamp),
}

impl Word {
    /// The word of a new breaker.
    pub(super) const NEW: Self = Self { reopenings: 0, generation: 0, state: State::Closed };

    /// The word after a transition to `state`.
    pub(super) const fn next(self, state: State) -> Self {
        Self { generation: self.generation.wrapping_add(1), state, ..self }
    }

    /// The word after a change within the same generation.
    pub(super) const fn with(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// The word after closing: the reopenings are forgotten.
    pub(super) const fn closed(self) -> Self {
        Self { reopenings: 0, ..self.next(State::Closed) }
    }

    /// What an operator ordered.
    pub(super) const fn forced(self) -> Forced {
        match self.state {
            State::Closed | State::Open { .. } | State::HalfOpen(_) => Forced::No,
            State::ForcedOpen => Forced::Open,
            State::ForcedClosed => Forced::Closed,
        }
    }

    /// The state to be shown: what an admission would meet at `now`.
    pub(super) fn shown(self, now: Timestamp) -> BreakerState {
        let untouched = BreakerState::HalfOpen { probing: 0, succeeded: 0 };
        match self.state {
            State::Closed | State::ForcedClosed => BreakerState::Closed,
            State::ForcedOpen => BreakerState::Open { until: Timestamp::MAX },
            State::Open { until_ms } if now.as_millis() < until_ms => {
                BreakerState::Open { until: Timestamp::from_millis(until_ms) }
            }
            State::Open { .. } => untouched,
            State::HalfOpen(probes) if probes.are_lost(now) => untouched,
            State::HalfOpen(probes) => {
                BreakerState::HalfOpen { probing: probes.in_flight, succeeded: probes.succeeded }
            }
        }
    }

    /// Into 64 bits.
    pub(super) fn pack(self) -> u64 {
        let (code, payload) = match self.state {
            State::Closed => (CLOSED, 0),
            State::Open { until_ms } => (OPEN, until_ms.min(PAYLOAD_MAX)),
            State::HalfOpen(probes) => (HALF_OPEN, probes.pack()),
            State::ForcedOpen => (FORCED_OPEN, 0),
            State::ForcedClosed => (FORCED_CLOSED, 0),
        };
        code | u64::from(self.reopenings.min(REOPENINGS_MAX)) << REOPENINGS_AT
            | u64::from(self.generation) << GENERATION_AT
            | payload << PAYLOAD_AT
    }

    /// Out of 64 bits.
    #[inline]
    pub(super) fn unpack(bits: u64) -> Self {
        let payload = bits >> PAYLOAD_AT;
        let state = match bits & STATE_MASK {
            OPEN => State::Open { until_ms: payload },
            HALF_OPEN => State::HalfOpen(Probes::unpack(payload)),
            FORCED_OPEN => State::ForcedOpen,
            FORCED_CLOSED => State::ForcedClosed,
            // Nothing else is ever packed.
            _ => State::Closed,
        };
        Self {
            reopenings: (bits >> REOPENINGS_AT) as u8 & REOPENINGS_MAX,
            generation: (bits >> GENERATION_AT) as u16,
            state,
        }
    }
}

impl Probes {
    /// None out yet.
    pub(super) fn none(settings: &BreakerSettings, now: Timestamp) -> Self {
        Self { in_flight: 0, succeeded: 0, expiry: Expiry::after(settings.half_open_for, now) }
    }

    /// The first one out.
    pub(super) fn first(settings: &BreakerSettings, now: Timestamp) -> Self {
        Self { in_flight: 1, ..Self::none(settings, now) }
    }

    /// Asks for one more probe.
    pub(super) fn start(self, settings: &BreakerSettings, now: Timestamp) -> Start {
        if self.are_lost(now) {
            return Start::Anew(Self::first(settings, now));
        }
        if self.in_flight == 0 {
            // Nothing was waited for till now, so the waiting begins here.
            let expiry = Expiry::after(settings.half_open_for, now);
            return Start::Probe(Self { in_flight: 1, expiry, ..self });
        }
        if self.in_flight >= self.ramp(settings) {
            return Start::Refuse(self.expiry.time(now));
        }
        Start::Probe(Self { in_flight: self.in_flight + 1, ..self })
    }

    /// Asks for one more probe, beyond the ramp and up to the limit.
    pub(super) fn start_beyond(self, settings: &BreakerSettings, now: Timestamp) -> Start {
        match self.start(settings, now) {
            Start::Refuse(_) if self.in_flight < settings.probe_limit => {
                Start::Probe(Self { in_flight: self.in_flight + 1, ..self })
            }
            start => start,
        }
    }

    /// Those that are out count no more; what came back stays.
    pub(super) fn written_off(self, settings: &BreakerSettings, now: Timestamp) -> Self {
        Self { succeeded: self.succeeded, ..Self::none(settings, now) }
    }

    /// One probe came back well; `None` when that was the last one needed.
    pub(super) fn succeed(self, settings: &BreakerSettings, now: Timestamp) -> Option<Self> {
        let succeeded = self.succeeded.saturating_add(1);
        (succeeded < settings.probes_to_close).then(|| Self {
            in_flight: self.in_flight.saturating_sub(1),
            succeeded,
            expiry: Expiry::after(settings.half_open_for, now),
        })
    }

    /// One probe came back without news.
    pub(super) fn release(self) -> Self {
        Self { in_flight: self.in_flight.saturating_sub(1), ..self }
    }

    /// Most probes at once: 1, from one success on 2, from three on 4, from seven on 8, up to the limit. So each step
    /// has brought as many successes as it let probes out, before the next one doubles.
    fn ramp(self, settings: &BreakerSettings) -> u8 {
        let step = (u16::from(self.succeeded) + 1).ilog2();
        let wanted = 1_u8.checked_shl(step).unwrap_or(u8::MAX);
        wanted.min(settings.probe_limit).max(1)
    }

    /// Whether probes are out of which no news came in time. Without any out there is nothing to write off: what
    /// succeeded stays, or an endpoint with few calls would never close.
    fn are_lost(self, now: Timestamp) -> bool {
        self.in_flight > 0 && self.expiry.is_over(now)
    }

    fn pack(self) -> u64 {
        u64::from(self.in_flight) | u64::from(self.succeeded) << 8 | u64::from(self.expiry.0) << 16
    }

    fn unpack(payload: u64) -> Self {
        Self {
            in_flight: payload as u8,
            succeeded: (payload >> 8) as u8,
            expiry: Expiry((payload >> 16) as u32 & TICK_MASK),
        }
    }
}

impl Expiry {
    /// The first tick that is at least this long after `now`.
    fn after(length: Duration, now: Timestamp) -> Self {
        let at = now + length.min(HALF_OPEN_FOR_MAX);
        Self(at.as_nanos().div_ceil(TICK_NANOS) as u32 & TICK_MASK)
    }

    fn is_over(self, now: Timestamp) -> bool {
        let ahead = self.ticks_ahead(now);
        ahead == 0 || ahead > HORIZON_TICKS
    }

    /// The point in time, if it is still ahead.
    fn time(self, now: Timestamp) -> Timestamp {
        let tick = now.as_nanos() / TICK_NANOS + u64::from(self.ticks_ahead(now));
        Timestamp::from_nanos(tick.saturating_mul(TICK_NANOS))
    }

    fn ticks_ahead(self, now: Timestamp) -> u32 {
        let tick = (now.as_nanos() / TICK_NANOS) as u32;
        self.0.wrapping_sub(tick) & TICK_MASK
    }
}

/// Whether these 64 bits are those of a closed breaker that follows what it sees.
#[inline]
pub(super) const fn is_closed(bits: u64) -> bool {
    bits & STATE_MASK == CLOSED
}

/// The generation in these 64 bits.
#[inline]
pub(super) const fn generation(bits: u64) -> u16 {
    (bits >> GENERATION_AT) as u16
}

/// The first whole millisecond that is at least `length` after `now`.
pub(super) fn until_ms(now: Timestamp, length: Duration) -> u64 {
    now.as_nanos().saturating_add(nanos(length)).div_ceil(1_000_000)
}

const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const HALF_OPEN: u64 = 2;
const FORCED_OPEN: u64 = 3;
const FORCED_CLOSED: u64 = 4;

const STATE_MASK: u64 = 0b111;
const REOPENINGS_AT: u32 = 3;
const GENERATION_AT: u32 = 8;
const PAYLOAD_AT: u32 = 24;
const PAYLOAD_MAX: u64 = (1 << 40) - 1;

/// 2^31 times the shortest open time is far beyond every cap.
pub(super) const REOPENINGS_MAX: u8 = 31;

/// Fine enough for waits of a second and more, coarse enough for 24 bits.
const TICK_NANOS: u64 = 64_000_000;
const TICK_MASK: u32 = (1 << 24) - 1;

/// Further ahead than this is the past. Twice the longest wait, because the threads' readings of the clock are not
/// taken in the order in which they come to be used.
const HORIZON_TICKS: u32 = (2 * HALF_OPEN_FOR_MAX.as_nanos() as u64 / TICK_NANOS) as u32;

#[cfg(test)]
mod tests {
    use super::*;

    fn check_round_trip(state: State) {
        let word = Word { reopenings: 31, generation: u16::MAX, state };
        assert_eq!(Word::unpack(word.pack()), word);
    }

    #[test]
    fn every_state_comes_back_out_of_its_word() {
        check_round_trip(State::Closed);
        check_round_trip(State::ForcedOpen);
        check_round_trip(State::ForcedClosed);
        check_round_trip(State::Open { until_ms: PAYLOAD_MAX });
        let expiry = Expiry(TICK_MASK);
        check_round_trip(State::HalfOpen(Probes { in_flight: 255, succeeded: 255, expiry }));
    }

    #[test]
    fn fields_that_are_full_do_not_spill() {
        let word =
            Word { reopenings: 200, generation: 1, state: State::Open { until_ms: u64::MAX } };
        let back = Word::unpack(word.pack());
        assert_eq!((back.reopenings, back.generation), (31, 1));
        assert_eq!(back.state, State::Open { until_ms: PAYLOAD_MAX });
    }

    #[test]
    fn the_ramp_doubles_when_a_whole_step_succeeded() {
        let settings = BreakerSettings { probe_limit: 255, ..BreakerSettings::default() };
        let ramp = |succeeded| {
            let probes = Probes { succeeded, ..Probes::none(&settings, Timestamp::ZERO) };
            probes.ramp(&settings)
        };
        assert_eq!([0, 1, 2, 3, 6, 7].map(ramp), [1, 2, 2, 4, 4, 8]);
        assert_eq!([126, 127, 254, 255].map(ramp), [64, 128, 128, 255]);
    }

    #[test]
    fn an_expiry_is_over_from_its_tick_on_for_days() {
        let length = Duration::from_secs(1);
        let start = Timestamp::from_millis(u64::from(TICK_MASK) * 64 - 200);
        let expiry = Expiry::after(length, start);
        assert!(!expiry.is_over(start));
        assert!(!expiry.is_over(start - Duration::from_secs(5)));
        assert!(!expiry.is_over(start + Duration::from_millis(999)));
        assert!(expiry.is_over(start + Duration::from_millis(1064)));
        assert!(expiry.is_over(start + Duration::from_secs(12 * 24 * 3600)));
        assert!(expiry.time(start) >= start + length);
        assert!(expiry.time(start) < start + Duration::from_millis(1064));
    }
}
