//! When calls begin.

use std::time::Duration;

use mainstay_core::time::nanos;
use mainstay_core::{Chance, Timestamp};

use crate::exact;
use crate::world::{Arrivals, Load, Surge};

/// The next group of calls that begin together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) at: Timestamp,
    pub(crate) size: u32,
    /// What they are; `None`: by the load's share of writes.
    pub(crate) is_write: Option<bool>,
    /// Whether they carry a key, if they are writes; `None`: by the load's share of keyed ones.
    pub(crate) has_key: Option<bool>,
}

/// Draws one group after the other. Clients that wait for their answers are not seen to here, see [`think_time`].
#[derive(Debug)]
pub(crate) struct Stream {
    load: Load,
    chance: Chance,
    now: Timestamp,
    /// How many groups there were.
    count: usize,
}

impl Stream {
    pub(crate) fn new(load: Load, chance: Chance) -> Self {
        Self { load, chance, now: Timestamp::ZERO, count: 0 }
    }

    /// The next group; `None` when there is none any more.
    pub(crate) fn next(&mut self) -> Option<Group> {
        let group = match &self.load.arrivals {
            Arrivals::Constant { rate_milli } => {
                let at = after(&self.load.surges, *rate_milli, self.now, 1.0)?;
                Group { at, size: 1, is_write: None, has_key: None }
            }
            Arrivals::Poisson { rate_milli } => {
                let work = exact::exponential(&mut self.chance);
                let at = after(&self.load.surges, *rate_milli, self.now, work)?;
                Group { at, size: 1, is_write: None, has_key: None }
            }
            Arrivals::Bursts { size, every } => {
                let at = self.now + *every;
                let percent = u64::from(percent(&self.load.surges, at).0);
                let size = u64::from(*size) * percent / 100;
                let size = u32::try_from(size).unwrap_or(u32::MAX);
                Group { at, size, is_write: None, has_key: None }
            }
            Arrivals::Trace(calls) => {
                let call = calls.get(self.count)?;
                let at = Timestamp::ZERO + call.at;
                Group { at, size: 1, is_write: Some(call.is_write), has_key: call.has_key }
            }
            Arrivals::Closed { .. } => return None,
        };
        self.now = group.at;
        self.count += 1;
        Some(group)
    }
}

/// How long a client thinks before its next call. A surge of 300 % shortens that to a third.
pub(crate) fn think_time(load: &Load, now: Timestamp, chance: &mut Chance) -> Option<Duration> {
    let Arrivals::Closed { think, .. } = &load.arrivals else { return None };
    let percent = percent(&load.surges, now).0.max(1);
    Some(think.draw(chance) * 100 / percent)
}

/// When `work` calls have been asked for at this rate, surges included, since `now`.
fn after(
    surges: &[Surge],
    rate_milli: u64,
    mut now: Timestamp,
    mut work: f64,
) -> Option<Timestamp> {
    loop {
        let (percent, until) = percent(surges, now);
        // Calls per nanosecond, of which there are 10^12 in a thousand seconds.
        let rate = rate_milli as f64 * f64::from(percent) / 100.0 / 1e12;
        let length = until.map_or(f64::INFINITY, |until| nanos(until.since(now)) as f64);
        if work <= rate * length && rate > 0.0 {
            // At least a nanosecond: time goes on.
            return Some(now + Duration::from_nanos(((work / rate) as u64).max(1)));
        }
        work -= rate * length;
        now = until?;
    }
}

/// The load in hundredths of the usual one, and until when that holds. Of several surges at once the last counts.
fn percent(surges: &[Surge], now: Timestamp) -> (u32, Option<Timestamp>) {
    let ends = |surge: &Surge| {
        let at = Timestamp::ZERO + surge.at;
        (at, at + surge.lasting)
    };
    let holds = surges.iter().rev().find(|surge| {
        let (from, until) = ends(surge);
        (from..until).contains(&now)
    });
    let turns = surges.iter().map(ends).flat_map(|(from, until)| [from, until]);
    (holds.map_or(100, |surge| surge.percent), turns.filter(|turn| *turn > now).min())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spread::Spread;
    use mainstay_lab::Ratio;

    fn load(arrivals: Arrivals, surges: Vec<Surge>) -> Load {
        let none = Ratio::from_millionths(0);
        Load {
            arrivals,
            proxies: 1,
            zones: vec![0],
            writes: none,
            keyed: none,
            patience: None,
            surges,
        }
    }

    fn calls(arrivals: Arrivals, surges: Vec<Surge>, seconds: u64) -> u32 {
        let mut stream = Stream::new(load(arrivals, surges), Chance::from_seed(1));
        let end = Timestamp::from_millis(seconds * 1000);
        let groups = std::iter::from_fn(|| stream.next()).take_while(|group| group.at <= end);
        groups.map(|group| group.size).sum()
    }

    fn surge(at: u64, lasting: u64, percent: u32) -> Surge {
        Surge { at: Duration::from_secs(at), lasting: Duration::from_secs(lasting), percent }
    }

    #[test]
    fn the_rate_is_met() {
        let rate_milli = 100_000;
        assert_eq!(calls(Arrivals::Constant { rate_milli }, Vec::new(), 100), 10_000);
        let poisson = calls(Arrivals::Poisson { rate_milli }, Vec::new(), 100);
        assert!((9_700..10_300).contains(&poisson), "{poisson}");
        let every = Duration::from_secs(2);
        assert_eq!(calls(Arrivals::Bursts { size: 50, every }, Vec::new(), 100), 2_500);
    }

    #[test]
    fn a_surge_changes_it_for_its_time() {
        let rate_milli = 100_000;
        let surges = vec![surge(10, 10, 300), surge(50, 20, 0)];
        let constant = calls(Arrivals::Constant { rate_milli }, surges.clone(), 100);
        assert!((9_995..=10_005).contains(&constant), "{constant}");
        let never = vec![surge(0, 1_000, 0)];
        assert_eq!(calls(Arrivals::Constant { rate_milli }, never, 100), 0);
        let poisson = calls(Arrivals::Poisson { rate_milli }, surges, 100);
        assert!((9_700..10_300).contains(&poisson), "{poisson}");
    }

    #[test]
    fn clients_think_less_in_a_surge() {
        let arrivals =
            Arrivals::Closed { clients: 1, think: Spread::Fixed(Duration::from_secs(3)) };
        let load = load(arrivals, vec![surge(10, 10, 300)]);
        let at = |seconds: u64| {
            think_time(&load, Timestamp::from_millis(seconds * 1000), &mut Chance::from_seed(1))
        };
        assert_eq!(at(1), Some(Duration::from_secs(3)));
        assert_eq!(at(11), Some(Duration::from_secs(1)));
    }
}
