//! Watching over a service while nobody calls: active checks, statistics, connections that have had their time.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::upstream::Order;
use mainstay_core::{EndpointId, Timestamp};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::Service;
use super::news::Told;
use super::said::Said;
use crate::chance::with_chance;
use crate::{Clock, check};

/// How often expired connections are looked for, and the longest that a look at the statistics may be late.
const ROUND: Duration = Duration::from_secs(1);

impl Service {
    /// Watches over the service until dropped: active checks, statistics, expired connections. Run exactly one per
    /// generation, on any runtime.
    pub async fn watch(self: Arc<Self>) {
        let mut checks = JoinSet::new();
        let mut spares = JoinSet::new();
        for endpoint in (0..).map(EndpointId).take(self.places.len()) {
            spares.spawn(Arc::clone(&self).keep_spares(endpoint));
        }
        let mut told: Vec<Told> = self.targets().map(|_| Told::default()).collect();
        let mut swept_at = Timestamp::ZERO;
        loop {
            let now = Clock::now();
            if now.since(swept_at) >= ROUND {
                swept_at = now;
                for ((place, target), told) in (0..).zip(self.targets()).zip(&mut told) {
                    target.sweep(now);
                    if self.upstream.ordered(EndpointId(place)) == Order::Drain {
                        // What came back since the order was given.
                        target.close_idle();
                    }
                    for event in told.news(EndpointId(place), target, now) {
                        self.recorder.on_upstream_event(now, event);
                    }
                }
            }
            let (events, due) = with_chance(|chance| {
                (self.upstream.on_time(now, chance), self.upstream.checks_due(now, chance))
            });
            for event in events {
                self.recorder.on_upstream_event(now, event);
            }
            for endpoint in due {
                checks.spawn(Arc::clone(&self).check(endpoint));
            }
            let next = self.upstream.next_deadline().min(now + ROUND);
            tokio::select! {
                () = sleep_until(Clock::instant(next)) => {}
                // Its outcome may have brought the next check forward.
                Some(_) = checks.join_next() => {}
            }
        }
    }

    async fn check(self: Arc<Self>, endpoint: EndpointId) {
        let (Some(place), Some(probe)) = (self.place(endpoint), self.probe()) else { return };
        let checked = check::run(&place.target, probe).await;
        let outcome = match &checked {
            Ok(()) => Ok(()),
            Err(broken) => Err(broken.what.kind),
        };
        let said = checked.err().and_then(Said::of);
        place.said.keep(said.clone());
        self.recorder.on_check(endpoint, outcome);
        let now = Clock::now();
        for event in self.upstream.on_check(endpoint, outcome, now) {
            self.recorder.on_upstream_event_with(now, event, said.as_ref().map(Said::text));
        }
    }
}
