//! h11 reads the same bytes: a reader of HTTP/1.1 in Python, which shares no line with any of ours.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::Outcome;
use crate::strict::Message;
use crate::support::{PATIENCE, text};

/// Has it read the bytes of each connection, and compares.
pub(crate) async fn requests(streams: &[Vec<u8>], wanted: &[Message]) -> Outcome {
    let seen = ask(&json!({ "streams": streams })).await?;
    agree(&seen, wanted, |message| json!([message.start[0], message.start[1], message.body]))
}

/// The same for answers: each to a request by this method, on a connection of its own that has ended.
pub(crate) async fn answers(streams: &[(String, Vec<u8>)], wanted: &[Message]) -> Outcome {
    let (methods, streams): (Vec<_>, Vec<_>) = streams.iter().cloned().unzip();
    let seen = ask(&json!({ "streams": streams, "methods": methods })).await?;
    agree(&seen, wanted, |message| json!([message.start[1], "", message.body]))
}

fn agree(seen: &[Value], wanted: &[Message], shape: impl Fn(&Message) -> Value) -> Outcome {
    if let Some(wrong) = seen.iter().find(|one| one.is_string()) {
        return Err(format!("h11 refuses what left the proxy: {wrong}"));
    }
    let wanted: Vec<Value> = wanted.iter().map(shape).collect();
    match seen.iter().zip(&wanted).find(|(seen, wanted)| seen != wanted) {
        Some((seen, wanted)) => Err(format!("h11 sees {seen}, and not {wanted}")),
        None if seen.len() != wanted.len() => {
            Err(format!("h11 sees {} messages, and not {}", seen.len(), wanted.len()))
        }
        None => Ok(()),
    }
}

async fn ask(question: &Value) -> Result<Vec<Value>, String> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut child = Command::new(root.join("target/peers-venv/bin/python3"))
        .arg(root.join("tests/hardening/judge.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|why| {
            format!("python: {why}: nothing was judged; `cargo xtask test` installs it")
        })?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    input.write_all(question.to_string().as_bytes()).await.map_err(text)?;
    drop(input);
    let output = timeout(PATIENCE, child.wait_with_output()).await.map_err(text)?.map_err(text)?;
    serde_json::from_slice(&output.stdout).map_err(text)
}
