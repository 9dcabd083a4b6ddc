//! Large uploads whose bodies go on in a file: sent again to the byte, and no trace of them on the disk.

mod peer;

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mainstay::{Client, Plan, Source, Unanswered};
use mainstay_core::event::StopReason;
use mainstay_record::Recorder;
use peer::plan::plan;
use peer::{Conversation, Peer};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

type Ended = Result<u16, Unanswered>;

/// An application, and what comes of its calls.
struct Application {
    stream: DuplexStream,
    ended: mpsc::UnboundedReceiver<Ended>,
}

impl Application {
    fn new(plan: Plan, client: Client) -> Self {
        let (stream, theirs) = tokio::io::duplex(1 << 20);
        let (told, ended) = mpsc::unbounded_channel();
        let service = service_fn(move |request: Request<Incoming>| {
            let (plan, client, told) = (plan.clone(), client.clone(), told.clone());
            async move {
                let (head, body) = request.into_parts();
                let answer = client.call(&plan, head, Source::Incoming(body)).await;
                let ended = match answer {
                    Ok(answer) => {
                        let status = answer.response.status().as_u16();
                        answer.response.into_body().collect().await.expect("a whole answer");
                        Ok(status)
                    }
                    Err(unanswered) => Err(unanswered),
                };
                // The test may have seen enough.
                let _ = told.send(ended);
                Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new();
        tokio::spawn(connection.serve_connection(TokioIo::new(theirs), service));
        Self { stream, ended }
    }

    /// Sends the head of a PUT, then its body in chunks.
    async fn put(&mut self, head: &str, body: &[u8]) {
        let head = format!("PUT /file HTTP/1.1\r\nhost: app\r\n{head}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).await.expect("room");
        self.stream.write_all(body).await.expect("room");
    }
}

/// Bytes among which no stretch is like another, and which say what they are.
fn file(bytes: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|line: u64| format!("plaintext {line:013}\n").into_bytes());
    lines.take(bytes).collect()
}

/// A directory of this test's own.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("mainstay-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        Self(dir)
    }

    fn names(&self) -> usize {
        std::fs::read_dir(&self.0).expect("a directory").count()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("a directory");
    }
}

/// What a process has open in `dir`.
#[cfg(target_os = "linux")]
fn open_files(process: &str, dir: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(format!("/proc/{process}/fd")).expect("its descriptors");
    let paths = all.map(|entry| entry.expect("a descriptor").path());
    paths.filter(|path| std::fs::read_link(path).is_ok_and(|to| to.starts_with(dir))).collect()
}

fn client(dir: &Path) -> Client {
    Client::new(1 << 20).with_disk(dir.to_owned(), 1 << 30)
}

fn unrepeatable(recorder: &Arc<Recorder>) -> u64 {
    recorder.counts().upstreams[0].bodies_unrepeatable
}

async fn accept(peer: &Peer) -> Conversation {
    let mut conversation = peer.accept().await;
    let head = conversation.head().await;
    assert!(head.starts_with("PUT /file "), "{head}");
    conversation
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const MB: usize = 1_000_000;

#[tokio::test]
async fn an_upload_that_broke_in_its_middle_is_sent_again_to_the_byte() {
    let dir = Dir::new("broke");
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, recorder) = plan(&[&first, &second], "spill = true");
    let body = file(20 * MB);
    let mut app = Application::new(plan, client(&dir.0));
    let peers = async {
        let mut conversation = accept(&first).await;
        assert!(conversation.body(12 * MB).await == body[..12 * MB]);
        conversation.reset();
        let mut conversation = accept(&second).await;
        assert!(conversation.body(20 * MB).await == body);
        conversation.say(OK).await;
    };
    let head = format!("content-length: {}", body.len());
    tokio::join!(app.put(&head, &body), peers);
    assert_eq!(app.ended.recv().await.unwrap().unwrap(), 200);
    assert_eq!((unrepeatable(&recorder), dir.names()), (0, 0));
}

/// An upload of 2 MB, of which nothing was promised, whose first attempt breaks at its end.
async fn breaks_at_its_end(client: Client, config: &str) -> (Ended, Arc<Recorder>) {
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, recorder) = plan(&[&first, &second], config);
    let body = file(2 * MB);
    let mut app = Application::new(plan, client);
    let chunked = format!("{:x}\r\n{}\r\n0\r\n\r\n", body.len(), String::from_utf8_lossy(&body));
    let read_all = async {
        let mut conversation = accept(&first).await;
        let mut end = Vec::new();
        while !end.ends_with(b"\r\n0\r\n\r\n") {
            end.extend(conversation.body(1).await);
        }
        conversation.reset();
    };
    tokio::join!(app.put("transfer-encoding: chunked", chunked.as_bytes()), read_all);
    let ended = tokio::select! {
        ended = app.ended.recv() => ended.expect("its end"),
        () = async {
            let mut conversation = accept(&second).await;
            conversation.say(OK).await;
            std::future::pending().await
        } => unreachable!(),
    };
    (ended, recorder)
}

#[tokio::test]
async fn a_body_is_bounded_by_its_route_and_by_what_all_have() {
    let dir = Dir::new("bounds");
    let disk = |bytes| Client::new(1 << 20).with_disk(dir.0.clone(), bytes);
    let (ended, recorder) = breaks_at_its_end(disk(1 << 30), "spill.size = \"960KiB\"").await;
    assert_eq!((ended.unwrap(), unrepeatable(&recorder)), (200, 0));
    for (client, config) in [
        (disk(1 << 30), "spill.size = \"64KiB\""),
        (disk(100_000), "spill = true"),
        (disk(1 << 30), "spill = false"),
        (Client::new(1 << 20), "spill = true"),
    ] {
        let (ended, recorder) = breaks_at_its_end(client, config).await;
        assert_eq!(ended.unwrap_err().gave_up.stop, StopReason::Unrepeatable, "{config}");
        assert_eq!(unrepeatable(&recorder), 1, "{config}");
    }
}

/// Sends 3 MB to a peer that takes all of it, and gives what came of it.
async fn passes(dir: &Path) -> (Ended, u64) {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], "spill = true");
    let body = file(3 * MB);
    let mut app = Application::new(plan, client(dir));
    let peers = async {
        let mut conversation = accept(&peer).await;
        assert!(conversation.body(3 * MB).await == body);
        conversation.say(OK).await;
    };
    let head = format!("content-length: {}", body.len());
    tokio::join!(app.put(&head, &body), peers);
    (app.ended.recv().await.expect("its end"), unrepeatable(&recorder))
}

#[tokio::test]
async fn a_directory_that_isnt_there_costs_the_repetition_and_nothing_else() {
    let (ended, unrepeatable) = passes(Path::new("/nowhere/at/all")).await;
    assert_eq!((ended.unwrap(), unrepeatable), (200, 1));
}

#[test]
fn whether_files_can_be_made_is_told_before_one_is_needed() {
    let dir = Dir::new("tried");
    client(&dir.0).try_disk().expect("a directory");
    assert_eq!(dir.names(), 0);
    client(Path::new("/nowhere/at/all")).try_disk().expect_err("no directory");
    Client::new(1).try_disk().expect("nothing to try");
}

/// A file that can't grow any more breaks a write as a full disk does. The limit is a process's, so it takes one.
#[tokio::test]
async fn a_full_disk_costs_the_repetition_and_nothing_else() {
    if let Some(dir) = std::env::var_os(CHILD) {
        let (ended, unrepeatable) = passes(Path::new(&dir)).await;
        assert_eq!((ended.unwrap(), unrepeatable), (200, 1));
        return;
    }
    let dir = Dir::new("full");
    // A shell's limit is in blocks of 512 bytes: of 2 MB in the file, 500 kB fit.
    let limited = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" --exact \"$1\" --nocapture";
    let test = "a_full_disk_costs_the_repetition_and_nothing_else";
    let itself = std::env::current_exe().unwrap();
    let mut child = Command::new("sh");
    child.args(["-c", limited]).arg(itself).arg(test).env(CHILD, &dir.0);
    let done = child.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("1 passed"), "{said}");
    assert_eq!(dir.names(), 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_was_changed_is_never_sent() {
    use std::os::unix::fs::FileExt;

    let dir = Dir::new("changed");
    let (first, second) = (Peer::listen().await, Peer::listen().await);
    let (plan, recorder) = plan(&[&first, &second], "spill = true\nreplay = \"0B\"");
    let body = file(MB);
    let mut app = Application::new(plan, client(&dir.0));
    let peers = async {
        let mut conversation = accept(&first).await;
        conversation.body(MB).await;
        let files = open_files("self", &dir.0);
        let path = files.first().expect("a file");
        let inner = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let mut byte = [0];
        inner.read_exact_at(&mut byte, 300_000).unwrap();
        inner.write_all_at(&[byte[0] ^ 1], 300_000).unwrap();
        conversation.reset();
        // What was still in a buffer when the damage was found needn't have been sent, the head among that.
        let mut conversation = second.accept().await;
        conversation.next_head().await;
        let sent = conversation.rest().await;
        assert!(sent.len() < 300_000, "{} bytes were sent", sent.len());
        assert!(body.starts_with(&sent));
    };
    let head = format!("content-length: {}", body.len());
    tokio::join!(app.put(&head, &body), peers);
    let gave_up = app.ended.recv().await.unwrap().unwrap_err().gave_up;
    assert_eq!(gave_up.stop, StopReason::Unrepeatable);
    assert_eq!(unrepeatable(&recorder), 1);
}

/// Whoever looks at the disk while an upload is under way, or after the process was killed, finds nothing of it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_is_on_the_disk_has_no_name_and_cant_be_read_whatever_becomes_of_the_process() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return half_an_upload(Path::new(&dir)).await;
    }
    let dir = Dir::new("killed");
    let test = "what_is_on_the_disk_has_no_name_and_cant_be_read_whatever_becomes_of_the_process";
    let itself = std::env::current_exe().unwrap();
    let mut command = Command::new(itself);
    command.args(["--exact", test, "--nocapture"]).env(CHILD, &dir.0).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let said = std::io::BufReader::new(child.stdout.take().unwrap());
    assert!(said.lines().any(|line| line.unwrap().contains(UNDER_WAY)), "it ended early");

    let files = open_files(&child.id().to_string(), &dir.0);
    let contents: Vec<_> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let named = dir.names();
    child.kill().unwrap();
    child.wait().unwrap();

    let content = contents.first().expect("a file");
    assert!(content.len() > MB, "{} bytes", content.len());
    assert!(!content.windows(9).any(|nine| nine == b"plaintext"));
    assert_eq!((contents.len(), named, dir.names()), (1, 0, 0));
}

/// Says when most of an upload is in its file, and waits to be killed.
#[cfg(target_os = "linux")]
async fn half_an_upload(dir: &Path) {
    let peer = Peer::listen().await;
    let (plan, _) = plan(&[&peer], "spill = true");
    let body = file(3 * MB);
    let mut app = Application::new(plan, client(dir));
    let peers = async {
        let mut conversation = accept(&peer).await;
        conversation.body(3 * MB).await;
        println!("{UNDER_WAY}");
        std::future::pending::<()>().await;
    };
    tokio::join!(app.put("content-length: 4000000", &body), peers);
}

/// In its environment, a test that started itself finds the directory to use.
const CHILD: &str = "MAINSTAY_TEST_SPILL_DIR";

#[cfg(target_os = "linux")]
const UNDER_WAY: &str = "most of it is written";
