//! Picking an endpoint: draw from the tier's table, look whether what was drawn is usable, and draw again if not.
//!
//! ```text
//!   tier by its share ─▶ draw, up to DRAWS times ─▶ cheaper of two that fit ─▶ its breaker ─▶ permit
//!                              │ nothing fits
//!                              ▼
//!                        one look at all, from a random start, this tier first:
//!                        untried ─▶ tried ─▶ (none usable, fail open) unhealthy or ejected ─▶ no pick
//! ```
//!
//! A breaker is asked last, because asking it takes one of its probes. One that wants a probe costs nothing in the
//! comparison: its endpoint has a bad record, and would otherwise wait for traffic that never comes.

use alloc::sync::Arc;
use core::num::NonZeroU32;
use core::sync::atomic::Ordering::Relaxed;

use super::balance::{Alias, Drawn, Order, Ring, Table, mixed};
use super::endpoint::Slot;
use super::permit::Permit;
use super::settings::Balance;
use super::{EndpointId, NoPick, Pick, Purpose, Upstream, Want};
use crate::breaker::{Admission, Breaker, BreakerMode, BreakerState, Forced, Refusal, Transition};
use crate::breaks::BreakKind;
use crate::chance::Chance;
use crate::time::Timestamp;

/// What is asked for, and when.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) want: Want<'a>,
    pub(super) now: Timestamp,
}

/// An endpoint whose breaker let the attempt pass.
///
/// Two words of 32 bits, which travel in registers; three small fields would be written to memory and read back at
/// once in another width, and that costs a tenth of the whole path.
pub(super) struct Admitted {
    admission: Admission,
    /// The id + 1, and above it whether asking made the breaker half-open, the one transition that an admission can
    /// cause.
    id_and_change: NonZeroU32,
}

impl Upstream {
    /// Inlined for certain, so that the pick is put together where it is used: handed up through memory, it is written in
    /// small fields and read back in large ones, which takes a fifth of the whole path.
    #[inline(always)]
    pub(super) fn choose(
        self: &Arc<Self>,
        ask: &Ask<'_>,
        chance: &mut Chance,
    ) -> Result<Pick, NoPick> {
        if self.tiers.is_due(ask.now) {
            self.count_shares(ask.now);
        }
        // With a hash, everything that chance decides else is decided by it, so the same key meets the same endpoint.
        let hash = match self.settings.balance {
            Balance::ConsistentHash => Some(ask.want.hash.unwrap_or_else(|| chance.next_u64())),
            Balance::PeakEwma | Balance::RoundRobin | Balance::LeastRequest => None,
        };
        let tier = self.tiers.draw(|| match hash {
            Some(hash) => mixed(hash ^ TIER_SALT),
            None => chance.next_u64(),
        });
        let (admitted, failed_open) = match self.draw_from(tier, ask, hash, chance) {
            Some(admitted) => (admitted, false),
            None => {
                let start = hash.map_or_else(|| chance.next_u64(), mixed);
                self.look_at_all(tier, start, ask, chance)?
            }
        };
        Ok(self.permit(admitted, ask, failed_open))
    }

    /// Lets an attempt pass to this very endpoint, if its breaker does.
    pub(super) fn admit_to(
        self: &Arc<Self>,
        endpoint: EndpointId,
        ask: &Ask<'_>,
    ) -> Result<Pick, NoPick> {
        let nowhere = NoPick { kind: BreakKind::NoEndpoint, until: None, may_end: false };
        let slot = self.slot(endpoint).ok_or(nowhere)?;
        let admitted = self.admit(endpoint.0, slot, ask).map_err(|refusal| NoPick {
            kind: BreakKind::BreakerOpen,
            until: Some(refusal.until),
            may_end: refusal.until < Timestamp::MAX,
        })?;
        Ok(self.permit(admitted, ask, false))
    }

    /// Whether the endpoint counts for its tier: in, and its own breaker doesn't stop first attempts.
    pub(super) fn is_usable(&self, slot: &Slot, now: Timestamp) -> bool {
        let breaker = &slot.state.breaker;
        let is_stopped = match breaker.state(now) {
            BreakerState::Open { .. } => {
                self.settings.breaker.mode == BreakerMode::StopAll
                    || breaker.forced() == Forced::Open
            }
            BreakerState::Closed | BreakerState::HalfOpen { .. } => false,
        };
        slot.state.is_in(now) && !is_stopped
    }

    /// Counts the shares of the tiers anew.
    pub(super) fn count_shares(&self, now: Timestamp) {
        self.tiers.refresh(self.settings.overprovision_percent, |tier| {
            let usable = |id: &&u16| {
                self.slot(EndpointId(**id)).is_some_and(|slot| self.is_usable(slot, now))
            };
            tier.members.iter().filter(usable).map(|&id| self.weight(id)).sum()
        });
    }

    // ---- drawing ----------------------------------------------------------------------------------------------

    fn draw_from(
        &self,
        tier: usize,
        ask: &Ask<'_>,
        hash: Option<u64>,
        chance: &mut Chance,
    ) -> Option<Admitted> {
        match &self.tiers.list.get(tier)?.table {
            Table::Two(alias) => self.cheaper_of_two(alias, ask, chance),
            Table::Turns(order) => self.next_turn(order, ask, chance),
            Table::Ring(ring) => self.first_on_ring(ring, hash?, ask),
        }
    }

    #[inline]
    fn cheaper_of_two(
        &self,
        alias: &Alias,
        ask: &Ask<'_>,
        chance: &mut Chance,
    ) -> Option<Admitted> {
        if alias.len() == 1 {
            let id = alias.draw(0)?.id;
            let slot = self.slot(EndpointId(id))?;
            let fits = self.fits(id, slot, ask, || chance.next_u64());
            return if fits { self.admit(id, slot, ask).ok() } else { None };
        }
        let mut first: Option<(Drawn, &Slot)> = None;
        for _ in 0..DRAWS {
            let bits = chance.next_u64();
            let drawn = match first {
                None => alias.draw(bits)?,
                Some((first, _)) => alias.draw_second(first, bits)?,
            };
            let slot = self.slot(EndpointId(drawn.id))?;
            if first.is_some_and(|(first, _)| first.id == drawn.id)
                || !self.fits(drawn.id, slot, ask, || chance.next_u64())
            {
                continue;
            }
            let Some((other, other_slot)) = first else {
                first = Some((drawn, slot));
                continue;
            };
            let second_is_cheaper = self.cost(slot, ask) < self.cost(other_slot, ask);
            let (cheap, dear) = if second_is_cheaper {
                ((drawn.id, slot), (other.id, other_slot))
            } else {
                ((other.id, other_slot), (drawn.id, slot))
            };
            for (id, slot) in [cheap, dear] {
                if let Ok(admitted) = self.admit(id, slot, ask) {
                    return Some(admitted);
                }
            }
            first = None;
        }
        first.and_then(|(drawn, slot)| self.admit(drawn.id, slot, ask).ok())
    }

    #[inline]
    fn next_turn(&self, order: &Order, ask: &Ask<'_>, chance: &mut Chance) -> Option<Admitted> {
        (0..DRAWS.min(order.len())).find_map(|_| {
            let id = order.take()?;
            let slot = self.slot(EndpointId(id))?;
            let fits = self.fits(id, slot, ask, || chance.next_u64());
            if fits { self.admit(id, slot, ask).ok() } else { None }
        })
    }

    #[inline]
    fn first_on_ring(&self, ring: &Ring, hash: u64, ask: &Ask<'_>) -> Option<Admitted> {
        ring.from(hash).take(RING_STEPS).find_map(|id| {
            let slot = self.slot(EndpointId(id))?;
            // The dice are the key's own, so the keys that an endpoint gets while it warms up stay with it.
            let fits = self.fits(id, slot, ask, || mixed(hash.wrapping_add(u64::from(id) + 1)));
            if fits { self.admit(id, slot, ask).ok() } else { None }
        })
    }

    /// Whether nothing but perhaps its breaker speaks against it.
    #[inline]
    fn fits(&self, id: u16, slot: &Slot, ask: &Ask<'_>, dice: impl FnOnce() -> u64) -> bool {
        let state = &slot.state;
        state.is_in(ask.now)
            && slot.has_room()
            && state.throttled_until.ahead_of(ask.now).is_none()
            && !ask.want.tried.contains(&EndpointId(id))
            && state.warming.passes(self.settings.slow_start, ask.now, dice)
    }

    /// What one more attempt costs there, to be compared with others.
    ///
    /// The load counts by weight, the latency doesn't: draws are by weight already, so among idle endpoints that
    /// answer alike each gets its share.
    #[inline]
    fn cost(&self, slot: &Slot, ask: &Ask<'_>) -> u64 {
        if wants_a_probe(slot.breaker(ask.want.scope), ask.now) {
            return 0;
        }
        let state = &slot.state;
        let load = u64::from(state.in_flight.load(Relaxed)) * u64::from(slot.load_cost);
        if self.settings.balance == Balance::LeastRequest {
            return load;
        }
        match state.latency.units(self.decay, ask.now) {
            Some(units) => u64::from(units).saturating_mul(ONE_CALL + load),
            // An untested endpoint is tried, by one attempt at a time while others are tested.
            None if load == 0 => 0,
            None => UNTESTED_UNITS.saturating_mul(ONE_CALL + load),
        }
    }

    #[inline]
    pub(super) fn admit(&self, id: u16, slot: &Slot, ask: &Ask<'_>) -> Result<Admitted, Refusal> {
        let breaker = slot.breaker(ask.want.scope);
        if breaker.is_closed() {
            return Ok(Admitted::new(id, breaker.pass(), false));
        }
        self.admit_unless_closed(id, breaker, ask)
    }

    #[cold]
    fn admit_unless_closed(
        &self,
        id: u16,
        breaker: &Breaker,
        ask: &Ask<'_>,
    ) -> Result<Admitted, Refusal> {
        let settings = &self.settings.breaker;
        let (admission, transition) = match ask.want.purpose {
            Purpose::First => breaker.admit_first(settings, ask.now)?,
            Purpose::Again => breaker.admit(settings, ask.now)?,
            // A call that has an attempt out already is no probe, and leaves the few places of one to others.
            Purpose::Hedge => return Err(Refusal { until: Timestamp::MAX }),
        };
        Ok(Admitted::new(id, admission, transition.is_some()))
    }

    /// The same before the breaker's time: nothing else is left to ask.
    pub(super) fn admit_early(
        &self,
        id: u16,
        slot: &Slot,
        ask: &Ask<'_>,
    ) -> Result<Admitted, Refusal> {
        let breaker = slot.breaker(ask.want.scope);
        let (admission, transition) = breaker.admit_early(&self.settings.breaker, ask.now)?;
        Ok(Admitted::new(id, admission, transition.is_some()))
    }

    #[inline]
    fn permit(self: &Arc<Self>, admitted: Admitted, ask: &Ask<'_>, failed_open: bool) -> Pick {
        let (endpoint, scope) = (admitted.endpoint(), ask.want.scope);
        let event = admitted
            .half_opened()
            .then(|| self.note_transition(endpoint, scope, Transition::HalfOpened, ask.now));
        let permit = Permit::new(Arc::clone(self), endpoint, scope, admitted.admission);
        Pick { permit, failed_open, event }
    }
}

impl Admitted {
    #[inline]
    fn new(id: u16, admission: Admission, half_opened: bool) -> Self {
        let id_and_change =
            NonZeroU32::MIN.saturating_add(u32::from(id) | u32::from(half_opened) << 17);
        Self { admission, id_and_change }
    }

    #[inline]
    fn endpoint(&self) -> EndpointId {
        EndpointId(((self.id_and_change.get() & 0x1_ffff) - 1) as u16)
    }

    #[inline]
    fn half_opened(&self) -> bool {
        self.id_and_change.get() >> 17 != 0
    }
}

/// Whether it is half-open, or open and its time is over.
#[inline]
fn wants_a_probe(breaker: &Breaker, now: Timestamp) -> bool {
    !breaker.is_closed() && matches!(breaker.state(now), BreakerState::HalfOpen { .. })
}

/// Draws before all are looked at: with half of the endpoints out, one pick in 256 gets that far.
const DRAWS: usize = 8;

/// Points of the ring that are passed over before all endpoints are looked at.
const RING_STEPS: usize = 128;

/// One attempt, in the unit of `Slot::load_cost`.
const ONE_CALL: u64 = 1 << 8;

/// The latency that an untested endpoint is given while its first attempt is out: one second (as Finagle does).
const UNTESTED_UNITS: u64 = 1_000_000_000 >> 7;

/// Keeps the draw of the tier apart from the place on its ring.
const TIER_SALT: u64 = 0x5bd1_e995_7b7d_159d;
