//! Python's websockets in front of the binary, and the lab's echo behind it.

use std::path::PathBuf;
use std::process::Stdio;

use mainstay_lab::{Lab, Rule, Spec};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::{Binary, PATIENCE, get, text};

/// The lab's echo, and the binary that watches over connections to it.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) binary: Binary,
}

/// A client that has a connection, and waits for its end; or a server.
pub(crate) struct Waiting {
    says: Lines<BufReader<ChildStdout>>,
    process: Child,
}

/// A server whose first connections break without a word once they are open, and the binary in front of it.
pub(crate) struct Broken {
    pub(crate) binary: Binary,
    _server: Waiting,
}

impl Broken {
    /// So many connections break.
    pub(crate) async fn set(breaks: u16) -> Result<Self, String> {
        let mut server = Waiting::start(program("websocket_server.py", &[&breaks.to_string()]))?;
        let port = server.says().await?;
        let config = format!(
            "[upstream.api]\nendpoints = [\"http://127.0.0.1:{port}\"]\nhealth = false\nwebsocket.reconnect = \"30s\"\n"
        );
        Ok(Self { binary: Binary::run(&config).await?, _server: server })
    }

    /// A client with an open connection that says nothing yet.
    pub(crate) async fn late(&self) -> Result<Waiting, String> {
        let uri = format!("ws://{}/ws", self.binary.proxy);
        let mut client = Waiting::start(program("websocket_client.py", &["late", &uri]))?;
        match client.says().await?.as_str() {
            "open" => Ok(client),
            other => Err(format!("the client says {other:?}; `cargo xtask test` installs it")),
        }
    }
}

impl Stage {
    /// With these settings of `[websocket]`.
    pub(crate) async fn set(websocket: &str) -> Result<Self, String> {
        let lab = Lab::start(Spec::of(["a"])).await.map_err(text)?;
        let address = lab.servers().first().ok_or("no server")?.addr();
        let config = format!(
            "[upstream.api]\nendpoints = [\"http://{address}\"]\nhealth = false\nwebsocket = {{ {websocket} }}\n"
        );
        Ok(Self { binary: Binary::run(&config).await?, lab })
    }

    /// What became of a thousand messages.
    pub(crate) async fn echo(&self) -> Result<Value, String> {
        let seed = "7";
        let child = client(&["echo", &self.uri(), seed]).output();
        let output = timeout(PATIENCE, child).await.map_err(|_| "the client doesn't end")?;
        let output = output.map_err(missing)?;
        serde_json::from_slice(&output.stdout)
            .map_err(|_| format!("the client: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// A client with an open connection.
    pub(crate) async fn wait(&self) -> Result<Waiting, String> {
        let mut process =
            client(&["wait", &self.uri()]).stdout(Stdio::piped()).spawn().map_err(missing)?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        let mut waiting = Waiting { says: BufReader::new(stdout).lines(), process };
        match waiting.says().await?.as_str() {
            "open" => Ok(waiting),
            other => Err(format!("the client says {other:?}; `cargo xtask test` installs it")),
        }
    }

    pub(crate) async fn breaks(&self, fault: &str) -> Result<(), String> {
        let rule: Rule = fault.parse().map_err(text)?;
        self.lab.set("a", rule).await.map_err(text)
    }

    /// The value of a metric, once it is there: a tunnel is counted when both sides have taken their end.
    pub(crate) async fn metric(&self, series: &str) -> Result<u64, String> {
        metric(&self.binary, series, 0).await
    }

    fn uri(&self) -> String {
        format!("ws://{}/ws", self.binary.proxy)
    }
}

impl Waiting {
    /// Starts what says something and may be told something.
    fn start(mut command: Command) -> Result<Self, String> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(missing)?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        Ok(Self { says: BufReader::new(stdout).lines(), process })
    }

    /// Tells it to go on.
    pub(crate) async fn tell(&mut self) -> Result<(), String> {
        let input = self.process.stdin.as_mut().ok_or("no standard input")?;
        input.write_all(b"\n").await.map_err(text)
    }

    /// What it says next.
    pub(crate) async fn says(&mut self) -> Result<String, String> {
        let line = timeout(PATIENCE, self.says.next_line()).await.map_err(|_| "it says nothing")?;
        Ok(line.map_err(text)?.unwrap_or_default())
    }
}

/// The value of a metric, once it is at least so much.
pub(crate) async fn metric(binary: &Binary, series: &str, least: u64) -> Result<u64, String> {
    let counted = async {
        loop {
            let page = get(binary.admin, "/metrics").await?;
            let line = page.lines().find_map(|line| line.strip_prefix(series));
            if let Some(value) = line {
                let value = value.trim().parse().map_err(text)?;
                if value >= least {
                    return Ok(value);
                }
            }
        }
    };
    timeout(PATIENCE, counted).await.map_err(|_| format!("there is no such {series}"))?
}

fn client(words: &[&str]) -> Command {
    program("websocket_client.py", words)
}

fn program(script: &str, words: &[&str]) -> Command {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut command = Command::new(root.join("target/peers-venv/bin/python3"));
    command.arg(root.join("tests/peers").join(script)).args(words);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn missing(why: std::io::Error) -> String {
    format!("python: {why}: nothing was tested; `cargo xtask test` installs it")
}
