//! The Autobahn cases through a tunnel: each ends as it ends without Mainstay between.

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use crate::support::{Binary, PATIENCE, text};
use crate::{Outcome, script};

/// Cases 9 (large messages), 12 and 13 (compression) take minutes: `cargo xtask conformance websocket` runs them too.
const QUICK_CASES: u64 = 247;

#[tokio::test]
async fn each_case_of_autobahn_ends_as_it_does_without_the_proxy() -> Outcome {
    let mut child = script("websocket.py")?;
    let mut says = BufReader::new(child.stdout.take().ok_or("no standard output")?);
    let mut port = String::new();
    timeout(PATIENCE, says.read_line(&mut port))
        .await
        .map_err(|_| "the echo doesn't start")?
        .map_err(text)?;
    let port = port.trim();
    let config =
        format!("[upstream.api]\nendpoints = [\"http://127.0.0.1:{port}\"]\nhealth = false\n");
    let binary = Binary::run(&config).await?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    input.write_all(format!("{}\n", binary.proxy).as_bytes()).await.map_err(text)?;
    let mut told = String::new();
    let all = std::env::var_os("MAINSTAY_CONFORMANCE_ALL").is_some();
    let patience = PATIENCE * if all { 60 } else { 3 };
    timeout(patience, says.read_to_string(&mut told))
        .await
        .map_err(|_| "the cases don't end")?
        .map_err(text)?;
    let told: Value =
        serde_json::from_str(&told).map_err(|_| format!("the suite says {told:?}"))?;
    if !told["differ"].as_array().is_some_and(Vec::is_empty) {
        return Err(format!("through the proxy it ends otherwise: {}", told["differ"]));
    }
    match told["cases"].as_u64() {
        Some(cases) if all || cases == QUICK_CASES => {
            println!("{cases} cases; not OK with the server alone either: {}", told["failed"]);
            Ok(())
        }
        cases => Err(format!("{cases:?} cases ran")),
    }
}
