//! An upstream with its own time and chance.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::upstream::{
    Balance, EndpointSettings, EndpointView, NoPick, Pick, Purpose, Report, ScopeId,
    UpstreamSettings, Want,
};
use mainstay_core::{Chance, Checked, EndpointId, Event, Timestamp, Upstream};

pub(crate) struct World {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) now: Timestamp,
    pub(crate) chance: Chance,
    pub(crate) events: Vec<Event>,
}

/// Settings with endpoints "e0", "e1", ... of these (tier, weight).
pub(crate) fn endpoints(list: &[(u8, u16)]) -> UpstreamSettings {
    let endpoint = |(place, &(tier, weight)): (usize, &(u8, u16))| EndpointSettings {
        name: format!("e{place}"),
        tier,
        weight,
    };
    UpstreamSettings {
        endpoints: list.iter().enumerate().map(endpoint).collect(),
        ..UpstreamSettings::default()
    }
}

/// As many endpoints of one tier and weight.
pub(crate) fn even(count: usize) -> UpstreamSettings {
    endpoints(&vec![(0, 1); count])
}

pub(crate) fn balanced(list: &[(u8, u16)], balance: Balance) -> UpstreamSettings {
    UpstreamSettings { balance, ..endpoints(list) }
}

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl World {
    pub(crate) fn new(settings: UpstreamSettings) -> Self {
        let (now, mut chance) = (Timestamp::from_millis(1000), Chance::from_seed(1));
        let upstream = Upstream::new(checked(settings), now, &mut chance);
        Self { upstream, now, chance, events: Vec::new() }
    }

    pub(crate) fn renew(&mut self, settings: UpstreamSettings) {
        self.upstream = self.upstream.renewed(checked(settings), self.now, &mut self.chance);
    }

    pub(crate) fn wait(&mut self, length: Duration) {
        self.now = self.now + length;
    }

    /// Lets time pass as a driver would: each deadline is met, and each check that is due ends like this.
    pub(crate) fn run(&mut self, length: Duration, passes: impl Fn(EndpointId) -> bool) {
        let end = self.now + length;
        loop {
            self.now = self.upstream.next_deadline().max(self.now).min(end);
            for endpoint in self.upstream.checks_due(self.now, &mut self.chance) {
                let passed = passes(endpoint);
                let outcome =
                    if passed { Ok(()) } else { Err(mainstay_core::BreakKind::ConnectRefused) };
                let events = self.upstream.on_check(endpoint, outcome, self.now);
                self.events.extend(events);
            }
            self.events.extend(self.upstream.on_time(self.now, &mut self.chance));
            if self.now >= end {
                return;
            }
        }
    }

    pub(crate) fn try_pick(&mut self, want: Want<'_>) -> Result<Pick, NoPick> {
        self.upstream.pick(want, self.now, &mut self.chance)
    }

    pub(crate) fn pick(&mut self) -> Pick {
        self.try_pick(want()).expect("an endpoint can be picked")
    }

    pub(crate) fn pick_after(&mut self, tried: &[u16]) -> u16 {
        let tried: Vec<_> = tried.iter().map(|&id| EndpointId(id)).collect();
        let pick = self.try_pick(Want { tried: &tried, purpose: Purpose::Again, ..want() });
        pick.expect("an endpoint can be picked").permit.endpoint().0
    }

    /// One attempt, from pick to drop.
    pub(crate) fn attempt(&mut self, outcome: impl Fn(EndpointId) -> Report) -> u16 {
        let mut pick = self.pick();
        let endpoint = pick.permit.endpoint();
        let event = pick.permit.report(outcome(endpoint), self.now, &mut self.chance);
        self.events.extend(pick.event.into_iter().chain(event));
        endpoint.0
    }

    /// One attempt at this very endpoint.
    pub(crate) fn attempt_at(&mut self, endpoint: u16, report: Report) {
        let pick = self.upstream.pick_again(EndpointId(endpoint), ScopeId(0), self.now);
        let mut permit = pick.expect("its breaker lets it pass").permit;
        let event = permit.report(report, self.now, &mut self.chance);
        self.events.extend(event);
    }

    /// The shares in percent, rounded, of so many attempts, one each `every`.
    pub(crate) fn shares(
        &mut self,
        attempts: u32,
        every: Duration,
        outcome: impl Fn(EndpointId) -> Report,
    ) -> Vec<u32> {
        let mut hits = vec![0; self.upstream.endpoint_ids().count()];
        for _ in 0..attempts {
            hits[usize::from(self.attempt(&outcome))] += 1;
            self.wait(every);
        }
        hits.into_iter().map(|hits: u32| (hits * 100 + attempts / 2) / attempts).collect()
    }

    pub(crate) fn view(&self, endpoint: u16) -> EndpointView {
        self.upstream.view(self.now).swap_remove(usize::from(endpoint))
    }

    /// The codes of the events since the last look, each once in a row.
    pub(crate) fn codes(&mut self) -> Vec<&'static str> {
        let mut codes: Vec<_> = self.events.drain(..).map(|event| event.code()).collect();
        codes.dedup();
        codes
    }
}

pub(crate) fn want() -> Want<'static> {
    Want { tried: &[], scope: ScopeId(0), purpose: Purpose::First, hash: None }
}

pub(crate) fn answered(millis: u64) -> Report {
    Report::Answered(ms(millis))
}

fn checked(settings: UpstreamSettings) -> Checked<UpstreamSettings> {
    Checked::new(settings).expect("the settings of a test are within their rules")
}

/// Each share is as wanted, give or take `off` percent.
#[track_caller]
pub(crate) fn assert_shares(found: &[u32], want: &[u32], off: u32) {
    let close = found.iter().zip(want).all(|(found, want)| found.abs_diff(*want) <= off);
    assert!(close && found.len() == want.len(), "{found:?}, not {want:?} give or take {off}");
}
