//! What is known of a name's addresses, and what to do when somebody wants them.
//!
//! ```text
//!             answer                      TTL over                    denied, and after its hold denied again
//!   nothing ---------> fresh: use them ----------> stale: use them and look up again -----------> nothing
//!      ^ failure: told, and not asked again for a while        | failure: kept, and not asked again for a while
//!      +----                                                   +---> stale
//! ```
//!
//! A list of addresses that worked is never emptied by a name server that is silent, broken or refuses: those say nothing
//! about the name. "No such name" and "no addresses" are answers, and true as a rule; but a single broken resolver can say
//! them too, so that a list is emptied only when the next lookup, after a hold, says the same.
//!
//! How long a failing answer isn't asked for again depends on what it was. It is short, since somebody is waiting for the
//! name, and it grows where asking is what may have broken the server.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::{BreakKind, Timestamp};

/// How long answers are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamesSettings {
    /// Addresses are fresh for at least so long.
    pub min_ttl: Duration,
    /// Addresses are fresh for so long at most.
    pub max_ttl: Duration,
}

/// One name: its addresses as far as they are known, and the state of asking for them.
#[derive(Clone, Debug)]
pub struct Names {
    settings: NamesSettings,
    addresses: Vec<IpAddr>,
    /// When they were found; nothing before that.
    found_at: Option<Timestamp>,
    valid_until: Timestamp,
    failure: Option<Failure>,
    /// Lookups in a row that were no answer.
    failed_in_a_row: u32,
    /// Whether a lookup since the last answer said that there is nothing.
    denied: bool,
    /// Whether a lookup is out.
    looking: bool,
    /// Lookups in a row that brought other addresses than the one before.
    changed_in_a_row: u32,
}

/// What broke a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One of the kinds of the phase resolve.
    pub kind: BreakKind,
    /// When.
    pub at: Timestamp,
    /// It isn't asked again before this.
    pub until: Timestamp,
}

/// A name server's word that there is nothing, and how long that holds by its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The name itself doesn't exist, not just its addresses.
    pub whole_name: bool,
    /// The TTL of the denial, where it has one.
    pub ttl: Option<Duration>,
}

/// What somebody who wants addresses should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Use those that are known.
    Use,
    /// Use those that are known, and look up again meanwhile.
    UseAndLookUp,
    /// None are known: look up, and wait for it.
    LookUp,
    /// None are known, and a lookup is out: wait for it.
    Wait,
    /// There is nothing to be had now, for this reason.
    Broken(Failure),
}

/// What a lookup has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing that anybody has to know.
    Nothing,
    /// The addresses are others than before.
    Changed {
        /// So many were there before and are no more.
        left: usize,
    },
    /// The lookup failed, the first one after one that didn't, and the addresses are used on.
    Kept,
}

impl Names {
    /// A name of which nothing is known.
    #[must_use]
    pub fn new(settings: NamesSettings) -> Self {
        Self {
            settings,
            addresses: Vec::new(),
            found_at: None,
            valid_until: Timestamp::ZERO,
            failure: None,
            failed_in_a_row: 0,
            denied: false,
            looking: false,
            changed_in_a_row: 0,
        }
    }

    /// What to do now. When that is a lookup, the caller makes it, and tells its outcome or [`Names::on_abandoned`].
    pub fn next(&mut self, now: Timestamp) -> Next {
        let held = self.failure.filter(|failure| now < failure.until);
        let next = match (self.addresses.is_empty(), self.looking, held) {
            (false, false, None) if now >= self.valid_until => Next::UseAndLookUp,
            (false, _, _) => Next::Use,
            (true, true, _) => Next::Wait,
            (true, false, Some(failure)) => Next::Broken(failure),
            (true, false, None) => Next::LookUp,
        };
        self.looking |= matches!(next, Next::UseAndLookUp | Next::LookUp);
        next
    }

    /// A lookup found addresses.
    pub fn on_found(&mut self, addresses: Vec<IpAddr>, ttl: Duration, now: Timestamp) -> Change {
        debug_assert!(!addresses.is_empty(), "an answer without addresses is a denial");
        let left = self.addresses.iter().filter(|old| !addresses.contains(old)).count();
        let joined = addresses.iter().any(|new| !self.addresses.contains(new));
        let changed = self.found_at.is_some() && (left > 0 || joined);
        self.changed_in_a_row = if changed { self.changed_in_a_row.saturating_add(1) } else { 0 };
        let NamesSettings { min_ttl, max_ttl } = self.settings;
        self.valid_until = now + ttl.max(min_ttl).min(max_ttl);
        self.addresses = addresses;
        self.found_at = Some(now);
        self.failure = None;
        self.failed_in_a_row = 0;
        self.denied = false;
        self.looking = false;
        if changed { Change::Changed { left } } else { Change::Nothing }
    }

    /// A name server says that there is nothing.
    pub fn on_denied(&mut self, denied: Denied, now: Timestamp) -> Change {
        let Denied { whole_name, ttl } = denied;
        let kind = if whole_name { BreakKind::NameNotFound } else { BreakKind::NoAddress };
        let hold = ttl.unwrap_or(DENIED_FOR).max(DENIED_AT_LEAST).min(DENIED_AT_MOST);
        let confirmed = self.denied;
        let change = self.failed(kind, now + hold, now);
        self.denied = true;
        self.failed_in_a_row = 0;
        if !confirmed {
            return change;
        }
        let left = self.addresses.len();
        self.addresses.clear();
        if left > 0 { Change::Changed { left } } else { Change::Nothing }
    }

    /// No name server gave an answer: none in time, or only that it can't or won't.
    pub fn on_failed(&mut self, in_time: bool, now: Timestamp) -> Change {
        let kind = if in_time { BreakKind::ResolverFailure } else { BreakKind::ResolverTimeout };
        let doubled = 1_u32 << self.failed_in_a_row.min(5);
        let hold = FAILED_FOR.saturating_mul(doubled).min(FAILED_AT_MOST);
        self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
        self.failed(kind, now + hold, now)
    }

    fn failed(&mut self, kind: BreakKind, until: Timestamp, now: Timestamp) -> Change {
        let is_first = self.failure.is_none();
        self.failure = Some(Failure { kind, at: now, until });
        self.looking = false;
        let kept = is_first && !self.addresses.is_empty();
        if kept { Change::Kept } else { Change::Nothing }
    }

    /// The lookup was given up before it came to anything.
    pub fn on_abandoned(&mut self) {
        self.looking = false;
    }

    /// The addresses to use, in the order in which they were found.
    #[must_use]
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// How long ago the addresses were found; nothing when there are none.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        self.found_at.filter(|_| !self.addresses.is_empty()).map(|at| now.since(at))
    }

    /// Whether the addresses have outlived their TTL.
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        now >= self.valid_until
    }

    /// What broke the last lookup, if it broke.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Whether a connection to this address may still be used: the name still leads there.
    ///
    /// Names that bring other addresses each time they are asked lead everywhere: large services show a part of what they
    /// have and change it with each answer, and closing connections for that would have no end. While nothing is known,
    /// nothing speaks against a connection that works.
    #[must_use]
    pub fn leads_to(&self, address: IpAddr) -> bool {
        self.addresses.is_empty()
            || self.changed_in_a_row >= ROTATES_FROM
            || self.addresses.contains(&address)
    }
}

/// How long "no such name" and "no addresses" aren't asked for again where they come without a TTL.
const DENIED_FOR: Duration = Duration::from_secs(5);
/// And at least, where they do: a denial of 0 s would let each call ask.
const DENIED_AT_LEAST: Duration = Duration::from_secs(1);
/// And at most: zones deny for hours, and somebody who has just created the name is waiting for it.
const DENIED_AT_MOST: Duration = Duration::from_secs(30);

/// How long a name server that failed isn't asked again, the first time. It has cost a lookup's timeout already.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// And at most, after doubling each time: soon enough for somebody who has just repaired it.
const FAILED_AT_MOST: Duration = Duration::from_secs(30);

/// From so many changes in a row a name is taken to rotate. Somebody who moves a service changes its addresses once or
/// twice within a few TTLs.
const ROTATES_FROM: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chance;
    use std::vec;

    const SETTINGS: NamesSettings =
        NamesSettings { min_ttl: Duration::from_secs(1), max_ttl: Duration::from_secs(300) };
    const NO_NAME: Denied = Denied { whole_name: true, ttl: None };
    const NO_ADDRESS: Denied = Denied { whole_name: false, ttl: None };

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_millis(1000 * secs)
    }

    /// A name with one address, found at 0 with a TTL of 10 s.
    fn known() -> Names {
        let mut names = Names::new(SETTINGS);
        assert_eq!(names.next(at(0)), Next::LookUp);
        assert_eq!(names.on_found(vec![ip(1)], Duration::from_secs(10), at(0)), Change::Nothing);
        names
    }

    #[test]
    fn fresh_addresses_are_used_and_stale_ones_too_while_one_lookup_is_made() {
        let mut names = known();
        assert_eq!(names.next(at(9)), Next::Use);
        assert_eq!(names.next(at(10)), Next::UseAndLookUp);
        assert_eq!(names.next(at(11)), Next::Use);
        names.on_abandoned();
        assert_eq!(names.next(at(12)), Next::UseAndLookUp);
        names.on_found(vec![ip(1)], Duration::from_secs(10), at(12));
        assert_eq!((names.next(at(21)), names.is_stale(at(21))), (Next::Use, false));
        assert_eq!(names.age(at(21)), Some(Duration::from_secs(9)));
    }

    #[test]
    fn without_addresses_one_looks_up_and_the_others_wait_for_it() {
        let mut names = Names::new(SETTINGS);
        assert_eq!((names.next(at(0)), names.next(at(0))), (Next::LookUp, Next::Wait));
        names.on_abandoned();
        assert_eq!(names.next(at(0)), Next::LookUp);
    }

    #[test]
    fn ttls_are_kept_within_bounds() {
        let mut names = known();
        names.on_found(vec![ip(1)], Duration::ZERO, at(0));
        assert!(!names.is_stale(Timestamp::from_millis(999)) && names.is_stale(at(1)));
        names.on_found(vec![ip(1)], Duration::from_secs(86_400), at(0));
        assert!(!names.is_stale(at(299)) && names.is_stale(at(300)));
    }

    #[test]
    fn silent_and_broken_servers_empty_nothing_and_are_asked_less_and_less() {
        let mut names = known();
        let mut now = at(10);
        let mut holds = vec![];
        for round in 0..8 {
            assert_eq!(names.next(now), Next::UseAndLookUp);
            let change = names.on_failed(round % 2 == 0, now);
            assert_eq!(change, if round == 0 { Change::Kept } else { Change::Nothing });
            assert_eq!(names.next(now), Next::Use);
            assert_eq!(names.addresses(), [ip(1)]);
            let until = names.failure().map_or(now, |failure| failure.until);
            holds.push(until.since(now).as_secs());
            now = until;
        }
        assert_eq!(holds, [1, 2, 4, 8, 16, 30, 30, 30]);
        names.on_found(vec![ip(1)], Duration::ZERO, now);
        assert_eq!(names.on_failed(false, now), Change::Kept);
        assert_eq!(names.failure().map(|failure| failure.until), Some(now + FAILED_FOR));
    }

    #[test]
    fn a_denial_empties_only_when_the_next_lookup_confirms_it() {
        let mut names = known();
        assert_eq!(names.on_denied(NO_NAME, at(10)), Change::Kept);
        assert_eq!((names.next(at(14)), names.next(at(15))), (Next::Use, Next::UseAndLookUp));
        // A failure in between neither confirms nor refutes it.
        assert_eq!(names.on_failed(false, at(15)), Change::Nothing);
        assert_eq!(names.next(at(16)), Next::UseAndLookUp);
        assert_eq!(names.on_denied(NO_ADDRESS, at(16)), Change::Changed { left: 1 });
        assert!(names.addresses().is_empty() && names.age(at(16)).is_none());
        let failure = Failure { kind: BreakKind::NoAddress, at: at(16), until: at(21) };
        assert_eq!((names.next(at(20)), names.next(at(21))), (Next::Broken(failure), Next::LookUp));
        assert_eq!(
            names.on_found(vec![ip(1)], Duration::ZERO, at(21)),
            Change::Changed { left: 0 }
        );
    }

    #[test]
    fn a_denial_that_the_next_lookup_refutes_is_forgotten() {
        let mut names = known();
        names.on_denied(NO_NAME, at(10));
        assert_eq!(names.on_found(vec![ip(1)], Duration::ZERO, at(15)), Change::Nothing);
        assert_eq!(names.on_denied(NO_NAME, at(20)), Change::Kept);
        assert_eq!(names.addresses(), [ip(1)]);
    }

    #[test]
    fn without_addresses_each_failure_is_told_and_held_for_its_own_time() {
        let held = |tell: fn(&mut Names) -> Change| {
            let mut names = Names::new(SETTINGS);
            assert_eq!((names.next(at(0)), tell(&mut names)), (Next::LookUp, Change::Nothing));
            let Next::Broken(failure) = names.next(at(0)) else { panic!("not held") };
            assert_eq!(names.next(failure.until), Next::LookUp);
            (failure.kind, failure.until.since(at(0)).as_secs())
        };
        let ttl = |secs| Denied { whole_name: true, ttl: Some(Duration::from_secs(secs)) };
        assert_eq!(held(|names| names.on_denied(NO_NAME, at(0))), (BreakKind::NameNotFound, 5));
        let short = |names: &mut Names| {
            names.on_denied(Denied { whole_name: true, ttl: Some(Duration::ZERO) }, at(0))
        };
        assert_eq!(held(short), (BreakKind::NameNotFound, 1));
        let mut names = Names::new(SETTINGS);
        names.on_denied(ttl(3600), at(0));
        assert_eq!(names.failure().map(|failure| failure.until), Some(at(30)));
        assert_eq!(held(|names| names.on_denied(NO_ADDRESS, at(0))), (BreakKind::NoAddress, 5));
        assert_eq!(held(|names| names.on_failed(false, at(0))), (BreakKind::ResolverTimeout, 1));
        assert_eq!(held(|names| names.on_failed(true, at(0))), (BreakKind::ResolverFailure, 1));
    }

    #[test]
    fn connections_to_addresses_that_left_are_used_no_more_unless_the_name_rotates() {
        let mut names = known();
        let ttl = Duration::from_secs(1);
        assert_eq!(names.on_found(vec![ip(2), ip(3)], ttl, at(1)), Change::Changed { left: 1 });
        assert!(!names.leads_to(ip(1)) && names.leads_to(ip(2)));
        names.on_found(vec![ip(4)], ttl, at(2));
        assert!(!names.leads_to(ip(2)));
        names.on_found(vec![ip(5)], ttl, at(3));
        assert!(names.leads_to(ip(4)), "the third change in a row");
        names.on_found(vec![ip(5)], ttl, at(4));
        assert!(!names.leads_to(ip(4)) && names.leads_to(ip(5)));
    }

    #[test]
    fn whatever_happens_addresses_are_lost_by_two_denials_alone() {
        for seed in 0..200 {
            let mut chance = Chance::from_seed(seed);
            let mut names = Names::new(SETTINGS);
            let (mut known, mut denied, mut now) = (false, false, at(0));
            for _ in 0..300 {
                now = now + Duration::from_millis(chance.below(4000));
                let next = names.next(now);
                match next {
                    Next::Use | Next::UseAndLookUp => assert!(known, "seed {seed}"),
                    Next::LookUp | Next::Broken(_) => assert!(!known, "seed {seed}"),
                    Next::Wait => panic!("nobody looks, seed {seed}"),
                }
                if !matches!(next, Next::UseAndLookUp | Next::LookUp) {
                    continue;
                }
                match chance.below(5) {
                    0 => {
                        names.on_found(vec![ip(1)], Duration::from_secs(2), now);
                        (known, denied) = (true, false);
                    }
                    1 => names.on_abandoned(),
                    2 | 3 => {
                        names.on_failed(chance.below(2) == 0, now);
                    }
                    _ => {
                        names.on_denied(NO_NAME, now);
                        known &= !denied;
                        denied = true;
                    }
                }
                assert_eq!(!names.addresses().is_empty(), known, "seed {seed}");
                let held =
                    names.failure().map_or(Duration::ZERO, |failure| failure.until.since(now));
                assert!(held <= DENIED_AT_MOST, "seed {seed}: held for {held:?}");
            }
        }
    }
}
