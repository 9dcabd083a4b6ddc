//! The systems side by side, each started with a config of its own on addresses that were free a moment ago.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

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
    /// Envoy, its resilience options on.
    Envoy,
    /// Caddy, its resilience options on.
    Caddy,
    /// Mainstay as it comes.
    Mainstay,
}

/// Where a system finds what it needs.
pub(super) struct Place<'a> {
    /// For configs and logs.
    pub(super) folder: &'a Path,
    /// The binary under test.
    pub(super) mainstay: PathBuf,
    /// Where Envoy and Caddy are.
    pub(super) proxies: PathBuf,
    /// The endpoints of the one upstream.
    pub(super) origins: [SocketAddr; 3],
    /// What TLS is spoken with, on both sides; none: it isn't.
    pub(super) tls: Option<&'a Tls>,
    /// How many client connections must be allowed.
    pub(super) connections: usize,
}

/// A certificate for `localhost` and 127.0.0.1 that is its own authority.
pub(super) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    /// Both in one file.
    pem: PathBuf,
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
    pub(super) const ALL: [Self; 6] =
        [Self::Direct, Self::Haproxy, Self::Nginx, Self::Envoy, Self::Caddy, Self::Mainstay];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Caddy => "caddy",
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
                let file = place.write("haproxy.cfg", HAPROXY, listen, listen_h2, admin)?;
                Process::start(
                    self.name(),
                    "haproxy".as_ref(),
                    &["-db".into(), "-f".into(), file],
                    place.folder,
                )?
            }
            Self::Nginx => {
                let file = place.write("nginx.conf", NGINX, listen, listen_h2, admin)?;
                nginx(self.name(), file, place.folder)?
            }
            Self::Envoy => {
                let file = place.write("envoy.yaml", ENVOY, listen, listen_h2, admin)?;
                let words =
                    ["--concurrency", "2", "--log-level", "error", "--disable-hot-restart", "-c"];
                let words: Vec<String> =
                    words.iter().map(|&word| word.into()).chain([file]).collect();
                Process::start(self.name(), &place.proxies.join("envoy"), &words, place.folder)?
            }
            Self::Caddy => {
                let file = place.write("Caddyfile", CADDY, listen, listen_h2, admin)?;
                let words =
                    ["run".into(), "--adapter".into(), "caddyfile".into(), "--config".into(), file];
                Process::start(self.name(), &place.proxies.join("caddy"), &words, place.folder)?
            }
            Self::Mainstay if place.tls.is_some() => {
                let file = place.write("mainstay.toml", MAINSTAY, listen, listen_h2, admin)?;
                let words = ["run".into(), "--config".into(), file];
                Process::start(self.name(), &place.mainstay, &words, place.folder)?
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
        if place.tls.is_none() {
            // Opened one after the other.
            process.wait_for(h2_address)?;
        }
        Ok(Running { system: self, process: Some(process), address: listen, h2_address })
    }
}

impl Tls {
    /// Makes one.
    pub(super) fn make(folder: &Path) -> Result<Self, String> {
        let [certificate, key, pem] =
            ["certificate.pem", "key.pem", "both.pem"].map(|name| folder.join(name));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "7", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .map_err(|error| format!("openssl: {error}"))?;
        if !made.status.success() {
            return Err(format!("openssl: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let both = read(&certificate)? + &read(&key)?;
        fs::write(&pem, both).map_err(|error| format!("{}: {error}", pem.display()))?;
        Ok(Self { certificate, key, pem })
    }

    fn fill(&self, text: &str) -> String {
        [("@certificate@", &self.certificate), ("@key@", &self.key), ("@pem@", &self.pem)]
            .iter()
            .fold(text.to_owned(), |text, (what, path)| {
                text.replace(what, &path.display().to_string())
            })
    }
}

/// Starts the origin: its process and its three addresses.
pub(super) fn origin(
    folder: &Path,
    tls: Option<&Tls>,
) -> Result<(Process, [SocketAddr; 3]), String> {
    let origins = free_addresses()?;
    let file = write(folder, "origin.nginx.conf", &fill_origins(&fit(ORIGIN, tls), &origins))?;
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
        admin: SocketAddr,
    ) -> Result<String, String> {
        let text = fill_origins(&fit(text, self.tls), &self.origins)
            .replace("@listen@", &listen.to_string())
            .replace("@listen_port@", &listen.port().to_string())
            .replace("@listen_h2@", &h2.to_string())
            .replace("@listen_h2_port@", &h2.port().to_string())
            .replace("@admin@", &admin.to_string())
            .replace("@admin_port@", &admin.port().to_string())
            .replace("@folder@", &self.folder.display().to_string())
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
    origins.iter().zip(1..).fold(text.to_owned(), |text, (origin, number)| {
        text.replace(&format!("@origin{number}@"), &origin.to_string())
            .replace(&format!("@origin{number}_port@"), &origin.port().to_string())
    })
}

/// The lines of a config that hold with TLS, or without: `[tls]` and `[!tls]` before one say so.
fn fit(text: &str, tls: Option<&Tls>) -> String {
    let (mine, others) = if tls.is_some() { ("[tls] ", "[!tls] ") } else { ("[!tls] ", "[tls] ") };
    let lines = text.lines().filter(|line| !line.trim_start().starts_with(others));
    let text: String = lines.map(|line| line.replacen(mine, "", 1) + "\n").collect();
    tls.map_or(text.clone(), |tls| tls.fill(&text))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<String, String> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

/// Addresses that nobody uses: all are held at once, so that none comes twice.
pub(super) fn free_addresses() -> Result<[SocketAddr; 3], String> {
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
const ENVOY: &str = include_str!("../../bench/envoy.yaml");
const CADDY: &str = include_str!("../../bench/Caddyfile");
/// Used with TLS only: without, Mainstay needs no config.
const MAINSTAY: &str = include_str!("../../bench/mainstay.toml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_with_tls_or_without() {
        let text = "a\n  [tls] b @key@\n  [!tls] c\n";
        assert_eq!(fit(text, None), "a\n  c\n");
        let [certificate, key, pem] = ["c", "k", "p"].map(PathBuf::from);
        assert_eq!(fit(text, Some(&Tls { certificate, key, pem })), "a\n  b k\n");
    }
}
