//! grpcio's server with its own health service, which is told what to say.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::server::free_port;
use crate::support::{Binary, PATIENCE, text};

/// The server; it ends with this.
pub(crate) struct Server {
    port: u16,
    says: ChildStdin,
    _process: Child,
}

impl Server {
    pub(crate) async fn start() -> Result<Self, String> {
        let port = free_port().await?;
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let mut process = Command::new(root.join("target/peers-venv/bin/python3"))
            .arg(root.join("tests/peers/grpc_server.py"))
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|why| {
                format!("python: {why}: nothing was tested; `cargo xtask test` installs it")
            })?;
        let says = process.stdin.take().ok_or("no standard input")?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        let mut stdout = BufReader::new(stdout);
        timeout(PATIENCE, stdout.read_line(&mut line)).await.map_err(text)?.map_err(text)?;
        if line != "serving\n" {
            return Err(format!(
                "grpcio's server doesn't serve: {line:?}; `cargo xtask test` installs it"
            ));
        }
        Ok(Self { port, says, _process: process })
    }

    /// The binary in front of it: "api" checks a service that it has, "other" one that it hasn't.
    pub(crate) async fn binary(&self) -> Result<Binary, String> {
        let upstream = |name: &str, service: &str| {
            format!(
                "[upstream.{name}]\nendpoints = [{{ url = \"http://127.0.0.1:{}\", name = \"a\" }}]\nconnect.http2 = \"always\"\n\
                 health = {{ kind = \"grpc\", service = \"{service}\", interval = \"100ms\", interval_down = \"100ms\" }}\n\
                 [[route]]\npath = \"/{name}\"\nupstream = \"{name}\"\n",
                self.port
            )
        };
        let both = upstream("api", "peer.Once") + &upstream("other", "peer.Nobody");
        Binary::run(&both).await
    }

    /// Has its health service say this from now on.
    pub(crate) async fn say(&mut self, state: &str) -> Result<(), String> {
        self.says.write_all(format!("{state}\n").as_bytes()).await.map_err(text)?;
        self.says.flush().await.map_err(text)
    }
}

/// The only endpoint of an upstream, once all of these fields are so.
pub(crate) async fn until(
    binary: &Binary,
    upstream: &str,
    wanted: &[(&str, Value)],
) -> Result<Value, String> {
    let mut last = Value::Null;
    let seen = timeout(PATIENCE, async {
        loop {
            let status = binary.admin("/status").await?;
            let upstreams = status["upstreams"].as_array().ok_or("no upstreams")?;
            let found = upstreams.iter().find(|one| one["name"] == upstream);
            last = found.map(|one| one["endpoints"][0].clone()).ok_or("no such upstream")?;
            let holds =
                |(path, value): &(&str, Value)| last.pointer(&format!("/{path}")) == Some(value);
            if wanted.iter().all(holds) {
                return Ok::<_, String>(last.clone());
            }
            tokio::task::yield_now().await;
        }
    });
    let seen = seen.await;
    seen.map_err(|_| format!("never so: {wanted:?}; last seen: {last}"))?
}
