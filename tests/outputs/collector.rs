//! A collector that decodes what comes by OpenTelemetry's own messages, in Python.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::support::program::Program;
use crate::support::{PATIENCE, text};

/// The collector; it ends with this.
pub(crate) struct Collector {
    pub(crate) grpc: u16,
    pub(crate) http: u16,
    says: ChildStdin,
    /// Read all the time, so that it never waits for the test.
    lines: UnboundedReceiver<String>,
    _process: Child,
}

impl Collector {
    pub(crate) async fn start() -> Result<Self, String> {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/outputs/collector.py");
        let mut command = Program::python()?.command(&[file]);
        let mut process = command.stdin(std::process::Stdio::piped()).spawn().map_err(text)?;
        let says = process.stdin.take().ok_or("no standard input")?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        let (tell, mut lines) = unbounded_channel();
        tokio::spawn(async move {
            let mut said = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = said.next_line().await
                && tell.send(line).is_ok()
            {}
        });
        let first = next(&mut lines).await?;
        let mut ports = first.split(' ').map(|port| port.parse().map_err(text));
        let (Some(grpc), Some(http)) = (ports.next(), ports.next()) else {
            return Err(format!("the collector says {first:?}; `cargo xtask test` installs it"));
        };
        Ok(Self { grpc: grpc?, http: http?, says, lines, _process: process })
    }

    /// Has it behave so from now on; what came before is thrown away.
    pub(crate) async fn behave(&mut self, mode: &str) -> Result<(), String> {
        self.says.write_all(format!("{mode}\n").as_bytes()).await.map_err(text)?;
        loop {
            let line = next(&mut self.lines).await?;
            if line == format!("{{\"mode\": \"{mode}\"}}") {
                return Ok(());
            }
        }
    }

    /// The next export.
    pub(crate) async fn export(&mut self) -> Result<Value, String> {
        serde_json::from_str(&next(&mut self.lines).await?).map_err(text)
    }

    /// Spans that come, until there are so many of these calls' traces; in the order in which they came.
    pub(crate) async fn spans(&mut self, count: usize) -> Result<Vec<Value>, String> {
        let mut spans = Vec::new();
        while spans.len() < count {
            let export = self.export().await?;
            spans.extend(spans_of(&export));
        }
        Ok(spans)
    }
}

/// The spans of an export.
pub(crate) fn spans_of(export: &Value) -> Vec<Value> {
    let each = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let resources = each(&export["message"], "resourceSpans");
    let scopes = resources.iter().flat_map(|resource| each(resource, "scopeSpans"));
    scopes.flat_map(|scope| each(&scope, "spans")).collect()
}

async fn next(lines: &mut UnboundedReceiver<String>) -> Result<String, String> {
    let line = timeout(PATIENCE, lines.recv()).await;
    let line = line.map_err(|_| "the collector says nothing")?;
    line.ok_or_else(|| "the collector has ended".into())
}
