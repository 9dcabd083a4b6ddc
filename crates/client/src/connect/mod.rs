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
mod place;
mod race;
mod resolve;
mod system;
mod tcp;
mod tls;
mod transport;
mod trust;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mainstay_config::settings::{ConnectSettings, Endpoint, Scheme};
use mainstay_core::{BreakKind, Certainty};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub(crate) use place::{Place, Places};
pub(crate) use system::Seen;
pub use system::TcpInfo;
pub(crate) use transport::{Meter, Transport};
pub use trust::TargetError;

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
    pub(crate) async fn connect(&self, place: Place) -> Result<Transport, Broken> {
        let until = Instant::now() + self.connect_timeout;
        let addresses = self.addresses(until).await?;
        let socket = Socket::new(self.tcp(&addresses, until).await?, place, self.close_evidence);
        let transport = match &self.tls {
            None => Transport::Plain(socket),
            Some(tls) => match timeout_at(until, tls.handshake(socket)).await {
                Ok(secured) => Transport::Tls(Box::new(secured?)),
                Err(_) => return Err(late(BreakKind::TlsTimeout, None)),
            },
        };
        self.places.note_opened();
        Ok(transport)
    }

    async fn addresses(&self, until: Instant) -> Result<Vec<IpAddr>, Broken> {
        let (name, last_good) = match &self.host {
            Host::Address(address) => return Ok(vec![*address]),
            Host::Name { name, last_good } => (name, last_good),
        };
        // Where there are addresses to fall back on, a part of the time is left for connecting to them.
        let until = if last_good.is_known() { until - self.connect_timeout / 2 } else { until };
        let found = timeout_at(until, resolve::resolve(name)).await;
        last_good.settle(found.unwrap_or_else(|_| Err(late(BreakKind::ResolverTimeout, None))))
    }

    async fn tcp(&self, addresses: &[IpAddr], until: Instant) -> Result<TcpStream, Broken> {
        let addresses = interleave(addresses, self.port);
        let mut failed = Vec::new();
        let racing =
            race(&addresses, self.race_delay, &mut failed, |address| self.tcp.connect(address));
        match timeout_at(until, racing).await {
            Ok(Some(tcp)) => Ok(tcp),
            Ok(None) => Err(tcp::broken(&failed)),
            Err(_) => Err(late(BreakKind::ConnectTimeout, Some(tcp::describe(&failed)))),
        }
    }
}

fn late(kind: BreakKind, details: Option<String>) -> Broken {
    Broken {
        details: details.filter(|text| !text.is_empty()),
        ..Broken::new(kind, Certainty::NotSent)
    }
}
