//! WebSocket connections that send a few messages and expect each back. By hand: what is sent is three kinds of frames.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::LONGEST_CALL;
use crate::traffic::Counts;

/// Connections a second.
pub(crate) const RATE: f64 = 3.0;

/// How one ended.
enum Talk {
    Good,
    Bad,
    Wrong,
}

/// Opens so many, one after the other.
pub(crate) async fn talk(to: SocketAddr, count: usize) -> Counts {
    let mut turns = interval(Duration::from_secs_f64(1.0 / RATE));
    let mut running = JoinSet::new();
    for _ in 0..count {
        turns.tick().await;
        running.spawn(timeout(LONGEST_CALL, one(to)));
    }
    let mut counts = Counts { calls: count as u64, ..Counts::default() };
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(Ok(Some(Talk::Good))) => counts.good += 1,
            Ok(Ok(Some(Talk::Wrong))) => counts.wrong += 1,
            Ok(Ok(Some(Talk::Bad) | None)) => counts.bad += 1,
            Ok(Err(_)) | Err(_) => counts.stuck += 1,
        }
    }
    counts
}

/// Nothing, if the connection broke.
async fn one(to: SocketAddr) -> Option<Talk> {
    let mut stream = TcpStream::connect(to).await.ok()?;
    let request = format!(
        "GET /socket HTTP/1.1\r\nhost: {to}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Some(Talk::Bad);
    }
    for number in 0..MESSAGES {
        let message = [b'a' + number; 20];
        stream.write_all(&frame(1, &message)).await.ok()?;
        match receive(&mut stream).await? {
            (1, back) if back == message => {}
            // A Close tells that it broke.
            (8, _) => return Some(Talk::Bad),
            _ => return Some(Talk::Wrong),
        }
        sleep(PAUSE).await;
    }
    stream.write_all(&frame(8, &1000_u16.to_be_bytes())).await.ok()?;
    let (code, _) = receive(&mut stream).await?;
    Some(if code == 8 { Talk::Good } else { Talk::Wrong })
}

/// A frame as clients send it, masked with zeros (RFC 6455, 5.2).
fn frame(code: u8, content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | code, 0x80 | content.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(content);
    frame
}

/// The next frame that is no Ping.
async fn receive(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    loop {
        let (first, length) = (stream.read_u8().await.ok()?, stream.read_u8().await.ok()?);
        let mut content = vec![0; usize::from(length & 0x7f)];
        stream.read_exact(&mut content).await.ok()?;
        match first & 0x0f {
            9 => stream.write_all(&frame(10, &content)).await.ok()?,
            code => return Some((code, content)),
        }
    }
}

const MESSAGES: u8 = 5;
const PAUSE: Duration = Duration::from_millis(100);
