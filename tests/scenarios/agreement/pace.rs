//! Time and chance, of which a real machine has its own: the worlds in which a plan is tried.
//!
//! What the real proxy meets besides the scenario's faults can't be foreseen: calls come in bunches and answers are late when the machine is
//! busy, and a kept connection may end just as it is used. So a plan is tried at several paces with many seeds, and what is looked for is whether
//! the engine decides so in *one* of these worlds.

use std::time::Duration;

use mainstay_core::Chance;
use mainstay_core::time::nanos;
use mainstay_lab::{Delay, Ending, Fault as Misdeed, Ratio, Rule, Scope};
use mainstay_sim::world::{Arrivals, Fault, Network, Target, Way};
use mainstay_sim::{Spread, World};

use super::plan::{Plan, Planned};

/// How a machine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Nothing else is done.
    Quiet,
    /// Calls and answers are late, each in its own way.
    Busy,
    /// The machine stands still for moments, and all calls that were due then begin together.
    Jerking,
    /// Kept connections end as they are used, with a proof that nothing was taken.
    Closing,
    /// The same without a proof.
    Resetting,
    /// Now and then an answer comes later than an attempt may take.
    Stalling,
}

impl Pace {
    pub(crate) const ALL: [Self; 6] =
        [Self::Quiet, Self::Busy, Self::Jerking, Self::Closing, Self::Resetting, Self::Stalling];

    /// A world at this pace, and its calls in the order in which they begin there.
    pub(crate) fn world(self, plan: &Plan, seed: u64) -> (World, Vec<Planned>) {
        let mut chance = Chance::from_seed(seed);
        let mut world = World { seed, ..plan.world.clone() };
        let Delays { latency, late, service } = self.delays();
        let near = Way { latency, jitter: late, ..Network::default().near };
        world.network = Network { near, far: near, links: Vec::new() };
        for endpoint in &mut world.endpoints {
            // Servers are never equally fast, and the balancing sees to it.
            endpoint.service = Spread::Exponential(chance.up_to(service));
        }
        self.spoil(&mut world, plan);
        let mut calls = plan.calls.clone();
        let moment = self.moment(&mut chance);
        for Planned { begins, call, .. } in &mut calls {
            // Together with the first of its moment, for a load isn't over before its last call.
            call.at -= remainder(call.at - *begins, moment);
            call.at += chance.up_to(late);
        }
        calls.sort_by_key(|planned| planned.call.at);
        world.duration += late;
        world.load.arrivals = Arrivals::Trace(calls.iter().map(|planned| planned.call).collect());
        (world, calls)
    }

    /// What every server does now and then.
    fn spoil(self, world: &mut World, plan: &Plan) {
        if let Some(ending) = self.ending() {
            for fault in &mut world.faults {
                if let Misdeed::CloseIdle { with, .. } = &mut fault.rule.fault {
                    *with = ending;
                }
            }
        }
        let Some(rule) = self.rule(plan) else { return };
        let target = Target::Endpoints((0..world.endpoints.len()).collect());
        // First in the list, and so asked last: the scenario's own faults come before.
        world.faults.insert(0, Fault { at: Duration::ZERO, lasting: None, target, rule });
    }

    fn rule(self, plan: &Plan) -> Option<Rule> {
        let timeout = plan.policy.reads.attempt_timeout;
        match self {
            Self::Quiet | Self::Busy | Self::Jerking => None,
            Self::Closing | Self::Resetting => {
                let with = self.ending()?;
                let fault = Misdeed::CloseIdle { after: MS, jitter: ms(40), with, hint: false };
                Some(fault.into())
            }
            // No machine that runs tests is busy for ten seconds.
            Self::Stalling if timeout > LONG => None,
            Self::Stalling => {
                let fault = Misdeed::Slow(Delay::Fixed(timeout + ms(50)));
                let scope = Scope { ratio: Ratio::from_millionths(20_000), ..Scope::default() };
                Some(Rule { scope, ..Rule::from(fault) })
            }
        }
    }

    /// For how long the machine stands still, again and again.
    fn moment(self, chance: &mut Chance) -> Option<Duration> {
        match self {
            Self::Quiet | Self::Busy | Self::Closing | Self::Resetting | Self::Stalling => None,
            Self::Jerking => Some(ms(20) + chance.up_to(ms(200))),
        }
    }

    const fn delays(self) -> Delays {
        let zero = Duration::ZERO;
        match self {
            Self::Quiet => Delays { latency: LATENCY, late: zero, service: MS },
            Self::Busy => Delays { latency: LATENCY, late: ms(30), service: ms(20) },
            Self::Jerking | Self::Stalling => {
                Delays { latency: LATENCY, late: ms(3), service: ms(2) }
            }
            // The longer the way, the more often a close crosses a request.
            Self::Closing | Self::Resetting => Delays { latency: MS, late: ms(3), service: ms(2) },
        }
    }

    /// How idle connections end, where that is what makes the pace.
    const fn ending(self) -> Option<Ending> {
        match self {
            Self::Quiet | Self::Busy | Self::Jerking | Self::Stalling => None,
            Self::Closing => Some(Ending::Fin),
            Self::Resetting => Some(Ending::Reset),
        }
    }
}

/// What takes how long.
struct Delays {
    latency: Duration,
    /// By how much a call and a message are late at most.
    late: Duration,
    /// What a server takes at most, on average.
    service: Duration,
}

/// How far a time is into its moment.
fn remainder(time: Duration, moment: Option<Duration>) -> Duration {
    let Some(moment) = moment else { return Duration::ZERO };
    Duration::from_nanos(nanos(time) % nanos(moment).max(1))
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const MS: Duration = ms(1);

/// Between two programs of one machine.
const LATENCY: Duration = Duration::from_micros(50);

/// A timeout that isn't met by being busy.
const LONG: Duration = Duration::from_secs(1);
