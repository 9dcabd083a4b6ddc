//! Applications that are slow on purpose, or many: each lets go of nothing, so the proxy lets go of them.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::Outcome;
use crate::floods::{A_WHILE, let_go, open, within};
use crate::frames::{END_STREAM, Frame, HEADERS, Http2, SETTINGS, block};
use crate::stage::{App, Recorder, in_front_of, probe, until};
use crate::support::text;

#[tokio::test]
async fn heads_that_never_end_are_cut_however_slowly_they_go_on() -> Outcome {
    let recorder = Recorder::start().await?;
    let binary = in_front_of(recorder.address, "limits.head_timeout = \"400ms\"\n").await?;
    let mut dawdling = Vec::new();
    for _ in 0..200 {
        let mut app = App::of(binary.proxy).await?;
        app.send(b"GET /slow HTTP/1.1\r\nHost: a\r\nX: ").await;
        dawdling.push(app);
    }
    probe(&binary, "/meanwhile").await?;
    // This one isn't silent: it sends a byte again and again.
    let mut dripping = App::of(binary.proxy).await?;
    dripping.send(b"GET /slow HTTP/1.1\r\nHost: a\r\nX: ").await;
    while dripping.tcp.write_all(b"y").await.is_ok() {
        sleep(A_WHILE).await;
    }
    for mut app in dawdling {
        let got = String::from_utf8_lossy(app.rest().await?).into_owned();
        if !got.starts_with("HTTP/1.1 408 ") {
            return Err(format!("it is told {got:?}"));
        }
    }
    let_go(&binary).await?;
    match recorder.agreed().await?.iter().any(|one| one.start[1] == "/slow") {
        true => Err("the upstream heard of a head that never ended".into()),
        false => Ok(()),
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed() -> Outcome {
    let recorder = Recorder::start().await?;
    let more = "limits.idle_timeout = \"300ms\"\nlimits.head_timeout = \"300ms\"\n";
    let binary = in_front_of(recorder.address, more).await?;
    let mut silent = Vec::new();
    for place in 0..50 {
        let mut app = App::of(binary.proxy).await?;
        // Some say nothing at all, some the beginning of what becomes HTTP/2, some all of that and no more.
        app.send([&b""[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"][place % 3])
            .await;
        silent.push(app);
    }
    for app in &mut silent {
        app.rest().await?;
    }
    let_go(&binary).await
}

#[tokio::test]
async fn a_body_that_stops_coming_ends_its_call_and_its_connections() -> Outcome {
    let sink = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    let config = "limits.idle_timeout = \"1s\"\n";
    let binary = crate::stage::in_front_of_with(
        sink.local_addr().map_err(text)?,
        config,
        "attempt_timeout = \"300ms\"\n",
    )
    .await?;
    let mut slow = Vec::new();
    for _ in 0..30 {
        let mut app = App::of(binary.proxy).await?;
        app.send(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc").await;
        slow.push(app);
    }
    let ended = async {
        let mut tasks = Vec::new();
        for _ in 0..slow.len() {
            let (mut tcp, _) = sink.accept().await.map_err(text)?;
            tasks.push(tokio::spawn(async move {
                let mut heard = Vec::new();
                let _ = tcp.read_to_end(&mut heard).await;
                heard.len()
            }));
        }
        for task in tasks {
            // Each is let go of, with what had come of it.
            if task.await.map_err(text)? > 4096 {
                return Err("more was heard than was said".to_owned());
            }
        }
        Ok(())
    };
    tokio::time::timeout(crate::support::PATIENCE, ended)
        .await
        .map_err(|_| "the upstream is never let go of")??;
    for app in &mut slow {
        app.rest().await?;
    }
    let_go(&binary).await
}

/// An upstream with a large body for each request.
async fn generous(bytes: usize) -> Result<std::net::SocketAddr, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    let address = listener.local_addr().map_err(text)?;
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let piece = vec![b'x'; 64 * 1024];
                while matches!(tcp.read(&mut head).await, Ok(1..)) {
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
                    let _ = tcp.write_all(answer.as_bytes()).await;
                    let mut left = bytes;
                    while left > 0 && tcp.write_all(&piece[..left.min(piece.len())]).await.is_ok() {
                        left -= left.min(piece.len());
                    }
                }
            });
        }
    });
    Ok(address)
}

#[tokio::test]
async fn readers_that_dont_read_cost_little_and_are_let_go() -> Outcome {
    const READERS: u64 = 40;
    let address = generous(64 << 20).await?;
    let binary = in_front_of(address, "limits.idle_timeout = \"1s\"\n").await?;
    let before = binary.memory_kib()?;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut app = App::of(binary.proxy).await?;
        app.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
        // The head, so that each is on its way.
        app.more().await?;
        readers.push(app);
    }
    // Of the 64 MiB that each was promised, about one is in the proxy: hyper reads 408 KiB at once, and as much again while those wait.
    within(&binary, before, READERS * 1280)?;
    let_go(&binary).await?;
    within(&binary, before, READERS * 1280)
}

#[tokio::test]
async fn streams_whose_windows_are_never_opened_cost_little_and_are_let_go() -> Outcome {
    const STREAMS: u32 = 100;
    let address = generous(16 << 20).await?;
    let binary = in_front_of(address, "limits.idle_timeout = \"1s\"\n").await?;
    let before = binary.memory_kib()?;
    let mut connection = Http2::open(binary.proxy).await?;
    // SETTINGS_INITIAL_WINDOW_SIZE of nought: nothing of a body may be sent (CVE-2019-9517 and its kin).
    let mut frames = vec![Frame::new(SETTINGS, 0, 0, [0, 4, 0, 0, 0, 0])];
    let fields: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/large")];
    frames.extend((0..STREAMS).map(|count| Frame::head(2 * count + 1, &fields, true)));
    connection.send(&frames).await;
    let mut heads = 0;
    while heads < STREAMS {
        match connection.next().await? {
            Some(frame) if frame.kind == HEADERS => heads += 1,
            Some(_) => {}
            None => return Err(format!("the connection ended behind {heads} heads")),
        }
    }
    within(&binary, before, u64::from(STREAMS) * 1024)?;
    drop(connection);
    let_go(&binary).await
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_and_the_others_go_on() -> Outcome {
    const LIMIT: usize = 200;
    let recorder = Recorder::start().await?;
    let more = format!("limits.connections = {LIMIT}\nlimits.idle_timeout = \"5s\"\n");
    let binary = in_front_of(recorder.address, &more).await?;
    let mut kept = Vec::new();
    for _ in 0..LIMIT {
        let mut app = App::of(binary.proxy).await?;
        app.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        app.answers(&["GET"]).await?;
        kept.push(app);
    }
    if open(&binary).await? != LIMIT as u64 {
        return Err("they aren't all open".into());
    }
    let mut further = App::of(binary.proxy).await?;
    further.send(b"GET /further HTTP/1.1\r\nHost: a\r\n\r\n").await;
    if !further.rest().await?.is_empty() {
        return Err("one beyond the limit is answered".into());
    }
    let mut one = kept.pop().ok_or("none is kept")?;
    one.got.clear();
    one.send(b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n").await;
    one.answers(&["GET"]).await?;
    // Where one goes, another finds room.
    drop(one);
    until("there is room again", || async { Ok(open(&binary).await? < LIMIT as u64) }).await?;
    probe(&binary, "/room").await?;
    drop(kept);
    let_go(&binary).await
}

#[tokio::test]
async fn many_connections_that_are_parked_cost_little_each_and_are_let_go() -> Outcome {
    const MANY: u64 = 1000;
    let recorder = Recorder::start().await?;
    let binary = in_front_of(recorder.address, "limits.idle_timeout = \"20s\"\n").await?;
    probe(&binary, "/before").await?;
    let before = binary.memory_kib()?;
    let mut kept = Vec::new();
    for _ in 0..MANY {
        let mut app = App::of(binary.proxy).await?;
        app.send(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n").await;
        app.answers(&["GET"]).await?;
        kept.push(app);
    }
    // All that they hold while hyper's buffers are still there; parked, a fraction of it, as docs/benchmarks.md has it.
    within(&binary, before, MANY * 32)?;
    drop(kept);
    let_go(&binary).await
}

#[tokio::test]
async fn a_stream_whose_body_never_comes_is_ended() -> Outcome {
    let recorder = Recorder::start().await?;
    let binary =
        crate::stage::in_front_of_with(recorder.address, "", "attempt_timeout = \"300ms\"\n")
            .await?;
    let mut connection = Http2::open(binary.proxy).await?;
    let fields: [(&[u8], &[u8]); 4] =
        [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/slow")];
    connection.send(&[Frame::new(HEADERS, 4, 1, block(&fields))]).await;
    let end = connection.end_of(1).await?;
    if end == crate::frames::End::Good {
        return Err("it is answered".into());
    }
    // The connection goes on.
    let fields: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/next")];
    connection.send(&[Frame::new(HEADERS, 4 | END_STREAM, 3, block(&fields))]).await;
    match connection.end_of(3).await? {
        crate::frames::End::Good => Ok(()),
        other => Err(format!("the next stream: {other:?}")),
    }
}
