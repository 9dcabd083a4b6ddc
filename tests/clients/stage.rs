//! The lab, the page's server, the real binary in front of both, and a window onto its admin address.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use mainstay_lab::{Lab, Spec};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::page::Page;

/// How long anything may take that a test waits for: far more than it needs, so that only a hang meets it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What one attempt may take, and so the most that a hanging server may cost a read.
pub(crate) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// Everything that a client meets. The binary is killed when this is dropped.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) page: Page,
    pub(crate) proxy: SocketAddr,
    admin: SocketAddr,
    _binary: Child,
    _config: tempfile::NamedTempFile,
}

impl Stage {
    pub(crate) async fn set() -> Result<Self, String> {
        let lab = Lab::start(Spec::of(["a", "b", "c"])).await.map_err(text)?;
        let page = Page::serve().await?;
        let mut config = tempfile::Builder::new().suffix(".toml").tempfile().map_err(text)?;
        config.write_all(config_text(&lab, &page).as_bytes()).map_err(text)?;
        let mut binary = Command::new(env!("CARGO_BIN_EXE_mainstay"))
            .args(["run", "--config"])
            .arg(config.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(text)?;
        let stderr = binary.stderr.take().ok_or("no standard error")?;
        let (proxy, admin) = timeout(PATIENCE, addresses(stderr))
            .await
            .map_err(|_| "the binary doesn't say that it is listening")??;
        Ok(Self { lab, page, proxy, admin, _binary: binary, _config: config })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.proxy)
    }

    /// What the admin address says of one endpoint: its state now, and what it did so far.
    pub(crate) async fn endpoint(&self, name: &str) -> Result<(Value, Value), String> {
        let status = self.admin("/status").await?;
        let named = |list: &Value, name: &str| -> Option<Value> {
            list.as_array()?.iter().find(|item| item["name"] == name).cloned()
        };
        let find = |list: &Value| named(&named(list, "api")?["endpoints"], name);
        find(&status["upstreams"])
            .zip(find(&status["counts"]["upstreams"]))
            .ok_or_else(|| format!("/status doesn't know {name}: {status}"))
    }

    /// The records of the calls that took longest, for whoever has to find out why.
    pub(crate) async fn slow_calls(&self) -> Result<Vec<Value>, String> {
        let all = self.admin("/calls").await?;
        let is_slow = |call: &&Value| {
            call["upstream"] == "api"
                && call["took_ms"].as_f64() > Some(1.5e3 * ATTEMPT_TIMEOUT.as_secs_f64())
        };
        Ok(all["calls"].as_array().into_iter().flatten().filter(is_slow).cloned().collect())
    }

    /// A read waits for a hanging server once: the next attempt goes elsewhere. As the records of calls have it.
    pub(crate) async fn no_read_waited_twice(&self) -> Result<(), String> {
        let all = self.admin("/calls").await?;
        let reads = all["calls"].as_array().into_iter().flatten();
        for call in reads.filter(|call| call["upstream"] == "api" && call["method"] == "GET") {
            let attempts = call["attempts"].as_array().into_iter().flatten();
            let hung = attempts.filter(|one| one["code"] == "response-timeout");
            let mut servers: Vec<_> = hung.map(|one| one["endpoint"].to_string()).collect();
            let waits = servers.len();
            servers.sort();
            servers.dedup();
            if servers.len() < waits {
                return Err(format!("waited twice for the same server: {call}"));
            }
        }
        Ok(())
    }

    async fn admin(&self, path: &str) -> Result<Value, String> {
        let request = format!("GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.admin);
        let mut answer = Vec::new();
        let asked = async {
            let mut stream = TcpStream::connect(self.admin).await?;
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_end(&mut answer).await
        };
        timeout(PATIENCE, asked).await.map_err(text)?.map_err(text)?;
        let answer = String::from_utf8_lossy(&answer);
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer of the admin address")?;
        serde_json::from_str(body).map_err(text)
    }
}

fn config_text(lab: &Lab, page: &Page) -> String {
    let endpoints: Vec<String> = lab
        .servers()
        .iter()
        .map(|server| format!("{{ url = \"{}\", name = \"{}\" }}", server.url(), server.name()))
        .collect();
    format!(
        "listen = \"127.0.0.1:0\"
         admin = \"127.0.0.1:0\"
         [upstream.api]
         endpoints = [{}]
         attempt_timeout = \"{}ms\"
         [upstream.page]
         endpoints = [\"http://{}\"]
         total_timeout = \"1m\"
         attempt_timeout = \"1m\"
         [[route]]
         path = \"/page\"
         upstream = \"page\"
         [[route]]
         upstream = \"api\"",
        endpoints.join(", "),
        ATTEMPT_TIMEOUT.as_millis(),
        page.address,
    )
}

/// Reads what the binary says until both addresses are known, and keeps reading, so that it never blocks.
async fn addresses(stderr: ChildStderr) -> Result<(SocketAddr, SocketAddr), String> {
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
    line.split_once(words)?.1.split_whitespace().next()?.parse().ok()
}

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
