//! The systems side by side, each started with a config of its own on addresses that were free a moment ago.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use super::process::Process;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    /// The origin without a proxy: what the machine and the load generator cost by themselves.
    Direct,
    /// HAProxy, its resilience options on.
    Haproxy,
    /// nginx, its resilience options on.
    Nginx,
    /// Mainstay as it comes.
    Mainstay,
}

/// Where a system finds what it needs.
pub(super) struct Place<'a> {
    /// For configs and logs.
    pub(super) folder: &'a Path,
    /// The binary under test.
    pub(super) mainstay: PathBuf,
    /// The endpoints of the one upstream.
    pub(super) origins: [SocketAddr; 3],
    /// How many client connections must be allowed.
    pub(super) connections: usize,
}

/// A system that answers.
pub(super) struct Running {
    pub(super) system: System,
    /// None for [`System::Direct`].
    pub(super) process: Option<Process>,
    pub(super) address: SocketAddr,
    /// For HTTP/2 without TLS; nginx and HAProxy of Debian 12 need an address of its own for that.
    pub(super) h2_address: SocketAddr,
}

impl System {
    pub(super) const ALL: [Self; 4] = [Self::Direct, Self::Haproxy, Self::Nginx, Self::Mainstay];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Mainstay => "mainstay",
        }
    }

    /// Starts it and waits until it listens.
    pub(super) fn start(self, place: &Place<'_>) -> Result<Running, String> {
        let [listen, listen_h2, admin] = free_addresses()?;
        let mut process = match self {
            Self::Direct => {
                let address = place.origins[0];
                return Ok(Running { system: self, process: None, address, h2_address: address });
            }
            Self::Haproxy => {
                let file = place.write("haproxy.cfg", HAPROXY, listen, listen_h2)?;
                Process::start(
                    self.name(),
                    "haproxy".as_ref(),
                    &["-db".into(), "-f".into(), file],
                    place.folder,
                )?
            }
            Self::Nginx => {
                let file = place.write("nginx.conf", NGINX, listen, listen_h2)?;
                nginx(self.name(), file, place.folder)?
            }
            Self::Mainstay => {
                let mut words = vec!["run".into(), "--listen".into(), listen.to_string()];
                words.extend(["--admin".into(), admin.to_string()]);
                words.extend(
                    place
                        .origins
                        .iter()
                        .flat_map(|origin| ["--to".into(), format!("http://{origin}")]),
                );
                Process::start(self.name(), &place.mainstay, &words, place.folder)?
            }
        };
        let h2_address = if self == Self::Mainstay { listen } else { listen_h2 };
        process.wait_for(listen)?;
        Ok(Running { system: self, process: Some(process), address: listen, h2_address })
    }
}

/// Starts the origin: its process and its three addresses.
pub(super) fn origin(folder: &Path) -> Result<(Process, [SocketAddr; 3]), String> {
    let origins = free_addresses()?;
    let file = write(folder, "origin.nginx.conf", &fill_origins(ORIGIN, &origins))?;
    let mut process = nginx("origin", file, folder)?;
    process.wait_for(origins[0])?;
    Ok((process, origins))
}

impl Place<'_> {
    fn write(
        &self,
        name: &str,
        text: &str,
        listen: SocketAddr,
        h2: SocketAddr,
    ) -> Result<String, String> {
        let text = fill_origins(text, &self.origins)
            .replace("@listen@", &listen.to_string())
            .replace("@listen_h2@", &h2.to_string())
            .replace("@connections@", &self.connections.to_string());
        write(self.folder, name, &text)
    }
}

fn nginx(name: &'static str, file: String, folder: &Path) -> Result<Process, String> {
    let prefix = folder.display().to_string();
    let words = ["-p".into(), prefix, "-e".into(), "stderr".into(), "-c".into(), file];
    Process::start(name, "nginx".as_ref(), &words, folder)
}

fn fill_origins(text: &str, origins: &[SocketAddr; 3]) -> String {
    let [first, second, third] = origins.map(|origin| origin.to_string());
    text.replace("@origin1@", &first).replace("@origin2@", &second).replace("@origin3@", &third)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<String, String> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

/// Addresses that nobody uses: all are held at once, so that none comes twice.
fn free_addresses() -> Result<[SocketAddr; 3], String> {
    let held = [hold()?, hold()?, hold()?];
    Ok(held.map(|(address, _listener)| address))
}

fn hold() -> Result<(SocketAddr, TcpListener), String> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    bound
        .and_then(|listener| Ok((listener.local_addr()?, listener)))
        .map_err(|error| format!("no free port: {error}"))
}

const ORIGIN: &str = include_str!("../../bench/origin.nginx.conf");
const HAPROXY: &str = include_str!("../../bench/haproxy.cfg");
const NGINX: &str = include_str!("../../bench/nginx.conf");
