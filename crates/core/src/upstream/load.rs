//! What is let through to an upstream: limits of how much is under way, of how fast it goes, and the pauses that it asks for.
//!
//! ```text
//!   throttle ─▶ pause ─▶ rate ─▶ limit ─▶ pick
//!      │          │        │       └ no room: wait in line, if there is one
//!      │          └────────┴ not yet: wait until then, if the call still can be answered
//!      └ too much was turned away lately: refuse a share
//! ```
//!
//! The throttle judges calls, everything else attempts: a retry is load like any other. All of it is shared by the
//! generations of an upstream, and lock-free.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst, fence};
use core::time::Duration;

use crate::chance::Chance;
use crate::check::{Check, Problems};
use crate::limit::{Limit, LimitSettings, LimitView};
use crate::line::LineSettings;
use crate::rate::{KeyedRate, KeyedRateSettings, Pause, Rate, RateSettings, Slot};
use crate::throttle::{Throttle, ThrottleLevel, ThrottleSettings};
use crate::time::Timestamp;

use super::balance::mixed;

/// What may be let through to an upstream. By default everything is, but for pauses, which are always kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadSettings {
    /// Attempts that may be under way at the upstream as a whole.
    pub limit: Option<LimitSettings>,
    /// Attempts that may be under way at each of its endpoints.
    pub endpoint_limit: Option<LimitSettings>,
    /// Who waits for room under these limits.
    pub line: LineSettings,
    /// Attempts in each period, of all calls.
    pub rate: Option<RateSettings>,
    /// Attempts in each period, for each key.
    pub keyed_rate: Option<KeyedRateSettings>,
    /// Whether calls are refused while most of what is sent is turned away.
    pub throttle: Option<ThrottleSettings>,
}

impl Check for LoadSettings {
    fn check(&self, problems: &mut Problems) {
        if let Some(limit) = &self.limit {
            problems.within("limit", limit);
        }
        if let Some(limit) = &self.endpoint_limit {
            problems.within("endpoint_limit", limit);
        }
        problems.within("line", &self.line);
        if let Some(rate) = &self.rate {
            problems.within("rate", rate);
        }
        if let Some(rate) = &self.keyed_rate {
            problems.within("keyed_rate", rate);
        }
        if let Some(throttle) = &self.throttle {
            problems.within("throttle", throttle);
        }
    }
}

/// What stands before an upstream's endpoints.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Whether there is anything to wait for.
    has_limits: bool,
    limit: Option<Arc<Limit>>,
    rate: Option<Rate>,
    keyed_rate: Option<KeyedRate>,
    throttle: Option<Arc<Throttle>>,
    shared: Arc<Shared>,
}

/// What all generations count together.
#[derive(Debug)]
struct Shared {
    /// Seats that are taken.
    seated: AtomicU32,
    /// Calls that wait in line.
    lined: AtomicU32,
    pause: Pause,
    /// Pauses of keys. A key is paused while its cell in each row is; another key shares both of them once in 65,536.
    lanes: [[Pause; LANES]; 2],
}

/// A place under the upstream's concurrency limit, taken until dropped.
#[must_use = "a seat that is dropped is free"]
#[derive(Debug)]
pub struct Seat(Option<Arc<Shared>>);

/// A place under the rate limit, for a time that is still to come. Given back when it is dropped unused.
#[derive(Debug)]
pub(crate) struct Booking {
    rate: Rate,
    slot: Option<Slot>,
}

/// Whether an attempt may start.
#[derive(Debug)]
pub(crate) enum Pass {
    /// Now.
    Go,
    /// Then, after the pause; and it is to ask again.
    AfterPause(Timestamp),
    /// Then, by the rate limit.
    AtRate(Timestamp, Option<Booking>),
    /// Only after the time that it has, then.
    Paused(Timestamp),
    /// The same, by the rate limit.
    TooMany(Timestamp),
}

/// What is let through to an upstream, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadView {
    /// The upstream's concurrency limit, if it has one.
    pub limit: Option<LimitView>,
    /// Attempts under it; counted only where there is a limit.
    pub in_flight: u32,
    /// Calls that wait for room.
    pub waiting: u32,
    /// Until when the upstream asked for a pause, if it did.
    pub paused_until: Option<Timestamp>,
    /// Attempts that could go at once by the rate limit, if there is one.
    pub rate_available: Option<u32>,
    /// What the throttle has seen, if there is one.
    pub throttle: Option<ThrottleLevel>,
}

impl Gate {
    pub(super) fn new(settings: &LoadSettings) -> Self {
        Self {
            has_limits: has_limits(settings),
            limit: settings.limit.clone().map(|limit| Arc::new(Limit::new(limit))),
            rate: settings.rate.as_ref().map(Rate::new),
            keyed_rate: settings.keyed_rate.as_ref().map(KeyedRate::new),
            throttle: settings.throttle.as_ref().map(|it| Arc::new(Throttle::new(it))),
            shared: Arc::new(Shared::new()),
        }
    }

    /// The gate of the next generation: what was learned and taken is kept as far as it still means the same.
    pub(super) fn renewed(&self, old: &LoadSettings, new: &LoadSettings) -> Self {
        let throttle = match (&self.throttle, &new.throttle) {
            (Some(known), Some(_)) if old.throttle == new.throttle => Some(Arc::clone(known)),
            (_, settings) => settings.as_ref().map(|it| Arc::new(Throttle::new(it))),
        };
        Self {
            has_limits: has_limits(new),
            limit: renewed_limit(self.limit.as_ref(), new.limit.as_ref()),
            rate: new.rate.as_ref().map(|rate| match &self.rate {
                Some(known) => known.renewed(rate),
                None => Rate::new(rate),
            }),
            keyed_rate: new.keyed_rate.as_ref().map(|rate| match &self.keyed_rate {
                Some(known) => known.renewed(rate),
                None => KeyedRate::new(rate),
            }),
            throttle,
            shared: Arc::clone(&self.shared),
        }
    }

    /// Whether a call may be made at all.
    #[inline]
    pub(crate) fn admits(&self, now: Timestamp, chance: &mut Chance) -> bool {
        self.throttle.as_ref().is_none_or(|throttle| throttle.admit(now, chance))
    }

    /// Whether an attempt may start, which is of use until `latest`.
    #[inline]
    pub(crate) fn pass(
        &self,
        lane: Option<u64>,
        now: Timestamp,
        latest: Timestamp,
        chance: &mut Chance,
    ) -> Pass {
        // Tables of keys need every bit to depend on the whole key.
        let lane = lane.map(mixed);
        if let Some(until) = self.paused_until(lane, now) {
            return match self.release_at(lane, now, chance) {
                Some(at) if at <= latest => Pass::AfterPause(at),
                Some(_) | None => Pass::Paused(until),
            };
        }
        if self.rate.is_none() && self.keyed_rate.is_none() {
            return Pass::Go;
        }
        self.pass_at_rate(lane, now, latest)
    }

    #[cold]
    fn pass_at_rate(&self, lane: Option<u64>, now: Timestamp, latest: Timestamp) -> Pass {
        let mut at = now;
        let mut booking = None;
        if let Some(rate) = &self.rate {
            match rate.take_by(now, latest) {
                Ok(slot) => {
                    at = at.max(slot.at());
                    booking = Some(Booking { rate: rate.clone(), slot: Some(slot) });
                }
                Err(until) => return Pass::TooMany(until),
            }
        }
        if let (Some(rate), Some(lane)) = (&self.keyed_rate, lane) {
            match rate.take_by(lane, at, latest) {
                Ok(slot) => at = at.max(slot),
                Err(until) => return Pass::TooMany(until),
            }
        }
        if at > now {
            return Pass::AtRate(at, booking);
        }
        booking.into_iter().for_each(Booking::used);
        Pass::Go
    }

    /// Until when nothing is to be sent for this key.
    #[inline]
    fn paused_until(&self, lane: Option<u64>, now: Timestamp) -> Option<Timestamp> {
        match lane {
            None => self.shared.pause.until(now),
            Some(lane) => {
                let [first, second] = self.lane(lane);
                Some(first.until(now)?.min(second.until(now)?))
            }
        }
    }

    fn release_at(
        &self,
        lane: Option<u64>,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Timestamp> {
        match lane {
            None => self.shared.pause.release_at(now, chance),
            Some(lane) => {
                let [first, second] = self.lane(lane);
                let sooner = if first.until(now) <= second.until(now) { first } else { second };
                sooner.release_at(now, chance)
            }
        }
    }

    fn lane(&self, lane: u64) -> [&Pause; 2] {
        let [first, second] = &self.shared.lanes;
        [&first[lane as usize % LANES], &second[(lane >> 32) as usize % LANES]]
    }

    /// The peer asks everybody with this key to stay away so long.
    pub(super) fn pause(&self, lane: Option<u64>, wait: Duration, now: Timestamp) {
        let wait = wait.min(LONGEST_PAUSE);
        match lane {
            None => {
                self.shared.pause.begin(wait, now);
            }
            Some(lane) => {
                for cell in self.lane(mixed(lane)) {
                    cell.begin(wait, now);
                }
            }
        }
    }

    /// A seat, if there is one and nobody waits for it.
    #[inline]
    pub(crate) fn seat(&self) -> Option<Seat> {
        if self.limit.is_some() && self.shared.lined.load(Relaxed) > 0 {
            return None;
        }
        self.seat_for_line()
    }

    /// A seat for whoever is first in line.
    #[inline]
    pub(super) fn seat_for_line(&self) -> Option<Seat> {
        let Some(limit) = &self.limit else { return Some(Seat(None)) };
        let seated = &self.shared.seated;
        let taken = seated
            .fetch_update(Relaxed, Relaxed, |taken| (taken < limit.current()).then_some(taken + 1));
        taken.ok().map(|_| Seat(Some(Arc::clone(&self.shared))))
    }

    pub(super) fn set_lined(&self, lined: u32) {
        self.shared.lined.store(lined, Relaxed);
        // Whoever lines up says so, and then looks for room; whoever makes room does so, and then looks who waits. Without
        // an order between the two, each could miss the other, and the one in line would wait beside a free seat.
        fence(SeqCst);
    }

    #[inline]
    pub(super) fn lined(&self) -> u32 {
        if self.has_limits {
            fence(SeqCst);
        }
        self.shared.lined.load(Relaxed)
    }

    #[inline]
    pub(super) fn on_answer(&self, took: Duration, now: Timestamp) {
        if let Some(limit) = &self.limit {
            // Where it moves to is read from it by whoever wants to see it.
            let _ = limit.on_answer(took, self.shared.seated.load(Relaxed), now);
        }
        if let Some(throttle) = &self.throttle {
            throttle.on_accept(now);
        }
    }

    pub(super) fn on_drop(&self, now: Timestamp) {
        if let Some(limit) = &self.limit {
            let _ = limit.on_drop(self.shared.seated.load(Relaxed), now);
        }
    }

    pub(super) fn view(&self, now: Timestamp) -> LoadView {
        LoadView {
            limit: self.limit.as_ref().map(|limit| limit.view()),
            in_flight: self.shared.seated.load(Relaxed),
            waiting: self.lined(),
            paused_until: self.shared.pause.until(now),
            rate_available: self.rate.as_ref().map(|rate| rate.available(now)),
            throttle: self.throttle.as_ref().map(|throttle| throttle.level(now)),
        }
    }
}

impl Shared {
    const fn new() -> Self {
        Self {
            seated: AtomicU32::new(0),
            lined: AtomicU32::new(0),
            pause: Pause::new(),
            lanes: [const { [const { Pause::new() }; LANES] }; 2],
        }
    }
}

fn has_limits(settings: &LoadSettings) -> bool {
    settings.limit.is_some() || settings.endpoint_limit.is_some()
}

/// The limit by new settings, with what the old one has learned.
pub(super) fn renewed_limit(
    known: Option<&Arc<Limit>>,
    settings: Option<&LimitSettings>,
) -> Option<Arc<Limit>> {
    let settings = settings?.clone();
    Some(Arc::new(match known {
        Some(known) => known.renewed(settings),
        None => Limit::new(settings),
    }))
}

impl Drop for Seat {
    #[inline]
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.seated.fetch_sub(1, Relaxed);
        }
    }
}

impl Booking {
    /// Its time has come and it is used.
    pub(crate) fn used(mut self) {
        self.slot = None;
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        if let Some(slot) = self.slot.take() {
            // One behind which others were booked passes unused: too little by one, and never too much.
            let _ = self.rate.give_back(slot);
        }
    }
}

/// The longest pause that is kept without asking again: an API that says "a day" by mistake must not be gone for a day.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Cells in each row of the keys' pauses.
const LANES: usize = 256;
