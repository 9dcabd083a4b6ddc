//! Half-open: probes before their time and at it, what comes of them, and what health checks say meanwhile.

use super::facts::{Admission, Refusal, Transition};
use super::settings::BreakerSettings;
use super::sync::ALONE;
use super::word::{self, Probes, Start, State, Word};
use super::{Breaker, open_length, pass};
use crate::chance::Chance;
use crate::event::OpenCause;
use crate::time::Timestamp;

impl Breaker {
    /// Lets an attempt pass as a probe before its time: through an open breaker, which becomes half-open, or beside probes of
    /// which no news came yet, up to `probe_limit` of them. For whoever has nowhere else to go, and keeps to a pace. Its failure
    /// opens the breaker again, but for no longer than before: it was asked sooner than the breaker would have.
    ///
    /// # Errors
    ///
    /// [`Refusal`] where an operator ordered it, or as many probes are out as may be.
    pub fn admit_early(
        &self,
        settings: &BreakerSettings,
        now: Timestamp,
    ) -> Result<(Admission, Option<Transition>), Refusal> {
        let mut bits = self.word.load(ALONE);
        loop {
            let word = Word::unpack(bits);
            let (next, transition) = match word.state {
                State::Closed | State::ForcedClosed => return Ok((pass(word.generation), None)),
                State::ForcedOpen => return Err(Refusal { until: Timestamp::MAX }),
                State::Open { .. } => {
                    let first = State::HalfOpen(Probes::first(settings, now));
                    (word.next(first), Some(Transition::HalfOpened))
                }
                State::HalfOpen(probes) => match probes.start_beyond(settings, now) {
                    Start::Probe(probes) => (word.with(State::HalfOpen(probes)), None),
                    Start::Anew(probes) => (word.next(State::HalfOpen(probes)), None),
                    Start::Refuse(until) => return Err(Refusal { until }),
                },
            };
            match self.replace(bits, next) {
                Ok(()) => return Ok((Admission::early_probe_of(next.generation), transition)),
                Err(other) => bits = other,
            }
        }
    }

    /// A health check passed: an open breaker may begin to probe at once.
    pub fn on_check_passed(
        &self,
        settings: &BreakerSettings,
        now: Timestamp,
    ) -> Option<Transition> {
        self.begin_to_probe(self.word.load(ALONE), settings, now)
    }

    /// A health check passed after one that had failed: as [`Breaker::on_check_passed`], and probes that went out before, of which
    /// no news came yet, are written off. What they meet began before the trouble ended.
    pub fn on_check_turned(
        &self,
        settings: &BreakerSettings,
        now: Timestamp,
    ) -> Option<Transition> {
        let bits = self.word.load(ALONE);
        let word = Word::unpack(bits);
        let State::HalfOpen(probes) = word.state else {
            return self.begin_to_probe(bits, settings, now);
        };
        if probes.in_flight > 0 {
            let next = word.next(State::HalfOpen(probes.written_off(settings, now)));
            // Where another thread was faster, there is news of a probe, and that counts for more.
            let _ = self.replace(bits, next);
        }
        None
    }

    fn begin_to_probe(
        &self,
        bits: u64,
        settings: &BreakerSettings,
        now: Timestamp,
    ) -> Option<Transition> {
        let word = Word::unpack(bits);
        let State::Open { .. } = word.state else { return None };
        let next = word.next(State::HalfOpen(Probes::none(settings, now)));
        self.replace(bits, next).ok().map(|()| Transition::HalfOpened)
    }

    /// A probe succeeded: one more, and perhaps the last one needed. One that went before its time went beside others of which no
    /// news had come, and they are written off: what they met is over.
    pub(super) fn count_probe(
        &self,
        probe: &Admission,
        settings: &BreakerSettings,
        now: Timestamp,
    ) -> Option<Transition> {
        let mut bits = self.word.load(ALONE);
        loop {
            let (word, probes) = half_open(bits, probe.generation())?;
            let (next, transition) = match probes.succeed(settings, now) {
                Some(probes) if probe.is_early() && probes.in_flight > 0 => {
                    (word.next(State::HalfOpen(probes.written_off(settings, now))), None)
                }
                Some(probes) => (word.with(State::HalfOpen(probes)), None),
                None => (word.closed(), Some(Transition::Closed)),
            };
            match self.replace(bits, next) {
                Ok(()) => return transition,
                Err(other) => bits = other,
            }
        }
    }

    /// A probe failed: open again, for longer; but for one that went out before its time.
    pub(super) fn reopen(
        &self,
        probe: &Admission,
        settings: &BreakerSettings,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Transition> {
        let mut bits = self.word.load(ALONE);
        loop {
            let (word, _) = half_open(bits, probe.generation())?;
            let longer = u8::from(!probe.is_early());
            let reopenings = word.reopenings.saturating_add(longer).min(word::REOPENINGS_MAX);
            let open_for = open_length(settings, reopenings, chance);
            let until_ms = word::until_ms(now, open_for);
            let next = Word { reopenings, ..word.next(State::Open { until_ms }) };
            match self.replace(bits, next) {
                Ok(()) => {
                    return Some(Transition::Opened { cause: OpenCause::ProbeFailed, open_for });
                }
                Err(other) => bits = other,
            }
        }
    }
}

/// The probes of this generation, if it is half-open still.
fn half_open(bits: u64, generation: u16) -> Option<(Word, Probes)> {
    let word = Word::unpack(bits);
    match word.state {
        State::HalfOpen(probes) if word.generation == generation => Some((word, probes)),
        State::HalfOpen(_)
        | State::Closed
        | State::Open { .. }
        | State::ForcedOpen
        | State::ForcedClosed => None,
    }
}
