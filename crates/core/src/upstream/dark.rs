//! While every breaker is open: there is nowhere else to go, so one attempt now and then goes before its time, and calls wait.
//!
//! ```text
//!                every breaker refuses                          a breaker closes
//!   lit ───────────────────────────────────▶ dark ────────────────────────────────────▶ lit
//!                                              │ ▲
//!                     its pace allows it: one  ▼ │ it failed: the next one after twice as long
//!                                          an early probe
//! ```
//!
//! A breaker's open time spares an endpoint while others do its work. Where all are open it spares nobody: each call fails, and
//! to learn a second sooner that one of them is back is worth a request. So whoever is refused by all of them asks here, and one
//! of those who do goes through, at a pace that begins with a tenth of `open_for`, doubles, and ends at `open_for`, or at a quarter
//! of `wait_for` while somebody waits; half of each step is chance.
//!
//! Those who are refused may wait, each for at most `wait_for`. They are bounded by `wait_limit`, of which lower priorities leave
//! a part to higher ones; and nobody waits in an outage that has lasted ten times as long, since what has lasted so long is
//! unlikely to end within the wait, and a quick refusal is worth more then. Nobody wakes them: each asks again by itself, the
//! less often the more of them there are, so those who wait come back spread over time, about two in a millisecond at most.
//!
//! Without a `wait_for` there is neither: a breaker's open time is kept to.
//!
//! All of it is shared by the generations of an upstream, and lock-free.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use core::time::Duration;

use super::moment::Moment;
use crate::breaker::BreakerSettings;
use crate::chance::Chance;
use crate::line::Priority;
use crate::time::Timestamp;

/// Whether every breaker refuses, and who waits for the end of that.
#[derive(Debug, Default)]
pub(super) struct Dark {
    /// Since when every breaker refuses.
    since: Moment,
    /// When the next probe goes before its time.
    probe_at: Moment,
    /// How many went.
    probes: AtomicU8,
    waiting: AtomicU32,
}

/// A place among those who wait for an open breaker, taken until dropped.
#[must_use = "a place that is dropped is free"]
#[derive(Debug)]
pub(crate) struct Place(Arc<Dark>);

impl Dark {
    /// Every breaker has just refused somebody. Says whether that one is to go through as an early probe, all the same.
    pub(super) fn on_refused(
        &self,
        settings: &BreakerSettings,
        now: Timestamp,
        chance: &mut Chance,
    ) -> bool {
        let is_news = self.probe_at.get().is_none_or(|at| now.since(at) > FORGOTTEN_AFTER);
        if is_news {
            self.since.set(now);
            self.probes.store(0, Relaxed);
            self.probe_at.set(now + pace(settings, 0, self.waiting(), chance));
            return false;
        }
        self.probe_at.claim(now, || {
            let probes = self.probes.load(Relaxed).saturating_add(1);
            self.probes.store(probes, Relaxed);
            now + pace(settings, probes, self.waiting(), chance)
        })
    }

    /// A breaker closed, or its endpoint is back.
    pub(super) fn on_light(&self) {
        self.probe_at.clear();
        self.since.clear();
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(Relaxed)
    }

    /// A place to wait, if there is one for this priority and it is worth it.
    pub(super) fn place(
        self: &Arc<Self>,
        settings: &BreakerSettings,
        priority: Priority,
        now: Timestamp,
    ) -> Option<Place> {
        let since = self.since.get()?;
        if now.since(since) >= settings.wait_for.saturating_mul(HOPELESS_AFTER) {
            return None;
        }
        let limit = limit_of(settings.wait_limit, priority);
        let taken = self
            .waiting
            .fetch_update(Relaxed, Relaxed, |waiting| (waiting < limit).then_some(waiting + 1));
        taken.ok().map(|_| Place(Arc::clone(self)))
    }
}

impl Place {
    /// How long to wait before asking again, by how many wait and how many endpoints are to be looked at.
    pub(crate) fn ask_again_after(&self, endpoints: usize, chance: &mut Chance) -> Duration {
        let by_crowd = EACH_WAITING.saturating_mul(self.0.waiting());
        let by_work = EACH_ENDPOINT.saturating_mul(u32::try_from(endpoints).unwrap_or(u32::MAX));
        let mean = by_crowd.max(by_work).clamp(SHORTEST_TURN, LONGEST_TURN);
        mean / 2 + chance.up_to(mean)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// How long until an early probe after so many of them: doubled by each, from a tenth of `open_for` up to it, half of it by chance.
fn pace(settings: &BreakerSettings, probes: u8, waiting: u32, chance: &mut Chance) -> Duration {
    let factor = 1_u32.checked_shl(u32::from(probes)).unwrap_or(u32::MAX);
    let cap = if waiting > 0 { settings.wait_for / OF_A_WAIT } else { settings.open_for };
    let cap = cap.min(settings.open_for);
    let full = (settings.open_for / FIRST_PART).saturating_mul(factor).min(cap);
    let half = full / 2;
    half + chance.up_to(full - half)
}

/// Each priority leaves an eighth of the places to the one above it.
fn limit_of(places: u32, priority: Priority) -> u32 {
    let below_highest = u32::from(Priority::HIGHEST.number() - priority.number());
    places - places / 8 * below_highest
}

/// The first early probe goes after this part of `open_for`: soon enough for an outage that is shorter than it.
const FIRST_PART: u32 = 10;

/// While somebody waits, early probes go after this part of the longest wait: who waits lives to see several of them.
const OF_A_WAIT: u32 = 4;

/// Nobody waits in an outage that is this many times older than the longest wait.
const HOPELESS_AFTER: u32 = 10;

/// When nobody was refused for so long after an early probe had been due, nobody knows whether it is dark still.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// How much longer each of those who wait makes the time between two questions of one: all together ask twice a
/// millisecond, however many they are.
const EACH_WAITING: Duration = Duration::from_micros(500);

/// The same for each endpoint, since a question that is refused has looked at all of them.
const EACH_ENDPOINT: Duration = Duration::from_micros(50);

/// Nobody asks more often: a probe takes a millisecond or more to come back.
const SHORTEST_TURN: Duration = Duration::from_millis(10);

/// Nobody asks less often, or what comes back would wait for those who wait for it.
const LONGEST_TURN: Duration = Duration::from_millis(150);

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// At each millisecond somebody is refused; when early probes go.
    fn probes(settings: &BreakerSettings, dark: &Dark, millis: u64, seed: u64) -> Vec<u64> {
        let mut chance = Chance::from_seed(seed);
        (0..millis).filter(|&ms| dark.on_refused(settings, at(ms), &mut chance)).collect()
    }

    #[test]
    fn early_probes_go_one_at_a_time_at_a_pace_that_doubles_up_to_the_open_time() {
        let settings = BreakerSettings::default();
        for seed in 0..50 {
            let went = probes(&settings, &Dark::default(), 60_000, seed);
            let steps: Vec<u64> =
                [0].iter().chain(&went).zip(&went).map(|(from, to)| to - from).collect();
            let most = [500, 1000, 2000, 4000, 5000, 5000, 5000, 5000];
            for (step, most) in steps.iter().zip(most) {
                assert!((most / 2..=most + 1).contains(step), "{steps:?}");
            }
        }
    }

    #[test]
    fn a_breaker_that_closes_and_a_long_silence_begin_the_pace_anew() {
        let (settings, dark, mut chance) =
            (BreakerSettings::default(), Dark::default(), Chance::from_seed(1));
        probes(&settings, &dark, 10_000, 1);
        dark.on_light();
        assert!(!dark.on_refused(&settings, at(10_001), &mut chance));
        assert!(dark.probe_at.get().is_some_and(|next| next <= at(10_501)));
        let later = at(60_000);
        assert!(!dark.on_refused(&settings, later, &mut chance), "nobody knows what was between");
        assert!(dark.probe_at.get().is_some_and(|next| next > later));
    }

    fn dark(now: u64) -> Arc<Dark> {
        let dark = Arc::new(Dark::default());
        dark.on_refused(&BreakerSettings::default(), at(now), &mut Chance::from_seed(1));
        dark
    }

    #[test]
    fn those_who_wait_are_bounded_and_lower_priorities_leave_room_for_higher_ones() {
        let (settings, dark) = (BreakerSettings::default(), dark(0));
        let mut places = Vec::new();
        let counts = [0, 1, 2, 3].map(|priority| {
            let more = || dark.place(&settings, Priority::new(priority), at(1));
            places.extend(core::iter::from_fn(more));
            places.len()
        });
        assert_eq!(counts, [160, 192, 224, 256]);
        places.pop();
        assert!(dark.place(&settings, Priority::HIGH, at(1)).is_none());
        assert!(dark.place(&settings, Priority::HIGHEST, at(1)).is_some());
        drop(places);
        assert_eq!(dark.waiting(), 0);
    }

    #[test]
    fn nobody_waits_where_it_is_lit_or_has_been_dark_for_long() {
        let settings = BreakerSettings::default();
        let place = |dark: &Arc<Dark>, now| dark.place(&settings, Priority::NORMAL, at(now));
        assert!(place(&Arc::new(Dark::default()), 5).is_none());
        let dark = dark(5);
        assert!(place(&dark, 10_004).is_some());
        assert!(place(&dark, 10_005).is_none());
        dark.on_light();
        assert!(place(&dark, 6).is_none());
        let off = BreakerSettings { wait_for: Duration::ZERO, ..settings.clone() };
        dark.on_refused(&off, at(20), &mut Chance::from_seed(1));
        assert!(dark.place(&off, Priority::HIGHEST, at(20)).is_none());
    }

    #[test]
    fn a_crowd_asks_no_more_often_than_one_who_waits_alone_by_much() {
        let (settings, dark, mut chance) =
            (BreakerSettings::default(), dark(0), Chance::from_seed(1));
        let mut mean = |count: usize, endpoints| {
            let places: Vec<Place> =
                core::iter::from_fn(|| dark.place(&settings, Priority::HIGHEST, at(1)))
                    .take(count)
                    .collect();
            let place = &places[0];
            let sum: Duration =
                (0..1000).map(|_| place.ask_again_after(endpoints, &mut chance)).sum();
            sum.as_millis() / 1000
        };
        assert!((9..=11).contains(&mean(1, 3)));
        assert!((95..=105).contains(&mean(200, 3)));
        assert!((45..=55).contains(&mean(1, 1000)));
    }
}
