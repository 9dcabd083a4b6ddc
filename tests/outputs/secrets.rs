//! What an application and an API tell each other in confidence is in nothing that is written, shown, fed or exported of their calls.
//!
//! Each secret holds one word, which is looked for everywhere; and each place has to tell of the calls, so that silence is no success.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::collector::Collector;
use crate::support::{PATIENCE, address_after, get, text};
use crate::{Outcome, hold};

const SECRET: &str = "s3cret";

/// Where an application puts secrets: in fields, in the query (of the target, and of where it comes from), and in the body.
const FIELDS: &str = "Authorization: Bearer s3cret\r\nProxy-Authorization: Basic s3cret\r\nCookie: session=s3cret\r\nX-Api-Key: s3cret\r\n\
                      Idempotency-Key: s3cret\r\nReferer: http://a.test/page?key=s3cret\r\nUser-Agent: app\r\n";

/// Bytes that come in over some time.
type Bytes = Arc<Mutex<Vec<u8>>>;

#[tokio::test]
async fn secrets_of_requests_and_answers_are_told_nowhere_as_text() -> Outcome {
    nowhere("text", "combined").await
}

#[tokio::test]
async fn secrets_of_requests_and_answers_are_told_nowhere_as_json() -> Outcome {
    nowhere("json", "json").await
}

async fn nowhere(log: &str, access: &str) -> Outcome {
    let heard = Bytes::default();
    let upstream = upstream(Arc::clone(&heard)).await?;
    let mut collector = Collector::start().await?;
    let folder = tempfile::tempdir().map_err(text)?;
    let file = |name: &str| folder.path().join(name);
    let keys = file("keys");
    std::fs::write(&keys, "api-key: s3cret\n").map_err(text)?;
    let config = format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nlog_calls = true\nlog_format = \"{log}\"\n\
         [access_log]\nfile = {:?}\nformat = \"{access}\"\nheaders = true\n\
         [records]\nfile = {:?}\ncalls = \"broken\"\n\
         [traces]\nendpoint = \"http://127.0.0.1:{}\"\nprotocol = \"http\"\ninterval = \"50ms\"\nratio = \"100%\"\nheaders_file = {keys:?}\n\
         [upstream.api]\nendpoints = [\"http://{upstream}\"]\nhealth = false\nbreaker.mode = \"off\"\nidempotent = true\n",
        file("access"),
        file("records"),
        collector.http,
    );
    let (_process, proxy, admin) = run(folder.path(), &config).await?;
    let (events, live) = (stream(admin, "/events").await?, stream(admin, "/live").await?);
    for (path, more) in [("/break", ""), ("/fail", ""), ("/well", ""), ("/twice", "Host: b\r\n")] {
        ask(proxy, path, more).await?;
    }

    // They did come, and go on as they were.
    let passed = String::from_utf8_lossy(&read(&heard)).into_owned();
    for part in ["/well?token=s3cret", "Bearer s3cret", "session=s3cret", "\r\n\r\ns3cret"] {
        hold(passed.contains(part), format!("the upstream doesn't hear {part}: {passed}"))?;
    }
    let (all, broken) = (["/break", "/fail", "/well"], ["/break", "/fail"]);
    for (name, told_of) in [("log", &all[..]), ("access", &all), ("records", &broken)] {
        let found = once(name, || std::fs::read(file(name)).unwrap_or_default(), told_of).await?;
        silent(name, &found)?;
    }
    // Each event has its call's id and no path; a broken call is shown live with it.
    silent("the feed", &once("the feed", || read(&events), &["call-delivered"]).await?)?;
    silent("the live stream", &once("the live stream", || read(&live), &["/break"]).await?)?;
    let mut spans = String::new();
    while !all.iter().all(|path| spans.contains(path)) {
        spans.push_str(&collector.export().await?["message"].to_string());
    }
    silent("spans", &spans)?;
    let calls = get(admin, "/calls").await?;
    hold(calls.contains("/break"), &calls)?;
    silent("/calls", &calls)?;
    let list: Value = serde_json::from_str(&calls).map_err(text)?;
    let list = list["calls"].as_array().ok_or("no calls")?;
    for call in list {
        let id = call["id"].as_str().ok_or("no id")?;
        let shown = get(admin, &format!("/calls/{id}")).await?;
        hold(shown.contains(id), &shown)?;
        silent("a call's record", &shown)?;
    }
    for page in ["/status", "/metrics", "/incidents", "/timeline", "/connections", "/log"] {
        silent(page, &get(admin, page).await?)?;
    }
    silent("messages", &std::fs::read_to_string(file("messages")).map_err(text)?)
}

fn silent(place: &str, said: &str) -> Outcome {
    let line = said.lines().find(|line| line.contains(SECRET));
    line.map_or(Ok(()), |line| Err(format!("{place}: {line}")))
}

fn read(bytes: &Bytes) -> Vec<u8> {
    bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// What is said there, once all of it is.
async fn once(place: &str, said: impl Fn() -> Vec<u8>, parts: &[&str]) -> Result<String, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = String::from_utf8_lossy(&said()).into_owned();
        if parts.iter().all(|part| found.contains(part)) {
            return Ok(found);
        }
        hold(Instant::now() < until, format!("{place} never says {parts:?}: {found}"))?;
        sleep(Duration::from_millis(10)).await;
    }
}

/// The binary, with what it says in files of this folder.
async fn run(
    folder: &Path,
    config: &str,
) -> Result<(Child, std::net::SocketAddr, std::net::SocketAddr), String> {
    let create = |name: &str| std::fs::File::create(folder.join(name)).map_err(text);
    std::fs::write(folder.join("config.toml"), config).map_err(text)?;
    let process = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .args(["run", "--config"])
        .arg(folder.join("config.toml"))
        .stdin(Stdio::null())
        .stdout(create("log")?)
        .stderr(create("messages")?)
        .kill_on_drop(true)
        .spawn()
        .map_err(text)?;
    let words = ["listening on http://", "admin on http://"];
    let messages = || std::fs::read(folder.join("messages")).unwrap_or_default();
    let said = once("the binary", messages, &words).await?;
    let address = |words| said.lines().find_map(|line| address_after(line, words));
    match words.map(address) {
        [Some(proxy), Some(admin)] => Ok((process, proxy, admin)),
        _ => Err(said),
    }
}

/// A POST with all secrets; what is answered doesn't matter.
async fn ask(proxy: std::net::SocketAddr, path: &str, more: &str) -> Outcome {
    let request = format!(
        "POST {path}?token=s3cret HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{more}{FIELDS}Content-Length: 6\r\n\r\ns3cret"
    );
    let asked = async {
        let mut tcp = TcpStream::connect(proxy).await?;
        tcp.write_all(request.as_bytes()).await?;
        tcp.read_to_end(&mut Vec::new()).await
    };
    timeout(PATIENCE, asked).await.map_err(text)?.map_err(text)?;
    Ok(())
}

/// An answer of the admin address that goes on and on, from its head.
async fn stream(admin: std::net::SocketAddr, path: &str) -> Result<Bytes, String> {
    let mut tcp = TcpStream::connect(admin).await.map_err(text)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {admin}\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.map_err(text)?;
    let bytes = Bytes::default();
    let kept = Arc::clone(&bytes);
    tokio::spawn(async move { collect(&mut tcp, &kept, |_| false).await });
    once(path, || read(&bytes), &["text/event-stream", "\r\n\r\n"]).await?;
    Ok(bytes)
}

/// Reads until enough has come, or all.
async fn collect(tcp: &mut TcpStream, into: &Bytes, is_enough: impl Fn(&[u8]) -> bool) {
    let (mut piece, mut all) = (vec![0; 16 * 1024], Vec::new());
    while let Ok(length @ 1..) = tcp.read(&mut piece).await {
        all.extend_from_slice(&piece[..length]);
        into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&piece[..length]);
        if is_enough(&all) {
            return;
        }
    }
}

/// An API that ends the connection, fails or answers, as the path says, and has secrets of its own in its answers.
async fn upstream(heard: Bytes) -> Result<std::net::SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let heard = Arc::clone(&heard);
            tokio::spawn(async move {
                let one = Bytes::default();
                collect(&mut tcp, &one, |all| all.ends_with(b"\r\n\r\ns3cret")).await;
                let request = read(&one);
                heard.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&request);
                let is = |path: &str| String::from_utf8_lossy(&request).contains(path);
                if is("/break") {
                    return;
                }
                let status = if is("/fail") { "500 s3cret" } else { "200 OK" };
                let answer = format!(
                    "HTTP/1.1 {status}\r\nset-cookie: session=s3cret\r\nlocation: /next?token=s3cret\r\netag: \"s3cret\"\r\n\
                     connection: close\r\ncontent-length: 6\r\n\r\ns3cret"
                );
                let _ = tcp.write_all(answer.as_bytes()).await;
            });
        }
    });
    Ok(address)
}
