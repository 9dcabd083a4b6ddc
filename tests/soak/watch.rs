//! The proxy's process, and what it holds: memory, descriptors, threads, connections, calls; each second.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mainstay_lab::Lab;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, sleep, timeout};

use crate::support::{PATIENCE, get, listening, text};
use crate::traffic::Tally;

/// `mainstay run`, in front of the lab by HTTP/1.1 and, for gRPC, by HTTP/2; killed when dropped.
pub(crate) struct Proxy {
    pub(crate) listen: SocketAddr,
    admin: SocketAddr,
    id: u32,
    process: Mutex<Child>,
    _config: tempfile::NamedTempFile,
}

/// Looks at it.
pub(crate) struct Watch {
    id: u32,
    admin: SocketAddr,
    begun: Instant,
    pub(crate) samples: Vec<Sample>,
    pub(crate) laps: Vec<Lap>,
}

/// What it holds at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) at: f64,
    pub(crate) memory_kib: u64,
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    /// Of applications.
    pub(crate) connections: u64,
    pub(crate) calls: u64,
}

/// What came of a lap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lap {
    pub(crate) at: f64,
    pub(crate) good_percent: f64,
    pub(crate) p99: Duration,
}

impl Proxy {
    pub(crate) async fn start(binary: &Path, lab: &Lab) -> Result<Self, String> {
        let servers = lab.servers().iter();
        let endpoints: Vec<String> = servers
            .map(|server| format!("{{ url = {:?}, name = {:?} }}", server.url(), server.name()))
            .collect();
        let config = CONFIG.replace("@endpoints@", &endpoints.join(", "));
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().map_err(text)?;
        file.write_all(config.as_bytes()).map_err(text)?;
        let mut process = Command::new(binary)
            .args(["run", "--config"])
            .arg(file.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|why| format!("{}: {why}", binary.display()))?;
        let id = process.id().ok_or("it has ended")?;
        let said = listening(process.stderr.take().ok_or("no standard error")?);
        let (listen, admin) = timeout(PATIENCE, said)
            .await
            .map_err(|_| "it doesn't say that it is listening")?
            .map_err(|why| format!("{why}\n{config}"))?;
        Ok(Self { listen, admin, id, process: Mutex::new(process), _config: file })
    }

    /// Whether it hasn't ended. What `/proc` has is no answer: there it stays until somebody asks for its status.
    pub(crate) fn is_running(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(process.try_wait(), Ok(None))
    }

    /// Tells it to end, and sees that it does so in good order.
    pub(crate) async fn end(self) -> Result<(), String> {
        self.signal("-TERM").await?;
        let mut process = self.process.into_inner().unwrap_or_else(PoisonError::into_inner);
        let ended = timeout(PATIENCE, process.wait()).await;
        let status = ended.map_err(|_| "it doesn't end")?.map_err(text)?;
        if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
    }

    pub(crate) async fn signal(&self, signal: &str) -> Result<(), String> {
        // Asked first, since the number of one that has ended may be another's.
        if !self.is_running() {
            return Err("it has ended".to_owned());
        }
        let sent = Command::new("kill").args([signal, &self.id.to_string()]).status().await;
        if sent.map_err(text)?.success() { Ok(()) } else { Err(format!("kill {signal}")) }
    }
}

impl Watch {
    pub(crate) fn of(proxy: &Proxy) -> Self {
        let begun = Instant::now();
        Self { id: proxy.id, admin: proxy.admin, begun, samples: Vec::new(), laps: Vec::new() }
    }

    /// Looks each second, until it is dropped.
    pub(crate) async fn each_second(&mut self) -> Result<(), String> {
        let mut turns = interval(Duration::from_secs(1));
        loop {
            turns.tick().await;
            self.look().await?;
        }
    }

    pub(crate) async fn look(&mut self) -> Result<Sample, String> {
        let status: Value =
            serde_json::from_str(&get(self.admin, "/status").await?).map_err(text)?;
        let number = |path: &str| status.pointer(path).and_then(Value::as_u64).unwrap_or_default();
        let process = std::fs::read_to_string(format!("/proc/{}/status", self.id)).map_err(text)?;
        let line = |name: &str| {
            let found = process.lines().find_map(|line| line.strip_prefix(name));
            found.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.id)).map_err(text)?.count();
        let sample = Sample {
            at: self.begun.elapsed().as_secs_f64(),
            memory_kib: line("VmRSS:"),
            threads: line("Threads:"),
            descriptors: descriptors as u64,
            connections: number("/connections/open"),
            calls: number("/calls_in_progress"),
        };
        self.samples.push(sample);
        Ok(sample)
    }

    pub(crate) fn note(&mut self, tally: &Tally) {
        let total = tally.total();
        self.laps.push(Lap {
            at: self.begun.elapsed().as_secs_f64(),
            good_percent: 100.0 * total.good as f64 / total.calls.max(1) as f64,
            p99: tally.percentile(990),
        });
    }

    /// What it holds when nobody calls any more.
    pub(crate) async fn at_rest(&mut self) -> Result<Sample, String> {
        let rest = async {
            loop {
                let sample = self.look().await?;
                if sample.calls == 0 && sample.connections == 0 {
                    return Ok::<_, String>(sample);
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        timeout(PATIENCE, rest).await.map_err(|_| "calls or connections never end")?
    }
}

/// Timeouts such that no call can take longer than some seconds; records few enough that they are full soon, so that memory that still grows
/// afterwards is something else.
const CONFIG: &str = r#"
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[records]
memory = 200

[upstream.api]
endpoints = [@endpoints@]
attempt_timeout = "800ms"
total_timeout = "4s"
body_idle_timeout = "1s"
health.path = "/healthz"
health.interval = "1s"
health.interval_down = "200ms"
breaker.open_for = "500ms"
connect.timeout = "500ms"
heal.resume_within = "4s"
heal.events.dead_after = "1s"
hedge.after = "p95"
websocket.ping_after = "500ms"
websocket.pong_within = "500ms"

[upstream.grpc]
endpoints = [@endpoints@]
attempt_timeout = "800ms"
total_timeout = "4s"
body_idle_timeout = "1s"
breaker.open_for = "500ms"
connect.timeout = "500ms"
connect.http2 = "always"
connect.http2_ping_idle = "500ms"
connect.http2_ping_interval = "500ms"
idempotent = true

[[route]]
path = "/lab.Echo"
upstream = "grpc"

[[route]]
path = "/"
upstream = "api"
"#;
