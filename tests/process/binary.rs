//! The real binary with a config of the test's, and what it says.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::serving::Serving;
use crate::text;

/// How long anything may take that should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running proxy. It is killed when this is dropped, and so is the process that has taken over from it.
pub(crate) struct Binary {
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// The process that takes connections in. Dropped before `child`, while the number of that one can't be another's yet.
    pub(crate) serving: Serving,
    child: Child,
    config: tempfile::NamedTempFile,
    said: watch::Receiver<String>,
}

/// An answer, body and all.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Binary {
    /// Starts it in front of these endpoints, and waits until it listens.
    pub(crate) async fn start(endpoints: &[(&str, SocketAddr)]) -> Result<Self, String> {
        Self::start_with(endpoints, "").await
    }

    /// The same, with this added at their upstream.
    pub(crate) async fn start_with(
        endpoints: &[(&str, SocketAddr)],
        more: &str,
    ) -> Result<Self, String> {
        Self::start_under(endpoints, more, None).await
    }

    /// The same, under a service manager that is told by this socket.
    pub(crate) async fn start_under(
        endpoints: &[(&str, SocketAddr)],
        more: &str,
        manager: Option<&Path>,
    ) -> Result<Self, String> {
        let config = tempfile::Builder::new().suffix(".toml").tempfile().map_err(text)?;
        std::fs::write(config.path(), config_text(endpoints, more)).map_err(text)?;
        let serving = Serving::new()?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_mainstay"))
            .args(["run", "--config"])
            .arg(config.path())
            .arg("--pid-file")
            .arg(serving.file())
            .envs(manager.map(|socket| ("NOTIFY_SOCKET", socket)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(text)?;
        let said = listen_to(child.stderr.take().ok_or("no stderr")?);
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut binary = Self { proxy: unknown, admin: unknown, child, config, serving, said };
        binary.proxy = address(&binary.says("listening on http://").await?)?;
        binary.admin = address(&binary.says("admin on http://").await?)?;
        Ok(binary)
    }

    /// Waits until it says this, and gives what stands behind it in its line.
    pub(crate) async fn says(&self, words: &str) -> Result<String, String> {
        let mut said = self.said.clone();
        let found = timeout(PATIENCE, said.wait_for(|said| behind(said, words).is_some())).await;
        match found {
            Ok(Ok(said)) => behind(&said, words).ok_or_else(|| "it was there".into()),
            Ok(Err(_)) | Err(_) => {
                Err(format!("it never says {words:?}, but:\n{}", &*self.said.borrow()))
            }
        }
    }

    /// Writes its config anew: the endpoints, and what is added at their upstream.
    pub(crate) fn configure(
        &self,
        endpoints: &[(&str, SocketAddr)],
        more: &str,
    ) -> Result<(), String> {
        std::fs::write(self.config.path(), config_text(endpoints, more)).map_err(text)
    }

    /// Its config.
    pub(crate) fn config(&self) -> &Path {
        self.config.path()
    }

    /// Sends the process that takes connections in a signal: `HUP`, `TERM`, `USR2`.
    pub(crate) fn signal(&self, name: &str) -> Result<(), String> {
        self.serving.signal(name)
    }

    /// Waits for its end, and gives its exit code.
    pub(crate) async fn ended(&mut self) -> Result<Option<i32>, String> {
        let id = self.child.id();
        let ended = timeout(PATIENCE, self.child.wait()).await;
        let status = ended.map_err(|_| "it doesn't end")?.map_err(text)?;
        id.map_or(Ok(()), |id| self.serving.forget(id))?;
        Ok(status.code())
    }

    /// A call of an application.
    pub(crate) async fn exchange(&self, method: &str, path: &str) -> Result<Answer, String> {
        exchange(self.proxy, method, path, "").await
    }

    /// Asks the admin address.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Result<Answer, String> {
        exchange(self.admin, method, path, body).await
    }

    /// `/status`.
    pub(crate) async fn status(&self) -> Result<serde_json::Value, String> {
        serde_json::from_str(&self.ask("GET", "/status", "").await?.body).map_err(text)
    }

    /// Waits until `/status` holds this at a place.
    pub(crate) async fn until(&self, place: &str, wanted: serde_json::Value) -> Result<(), String> {
        let waiting = async {
            while self.status().await?.pointer(place) != Some(&wanted) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok::<(), String>(())
        };
        timeout(PATIENCE, waiting).await.map_err(|_| format!("{place} is never {wanted}"))?
    }
}

/// Runs the binary to its end.
pub(crate) async fn run(words: &[&str], folder: &Path) -> Result<Output, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    let running = command.args(words).current_dir(folder).kill_on_drop(true).output();
    timeout(PATIENCE, running).await.map_err(|_| format!("{words:?} doesn't end"))?.map_err(text)
}

/// One request on a connection of its own.
pub(crate) async fn exchange(
    to: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> Result<Answer, String> {
    let mut stream = TcpStream::connect(to).await.map_err(text)?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.map_err(text)?;
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.map_err(text)?.map_err(text)?;
    let answer = String::from_utf8(answer).map_err(text)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(format!("no answer: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (status, head) = (status.ok_or("no status")?, head.to_ascii_lowercase());
    Ok(Answer { status, head, body: body.to_owned() })
}

fn config_text(endpoints: &[(&str, SocketAddr)], more: &str) -> String {
    let endpoints: Vec<String> = endpoints
        .iter()
        .map(|(name, address)| format!("{{ url = \"http://{address}\", name = \"{name}\" }}"))
        .collect();
    format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\n[upstream.api]\nendpoints = [{}]\n{more}",
        endpoints.join(", ")
    )
}

/// Collects what it says, to its end, so that it never waits for a reader.
fn listen_to(stderr: ChildStderr) -> watch::Receiver<String> {
    let (collected, said) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            collected.send_modify(|said| said.extend([line.as_str(), "\n"]));
        }
    });
    said
}

/// What stands behind these words in a whole line.
fn behind(said: &str, words: &str) -> Option<String> {
    let (_, rest) = said.split_once(words)?;
    rest.split_once('\n').map(|(line, _)| line.to_owned())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| format!("{text:?} isn't an address"))
}
