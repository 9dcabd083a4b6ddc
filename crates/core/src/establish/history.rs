//! Addresses that were no good lately are tried last.
//!
//! RFC 8305, section 4, lets a client order addresses by what it knows of them. What is known here is little, and
//! forgotten soon: an address failed, or let another one overtake it by more than the delay of the race. With one family
//! black-holed, the first connection pays one delay, and the next ones none until the memory fades. Nothing is ever left
//! out: if all are bad, all are tried, the one that was bad longest ago first.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::Timestamp;

/// What is remembered of one target's addresses.
#[derive(Clone, Debug, Default)]
pub struct History {
    bad: Vec<(IpAddr, Timestamp)>,
}

impl History {
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

    #[test]
    fn the_memory_is_bounded() {
        let mut history = History::default();
        for last in 0..=255 {
            history.on_bad(ip(last), Timestamp::ZERO);
        }
        assert_eq!(history.bad.len(), MOST);
    }
}
