//! Random steps against a plain model of the breaker: a list of outcomes with their times, and an enum.
//!
//! The model knows nothing of words, stamps and generations. It takes the length of an open time, which is chance's, from
//! the breaker, after checking its bounds.
#![cfg(not(loom))]

use std::time::Duration;

use mainstay_core::breaker::{
    Admission, Breaker, BreakerMode, BreakerSettings, BreakerState, Forced, Outcome, Refusal,
    Transition, WindowCounts,
};
use mainstay_core::event::OpenCause;
use mainstay_core::{Chance, Checked, Ratio, Timestamp};
use proptest::prelude::*;

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    Pass(Duration),
    Admit,
    AdmitFirst,
    AdmitEarly,
    PassBy,
    Settle(usize, Outcome),
    Release(usize),
    NoteFailure,
    CheckPassed,
    CheckTurned,
    Force(Forced),
}

/// An admission, as the model sees it.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    period: u64,
    probe: bool,
    early: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Closed,
    Open { until: Timestamp },
    HalfOpen { probing: usize, succeeded: usize, lost_at: Timestamp },
    ForcedOpen,
    ForcedClosed,
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    at: Timestamp,
    counts: WindowCounts,
}

struct Model {
    settings: BreakerSettings,
    state: State,
    /// Counts the states gone through, half-open ones that began anew included.
    period: u64,
    counted: Vec<Counted>,
    in_a_row: u32,
    reopenings: u32,
}

impl Model {
    fn new(settings: BreakerSettings) -> Self {
        let state = State::Closed;
        Self { settings, state, period: 0, counted: Vec::new(), in_a_row: 0, reopenings: 0 }
    }

    fn enter(&mut self, state: State) {
        if state == State::Closed {
            (self.in_a_row, self.reopenings) = (0, 0);
            self.counted.clear();
        }
        self.period += 1;
        self.state = state;
    }

    fn half_open(&mut self, probing: usize, now: Timestamp) {
        let lost_at = self.lost_at(now);
        self.enter(State::HalfOpen { probing, succeeded: 0, lost_at });
    }

    /// Lost probes are looked for each 64 ms.
    fn lost_at(&self, now: Timestamp) -> Timestamp {
        round_up(now + self.settings.half_open_for, 64)
    }

    fn ramp(&self, succeeded: usize) -> usize {
        let mut ramp = 1;
        while 2 * ramp <= succeeded + 1 {
            ramp *= 2;
        }
        ramp.min(usize::from(self.settings.probe_limit))
    }

    fn would_admit(&self, mode: BreakerMode, now: Timestamp) -> Result<(), Refusal> {
        let until = match self.state {
            State::Closed | State::ForcedClosed => return Ok(()),
            State::ForcedOpen => return Err(Refusal { until: Timestamp::MAX }),
            State::Open { until } if now < until => until,
            State::Open { .. } => return Ok(()),
            State::HalfOpen { probing, succeeded, lost_at } => {
                if probing < self.ramp(succeeded) || now >= lost_at {
                    return Ok(());
                }
                lost_at
            }
        };
        if mode == BreakerMode::Off { Ok(()) } else { Err(Refusal { until }) }
    }

    fn admit(
        &mut self,
        mode: BreakerMode,
        now: Timestamp,
    ) -> Result<(Ticket, Option<Transition>), Refusal> {
        self.would_admit(mode, now)?;
        let lost_anew = self.lost_at(now);
        let ramp = match self.state {
            State::HalfOpen { succeeded, .. } => self.ramp(succeeded),
            _ => 0,
        };
        let (probe, transition) = match &mut self.state {
            State::Open { until } if now >= *until => {
                self.half_open(1, now);
                (true, Some(Transition::HalfOpened))
            }
            State::HalfOpen { probing: probing @ 0, lost_at, .. } => {
                (*probing, *lost_at) = (1, lost_anew);
                (true, None)
            }
            State::HalfOpen { lost_at, .. } if now >= *lost_at => {
                self.half_open(1, now);
                (true, None)
            }
            State::HalfOpen { probing, .. } if *probing < ramp => {
                *probing += 1;
                (true, None)
            }
            _ => (false, None),
        };
        Ok((Ticket { period: self.period, probe, early: false }, transition))
    }

    /// Whatever the ramp and the open time say, but not beyond the limit, and not against an order.
    fn admit_early(&mut self, now: Timestamp) -> Result<(Ticket, Option<Transition>), Refusal> {
        let limit = usize::from(self.settings.probe_limit);
        let beyond = match self.state {
            State::Open { .. } => {
                self.half_open(1, now);
                Some(Transition::HalfOpened)
            }
            State::HalfOpen { probing, succeeded, lost_at }
                if (self.ramp(succeeded)..limit).contains(&probing) && now < lost_at =>
            {
                self.state = State::HalfOpen { probing: probing + 1, succeeded, lost_at };
                None
            }
            _ => {
                let (ticket, transition) = self.admit(BreakerMode::StopAll, now)?;
                return Ok((Ticket { early: ticket.probe, ..ticket }, transition));
            }
        };
        Ok((Ticket { period: self.period, probe: true, early: true }, beyond))
    }

    fn count(&mut self, calls: u32, failures: u32, slow: u32, at: Timestamp) {
        self.counted.push(Counted { at, counts: WindowCounts { calls, failures, slow } });
    }

    /// Takes an outcome, and says what should open it, if anything, or that it closes.
    fn settle(&mut self, ticket: Ticket, outcome: Outcome, now: Timestamp) -> Expected {
        if ticket.period != self.period {
            return Expected::Nothing;
        }
        let slow = matches!(outcome, Outcome::Success(took) if took >= self.settings.slow_after);
        let failed = outcome == Outcome::Failure;
        self.count(1, u32::from(failed), u32::from(slow), now);
        let lost_anew = self.lost_at(now);
        match &mut self.state {
            State::HalfOpen { probing, succeeded, lost_at } if ticket.probe => {
                if failed || (slow && self.settings.slow_ratio.is_some()) {
                    self.reopenings += u32::from(!ticket.early);
                    return Expected::Opened(OpenCause::ProbeFailed);
                }
                (*probing, *succeeded, *lost_at) = (*probing - 1, *succeeded + 1, lost_anew);
                if *succeeded == usize::from(self.settings.probes_to_close) {
                    self.enter(State::Closed);
                    return Expected::Closed;
                }
                if ticket.early && *probing > 0 {
                    let succeeded = *succeeded;
                    self.enter(State::HalfOpen { probing: 0, succeeded, lost_at: lost_anew });
                }
                Expected::Nothing
            }
            State::Closed => self.judge(failed, slow, now),
            _ => Expected::Nothing,
        }
    }

    fn judge(&mut self, failed: bool, slow: bool, now: Timestamp) -> Expected {
        self.in_a_row = if failed { self.in_a_row + 1 } else { 0 };
        let limit = u32::from(self.settings.consecutive_failures);
        if failed && limit > 0 && self.in_a_row >= limit {
            return Expected::Opened(OpenCause::Consecutive);
        }
        let sum = self.counts(now);
        let reached = |ratio: Option<Ratio>, part: u32| {
            sum.calls >= self.settings.minimum_calls
                && ratio.is_some_and(|ratio| ratio.reached_by(part.into(), sum.calls.into()))
        };
        if failed && reached(self.settings.failure_ratio, sum.failures) {
            return Expected::Opened(OpenCause::FailureRatio);
        }
        if slow && reached(self.settings.slow_ratio, sum.slow) {
            return Expected::Opened(OpenCause::SlowRatio);
        }
        Expected::Nothing
    }

    fn release(&mut self, ticket: Ticket) {
        if let State::HalfOpen { probing, .. } = &mut self.state
            && ticket.probe
            && ticket.period == self.period
        {
            *probing -= 1;
        }
    }

    fn note_failure(&mut self, now: Timestamp) -> Expected {
        self.count(0, 1, 0, now);
        if self.state == State::Closed { self.judge(true, false, now) } else { Expected::Nothing }
    }

    fn check_passed(&mut self, now: Timestamp) -> Expected {
        let State::Open { .. } = self.state else { return Expected::Nothing };
        self.half_open(0, now);
        Expected::HalfOpened
    }

    /// The same, and probes that are out count no more.
    fn check_turned(&mut self, now: Timestamp) -> Expected {
        match self.state {
            State::HalfOpen { probing: 1.., succeeded, .. } => {
                let lost_at = self.lost_at(now);
                self.enter(State::HalfOpen { probing: 0, succeeded, lost_at });
                Expected::Nothing
            }
            _ => self.check_passed(now),
        }
    }

    fn force(&mut self, order: Forced, now: Timestamp) -> Expected {
        let was_closed = self.shown(now) == BreakerState::Closed;
        match (order, &self.state) {
            (Forced::No, State::ForcedOpen | State::ForcedClosed) => self.enter(State::Closed),
            (Forced::Open, state) if *state != State::ForcedOpen => {
                self.enter(State::ForcedOpen);
                return Expected::Ordered;
            }
            (Forced::Closed, state) if *state != State::ForcedClosed => {
                self.enter(State::ForcedClosed);
            }
            _ => return Expected::Nothing,
        }
        if was_closed { Expected::Nothing } else { Expected::Closed }
    }

    /// Takes the length of an open time over from the breaker.
    fn open(&mut self, open_for: Duration, now: Timestamp) {
        let doubled = self.settings.open_for.as_nanos() << self.reopenings.min(40);
        let full = doubled.min(self.settings.open_cap.as_nanos());
        let allowed = (full / 2)..=full;
        assert!(allowed.contains(&open_for.as_nanos()), "{open_for:?} isn't in {allowed:?} ns");
        self.enter(State::Open { until: round_up(now + open_for, 1) });
    }

    fn counts(&self, now: Timestamp) -> WindowCounts {
        let bucket = |at: Timestamp| at.as_nanos() / (self.settings.window.as_nanos() as u64 / 10);
        let mut sum = WindowCounts::default();
        for counted in &self.counted {
            if bucket(now) - bucket(counted.at) < 10 {
                sum.calls += counted.counts.calls;
                sum.failures += counted.counts.failures;
                sum.slow += counted.counts.slow;
            }
        }
        sum
    }

    fn shown(&self, now: Timestamp) -> BreakerState {
        match self.state {
            State::Closed | State::ForcedClosed => BreakerState::Closed,
            State::ForcedOpen => BreakerState::Open { until: Timestamp::MAX },
            State::Open { until } if now < until => BreakerState::Open { until },
            State::HalfOpen { probing, succeeded, lost_at } if probing == 0 || now < lost_at => {
                BreakerState::HalfOpen { probing: probing as u8, succeeded: succeeded as u8 }
            }
            State::Open { .. } | State::HalfOpen { .. } => {
                BreakerState::HalfOpen { probing: 0, succeeded: 0 }
            }
        }
    }
}

/// Which transition the model expects.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    Nothing,
    Opened(OpenCause),
    Ordered,
    HalfOpened,
    Closed,
}

/// The breaker and the model, side by side.
struct Pair {
    breaker: Breaker,
    model: Model,
    now: Timestamp,
    chance: Chance,
    out: Vec<(Admission, Ticket)>,
}

impl Pair {
    fn new(settings: BreakerSettings, seed: u64) -> Self {
        Self {
            breaker: Breaker::new(),
            model: Model::new(settings),
            now: Timestamp::from_nanos(seed % 20_000_000_000),
            chance: Chance::from_seed(seed),
            out: Vec::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        let (now, settings) = (self.now, self.model.settings.clone());
        match step {
            Step::Pass(length) => self.now = now + *length,
            Step::Admit => {
                let model = self.model.admit(settings.mode, now);
                self.agree_on_admission(self.breaker.admit(&settings, now), model);
            }
            Step::AdmitFirst => {
                let model = self.model.admit(mode_of_first(&settings), now);
                self.agree_on_admission(self.breaker.admit_first(&settings, now), model);
            }
            Step::AdmitEarly => {
                let model = self.model.admit_early(now);
                self.agree_on_admission(self.breaker.admit_early(&settings, now), model);
            }
            Step::PassBy => {
                let ticket = Ticket { period: self.model.period, probe: false, early: false };
                self.out.push((self.breaker.pass(), ticket));
            }
            Step::Settle(which, outcome) => {
                if let Some((admission, ticket)) = self.take(*which) {
                    let expected = self.model.settle(ticket, *outcome, now);
                    let chance = &mut self.chance;
                    let told = self.breaker.settle(&settings, admission, *outcome, now, chance);
                    self.agree(told, expected);
                }
            }
            Step::Release(which) => {
                if let Some((admission, ticket)) = self.take(*which) {
                    self.breaker.release(admission);
                    self.model.release(ticket);
                }
            }
            Step::NoteFailure => {
                let expected = self.model.note_failure(now);
                let told = self.breaker.note_failure(&settings, now, &mut self.chance);
                self.agree(told, expected);
            }
            Step::CheckPassed => {
                let expected = self.model.check_passed(now);
                self.agree(self.breaker.on_check_passed(&settings, now), expected);
            }
            Step::CheckTurned => {
                let expected = self.model.check_turned(now);
                self.agree(self.breaker.on_check_turned(&settings, now), expected);
            }
            Step::Force(order) => {
                let expected = self.model.force(*order, now);
                self.agree(self.breaker.force(*order, now), expected);
            }
        }
    }

    /// Late ones are often the oldest, so a small number means an old one.
    fn take(&mut self, which: usize) -> Option<(Admission, Ticket)> {
        if self.out.is_empty() {
            return None;
        }
        Some(self.out.remove(which % self.out.len()))
    }

    fn agree_on_admission(
        &mut self,
        breaker: Result<(Admission, Option<Transition>), Refusal>,
        model: Result<(Ticket, Option<Transition>), Refusal>,
    ) {
        match (breaker, model) {
            (Ok((admission, told)), Ok((ticket, expected))) => {
                assert_eq!((admission.is_probe(), told), (ticket.probe, expected));
                assert_eq!(admission.is_early(), ticket.early);
                self.out.push((admission, ticket));
            }
            (Err(refusal), Err(expected)) => assert_eq!(refusal, expected),
            (breaker, model) => panic!("breaker: {breaker:?}, model: {model:?}"),
        }
    }

    fn agree(&mut self, told: Option<Transition>, expected: Expected) {
        let seen = match told {
            None => Expected::Nothing,
            Some(Transition::Opened { cause: OpenCause::Forced, .. }) => Expected::Ordered,
            Some(Transition::Opened { cause, open_for }) => {
                self.model.open(open_for, self.now);
                Expected::Opened(cause)
            }
            Some(Transition::HalfOpened) => Expected::HalfOpened,
            Some(Transition::Closed) => Expected::Closed,
        };
        assert_eq!(seen, expected);
    }

    /// What must hold after each step.
    fn look(&self) {
        let (breaker, model, now) = (&self.breaker, &self.model, self.now);
        let settings = &model.settings;
        assert_eq!(breaker.state(now), model.shown(now));
        assert_eq!(breaker.counts(settings, now), model.counts(now));
        let mode = settings.mode;
        assert_eq!(breaker.would_admit(settings, now), model.would_admit(mode, now));
        let mode = mode_of_first(settings);
        assert_eq!(breaker.would_admit_first(settings, now), model.would_admit(mode, now));
        let probes =
            self.out.iter().filter(|(_, ticket)| ticket.probe && ticket.period == model.period);
        assert!(probes.count() <= usize::from(settings.probe_limit), "too many probes are out");
    }

    /// The endpoint is well again, and nobody hears of the calls that are out: how many calls until it closes.
    fn calls_until_closed(&mut self) -> usize {
        self.step(&Step::Force(Forced::No));
        self.out.clear();
        for calls in 0..2_000 {
            if self.breaker.state(self.now) == BreakerState::Closed {
                return calls;
            }
            self.step(&Step::Pass(Duration::from_secs(1)));
            self.step(&Step::Admit);
            self.step(&Step::Settle(0, Outcome::Success(Duration::ZERO)));
            self.look();
        }
        panic!("stuck in {:?}", self.breaker.state(self.now));
    }
}

fn mode_of_first(settings: &BreakerSettings) -> BreakerMode {
    if settings.mode == BreakerMode::StopAll { BreakerMode::StopAll } else { BreakerMode::Off }
}

fn round_up(at: Timestamp, unit_ms: u64) -> Timestamp {
    Timestamp::from_millis(at.as_nanos().div_ceil(unit_ms * 1_000_000) * unit_ms)
}

fn any_step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Success(Duration::from_millis(20))),
        2 => Just(Outcome::Success(Duration::from_millis(200))),
        4 => Just(Outcome::Failure),
    ];
    // The news that come in are mostly those of the latest attempt.
    let which = prop_oneof![1 => 0..4_usize, 1 => Just(usize::MAX), 1 => any::<usize>()];
    let length = prop_oneof![
        8 => 0..300_000_u64,
        6 => 0..3_000_000_u64,
        3 => 0..60_000_000_u64,
        1 => 0..20_000_000_000_u64,
    ];
    let order =
        prop_oneof![2 => Just(Forced::No), 1 => Just(Forced::Open), 1 => Just(Forced::Closed)];
    prop_oneof![
        10 => length.prop_map(|micros| Step::Pass(Duration::from_micros(micros))),
        20 => Just(Step::Admit),
        3 => Just(Step::AdmitFirst),
        1 => Just(Step::PassBy),
        20 => (which.clone(), outcome).prop_map(|(which, outcome)| Step::Settle(which, outcome)),
        4 => which.prop_map(Step::Release),
        2 => Just(Step::NoteFailure),
        2 => Just(Step::AdmitEarly),
        1 => Just(Step::CheckPassed),
        1 => Just(Step::CheckTurned),
        1 => order.prop_map(Step::Force),
    ]
}

fn any_settings() -> impl Strategy<Value = BreakerSettings> {
    let ratio = prop_oneof![
        1 => Just(None),
        3 => (1..=100_u16).prop_map(|percent| Some(Ratio::percent(percent))),
    ];
    let mode = prop_oneof![
        1 => Just(BreakerMode::Off),
        1 => Just(BreakerMode::StopRetries),
        4 => Just(BreakerMode::StopAll),
    ];
    let triggers = (0..6_u16, ratio.clone(), ratio, 1..12_u32, 1..20_u64);
    let rest = (10..5_000_u64, 0..60_000_u64, 1..=9_u8, 1..=12_u8, 1..20_u64);
    (mode, triggers, rest).prop_map(|(mode, triggers, rest)| {
        let (consecutive_failures, failure_ratio, slow_ratio, minimum_calls, window) = triggers;
        let (open_for, cap_above, probe_limit, probes_to_close, half_open_for) = rest;
        let settings = BreakerSettings {
            mode,
            consecutive_failures,
            failure_ratio,
            slow_ratio,
            slow_after: Duration::from_millis(100),
            minimum_calls,
            window: Duration::from_secs(window),
            open_for: Duration::from_millis(open_for),
            open_cap: Duration::from_millis(open_for + cap_above),
            probe_limit,
            probes_to_close,
            half_open_for: Duration::from_secs(half_open_for),
            ..BreakerSettings::default()
        };
        Checked::new(settings).expect("they are within their rules").into_inner()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_breaker_does_what_the_model_does_and_closes_in_the_end(
        settings in any_settings(),
        seed in any::<u64>(),
        steps in prop::collection::vec(any_step(), 1..200),
    ) {
        let mut pair = Pair::new(settings, seed);
        for step in &steps {
            pair.step(step);
            pair.look();
        }
        pair.calls_until_closed();
    }
}
