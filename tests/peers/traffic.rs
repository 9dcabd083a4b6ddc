//! Light traffic of real clients, reads and writes in turn, with pauses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Binary, PATIENCE, text};

/// A client program.
#[derive(Clone, Copy)]
pub(crate) enum Client {
    Httpx,
    Node,
}

/// What it does.
pub(crate) struct Traffic {
    pub(crate) client: Client,
    pub(crate) seconds: u32,
    /// The pause between two requests of one worker, give or take a fifth.
    pub(crate) pause_ms: u32,
}

/// What it saw.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    reads: u32,
    failed_reads: Vec<String>,
    writes: BTreeMap<String, u16>,
    failed_writes: Vec<String>,
}

impl Traffic {
    /// Sends it through the binary.
    pub(crate) async fn run(&self, binary: &Binary) -> Result<Seen, String> {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers"));
        let venv = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers-venv/bin/python3");
        let (program, script) = match self.client {
            Client::Httpx => (venv, folder.join("httpx_client.py")),
            Client::Node => ("node", folder.join("node_client.mjs")),
        };
        let child = Command::new(program)
            .arg(script)
            .args([binary.proxy.to_string(), self.seconds.to_string(), self.pause_ms.to_string()])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output =
            timeout(PATIENCE, child).await.map_err(|_| format!("{program} doesn't end"))?;
        let output = output.map_err(|why| {
            format!("{program}: {why}: nothing was tested; `cargo xtask test` installs it")
        })?;
        if !output.status.success() {
            return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        serde_json::from_slice(&output.stdout).map_err(text)
    }
}

impl Seen {
    /// No read failed, each write that was answered was carried out exactly once, none was carried out twice, and at most
    /// so many have an unknown outcome, told as such.
    ///
    /// There may be such writes even of the best: a server that closes a connection with a request unread in its receive buffer has
    /// acknowledged it, and resets. Nobody can tell that from a request that was read.
    pub(crate) fn check(
        &self,
        executed: &BTreeMap<String, u32>,
        unknown_limit: usize,
    ) -> Result<(), String> {
        if self.reads < 10 || self.writes.len() < 10 {
            return Err(format!("too little traffic to tell anything: {self:?}"));
        }
        let unknown = self.failed_writes.iter().filter(|text| text.contains("maybe-processed"));
        let told = unknown.count();
        if !self.failed_reads.is_empty() || self.failed_writes.len() > told || told > unknown_limit
        {
            return Err(format!("failed: {:?} {:?}", self.failed_reads, self.failed_writes));
        }
        let answered = self.writes.iter().filter(|(_, status)| **status == 200);
        let lost: Vec<_> = answered.filter(|(id, _)| executed.get(*id) != Some(&1)).collect();
        let doubled: Vec<_> = executed.iter().filter(|(_, times)| **times > 1).collect();
        let doubled_writes: Vec<_> =
            doubled.iter().filter(|(id, _)| self.writes.contains_key(*id)).collect();
        if lost.is_empty() && doubled_writes.is_empty() {
            Ok(())
        } else {
            Err(format!("not carried out once: {lost:?}; carried out twice: {doubled_writes:?}"))
        }
    }
}
