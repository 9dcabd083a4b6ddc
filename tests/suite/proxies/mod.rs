//! The proxies that the suite is run against: each with a config of its own, made from a template beside this file.
//!
//! - [`System`], the list; [`Place`], what a proxy is put in front of
//! - [`template`](mod@template): how a config is filled in
//! - [`told`]: what counts as naming a break, for each proxy

mod process;
mod template;
pub(crate) mod told;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use mainstay_lab::Lab;

use crate::scenario::Scenario;
use crate::support::text;
use process::Process;
pub(crate) use process::version;
use template::Facts;

/// A proxy, with its usual config or with one that was tuned for this suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct System {
    pub(crate) proxy: Proxy,
    pub(crate) tuned: bool,
}

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Proxy {
    Mainstay,
    Haproxy,
    Nginx,
    Envoy,
    Caddy,
}

/// A proxy that runs; ended when dropped.
pub(crate) struct Running {
    pub(crate) system: System,
    /// Where HTTP/1.1 is spoken.
    pub(crate) listen: SocketAddr,
    /// Where HTTP/2 is, in the clear.
    pub(crate) listen_http2: SocketAddr,
    /// Where it tells about itself; it may be that nobody listens there.
    pub(crate) admin: SocketAddr,
    process: Process,
    folder: tempfile::TempDir,
}

impl Proxy {
    const ALL: [Self; 5] = [Self::Mainstay, Self::Haproxy, Self::Nginx, Self::Envoy, Self::Caddy];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mainstay => "mainstay",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Caddy => "caddy",
        }
    }

    /// Its program, where it can be had.
    fn program(self) -> Result<PathBuf, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let installed = root.join("target/proxies-venv/bin").join(self.name());
        match self {
            Self::Mainstay => Ok(std::env::var_os("MAINSTAY_BREAKS_BINARY")
                .map_or_else(|| env!("CARGO_BIN_EXE_mainstay").into(), |path| root.join(path))),
            Self::Envoy | Self::Caddy if installed.is_file() => Ok(installed),
            Self::Haproxy | Self::Nginx | Self::Envoy | Self::Caddy => {
                let sbin = format!("/usr/sbin/{}", self.name());
                crate::support::program::Program::path(&[self.name()])
                    .or_else(|why| Path::new(&sbin).is_file().then(|| sbin.into()).ok_or(why))
            }
        }
    }

    const fn template(self) -> (&'static str, &'static str) {
        match self {
            Self::Mainstay => ("mainstay.toml", include_str!("mainstay.toml")),
            Self::Haproxy => ("haproxy.cfg", include_str!("haproxy.cfg")),
            Self::Nginx => ("nginx.conf", include_str!("nginx.conf")),
            Self::Envoy => ("envoy.yaml", include_str!("envoy.yaml")),
            Self::Caddy => ("Caddyfile", include_str!("Caddyfile")),
        }
    }

    fn words(self, config: String, folder: &Path) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let mut words: Vec<String> = match self {
            Self::Mainstay => words(&["run", "--config"]),
            Self::Haproxy => words(&["-db", "-f"]),
            Self::Nginx => words(&["-p", &folder.display().to_string(), "-e", "stderr", "-c"]),
            // Several of them run at a time.
            Self::Envoy => {
                let quick = ["--file-flush-interval-msec", "50"];
                words(
                    &[&["--disable-hot-restart", "--concurrency", "2"], &quick[..], &["-c"]]
                        .concat(),
                )
            }
            Self::Caddy => words(&["run", "--adapter", "caddyfile", "--config"]),
        };
        words.push(config);
        words
    }
}

impl System {
    pub(crate) const MAINSTAY: Self = Self { proxy: Proxy::Mainstay, tuned: false };

    /// Reads `haproxy` or `haproxy-tuned`.
    pub(crate) fn named(word: &str) -> Result<Self, String> {
        let (name, tuned) = match word.strip_suffix("-tuned") {
            Some(name) => (name, true),
            None => (word, false),
        };
        let proxy = Proxy::ALL.into_iter().find(|proxy| proxy.name() == name);
        let proxy = proxy.filter(|proxy| !(tuned && *proxy == Proxy::Mainstay));
        let proxy = proxy.ok_or_else(|| format!("`{word}` is no proxy of the suite"))?;
        Ok(Self { proxy, tuned })
    }

    /// Its version, or why it can't be had.
    pub(crate) fn version(self) -> Result<String, String> {
        version(self.proxy.name(), &self.proxy.program()?)
    }

    /// Starts it in front of a lab.
    pub(crate) async fn start(self, scenario: &Scenario, lab: &Lab) -> Result<Running, String> {
        let folder = tempfile::tempdir().map_err(text)?;
        let [listen, listen_http2, admin] = [free()?, free()?, free()?];
        // Mainstay speaks both at one address.
        let listen_http2 = if self.proxy == Proxy::Mainstay { listen } else { listen_http2 };
        let facts = Facts { system: self, scenario, lab, folder: folder.path() };
        let (name, template) = self.proxy.template();
        let config = facts.fill(template, [listen, listen_http2, admin])?;
        let file = folder.path().join(name);
        std::fs::write(&file, config).map_err(text)?;
        let words = self.proxy.words(file.display().to_string(), folder.path());
        let process = Process::start(&self.proxy.program()?, &words, folder.path())?;
        let running = Running { system: self, listen, listen_http2, admin, process, folder };
        running.until_listening().await?;
        Ok(running)
    }
}

/// An address that nobody uses. Each is given once: most proxies share their port with whoever asks for it too (SO_REUSEPORT), and calls of one
/// would go to another. Below the range from which the system takes ports by itself.
fn free() -> Result<SocketAddr, String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        let number =
            std::process::id().wrapping_mul(STRIDE).wrapping_add(NEXT.fetch_add(1, Relaxed));
        let port = FIRST_PORT + (number % PORTS) as u16;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if std::net::TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("no port is free".to_owned())
}

const FIRST_PORT: u16 = 20_000;
const PORTS: u32 = 12_000;
/// Two suites at the same time begin far from each other.
const STRIDE: u32 = 997;

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.proxy.name(), if self.tuned { "-tuned" } else { "" })
    }
}

impl Running {
    /// What it wrote so far, on its log and its errors.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until it accepts connections.
    async fn until_listening(&self) -> Result<(), String> {
        self.process.until_listening(self.listen).await
    }

    /// Copies its config and its log there.
    pub(crate) fn keep(&self, to: &Path) -> std::io::Result<()> {
        let to = to.join(self.system.to_string());
        std::fs::create_dir_all(&to)?;
        for entry in std::fs::read_dir(self.folder.path())?.flatten() {
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    /// Ends it and waits for that.
    pub(crate) async fn end(self) {
        self.process.end().await;
    }
}
