//! Keeping connections ready ahead of demand.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::spare::Spares;
use mainstay_core::upstream::Order;
use mainstay_core::{EndpointId, Timestamp};
use tokio::time::timeout;

use super::Service;
use crate::Clock;
use crate::chance::with_chance;

/// How often it is looked whether spares are missing that nobody took: closed by their peer, or too old.
const ROUND: Duration = Duration::from_secs(1);

impl Service {
    /// Keeps the endpoint's spare connections until dropped. They live on the runtime that this runs on, and are
    /// lent to others.
    pub(super) async fn keep_spares(self: Arc<Self>, endpoint: EndpointId) {
        let pool = &self.settings.connect.pool;
        // More than may lie idle would be closed and opened for ever.
        let wanted = pool.spares.min(pool.max_idle);
        let Some(place) = self.place(endpoint).filter(|_| wanted > 0) else { return };
        let target = &place.target;
        let mut spares = Spares::new(wanted);
        loop {
            let now = Clock::now();
            let missing = spares.due(target.ready(), self.is_usable(endpoint, now), now);
            let mut opening = tokio::task::JoinSet::new();
            for _ in 0..missing {
                let target = Arc::clone(target);
                opening.spawn(async move { target.open_spare().await });
            }
            while let Some(opened) = opening.join_next().await {
                match opened {
                    Ok(Ok(true)) => spares.on_opened(),
                    // There was no place for one more: those that are in use are reserve enough.
                    Ok(Ok(false)) => {}
                    Ok(Err(_)) | Err(_) => {
                        with_chance(|chance| spares.on_failed(Clock::now(), chance));
                    }
                }
            }
            // Whichever comes first; both lead to another look.
            let _ = timeout(ROUND, target.taken()).await;
        }
    }

    /// Whether a call could be sent to an endpoint: it is in, and its breaker closed.
    fn is_usable(&self, endpoint: EndpointId, now: Timestamp) -> bool {
        self.upstream.is_well(endpoint, now) && self.upstream.ordered(endpoint) != Order::Drain
    }
}
