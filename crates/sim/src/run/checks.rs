//! Rules that hold after each step, whatever the world does. A broken one is a defect of the engine or of a driver.
//!
//! - the budget: an extra attempt is set aside only within the ceiling, and there are never more tokens than fit
//! - nothing is lost: each call ends, and exactly once
//! - no call that mustn't be done twice is executed twice (seen to where servers execute)
//! - a permit for each attempt that is out, and none besides
//! - every waiting state has a deadline: a call that waits for nothing would wait for ever
//!
//! That everything recovers once faults are over is judged when the run ends ([`crate::outcome::Recovery`]).

use std::time::Duration;

use mainstay_core::budget::BudgetLevel;

use super::Simulation;
use crate::slab::Key;

/// How often permits are counted; everything else is looked at after each step in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// After each step: for tests, whose worlds are small.
    EachStep,
    /// Once in a second of virtual time.
    Often,
}

impl Simulation {
    /// What happened to a proxy's budget during one piece of news.
    pub(super) fn check_budget(&mut self, proxy: u16, before: BudgetLevel, after: BudgetLevel) {
        let Some(proxy) = self.proxies.get(usize::from(proxy)) else { return };
        let settings = &proxy.upstream.settings().budget;
        let share = settings.ceiling.of(u64::from(after.calls));
        let allowed = share.max(u64::from(settings.floor));
        if after.extra > before.extra && u64::from(after.extra) > allowed {
            let what = format!("{} extra attempts, where {allowed} are allowed", after.extra);
            self.outcome.violations.add(self.now, what);
        }
        if after.tokens > after.capacity {
            let what = format!("{} tokens in a bucket of {}", after.tokens, after.capacity);
            self.outcome.violations.add(self.now, what);
        }
    }

    /// A call after its news: it is over, or something will happen to it.
    pub(super) fn check_call(&mut self, key: Key) {
        let Some(running) = self.calls.get(key) else { return };
        // A cancelled attempt's news stands in the line already.
        let waits = self.news.iter().any(|(call, _)| *call == key);
        if !running.call.is_over()
            && running.call.next_deadline().is_none()
            && running.delivering.is_none()
            && !waits
        {
            self.outcome.violations.add(self.now, "a call waits without a deadline".to_owned());
        }
    }

    /// A call that is over ended once.
    pub(super) fn check_ending(&mut self, key: Key) {
        let ends = self.calls.get(key).map_or(1, |running| running.ends);
        if ends != 1 {
            self.outcome.violations.add(self.now, format!("a call ended {ends} times"));
        }
    }

    pub(super) fn check_now_and_then(&mut self) {
        if self.checks == Checks::EachStep || self.now.since(self.checked_at) >= SOMETIMES {
            self.checked_at = self.now;
            self.check_permits();
        }
    }

    /// Each attempt that is out holds a permit. An answer that is being delivered does too, unless it is one that was
    /// kept while others were tried.
    fn check_permits(&mut self) {
        let endpoints = self.servers.len();
        let mut counts = vec![(0_u32, 0_u32); self.proxies.len() * endpoints];
        let place =
            |proxy: u16, endpoint: u16| usize::from(proxy) * endpoints + usize::from(endpoint);
        for (_, running) in self.calls.iter() {
            for (_, flight) in &running.live {
                if let Some(flight) = self.flights.get(*flight)
                    && let Some(count) = counts.get_mut(place(flight.proxy, flight.endpoint.0))
                {
                    count.0 += 1;
                }
            }
            if let Some(head) = running.delivering
                && let Some(count) = counts.get_mut(place(running.proxy, head.endpoint.0))
            {
                count.1 += 1;
            }
        }
        let mut wrong = Vec::new();
        for (proxy, counts) in self.proxies.iter().zip(counts.chunks(endpoints.max(1))) {
            for (view, (out, delivering)) in proxy.upstream.view(self.now).iter().zip(counts) {
                if !(*out..=out + delivering).contains(&view.in_flight) {
                    wrong.push(format!(
                        "{} permits at {}, where {out} attempts are out and {delivering} answers are delivered",
                        view.in_flight, view.name
                    ));
                }
            }
        }
        wrong.into_iter().for_each(|what| self.outcome.violations.add(self.now, what));
    }

    /// At the end every call is over, unless its body takes longer than a run waits.
    pub(super) fn check_the_end(&mut self) {
        if self.now < self.ends_at {
            return;
        }
        let open = self.calls.iter().filter(|(_, running)| !running.is_counted);
        let (bodies, lost) = open.fold((0, 0), |(bodies, lost): (u64, u64), (_, running)| {
            match running.delivering {
                Some(_) => (bodies + 1, lost),
                None => (bodies, lost + 1),
            }
        });
        for _ in 0..bodies + lost {
            self.outcome.call_ended(None, self.now);
        }
        if lost > 0 {
            self.outcome.violations.add(self.now, format!("{lost} calls never ended"));
        }
        let (started, ended) = (self.outcome.started, self.outcome.good + self.outcome.bad);
        if started != ended {
            let what = format!("{started} calls began, and {ended} ended");
            self.outcome.violations.add(self.now, what);
        }
    }
}

/// Often enough that a lost permit is seen near its cause.
const SOMETIMES: Duration = Duration::from_secs(1);
