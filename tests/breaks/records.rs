//! Records on disk: what broke is found there by its id, without the proxy.

use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{Binary, PATIENCE, get, text};
use crate::{Outcome, Stage};

#[tokio::test]
async fn a_broken_call_is_explained_from_the_file_after_the_proxy_has_gone() -> Outcome {
    let stage = Stage::set("[[server]]\nname = \"a\"\n").await?;
    stage.fault("a", "reset-before").await?;
    let folder = tempfile::tempdir().map_err(text)?;
    let file = folder.path().join("records.jsonl");
    let endpoint = format!("http://127.0.0.1:{}", stage.port("a")?);
    let more = format!("[records]\nfile = \"{}\"\n", file.display());
    let binary = Binary::run(&stage.config(&endpoint, &more)).await?;
    get(binary.proxy, "/orders/7").await?;
    let written = timeout(PATIENCE, async {
        while binary.admin("/status").await?["records"]["written"] != 1 {
            tokio::task::yield_now().await;
        }
        binary.admin("/calls").await
    });
    let calls = written.await.map_err(|_| "nothing was written")??;
    let id = calls["calls"][0]["id"].as_str().ok_or("no id")?.to_owned();
    drop(binary);
    let explained = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .args(["explain", &id, "--file"])
        .arg(&file)
        .stdin(Stdio::null())
        .output();
    let output = timeout(PATIENCE, explained).await.map_err(text)?.map_err(text)?;
    let told = String::from_utf8_lossy(&output.stdout);
    let wanted = ["/orders/7", "attempt 1", "reset-before-head", "evidence:", "fresh"];
    match wanted.iter().find(|word| !told.contains(**word)) {
        None if output.status.success() => Ok(()),
        missing => Err(format!("{missing:?} {}\n{told}", String::from_utf8_lossy(&output.stderr))),
    }
}
