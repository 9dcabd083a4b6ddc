//! What is new about endpoints apart from calls and checks: their names' addresses, and their certificates.

use std::time::Duration;

use mainstay_core::{EndpointId, Event, Timestamp};

use crate::Clock;
use crate::pool::Target;

/// What was last told of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Told {
    changes: u64,
    kept: bool,
    certificate_ends_at: u64,
}

impl Told {
    /// What is new at `now`.
    pub(super) fn news(
        &mut self,
        endpoint: EndpointId,
        target: &Target,
        now: Timestamp,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(addresses) = target.addresses(now) {
            let changes = target.changes();
            if std::mem::replace(&mut self.changes, changes) != changes {
                events.push(Event::AddressesChanged { endpoint });
            }
            let failure = addresses.failure.filter(|_| addresses.stale);
            let kept = std::mem::replace(&mut self.kept, failure.is_some());
            if let Some((kind, _)) = failure.filter(|_| !kept) {
                events.push(Event::AddressesKept { endpoint, kind });
            }
        }
        if let Some(ends_at) = target.certificate_ends_at()
            && ends_at != self.certificate_ends_at
        {
            let left = Duration::from_secs(ends_at.saturating_sub(Clock::unix_seconds()));
            if left < target.expiry_warning() {
                self.certificate_ends_at = ends_at;
                events.push(Event::CertificateExpiring { endpoint, left });
            }
        }
        events
    }
}
