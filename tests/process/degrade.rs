//! What the application gets once the server is gone.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::binary::{Answer, Binary};
use crate::{Outcome, hold, text};

/// A server that says about its answers what the path tells, and leaves without a trace when told.
struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    async fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let task = tokio::spawn(async move {
            // Connections end with their set, and the set with the task.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
            }
        });
        Ok(Self { address, task })
    }

    async fn leaves(self) {
        self.task.abort();
        // It ends by being aborted: what it held is closed by then.
        let _ = self.task.await;
    }
}

async fn serve(mut stream: TcpStream) {
    let mut bytes = vec![0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut bytes).await {
        let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
        let path = request.split(' ').nth(1).unwrap_or_default();
        let says = match path.trim_start_matches('/').split('/').next() {
            Some("no-store") => "cache-control: no-store\r\n",
            Some("must-revalidate") => "cache-control: max-age=0, must-revalidate\r\n",
            Some("short") => "cache-control: max-age=0, stale-if-error=0\r\n",
            Some("fresh") => "cache-control: max-age=600\r\n",
            _ => "",
        };
        let body = if path.starts_with("/large") { "x".repeat(LARGE) } else { path.to_owned() };
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{says}\r\n{body}", body.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Bytes of a large answer.
const LARGE: usize = 100 * 1024;

const POLICY: &str = "retry.max_attempts = 1\nhealth = false\n\
    stale.if_error = \"1h\"\n\
    [[route]]\npath = \"/fixed\"\nstale = false\n\
    fallback = { status = 203, headers = [\"X-Mode: degraded\"], body = \"[]\" }\n\
    [[route]]\n";

fn is_stale(answer: &Answer, path: &str) -> Outcome {
    let right = answer.status == 200
        && answer.body == path
        && answer.head.contains("\r\nage: ")
        && answer.head.contains("\r\nproxy-status: mainstay; error=connection_")
        && answer.head.contains("details=\"stale answer, ")
        && answer.head.contains(" s old, after ");
    hold(right, format!("{path}: {answer:?}"))
}

#[tokio::test]
async fn once_a_server_is_gone_its_last_good_answers_stand_in_marked_as_such() -> Outcome {
    let server = Server::start().await?;
    let binary = Binary::start_with(&[("a", server.address)], POLICY).await?;
    let paths = ["/plain", "/fresh", "/no-store", "/must-revalidate", "/short", "/fixed"];
    for path in paths {
        let got = binary.exchange("GET", path).await?;
        let good = got.status == 200 && got.body == path && !got.head.contains("stale answer");
        hold(good, format!("{path}: {got:?}"))?;
    }
    server.leaves().await;
    for path in ["/plain", "/fresh"] {
        is_stale(&binary.exchange("GET", path).await?, path)?;
    }
    for path in ["/no-store", "/must-revalidate", "/short", "/never-asked"] {
        let got = binary.exchange("GET", path).await?;
        hold(got.status >= 502 && got.body.contains("urn:mainstay:break:"), format!("{got:?}"))?;
    }
    let got = binary.exchange("GET", "/fixed").await?;
    let right = (got.status, got.body.as_str()) == (203, "[]")
        && got.head.contains("\r\nx-mode: degraded")
        && got.head.contains("details=\"fallback answer after ");
    hold(right, format!("{got:?}"))?;
    let write = binary.exchange("POST", "/plain").await?;
    hold(write.status >= 502, format!("{write:?}"))?;

    let metrics = binary.ask("GET", "/metrics", "").await?.body;
    for line in ["kind=\"stale\"} 2", "kind=\"static\"} 1"] {
        let line = format!("mainstay_degraded_total{{upstream=\"api\",{line}");
        hold(metrics.contains(&line), format!("{line} isn't in\n{metrics}"))?;
    }
    let calls = binary.ask("GET", "/calls?outcome=failed", "").await?.body;
    let told =
        calls.contains("\"degraded\":\"stale\"") && calls.contains("\"degraded\":\"static\"");
    hold(told, calls)
}

#[tokio::test]
async fn what_is_kept_stays_within_its_bound_and_the_newest_stays() -> Outcome {
    let server = Server::start().await?;
    let more = format!("{POLICY}\n[limits]\nstale_total = \"1MiB\"\n");
    let binary = Binary::start_with(&[("a", server.address)], &more).await?;
    for number in 0..30 {
        let got = binary.exchange("GET", &format!("/large/{number}")).await?;
        hold(got.body.len() == LARGE, format!("{} bytes", got.body.len()))?;
    }
    server.leaves().await;
    let mut kept = Vec::new();
    for number in 0..30 {
        if binary.exchange("GET", &format!("/large/{number}")).await?.status == 200 {
            kept.push(number);
        }
    }
    // Three quarters of 1 MiB hold seven of them.
    hold(kept == [23, 24, 25, 26, 27, 28, 29], format!("{kept:?}"))
}
