//! What breaks: a rule for one server, or for all, for a moment; then another one. Drawn from a seed.

use std::time::Duration;

use mainstay_core::Chance;
use mainstay_lab::{Fault, Lab, Rule};
use tokio::time::sleep;

use crate::SERVERS;
use crate::support::text;
use crate::watch::Proxy;

/// What is drawn from.
pub(crate) struct Trouble {
    chance: Chance,
    /// How many there were.
    pub(crate) count: u64,
}

impl Trouble {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: Chance::from_seed(seed), count: 0 }
    }

    /// Makes trouble until it is dropped.
    pub(crate) async fn make(&mut self, lab: &Lab, proxy: &Proxy) -> Result<(), String> {
        loop {
            sleep(self.time(QUIET)).await;
            if !proxy.is_running() {
                return Err("the proxy has ended".to_owned());
            }
            let rule: Rule = RULES[self.below(RULES.len())].parse().map_err(text)?;
            self.count += 1;
            if self.below(ALL_IN) == 0 {
                lab.set_all(rule).await;
                sleep(self.time(ALL_FOR)).await;
            } else {
                let server = SERVERS[self.below(SERVERS.len())];
                lab.set(server, rule).await.map_err(text)?;
                sleep(self.time(ONE_FOR)).await;
            }
            self.end(lab).await;
        }
    }

    /// All is well.
    pub(crate) async fn end(&self, lab: &Lab) {
        lab.set_all(Fault::Healthy).await;
    }

    fn below(&mut self, count: usize) -> usize {
        let time = self.chance.up_to(Duration::from_nanos(count as u64 * STEP));
        (time.as_nanos() as usize / STEP as usize).min(count - 1)
    }

    fn time(&mut self, (least, most): (u64, u64)) -> Duration {
        Duration::from_millis(least) + self.chance.up_to(Duration::from_millis(most - least))
    }
}

/// Everything that the lab does to connections, answers and servers, in the clear.
const RULES: [&str; 30] = [
    "refuse",
    "hang",
    "hang ratio=0.3",
    "reset-before",
    "reset-before ratio=0.3",
    "reset-after-execute",
    "close-before ratio=0.5",
    "reset-after-head",
    "reset-in-body",
    "reset-in-body every=30KB",
    "truncate at=random",
    "truncate-chunked at=random",
    "truncate-chunked at=in-chunk",
    "stall at=random ratio=0.5",
    "stall-head ratio=0.5",
    "trickle bytes=2000 every=5ms",
    "slow fixed=300ms",
    "slow median=20ms p99=900ms",
    "status code=500 ratio=0.5",
    "status code=503",
    "throttle code=429 retry-after=1 ratio=0.3",
    "throttle code=503 retry-after=1",
    "close-idle after=50ms jitter=50ms with=close",
    "close-on-reuse with=rst",
    "garbage",
    "flap up=100ms down=100ms",
    "blackhole",
    "half-dead",
    "h2-goaway",
    "h2-refuse-stream",
];

/// One break in twelve is everywhere.
const ALL_IN: usize = 12;
/// Milliseconds: between two, of one server, and of all.
const QUIET: (u64, u64) = (100, 1_000);
const ONE_FOR: (u64, u64) = (200, 2_000);
const ALL_FOR: (u64, u64) = (100, 600);
const STEP: u64 = 1_000_000;
