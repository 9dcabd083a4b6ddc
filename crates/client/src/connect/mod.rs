//! Establishing: from a host name to a connection that can carry requests.
//!
//! The steps are those of a break's phases, in their order, and each has its own errors:
//!
//! ```text
//! place -> resolve (names only) -> connect (a race over all addresses) -> tls (https only) -> transport
//! ```
//!
//! One timeout bounds all of them together; whichever step it ends names the break. Nothing of a request has been
//! sent before the last step is done, so every break here has the certainty `not-sent`.

mod danger;
mod look;
mod place;
mod race;
mod resolve;
mod system;
mod tcp;
mod tls;
mod transport;
mod trust;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mainstay_config::settings::{ConnectSettings, Endpoint, Scheme};
use mainstay_core::establish::History;
use mainstay_core::{BreakKind, Certainty, Timestamp};
use mainstay_record::{Step, StepName, StepOutcome};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub(crate) use look::{Reached, Shown};
pub(crate) use place::{Place, Places};
pub use resolve::Addresses;
pub(crate) use resolve::{FamilyLookup, LookedUp};
pub(crate) use system::Seen;
pub use system::TcpInfo;
pub(crate) use transport::{Meter, Transport};
pub use trust::TargetError;

use crate::Clock;
use crate::broken::Broken;
use race::{Try, interleave, race};
use resolve::Resolution;
use tcp::TcpOptions;
use tls::Tls;
use transport::Socket;

/// Makes connections to one endpoint.
#[derive(Debug)]
pub(crate) struct Connector {
    host: Host,
    port: u16,
    connect_timeout: Duration,
    tls_timeout: Duration,
    race_delay: Duration,
    tcp: TcpOptions,
    history: Mutex<History>,
    close_evidence: bool,
    tls: Option<Tls>,
    places: Arc<Places>,
}

/// A connection, and how it came about.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) transport: Transport,
    /// The steps that led to it, for the record.
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug)]
enum Host {
    Address(IpAddr),
    Name(Arc<Resolution>),
}

impl Connector {
    pub(crate) fn new(
        endpoint: &Endpoint,
        settings: &ConnectSettings,
    ) -> Result<Self, TargetError> {
        let tls = match endpoint.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(Tls::new(&endpoint.host, &settings.tls, settings.http2)?),
        };
        let host = endpoint
            .host
            .parse()
            .map_or_else(|_| Host::Name(Resolution::new(&endpoint.host, settings)), Host::Address);
        Ok(Self {
            host,
            port: endpoint.port,
            connect_timeout: settings.connect_timeout,
            tls_timeout: settings.tls_timeout,
            race_delay: settings.race_delay,
            history: Mutex::default(),
            tcp: TcpOptions::new(settings),
            close_evidence: settings.close_evidence,
            tls,
            places: Places::new(settings.pool.max_connections),
        })
    }

    /// When the certificate that the endpoint last showed ends, in seconds since 1970.
    pub(crate) fn certificate_ends_at(&self) -> Option<u64> {
        self.tls.as_ref().and_then(Tls::certificate_ends_at)
    }

    /// The places of its connections.
    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// A new connection in `place`.
    pub(crate) async fn connect(&self, place: Place) -> Result<Connected, Broken> {
        let mut steps = Vec::new();
        match self.walk(place, &mut steps).await {
            Ok(transport) => {
                self.places.note_opened();
                Ok(Connected { transport, steps })
            }
            Err(broken) => Err(Broken { steps, ..broken }),
        }
    }

    async fn walk(&self, place: Place, steps: &mut Vec<Step>) -> Result<Transport, Broken> {
        let until = Instant::now() + self.connect_timeout;
        let addresses = self.addresses(until, steps).await?;
        let tcp = self.tcp(&addresses, until, steps).await?;
        let socket = Socket::new(tcp, place, self.close_evidence);
        let Some(tls) = &self.tls else { return Ok(Transport::Plain(socket)) };
        let started_at = Clock::now();
        let until = until.min(Instant::now() + self.tls_timeout);
        let secured = timeout_at(until, tls.handshake(socket)).await;
        let secured = secured.unwrap_or_else(|_| Err(late(BreakKind::TlsTimeout, None)));
        steps.push(step(StepName::Tls, started_at, &secured, |stream| Some(tls::describe(stream))));
        Ok(Transport::Tls(Box::new(secured?)))
    }

    async fn addresses(
        &self,
        until: Instant,
        steps: &mut Vec<Step>,
    ) -> Result<Vec<IpAddr>, Broken> {
        let resolution = match &self.host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name(resolution) => resolution,
        };
        let started_at = Clock::now();
        let found = resolution.addresses(until).await;
        steps.push(step(StepName::Resolve, started_at, &found, |usable| Some(usable.to_string())));
        Ok(found?.addresses)
    }

    async fn tcp(
        &self,
        addresses: &[IpAddr],
        until: Instant,
        steps: &mut Vec<Step>,
    ) -> Result<TcpStream, Broken> {
        let mut addresses = interleave(addresses, self.port);
        self.history.lock().order(&mut addresses, SocketAddr::ip, Clock::now());
        let mut tries = Vec::new();
        let racing =
            race(&addresses, self.race_delay, &mut tries, |address| self.tcp.connect(address));
        let raced = timeout_at(until, racing).await;
        let now = Clock::now();
        self.remember(&tries, now);
        steps.extend(tcp::steps(&tries, now));
        match raced {
            Ok(Some(tcp)) => Ok(tcp),
            Ok(None) => Err(tcp::broken(&tries)),
            Err(_) => Err(late(BreakKind::ConnectTimeout, Some(tcp::describe(&tries)))),
        }
    }

    /// Remembers how the addresses did. One that was out when another one, started later, had won is slow or dead; one
    /// that started after the winner says nothing.
    fn remember(&self, tries: &[Try], now: Timestamp) {
        let mut history = self.history.lock();
        let mut any_won = false;
        for tried in tries {
            any_won |= tried.won();
            if tried.won() {
                history.on_good(tried.address.ip());
            } else if tcp::is_local_fault(tried) {
                // Out of descriptors or ports: says nothing of the address.
            } else if tried.error().is_some() || !any_won {
                history.on_bad(tried.address.ip(), now);
            }
        }
    }

    /// Looks the name up again where its addresses have outlived their TTL and there are connections to be judged by them.
    pub(crate) fn refresh(&self, now: Timestamp) {
        if let Host::Name(resolution) = &self.host
            && self.places.taken() > 0
        {
            resolution.refresh(now);
        }
    }

    /// The name's state, if the host is a name.
    pub(crate) fn resolution(&self) -> Option<&Arc<Resolution>> {
        match &self.host {
            Host::Address(_) => None,
            Host::Name(resolution) => Some(resolution),
        }
    }
}

/// A step that ended now.
fn step<T>(
    name: StepName,
    started_at: Timestamp,
    outcome: &Result<T, Broken>,
    describe: impl FnOnce(&T) -> Option<String>,
) -> Step {
    let outcome = match outcome {
        Ok(done) => StepOutcome::Done(describe(done)),
        Err(broken) => StepOutcome::Broke(broken.what.kind, broken.details.clone()),
    };
    Step { name, started_at, took: Clock::now().since(started_at), outcome }
}

fn late(kind: BreakKind, details: Option<String>) -> Broken {
    Broken {
        details: details.filter(|text| !text.is_empty()),
        ..Broken::new(kind, Certainty::NotSent)
    }
}
