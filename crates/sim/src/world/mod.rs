//! The world: who calls, who answers, what lies between, and what breaks when.
//!
//! ```toml
//! [world]
//! name = "gray-failure"
//! about = "one of three endpoints answers half of its calls badly, and fast"
//! seed = 1
//! duration = "60s"             # calls begin for so long; those that are out then may end
//!
//! [load]
//! arrivals = "poisson"         # or constant, bursts, closed, trace
//! rate = 200                   # calls a second, the whole fleet together
//! proxies = 3                  # each with its own state, as processes have
//! writes = 0.1                 # share of calls that mustn't be done twice
//!
//! [[endpoint]]
//! name = "a"
//! workers = 16                 # calls served at a time; left out: without limit
//! queue = 100                  # calls that may wait for a worker; more get 503
//! service = "exponential=20ms"
//!
//! [network]
//! latency = "1ms"              # one way
//!
//! [[fault]]
//! at = "20s"
//! for = "20s"
//! endpoint = "a"
//! what = "status code=500 ratio=0.5"   # the lab's own words
//! ```
//!
//! `read` makes a [`World`] of such a text; everything in one is within its bounds, and every name resolves.

mod read;
mod tree;

use std::sync::Arc;
use std::time::Duration;

use mainstay_lab::{Invalid, Ratio, Rule};

use crate::spread::Spread;

/// Everything about a simulated world except the policy that is tried in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// What it is called.
    pub name: String,
    /// What happens in it, in a line.
    pub about: String,
    /// Where all chance comes from.
    pub seed: u64,
    /// For how long calls begin. 100 ms to 24 h.
    pub duration: Duration,
    /// Who calls.
    pub load: Load,
    /// Who answers. 1 to 256.
    pub endpoints: Vec<Endpoint>,
    /// What lies between.
    pub network: Network,
    /// Names of the zones; a [`Zone`] is a place in this list. The first is where everything is that names none.
    pub zones: Vec<String>,
    /// What breaks.
    pub faults: Vec<Fault>,
}

/// A place in [`World::zones`].
pub type Zone = usize;

/// Who calls, how often, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// When calls begin.
    pub arrivals: Arrivals,
    /// Processes that run the policy, each with its own state. 1 to 1000, default 1.
    pub proxies: u16,
    /// Where they are, in turn. Never empty.
    pub zones: Vec<Zone>,
    /// The share of calls that mustn't be done twice (POST); the others are GETs. Default none.
    pub writes: Ratio,
    /// The share of writes that carry an idempotency key and may be done twice. Default none.
    pub keyed: Ratio,
    /// When the application goes away. Default never.
    pub patience: Option<Duration>,
    /// Times at which there is more, or less.
    pub surges: Vec<Surge>,
}

/// When calls begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly spaced.
    Constant {
        /// Calls in a thousand seconds.
        rate_milli: u64,
    },
    /// Independent of each other, as from many sources.
    Poisson {
        /// Calls in a thousand seconds.
        rate_milli: u64,
    },
    /// So many at once, again and again.
    Bursts {
        /// How many.
        size: u32,
        /// How often.
        every: Duration,
    },
    /// Clients each of which waits for its answer, thinks, and calls again.
    Closed {
        /// How many, the whole fleet together.
        clients: u32,
        /// For how long each thinks.
        think: Spread,
    },
    /// As they were recorded.
    Trace(Arc<[Recorded]>),
}

/// A call of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Counted from the start of the trace.
    pub at: Duration,
    /// Whether it is a write.
    pub is_write: bool,
    /// Whether it carries an idempotency key, if it is a write; `None`: by the load's share of keyed writes.
    pub has_key: Option<bool>,
}

/// A time at which there is more load, or less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Surge {
    /// From when.
    pub at: Duration,
    /// For how long.
    pub lasting: Duration,
    /// In hundredths of the usual rate.
    pub percent: u32,
}

/// A server and what is in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub zone: Zone,
    /// Failover rank, unless the policy's file says another.
    pub tier: u8,
    /// Share of the tier's calls, unless the policy's file says another.
    pub weight: u16,
    /// Calls served at a time; `None`: without limit.
    pub workers: Option<u32>,
    /// Calls that may wait for a worker; more are answered 503. Default 100.
    pub queue: u32,
    /// How long a worker is busy with a call. Default 10 ms.
    pub service: Spread,
    /// Whether that grows with the queue: × (1 + waiting / workers). Default false.
    pub collapse: bool,
    /// A cache that is empty after each restart.
    pub cache: Option<Cache>,
    /// How many calls it takes; the rest is answered 429.
    pub rate_limit: Option<RateLimit>,
    /// From the head of an answer to the end of its body. Default zero.
    pub body: Duration,
    /// Whether it speaks TLS. Default true.
    pub tls: bool,
    /// Whether it speaks HTTP/2. Default false.
    pub h2: bool,
}

/// A cache that fills as calls are served, and is empty after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cache {
    /// Calls after which it is full: before, the share of misses falls evenly.
    pub fill: u32,
    /// What a miss adds to the service time.
    pub miss: Duration,
    /// Whether it is full at the start. Default true.
    pub warm: bool,
}

/// A bucket of tokens in front of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Calls in a thousand seconds.
    pub rate_milli: u64,
    /// Calls that it takes at once after a pause.
    pub burst: u32,
    /// When those that are turned away may come back, in whole seconds; `None`: it doesn't say.
    pub retry_after: Option<Duration>,
}

/// What lies between proxies and endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Within a zone.
    pub near: Way,
    /// Between two zones that [`Network::links`] doesn't name.
    pub far: Way,
    /// Between these two zones, either way.
    pub links: Vec<(Zone, Zone, Way)>,
}

/// A way, one direction of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// How long a message takes.
    pub latency: Duration,
    /// At most so much longer, each message.
    pub jitter: Duration,
    /// The share of messages that are lost and sent again, after 200 ms, 400 ms and so on (a SYN after 1 s, 2 s).
    pub loss: Ratio,
}

/// Something breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From when.
    pub at: Duration,
    /// For how long; `None`: to the end.
    pub lasting: Option<Duration>,
    /// Where.
    pub target: Target,
    /// What.
    pub rule: Rule,
}

/// Where something breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At these endpoints, as places in [`World::endpoints`].
    Endpoints(Vec<usize>),
    /// On the way between two zones: `blackhole` or `slow`.
    Between(Zone, Zone),
}

impl World {
    /// Reads a world from its text. Files that it names are relative to `folder`.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it, each with its line, its value and what is allowed.
    pub fn parse(text: &str, folder: Option<&std::path::Path>) -> Result<Self, Invalid> {
        read::parse(text, folder)
    }

    /// When the first thing breaks or surges, and when the last one is over. `None` when nothing does.
    #[must_use]
    pub fn trouble(&self) -> Option<(Duration, Duration)> {
        let faults = self.faults.iter().map(|fault| (fault.at, fault.lasting));
        let surges = self.load.surges.iter().map(|surge| (surge.at, Some(surge.lasting)));
        let spans = faults.chain(surges).map(|(at, lasting)| {
            let until = lasting.map_or(self.duration, |lasting| at + lasting);
            (at, until.min(self.duration))
        });
        spans.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
    }
}
