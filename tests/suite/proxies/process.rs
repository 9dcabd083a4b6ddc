//! A proxy's process: its log, its version, its end.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::support::text;

/// A running program whose output goes to a file.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it. It is told to end when whoever started it dies, however that comes (`setpriv`).
    pub(super) fn start(program: &Path, words: &[String], folder: &Path) -> Result<Self, String> {
        let log = folder.join("log");
        let output = File::create(&log).map_err(text)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .arg(program)
            .args(words)
            .current_dir(folder)
            // Caddy keeps what it has to keep there.
            .env("HOME", folder)
            .env("XDG_DATA_HOME", folder)
            .env("XDG_CONFIG_HOME", folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(text)?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .map_err(|why| format!("{}: {why}", program.display()))?;
        Ok(Self { child, log })
    }

    fn id(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    pub(super) fn log(&self) -> String {
        // What isn't UTF-8 in it is of no interest.
        let log = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub(super) async fn until_listening(&self, address: SocketAddr) -> Result<(), String> {
        let until = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(address).await.is_err() {
            let is_gone = !Path::new(&format!("/proc/{}/cmdline", self.id())).exists();
            if Instant::now() > until || is_gone {
                return Err(format!("nothing listens on {address}:\n{}", self.log()));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Tells it to end, and waits; one that doesn't is killed.
    pub(super) async fn end(mut self) {
        let Some(id) = self.child.id() else { return };
        let told = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
        let ended = timeout(STOP_TIMEOUT, self.child.wait()).await;
        if told.is_err() || ended.is_err() {
            // Waits for it too; the only error is that it is gone.
            let _ = self.child.kill().await;
        }
    }
}

/// The first line with a version in it that a program prints about itself.
pub(crate) fn version(name: &str, program: &Path) -> Result<String, String> {
    let word = match name {
        "haproxy" | "nginx" => "-v",
        "caddy" => "version",
        _ => "--version",
    };
    let output = std::process::Command::new(program).arg(word).output();
    let output = output.map_err(|why| format!("{}: {why}", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    // Envoy's is COMMIT/VERSION/..., Caddy's v2.0.0, HAProxy's and nginx's in the first line.
    let is_version = |word: &&str| {
        let digits = word.trim_start_matches('v');
        digits.starts_with(|c: char| c.is_ascii_digit()) && digits.matches('.').count() >= 2
    };
    let words = said.split([' ', '/', '\n', ',']);
    let found = words.map(str::trim).find(is_version).unwrap_or_default();
    Ok(found.trim_start_matches('v').to_owned())
}

/// Between two looks.
const POLL: Duration = Duration::from_millis(10);
/// On a busy machine even Envoy is up by then.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that drain are cut off afterwards: nobody needs them.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);
