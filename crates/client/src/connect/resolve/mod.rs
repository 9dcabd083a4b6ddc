//! Names into addresses, and what is remembered of them.
//!
//! [`Resolution`] is one target's name: core's [`Names`] decides what is used, asked and told; this module asks. A lookup
//! runs as a task of its own, one at a time for each target, so that a call that is cancelled while it waits doesn't take
//! the answer from the others. With addresses at hand no connect ever waits for a name server.

mod lookup;
mod seen;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_config::settings::ConnectSettings;
use mainstay_core::establish::{Change, Denied, Failure, Names, NamesSettings, Next};
use mainstay_core::{BreakKind, Certainty, Timestamp};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::Clock;
use crate::broken::Broken;
use lookup::{Found, Miss, Servers};
pub(crate) use seen::{FamilyLookup, LookedUp};

/// One target's name.
#[derive(Debug)]
pub(crate) struct Resolution {
    name: String,
    servers: Servers,
    timeout: Duration,
    names: Mutex<Names>,
    /// What the last lookup said, where it failed: for people.
    said: Mutex<Option<String>>,
    /// How the last lookup went, for people.
    looked_up: Mutex<Option<LookedUp>>,
    /// Counts lookups that have ended; whoever waits for one is woken.
    ended: watch::Sender<u64>,
    /// Moves when addresses leave: connections made before have to be looked at.
    left: AtomicU64,
    counts: [AtomicU64; OUTCOMES.len()],
}

/// Addresses to use, and how they are known.
#[derive(Debug)]
pub(super) struct Usable {
    pub(super) addresses: Vec<IpAddr>,
    /// Where they were kept from an earlier connect: how old they are.
    pub(super) kept_for: Option<Duration>,
}

/// What is known of an endpoint's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The addresses in use, in the order in which they were found.
    pub list: Vec<IpAddr>,
    /// How long ago they were found; nothing when there are none.
    pub age: Option<Duration>,
    /// Whether they have outlived their TTL and are used all the same.
    pub stale: bool,
    /// What broke the last lookup, and how long ago, if it broke.
    pub failure: Option<(BreakKind, Duration)>,
    /// Lookups that have ended, ever, by outcome: `found`, or the code of the break.
    pub lookups: [(&'static str, u64); 5],
}

impl std::fmt::Display for Usable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        f.write_str(&each.join(", "))?;
        match self.kept_for {
            None => Ok(()),
            Some(age) => write!(f, "; found {:.1} s ago", age.as_secs_f64()),
        }
    }
}

impl Resolution {
    pub(super) fn new(name: &str, settings: &ConnectSettings) -> Arc<Self> {
        let dns = &settings.dns;
        let names = NamesSettings { min_ttl: dns.min_ttl, max_ttl: dns.max_ttl };
        Arc::new(Self {
            name: name.to_owned(),
            servers: Servers::new(&dns.servers),
            timeout: settings.resolve_timeout.min(settings.connect_timeout),
            names: Mutex::new(Names::new(names)),
            said: Mutex::default(),
            looked_up: Mutex::default(),
            ended: watch::Sender::new(0),
            left: AtomicU64::new(0),
            counts: Default::default(),
        })
    }

    /// The addresses: those that are known, else those that a lookup finds until then.
    pub(super) async fn addresses(self: &Arc<Self>, until: Instant) -> Result<Usable, Broken> {
        let until = until.min(Instant::now() + self.timeout);
        let mut ended = self.ended.subscribe();
        let mut waited = false;
        loop {
            let now = Clock::now();
            match self.next(now) {
                (Next::Use | Next::UseAndLookUp, addresses, age) => {
                    return Ok(Usable { addresses, kept_for: age.filter(|_| !waited) });
                }
                (Next::Broken(failure), ..) => return Err(self.broken(failure, waited, now)),
                (Next::LookUp | Next::Wait, ..) => {
                    waited = true;
                    // Either way somebody is asking now. An error would mean that the sender is gone, which is ours.
                    if timeout_at(until, ended.changed()).await.is_err() {
                        return Err(Broken::new(BreakKind::ResolverTimeout, Certainty::NotSent));
                    }
                }
            }
        }
    }

    /// Looks up again where the addresses have outlived their TTL. For whoever watches while nobody connects.
    pub(super) fn refresh(self: &Arc<Self>, now: Timestamp) {
        let is_stale = {
            let names = self.names.lock();
            !names.addresses().is_empty() && names.is_stale(now)
        };
        if is_stale && tokio::runtime::Handle::try_current().is_ok() {
            self.next(now);
        }
    }

    /// What to do now, and the addresses with their age; a lookup that is due is begun.
    fn next(self: &Arc<Self>, now: Timestamp) -> (Next, Vec<IpAddr>, Option<Duration>) {
        let mut names = self.names.lock();
        let next = names.next(now);
        if matches!(next, Next::LookUp | Next::UseAndLookUp) {
            tokio::spawn(Lookup(Some(Arc::clone(self))).run());
        }
        (next, names.addresses().to_vec(), names.age(now))
    }

    fn broken(&self, failure: Failure, waited: bool, now: Timestamp) -> Broken {
        let said = self.said.lock().clone().unwrap_or_default();
        let details = if waited {
            said
        } else {
            let (ago, left) = (now.since(failure.at), failure.until.since(now));
            let (ago, left) = (ago.as_millis(), left.as_millis());
            format!("{said} ({ago} ms ago; not asked again for {left} ms)")
        };
        Broken::new(failure.kind, Certainty::NotSent).details(details)
    }

    fn settle(&self, outcome: Result<Found, Miss>, now: Timestamp) {
        let kind = outcome.as_ref().err().map(|miss| miss.kind);
        let place = OUTCOMES.iter().position(|known| *known == kind).unwrap_or_default();
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        let mut said = self.said.lock();
        let mut names = self.names.lock();
        let change = match outcome {
            Ok(found) => {
                *said = None;
                names.on_found(found.addresses, found.ttl, now)
            }
            Err(miss) => {
                *said = Some(miss.said);
                match miss.kind {
                    BreakKind::NameNotFound => {
                        names.on_denied(Denied { whole_name: true, ttl: miss.ttl }, now)
                    }
                    BreakKind::NoAddress => {
                        names.on_denied(Denied { whole_name: false, ttl: miss.ttl }, now)
                    }
                    kind => names.on_failed(kind != BreakKind::ResolverTimeout, now),
                }
            }
        };
        match change {
            Change::Nothing | Change::Kept => {}
            Change::Changed { .. } => {
                self.left.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How often the addresses have changed. A connection that was made at this count leads where the name does.
    pub(crate) fn changes(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    /// Whether the name still leads to this address.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.names.lock().leads_to(address)
    }

    /// How the last lookup went.
    pub(crate) fn looked_up(&self) -> Option<LookedUp> {
        self.looked_up.lock().clone()
    }

    /// What is known.
    pub(crate) fn view(&self, now: Timestamp) -> Addresses {
        let names = self.names.lock();
        let failure = names.failure();
        let count = |place: usize| {
            let code = OUTCOMES[place].map_or("found", BreakKind::code);
            (code, self.counts[place].load(Ordering::Relaxed))
        };
        Addresses {
            list: names.addresses().to_vec(),
            age: names.age(now),
            stale: !names.addresses().is_empty() && names.is_stale(now),
            failure: failure.map(|failure| (failure.kind, now.since(failure.at))),
            lookups: [count(0), count(1), count(2), count(3), count(4)],
        }
    }
}

/// A lookup that is out. Dropped before its end, as when its runtime ends, it lets somebody else ask.
struct Lookup(Option<Arc<Resolution>>);

impl Lookup {
    async fn run(mut self) {
        let Some(resolution) = self.0.clone() else { return };
        let looking = resolution.servers.look_up(&resolution.name, resolution.timeout);
        let (outcome, looked_up) = looking.await;
        *resolution.looked_up.lock() = Some(looked_up);
        self.0 = None;
        resolution.settle(outcome, Clock::now());
        resolution.ended.send_modify(|count| *count += 1);
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        if let Some(resolution) = &self.0 {
            resolution.names.lock().on_abandoned();
            resolution.ended.send_modify(|count| *count += 1);
        }
    }
}

/// What a lookup can come to; `None` is an answer.
const OUTCOMES: [Option<BreakKind>; 5] = [
    None,
    Some(BreakKind::NameNotFound),
    Some(BreakKind::NoAddress),
    Some(BreakKind::ResolverTimeout),
    Some(BreakKind::ResolverFailure),
];
