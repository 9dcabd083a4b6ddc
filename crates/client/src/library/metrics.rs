//! Metrics: what was counted, and how everything stands now. The same names, labels and units as the proxy's, since the same code writes them.

use std::collections::BTreeSet;

use mainstay_record::UpstreamSnapshot;

use super::Mainstay;
use crate::Clock;

impl Mainstay {
    /// What was counted of all calls, and how upstreams, endpoints and connections stand now, as text for a scrape by Prometheus: breakers'
    /// states, attempts in flight, the budget's level, limits that were learned, kept connections and more, as the manual's page of metrics has
    /// them, with the proxy's own names and units. Hosts that belong to no upstream are told of while they are
    /// [known](super::OtherHosts). It is written as `text/plain; version=0.0.4`.
    ///
    /// ```
    /// use mainstay::{Mainstay, UpstreamBuilder};
    ///
    /// let shop = UpstreamBuilder::new("shop").endpoint("https://shop.example");
    /// let client = Mainstay::builder().upstream(shop).build()?;
    /// let text = client.metrics_text();
    /// assert!(text.contains("mainstay_budget_tokens{upstream=\"shop\"}"));
    /// # Ok::<(), mainstay::BuildError>(())
    /// ```
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.0.recorder.metrics_text(false, &self.snapshots())
    }

    /// The same as OpenMetrics, with units and exemplars: `application/openmetrics-text; version=1.0.0`.
    #[must_use]
    pub fn openmetrics_text(&self) -> String {
        self.0.recorder.metrics_text(true, &self.snapshots())
    }

    /// How each upstream stands now; one for each name, since a name is told once.
    pub(crate) fn snapshots(&self) -> Vec<UpstreamSnapshot> {
        let (now, inner) = (Clock::now(), &*self.0);
        let mut names = BTreeSet::new();
        let services = inner.places.services();
        let services = services.iter().filter(|service| names.insert(service.name().as_ref()));
        let snapshot = |service: &std::sync::Arc<crate::service::Service>| {
            service.snapshot(now, inner.client.ring_counts(service.name()))
        };
        services.map(snapshot).collect()
    }
}
