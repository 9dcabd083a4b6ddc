//! grpcio, the gRPC that Python programs use: its server behind the binary, its client in front of it.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::server::free_port;
use crate::support::{Binary, PATIENCE, text};

/// What grpcio's client saw, as it tells it.
pub(crate) struct Story(Value);

impl Story {
    pub(crate) async fn tell() -> Result<Self, String> {
        let (first, second) = (free_port().await?, free_port().await?);
        // PINGs come as often as they ever may: whatever the lengths, the server's book is heeded.
        let config = format!(
            "[upstream.api]\nendpoints = [\"http://127.0.0.1:{first}\", \"http://127.0.0.1:{second}\"]\n
             [upstream.api.connect]\nhttp2 = \"always\"\nhttp2_ping_idle = \"100ms\"\nhttp2_ping_interval = \"200ms\"\n
             [upstream.api.health]\ninterval = \"200ms\"\ninterval_down = \"100ms\"\n
             [[route]]\npath = \"/peer.Safe\"\nidempotent = true\n
             [[route]]\npath = \"/peer.Once\"\n"
        );
        let binary = Binary::run(&config).await?;
        let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
        let child = Command::new(root.join("target/peers-venv/bin/python3"))
            .arg(root.join("tests/peers/grpc_client.py"))
            .args([binary.proxy.to_string(), first.to_string(), second.to_string()])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(PATIENCE, child).await.map_err(|_| "grpcio's client doesn't end")?;
        let output = output.map_err(|why| {
            format!("python: {why}: nothing was tested; `cargo xtask test` installs it")
        })?;
        serde_json::from_slice(&output.stdout)
            .map(Self)
            .map_err(|_| format!("grpcio's client: {}", String::from_utf8_lossy(&output.stderr)))
    }

    fn check(&self, path: &str, wanted: &Value) -> Result<(), String> {
        match self.0.pointer(path) {
            Some(seen) if seen == wanted => Ok(()),
            seen => Err(format!("{path}: wanted {wanted}, seen {seen:?}")),
        }
    }

    pub(crate) fn check_calls_of_each_kind(&self) -> Result<(), String> {
        self.check("/unary", &json!("echo hello"))?;
        self.check("/trailers", &json!(true))?;
        self.check("/many", &json!(500))?;
        self.check("/total", &json!("4950"))?;
        self.check("/bidi", &json!(50))
    }

    pub(crate) fn check_statuses(&self) -> Result<(), String> {
        let statuses = self.0["statuses"].as_object().ok_or("no statuses")?;
        for name in statuses.keys() {
            self.check(&format!("/statuses/{name}/code"), &json!(name))?;
            self.check(&format!("/statuses/{name}/details"), &json!("as asked: 100 %"))?;
        }
        self.check("/deadline/code", &json!("DEADLINE_EXCEEDED"))?;
        self.check("/then_fails/code", &json!("INTERNAL"))
    }

    pub(crate) fn check_retries(&self) -> Result<(), String> {
        self.check("/flaky_safe", &json!("at last"))?;
        self.check("/flaky_once/code", &json!("UNAVAILABLE"))?;
        self.check("/begun_safe", &json!("at last"))?;
        self.check("/begun_once/code", &json!("UNAVAILABLE"))?;
        self.check("/begun_once/head/0", &json!("begun"))?;
        self.check("/pushed/code", &json!("UNAVAILABLE"))?;
        self.check("/pushed/pushback", &json!("-1"))?;
        self.check("/pushed_count", &json!("1"))
    }

    /// A stream that waits for 3 s and calls after pauses: "too_many_pings" would have ended their connections.
    pub(crate) fn check_pings(&self) -> Result<(), String> {
        self.check("/waited", &json!("slow"))
    }

    pub(crate) fn check_restarts(&self) -> Result<(), String> {
        // A call that its server takes up in the moment in which it stops is cancelled by the server itself, which
        // says so: an answer.
        let failed: Vec<&Value> = self.0["restarts"]["failed"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|failed| failed["code"] != "CANCELLED")
            .collect();
        if !failed.is_empty() {
            return Err(format!("calls failed while servers were replaced: {failed:?}"));
        }
        self.check("/killed/code", &json!("UNAVAILABLE"))?;
        let details = self.0["killed"]["details"].as_str().ok_or_else(|| text("no details"))?;
        if !details.starts_with("connect-refused (not-sent)") {
            return Err(format!("the break isn't told: {details}"));
        }
        self.check("/back", &json!("echo back"))
    }
}
