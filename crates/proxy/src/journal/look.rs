//! One look at all upstreams.

use std::sync::Arc;

use mainstay::{Clock, Service};
use mainstay_core::upstream::{EndpointView, Percentile};
use mainstay_core::{EndpointId, Timestamp};
use mainstay_record::{EndpointLook, EndpointState};

use crate::generation::Generation;
use crate::proxy::Control;

/// How everything stands at a moment.
pub(super) struct Look {
    pub(super) at: Timestamp,
    pub(super) unix_ms: u64,
    pub(super) generation: Arc<Generation>,
    /// In the order of the generation's services.
    pub(super) upstreams: Vec<UpstreamLook>,
}

/// How an upstream stands.
pub(super) struct UpstreamLook {
    /// How full its budget is, 0 to 1.
    pub(super) level: f64,
    pub(super) views: Vec<EndpointView>,
    pub(super) endpoints: Vec<EndpointLook>,
}

impl Look {
    pub(super) fn at(control: &Control) -> Self {
        let (at, unix_ms, generation) =
            (Clock::now(), Clock::unix_millis(), control.shared.current());
        let upstreams =
            generation.services.iter().map(|service| UpstreamLook::at(service, at)).collect();
        Self { at, unix_ms, generation, upstreams }
    }

    /// Hands it to the history. `counts`: rates are wanted as well.
    pub(super) fn note(&self, control: &Control, counts: bool) {
        for (service, look) in self.generation.services.iter().zip(&self.upstreams) {
            service.recorder().look(self.at, look.level, &look.endpoints, counts);
        }
        let names = self.generation.services.iter().map(|service| Arc::clone(service.name()));
        control.shared.recorder.incidents_only(&names.collect::<Vec<_>>(), self.at);
        // Once a minute is enough for what leaves after an hour.
        if (self.at.as_millis() / 1000).is_multiple_of(60) {
            control.shared.recorder.tidy_history(self.at);
        }
    }
}

impl UpstreamLook {
    fn at(service: &Service, at: Timestamp) -> Self {
        let upstream = service.upstream();
        let views = upstream.view(at);
        let endpoints = (0..).map(EndpointId).zip(&views).map(|(id, view)| EndpointLook {
            state: EndpointState::of(view, at),
            in_flight: view.in_flight,
            p50: upstream.percentile(id, Percentile::P50),
            p99: upstream.percentile(id, Percentile::P99),
        });
        let endpoints = endpoints.collect();
        let budget = upstream.budget().level(at);
        let level = f64::from(budget.tokens) / f64::from(budget.capacity.max(1));
        Self { level, views, endpoints }
    }
}
