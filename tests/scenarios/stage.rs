//! The lab, what stands in front of it (the real binary, or a program with the library), and a window onto what that has counted.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use mainstay_lab::{Lab, Spec};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::library::Program;
use crate::script::Script;

/// How long anything may take that should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Everything that a scenario runs on. What was started ends when this is dropped.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) proxy: SocketAddr,
    front: Front,
}

/// What makes the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// The real binary.
    Binary,
    /// The library, in this process.
    Library,
}

enum Front {
    Binary { admin: SocketAddr, _binary: Box<Child>, _config: tempfile::NamedTempFile },
    Library(Program),
}

impl Stage {
    pub(crate) async fn set(script: &Script, driver: Driver) -> Result<Self, String> {
        let lab =
            Lab::start(Spec::of(script.servers.iter().map(String::as_str))).await.map_err(text)?;
        let servers = lab.servers().iter().map(|server| (server.name(), server.addr()));
        let policy = config_text(script, servers);
        if driver == Driver::Library {
            let program = Program::start(&policy).await?;
            return Ok(Self { lab, proxy: program.address, front: Front::Library(program) });
        }
        let mut config = tempfile::Builder::new().suffix(".toml").tempfile().map_err(text)?;
        config.write_all(policy.as_bytes()).map_err(text)?;
        let mut binary = Command::new(env!("CARGO_BIN_EXE_mainstay"))
            .args(["run", "--config"])
            .arg(config.path())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(text)?;
        let stderr = binary.stderr.take().ok_or("no stderr")?;
        let (proxy, admin) = tokio::time::timeout(PATIENCE, addresses(stderr))
            .await
            .map_err(|_| "the binary doesn't say that it is listening")??;
        let front = Front::Binary { admin, _binary: Box::new(binary), _config: config };
        Ok(Self { lab, proxy, front })
    }

    /// The JSON at a path of the admin address.
    pub(crate) async fn admin(&self, path: &str) -> Result<Value, String> {
        let admin = match &self.front {
            Front::Binary { admin, .. } => *admin,
            Front::Library(program) => return program.told(path),
        };
        let mut stream = TcpStream::connect(admin).await.map_err(text)?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.map_err(text)?;
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .map_err(text)?
            .map_err(text)?;
        let answer = String::from_utf8_lossy(&answer);
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer of the admin address")?;
        // The body may be chunked: JSON starts and ends with a brace.
        let json = body.find('{').zip(body.rfind('}')).map(|(from, to)| &body[from..=to]);
        serde_json::from_str(json.ok_or("no JSON")?).map_err(text)
    }
}

/// The config of a scenario, with these servers as its endpoints.
pub(crate) fn config_text<A: std::fmt::Display>(
    script: &Script,
    servers: impl IntoIterator<Item = (impl std::fmt::Display, A)>,
) -> String {
    let endpoints: Vec<String> = servers
        .into_iter()
        .map(|(name, address)| format!("{{ url = \"http://{address}\", name = \"{name}\" }}"))
        .collect();
    format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\n[upstream.api]\nendpoints = [{}]\n{}",
        endpoints.join(", "),
        script.config
    )
}

/// Reads what the binary says until both addresses are known, and keeps reading, so that it never blocks.
async fn addresses(
    stderr: tokio::process::ChildStderr,
) -> Result<(SocketAddr, SocketAddr), String> {
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

fn address_after(line: &str, words: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(words)?;
    rest.split(|c: char| c.is_whitespace() || c == ',').next()?.parse().ok()
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
