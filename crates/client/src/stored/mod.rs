//! Writes that are stored before they are sent, for all who do so: the proxy, and the courier of a program ([`crate::outbox`]).
//!
//! ```text
//!   request, or a row ─▶ Storable ─▶ NewDelivery ─▶ store ─▶ Offer ─▶ a call by Stores::plan_of ─▶ Tried ─▶ core: what becomes of it
//! ```

mod open;
mod row;
mod snapshot;
mod storable;
mod tried;

use mainstay_config::settings::RouteOutbox;
use mainstay_core::outbox::Assurance;

use crate::degrade::Degrade;
use crate::service::Plan;
pub use open::{Unopened, open};
pub use row::{request, stopped};
pub use snapshot::snapshots;
pub use storable::{Direct, IDEMPOTENCY_KEY, Storable, bounded};
pub use tried::{INCOMPLETE, Tried};

/// What a route stores.
#[derive(Debug)]
pub struct Stores {
    /// What it says of that.
    pub settings: RouteOutbox,
    /// The route's plan, but for what may stand in for an answer: a write that got a fixed answer hasn't arrived.
    keyed: Plan,
    /// The same for writes whose key says nothing about whether they may be done twice.
    keyless: Plan,
}

impl Stores {
    /// What a route with this plan stores.
    #[must_use]
    pub fn new(settings: RouteOutbox, plan: &Plan) -> Self {
        let keyed = Plan { degrade: Degrade::default(), ..plan.clone() };
        let keyless = Plan { idempotency_headers: Vec::new(), ..keyed.clone() };
        Self { settings, keyed, keyless }
    }

    /// The plan for a write with this assurance: a key that was minted is no proof where nobody says that the API heeds it.
    #[must_use]
    pub const fn plan_of(&self, assurance: Assurance) -> &Plan {
        match assurance {
            Assurance::None => &self.keyless,
            Assurance::Repeatable => &self.keyed,
        }
    }
}

/// A host without its port.
#[must_use]
pub fn without_port(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(end) => &host[..end + 2],
        None => host.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_port;

    #[test]
    fn a_host_loses_its_port_only() {
        for (host, name) in [
            ("a.test", "a.test"),
            ("a.test:80", "a.test"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
