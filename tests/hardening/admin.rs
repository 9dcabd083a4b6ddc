//! The admin address of the real binary, asked by those who shouldn't: without the token, from another site's page, by a name
//! that was made to lead here (DNS rebinding).

use crate::Outcome;
use crate::stage::App;
use crate::support::{Binary, text};

const CONFIG: &str = "[upstream.api]\nendpoints = [\"http://127.0.0.1:1\"]\nhealth = false\n";

/// Everything that tells something.
const READS: &[&str] = &[
    "/status",
    "/calls",
    "/calls/0",
    "/connections",
    "/live",
    "/timeline",
    "/incidents",
    "/events",
    "/metrics",
    "/outbox",
    "/outbox/lanes",
    "/log",
    "/no-such-path",
];

/// Everything that changes something.
const ORDERS: &[&str] = &[
    "POST /reload",
    "PUT /log",
    "POST /upstreams/api/endpoints/a/order",
    "POST /upstreams/api/endpoints/a/breaker",
    "POST /outbox/x/retry",
    "POST /outbox/x/drop",
    "POST /outbox/x/settle",
    "POST /outbox/lanes/release",
    "DELETE /status",
    "OPTIONS /status",
    "OPTIONS *",
];

/// The head of the answer to a request with these fields.
async fn ask(binary: &Binary, request: &str, fields: &str) -> Result<String, String> {
    let mut app = App::of(binary.admin).await?;
    app.send(format!("{request} HTTP/1.1\r\n{fields}Content-Length: 2\r\n\r\n{{}}").as_bytes())
        .await;
    while !app.got.windows(4).any(|end| end == b"\r\n\r\n") {
        if !app.more().await? {
            break;
        }
    }
    let got = String::from_utf8_lossy(&app.got).to_ascii_lowercase();
    Ok(got.split("\r\n\r\n").next().unwrap_or_default().to_owned())
}

/// Each of these requests gets one of these statuses, and no leave for other sites to read the answer.
async fn check(
    binary: &Binary,
    requests: impl Iterator<Item = String>,
    fields: &str,
    statuses: &[&str],
) -> Outcome {
    for request in requests {
        let head = ask(binary, &request, fields).await?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        if !statuses.contains(&status) {
            return Err(format!("{request} with {fields:?}: {head}"));
        }
        if head.contains("access-control-allow") {
            return Err(format!("{request} lets other sites read: {head}"));
        }
    }
    Ok(())
}

fn reads() -> impl Iterator<Item = String> {
    READS.iter().map(|path| format!("GET {path}"))
}

fn orders() -> impl Iterator<Item = String> {
    ORDERS.iter().map(|order| (*order).to_owned())
}

#[tokio::test]
async fn with_a_token_nothing_is_told_and_nothing_done_without_it() -> Outcome {
    let binary = Binary::run_guarded(CONFIG, "s3cret").await?;
    for wrong in [
        "",
        "Authorization: Bearer s3cre\r\n",
        "Authorization: Basic czNjcmV0\r\n",
        "Cookie: token=s3cret\r\n",
        "X-Token: s3cret\r\n",
    ] {
        let fields = format!("Host: localhost\r\n{wrong}");
        check(&binary, reads().chain(orders()), &fields, &["401", "400"]).await?;
    }
    // In the target it would be in logs and histories.
    check(
        &binary,
        ["GET /status?token=s3cret".to_owned()].into_iter(),
        "Host: localhost\r\n",
        &["401"],
    )
    .await?;
    let fields = "Host: whatever.test\r\nAuthorization: Bearer s3cret\r\n";
    check(
        &binary,
        ["GET /status".to_owned(), "GET /metrics".to_owned()].into_iter(),
        fields,
        &["200"],
    )
    .await
}

#[tokio::test]
async fn without_a_token_a_name_that_was_made_to_lead_here_reads_nothing() -> Outcome {
    let binary = Binary::run(CONFIG).await?;
    let port = binary.admin.port();
    for host in [
        "evil.test",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "10.0.0.1",
        "0.0.0.0",
        "[::2]",
        "localhost@evil.test",
    ] {
        let fields = format!("Host: {host}:{port}\r\n");
        check(&binary, reads().chain(orders()), &fields, &["403", "400", "405"]).await?;
    }
    check(&binary, reads().take(1), &format!("Host: localhost:{port}\r\n"), &["200"]).await
}

#[tokio::test]
async fn another_sites_page_orders_nothing_whatever_it_knows() -> Outcome {
    let open = Binary::run(CONFIG).await?;
    let guarded = Binary::run_guarded(CONFIG, "s3cret").await?;
    let port = open.admin.port();
    for page in [
        "Origin: http://evil.test\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://localhost:1\r\n",
    ] {
        check(&open, orders(), &format!("Host: localhost:{port}\r\n{page}"), &["403", "400"])
            .await?;
        let fields = format!("Host: localhost\r\nAuthorization: Bearer s3cret\r\n{page}");
        check(&guarded, orders(), &fields, &["403", "400"]).await?;
    }
    // Nor does a page of this very address, which without a token is anybody's.
    let own = format!(
        "Host: localhost:{port}\r\nOrigin: http://localhost:{port}\r\nSec-Fetch-Site: same-origin\r\n"
    );
    check(&open, orders(), &own, &["403", "400"]).await
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused_without_a_token() -> Outcome {
    let folder = tempfile::tempdir().map_err(text)?;
    let file = folder.path().join("mainstay.toml");
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        std::fs::write(&file, format!("listen = \"127.0.0.1:0\"\nadmin = \"{address}\"\n{CONFIG}"))
            .map_err(text)?;
        let binary = env!("CARGO_BIN_EXE_mainstay");
        let ran = tokio::process::Command::new(binary)
            .args(["run", "--config"])
            .arg(&file)
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(crate::support::PATIENCE, ran)
            .await
            .map_err(|_| format!("it runs with {address}"))?
            .map_err(text)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !said.contains("token") {
            return Err(format!("{address}: {said}"));
        }
    }
    Ok(())
}
