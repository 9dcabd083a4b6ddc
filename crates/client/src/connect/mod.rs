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
use mainstay_core::{BreakKind, Certainty, Timestamp};
use mainstay_record::{Step, StepName, StepOutcome};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub(crate) use look::{Reached, Shown};
pub(crate) use place::{Place, Places};
pub(crate) use system::Seen;
pub use system::TcpInfo;
pub(crate) use transport::{Meter, Transport};
pub use trust::TargetError;

use crate::Clock;
use crate::broken::Broken;
use race::{interleave, race};
use resolve::LastGood;
use tcp::TcpOptions;
use tls::Tls;
use transport::Socket;

/// Makes connections to one endpoint.
#[derive(Debug)]
pub(crate) struct Connector {
    host: Host,
    port: u16,
    connect_timeout: Duration,
    race_delay: Duration,
    tcp: TcpOptions,
    close_evidence: bool,
    tls: Option<Tls>,
    places: Arc<Places>,
}

/// A connection, and how it came about.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) transport: Transport,
    /// The address at its other end.
    #[expect(dead_code, reason = "for whoever keeps connections")]
    pub(crate) peer: SocketAddr,
    /// The steps that led to it, for the record.
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug)]
enum Host {
    Address(IpAddr),
    Name { name: String, last_good: LastGood },
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
        let host = endpoint.host.parse().map_or_else(
            |_| Host::Name { name: endpoint.host.clone(), last_good: LastGood::default() },
            Host::Address,
        );
        Ok(Self {
            host,
            port: endpoint.port,
            connect_timeout: settings.connect_timeout,
            race_delay: settings.race_delay,
            tcp: TcpOptions::new(settings),
            close_evidence: settings.close_evidence,
            tls,
            places: Places::new(settings.pool.max_connections),
        })
    }

    /// The places of its connections.
    pub(crate) fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// A new connection in `place`.
    pub(crate) async fn connect(&self, place: Place) -> Result<Connected, Broken> {
        let mut steps = Vec::new();
        match self.walk(place, &mut steps).await {
            Ok((transport, peer)) => {
                self.places.note_opened();
                Ok(Connected { transport, peer, steps })
            }
            Err(broken) => Err(Broken { steps, ..broken }),
        }
    }

    async fn walk(
        &self,
        place: Place,
        steps: &mut Vec<Step>,
    ) -> Result<(Transport, SocketAddr), Broken> {
        let until = Instant::now() + self.connect_timeout;
        let addresses = self.addresses(until, steps).await?;
        let (tcp, peer) = self.tcp(&addresses, until, steps).await?;
        let socket = Socket::new(tcp, place, self.close_evidence);
        let Some(tls) = &self.tls else { return Ok((Transport::Plain(socket), peer)) };
        let started_at = Clock::now();
        let secured = timeout_at(until, tls.handshake(socket)).await;
        let secured = secured.unwrap_or_else(|_| Err(late(BreakKind::TlsTimeout, None)));
        steps.push(step(StepName::Tls, started_at, &secured, |stream| Some(tls::describe(stream))));
        Ok((Transport::Tls(Box::new(secured?)), peer))
    }

    async fn addresses(
        &self,
        until: Instant,
        steps: &mut Vec<Step>,
    ) -> Result<Vec<IpAddr>, Broken> {
        let (name, last_good) = match &self.host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name { name, last_good } => (name, last_good),
        };
        // Where there are addresses to fall back on, a part of the time is left for connecting to them.
        let until = if last_good.is_known() { until - self.connect_timeout / 2 } else { until };
        let started_at = Clock::now();
        let found = timeout_at(until, resolve::resolve(name)).await;
        let found =
            last_good.settle(found.unwrap_or_else(|_| Err(late(BreakKind::ResolverTimeout, None))));
        steps.push(step(StepName::Resolve, started_at, &found, |addresses| {
            let each: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
            Some(each.join(", "))
        }));
        found
    }

    async fn tcp(
        &self,
        addresses: &[IpAddr],
        until: Instant,
        steps: &mut Vec<Step>,
    ) -> Result<(TcpStream, SocketAddr), Broken> {
        let addresses = interleave(addresses, self.port);
        let mut tries = Vec::new();
        let racing =
            race(&addresses, self.race_delay, &mut tries, |address| self.tcp.connect(address));
        let raced = timeout_at(until, racing).await;
        steps.extend(tcp::steps(&tries, Clock::now()));
        let won = tries.iter().find(|tried| tried.won());
        match (raced, won) {
            (Ok(Some(tcp)), Some(won)) => Ok((tcp, won.address)),
            (Ok(_), _) => Err(tcp::broken(&tries)),
            (Err(_), _) => Err(late(BreakKind::ConnectTimeout, Some(tcp::describe(&tries)))),
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
