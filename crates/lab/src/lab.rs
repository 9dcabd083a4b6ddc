//! A running lab: its servers, its oracle, its clock.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::control;
use crate::dns::{DnsServer, DnsSpec, Name};
use crate::fault::Rule;
use crate::listener::{Listener, Security};
use crate::oracle::Oracle;
use crate::problem::Invalid;
use crate::site::Site;
use crate::spec::Spec;
use crate::timeline::Timeline;
use crate::tls::{Tls, TlsError};

/// A running lab. Everything it runs ends when it is dropped; [`Lab::shutdown`] waits for that.
#[derive(Debug)]
pub struct Lab {
    shared: Arc<Shared>,
    timeline: Timeline,
    ca_pem: Option<String>,
    control: Option<SocketAddr>,
    dns: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What the control address sees of a lab.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) servers: Vec<Server>,
    pub(crate) names: Vec<Arc<Name>>,
    pub(crate) oracle: Oracle,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    site: Arc<Site>,
    addr: SocketAddr,
    is_tls: bool,
}

impl Lab {
    /// Starts the servers, all healthy; the timeline waits for [`Lab::run_timeline`].
    ///
    /// # Errors
    /// [`StartError`]: the spec is wrong, a port can't be had, or no certificate could be made. Nothing runs then.
    pub async fn start(spec: Spec) -> Result<Self, StartError> {
        spec.check().map_err(StartError::Invalid)?;
        let oracle = Oracle::of(spec.servers.iter().map(|server| server.name.as_str()));
        let needs_tls = spec.servers.iter().any(|server| server.tls);
        let names = spec.dns.iter().flat_map(|dns| &dns.names).map(|name| name.name.as_str());
        let tls =
            needs_tls.then(|| Tls::new(names)).transpose().map_err(StartError::Tls)?.map(Arc::new);
        if let (Some(tls), Some(path)) = (&tls, &spec.ca_file) {
            std::fs::write(path, &tls.ca_pem)
                .map_err(|source| StartError::CaFile { path: path.clone(), source })?;
        }
        let mut listeners: Vec<Listener> = Vec::with_capacity(spec.servers.len());
        for server in &spec.servers {
            let site = Arc::new(Site::new(&server.name, server.h2, spec.seed, oracle.clone()));
            let security = tls
                .as_ref()
                .filter(|_| server.tls)
                .map(|tls| Security { tls: tls.clone(), trouble: server.trouble });
            // The spec was checked: the server whose port it takes is an earlier one.
            let shared = server.port_of.as_ref().and_then(|name| {
                listeners
                    .iter()
                    .find(|other| other.site.name == *name)
                    .map(|other| other.addr.port())
            });
            let addr = SocketAddr::new(server.address, shared.unwrap_or(server.port));
            let listener = Listener::open(site, addr, security)
                .map_err(|source| StartError::Bind { server: server.name.clone(), addr, source })?;
            listeners.push(listener);
        }
        let servers = listeners.iter().zip(&spec.servers).map(|(listener, server)| Server {
            site: listener.site.clone(),
            addr: listener.addr,
            is_tls: server.tls,
        });
        let names = spec.dns.iter().flat_map(|dns| &dns.names);
        let names: Vec<_> = names.map(|name| Arc::new(Name::new(name, spec.seed))).collect();
        let shared = Arc::new(Shared { servers: servers.collect(), names: names.clone(), oracle });

        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        let mut control = None;
        if let Some(port) = spec.control {
            let listener =
                control::open(port).await.map_err(|source| StartError::Control { port, source })?;
            control = listener.local_addr().ok();
            tasks.spawn(control::run(listener, shared.clone(), stop.subscribe()));
        }
        let mut dns = None;
        if let Some(DnsSpec { port, .. }) = spec.dns {
            let server = DnsServer::open(port, names)
                .await
                .map_err(|source| StartError::Dns { port, source })?;
            dns = Some(server.addr);
            tasks.spawn(server.run(stop.subscribe()));
        }
        for listener in listeners {
            tasks.spawn(listener.run(stop.subscribe()));
        }
        let ca_pem = tls.map(|tls| tls.ca_pem.clone());
        Ok(Self { shared, timeline: spec.timeline, ca_pem, control, dns, stop, tasks })
    }

    /// The server of this name.
    pub fn server(&self, name: &str) -> Option<&Server> {
        self.shared.server(name)
    }

    /// All servers, in the order of the spec.
    pub fn servers(&self) -> &[Server] {
        &self.shared.servers
    }

    /// A name of the lab's DNS server.
    pub fn name(&self, name: &str) -> Option<&Name> {
        self.shared.names.iter().find(|known| known.name() == name).map(Arc::as_ref)
    }

    /// All its names, in the order of the spec.
    pub fn names(&self) -> &[Arc<Name>] {
        &self.shared.names
    }

    /// Where the DNS server listens, over UDP and TCP, if the spec asked for one.
    pub fn dns_addr(&self) -> Option<SocketAddr> {
        self.dns
    }

    /// Changes what a server does, or how a name is answered; returns when it does so, with the port closed or open again.
    ///
    /// # Errors
    /// [`UnknownServer`]: the lab has no server of this name, and no such name, that could follow this rule.
    pub async fn set(&self, name: &str, rule: impl Into<Rule>) -> Result<(), UnknownServer> {
        self.shared.set(name, rule.into()).await
    }

    /// Changes what all servers do, at the same moment.
    pub async fn set_all(&self, rule: impl Into<Rule>) {
        self.shared.set_all(&rule.into()).await;
    }

    /// Follows the timeline, whose time begins with this call; ends with its last step. It may be spawned, and
    /// stops when it is dropped.
    pub fn run_timeline(&self) -> impl Future<Output = ()> + Send + use<> {
        let start = Instant::now();
        let (shared, timeline) = (self.shared.clone(), self.timeline.clone());
        async move {
            for step in timeline.steps() {
                sleep_until(start + step.at).await;
                match &step.server {
                    // The spec was checked: each name is known.
                    Some(name) => drop(shared.set(name, step.rule.clone()).await),
                    None => shared.set_all(&step.rule).await,
                }
            }
        }
    }

    /// The script of this lab.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The witness.
    pub fn oracle(&self) -> &Oracle {
        &self.shared.oracle
    }

    /// The certificate of the lab's own authority, if a server speaks TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Where the control address listens, if the spec asked for one.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control
    }

    /// Resets all connections, frees all ports, and returns when that is done.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Server {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.site.name
    }

    /// Where it listens, or would if it weren't refusing.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://` or `https://` and the address, without a slash at the end.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// What it does now.
    pub fn rule(&self) -> Rule {
        self.site.active().rule.clone()
    }

    /// Whether it accepts connections at this moment.
    pub fn is_listening(&self) -> bool {
        self.site.is_listening()
    }
}

impl Shared {
    pub(crate) fn server(&self, name: &str) -> Option<&Server> {
        self.servers.iter().find(|server| server.name() == name)
    }

    pub(crate) async fn set(&self, name: &str, rule: Rule) -> Result<(), UnknownServer> {
        if let Some(found) = self.names.iter().find(|found| found.name() == name)
            && rule.fits(true)
        {
            found.set(rule);
            return Ok(());
        }
        let Some(server) = self.server(name).filter(|_| rule.fits(false)) else {
            let servers = self.servers.iter().map(Server::name).filter(|_| rule.fits(false));
            let names = self.names.iter().map(|name| name.name()).filter(|_| rule.fits(true));
            let known = servers.chain(names).map(str::to_owned).collect();
            return Err(UnknownServer { name: name.to_owned(), known });
        };
        let version = server.site.publish(rule);
        server.site.wait_applied(version).await;
        Ok(())
    }

    pub(crate) async fn set_all(&self, rule: &Rule) {
        for name in self.names.iter().filter(|_| rule.fits(true)) {
            name.set(rule.clone());
        }
        if !rule.fits(false) {
            return;
        }
        // All are told before any is waited for: an outage begins everywhere at once.
        let versions: Vec<_> =
            self.servers.iter().map(|server| server.site.publish(rule.clone())).collect();
        for (server, version) in self.servers.iter().zip(versions) {
            server.site.wait_applied(version).await;
        }
    }
}

/// Why a lab couldn't start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The spec is wrong.
    Invalid(Invalid),
    /// A server's port can't be had.
    Bind {
        /// The server.
        server: String,
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The DNS server's port can't be had.
    Dns {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The authority's certificate can't be written.
    CaFile {
        /// Where to.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The control address's port can't be had.
    Control {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// No certificate could be made.
    Tls(TlsError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(_) => f.write_str("the lab is described wrongly"),
            Self::Bind { server, addr, .. } => write!(f, "server {server} can't listen at {addr}"),
            Self::Dns { port, .. } => {
                write!(f, "the DNS server can't listen at 127.0.0.1:{port}")
            }
            Self::CaFile { path, .. } => write!(f, "can't write {}", path.display()),
            Self::Control { port, .. } => {
                write!(f, "the control address can't listen at 127.0.0.1:{port}")
            }
            Self::Tls(_) => f.write_str("the lab can't speak TLS"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(error) => Some(error),
            Self::Bind { source, .. }
            | Self::Dns { source, .. }
            | Self::CaFile { source, .. }
            | Self::Control { source, .. } => Some(source),
            Self::Tls(error) => Some(error),
        }
    }
}

/// A name that nobody in the lab has who could do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownServer {
    /// The name.
    pub name: String,
    /// The names there are.
    pub known: Vec<String>,
}

impl fmt::Display for UnknownServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no server `{}` for this, only {}", self.name, self.known.join(", "))
    }
}

impl std::error::Error for UnknownServer {}
