//! What lies between proxies and endpoints: how long a message takes, and whether it arrives at all.

use std::time::Duration;

use mainstay_core::{Chance, Timestamp};
use mainstay_lab::Fault;

use crate::spread::{Spread, happens};
use crate::trouble::Active;
use crate::world::{Network, Way, Zone};

/// The network as it stands.
#[derive(Debug)]
pub(crate) struct Roads {
    network: Network,
    chance: Chance,
    /// Faults between zones that are in force.
    active: Vec<(Zone, Zone, Active)>,
}

impl Roads {
    pub(crate) fn new(network: Network, chance: Chance) -> Self {
        Self { network, chance, active: Vec::new() }
    }

    pub(crate) fn begin(&mut self, a: Zone, b: Zone, active: Active) {
        self.active.push((a, b, active));
    }

    pub(crate) fn end(&mut self, number: usize) {
        self.active.retain(|(_, _, active)| active.number != number);
    }

    /// How long a message that is sent now takes; `None`: it never arrives. `again_after`: when it is sent again for
    /// the first time if it is lost.
    pub(crate) fn travel(
        &mut self,
        (a, b): (Zone, Zone),
        again_after: Duration,
        now: Timestamp,
    ) -> Option<Duration> {
        let way = self.way(a, b);
        let mut takes = way.latency + self.chance.up_to(way.jitter);
        for (_, _, active) in self.active.iter().filter(|(x, y, _)| joins((*x, *y), (a, b))) {
            match active.fault(now) {
                Some(Fault::Blackhole) => return None,
                Some(Fault::Slow(delay)) => {
                    takes += Spread::from(*delay).draw(&mut self.chance);
                }
                _ => {}
            }
        }
        let mut wait = again_after;
        for _ in 0..RESENT_LIMIT {
            if !happens(way.loss, &mut self.chance) {
                return Some(takes);
            }
            takes += wait;
            wait *= 2;
        }
        None
    }

    /// How long a message takes at least, as both ends know it.
    pub(crate) fn latency(&self, a: Zone, b: Zone) -> Duration {
        self.way(a, b).latency
    }

    fn way(&self, a: Zone, b: Zone) -> Way {
        let link = self.network.links.iter().find(|(x, y, _)| joins((*x, *y), (a, b)));
        match link {
            Some((_, _, way)) => *way,
            None if a == b => self.network.near,
            None => self.network.far,
        }
    }
}

fn joins(link: (Zone, Zone), ends: (Zone, Zone)) -> bool {
    link == ends || link == (ends.1, ends.0)
}

/// What TCP waits for at least before it sends lost data again (Linux's minimum), and doubles.
pub(crate) const DATA_AGAIN: Duration = Duration::from_millis(200);

/// What it waits for before it sends a lost SYN again (RFC 6298), and doubles.
pub(crate) const SYN_AGAIN: Duration = Duration::from_secs(1);

/// Six losses in a row are more than a minute of silence for a SYN, longer than anybody waits.
const RESENT_LIMIT: u32 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use mainstay_lab::Ratio;

    const MS: Duration = Duration::from_millis(1);

    fn way(latency: u32, loss: u32) -> Way {
        Way { latency: latency * MS, jitter: Duration::ZERO, loss: Ratio::from_millionths(loss) }
    }

    #[test]
    fn the_way_is_that_of_its_link_either_way() {
        let network = Network { near: way(1, 0), far: way(9, 0), links: vec![(0, 2, way(40, 0))] };
        let mut roads = Roads::new(network, Chance::from_seed(1));
        let mut takes = |a, b| roads.travel((a, b), DATA_AGAIN, Timestamp::ZERO);
        assert_eq!(takes(1, 1), Some(MS));
        assert_eq!(takes(0, 1), Some(9 * MS));
        assert_eq!((takes(0, 2), takes(2, 0)), (Some(40 * MS), Some(40 * MS)));
    }

    #[test]
    fn what_is_lost_is_sent_again_and_in_a_partition_never_arrives() {
        let network = Network { near: way(1, 500_000), far: way(1, 0), links: Vec::new() };
        let mut roads = Roads::new(network, Chance::from_seed(1));
        let slow = (0..1000).filter(|_| {
            roads
                .travel((0, 0), DATA_AGAIN, Timestamp::ZERO)
                .is_some_and(|takes| takes >= DATA_AGAIN)
        });
        assert!((440..540).contains(&slow.count()));
        let rule = "blackhole".parse().unwrap();
        roads.begin(0, 1, Active { number: 3, rule, since: Timestamp::ZERO });
        assert_eq!(roads.travel((1, 0), DATA_AGAIN, Timestamp::ZERO), None);
        roads.end(3);
        assert_eq!(roads.travel((1, 0), DATA_AGAIN, Timestamp::ZERO), Some(MS));
    }
}
