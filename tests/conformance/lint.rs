//! httplint on answers that are Mainstay's own: problem documents, the admin address, the dashboard; and on one that only went through.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Binary, PATIENCE, text};
use crate::{Outcome, script};

/// Requests to the proxy: one that meets nobody, and some that are refused.
const PROXY: &[(&str, &str)] = &[
    ("GET", "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ("HEAD", "HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    ("GET", "GET /x HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n"),
    ("GET", "GET /elsewhere HTTP/1.1\r\nHost: none\r\nConnection: close\r\n\r\n"),
    ("OPTIONS", "OPTIONS /x HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n"),
];

/// Paths of the admin address whose answers end.
const ADMIN: &[&str] = &[
    "/",
    "/dashboard/app.js",
    "/dashboard/style.css",
    "/healthz",
    "/readyz",
    "/status",
    "/calls",
    "/calls/0",
    "/connections",
    "/incidents",
    "/metrics",
    "/outbox",
    "/log",
    "/timeline",
    "/no-such-path",
];

async fn ask(address: std::net::SocketAddr, request: &str) -> Result<Vec<u8>, String> {
    let mut tcp = TcpStream::connect(address).await.map_err(text)?;
    tcp.write_all(request.as_bytes()).await.map_err(text)?;
    let mut got = Vec::new();
    timeout(PATIENCE, tcp.read_to_end(&mut got))
        .await
        .map_err(|_| format!("{request:?} isn't answered"))?
        .map_err(text)?;
    Ok(got)
}

#[tokio::test]
async fn httplint_finds_nothing_bad_in_our_own_answers() -> Outcome {
    let config = "[upstream.api]\nendpoints = [\"http://127.0.0.1:1\"]\nhealth = false\nretry.max_attempts = 1\n\
                  [[route]]\nupstream = \"api\"\npath = \"/x\"\n";
    let binary = Binary::run(config).await?;
    let mut answers = Vec::new();
    for (method, request) in PROXY {
        answers.push(json!({ "name": request.lines().next(), "method": method, "bytes": ask(binary.proxy, request).await? }));
    }
    for path in ADMIN {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        answers.push(
            json!({ "name": path, "method": "GET", "bytes": ask(binary.admin, &request).await? }),
        );
    }
    let mut child = script("lint.py")?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    input.write_all(json!(answers).to_string().as_bytes()).await.map_err(text)?;
    drop(input);
    let output = timeout(PATIENCE, child.wait_with_output()).await.map_err(text)?.map_err(text)?;
    let told: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| "httplint says nothing; its error is above".to_owned())?;
    let notes = told["notes"].as_array().ok_or("no notes")?;
    for note in notes {
        println!("{note}");
    }
    let bad: Vec<&Value> = notes.iter().filter(|note| note[1] == "bad").collect();
    match (told["linted"].as_u64(), &bad[..]) {
        (Some(linted), []) if linted == answers.len() as u64 => Ok(()),
        (linted, bad) => {
            Err(format!("{linted:?} of {} answers were looked at; bad: {bad:?}", answers.len()))
        }
    }
}
