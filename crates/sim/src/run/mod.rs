//! A run: one event after the other, until all calls are over.
//!
//! ```text
//!   arrivals ──▶ call ──▶ attempt ──▶ connect ──▶ request on its way ──▶ server ──▶ answer on its way ──▶ call
//!                 ▲                                                                                       │
//!                 └──────────────── deadlines, patience, the end of the body ◀────────────────────────────┘
//! ```
//!
//! `calls` drives the machines, as `client::driver` does with real sockets; `flights` moves what is on its way;
//! `watch` does what `client::service` does: looks at statistics, makes checks; `faults` begins and ends them;
//! `checks` looks after each step whether the rules hold; `journal` keeps what was told, if it is wanted.

mod calls;
mod checks;
mod faults;
mod flights;
mod journal;
mod line;
mod pool;
mod watch;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::line::Ticket;
use mainstay_core::{Break, Chance, Timestamp, Upstream};
use mainstay_lab::{FNV_OFFSET, fnv1a};

use crate::agenda::Agenda;
use crate::arrivals::{Group, Stream};
use crate::outcome::{Outcome, Report};
use crate::policy::Policy;
use crate::roads::Roads;
use crate::server::Server;
use crate::slab::{Key, Slab};
use crate::world::{Arrivals, World, Zone};
use calls::{News, Running};
use flights::Flight;
use line::Lineup;
use pool::Pool;

pub use checks::Checks;
pub use journal::{Entry, Happened, Journal};

/// A world and a policy, on their way through virtual time.
#[derive(Debug)]
pub struct Simulation {
    world: World,
    policy: Policy,
    now: Timestamp,
    /// No call begins after it.
    ends_at: Timestamp,
    agenda: Agenda<Happening>,
    arrivals: Stream,
    /// What calls are, and at which proxy they begin.
    mix: Chance,
    /// How long clients think.
    thinking: Chance,
    proxies: Vec<Proxy>,
    servers: Vec<Server>,
    roads: Roads,
    calls: Slab<Running>,
    flights: Slab<Flight>,
    /// News that no machine has been told yet.
    news: VecDeque<(Key, News)>,
    checks: Checks,
    checked_at: Timestamp,
    journal: Option<Journal>,
    outcome: Outcome,
}

/// A process that runs the policy.
#[derive(Debug)]
struct Proxy {
    upstream: Arc<Upstream>,
    chance: Chance,
    zone: Zone,
    /// Kept connections, by endpoint.
    pools: Vec<Pool>,
    /// The last look at the upstream that was planned; earlier plans are stale.
    watch: u32,
    lineup: Lineup,
}

/// What can happen.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// Calls begin.
    Arrival(Group),
    /// A client that waits for its answers calls.
    Client(u32),
    /// A call's deadline, if it is still this one.
    Deadline {
        call: Key,
        number: u32,
    },
    /// It is too late for a call that waits in line, if it still does.
    TooLate {
        call: Key,
        ticket: Ticket,
    },
    /// An application loses its patience.
    Impatience(Key),
    /// A connection is there.
    Connected(Key),
    /// A connection isn't.
    NotConnected(Key, Break),
    /// A request arrives at its server.
    Reaches(Key),
    /// A worker is done, if it is still the same server.
    Served {
        flight: Key,
        life: u32,
    },
    /// What became of a request arrives at its proxy.
    Returns(Key),
    /// The body of a call's answer ends.
    BodyEnds(Key),
    /// A proxy looks at its upstream.
    Watch {
        proxy: u16,
        number: u32,
    },
    /// A check has taken too long.
    CheckTimeout(Key),
    /// A fault of the world begins, turns by itself, or ends.
    FaultBegins(usize),
    FaultTurns(usize),
    FaultEnds(usize),
}

impl Simulation {
    /// A run that is about to begin.
    #[must_use]
    pub fn new(world: &World, policy: &Policy, checks: Checks) -> Self {
        let source =
            |name: &str| Chance::from_seed(world.seed ^ fnv1a(FNV_OFFSET, name.as_bytes()));
        let proxies = (0..world.load.proxies).map(|number| {
            let mut chance = source(&format!("proxy {number}"));
            let zone = usize::from(number) % world.load.zones.len().max(1);
            Proxy {
                upstream: Upstream::new(policy.upstream.clone(), Timestamp::ZERO, &mut chance),
                chance,
                zone: world.load.zones.get(zone).copied().unwrap_or_default(),
                pools: world.endpoints.iter().map(|_| Pool::default()).collect(),
                watch: 0,
                lineup: Lineup::new(policy.upstream.load.line.clone()),
            }
        });
        let servers = world.endpoints.iter().map(|endpoint| {
            Server::new(endpoint.clone(), source(&format!("endpoint {}", endpoint.name)))
        });
        let mut run = Self {
            now: Timestamp::ZERO,
            ends_at: Timestamp::ZERO + world.duration,
            agenda: Agenda::new(),
            arrivals: Stream::new(world.load.clone(), source("arrivals")),
            mix: source("mix"),
            thinking: source("thinking"),
            proxies: proxies.collect(),
            servers: servers.collect(),
            roads: Roads::new(world.network.clone(), source("network")),
            calls: Slab::new(),
            flights: Slab::new(),
            news: VecDeque::new(),
            checks,
            checked_at: Timestamp::ZERO,
            journal: None,
            outcome: Outcome::new(world.duration),
            world: world.clone(),
            policy: policy.clone(),
        };
        run.plan_the_beginning();
        run
    }

    fn plan_the_beginning(&mut self) {
        for (number, fault) in self.world.faults.iter().enumerate() {
            self.agenda.put(Timestamp::ZERO + fault.at, Happening::FaultBegins(number));
        }
        for proxy in 0..self.world.load.proxies {
            self.agenda.put(Timestamp::ZERO, Happening::Watch { proxy, number: 0 });
        }
        if let Arrivals::Closed { clients, .. } = self.world.load.arrivals {
            for client in 0..clients {
                self.plan_client(client, true);
            }
        }
        self.plan_arrival();
    }

    /// Where the run is.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now.since(Timestamp::ZERO)
    }

    /// Runs to the end.
    #[must_use]
    pub fn run(mut self) -> Report {
        self.run_until(Duration::MAX);
        self.finish()
    }

    /// Runs until this time, or until all calls are over.
    pub fn run_until(&mut self, time: Duration) {
        let until = Timestamp::ZERO + time;
        while let Some(at) = self.agenda.next_at() {
            let is_over =
                at > self.ends_at && (self.calls.len() == 0 || at > self.patience_ends_at());
            if at > until || is_over {
                return;
            }
            if let Some((at, what)) = self.agenda.take() {
                self.now = at;
                self.happen(what);
                self.check_now_and_then();
            }
        }
    }

    /// Ends the run, wherever it is, and tells what came of it.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.check_the_end();
        Report::new(&self.world, &self.policy.name, &self.outcome)
    }

    /// When each call must have ended: its own deadline, its last wait, its body. Longer bodies are cut off.
    fn patience_ends_at(&self) -> Timestamp {
        let longest = self.policy.reads.total_timeout.max(self.policy.writes.total_timeout);
        self.ends_at + longest * 2 + self.policy.body_idle_timeout + Duration::from_secs(60)
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrival(group) => self.arrive(group),
            Happening::Client(client) => self.begin_call(None, None, Some(client)),
            Happening::Deadline { call, number } => self.on_deadline(call, number),
            Happening::TooLate { call, ticket } => self.on_too_late(call, ticket),
            Happening::Impatience(call) => self.tell(call, News::Gone),
            Happening::Connected(flight) => self.on_connected(flight),
            Happening::NotConnected(flight, what) => self.on_not_connected(flight, what),
            Happening::Reaches(flight) => self.on_reached(flight),
            Happening::Served { flight, life } => self.on_served(flight, life),
            Happening::Returns(flight) => self.on_returned(flight),
            Happening::BodyEnds(call) => self.on_body_end(call),
            Happening::Watch { proxy, number } => self.watch(proxy, number),
            Happening::CheckTimeout(flight) => self.on_check_timeout(flight),
            Happening::FaultBegins(number) => self.begin_fault(number),
            Happening::FaultTurns(number) => self.turn_fault(number),
            Happening::FaultEnds(number) => self.end_fault(number),
        }
    }

    fn arrive(&mut self, group: Group) {
        for _ in 0..group.size {
            self.begin_call(group.is_write, group.has_key, None);
        }
        self.plan_arrival();
    }

    fn plan_arrival(&mut self) {
        if let Some(group) = self.arrivals.next()
            && group.at <= self.ends_at
        {
            self.agenda.put(group.at, Happening::Arrival(group));
        }
    }
}
