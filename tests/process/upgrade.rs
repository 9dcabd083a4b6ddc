//! SIGUSR2: another process takes over, and whoever calls notices nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use mainstay_lab::{Lab, Spec};
use tokio::net::UnixDatagram;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::binary::{Binary, PATIENCE, exchange};
use crate::held::Held;
use crate::{Outcome, hold, text};

#[tokio::test]
async fn upgrades_refuse_nobody_and_cut_nothing() -> Outcome {
    let lab = Lab::start(Spec::of(["a", "b"])).await.map_err(text)?;
    let endpoints: Vec<(&str, SocketAddr)> =
        lab.servers().iter().map(|server| (server.name(), server.addr())).collect();
    let mut binary = Binary::start(&endpoints).await?;
    let (proxy, admin) = (binary.proxy, binary.admin);
    let (ends, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (ends, answered) = (Arc::clone(&ends), Arc::clone(&answered));
        callers.spawn(async move {
            // Each on a connection of its own: those that were open are another matter, and end by themselves.
            while !ends.load(SeqCst) {
                let answer = exchange(proxy, "GET", "/", "").await?;
                hold(answer.status == 200, format!("{answer:?}"))?;
                answered.fetch_add(1, SeqCst);
            }
            Ok::<(), String>(())
        });
    }
    let mut serving = binary.serving.id()?;
    for _ in 0..UPGRADES {
        let before = answered.load(SeqCst);
        binary.signal("USR2")?;
        serving = binary.serving.succeeded(serving, PATIENCE).await?;
        let goes_on = async {
            while answered.load(SeqCst) < before + 20 {
                sleep(BRIEFLY).await
            }
        };
        timeout(PATIENCE, goes_on).await.map_err(|_| "calls stand still")?;
        hold(exchange(admin, "GET", "/readyz", "").await?.status == 200, "the admin isn't ready")?;
    }
    ends.store(true, SeqCst);
    while let Some(ended) = callers.join_next().await {
        ended.map_err(text)??;
    }
    // The first one has nothing more to do.
    hold(binary.ended().await? == Some(0), "its exit code isn't 0")?;
    binary.signal("TERM")?;
    lab.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn what_is_under_way_ends_where_it_began() -> Outcome {
    let server = Held::start().await?;
    let mut binary = Binary::start(&[("a", server.address)]).await?;
    let call = tokio::spawn(exchange(binary.proxy, "GET", "/", ""));
    server.has_request().await?;
    let first = binary.serving.id()?;
    binary.signal("USR2")?;
    binary.serving.succeeded(first, PATIENCE).await?;
    binary.says("draining for at most 30 s").await?;
    hold(!call.is_finished(), "the call has ended before its answer came")?;
    server.go_on();
    let answer = call.await.map_err(text)??;
    hold((answer.status, answer.body.as_str()) == (200, "late"), format!("{answer:?}"))?;
    binary.says("drained, 0 calls cut").await?;
    hold(binary.ended().await? == Some(0), "its exit code isn't 0")?;
    hold(binary.exchange("GET", "/").await?.body == "late", "the successor doesn't answer")
}

#[tokio::test]
async fn a_successor_that_cant_start_changes_nothing() -> Outcome {
    let lab = Lab::start(Spec::of(["a"])).await.map_err(text)?;
    let endpoints = [("a", lab.servers()[0].addr())];
    let binary = Binary::start(&endpoints).await?;
    let first = binary.serving.id()?;
    binary.configure(&endpoints, "retri = 1\n")?;
    binary.signal("USR2")?;
    binary.says("did you mean `retry`?").await?;
    let why = binary.says("nobody has taken over, this process goes on").await?;
    hold(why.contains("exit status: 2"), &why)?;
    hold(binary.serving.id()? == first, "the file names another process")?;
    hold(binary.exchange("GET", "/").await?.status == 200, "no answer")?;

    // And once it is mended, it can.
    binary.configure(&endpoints, "")?;
    binary.signal("USR2")?;
    binary.serving.succeeded(first, PATIENCE).await?;
    hold(binary.exchange("GET", "/").await?.status == 200, "no answer")?;
    lab.shutdown().await;
    Ok(())
}

/// The successor has another number of workers, another admin address and another listener, and is itself succeeded by one with fewer.
#[tokio::test]
async fn what_the_config_says_anew_holds_for_the_successor() -> Outcome {
    let lab = Lab::start(Spec::of(["a"])).await.map_err(text)?;
    let endpoints = [("a", lab.servers()[0].addr())];
    let binary = Binary::start(&endpoints).await?;
    let mut serving = binary.serving.id()?;
    for threads in [5, 1] {
        let config = std::fs::read_to_string(binary.config()).map_err(text)?;
        let (_, rest) = config.split_once("\nadmin").ok_or("no admin")?;
        let changed = format!(
            "threads = {threads}\nlisten = [\"127.0.0.1:0\", \"127.0.0.2:0\"]\nadmin{rest}"
        );
        std::fs::write(binary.config(), changed).map_err(text)?;
        binary.signal("USR2")?;
        serving = binary.serving.succeeded(serving, PATIENCE).await?;
        // As many as there are sockets, and more: whoever accepts from each of them answers.
        for _ in 0..40 {
            let answer = binary.exchange("GET", "/").await?;
            hold(answer.status == 200, format!("{threads} threads: {answer:?}"))?;
        }
        hold(exchange(binary.admin, "GET", "/readyz", "").await?.status == 200, "no admin")?;
    }
    lab.shutdown().await;
    Ok(())
}

/// What it reads of its config doesn't come, as from a hung file system.
#[tokio::test]
async fn the_end_neednt_wait_for_a_successor_that_doesnt_get_ready() -> Outcome {
    let lab = Lab::start(Spec::of(["a"])).await.map_err(text)?;
    let mut binary = Binary::start(&[("a", lab.servers()[0].addr())]).await?;
    let first = binary.serving.id()?;
    std::fs::remove_file(binary.config()).map_err(text)?;
    let made = std::process::Command::new("mkfifo").arg(binary.config()).status();
    hold(made.map_err(text)?.success(), "mkfifo")?;
    binary.signal("USR2")?;
    let successor = async {
        loop {
            let found =
                std::process::Command::new("pgrep").args(["-P", &first.to_string()]).output();
            let found = String::from_utf8(found.map_err(text)?.stdout).map_err(text)?;
            match found.trim() {
                "" => sleep(BRIEFLY).await,
                id => return Ok::<String, String>(id.to_owned()),
            }
        }
    };
    let successor = timeout(PATIENCE, successor).await.map_err(|_| "no successor")??;
    hold(binary.exchange("GET", "/").await?.status == 200, "no answer meanwhile")?;
    binary.signal("TERM")?;
    hold(binary.ended().await? == Some(0), "its exit code isn't 0")?;
    let left = std::path::Path::new("/proc").join(&successor).exists();
    hold(!left, format!("the successor {successor} is left"))?;
    lab.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_service_manager_is_told_who_serves_and_when_it_ends() -> Outcome {
    let lab = Lab::start(Spec::of(["a"])).await.map_err(text)?;
    let folder = tempfile::tempdir().map_err(text)?;
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).map_err(text)?;
    let endpoints = [("a", lab.servers()[0].addr())];
    let mut binary = Binary::start_under(&endpoints, "", Some(&socket)).await?;
    let first = binary.serving.id()?;
    let hears = async || {
        let mut bytes = [0; 1024];
        let heard = timeout(PATIENCE, manager.recv(&mut bytes)).await;
        let length = heard.map_err(|_| "nothing is told")?.map_err(text)?;
        String::from_utf8(bytes[..length].to_vec()).map_err(text)
    };
    let told = hears().await?;
    hold(told == format!("MAINPID={first}\nREADY=1\n"), told)?;
    binary.signal("USR2")?;
    let told = hears().await?;
    let second = binary.serving.succeeded(first, PATIENCE).await?;
    hold(told == format!("MAINPID={second}\nREADY=1\n"), told)?;
    // The one that has been succeeded ends without a word: the service goes on.
    hold(binary.ended().await? == Some(0), "its exit code isn't 0")?;
    binary.signal("TERM")?;
    let told = hears().await?;
    hold(told == "STOPPING=1\n", told)?;
    lab.shutdown().await;
    Ok(())
}

const CALLERS: usize = 4;
const UPGRADES: usize = 3;
const BRIEFLY: Duration = Duration::from_millis(10);
