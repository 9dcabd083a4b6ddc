//! The access log, and what is logged being changed while the proxy runs.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use crate::server::Server;
use crate::support::{Binary, PATIENCE, get, text};
use crate::{Outcome, hold};

/// One server that breaks where it is asked to, behind `/api`; nothing is tried again.
async fn config(server: &Server, more: &str) -> String {
    format!(
        "{more}\n[upstream.api]\nhealth = false\nretry.max_attempts = 1\nendpoints = [\"http://{}\"]\n[[route]]\npath = \"/api\"\n",
        server.address
    )
}

/// The text of a file, once `is_so` holds for it.
async fn written(file: &Path, is_so: impl Fn(&str) -> bool) -> Result<String, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = std::fs::read_to_string(file).unwrap_or_default();
        if is_so(&found) {
            return Ok(found);
        }
        hold(Instant::now() < until, format!("{} stays at {found}", file.display()))?;
        sleep(Duration::from_millis(10)).await;
    }
}

/// An order to the admin address: status and document.
async fn order(binary: &Binary, body: &str) -> Result<(u16, Value), String> {
    let admin = binary.admin;
    let request = format!(
        "PUT /log HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = String::new();
    let asked = async {
        let mut stream = TcpStream::connect(admin).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_string(&mut answer).await
    };
    timeout(PATIENCE, asked).await.map_err(text)?.map_err(text)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    Ok((status.ok_or("no status")?, serde_json::from_str(body).map_err(text)?))
}

#[tokio::test]
async fn each_request_has_a_line_whatever_became_of_it_and_no_query() -> Outcome {
    let server = Server::start(true).await?;
    let folder = tempfile::tempdir().map_err(text)?;
    let file = folder.path().join("access.log");
    let more = format!("[access_log]\nfile = {:?}\n", file.display().to_string());
    let binary = Binary::run(&config(&server, &more).await).await?;
    for path in ["/api/well?token=s3cret", "/api/break", "/nowhere"] {
        get(binary.proxy, path).await?;
    }
    let found = written(&file, |found| found.lines().count() == 3).await?;
    hold(!found.contains("s3cret"), &found)?;
    // A line is written once the exchange is over, which on another thread may be after the
    // application has read the answer and asked again: lines are found by their request.
    for (path, status) in [("/api/well", 200), ("/api/break", 502), ("/nowhere", 404)] {
        let request = format!("GET {path} HTTP/1.0");
        let line = found.lines().find(|line| line.contains(&request)).ok_or(&found)?;
        let parts: Vec<&str> = line.split('"').collect();
        let is_right = parts.len() == 7
            && parts[0].starts_with("127.0.0.1 - - [")
            && parts[0].ends_with(" +0000] ")
            && parts[1] == request
            && parts[2].starts_with(&format!(" {status} "))
            && (parts[3], parts[5]) == ("-", "-");
        hold(is_right, line)?;
        hold(status != 200 || line.contains(" 200 2 "), line)?;
    }
    let status = binary.admin("/status").await?["access_log"].take();
    hold(status["written"] == 3 && status["dropped"] == 0, status)
}

#[tokio::test]
async fn lines_of_json_say_the_call_and_files_are_rotated() -> Outcome {
    let server = Server::start(true).await?;
    let folder = tempfile::tempdir().map_err(text)?;
    let file = folder.path().join("access.jsonl");
    let more = format!(
        "[access_log]\nfile = {:?}\nformat = \"json\"\nheaders = true\nfile_size = \"1KiB\"\nfiles = 1\n",
        file.display().to_string()
    );
    let binary = Binary::run(&config(&server, &more).await).await?;
    get(binary.proxy, "/api/break?token=s3cret").await?;
    let found = written(&file, |found| found.ends_with('\n')).await?;
    let line: Value = serde_json::from_str(&found).map_err(text)?;
    let wanted = json!({ "method": "GET", "path": "/api/break", "status": 502, "protocol": "HTTP/1.0", "attempts": 1, "tls": false });
    for (key, value) in wanted.as_object().into_iter().flatten() {
        hold(&line[key] == value, format!("{key} in {line}"))?;
    }
    let call = line["call"].as_str().ok_or("no call")?;
    hold(binary.admin(&format!("/calls/{call}")).await?["call"]["id"] == call, "another call")?;
    for _ in 0..20 {
        get(binary.proxy, "/api/well").await?;
        sleep(Duration::from_millis(30)).await;
    }
    let older = folder.path().join("access.1.jsonl");
    written(&older, |found| !found.is_empty()).await?;
    let length = std::fs::metadata(&file).map_err(text)?.len();
    hold(length <= 1024, format!("{length} bytes"))
}

#[tokio::test]
async fn a_log_that_cant_be_written_holds_up_no_call_and_is_counted() -> Outcome {
    let server = Server::start(true).await?;
    let folder = tempfile::tempdir().map_err(text)?;
    let file = folder.path().join("missing/access.log");
    let more = format!("[access_log]\nfile = {:?}\n", file.display().to_string());
    let binary = Binary::run(&config(&server, &more).await).await?;
    let until = Instant::now() + PATIENCE;
    loop {
        hold(get(binary.proxy, "/api/well").await? == "ok", "no answer")?;
        let metrics = get(binary.admin, "/metrics").await?;
        let counted =
            metrics.lines().find(|line| line.starts_with("mainstay_access_lines_dropped_total "));
        if counted.is_some_and(|line| !line.ends_with(" 0")) {
            break;
        }
        hold(Instant::now() < until, format!("{counted:?}"))?;
    }
    // Once it can be written, it is.
    std::fs::create_dir(folder.path().join("missing")).map_err(text)?;
    while !file.exists() {
        get(binary.proxy, "/api/well").await?;
        hold(Instant::now() < until, "nothing is written")?;
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_logged_is_changed_while_it_runs_and_what_is_wrong_changes_nothing() -> Outcome {
    let server = Server::start(true).await?;
    let stdout = tempfile::NamedTempFile::new().map_err(text)?;
    let log = stdout.reopen().map_err(text)?;
    let binary = Binary::run_logging(&config(&server, "").await, log).await?;
    let begins = json!({ "calls": "broken", "format": "text", "level": "info", "messages": "mainstay=info" });
    let check = |seen: &Value, wanted: &Value| -> Outcome {
        let same = wanted.as_object().into_iter().flatten().all(|(key, value)| &seen[key] == value);
        hold(same, format!("wanted {wanted}, seen {seen}"))
    };
    check(&binary.admin("/log").await?, &begins)?;
    get(binary.proxy, "/api/healthy").await?;
    get(binary.proxy, "/api/break/1").await?;
    let found = written(stdout.path(), |found| found.contains("/api/break/1")).await?;
    hold(!found.contains("/api/healthy") && found.starts_with("time="), &found)?;
    let (status, seen) = order(
        &binary,
        r#"{"calls": "every", "format": "json", "messages": "mainstay=debug,h2=warn"}"#,
    )
    .await?;
    hold(status == 200, &seen)?;
    check(&seen, &json!({ "calls": "every", "format": "json", "level": "info" }))?;
    let heard = seen["messages"].as_str().unwrap_or_default();
    hold(heard.contains("mainstay=debug") && heard.contains("h2=warn"), heard)?;
    get(binary.proxy, "/api/seen").await?;
    let is_there = |found: &str| found.contains("/api/seen") && found.contains("ordered");
    let found = written(stdout.path(), is_there).await?;
    // The order itself has a line too, before it or after it: logs are written by several threads.
    let of = |what: &str| found.lines().find(|line| line.contains(what)).unwrap_or_default();
    let seen: Value = serde_json::from_str(of("/api/seen")).map_err(text)?;
    hold(seen["path"] == "/api/seen" && seen["level"] == "info", &seen)?;
    for (wrong, what) in [
        (r#"{"calls": "none", "format": "text"}"#, "broken, every"),
        (r#"{"volume": 11}"#, "calls, format, level, messages"),
        (r#"{"format": "text", "messages": "mainstay=loud"}"#, "mainstay=info"),
        ("nonsense", ""),
    ] {
        let (status, problem) = order(&binary, wrong).await?;
        hold(status == 400, format!("{wrong}: {problem}"))?;
        hold(
            what.is_empty()
                || problem["allowed"].as_str().is_some_and(|allowed| allowed.contains(what)),
            &problem,
        )?;
    }
    check(&binary.admin("/log").await?, &json!({ "calls": "every", "format": "json" }))?;
    order(&binary, r#"{"level": "error"}"#).await?;
    get(binary.proxy, "/api/quiet").await?;
    get(binary.proxy, "/api/break/2").await?;
    let found = written(stdout.path(), |found| found.contains("/api/break/2")).await?;
    hold(!found.contains("/api/quiet"), &found)
}

/// `mainstay log` with these words: exit code, what it prints, what it complains of.
async fn log_command(words: &[&str]) -> Result<(Option<i32>, String, String), String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    let running = command.arg("log").args(words).kill_on_drop(true).output();
    let output = timeout(PATIENCE, running).await.map_err(text)?.map_err(text)?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.code(), said(&output.stdout), said(&output.stderr)))
}

#[tokio::test]
async fn the_command_line_says_how_is_logged_and_changes_it_with_the_token_only() -> Outcome {
    let server = Server::start(true).await?;
    let binary = Binary::run_guarded(&config(&server, "").await, "secret").await?;
    let admin = binary.admin.to_string();
    let log = |words: &'static str| {
        let admin = admin.clone();
        async move {
            let words: Vec<_> = words.split_whitespace().chain(["--admin", &admin]).collect();
            log_command(&words).await
        }
    };
    for guarded in ["", "--calls every"] {
        let (code, _, error) = log(guarded).await?;
        hold(code == Some(2) && error.contains("wants a token"), format!("{code:?} {error}"))?;
    }
    let begins = "calls       broken\nformat      text\nlevel       info\nmessages    mainstay=info\naccess log  off\n";
    let (code, out, error) = log("--token secret").await?;
    hold(code == Some(0) && out == begins, format!("{code:?} {out}{error}"))?;
    let (code, out, error) =
        log("--token secret --calls every --level warn --messages mainstay=debug --json").await?;
    hold(code == Some(0), format!("{code:?} {error}"))?;
    let document: Value = serde_json::from_str(&out).map_err(text)?;
    let is_so = (&document["calls"], &document["level"]) == (&json!("every"), &json!("warn"));
    hold(is_so && document["format"] == "text", &document)?;
    hold(document["messages"] == "mainstay=debug", &document)?;
    for (wrong, told) in [
        ("--token secret --format xml", "format=xml: that isn't one of them; allowed: text, json"),
        ("--token secret --level warn --messages mainstay=loud", "messages=mainstay=loud"),
        ("--token secret --loud", "--loud"),
    ] {
        let (code, _, error) = log(wrong).await?;
        hold(code == Some(2) && error.contains(told), format!("{wrong}: {code:?} {error}"))?;
    }
    let (_, out, _) = log("--token secret").await?;
    hold(out.starts_with("calls       every\nformat      text\nlevel       warn\n"), out)?;
    let (code, _, error) = log_command(&["--admin", "127.0.0.1:1"]).await?;
    hold(code == Some(1) && error.contains("can't be asked"), format!("{code:?} {error}"))
}
