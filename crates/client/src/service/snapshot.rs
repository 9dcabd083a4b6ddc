//! How a service stands at a time, for metrics: what the engine knows, and its connections. The same for proxy and library.

use std::time::Duration;

use mainstay_core::upstream::{EndpointView, Percentile};
use mainstay_core::{EndpointId, Timestamp};
use mainstay_record::{EndpointSnapshot, NamesSnapshot, RingCounts, StaleCloses, UpstreamSnapshot};

use super::Service;
use crate::pool::Target;

impl Service {
    /// How it stands at `at`; of stored writes it knows nothing.
    #[must_use]
    pub fn snapshot(&self, at: Timestamp, rings: RingCounts) -> UpstreamSnapshot {
        let places = (0..).map(EndpointId);
        let views = self.upstream.view(at).into_iter().zip(self.targets());
        let endpoints = places.zip(views).map(|(place, (view, target))| {
            endpoint(view, target, self.percentiles(place).collect(), at)
        });
        UpstreamSnapshot {
            name: self.name.to_string(),
            at,
            endpoints: endpoints.collect(),
            budget: self.upstream.budget().level(at),
            load: self.upstream.load(at),
            rings,
            stored: Vec::new(),
        }
    }

    /// How long an endpoint's answers take: what half of them do, and what is looked at for the tail.
    pub fn percentiles(
        &self,
        endpoint: EndpointId,
    ) -> impl Iterator<Item = (Percentile, Duration)> {
        let shown = [Percentile::P50, Percentile::P95, Percentile::P99];
        shown
            .into_iter()
            .filter_map(move |one| Some((one, self.upstream.percentile(endpoint, one)?)))
    }
}

fn endpoint(
    view: EndpointView,
    target: &Target,
    percentiles: Vec<(Percentile, Duration)>,
    at: Timestamp,
) -> EndpointSnapshot {
    let connections = target.counts();
    EndpointSnapshot {
        view,
        idle_connections: u32::try_from(connections.idle).unwrap_or(u32::MAX),
        busy_connections: u32::try_from(connections.in_use).unwrap_or(u32::MAX),
        stale: StaleCloses {
            avoided: connections.stale_avoided,
            met: connections.stale_met,
            seen: connections.closed_stale,
        },
        idle_limit: connections.idle_limit,
        names: target.addresses(at).map(|addresses| NamesSnapshot {
            addresses: addresses.list.len(),
            age: addresses.age,
            lookups: addresses.lookups.to_vec(),
        }),
        percentiles,
        certificate_ends_at: target.certificate_ends_at(),
    }
}
