//! Looking at all endpoints, when drawing found none that is usable: rare, and in time linear in their number.
//!
//! The order of preference: untried, tried, and, if none is usable and the settings say so, unhealthy or ejected. What
//! keeps each from being picked is gathered on the way, so that a refusal can say why and until when. Where every breaker
//! refuses, an attempt may go before its time (`dark`).

use core::sync::atomic::Ordering::Relaxed;

use super::endpoint::Slot;
use super::pick::{Admitted, Ask};
use super::{EndpointId, NoPick, Purpose, Upstream};
use crate::breaker::{BreakerMode, BreakerState};
use crate::breaks::BreakKind;
use crate::chance::Chance;
use crate::time::Timestamp;

/// How an endpoint stands when all are looked at.
enum Standing {
    Usable,
    /// Usable, but this call was there already.
    Tried,
    Throttled(Timestamp),
    /// It has as many attempts under way as it may.
    Full,
    /// It gets nothing new, by order: not even where nothing else is left.
    Drained,
    /// Unhealthy, or ejected until then.
    Out(Option<Timestamp>),
}

/// What a look at all endpoints left over.
#[derive(Default)]
struct Leftover {
    tried: bool,
    full: bool,
    out: bool,
    /// When the first of those that are out comes back by itself.
    back_at: Option<Timestamp>,
    /// When the first throttled one may be asked again.
    throttled_until: Option<Timestamp>,
    /// When the first breaker is worth asking again.
    refused_until: Option<Timestamp>,
}

impl Upstream {
    /// Looks at every endpoint. The second value says whether nothing was usable.
    #[cold]
    pub(super) fn look_at_all(
        &self,
        tier: usize,
        start: u64,
        ask: &Ask<'_>,
        chance: &mut Chance,
    ) -> Result<(Admitted, bool), NoPick> {
        let mut left = Leftover::default();
        for (id, slot) in self.all_from(tier, start) {
            match self.standing(id, slot, ask) {
                Standing::Usable => match self.admit(id, slot, ask) {
                    Ok(admitted) => return Ok((admitted, false)),
                    Err(refusal) => earliest(&mut left.refused_until, refusal.until),
                },
                Standing::Tried => left.tried = true,
                Standing::Full => left.full = true,
                Standing::Drained => {}
                Standing::Throttled(until) => self.note_throttled(slot, until, ask, &mut left),
                Standing::Out(until) => {
                    left.out = true;
                    until.into_iter().for_each(|until| earliest(&mut left.back_at, until));
                }
            }
        }
        if ask.want.purpose == Purpose::Hedge {
            return Err(left.into_no_pick(self.settings.fail_open));
        }
        if left.tried
            && let Some(admitted) = self.first_that(tier, start, ask, &mut left, Standing::is_tried)
        {
            return Ok((admitted, false));
        }
        // A throttled endpoint is well and says when it can be asked: better to wait for it than to ask a broken one.
        if left.throttled_until.is_none()
            && !left.full
            && left.out
            && self.settings.fail_open
            && let Some(admitted) = self.first_that(tier, start, ask, &mut left, Standing::is_out)
        {
            return Ok((admitted, true));
        }
        let refused = left.into_no_pick(self.settings.fail_open);
        self.go_early(tier, start, ask, refused, chance).ok_or(refused)
    }

    /// Lets this attempt through before its time, if nothing but breakers that aren't ordered to be open stands in its way, and
    /// their pace allows it. One of which no probe is out comes first. The second value says whether it is unhealthy or ejected.
    fn go_early(
        &self,
        tier: usize,
        start: u64,
        ask: &Ask<'_>,
        refused: NoPick,
        chance: &mut Chance,
    ) -> Option<(Admitted, bool)> {
        let settings = &self.settings.breaker;
        let dark = self.dark(ask.want.scope)?;
        let is_on = settings.mode == BreakerMode::StopAll && !settings.wait_for.is_zero();
        if !refused.may_end || !is_on {
            return None;
        }
        let is_due = dark.on_refused(settings, ask.now, chance);
        if !is_due || refused.kind != BreakKind::BreakerOpen {
            return None;
        }
        // Of what may be asked, whether it is out.
        let is_out = |id, slot: &Slot| match self.standing(id, slot, ask) {
            Standing::Usable | Standing::Tried => Some(false),
            Standing::Out(_) => self.settings.fail_open.then_some(true),
            Standing::Throttled(_) | Standing::Full | Standing::Drained => None,
        };
        let is_probed = |slot: &Slot| {
            let state = slot.breaker(ask.want.scope).state(ask.now);
            matches!(state, BreakerState::HalfOpen { .. })
        };
        let admit = |with_probes: bool| {
            self.all_from(tier, start).filter(|(_, slot)| is_probed(slot) == with_probes).find_map(
                |(id, slot)| {
                    let is_out = is_out(id, slot)?;
                    self.admit_early(id, slot, ask).ok().map(|admitted| (admitted, is_out))
                },
            )
        };
        admit(false).or_else(|| admit(true))
    }

    /// The first that stands like this and whose breaker lets it pass.
    fn first_that(
        &self,
        tier: usize,
        start: u64,
        ask: &Ask<'_>,
        left: &mut Leftover,
        stands: fn(&Standing) -> bool,
    ) -> Option<Admitted> {
        for (id, slot) in self.all_from(tier, start) {
            if !stands(&self.standing(id, slot, ask)) {
                continue;
            }
            if let Some(until) = slot.state.throttled_until.ahead_of(ask.now) {
                earliest(&mut left.throttled_until, until);
                continue;
            }
            match self.admit(id, slot, ask) {
                Ok(admitted) => return Some(admitted),
                Err(refusal) => earliest(&mut left.refused_until, refusal.until),
            }
        }
        None
    }

    /// All endpoints: those of `tier` first, then the other tiers by rank, each from a place that `start` decides.
    fn all_from(&self, tier: usize, start: u64) -> impl Iterator<Item = (u16, &Slot)> {
        let others = (0..self.tiers.list.len()).filter(move |&other| other != tier);
        core::iter::once(tier)
            .chain(others)
            .filter_map(|tier| self.tiers.list.get(tier))
            .flat_map(move |tier| {
                let count = tier.members.len() as u64;
                let (before, after) =
                    tier.members.split_at(start.checked_rem(count).unwrap_or(0) as usize);
                after.iter().chain(before)
            })
            .filter_map(|&id| Some((id, self.slot(EndpointId(id))?)))
    }

    fn standing(&self, id: u16, slot: &Slot, ask: &Ask<'_>) -> Standing {
        let state = &slot.state;
        if state.drained.load(Relaxed) {
            return Standing::Drained;
        }
        if !state.is_in(ask.now) {
            let unhealthy = state.unhealthy.load(Relaxed);
            return Standing::Out(state.ejected_until.ahead_of(ask.now).filter(|_| !unhealthy));
        }
        if let Some(until) = state.throttled_until.ahead_of(ask.now) {
            return Standing::Throttled(until);
        }
        if !slot.has_room() {
            return Standing::Full;
        }
        if ask.want.tried.contains(&EndpointId(id)) { Standing::Tried } else { Standing::Usable }
    }

    fn note_throttled(&self, slot: &Slot, until: Timestamp, ask: &Ask<'_>, left: &mut Leftover) {
        let breaker = slot.breaker(ask.want.scope);
        let settings = &self.settings.breaker;
        let answer = match ask.want.purpose {
            Purpose::First => breaker.would_admit_first(settings, ask.now),
            Purpose::Again | Purpose::Hedge => breaker.would_admit(settings, ask.now),
        };
        match answer {
            Ok(()) => earliest(&mut left.throttled_until, until),
            Err(refusal) => earliest(&mut left.refused_until, refusal.until.max(until)),
        }
    }
}

impl Standing {
    fn is_tried(&self) -> bool {
        matches!(self, Self::Tried)
    }

    fn is_out(&self) -> bool {
        matches!(self, Self::Out(_))
    }
}

impl Leftover {
    fn into_no_pick(self, failed_open: bool) -> NoPick {
        let Self { full, out, back_at, throttled_until, refused_until, .. } = self;
        // Room comes sooner than anything else that is waited for.
        if full {
            return NoPick { kind: BreakKind::LimitReached, until: None, may_end: false };
        }
        let times = [throttled_until, refused_until, back_at];
        let until = times.into_iter().flatten().min().filter(|&until| until < Timestamp::MAX);
        let only_breakers_refused =
            throttled_until.is_none() && refused_until.is_some() && (failed_open || !out);
        let kind =
            if only_breakers_refused { BreakKind::BreakerOpen } else { BreakKind::NoEndpoint };
        let may_end = out || refused_until.is_some_and(|until| until < Timestamp::MAX);
        NoPick { kind, until, may_end }
    }
}

fn earliest(so_far: &mut Option<Timestamp>, until: Timestamp) {
    *so_far = Some(so_far.map_or(until, |so_far| so_far.min(until)));
}
