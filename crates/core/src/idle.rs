//! At which age a peer closes idle connections, learned from when it does.
//!
//! Most servers and balancers close a connection that was idle for so long, and few say so. A request that is sent at
//! that moment crosses the close. So the age is learned, and connections are used no more a little before it.
//!
//! What is kept is the last few *sightings*: the peer closed a connection, at this time, after so long idle. The limit
//! is worked out from them anew each time, so the order in which closes are noticed doesn't matter:
//!
//! - Closes that come together are one moment. If their ages differ widely, the server was restarted, and the moment
//!   teaches nothing.
//! - A limit takes two moments that agree. It is the lower of the two, and the lowest such pair counts.
//! - A connection that outlives a sighting by more than they may differ takes the oldest such sighting away.
//!
//! A limit that is obeyed is never tested again, so now and then one connection, a *probe*, is left lying past its time
//! without being used: the peer either closes it, which confirms the limit, or doesn't, which takes a sighting away.
//! Nothing is risked for that. See `docs/decisions/0010-learned-idle-limit.md`.

use core::time::Duration;

use crate::Timestamp;

/// What is known of a peer's idle limit.
#[derive(Clone, Debug, Default)]
pub struct IdleLimit {
    /// A ring: the oldest is overwritten.
    sightings: [Option<Sighting>; SIGHTINGS],
    next: usize,
    hint: Option<Duration>,
    probe_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sighting {
    at: Timestamp,
    idle_for: Duration,
    /// Others came together with it whose ages differ widely.
    void: bool,
}

impl IdleLimit {
    /// Nothing is known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The peer closed a connection at `at` after it was idle for so long, whether or not a request crossed it.
    pub fn on_peer_closed(&mut self, idle_for: Duration, at: Timestamp) {
        if idle_for < SHORTEST {
            return;
        }
        let knew = self.learned().is_some();
        let new = Sighting { at, idle_for, void: false };
        let mut merged = false;
        let mut void = false;
        for old in self.sightings.iter_mut().flatten().filter(|old| old.is_with(&new)) {
            if old.is_unlike(&new) {
                old.void = true;
            }
            void |= old.void;
            if !old.void && !merged {
                old.idle_for = old.idle_for.min(idle_for);
                merged = true;
            }
        }
        if !merged || void {
            self.sightings[self.next] = Some(Sighting { void, ..new });
            self.next = (self.next + 1) % SIGHTINGS;
        }
        if !knew && self.learned().is_some() {
            self.probe_at = at + PROBE_EVERY;
        }
    }

    /// A connection lives after it was idle for so long.
    pub fn on_survived(&mut self, idle_for: Duration) {
        let oldest_first = (0..SIGHTINGS).map(|step| (self.next + step) % SIGHTINGS);
        let outlived = |place: &usize| {
            self.sightings[*place]
                .is_some_and(|seen| !seen.void && idle_for >= seen.outlived_from())
        };
        if let Some(place) = oldest_first.into_iter().find(outlived) {
            self.sightings[place] = None;
            // What was doubted once is looked into at once.
            self.probe_at = Timestamp::ZERO;
        }
    }

    /// The peer says how long it keeps idle connections: `Keep-Alive: timeout=N`.
    pub fn on_hint(&mut self, timeout: Duration) {
        self.hint = Some(timeout).filter(|timeout| *timeout >= SHORTEST);
    }

    /// The age at which the peer closes idle connections, as far as is known.
    #[must_use]
    pub fn limit(&self) -> Option<Duration> {
        [self.learned(), self.hint].into_iter().flatten().min()
    }

    /// The age from which an idle connection isn't to be used any more.
    #[must_use]
    pub fn retire_after(&self) -> Option<Duration> {
        self.limit().map(|limit| {
            let margin = (limit / MARGIN_PART).max(LEAST_MARGIN).min(limit / 2);
            limit - margin
        })
    }

    /// The least age at which a connection that lives says something: see [`IdleLimit::on_survived`].
    #[must_use]
    pub fn survival_counts_from(&self) -> Option<Duration> {
        self.valid().map(Sighting::outlived_from).min()
    }

    /// From when on the next connection whose time is over should be left lying, as a probe. `None` when the limit wasn't
    /// learned: what the peer has said isn't tested.
    #[must_use]
    pub fn probe_at(&self) -> Option<Timestamp> {
        self.learned().filter(|learned| self.limit() == Some(*learned)).map(|_| self.probe_at)
    }

    /// A connection was chosen as a probe.
    pub fn on_probe(&mut self, now: Timestamp) {
        self.probe_at = now + PROBE_EVERY;
    }

    fn learned(&self) -> Option<Duration> {
        let lower = self.sightings.iter().enumerate().filter_map(|(place, seen)| {
            let seen = seen.as_ref().filter(|seen| !seen.void)?;
            let agrees = |(other_place, other): (usize, &Option<Sighting>)| {
                other_place != place
                    && other.is_some_and(|other| {
                        !other.void
                            && other.idle_for >= seen.idle_for
                            && other.idle_for < seen.outlived_from()
                    })
            };
            self.sightings.iter().enumerate().any(agrees).then_some(seen.idle_for)
        });
        lower.min()
    }

    fn valid(&self) -> impl Iterator<Item = &Sighting> {
        self.sightings.iter().flatten().filter(|seen| !seen.void)
    }
}

/// Whether a connection that has rested for so long is to be looked at before it is used again: whether its socket has
/// anything to say against it. When it was laid down nothing had come, so one that has just been is taken to live.
#[must_use]
pub fn wants_look(rested: Duration) -> bool {
    rested >= JUST_NOW
}

impl Sighting {
    fn is_with(&self, other: &Self) -> bool {
        self.at.since(other.at).max(other.at.since(self.at)) < TOGETHER
    }

    /// Whether no one limit explains both, even if the peer looks for idle connections only now and then.
    fn is_unlike(&self, other: &Self) -> bool {
        let (lower, higher) =
            (self.idle_for.min(other.idle_for), self.idle_for.max(other.idle_for));
        higher > lower * 2
    }

    /// No connection should live to this age if the sighting is one of the limit.
    fn outlived_from(&self) -> Duration {
        self.idle_for + self.idle_for / 4
    }
}

/// For how long after an exchange a connection is taken to live. Under load each would be looked at for each request, a
/// system call beside four; and a peer that closes so soon after an answer closes each connection after its first.
const JUST_NOW: Duration = Duration::from_millis(1);

/// How many closes are remembered. Two make a limit; a server that was given a longer limit is believed after the
/// others are outlived, one probe each.
const SIGHTINGS: usize = 8;

/// Closes within this are one moment. A server that is stopped closes everything within milliseconds, and we may be
/// late by a turn of the runtime.
const TOGETHER: Duration = Duration::from_millis(250);

/// Closes earlier than this teach nothing. No server's limit is so short; under load all connections that a restart
/// closes were idle for about this long.
const SHORTEST: Duration = Duration::from_millis(50);

/// The margin, as a part of the limit: servers' timers are coarse, some by a tenth.
const MARGIN_PART: u32 = 10;

/// The least margin: a round trip, since our request must arrive before the close and the limit counts from when the
/// answer was sent; and both sides' delays in a burst of work. Half of a limit that is shorter than twice this.
const LEAST_MARGIN: Duration = Duration::from_millis(100);

/// How often a connection is left lying to see whether the limit still holds.
const PROBE_EVERY: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// A machine that was told of closes: times and ages in milliseconds.
    fn told(closes: &[(u64, u64)]) -> IdleLimit {
        let mut limit = IdleLimit::new();
        for (time, age) in closes {
            limit.on_peer_closed(ms(*age), at(*time));
        }
        limit
    }

    #[test]
    fn one_close_teaches_nothing_and_two_that_agree_do() {
        assert_eq!(told(&[(1_000, 1_000)]).limit(), None);
        let limit = told(&[(1_000, 1_010), (2_500, 1_000)]);
        assert_eq!(limit.limit(), Some(ms(1_000)));
        assert_eq!(limit.retire_after(), Some(ms(900)));
    }

    #[test]
    fn closes_that_differ_teach_nothing() {
        assert_eq!(told(&[(1_000, 1_000), (9_000, 4_000)]).limit(), None);
    }

    #[test]
    fn many_closes_at_once_are_one_moment() {
        assert_eq!(told(&[(1_000, 1_000), (1_001, 1_005), (1_002, 1_010)]).limit(), None);
    }

    #[test]
    fn a_restart_teaches_nothing_however_its_closes_are_reported() {
        let restarts = [(1_000, 900), (9_000, 1_000), (9_001, 5_000), (9_002, 200)];
        assert_eq!(told(&restarts).limit(), None);
        let mut reversed = restarts;
        reversed.reverse();
        assert_eq!(told(&reversed).limit(), None);
        // Believed until the rest of the restart was noticed, and then no more.
        assert_eq!(told(&restarts[..2]).limit(), Some(ms(900)));
    }

    #[test]
    fn a_server_that_looks_only_now_and_then_is_learned_by_its_earliest_closes() {
        let limit = told(&[(10_000, 5_900), (11_000, 5_100), (12_000, 5_600)]);
        assert_eq!(limit.limit(), Some(ms(5_100)));
    }

    #[test]
    fn a_hint_is_believed_at_once_and_a_lower_limit_that_was_seen_more_than_it() {
        let mut limit = IdleLimit::new();
        limit.on_hint(ms(5_000));
        assert_eq!(limit.retire_after(), Some(ms(4_500)));
        assert_eq!(limit.probe_at(), None);
        limit.on_peer_closed(ms(2_000), at(10_000));
        limit.on_peer_closed(ms(2_000), at(20_000));
        assert_eq!(limit.limit(), Some(ms(2_000)));
        limit.on_hint(Duration::ZERO);
        assert_eq!(limit.limit(), Some(ms(2_000)));
    }

    #[test]
    fn short_limits_keep_half_of_themselves_and_none_is_shorter_than_a_twentieth_of_a_second() {
        assert_eq!(told(&[(1_000, 150), (2_000, 150)]).retire_after(), Some(ms(75)));
        assert_eq!(told(&[(1_000, 5), (2_000, 5)]).limit(), None);
        assert_eq!(told(&[(1_000, 60_000), (99_000, 60_000)]).retire_after(), Some(ms(54_000)));
    }

    #[test]
    fn a_connection_that_lives_past_the_limit_takes_it_away() {
        let mut limit = told(&[(1_000, 1_000), (2_500, 1_000)]);
        assert_eq!(limit.survival_counts_from(), Some(ms(1_250)));
        limit.on_survived(ms(1_249));
        assert_eq!(limit.limit(), Some(ms(1_000)));
        limit.on_survived(ms(1_250));
        assert_eq!(limit.limit(), None);
    }

    #[test]
    fn the_limit_is_probed_after_a_while_and_again_at_once_when_it_was_outlived() {
        let mut limit = told(&[(1_000, 1_000), (3_000, 1_000), (5_000, 1_000)]);
        assert_eq!(limit.probe_at(), Some(at(3_000) + PROBE_EVERY));
        limit.on_probe(at(400_000));
        assert_eq!(limit.probe_at(), Some(at(400_000) + PROBE_EVERY));
        limit.on_survived(ms(2_000));
        assert_eq!(limit.probe_at(), Some(Timestamp::ZERO));
    }

    #[test]
    fn a_longer_limit_of_the_server_is_learned_after_its_shorter_one() {
        let mut limit = told(&[(1_000, 1_000), (3_000, 1_000)]);
        limit.on_survived(ms(1_300));
        limit.on_survived(ms(1_300));
        limit.on_peer_closed(ms(4_000), at(20_000));
        limit.on_peer_closed(ms(4_000), at(30_000));
        assert_eq!(limit.limit(), Some(ms(4_000)));
    }

    #[test]
    fn a_connection_is_looked_at_unless_it_was_used_just_now() {
        let rested = |micros| wants_look(Duration::from_micros(micros));
        assert_eq!([0, 999, 1000, 60_000_000].map(rested), [false, false, true, true]);
    }
}
