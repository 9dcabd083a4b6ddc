//! Whether a peer's kept connections are used again: not while they keep ending just as they are.
//!
//! ```text
//!             three requests met a close within a second
//!   reused ──────────────────────────────────────────────▶ fresh ones only ─┐
//!     ▲                                                                      │ 1 s, then 2, 4 ... up to 30 s
//!     └──────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A request that meets the close of its connection goes again, and is paid for like any other retry where it may have been sent. A peer
//! that closes each connection as it is used a second time would empty the budget so, although each call could be had for the price of a
//! connect. Servers and balancers that do so exist, mostly by mistake. A peer that is restarted closes many connections at once, and costs a
//! second of connects.
//!
//! What it deliberately doesn't do: learn *when* idle connections end. That is [`crate::IdleLimit`]'s, for peers that keep a limit.

use core::time::Duration;

use crate::Timestamp;

/// What is known of a peer's way with connections that are used again.
#[derive(Clone, Debug, Default)]
pub struct Reuse {
    /// When requests met closes lately, the newest first.
    met: [Option<Timestamp>; MET],
    fresh_until: Timestamp,
    lasts: Duration,
}

impl Reuse {
    /// Nothing is held against the peer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A request met the peer's close of the kept connection that it went over.
    pub fn on_met(&mut self, now: Timestamp) {
        if now < self.fresh_until {
            // It was on its way before.
            return;
        }
        self.met.rotate_right(1);
        self.met[0] = Some(now);
        let oldest = self.met[MET - 1];
        if oldest.is_none_or(|oldest| now.since(oldest) >= WITHIN) {
            return;
        }
        let is_relapse = self.lasts > Duration::ZERO && now.since(self.fresh_until) < FORGOTTEN;
        self.lasts = if is_relapse { (self.lasts * 2).min(LONGEST) } else { FIRST };
        self.fresh_until = now + self.lasts;
        self.met = [None; MET];
    }

    /// Until when only fresh connections are used, and none is kept; the past if they may be.
    #[must_use]
    pub fn fresh_until(&self) -> Timestamp {
        self.fresh_until
    }
}

/// So many closes that were met: one is chance, two are the race of a limit that isn't learned yet.
const MET: usize = 3;

/// Within so long. A peer that is seldom asked meets the limit of its idle time, which is learned.
const WITHIN: Duration = Duration::from_secs(1);

/// How long no connection is used again, the first time.
const FIRST: Duration = Duration::from_secs(1);

/// And at most: a peer that was mended is found out in half a minute, and a few retries each half a minute are cheap.
const LONGEST: Duration = Duration::from_secs(30);

/// After so long without it is the first time again.
const FORGOTTEN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// A machine whose requests met closes at these times, in milliseconds.
    fn met(times: &[u64]) -> Reuse {
        let mut reuse = Reuse::new();
        times.iter().for_each(|time| reuse.on_met(at(*time)));
        reuse
    }

    #[test]
    fn connections_are_used_again_no_more_when_three_requests_met_a_close_within_a_second() {
        assert_eq!(met(&[5_000, 5_010]).fresh_until(), Timestamp::ZERO);
        assert_eq!(met(&[5_000, 5_500, 6_000]).fresh_until(), Timestamp::ZERO);
        assert_eq!(met(&[5_000, 5_010, 5_020]).fresh_until(), at(6_020));
    }

    #[test]
    fn what_was_on_its_way_says_nothing_more() {
        assert_eq!(met(&[5_000, 5_010, 5_020, 5_030, 5_040, 5_050]).fresh_until(), at(6_020));
    }

    #[test]
    fn a_peer_that_goes_on_so_is_left_alone_for_longer_each_time_and_forgiven_in_the_end() {
        let first = [5_000, 5_000, 5_000];
        let second = [6_100, 6_100, 6_100];
        assert_eq!(met(&[first, second].concat()).fresh_until(), at(8_100));
        let later = [70_000, 70_000, 70_000];
        assert_eq!(met(&[first, later].concat()).fresh_until(), at(71_000));
    }

    #[test]
    fn no_time_is_longer_than_half_a_minute() {
        let mut reuse = Reuse::new();
        let mut now = at(1_000);
        for _ in 0..20 {
            (0..MET).for_each(|_| reuse.on_met(now));
            assert!(reuse.fresh_until().since(now) <= LONGEST);
            now = reuse.fresh_until();
        }
        assert_eq!(reuse.lasts, LONGEST);
    }
}
