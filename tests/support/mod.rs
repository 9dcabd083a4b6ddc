//! The real binary under a config of the test's own, and its admin address.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod program;
pub(crate) mod serving;

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use serving::Serving;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// How long anything may take that a test waits for: far more than it needs, so that only a hang meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// `mainstay run`, killed when this is dropped.
pub(crate) struct Binary {
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The process that takes connections in. Dropped before `process`, while the number of that one can't be another's yet.
    pub(crate) serving: Serving,
    process: Child,
    _config: tempfile::NamedTempFile,
}

impl Binary {
    /// Runs it with `config`, to which addresses of its own are added.
    pub(crate) async fn run(config: &str) -> Result<Self, String> {
        Self::start(config, Stdio::null()).await
    }

    /// The same, with its log in this file.
    pub(crate) async fn run_logging(config: &str, log: std::fs::File) -> Result<Self, String> {
        Self::start(config, log.into()).await
    }

    /// The same, with an admin address that wants this token.
    pub(crate) async fn run_guarded(config: &str, token: &str) -> Result<Self, String> {
        let admin = format!("{{ address = \"127.0.0.1:0\", token = \"{token}\" }}");
        Self::start_with(config, &admin, Stdio::null()).await
    }

    /// The same, with this admin address, which another had before it.
    pub(crate) async fn run_at(config: &str, admin: SocketAddr) -> Result<Self, String> {
        Self::start_with(config, &format!("\"{admin}\""), Stdio::null()).await
    }

    async fn start(config: &str, stdout: Stdio) -> Result<Self, String> {
        Self::start_with(config, "\"127.0.0.1:0\"", stdout).await
    }

    async fn start_with(config: &str, admin: &str, stdout: Stdio) -> Result<Self, String> {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().map_err(text)?;
        let addresses = format!("listen = \"127.0.0.1:0\"\nadmin = {admin}\n");
        file.write_all(format!("{addresses}{config}").as_bytes()).map_err(text)?;
        let serving = Serving::new()?;
        let mut process = Command::new(env!("CARGO_BIN_EXE_mainstay"))
            .args(["run", "--config"])
            .arg(file.path())
            .arg("--pid-file")
            .arg(serving.file())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(text)?;
        let stderr = process.stderr.take().ok_or("no standard error")?;
        let (proxy, admin) = timeout(PATIENCE, listening(stderr))
            .await
            .map_err(|_| "the binary doesn't say that it is listening")??;
        Ok(Self { proxy, admin, process, serving, _config: file })
    }

    /// Ends it with SIGKILL, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<(), String> {
        if let Some(id) = self.process.id() {
            self.serving.forget(id)?;
        }
        self.process.kill().await.map_err(text)
    }

    /// Waits until the process that was run first has ended by itself, without a complaint.
    pub(crate) async fn ended(&mut self) -> Result<(), String> {
        let id = self.process.id();
        let ended = timeout(PATIENCE, self.process.wait()).await;
        let status = ended.map_err(|_| "it doesn't end")?.map_err(text)?;
        id.map_or(Ok(()), |id| self.serving.forget(id))?;
        if status.success() { Ok(()) } else { Err(status.to_string()) }
    }

    /// Freezes it, as a machine does that is paused.
    pub(crate) fn freeze(&self) -> Result<(), String> {
        self.signal("-STOP")
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> Result<(), String> {
        self.signal("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<(), String> {
        let id = self.process.id().ok_or("the binary has ended")?.to_string();
        let sent = std::process::Command::new("kill").args([signal, &id]).status();
        if sent.map_err(text)?.success() { Ok(()) } else { Err(format!("kill {signal} {id}")) }
    }

    /// Memory of its process that is in use (`VmRSS`), in KiB.
    pub(crate) fn memory_kib(&self) -> Result<u64, String> {
        let id = self.process.id().ok_or("the binary has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).map_err(text)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        kib.ok_or_else(|| format!("/proc/{id}/status has no VmRSS"))
    }

    /// What a path of the admin address says, as JSON.
    pub(crate) async fn admin(&self, path: &str) -> Result<Value, String> {
        let answer = get(self.admin, path).await?;
        serde_json::from_str(&answer).map_err(text)
    }
}

/// What the admin address's feed has told since it was opened.
pub(crate) struct Told {
    items: Arc<Mutex<Vec<Value>>>,
    reading: tokio::task::JoinHandle<()>,
}

impl Told {
    /// Opens the feed; what happens from now on is in it.
    pub(crate) async fn listen(admin: SocketAddr) -> Result<Self, String> {
        let mut stream = TcpStream::connect(admin).await.map_err(text)?;
        let request = format!("GET /events HTTP/1.1\r\nhost: {admin}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(text)?;
        let mut lines = BufReader::new(stream).lines();
        // The feed says at once that it is open.
        let opened = timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.map_err(text)? {
                if line.starts_with(": mainstay") {
                    return Ok(());
                }
            }
            Err("the feed ended".to_owned())
        });
        opened.await.map_err(text)??;
        let items = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&items);
        let reading = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let item = line.strip_prefix("data: ").map(serde_json::from_str);
                if let Some(Ok(item)) = item {
                    told.lock().unwrap_or_else(PoisonError::into_inner).push(item);
                }
            }
        });
        Ok(Self { items, reading })
    }

    /// The events of this kind, in their order.
    pub(crate) fn of(&self, event: &str) -> Vec<Value> {
        let items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        items.iter().filter(|item| item["event"] == event).cloned().collect()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

/// The body of the answer to a GET.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<String, String> {
    let request = format!("GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n");
    let mut answer = Vec::new();
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    timeout(PATIENCE, asked).await.map_err(text)?.map_err(text)?;
    let answer = String::from_utf8_lossy(&answer);
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("no answer to {path}"))?;
    Ok(body.to_owned())
}

/// Reads what the binary says until both addresses are known, and keeps reading, so that it never blocks.
pub(crate) async fn listening(stderr: ChildStderr) -> Result<(SocketAddr, SocketAddr), String> {
    let mut lines = BufReader::new(stderr).lines();
    let (mut proxy, mut admin, mut said) = (None, None, String::new());
    while let Some(line) = lines.next_line().await.map_err(text)? {
        said.push_str(&line);
        said.push('\n');
        proxy = proxy.or_else(|| address_after(&line, "listening on http://"));
        admin = admin.or_else(|| address_after(&line, "admin on http://"));
        if let (Some(proxy), Some(admin)) = (proxy, admin) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((proxy, admin));
        }
    }
    Err(format!("the binary ended:\n{said}"))
}

pub(crate) fn address_after(line: &str, words: &str) -> Option<SocketAddr> {
    line.split_once(words)?.1.split_whitespace().next()?.parse().ok()
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
