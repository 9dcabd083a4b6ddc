//! The circuit breaker: stops asking an endpoint that doesn't answer well, and finds out carefully when it does.
//!
//! ```text
//!            consecutive failures, failure ratio or slow ratio reached
//!   closed ────────────────────────────────────────────────────────────▶ open
//!     ▲                                                                   │ its time is over, or a
//!     │ enough probes succeeded                                           │ health check passed
//!     │                                                                   ▼
//!     └───────────────────────────────────────────────────────────── half-open ──▶ open (a probe failed: longer)
//! ```
//!
//! There is no timer: time is an argument, and the states change as calls come by. There is no lock either: the
//! state is one word, each transition one compare-and-swap of it. The closed state costs an admission one atomic
//! load and a success one atomic add; a refusal is a load and a compare.
//!
//! Half-open is where breakers get stuck, so it is bounded on every side:
//!
//! - A ramp of probes passes at once: 1, then 2, then 4, ... up to the limit, as they succeed. The slots are
//!   counted in the state word, so two threads can't take the same one.
//! - A probe that was cancelled gives its slot back ([`Breaker::release`]).
//! - Probes of which no news came for a while are written off as the next attempt comes by: the generation changes, so
//!   what they may still have to say is late and counts for nothing, and the ramp begins again at one.
//! - One failed probe reopens it, for twice as long; with equal jitter, so that not all clients come back at once.
//! - Probes that hang hold nothing up where it is known otherwise that the trouble has ended: a health check that passes after
//!   one that failed writes them off ([`Breaker::on_check_turned`]).
//!
//! Where there is nowhere else to go, whoever has all the breakers in view may let a probe through before its time
//! ([`Breaker::admit_early`]).
//!
//! The ratios are asked after a failure or a slow call only. A fast success never adds up the window: it can't make
//! things worse, and the next failure sees it.
//!
//! What it deliberately doesn't do: hand out guards. An [`Admission`] is a plain value, which its holder settles or
//! releases; the upstream wraps it in a permit that does so when dropped.
//!
//! In the order in which a call meets them: the settings, the state `word`, the failures in a row
//! (`streak`), the `window`, the probes (`probing`); `facts` are the values that go in and come out.

mod facts;
mod probing;
mod settings;
mod streak;
mod sync;
mod window;
mod word;

use core::time::Duration;

pub use facts::{Admission, BreakerState, Forced, Outcome, Refusal, Transition, WindowCounts};
pub use settings::{BreakerMode, BreakerSettings};

use self::streak::Streak;
use self::sync::{ALONE, AtomicU64};
use self::window::{Count, Window};
use self::word::{Probes, Start, State, Word};
use crate::chance::Chance;
use crate::event::OpenCause;
use crate::time::Timestamp;

/// Watches one endpoint, or one route at one endpoint.
///
/// ```
/// # use core::time::Duration;
/// # use mainstay_core::breaker::{Breaker, BreakerSettings, Outcome, Transition};
/// # use mainstay_core::{Chance, Timestamp};
/// let settings = BreakerSettings { consecutive_failures: 1, ..BreakerSettings::default() };
/// let (breaker, mut chance) = (Breaker::new(), Chance::from_seed(1));
/// let now = Timestamp::ZERO;
///
/// let (admission, _) = breaker.admit(&settings, now).expect("it is closed");
/// let opened = breaker.settle(&settings, admission, Outcome::Failure, now, &mut chance);
/// assert!(matches!(opened, Some(Transition::Opened { .. })));
///
/// let refusal = breaker.admit(&settings, now).expect_err("it is open");
/// let (probe, half_opened) = breaker.admit(&settings, refusal.until).expect("its time is over");
/// assert!(probe.is_probe());
/// assert_eq!(half_opened, Some(Transition::HalfOpened));
/// # breaker.release(probe);
/// ```
#[derive(Debug)]
#[cfg_attr(not(loom), repr(align(64)))]
pub struct Breaker {
    word: AtomicU64,
    streak: Streak,
    window: Window,
}

/// What becomes of an attempt that asks to pass.
enum Plan {
    /// It passes, and the word stays as it is.
    Pass,
    /// It passes as a probe, once this word is in place.
    Probe(Word, Option<Transition>),
}

impl Breaker {
    /// A closed breaker.
    #[must_use]
    pub fn new() -> Self {
        Self {
            word: AtomicU64::new(Word::NEW.pack()),
            streak: Streak::new(),
            window: Window::new(),
        }
    }

    /// Asks whether an attempt may pass. An open breaker whose time is over becomes half-open here (the second
    /// value says so). In mode [`BreakerMode::Off`] only an operator's order refuses.
    ///
    /// # Errors
    ///
    /// [`Refusal`] while it is open, or half-open with all probes out.
    #[inline]
    pub fn admit(
        &self,
        settings: &BreakerSettings,
        now: Timestamp,
    ) -> Result<(Admission, Option<Transition>), Refusal> {
        let bits = self.word.load(ALONE);
        if word::is_closed(bits) {
            return Ok((pass(word::generation(bits)), None));
        }
        self.admit_unless_closed(settings, settings.mode, now)
    }

    /// [`Breaker::admit`] for the first attempt of a call: in mode [`BreakerMode::StopRetries`] it passes where others
    /// are refused. It serves as a probe when one is wanted, so a breaker closes also where nobody retries.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for [`Breaker::admit`], in mode [`BreakerMode::StopRetries`] only by an operator's order.
    #[inline]
    pub fn admit_first(
        &self,
        settings: &BreakerSettings,
        now: Timestamp,
    ) -> Result<(Admission, Option<Transition>), Refusal> {
        let bits = self.word.load(ALONE);
        if word::is_closed(bits) {
            return Ok((pass(word::generation(bits)), None));
        }
        self.admit_unless_closed(settings, mode_of_first(settings), now)
    }

    /// Lets an attempt pass whatever the state: its outcome counts in the window, but it is no probe.
    pub fn pass(&self) -> Admission {
        pass(word::generation(self.word.load(ALONE)))
    }

    /// Whether [`Breaker::admit`] would let an attempt pass now; changes nothing. For balancing.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for [`Breaker::admit`].
    #[inline]
    pub fn would_admit(&self, settings: &BreakerSettings, now: Timestamp) -> Result<(), Refusal> {
        let bits = self.word.load(ALONE);
        if word::is_closed(bits) {
            return Ok(());
        }
        plan(Word::unpack(bits), settings, settings.mode, now).map(|_| ())
    }

    /// Whether [`Breaker::admit_first`] would let an attempt pass now; changes nothing.
    ///
    /// # Errors
    ///
    /// [`Refusal`] as for [`Breaker::admit_first`].
    #[inline]
    pub fn would_admit_first(
        &self,
        settings: &BreakerSettings,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let bits = self.word.load(ALONE);
        if word::is_closed(bits) {
            return Ok(());
        }
        plan(Word::unpack(bits), settings, mode_of_first(settings), now).map(|_| ())
    }

    /// Takes the outcome of an admitted attempt. News from an earlier generation count for nothing.
    #[inline]
    pub fn settle(
        &self,
        settings: &BreakerSettings,
        admission: Admission,
        outcome: Outcome,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Transition> {
        let bits = self.word.load(ALONE);
        let generation = admission.generation();
        if word::generation(bits) != generation {
            return None;
        }
        match outcome {
            Outcome::Success(took) if word::is_closed(bits) && !settings.is_slow(took) => {
                self.streak.end(generation);
                self.window.record(Count::FAST, Some(generation), settings.window, now);
                None
            }
            Outcome::Success(_) | Outcome::Failure => {
                self.settle_notable(settings, admission, outcome, now, chance)
            }
        }
    }

    /// Takes an admission back without an outcome: the attempt was cancelled, or failed for reasons of our own.
    pub fn release(&self, admission: Admission) {
        if !admission.is_probe() {
            return;
        }
        let mut bits = self.word.load(ALONE);
        loop {
            let word = Word::unpack(bits);
            let State::HalfOpen(probes) = word.state else { return };
            if word.generation != admission.generation() {
                return;
            }
            match self.replace(bits, word.with(State::HalfOpen(probes.release()))) {
                Ok(()) => return,
                Err(other) => bits = other,
            }
        }
    }

    /// Books a failure that belongs to no admission any more: the body of an answer broke after its head.
    ///
    /// Its call was counted already, as a success, so this adds to the failures and not to the calls. While half-open
    /// it decides nothing: nobody knows whether the call was a probe.
    pub fn note_failure(
        &self,
        settings: &BreakerSettings,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Transition> {
        let bits = self.word.load(ALONE);
        if !word::is_closed(bits) {
            self.window.record(Count::FAILED_LATER, None, settings.window, now);
            return None;
        }
        self.count_failure(Count::FAILED_LATER, bits, settings, now, chance)
    }

    /// An operator's order. It holds in every mode. Taking one back ([`Forced::No`]) leaves a closed breaker that
    /// knows nothing: what it saw before the order is old by then. Without an order to take back, nothing changes.
    pub fn force(&self, order: Forced, now: Timestamp) -> Option<Transition> {
        let mut bits = self.word.load(ALONE);
        loop {
            let word = Word::unpack(bits);
            if word.forced() == order {
                return None;
            }
            if word::is_closed(bits) {
                self.window.begin(word.generation);
            }
            let next = match order {
                Forced::No => word.closed(),
                Forced::Open => word.next(State::ForcedOpen),
                Forced::Closed => word.next(State::ForcedClosed),
            };
            match self.replace(bits, next) {
                Ok(()) => return ordered(word.shown(now), order),
                Err(other) => bits = other,
            }
        }
    }

    /// What was ordered.
    #[must_use]
    pub fn forced(&self) -> Forced {
        Word::unpack(self.word.load(ALONE)).forced()
    }

    /// Whether everything passes by its own judgement: the cheapest question, for comparing many.
    #[inline]
    #[must_use]
    pub fn is_closed(&self) -> bool {
        word::is_closed(self.word.load(ALONE))
    }

    /// The state at `now`: what an admission would meet. So one that is open is shown as half-open from the end of its
    /// time on, though it changes, and says so, only as the next attempt comes by.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> BreakerState {
        Word::unpack(self.word.load(ALONE)).shown(now)
    }

    /// Calls and failures in the window at `now`. A breaker that has closed starts from nothing; while it is open,
    /// the counts that opened it can still be seen.
    #[must_use]
    pub fn counts(&self, settings: &BreakerSettings, now: Timestamp) -> WindowCounts {
        let bits = self.word.load(ALONE);
        let period = word::is_closed(bits).then_some(word::generation(bits));
        self.window.counts(period, settings.window, now)
    }

    /// The settings changed. With another window length the counts are cleared; all else is heeded from the next
    /// call on, and an open time that has begun stays as it is.
    pub fn on_reload(&self, before: &BreakerSettings, after: &BreakerSettings) {
        if before.window != after.window {
            self.window.clear();
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self::new()
    }
}

impl Breaker {
    fn admit_unless_closed(
        &self,
        settings: &BreakerSettings,
        mode: BreakerMode,
        now: Timestamp,
    ) -> Result<(Admission, Option<Transition>), Refusal> {
        let mut bits = self.word.load(ALONE);
        loop {
            let word = Word::unpack(bits);
            let (next, transition) = match plan(word, settings, mode, now)? {
                Plan::Pass => return Ok((pass(word.generation), None)),
                Plan::Probe(next, transition) => (next, transition),
            };
            match self.replace(bits, next) {
                Ok(()) => {
                    let admission = Admission::probe_of(next.generation);
                    return Ok((admission, transition));
                }
                Err(other) => bits = other,
            }
        }
    }

    /// Takes any outcome but a fast success of a closed breaker.
    #[cold]
    fn settle_notable(
        &self,
        settings: &BreakerSettings,
        admission: Admission,
        outcome: Outcome,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Transition> {
        let bits = self.word.load(ALONE);
        let generation = admission.generation();
        if word::generation(bits) != generation {
            return None;
        }
        let (count, slow) = match outcome {
            Outcome::Success(took) if settings.is_slow(took) => (Count::SLOW, true),
            Outcome::Success(_) => (Count::FAST, false),
            Outcome::Failure => (Count::FAILURE, false),
        };
        if admission.is_probe() {
            self.window.record(count, None, settings.window, now);
            let failed = outcome == Outcome::Failure || (slow && settings.slow_ratio.is_some());
            return if failed {
                self.reopen(&admission, settings, now, chance)
            } else {
                self.count_probe(&admission, settings, now)
            };
        }
        if !word::is_closed(bits) {
            self.window.record(count, None, settings.window, now);
            return None;
        }
        match outcome {
            Outcome::Failure => self.count_failure(count, bits, settings, now, chance),
            Outcome::Success(_) => self.count_success(count, bits, settings, now, chance),
        }
    }

    /// Counts a success of a closed breaker, and opens it if there are too many slow ones.
    fn count_success(
        &self,
        count: Count,
        bits: u64,
        settings: &BreakerSettings,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Transition> {
        let generation = word::generation(bits);
        self.streak.end(generation);
        self.window.record(count, Some(generation), settings.window, now);
        let limit = settings.slow_ratio?;
        let counts = self.window.counts(Some(generation), settings.window, now);
        let reached = counts.calls >= settings.minimum_calls
            && limit.reached_by(u64::from(counts.slow), u64::from(counts.calls));
        if reached { self.open(bits, OpenCause::SlowRatio, settings, now, chance) } else { None }
    }

    /// Counts a failure of a closed breaker, and opens it if there are too many.
    fn count_failure(
        &self,
        count: Count,
        bits: u64,
        settings: &BreakerSettings,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Transition> {
        let generation = word::generation(bits);
        let in_a_row = self.streak.grow(generation);
        self.window.record(count, Some(generation), settings.window, now);
        if settings.consecutive_failures > 0 && in_a_row >= settings.consecutive_failures {
            return self.open(bits, OpenCause::Consecutive, settings, now, chance);
        }
        let limit = settings.failure_ratio?;
        let counts = self.window.counts(Some(generation), settings.window, now);
        let reached = counts.calls >= settings.minimum_calls
            && limit.reached_by(u64::from(counts.failures), u64::from(counts.calls));
        if reached { self.open(bits, OpenCause::FailureRatio, settings, now, chance) } else { None }
    }

    /// Opens a closed breaker. Its word changes by transitions alone, so if another thread was faster, it has been opened.
    fn open(
        &self,
        bits: u64,
        cause: OpenCause,
        settings: &BreakerSettings,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Transition> {
        let open_for = open_length(settings, 0, chance);
        let until_ms = word::until_ms(now, open_for);
        let next = Word::unpack(bits).next(State::Open { until_ms });
        self.replace(bits, next).ok().map(|()| Transition::Opened { cause, open_for })
    }

    /// Puts a word in the place of the one that was seen, or gives the one that is there instead.
    fn replace(&self, seen: u64, next: Word) -> Result<(), u64> {
        self.word.compare_exchange(seen, next.pack(), ALONE, ALONE).map(|_| ())
    }
}

/// An admission that is no probe.
#[inline]
const fn pass(generation: u16) -> Admission {
    Admission::of(generation)
}

/// The mode by which first attempts are judged.
fn mode_of_first(settings: &BreakerSettings) -> BreakerMode {
    match settings.mode {
        BreakerMode::Off | BreakerMode::StopRetries => BreakerMode::Off,
        BreakerMode::StopAll => BreakerMode::StopAll,
    }
}

/// What becomes of an attempt in this state.
fn plan(
    word: Word,
    settings: &BreakerSettings,
    mode: BreakerMode,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let refused = |until| match mode {
        BreakerMode::Off => Ok(Plan::Pass),
        BreakerMode::StopRetries | BreakerMode::StopAll => Err(Refusal { until }),
    };
    match word.state {
        State::Closed | State::ForcedClosed => Ok(Plan::Pass),
        State::ForcedOpen => Err(Refusal { until: Timestamp::MAX }),
        State::Open { until_ms } if now.as_millis() < until_ms => {
            refused(Timestamp::from_millis(until_ms))
        }
        State::Open { .. } => {
            let next = word.next(State::HalfOpen(Probes::first(settings, now)));
            Ok(Plan::Probe(next, Some(Transition::HalfOpened)))
        }
        State::HalfOpen(probes) => match probes.start(settings, now) {
            Start::Probe(probes) => Ok(Plan::Probe(word.with(State::HalfOpen(probes)), None)),
            Start::Anew(probes) => Ok(Plan::Probe(word.next(State::HalfOpen(probes)), None)),
            Start::Refuse(until) => refused(until),
        },
    }
}

/// The transition that an order causes, if it changes what can be seen.
fn ordered(before: BreakerState, order: Forced) -> Option<Transition> {
    match order {
        Forced::Open => {
            Some(Transition::Opened { cause: OpenCause::Forced, open_for: Duration::MAX })
        }
        Forced::No | Forced::Closed => {
            (before != BreakerState::Closed).then_some(Transition::Closed)
        }
    }
}

/// How long to stay open: twice as long for each reopening, up to the cap, half of it sure and half by chance ("equal
/// jitter", M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog 2015).
fn open_length(settings: &BreakerSettings, reopenings: u8, chance: &mut Chance) -> Duration {
    let factor = 1_u32.checked_shl(u32::from(reopenings)).unwrap_or(u32::MAX);
    let full = settings.open_for.saturating_mul(factor).min(settings.open_cap);
    let half = full / 2;
    half + chance.up_to(full - half)
}
