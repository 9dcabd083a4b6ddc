//! An endpoint: a queueing server with faults.
//!
//! ```text
//!   request ──▶ a fault meets it ──▶ worker free? ──▶ served for a time ──▶ its fate goes back
//!                                     │ no
//!                                     ▼
//!                                    queue (first come, first served) ── full ──▶ 503
//! ```
//!
//! Work goes on for a caller that has given up, as in most real servers: that is what keeps an overloaded one down.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_core::time::nanos;
use mainstay_core::{Chance, Timestamp};
use mainstay_lab::{Ending, Fault};

use crate::slab::Key;
use crate::spread::{Spread, happens};
use crate::trouble::{Active, Door, Fate, Meeting, door, meeting};
use crate::world::{Endpoint, RateLimit};

/// An endpoint as it stands.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) place: Endpoint,
    pub(crate) chance: Chance,
    /// The faults in force; the last one is asked first.
    active: Vec<Active>,
    busy: u32,
    queue: VecDeque<Key>,
    /// Counts restarts, so that work from before one is known as lost.
    pub(crate) life: u32,
    /// Calls that the cache has seen since the restart.
    cached: u32,
    /// What is left in the bucket of its rate limit, in billionths of a call, and when that was counted.
    allowance: (u64, Timestamp),
    /// Connections made before are closed, and their owners know it.
    pub(crate) closed_before: Timestamp,
    /// Connections made before are silent, and nobody knows it.
    pub(crate) silent_before: Timestamp,
}

/// What a server can do now.
#[derive(Clone, Copy, Debug)]
struct Strength {
    workers: Option<u32>,
    queue: u32,
    service: Spread,
    collapse: bool,
    /// Added to each service, since the server is cold.
    extra: Duration,
}

/// Whether a request is served now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// A worker has it for so long.
    Serves(Duration),
    /// It waits.
    Waits,
    /// It is turned away.
    Full,
}

impl Server {
    pub(crate) fn new(place: Endpoint, chance: Chance) -> Self {
        let cached = place.cache.filter(|cache| cache.warm).map_or(0, |cache| cache.fill);
        Self {
            allowance: (place.rate_limit.as_ref().map_or(0, full), Timestamp::ZERO),
            place,
            chance,
            active: Vec::new(),
            busy: 0,
            queue: VecDeque::new(),
            life: 0,
            cached,
            closed_before: Timestamp::ZERO,
            silent_before: Timestamp::ZERO,
        }
    }

    // ---- faults -----------------------------------------------------------------------------------------------

    pub(crate) fn begin(&mut self, active: Active) {
        self.active.push(active);
    }

    pub(crate) fn end(&mut self, number: usize) {
        self.active.retain(|active| active.number != number);
    }

    pub(crate) fn active(&self, number: usize) -> Option<&Active> {
        self.active.iter().find(|active| active.number == number)
    }

    /// How it meets who connects now.
    pub(crate) fn door(&self, now: Timestamp) -> Door {
        let doors = self.faults(now).map(|fault| door(fault, self.place.tls));
        doors.into_iter().find(|door| *door != Door::Open).unwrap_or(Door::Open)
    }

    /// After how long, and how, it closes idle connections.
    pub(crate) fn idle_limit(&self, now: Timestamp) -> Option<(Duration, Duration, Ending)> {
        self.faults(now).find_map(|fault| match fault {
            Fault::CloseIdle { after, jitter, with, .. } => Some((*after, *jitter, *with)),
            _ => None,
        })
    }

    fn faults(&self, now: Timestamp) -> impl Iterator<Item = &Fault> {
        self.active.iter().rev().filter_map(move |active| active.fault(now))
    }

    /// Everything in it is lost: what was served, what waited, what was cached.
    pub(crate) fn restart(&mut self, now: Timestamp) {
        self.life = self.life.wrapping_add(1);
        self.busy = 0;
        self.queue.clear();
        self.cached = 0;
        self.closed_before = now;
    }

    /// What becomes of a request, before it is known whether a worker is free.
    pub(crate) fn meet(&mut self, is_write: bool, reused: bool, now: Timestamp) -> Meeting {
        let method = if is_write { "POST" } else { "GET" };
        for active in self.active.iter().rev() {
            let scope = &active.rule.scope;
            if !scope.methods.is_empty() && !scope.methods.iter().any(|it| it == method) {
                continue;
            }
            let met = active.fault(now).and_then(|fault| meeting(fault, reused, self.place.h2));
            if let Some(met) = met
                && happens(scope.ratio, &mut self.chance)
            {
                return met;
            }
        }
        let limit = self.place.rate_limit;
        match limit {
            Some(limit) if !self.allows(limit, now) => {
                Meeting::Instead { executed: false, fate: Fate::answer(429, limit.retry_after) }
            }
            _ => Meeting::Served(Fate::GOOD),
        }
    }

    /// Takes a call out of the bucket of the rate limit, if there is one in it.
    fn allows(&mut self, limit: RateLimit, now: Timestamp) -> bool {
        let (left, counted_at) = self.allowance;
        // Calls in a thousand seconds × nanoseconds / 1000 are billionths of a call.
        let grown = u128::from(nanos(now.since(counted_at))) * u128::from(limit.rate_milli) / 1000;
        let left = u64::try_from(grown + u128::from(left)).unwrap_or(u64::MAX).min(full(&limit));
        let allowed = left >= BILLION;
        self.allowance = (if allowed { left - BILLION } else { left }, now);
        allowed
    }

    // ---- work -------------------------------------------------------------------------------------------------

    /// A request asks for a worker.
    pub(crate) fn offer(&mut self, request: Key, now: Timestamp) -> Offer {
        let strength = self.strength(now);
        if strength.workers.is_none_or(|workers| self.busy < workers) {
            self.busy += 1;
            return Offer::Serves(self.service(strength));
        }
        if self.queue.len() >= strength.queue as usize {
            return Offer::Full;
        }
        self.queue.push_back(request);
        Offer::Waits
    }

    /// A worker is done. Gives the next request that waited, and how long it will take.
    pub(crate) fn done(&mut self, now: Timestamp) -> Option<(Key, Duration)> {
        self.busy = self.busy.saturating_sub(1);
        self.cached = self.cached.saturating_add(1);
        self.next(now)
    }

    /// The next request that waits, if a worker is free: one may be when the server has become stronger.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<(Key, Duration)> {
        let strength = self.strength(now);
        if strength.workers.is_some_and(|workers| self.busy >= workers) {
            return None;
        }
        let request = self.queue.pop_front()?;
        self.busy += 1;
        Some((request, self.service(strength)))
    }

    pub(crate) fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn service(&mut self, strength: Strength) -> Duration {
        let mut service = strength.service.draw(&mut self.chance) + strength.extra;
        if let Some(cache) = self.place.cache
            && self.chance.below(u64::from(cache.fill)) >= u64::from(self.cached)
        {
            service += cache.miss;
        }
        let Some(workers) = strength.workers.filter(|_| strength.collapse) else { return service };
        let waiting = self.queue.len() as u128;
        let slower = service.as_nanos() * waiting / u128::from(workers.max(1));
        service + Duration::from_nanos(u64::try_from(slower).unwrap_or(u64::MAX))
    }

    fn strength(&self, now: Timestamp) -> Strength {
        let mut strength = Strength {
            workers: self.place.workers,
            queue: self.place.queue,
            service: self.place.service,
            collapse: self.place.collapse,
            extra: Duration::ZERO,
        };
        for active in &self.active {
            match active.fault(now) {
                Some(Fault::Capacity { concurrency, service, queue, collapse }) => {
                    strength.workers = Some(*concurrency);
                    strength.service = Spread::Fixed(*service);
                    strength.queue = *queue;
                    strength.collapse = *collapse;
                }
                Some(Fault::Cold { extra, lasting }) => {
                    let left = nanos(lasting.saturating_sub(now.since(active.since)));
                    let share = u128::from(left) * extra.as_nanos() / lasting.as_nanos().max(1);
                    strength.extra +=
                        Duration::from_nanos(u64::try_from(share).unwrap_or(u64::MAX));
                }
                _ => {}
            }
        }
        strength
    }
}

/// A full bucket, in billionths of a call.
fn full(limit: &RateLimit) -> u64 {
    u64::from(limit.burst) * BILLION
}

const BILLION: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Slab;

    const MS: Duration = Duration::from_millis(1);

    fn server(settings: &str) -> Server {
        let text = format!(
            "[world]\nduration = \"1s\"\n[load]\narrivals = \"constant\"\nrate = 1\n[[endpoint]]\nname = \"a\"\n{settings}"
        );
        let world = crate::World::parse(&text, None).unwrap();
        Server::new(world.endpoints[0].clone(), Chance::from_seed(1))
    }

    #[test]
    fn one_is_served_the_next_waits_and_more_are_turned_away() {
        let mut server = server("workers = 1\nqueue = 1\nservice = \"10ms\"");
        let mut keys = Slab::new();
        let [a, b, c] = [(); 3].map(|()| keys.add(()));
        assert_eq!(server.offer(a, Timestamp::ZERO), Offer::Serves(10 * MS));
        assert_eq!(server.offer(b, Timestamp::ZERO), Offer::Waits);
        assert_eq!(server.offer(c, Timestamp::ZERO), Offer::Full);
        assert_eq!(server.done(Timestamp::from_millis(10)), Some((b, 10 * MS)));
        assert_eq!(server.done(Timestamp::from_millis(20)), None);
    }

    #[test]
    fn a_collapsing_server_slows_down_as_its_queue_grows() {
        let mut server = server("workers = 2\nqueue = 9\nservice = \"10ms\"\ncollapse = true");
        let mut keys = Slab::new();
        for _ in 0..6 {
            server.offer(keys.add(()), Timestamp::ZERO);
        }
        let (_, service) = server.done(Timestamp::ZERO).unwrap();
        assert_eq!(service, 25 * MS, "three still wait for two workers");
    }

    #[test]
    fn a_cache_is_empty_after_a_restart_and_fills() {
        let mut server = server("service = \"1ms\"\ncache = { fill = 10, miss = \"99ms\" }");
        let mut keys = Slab::new();
        let key = keys.add(());
        let serve = |server: &mut Server| {
            let offer = server.offer(key, Timestamp::ZERO);
            server.done(Timestamp::ZERO);
            offer
        };
        assert_eq!(serve(&mut server), Offer::Serves(MS));
        server.restart(Timestamp::ZERO);
        assert_eq!(serve(&mut server), Offer::Serves(100 * MS), "nothing is cached");
        for _ in 0..20 {
            serve(&mut server);
        }
        assert_eq!(serve(&mut server), Offer::Serves(MS));
    }

    #[test]
    fn a_rate_limit_takes_a_burst_and_then_its_rate() {
        let mut server = server("rate_limit = { rate = 10, burst = 5, retry_after = \"1s\" }");
        let mut taken = |millis: u64| {
            let met = (0..20).map(|_| server.meet(false, false, Timestamp::from_millis(millis)));
            met.filter(|met| matches!(met, Meeting::Served(_))).count()
        };
        assert_eq!([0, 100, 350, 10_000].map(&mut taken), [5, 1, 2, 5]);
    }

    #[test]
    fn a_fault_changes_what_a_server_can_do_while_it_lasts() {
        let mut server = server("service = \"1ms\"");
        let rule = "cold extra=100ms for=10s".parse().unwrap();
        server.begin(Active { number: 0, rule, since: Timestamp::ZERO });
        let mut keys = Slab::new();
        let at =
            |server: &mut Server, key, millis| server.offer(key, Timestamp::from_millis(millis));
        let key = keys.add(());
        assert_eq!(at(&mut server, key, 0), Offer::Serves(101 * MS));
        assert_eq!(at(&mut server, key, 5_000), Offer::Serves(51 * MS));
        server.end(0);
        assert_eq!(at(&mut server, key, 5_000), Offer::Serves(MS));
    }
}
