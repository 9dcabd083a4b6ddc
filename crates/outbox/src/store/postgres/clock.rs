//! The fleet's clock is the database's: here it is told by this machine's monotonic clock and what is learned with each answer.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstay_core::outbox::WallTime;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The database's time.
#[derive(Debug)]
pub(super) struct Clock {
    since: Instant,
    /// What the database said it was then, in milliseconds since 1970.
    began_at: AtomicI64,
    best: Mutex<Best>,
}

/// How sure that is.
#[derive(Debug)]
struct Best {
    /// How long the answer took from which it is known: the time in it may be wrong by half of that.
    took: Duration,
    learned_at: Instant,
}

impl Clock {
    /// Until the database has said something, this machine's wall clock has to do.
    pub(super) fn new() -> Self {
        let machine = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = Instant::now();
        Self {
            since,
            began_at: AtomicI64::new(i64::try_from(machine.as_millis()).unwrap_or(0)),
            best: Mutex::new(Best { took: Duration::MAX, learned_at: since }),
        }
    }

    pub(super) fn now(&self) -> WallTime {
        let passed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(0);
        let now = self.began_at.load(Ordering::Relaxed).saturating_add(passed);
        WallTime(u64::try_from(now).unwrap_or(0))
    }

    /// The database said `told` in an answer that was asked for at `asked` and is here now. An answer that took long says less than a quick
    /// one did, until that is old: clocks drift, and may be set.
    pub(super) fn learn(&self, told: i64, asked: Instant) {
        let now = Instant::now();
        let took = now.duration_since(asked);
        let mut best = self.best.lock();
        if took > best.took && now.duration_since(best.learned_at) < LEARNED_ANEW_AFTER {
            return;
        }
        *best = Best { took, learned_at: now };
        let then = asked + took / 2;
        let passed = i64::try_from(then.duration_since(self.since).as_millis()).unwrap_or(0);
        self.began_at.store(told.saturating_sub(passed), Ordering::Relaxed);
    }
}

const LEARNED_ANEW_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_the_databases_and_a_quick_answer_counts_for_more_than_a_slow_one() {
        let clock = Clock::new();
        let answered = async |told: i64, took: u64| {
            let asked = Instant::now();
            tokio::time::advance(Duration::from_millis(took)).await;
            clock.learn(told, asked);
        };
        answered(1_000_000, 10).await;
        assert_eq!(clock.now(), WallTime(1_000_005));
        answered(2_000_000, 400).await;
        assert_eq!(clock.now(), WallTime(1_000_405));
        tokio::time::advance(Duration::from_secs(20)).await;
        answered(2_000_000, 400).await;
        assert_eq!(clock.now(), WallTime(2_000_200));
    }
}
