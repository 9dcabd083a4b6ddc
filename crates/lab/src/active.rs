//! The rule that a server follows now, and what it means at a moment: flapping, warming up, queueing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::fault::{Fault, LONGEST, Rule};
use crate::queue::Queue;

/// A rule in force since some moment.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) rule: Rule,
    /// Counts the rules of a server, so that a change can be waited for.
    pub(crate) version: u64,
    pub(crate) queue: Option<Queue>,
    /// How many requests have met the rule, and each of its others.
    met: Vec<AtomicU64>,
    since: Instant,
}

impl Active {
    pub(crate) fn new(rule: Rule, version: u64, since: Instant) -> Self {
        let inner = if let Fault::Flap { fault, .. } = &rule.fault { fault } else { &rule.fault };
        let queue = match inner {
            Fault::Capacity { concurrency, service, queue, collapse } => {
                Some(Queue::new(*concurrency, *service, *queue, *collapse))
            }
            _ => None,
        };
        let met = (0..=rule.others.len()).map(|_| AtomicU64::new(0)).collect();
        Self { rule, version, queue, met, since }
    }

    /// What happens now; never a `flap`.
    pub(crate) fn fault(&self, now: Instant) -> &Fault {
        match &self.rule.fault {
            Fault::Flap { up, down, fault } if self.in_period(now, *up, *down) >= *up => fault,
            Fault::Flap { .. } => &Fault::Healthy,
            other => other,
        }
    }

    /// Takes one of the times that the rule of this place may be met; false if none is left.
    pub(crate) fn takes_one(&self, place: usize, times: Option<u64>) -> bool {
        let Some(times) = times else { return true };
        let next = |met| (met < times).then_some(met + 1);
        let met = self.met.get(place);
        met.is_some_and(|met| met.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok())
    }

    /// Whether the server listens now.
    pub(crate) fn is_listening(&self, now: Instant) -> bool {
        !matches!(self.fault(now), Fault::Refuse | Fault::Blackhole)
    }

    /// Whether connects are dropped now.
    pub(crate) fn is_blackhole(&self, now: Instant) -> bool {
        matches!(self.fault(now), Fault::Blackhole)
    }

    /// Whether connections that were there before go silent now.
    pub(crate) fn silences(&self, now: Instant) -> bool {
        matches!(self.fault(now), Fault::Blackhole | Fault::HalfDead)
    }

    /// When [`Active::fault`] changes by itself.
    pub(crate) fn next_turn_at(&self, now: Instant) -> Option<Instant> {
        let Fault::Flap { up, down, .. } = &self.rule.fault else { return None };
        let at = self.in_period(now, *up, *down);
        let until = if at < *up { *up } else { up.saturating_add(*down) };
        // At least a moment: a flap made in code may have no length, and must not keep a task busy.
        Some(now + until.saturating_sub(at).clamp(SHORTEST_TURN, LONGEST))
    }

    /// What a server that has just come up adds to the time of an answer.
    pub(crate) fn coldness(&self, now: Instant, extra: Duration, lasting: Duration) -> Duration {
        let left = lasting.saturating_sub(now.saturating_duration_since(self.since));
        extra.mul_f64(left.as_secs_f64() / lasting.as_secs_f64().max(1e-9))
    }

    /// How many periods of this length are over.
    pub(crate) fn period(&self, now: Instant, every: Duration) -> u64 {
        let elapsed = now.saturating_duration_since(self.since).as_nanos();
        u64::try_from(elapsed / every.as_nanos().max(1)).unwrap_or(u64::MAX)
    }

    fn in_period(&self, now: Instant, up: Duration, down: Duration) -> Duration {
        let elapsed = now.saturating_duration_since(self.since).as_nanos();
        let period = up.saturating_add(down).as_nanos().max(1);
        // A lab doesn't run for the centuries that would overflow here.
        Duration::from_nanos(u64::try_from(elapsed % period).unwrap_or(u64::MAX))
    }
}

const SHORTEST_TURN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn active(text: &str, since: Instant) -> Active {
        Active::new(text.parse().unwrap(), 1, since)
    }

    #[test]
    fn a_flap_begins_up_and_goes_on_for_ever() {
        let start = Instant::now();
        let flap = active("flap up=200 down=100 refuse", start);
        for (at, listening, turn) in
            [(0, true, 200), (199, true, 200), (200, false, 300), (3_250, false, 3_300)]
        {
            let now = start + Duration::from_millis(at);
            assert_eq!(flap.is_listening(now), listening, "{at}");
            assert_eq!(flap.next_turn_at(now), Some(start + Duration::from_millis(turn)), "{at}");
        }
    }

    #[test]
    fn a_cold_server_warms_up() {
        let start = Instant::now();
        let cold = active("cold extra=100ms for=10s", start);
        let at = |s| {
            cold.coldness(
                start + Duration::from_secs(s),
                Duration::from_millis(100),
                Duration::from_secs(10),
            )
            .as_millis()
        };
        assert_eq!((at(0), at(5), at(10), at(99)), (100, 50, 0, 0));
    }
}
