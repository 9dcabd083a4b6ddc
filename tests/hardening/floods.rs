//! Floods over HTTP/2 and with heads: each is ended or held still with little memory, and others are served meanwhile.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::Outcome;
use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, End, Frame, HEADERS, Http2, PING, RST_STREAM, SETTINGS,
};
use crate::stage::{App, Recorder, in_front_of, probe, until};
use crate::support::{Binary, text};

/// What a flood may cost at most. The allocator keeps some of what it had, and the binary is a debug build.
const ROOM_KIB: u64 = 48 * 1024;

/// RFC 9113, section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

type Plain = [(&'static [u8], &'static [u8]); 4];

const GET: Plain =
    [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/flood")];
const POST: Plain =
    [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/flood")];

/// How many connections of applications are open, by the binary's own count.
pub(crate) async fn open(binary: &Binary) -> Result<u64, String> {
    let status = binary.admin("/status").await?;
    status["connections"]["open"]
        .as_u64()
        .ok_or_else(|| format!("no count of connections: {status}"))
}

/// Waits until no application's connection is open.
pub(crate) async fn let_go(binary: &Binary) -> Outcome {
    until("all connections are let go", || async { Ok(open(binary).await? == 0) }).await
}

/// What the process holds now, against before.
pub(crate) fn within(binary: &Binary, before: u64, room_kib: u64) -> Outcome {
    let now = binary.memory_kib()?;
    match now.saturating_sub(before) <= room_kib {
        true => Ok(()),
        false => Err(format!("it held {before} KiB before, and {now} KiB now")),
    }
}

/// A connection whose every frame is `frames`, until the proxy ends it: the code that it gives. It reads what comes all the time, or else
/// its own silence would end it.
async fn until_ended(
    binary: &Binary,
    mut frames: impl FnMut(u32) -> Vec<Frame>,
    rounds: u32,
) -> Result<End, String> {
    let connection = Http2::open(binary.proxy).await?;
    let (reading, mut writing) = connection.split();
    let writer = async {
        for round in 0..rounds {
            let bytes: Vec<u8> = frames(round).iter().flat_map(Frame::bytes).collect();
            if writing.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // It says no more, and waits for what it is told.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        end = reading.end() => end,
        () = writer => Err("the writer ended".into()),
    }
}

/// The flood is ended by the proxy, with little memory, and another application is served.
async fn check_ended(frames: impl FnMut(u32) -> Vec<Frame>, rounds: u32) -> Outcome {
    let recorder = Recorder::start().await?;
    let binary = in_front_of(recorder.address, "").await?;
    probe(&binary, "/before").await?;
    let before = binary.memory_kib()?;
    let end = until_ended(&binary, frames, rounds).await?;
    if !matches!(end, End::GoAway(ENHANCE_YOUR_CALM) | End::Closed) {
        return Err(format!("it ends with {end:?}"));
    }
    within(&binary, before, ROOM_KIB)?;
    probe(&binary, "/after").await?;
    let_go(&binary).await?;
    let heard = recorder.agreed().await?.len();
    // What was reset while it was on its way may have been asked for; but a flood isn't handed on.
    if heard > 300 {
        return Err(format!("the upstream heard {heard} requests of the flood"));
    }
    Ok(())
}

#[tokio::test]
async fn streams_that_are_reset_at_once_end_their_connection() -> Outcome {
    // CVE-2023-44487.
    let pair = |round: u32| {
        let stream = 2 * round + 1;
        vec![
            Frame::head(stream, &GET, true),
            Frame::new(RST_STREAM, 0, stream, 8_u32.to_be_bytes()),
        ]
    };
    check_ended(pair, 20_000).await
}

#[tokio::test]
async fn streams_that_have_to_be_reset_end_their_connection() -> Outcome {
    // Each is wrong in itself, so that the proxy resets it: CVE-2025-8671.
    let wrong = |round: u32| {
        let stream = 2 * round + 1;
        let mut fields = POST.to_vec();
        fields.push((b"content-length", b"5"));
        vec![Frame::head(stream, &fields, true)]
    };
    check_ended(wrong, 20_000).await
}

#[tokio::test]
async fn a_head_that_never_ends_ends_its_connection() -> Outcome {
    // CVE-2024-27316.
    let piece = |round: u32| match round {
        0 => vec![Frame::new(HEADERS, 0, 1, crate::frames::block(&GET))],
        _ => vec![Frame::new(CONTINUATION, 0, 1, crate::frames::block(&[(b"x", &[b'a'; 8000])]))],
    };
    check_ended(piece, 20_000).await
}

#[tokio::test]
async fn a_head_of_empty_pieces_ends_its_connection() -> Outcome {
    let piece = |round: u32| match round {
        0 => vec![Frame::new(HEADERS, 0, 1, crate::frames::block(&GET))],
        _ => vec![Frame::new(CONTINUATION, 0, 1, []); 64],
    };
    check_ended(piece, 20_000).await
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_or_reset_and_nothing_of_it_goes_on() -> Outcome {
    let recorder = Recorder::start().await?;
    let binary = in_front_of(recorder.address, "").await?;
    let before = binary.memory_kib()?;
    for round in 0..50 {
        let mut connection = Http2::open(binary.proxy).await?;
        // Small names, small values, many: what they take in memory is what counts.
        let many: Vec<(&[u8], &[u8])> =
            GET.into_iter().chain(std::iter::repeat_n((&b"x"[..], &b"y"[..]), 3000)).collect();
        let block = crate::frames::block(&many);
        let mut frames = vec![Frame::new(HEADERS, 1, 1, &block[..8000])];
        frames.push(Frame::new(CONTINUATION, END_HEADERS, 1, &block[8000..]));
        connection.send(&frames).await;
        let end = connection.end_of(1).await?;
        if end == End::Good {
            return Err(format!("it is answered, round {round}"));
        }
    }
    within(&binary, before, ROOM_KIB)?;
    if !recorder.agreed().await?.is_empty() {
        return Err("the upstream heard of it".into());
    }
    probe(&binary, "/after").await
}

/// A flood that is no error by itself, from an application that doesn't read: it is held still, its memory is bounded, and
/// when it has stood still for long enough it is let go.
async fn check_held(frame: Frame) -> Outcome {
    let recorder = Recorder::start().await?;
    let binary = in_front_of(recorder.address, "limits.idle_timeout = \"500ms\"\n").await?;
    probe(&binary, "/before").await?;
    let before = binary.memory_kib()?;
    let mut connection = Http2::open(binary.proxy).await?;
    let bytes = frame.bytes().repeat(1000);
    let flood = async {
        while connection.tcp.write_all(&bytes).await.is_ok() {
            within(&binary, before, ROOM_KIB)?;
        }
        Ok::<_, String>(())
    };
    let serving = async {
        for _ in 0..20 {
            probe(&binary, "/meanwhile").await?;
        }
        Ok::<_, String>(())
    };
    let (flooded, served) =
        timeout(crate::support::PATIENCE, async { tokio::join!(flood, serving) })
            .await
            .map_err(|_| "the flood is never ended")?;
    flooded?;
    served?;
    let_go(&binary).await
}

#[tokio::test]
async fn pings_whose_answers_nobody_reads_are_held_still_and_let_go() -> Outcome {
    check_held(Frame::new(PING, 0, 0, [7; 8])).await
}

#[tokio::test]
async fn settings_whose_answers_nobody_reads_are_held_still_and_let_go() -> Outcome {
    check_held(Frame::new(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 100])).await
}

#[tokio::test]
async fn empty_frames_of_a_body_end_their_connection_or_cost_nothing() -> Outcome {
    // CVE-2019-9518. The upstream takes nothing of the body, so that whatever is kept is kept here.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    let binary = in_front_of(mute.local_addr().map_err(text)?, "").await?;
    let before = binary.memory_kib()?;
    let mut connection = Http2::open(binary.proxy).await?;
    connection.send(&[Frame::head(1, &POST, false)]).await;
    let (accepted, _) =
        timeout(crate::support::PATIENCE, mute.accept()).await.map_err(text)?.map_err(text)?;
    let bytes = Frame::new(DATA, 0, 1, []).bytes().repeat(1000);
    let mut ended = false;
    for _ in 0..500 {
        if connection.tcp.write_all(&bytes).await.is_err() {
            ended = true;
            break;
        }
    }
    within(&binary, before, ROOM_KIB)?;
    drop((accepted, connection));
    let_go(&binary).await.map_err(|why| format!("{why} (ended: {ended})"))
}

#[tokio::test]
async fn more_streams_than_are_allowed_are_refused() -> Outcome {
    // An upstream that answers nothing, so that all stay open.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
    let binary =
        in_front_of(mute.local_addr().map_err(text)?, "limits.http2_streams = 10\n").await?;
    let mut connection = Http2::open(binary.proxy).await?;
    // The limit counts once both have said so.
    while let Some(frame) = connection.next().await? {
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            connection.send(&[Frame::new(SETTINGS, ACK, 0, [])]).await;
            break;
        }
    }
    let heads: Vec<Frame> = (0..11).map(|count| Frame::head(2 * count + 1, &GET, true)).collect();
    connection.send(&heads).await;
    match connection.end_of(21).await? {
        // REFUSED_STREAM, or PROTOCOL_ERROR.
        End::Reset(7 | 1) => Ok(()),
        other => Err(format!("the eleventh stream: {other:?}")),
    }
}

#[tokio::test]
async fn heads_of_many_fields_and_of_large_ones_are_refused_with_little_memory() -> Outcome {
    let recorder = Recorder::start().await?;
    let binary = in_front_of(recorder.address, "").await?;
    probe(&binary, "/before").await?;
    let before = binary.memory_kib()?;
    let many = "x: y\r\n".repeat(5000);
    let large = format!("x: {}\r\n", "y".repeat(1 << 20));
    let endless = "y".repeat(1 << 20);
    for fields in [many, large, endless] {
        for _ in 0..20 {
            let mut app = App::of(binary.proxy).await?;
            app.send(format!("GET /flood HTTP/1.1\r\nHost: a\r\n{fields}").as_bytes()).await;
            app.send(b"\r\n").await;
            let got = String::from_utf8_lossy(app.rest().await?).into_owned();
            // A reset may have overtaken the answer, as the application is still sending.
            if !got.is_empty() && !got.starts_with("HTTP/1.1 431 ") {
                return Err(format!("it is answered: {got:?}"));
            }
        }
    }
    within(&binary, before, ROOM_KIB)?;
    probe(&binary, "/after").await?;
    let_go(&binary).await?;
    match recorder.agreed().await?.iter().filter(|one| one.start[1] == "/flood").count() {
        0 => Ok(()),
        heard => Err(format!("the upstream heard {heard} of them")),
    }
}

/// How long a slow one is at it, for tests that end it by a timeout of their own.
pub(crate) const A_WHILE: Duration = Duration::from_millis(30);
