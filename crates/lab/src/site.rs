//! What all connections of one server share: its rule, its dice, its line in the oracle's books.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::header;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::active::Active;
use crate::api::Request;
use crate::fault::{Delay, Ending, Fault, LONGEST, Rule, TlsTrouble};
use crate::oracle::{Entry, Oracle};
use crate::rng::Rng;

/// The shared state of one server.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) h2: bool,
    pub(crate) oracle: Oracle,
    pub(crate) rules: watch::Sender<Arc<Active>>,
    /// The version of the last rule that the listener follows.
    pub(crate) applied: watch::Sender<u64>,
    listening: AtomicBool,
    dice: Mutex<Rng>,
    /// Apart from the others, so that idle times don't shift what happens to requests.
    idle_dice: Mutex<Rng>,
}

impl Site {
    pub(crate) fn new(name: &str, h2: bool, seed: u64, oracle: Oracle) -> Self {
        let healthy = Active::new(Fault::Healthy.into(), 0, Instant::now());
        Self {
            name: name.to_owned(),
            h2,
            oracle,
            rules: watch::Sender::new(Arc::new(healthy)),
            applied: watch::Sender::new(0),
            listening: AtomicBool::new(true),
            dice: Mutex::new(Rng::named(seed, name)),
            idle_dice: Mutex::new(Rng::named(!seed, name)),
        }
    }

    /// Changes the rule for all requests from now on; returns its version for [`Site::wait_applied`].
    pub(crate) fn publish(&self, rule: Rule) -> u64 {
        let mut version = 0;
        self.rules.send_modify(|active| {
            version = active.version + 1;
            *active = Arc::new(Active::new(rule, version, Instant::now()));
        });
        version
    }

    /// Waits until the listener follows this rule or a later one.
    pub(crate) async fn wait_applied(&self, version: u64) {
        // It fails only when the server has been shut down, and then there is nothing to wait for.
        let _ = self.applied.subscribe().wait_for(|applied| *applied >= version).await;
    }

    pub(crate) fn active(&self) -> Arc<Active> {
        self.rules.borrow().clone()
    }

    /// The fault that meets this request, with the rule it comes from.
    pub(crate) fn fault_for(&self, request: &Request) -> (Fault, Arc<Active>) {
        let active = self.active();
        let Rule { scope, others, .. } = &active.rule;
        let others = others.iter().map(|other| (&other.fault, &other.scope));
        let rules = std::iter::once((active.fault(Instant::now()), scope)).chain(others);
        let entry = self.entry(request);
        let met = rules.enumerate().find(|(place, (_, scope))| {
            scope.covers(entry.method, entry.path, entry.asks_range)
                && scope.ratio.draw(&mut self.dice())
                && active.takes_one(*place, scope.times)
        });
        let fault = met.map_or(Fault::Healthy, |(_, (fault, _))| fault.clone());
        (fault, active)
    }

    /// Whether, and how, a connection ends that is used again just now.
    pub(crate) fn ending_on_reuse(&self) -> Option<Ending> {
        let active = self.active();
        match active.fault(Instant::now()) {
            Fault::CloseOnReuse { with } if active.rule.scope.ratio.draw(&mut self.dice()) => {
                Some(*with)
            }
            _ => None,
        }
    }

    /// When a connection that is idle since then has to close, as far as is known now.
    ///
    /// `spread` (0 to 1) says how much of the jitter this idle time gets.
    pub(crate) fn idle_until(&self, idle_since: Instant, spread: f64) -> IdleUntil {
        let active = self.active();
        let now = Instant::now();
        let close_at = match active.fault(now) {
            Fault::CloseIdle { after, jitter, .. } => {
                Some(idle_since + after.saturating_add(jitter.mul_f64(spread)).min(LONGEST))
            }
            _ => None,
        };
        IdleUntil { close_at, look_again_at: active.next_turn_at(now) }
    }

    /// How a connection ends that was idle for too long.
    pub(crate) fn ending_of_idle(&self) -> Ending {
        match self.active().fault(Instant::now()) {
            Fault::CloseIdle { with, .. } => *with,
            _ => Ending::Fin,
        }
    }

    /// What is wrong with the next TLS handshake, if the rule says so.
    pub(crate) fn tls_trouble(&self) -> Option<TlsTrouble> {
        match self.active().fault(Instant::now()) {
            Fault::Tls(trouble) => Some(*trouble),
            _ => None,
        }
    }

    /// How many streams a new HTTP/2 connection allows, if the rule says so.
    pub(crate) fn streams_limit(&self) -> Option<u32> {
        match self.active().fault(Instant::now()) {
            Fault::H2MaxStreams { n } => Some(*n),
            _ => None,
        }
    }

    /// The shortest time between two PINGs, if the rule knows one.
    pub(crate) fn pings_at_most_every(&self) -> Option<std::time::Duration> {
        match self.active().fault(Instant::now()) {
            Fault::H2PingPolicy { every } => Some(*every),
            _ => None,
        }
    }

    /// A number from 0 to 1.
    pub(crate) fn spread(&self) -> f64 {
        self.idle_dice.lock().unwrap_or_else(PoisonError::into_inner).next_unit()
    }

    pub(crate) fn delay(&self, delay: Delay) -> std::time::Duration {
        delay.draw(&mut self.dice())
    }

    /// Draws something by this server's dice.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.dice())
    }

    pub(crate) fn garbage(&self, count: usize) -> Vec<u8> {
        self.dice().bytes(count)
    }

    pub(crate) fn entry<'a>(&'a self, request: &'a Request) -> Entry<'a> {
        Entry {
            server: &self.name,
            id: request.id(),
            method: request.method.as_str(),
            path: &request.path,
            asks_range: request.headers.contains_key(header::RANGE),
            is_health_check: request.path == HEALTH_PATH,
        }
    }

    pub(crate) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    pub(crate) fn note_listening(&self, listening: bool) {
        self.listening.store(listening, Ordering::Relaxed);
    }

    fn dice(&self) -> std::sync::MutexGuard<'_, Rng> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Site::idle_until`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdleUntil {
    pub(crate) close_at: Option<Instant>,
    pub(crate) look_again_at: Option<Instant>,
}

/// Where a monitor asks.
pub(crate) const HEALTH_PATH: &str = "/healthz";
