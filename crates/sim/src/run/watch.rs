//! Watches over each proxy's upstream, as `client::service` does: statistics, and active checks.

use std::time::Duration;

use mainstay_config::settings::ProbeKind;
use mainstay_core::{BreakKind, EndpointId, Event};

use super::flights::Purpose;
use super::{Happened, Happening, Simulation};
use crate::slab::Key;

impl Simulation {
    pub(super) fn watch(&mut self, number: u16, plan: u32) {
        let now = self.now;
        let Some(proxy) = self.proxies.get_mut(usize::from(number)) else { return };
        if proxy.watch != plan {
            return;
        }
        let events = proxy.upstream.on_time(now, &mut proxy.chance);
        let due = proxy.upstream.checks_due(now, &mut proxy.chance);
        self.note(&events);
        for endpoint in due {
            self.start_check(number, endpoint);
        }
        self.plan_watch(number);
    }

    /// What an upstream tells by itself.
    fn note(&mut self, events: &[Event]) {
        for event in events {
            self.outcome.event(event, self.now);
            if let Some(journal) = &mut self.journal {
                journal.add(self.now, None, Happened::Told(*event));
            }
        }
    }

    /// The next look: when the upstream asks for one, and each second.
    fn plan_watch(&mut self, number: u16) {
        let Some(proxy) = self.proxies.get_mut(usize::from(number)) else { return };
        proxy.watch = proxy.watch.wrapping_add(1);
        let next = proxy.upstream.next_deadline().min(self.now + ROUND).max(self.now);
        let what = Happening::Watch { proxy: number, number: proxy.watch };
        self.agenda.put(next, what);
    }

    fn start_check(&mut self, proxy: u16, endpoint: EndpointId) {
        let Some(probe) = &self.policy.probe else { return };
        let timeout = probe.timeout;
        let flight = self.fly(Purpose::Check, (proxy, endpoint), false, None);
        self.agenda.put(self.now + timeout, Happening::CheckTimeout(flight));
        self.connect(flight);
    }

    /// Whether a check sends a request, or is content with a connection.
    pub(super) fn asks_by_request(&self) -> bool {
        let kind = self.policy.probe.as_ref().map(|probe| &probe.kind);
        matches!(kind, Some(ProbeKind::Http { .. } | ProbeKind::Grpc { .. }))
    }

    pub(super) fn on_check_over(&mut self, flight: Key, outcome: Result<(), BreakKind>) {
        if let Some(flight) = self.flights.remove(flight) {
            self.check_answered(flight.proxy, flight.endpoint, outcome);
        }
    }

    pub(super) fn on_check_timeout(&mut self, key: Key) {
        // It is gone when the check is over, and not when nobody waited for it any more but its server.
        let Some(flight) = self.flights.get(key).copied() else { return };
        if let Some(what) = self.drop_flight(key) {
            self.check_answered(flight.proxy, flight.endpoint, Err(what.kind));
        }
    }

    pub(super) fn check_answered(
        &mut self,
        number: u16,
        endpoint: EndpointId,
        outcome: Result<(), BreakKind>,
    ) {
        let now = self.now;
        let Some(proxy) = self.proxies.get_mut(usize::from(number)) else { return };
        let events = proxy.upstream.on_check(endpoint, outcome, now);
        self.note(&events);
        // The outcome may have brought the next check forward.
        self.plan_watch(number);
    }
}

/// The longest that a look at the statistics may be late, as in the real driver.
const ROUND: Duration = Duration::from_secs(1);
