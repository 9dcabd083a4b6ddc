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
use crate::underway::Underway;
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

    /// A new connection in `place`. Its steps are told as they end, so that they are known even when it is dropped.
    pub(crate) async fn connect(
        &self,
        place: Place,
        steps: &mut Vec<Step>,
    ) -> Result<Transport, Broken> {
        let transport = self.walk(place, steps).await?;
        self.places.note_opened();
        Ok(transport)
    }

    async fn walk(&self, place: Place, steps: &mut Vec<Step>) -> Result<Transport, Broken> {
        let until = Instant::now() + self.connect_timeout;
        let addresses = self.addresses(until, steps).await?;
        let tcp = self.tcp(&addresses, until, steps).await?;
        let socket = Socket::new(tcp, place, self.close_evidence);
        let Some(tls) = &self.tls else { return Ok(Transport::Plain(socket)) };
        let step = Underway::begin(steps, StepName::Tls);
        let until = until.min(Instant::now() + self.tls_timeout);
        let secured = timeout_at(until, tls.handshake(socket)).await;
        let secured = secured.unwrap_or_else(|_| Err(late(BreakKind::TlsTimeout, None)));
        step.end(outcome(&secured, tls::describe));
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
        let step = Underway::begin(steps, StepName::Resolve);
        let found = resolution.addresses(until).await;
        step.end(outcome(&found, ToString::to_string));
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
        let out = StepOutcome::GivenUp;
        let mut course = Course { connector: self, steps, tries: Vec::new(), out };
        let racing = race(&addresses, self.race_delay, &mut course.tries, |address| {
            self.tcp.connect(address)
        });
        let raced = timeout_at(until, racing).await;
        match raced {
            Ok(Some(tcp)) => Ok(tcp),
            Ok(None) => Err(tcp::broken(&course.tries)),
            Err(_) => {
                course.out = StepOutcome::Broke(BreakKind::ConnectTimeout, None);
                Err(late(BreakKind::ConnectTimeout, Some(tcp::describe(&course.tries))))
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

/// A race over the addresses. However it ends, its drop among that, what was seen of them is told and remembered.
struct Course<'a> {
    connector: &'a Connector,
    steps: &'a mut Vec<Step>,
    tries: Vec<Try>,
    /// What became of the addresses that are still out when nobody has won.
    out: StepOutcome,
}

impl Drop for Course<'_> {
    fn drop(&mut self) {
        let (now, delay) = (Clock::now(), self.connector.race_delay);
        let runs = self.tries.iter().map(tcp::run);
        self.connector.history.lock().on_race(runs, delay, now);
        self.steps.extend(tcp::steps(&self.tries, now, &self.out));
    }
}

/// What came of a step, for the record.
fn outcome<T>(ended: &Result<T, Broken>, describe: impl FnOnce(&T) -> String) -> StepOutcome {
    match ended {
        Ok(done) => StepOutcome::Done(Some(describe(done))),
        Err(broken) => StepOutcome::Broke(broken.what.kind, broken.details.clone()),
    }
}

fn late(kind: BreakKind, details: Option<String>) -> Broken {
    Broken {
        details: details.filter(|text| !text.is_empty()),
        ..Broken::new(kind, Certainty::NotSent)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};
    use tokio::time::{sleep, timeout};

    use super::*;

    /// A listener whose backlog is full, and what fills it: the handshake of whoever comes next stays unanswered.
    async fn hung() -> (TcpListener, Vec<TcpStream>, u16) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut filling = Vec::new();
        while let Ok(stream) =
            timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            filling.push(stream.unwrap());
        }
        (listener, filling, address.port())
    }

    /// Connects to an address that hangs, and lets go of it after so long. Gives the steps, and whether the address is
    /// tried last from now on.
    async fn dropped_after(patience_ms: u64) -> (Vec<Step>, bool) {
        let (_listener, _filling, port) = hung().await;
        let host = "127.0.0.1".to_owned();
        let endpoint = Endpoint {
            name: host.clone(),
            scheme: Scheme::Http,
            host,
            port,
            base_path: String::new(),
        };
        let connector = Connector::new(&endpoint, &ConnectSettings::default()).unwrap();
        let mut steps = Vec::new();
        let place = connector.places().take().unwrap();
        tokio::select! {
            connected = connector.connect(place, &mut steps) => panic!("{connected:?}"),
            () = sleep(Duration::from_millis(patience_ms)) => {}
        }
        let mut order = ["127.0.0.1", "127.0.0.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        let first = order[0];
        connector.history.lock().order(&mut order, |ip| *ip, Clock::now());
        assert_eq!(connector.places().taken(), 0);
        (steps, order[1] == first)
    }

    // Time stands still while anything at all happens, and leaps when nothing does.
    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_is_told_so_far_and_an_address_that_had_its_time_is_remembered() {
        let (steps, is_last) = dropped_after(250).await;
        let [Step { name: StepName::Connect(_), outcome: StepOutcome::GivenUp, took, .. }] =
            steps.as_slice()
        else {
            panic!("{steps:?}")
        };
        assert!(*took >= Duration::from_millis(250) && is_last, "{steps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_was_dropped_early_is_not_blamed() {
        let (steps, is_last) = dropped_after(200).await;
        assert!(steps.len() == 1 && !is_last, "{steps:?}");
    }
}
