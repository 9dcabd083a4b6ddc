//! An upstream: a named service with its endpoints, and everything that all calls to it share.
//!
//! [`Upstream::pick`] chooses an endpoint and hands out a [`Permit`], which ties the outcome to its admission: it
//! counts as in flight until it is dropped, and an attempt that was dropped without news releases its breaker
//! slot. The hot path (pick, report, drop) is `&self`, lock-free, and allocates nothing. Its cost doesn't grow with
//! the number of endpoints.
//!
//! Settings change by making a new generation ([`Upstream::renewed`]) that shares the state of the endpoints that
//! remain; permits of the old generation still report to that shared state.
//!
//! ```text
//!   generation (settings, tables) ──▶ endpoint state, by name (breaker, latency, in flight, health, ejection)
//!        ▲                                 ▲
//!        └── permit, of this generation ───┘
//! ```
//!
//! In the order in which a call meets them: the [settings](UpstreamSettings); `pick`, which draws a `tier` and from
//! its table (`balance`) an `endpoint` that isn't out (`health`, `ejection`) or still warming up (`slow_start`), by
//! its `latency`, or else has a `look` at all, and where every breaker refuses goes by what is done in the `dark`; the [`Permit`]. Beside that path: `generation`, which builds it all, and
//! `view`, which shows it.
//!
//! What it deliberately doesn't do: make checks, keep a timer, or know what a request is.

mod balance;
mod dark;
mod ejection;
mod endpoint;
mod generation;
mod health;
mod latency;
mod load;
mod look;
mod moment;
mod permit;
mod pick;
mod round_trip;
mod settings;
mod slow_start;
mod spread;
mod tier;
mod view;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

pub(crate) use dark::Place;
pub use health::LastCheck;
pub(crate) use load::{Booking, Gate, Pass};
pub use load::{LoadSettings, LoadView, Seat};
pub use permit::Permit;
pub use settings::{Balance, EjectionSettings, EndpointSettings, HealthSettings, UpstreamSettings};
pub use spread::Percentile;
pub use view::EndpointView;

use self::dark::Dark;
use self::endpoint::Slot;
use self::latency::Decay;
use self::moment::Moment;
use self::pick::Ask;
use self::tier::Tiers;
use crate::breaker::{Forced, Transition};
use crate::breaks::BreakKind;
use crate::budget::Budget;
use crate::chance::Chance;
use crate::check::Checked;
use crate::event::Event;
use crate::line::{Line, Priority, Refused, Ticket, Turn};
use crate::time::{Timestamp, nanos};

/// A service and its endpoints, as one generation of settings describes them.
///
/// Aligned, so that the count of its permits, which all threads write, is not on a cache line that they read.
#[repr(align(64))]
pub struct Upstream {
    settings: Checked<UpstreamSettings>,
    budget: Arc<Budget>,
    /// In the order of the settings.
    slots: Box<[Slot]>,
    tiers: Tiers,
    gate: Gate,
    /// Of the endpoints' own breakers, then of each route's that has its own.
    darks: Box<[Arc<Dark>]>,
    decay: Decay,
    /// When the statistics are looked at next; none without ejection.
    judge_at: Moment,
    /// When the percentiles are counted anew.
    refresh_at: Moment,
    /// What the fastest answer took, in nanoseconds; zero while that isn't known.
    fastest: AtomicU64,
}

/// Which endpoint of an upstream: its place in this generation's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(pub u16);

/// Whose breaker judges an attempt: the endpoint's own (0), or that of a route which has one at each endpoint. A
/// scope that the generation doesn't know has none of its own, so the endpoint's judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct ScopeId(pub u8);

/// What a pick has to heed.
#[derive(Clone, Copy, Debug)]
pub struct Want<'a> {
    /// Endpoints already tried by this call: avoided while others are usable.
    pub tried: &'a [EndpointId],
    /// Whose breaker judges.
    pub scope: ScopeId,
    /// What the attempt is for.
    pub purpose: Purpose,
    /// The hash for consistent hashing; without one, chance decides.
    pub hash: Option<u64>,
}

/// What an attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The call's first attempt, or a repeat of what was never sent.
    First,
    /// An extra attempt (what a breaker in mode stop-retries stops).
    Again,
    /// An extra attempt beside one that is out: only at an endpoint that wasn't tried and whose breaker is closed.
    Hedge,
}

/// A chosen endpoint.
#[derive(Debug)]
pub struct Pick {
    /// Lets one attempt pass to it.
    pub permit: Permit,
    /// Whether nothing was usable and it was chosen all the same.
    pub failed_open: bool,
    /// A breaker's change of state that the pick caused (open to half-open).
    pub event: Option<Event>,
}

/// What an operator may order for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Nothing: it is asked by what is seen of it.
    Auto,
    /// It isn't asked: its breakers are open.
    Open,
    /// It is asked whatever it does: its breakers are closed.
    Closed,
    /// It gets nothing new, and what is under way there comes to its end. Nobody takes that for a failure: its breakers see
    /// nothing of it.
    Drain,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Open, Self::Closed, Self::Drain];

    /// Its word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Drain => "drain",
        }
    }

    /// The order of this word.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.code() == code)
    }
}

/// Nothing can be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPick {
    /// [`BreakKind::BreakerOpen`], [`BreakKind::LimitReached`] or [`BreakKind::NoEndpoint`].
    pub kind: BreakKind,
    /// When it is worth asking again, if that is known.
    pub until: Option<Timestamp>,
    /// Whether it may end sooner, or at all without somebody's order: a breaker is open, or an endpoint is out, by what was seen.
    pub may_end: bool,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// An answer that is no break, with the time to its head.
    Answered(Duration),
    /// It broke, by the endpoint's fault.
    Broke,
    /// It broke by taking longer than it was given, this long.
    TimedOut(Duration),
    /// Another attempt was faster; this one took at least so long.
    Outrun(Duration),
    /// The endpoint asked to be left alone, for so long if it said.
    Throttled(Option<Duration>),
    /// The upstream asked the caller to be slower, and to stay away for so long if it said: us, or whoever has this key.
    RateLimited {
        /// How long.
        hint: Option<Duration>,
        /// Whose calls, where limits are kept by key.
        lane: Option<u64>,
    },
    /// It ended for reasons of our own or the application's: says nothing about the endpoint.
    NoNews,
}

impl Upstream {
    /// The settings of this generation.
    #[must_use]
    pub fn settings(&self) -> &Checked<UpstreamSettings> {
        &self.settings
    }

    /// The account that pays for extra attempts.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// All endpoints, in the order of the settings.
    pub fn endpoint_ids(&self) -> impl Iterator<Item = EndpointId> {
        self.slots().map(|(endpoint, _)| endpoint)
    }

    /// The name of an endpoint; empty for an id of another upstream.
    #[must_use]
    pub fn endpoint_name(&self, endpoint: EndpointId) -> &str {
        self.settings.endpoints.get(usize::from(endpoint.0)).map_or("", |it| it.name.as_str())
    }

    /// The endpoint of that name. Looks at each in turn: for operators, not for calls.
    #[must_use]
    pub fn endpoint_by_name(&self, name: &str) -> Option<EndpointId> {
        self.endpoint_ids().find(|&endpoint| self.endpoint_name(endpoint) == name)
    }

    /// Chooses an endpoint and lets one attempt pass to it.
    ///
    /// Tried endpoints are avoided while others are usable, throttled ones too. A single endpoint is picked again.
    ///
    /// # Errors
    ///
    /// [`NoPick`] with [`BreakKind::BreakerOpen`] when every breaker refuses; with [`BreakKind::NoEndpoint`] when
    /// nothing is usable and `fail_open` is off, or when all that is usable asked to be left alone.
    #[inline]
    pub fn pick(
        self: &Arc<Self>,
        want: Want<'_>,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Result<Pick, NoPick> {
        self.choose(&Ask { want, now }, chance)
    }

    /// Picks this very endpoint, for a request that was never sent and goes again over a fresh connection.
    ///
    /// It isn't an extra attempt, and heeds neither health nor throttling: the endpoint was picked a moment ago.
    ///
    /// # Errors
    ///
    /// [`NoPick`] when its breaker refuses, or the endpoint isn't of this upstream.
    pub fn pick_again(
        self: &Arc<Self>,
        endpoint: EndpointId,
        scope: ScopeId,
        now: Timestamp,
    ) -> Result<Pick, NoPick> {
        let want = Want { tried: &[], scope, purpose: Purpose::First, hash: None };
        self.admit_to(endpoint, &Ask { want, now })
    }

    /// A place to wait where nothing could be picked for `scope`, if there is one and it is worth it.
    pub(crate) fn place(
        &self,
        scope: ScopeId,
        priority: Priority,
        now: Timestamp,
    ) -> Option<Place> {
        self.dark(scope)?.place(&self.settings.breaker, priority, now)
    }

    /// How many calls wait for an open breaker.
    #[must_use]
    pub fn awaiting_breaker(&self) -> u32 {
        self.darks.iter().fold(0, |sum, dark| sum.saturating_add(dark.waiting()))
    }

    /// An endpoint that was out is back.
    fn on_light(&self) {
        self.darks.iter().for_each(|dark| dark.on_light());
    }

    /// What is known of the breakers of a scope as a whole.
    fn dark(&self, scope: ScopeId) -> Option<&Arc<Dark>> {
        self.darks.get(usize::from(scope.0)).or_else(|| self.darks.first())
    }

    /// What stands before the endpoints.
    #[inline]
    pub(crate) const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Lets in from `line` whom there is room for, and notes how long it is then. `tell` hears of each ticket that comes out,
    /// with its seat or with why it has none. To be called by whoever keeps the line, when an attempt has ended.
    pub fn let_in(
        &self,
        line: &mut Line,
        now: Timestamp,
        mut tell: impl FnMut(Ticket, Result<Seat, Refused>),
    ) {
        // Bounded by the room there is: who finds none after all comes back, and isn't let in again before somebody leaves.
        for _ in 0..self.room(now) {
            let Some(seat) = self.seat_for_line() else { break };
            let ticket = loop {
                match line.next(now) {
                    Some(Turn::Drop(ticket)) => tell(ticket, Err(Refused::CannotMakeIt)),
                    Some(Turn::LetIn(ticket)) => break Some(ticket),
                    None => break None,
                }
            };
            let Some(ticket) = ticket else { break };
            tell(ticket, Ok(seat));
        }
        self.set_lined(line.len());
    }

    /// A place under the upstream's concurrency limit for whoever is first in line; `None` while there is none. To be asked
    /// by whoever keeps the line when an attempt has ended, as often as there is [`Upstream::room`].
    #[must_use]
    pub fn seat_for_line(&self) -> Option<Seat> {
        self.gate.seat_for_line()
    }

    /// For how many more attempts the endpoints' limits have room, at those that a pick can choose.
    #[must_use]
    pub fn room(&self, now: Timestamp) -> u32 {
        let open = |slot: &&Slot| {
            slot.state.is_in(now)
                && slot.state.throttled_until.ahead_of(now).is_none()
                && slot.state.breaker.is_closed()
        };
        let free = |sum: u32, slot: &Slot| sum.saturating_add(slot.free());
        match self.slots.iter().any(|slot| open(&slot)) {
            true => self.slots.iter().filter(open).fold(0, free),
            // Whether any of these is asked is the pick's to say.
            false => self.slots.iter().fold(0, free),
        }
    }

    /// How many calls wait in line, to be told by whoever keeps it: while there are some, new ones stand behind them.
    pub fn set_lined(&self, lined: usize) {
        self.gate.set_lined(u32::try_from(lined).unwrap_or(u32::MAX));
    }

    /// How many calls wait in line, as it was told.
    #[must_use]
    #[inline]
    pub fn lined(&self) -> u32 {
        self.gate.lined()
    }

    /// What is let through, to be shown.
    #[must_use]
    pub fn load(&self, now: Timestamp) -> LoadView {
        self.gate.view(now)
    }

    /// Looks at the statistics when their time has come, ends ejections, refreshes the tiers' shares. Call it at
    /// [`Upstream::next_deadline`], or each second.
    #[must_use]
    pub fn on_time(&self, now: Timestamp, chance: &mut Chance) -> Vec<Event> {
        let mut events = Vec::new();
        self.end_ejections(now, &mut events);
        self.judge(now, chance, &mut events);
        for slot in &self.slots {
            slot.state.warming.tidy(self.settings.slow_start, now);
        }
        self.count_shares(now);
        if self.refresh_at.claim(now, || now + REFRESH_EACH) {
            self.refresh_spreads(now);
        }
        events
    }

    /// When [`Upstream::on_time`] or a health check is due next; [`Timestamp::MAX`] when neither ever is.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        let checks = self.slots.iter().filter_map(|slot| slot.state.next_check.get());
        let checks = checks.filter(|_| self.settings.health.is_some());
        let returns = self.slots.iter().filter_map(|slot| slot.state.ejected_until.get());
        checks.chain(returns).chain(self.judge_at.get()).min().unwrap_or(Timestamp::MAX)
    }

    /// How long answers of an endpoint take, of the last half minute and as counted at the last [`Upstream::on_time`];
    /// `None` while too few have come to say.
    #[must_use]
    #[inline]
    pub fn percentile(&self, endpoint: EndpointId, percentile: Percentile) -> Option<Duration> {
        self.slot(endpoint)?.state.spread.at(percentile)
    }

    /// What an answer takes at least, by what was observed: as long as the fastest of the last half minute, at whichever
    /// endpoint. Zero while nothing is known. It is learned from answers alone: calls that are refused by it teach
    /// nothing, and so it is forgotten before it can refuse for long.
    #[must_use]
    #[inline]
    pub fn least_needed(&self) -> Duration {
        Duration::from_nanos(self.fastest.load(Relaxed))
    }

    /// Takes in one round trip of the network to an endpoint, such as a TCP connect.
    pub fn note_round_trip(&self, endpoint: EndpointId, took: Duration) {
        if let Some(slot) = self.slot(endpoint) {
            slot.state.round_trip.observe(took);
        }
    }

    /// The learned round trip to an endpoint; zero while nothing is known.
    #[must_use]
    pub fn round_trip(&self, endpoint: EndpointId) -> Duration {
        self.slot(endpoint).map_or(Duration::ZERO, |slot| slot.state.round_trip.get())
    }

    #[cold]
    fn refresh_spreads(&self, now: Timestamp) {
        let mut fastest: Option<Duration> = None;
        for slot in &self.slots {
            slot.state.spread.refresh(now);
            // One endpoint that isn't known may be faster than all that are.
            let needed = slot.state.spread.fastest().unwrap_or(Duration::ZERO);
            fastest = Some(fastest.map_or(needed, |fastest| fastest.min(needed)));
        }
        self.fastest.store(nanos(fastest.unwrap_or(Duration::ZERO)), Relaxed);
    }

    /// An operator's order for an endpoint, in place of the one before it. It holds until the next one, across generations.
    #[must_use]
    pub fn order(&self, endpoint: EndpointId, order: Order, now: Timestamp) -> Vec<Event> {
        let Some(slot) = self.slot(endpoint) else { return Vec::new() };
        let drains = order == Order::Drain;
        if slot.state.drained.swap(drains, Relaxed) != drains {
            if !drains {
                slot.state.come_back(now);
            }
            self.tiers.touch();
        }
        let forced = match order {
            Order::Auto | Order::Drain => Forced::No,
            Order::Open => Forced::Open,
            Order::Closed => Forced::Closed,
        };
        self.force(endpoint, forced, now)
    }

    /// Attempts that are out at an endpoint, bodies being delivered included.
    #[must_use]
    pub fn in_flight(&self, endpoint: EndpointId) -> u32 {
        self.slot(endpoint).map_or(0, |slot| slot.state.in_flight.load(Relaxed))
    }

    /// What was ordered for an endpoint.
    #[must_use]
    pub fn ordered(&self, endpoint: EndpointId) -> Order {
        let Some(slot) = self.slot(endpoint) else { return Order::Auto };
        match slot.state.breaker.forced() {
            _ if slot.state.drained.load(Relaxed) => Order::Drain,
            Forced::No => Order::Auto,
            Forced::Open => Order::Open,
            Forced::Closed => Order::Closed,
        }
    }

    /// An operator's order for every breaker of an endpoint.
    #[must_use]
    pub fn force(&self, endpoint: EndpointId, order: Forced, now: Timestamp) -> Vec<Event> {
        let Some(slot) = self.slot(endpoint) else { return Vec::new() };
        let scopes = (0..=u8::MAX).map(ScopeId);
        slot.breakers()
            .zip(scopes)
            .filter_map(|(breaker, scope)| {
                let transition = breaker.force(order, now)?;
                Some(self.note_transition(endpoint, scope, transition, now))
            })
            .collect()
    }

    /// The body of an answer broke after its head had been booked as a success.
    ///
    /// The failure's penalty is booked too: an endpoint that breaks off early looks fast.
    pub fn note_body_failure(
        &self,
        endpoint: EndpointId,
        scope: ScopeId,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Option<Event> {
        self.note_body_break(endpoint, now);
        let settings = &self.settings.breaker;
        let breaker = self.slot(endpoint)?.breaker(scope);
        let transition = breaker.note_failure(settings, now, chance)?;
        Some(self.note_transition(endpoint, scope, transition, now))
    }

    /// The body of an answer broke and is continued: others are preferred, and no breaker counts it.
    pub(crate) fn note_body_break(&self, endpoint: EndpointId, now: Timestamp) {
        let Some(slot) = self.slot(endpoint) else { return };
        slot.state.latency.observe(self.settings.failure_penalty, self.decay, now);
        if self.settings.ejection.is_some() {
            slot.state.tally.late_failure();
        }
    }

    /// A breaker changed its state: what follows for its endpoint, and the event that tells it. A route's breaker
    /// speaks for the route alone.
    #[cold]
    fn note_transition(
        &self,
        endpoint: EndpointId,
        scope: ScopeId,
        transition: Transition,
        now: Timestamp,
    ) -> Event {
        if let (Transition::Closed, Some(dark)) = (transition, self.dark(scope)) {
            dark.on_light();
        }
        if let (ScopeId(0), Some(slot)) = (scope, self.slot(endpoint)) {
            match transition {
                Transition::Opened { .. } => self.check_soon(slot, now),
                Transition::HalfOpened => {}
                Transition::Closed => slot.state.come_back(now),
            }
            self.tiers.touch();
        }
        match transition {
            Transition::Opened { cause, open_for } => {
                Event::BreakerOpened { endpoint, cause, open_for }
            }
            Transition::HalfOpened => Event::BreakerHalfOpened { endpoint },
            Transition::Closed => Event::BreakerClosed { endpoint },
        }
    }

    #[inline]
    fn slot(&self, endpoint: EndpointId) -> Option<&Slot> {
        self.slots.get(usize::from(endpoint.0))
    }

    fn slots(&self) -> impl Iterator<Item = (EndpointId, &Slot)> {
        generation::ids(&self.slots)
    }

    fn weight(&self, id: u16) -> u64 {
        self.settings.endpoints.get(usize::from(id)).map_or(0, |it| u64::from(it.weight))
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.settings.endpoints.iter().map(|endpoint| &endpoint.name);
        f.write_str("Upstream ")?;
        f.debug_list().entries(names).finish()
    }
}

/// How often the percentiles are counted anew.
const REFRESH_EACH: Duration = Duration::from_secs(1);
