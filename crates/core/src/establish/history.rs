//! Addresses that were no good lately are tried last.
//!
//! RFC 8305, section 4, lets a client order addresses by what it knows of them. What is known here is little, and
//! forgotten soon: an address failed, or hadn't answered when the race was over, although it had had its fair time. With one
//! family black-holed, the first connection pays one delay, and the next ones none until the memory fades. Nothing is ever
//! left out: if all are bad, all are tried, the one that was bad longest ago first.
//!
//! The fair time is the delay after which the race itself stops to rely on an address. It doesn't matter what ended the
//! race: another address, the clock of the connect, that of the attempt, or an application that had waited long enough.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::Timestamp;

/// What is remembered of one target's addresses.
#[derive(Clone, Debug, Default)]
pub struct History {
    bad: Vec<(IpAddr, Timestamp)>,
}

/// What one address did in a race, which is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Which.
    pub address: IpAddr,
    /// When its attempt began.
    pub started_at: Timestamp,
    /// What came of it.
    pub end: RunEnd,
}

/// What came of an attempt at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// It gave the connection.
    Won,
    /// It failed.
    Failed,
    /// It failed for want of something on this host: descriptors or ports.
    LocalFault,
    /// It was out when the race was over.
    Out,
}

impl History {
    /// A race is over `now`, in which the next address was tried `delay` after the last. The runs come in the order in which
    /// they started: those that started after the winner were only its substitutes, and say nothing.
    pub fn on_race(
        &mut self,
        runs: impl IntoIterator<Item = Run>,
        delay: Duration,
        now: Timestamp,
    ) {
        let mut any_won = false;
        for Run { address, started_at, end } in runs {
            match end {
                RunEnd::Won => {
                    any_won = true;
                    self.on_good(address);
                }
                RunEnd::Failed => self.on_bad(address, now),
                RunEnd::Out if !any_won && now.since(started_at) >= delay => {
                    self.on_bad(address, now);
                }
                RunEnd::Out | RunEnd::LocalFault => {}
            }
        }
    }

    /// This address failed, or hung while another one connected.
    pub fn on_bad(&mut self, address: IpAddr, now: Timestamp) {
        self.on_good(address);
        if self.bad.len() >= MOST {
            self.bad.remove(0);
        }
        self.bad.push((address, now));
    }

    /// This address gave a connection.
    pub fn on_good(&mut self, address: IpAddr) {
        self.bad.retain(|(bad, _)| *bad != address);
    }

    /// Puts addresses that were bad lately behind the others, whose order stays.
    pub fn order<T>(&self, addresses: &mut [T], ip: impl Fn(&T) -> IpAddr, now: Timestamp) {
        if self.bad.is_empty() {
            return;
        }
        let bad_at = |address: &T| {
            let ip = ip(address);
            let (_, at) = self.bad.iter().find(|(bad, _)| *bad == ip)?;
            (now.since(*at) < REMEMBERED_FOR).then_some(*at)
        };
        addresses.sort_by_key(bad_at);
    }
}

/// How long an address stays at the end of the line. Each return costs one connection the delay of the race, so once in
/// five minutes; and a family that works again is preferred again that soon.
const REMEMBERED_FOR: Duration = Duration::from_secs(300);

/// Addresses remembered at most: more than a name has, as a rule. The one that was bad longest ago makes room.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[track_caller]
    fn check(history: &History, at_secs: u64, wanted: [u8; 3]) {
        let mut addresses = vec![ip(1), ip(2), ip(3)];
        history.order(&mut addresses, |ip| *ip, Timestamp::from_millis(at_secs * 1000));
        assert_eq!(addresses, wanted.map(ip));
    }

    #[test]
    fn bad_addresses_are_tried_last_until_they_are_good_or_forgotten() {
        let mut history = History::default();
        check(&history, 0, [1, 2, 3]);
        history.on_bad(ip(1), Timestamp::from_millis(10_000));
        check(&history, 10, [2, 3, 1]);
        check(&history, 309, [2, 3, 1]);
        check(&history, 310, [1, 2, 3]);
        history.on_bad(ip(2), Timestamp::from_millis(20_000));
        check(&history, 20, [3, 1, 2]);
        history.on_good(ip(1));
        check(&history, 20, [1, 3, 2]);
    }

    #[test]
    fn among_bad_ones_the_one_that_was_bad_longest_ago_comes_first() {
        let mut history = History::default();
        for (at, last) in [(3, 1), (1, 2), (2, 3)] {
            history.on_bad(ip(last), Timestamp::from_millis(at));
        }
        check(&history, 1, [2, 3, 1]);
        history.on_bad(ip(2), Timestamp::from_millis(9));
        check(&history, 1, [3, 1, 2]);
    }

    /// A race that is over at 1 s, with a delay of 250 ms: attempts at `10.0.0.n` from their starts on.
    fn raced(runs: &[(u8, u64, RunEnd)]) -> History {
        let runs = runs.iter().map(|&(last, start, end)| {
            let started_at = Timestamp::from_millis(start);
            Run { address: ip(last), started_at, end }
        });
        let mut history = History::default();
        history.on_race(runs, Duration::from_millis(250), Timestamp::from_millis(1000));
        history
    }

    #[test]
    fn an_address_that_was_overtaken_is_bad_and_one_that_started_after_the_winner_is_not() {
        let overtaken = raced(&[(1, 0, RunEnd::Out), (2, 250, RunEnd::Won)]);
        check(&overtaken, 1, [2, 3, 1]);
        let slow_winner = raced(&[(1, 0, RunEnd::Won), (2, 250, RunEnd::Out)]);
        check(&slow_winner, 1, [1, 2, 3]);
    }

    #[test]
    fn a_race_that_is_cut_short_tells_of_those_that_had_their_fair_time() {
        let cut = raced(&[(1, 500, RunEnd::Out), (2, 751, RunEnd::Out)]);
        check(&cut, 1, [2, 3, 1]);
        let at_once = raced(&[(1, 900, RunEnd::Out)]);
        check(&at_once, 1, [1, 2, 3]);
    }

    #[test]
    fn a_failure_counts_however_soon_and_one_of_this_host_never() {
        let mixed = raced(&[(1, 990, RunEnd::Failed), (2, 995, RunEnd::LocalFault)]);
        check(&mixed, 1, [2, 3, 1]);
        // The winner's failure elsewhere is forgiven; what failed before it is not.
        let won = raced(&[(2, 0, RunEnd::Failed), (1, 1, RunEnd::Won)]);
        check(&won, 1, [1, 3, 2]);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut history = History::default();
        for last in 0..=255 {
            history.on_bad(ip(last), Timestamp::ZERO);
        }
        assert_eq!(history.bad.len(), MOST);
    }
}
