//! Kept connections of a proxy to an endpoint, the youngest used first.

use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_lab::Ending;

/// Connections that rest.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Vec<Idle>,
}

/// A connection that rests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    pub(super) made_at: Timestamp,
    pub(super) since: Timestamp,
    /// When, and how, its server closes it, if it does.
    pub(super) closes: Option<(Timestamp, Ending)>,
}

/// A connection that was taken into use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) made_at: Timestamp,
    /// The server closes it as the request arrives.
    pub(super) crossed: Option<Ending>,
}

/// What is known of connections when one is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) now: Timestamp,
    /// Those made before are closed.
    pub(super) closed_before: Timestamp,
    /// How long the news of a close takes.
    pub(super) latency: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) max_age: Duration,
}

impl Pool {
    /// Takes the youngest that isn't known to be closed. Those that are go.
    pub(super) fn take(&mut self, known: Known) -> Option<Taken> {
        while let Some(idle) = self.idle.pop() {
            let is_old = known.now.since(idle.since) >= known.idle_timeout
                || known.now.since(idle.made_at) >= known.max_age;
            if is_old || idle.made_at < known.closed_before {
                continue;
            }
            let Some((closes_at, with)) = idle.closes else {
                return Some(Taken { made_at: idle.made_at, crossed: None });
            };
            if known.now >= closes_at + known.latency {
                continue;
            }
            let crosses = known.now + known.latency >= closes_at;
            return Some(Taken { made_at: idle.made_at, crossed: crosses.then_some(with) });
        }
        None
    }

    pub(super) fn put(&mut self, idle: Idle, most: u32) {
        if self.idle.len() < most as usize {
            self.idle.push(idle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[track_caller]
    fn check(now: u64, closes: u64, expected: Option<Option<Ending>>) {
        let mut pool = Pool::default();
        let closes = Some((at(closes), Ending::Fin));
        pool.put(Idle { made_at: at(0), since: at(100), closes }, 1);
        let known = Known {
            now: at(now),
            closed_before: at(0),
            latency: 10 * MS,
            idle_timeout: 1000 * MS,
            max_age: 5000 * MS,
        };
        assert_eq!(pool.take(known).map(|taken| taken.crossed), expected);
    }

    #[test]
    fn a_close_is_met_only_while_its_news_is_on_the_way() {
        check(480, 500, Some(None));
        check(495, 500, Some(Some(Ending::Fin)));
        check(505, 500, Some(Some(Ending::Fin)));
        check(510, 500, None);
    }

    #[test]
    fn what_rested_too_long_is_not_used() {
        check(1100, 9999, None);
        check(1099, 9999, Some(None));
    }
}
