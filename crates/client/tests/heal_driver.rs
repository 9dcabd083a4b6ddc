//! Downloads that break, and what is special about them at the driver: over HTTP/2, read slowly, left in the middle of being continued,
//! and answers whose end nobody announced.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt;
use mainstay::{Client, Clock, DeliveredBody, Plan, Source};
use mainstay_core::BreakKind;
use mainstay_record::Recorder;
use peer::plan::plan;
use peer::told::request;
use peer::{Conversation, Peer};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Duration, timeout};

/// Nothing is held back, so that each break is one of a delivered answer; and attempts follow each other at once.
const CONFIG: &str = "heal = { hold = false }\n\
     retry = { backoff = { base = \"1ms\", cap = \"5ms\" } }\nbreaker = { mode = \"off\" }\n";

/// How many bytes are asked for again, to be compared.
const OVERLAP: usize = 512;

fn content(size: usize) -> Vec<u8> {
    (0..size).map(|place| (place.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect()
}

async fn call(client: &Client, plan: &Plan) -> DeliveredBody {
    client.call(plan, request("GET"), Source::Empty).await.unwrap().response.into_body()
}

/// What came, and what broke it in the end.
async fn read(mut body: DeliveredBody) -> (Vec<u8>, Option<BreakKind>) {
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => all.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => return (all, Some(error.what.kind)),
        }
    }
    (all, None)
}

/// The first bytes, at least so many.
async fn read_some(body: &mut DeliveredBody, least: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < least {
        all.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    all
}

/// What a part of a representation is told by.
fn part_head(from: usize, size: usize) -> String {
    format!(
        "HTTP/1.1 206 Partial Content\r\netag: \"one\"\r\ncontent-length: {}\r\n\
         content-range: bytes {from}-{}/{size}\r\n\r\n",
        size - from,
        size - 1
    )
}

fn whole_head(size: usize) -> String {
    format!("HTTP/1.1 200 OK\r\netag: \"one\"\r\ncontent-length: {size}\r\n\r\n")
}

/// Where the range begins that a request asks for.
async fn asked_from(conversation: &mut Conversation) -> usize {
    let head = conversation.head().await;
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    range.and_then(|range| range.split('-').next()?.parse().ok()).expect("a range")
}

/// Begins an answer of this size and breaks off after so many bytes of it.
async fn begin_and_reset(peer: &Peer, all: &[u8], until: usize) {
    let mut conversation = peer.accept().await;
    conversation.head().await;
    conversation.say(&whole_head(all.len())).await;
    conversation.say_bytes(&all[..until]).await;
    conversation.reset();
}

/// No attempt is out, and none is to come.
fn check_free(plan: &Plan, recorder: &Recorder) {
    let (upstream, now) = (plan.service.upstream(), Clock::now());
    let load = upstream.load(now);
    assert_eq!((load.in_flight, load.waiting), (0, 0));
    assert!(upstream.view(now).iter().all(|endpoint| endpoint.in_flight == 0));
    let calls = recorder.counts().calls;
    assert_eq!((calls.in_progress, calls.started), (0, calls.records));
}

// ---- HTTP/2 ---------------------------------------------------------------------------------------------------------

async fn accept(peer: &Peer) -> Connection<TcpStream, Bytes> {
    h2::server::handshake(peer.accept().await.stream).await.unwrap()
}

async fn next(
    connection: &mut Connection<TcpStream, Bytes>,
) -> (Request<RecvStream>, SendResponse<Bytes>) {
    connection.accept().await.unwrap().unwrap()
}

/// Sends the head of a part that begins there, and its bytes up to another place.
fn send_part(
    mut respond: SendResponse<Bytes>,
    all: &[u8],
    from: usize,
    until: usize,
) -> SendStream<Bytes> {
    let mut head = Response::builder().header("etag", "\"one\"");
    head = head.header("content-length", all.len() - from);
    if from > 0 {
        let told = format!("bytes {from}-{}/{}", all.len() - 1, all.len());
        head = head.status(206).header("content-range", told);
    }
    let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
    stream.send_data(Bytes::copy_from_slice(&all[from..until]), until == all.len()).unwrap();
    stream
}

/// Drives the connection until the application has had what was sent: it wouldn't go out any more after the stream's end.
async fn until_had(had: &Notify, connection: &mut Connection<TcpStream, Bytes>) {
    tokio::select! {
        () = had.notified() => {}
        _ = connection.accept() => panic!("the application asks for nothing meanwhile"),
    }
}

/// A download over HTTP/2 that the application reads up to 10,000 bytes, says so, and reads on.
async fn read_over_http2(plan: &Plan, had: &Notify) -> (Vec<u8>, Option<BreakKind>) {
    let client = Client::new(1 << 20);
    let mut body = call(&client, plan).await;
    let mut bytes = read_some(&mut body, 10_000).await;
    had.notify_one();
    let (rest, broke) = read(body).await;
    bytes.extend(rest);
    (bytes, broke)
}

#[tokio::test]
async fn a_stream_that_was_reset_goes_on_as_another_stream_of_its_connection() {
    let (peer, all, had) = (Peer::listen().await, content(30_000), Notify::new());
    let (plan, recorder) = plan(&[&peer], &format!("{CONFIG}connect.http2 = \"always\""));
    let serving = async {
        let mut connection = accept(&peer).await;
        let (_, respond) = next(&mut connection).await;
        let mut stream = send_part(respond, &all, 0, 10_000);
        until_had(&had, &mut connection).await;
        stream.send_reset(Reason::INTERNAL_ERROR);
        let (request, respond) = next(&mut connection).await;
        assert_eq!(request.headers()["range"], "bytes=9488-29999");
        assert_eq!(request.headers()["if-range"], "\"one\"");
        send_part(respond, &all, 10_000 - OVERLAP, all.len());
        while connection.accept().await.is_some() {}
    };
    let (bytes, broke) = tokio::select! {
        read = read_over_http2(&plan, &had) => read,
        () = serving => panic!("the connection ended before"),
    };
    assert!(bytes == all && broke.is_none(), "{} bytes, {broke:?}", bytes.len());
    let calls = recorder.counts().calls;
    assert_eq!((calls.healed, calls.cut), (1, 0));
}

#[tokio::test]
async fn a_connection_that_ended_with_its_streams_is_followed_by_another_one() {
    let (peer, all, had) = (Peer::listen().await, content(30_000), Notify::new());
    let (plan, recorder) = plan(&[&peer], &format!("{CONFIG}connect.http2 = \"always\""));
    let serving = async {
        let mut connection = accept(&peer).await;
        let (_, respond) = next(&mut connection).await;
        let stream = send_part(respond, &all, 0, 10_000);
        until_had(&had, &mut connection).await;
        drop((stream, connection));
        let mut connection = accept(&peer).await;
        let (request, respond) = next(&mut connection).await;
        assert_eq!(request.headers()["range"], "bytes=9488-29999");
        // The whole, whose end is its last byte: nothing else announces it.
        send_part(respond, &all, 0, all.len());
        while connection.accept().await.is_some() {}
    };
    let (bytes, broke) = tokio::select! {
        read = read_over_http2(&plan, &had) => read,
        () = serving => panic!("the connection ended before"),
    };
    assert!(bytes == all && broke.is_none(), "{} bytes, {broke:?}", bytes.len());
    check_free(&plan, &recorder);
}

// ---- a slow reader --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn what_is_continued_waits_for_an_application_that_reads_slowly() {
    let (peer, all) = (Peer::listen().await, content(LARGE));
    let (plan, recorder) = plan(&[&peer], CONFIG);
    let client = Client::new(1 << 20);
    let (stuck, go_on) = (Notify::new(), Notify::new());
    let serving = async {
        begin_and_reset(&peer, &all, 10_000).await;
        let mut conversation = peer.accept().await;
        let from = asked_from(&mut conversation).await;
        assert_eq!(from, 10_000 - OVERLAP);
        conversation.say(&part_head(from, LARGE)).await;
        let taken = write_until_stuck(&conversation.stream, &all[from..]).await;
        stuck.notify_one();
        assert!(taken < IN_BETWEEN, "{taken} bytes are on their way to nobody");
        go_on.notified().await;
        conversation.say_bytes(&all[from + taken..]).await;
        conversation
    };
    let calling = async {
        let mut body = call(&client, &plan).await;
        let mut bytes = read_some(&mut body, 10_001).await;
        stuck.notified().await;
        go_on.notify_one();
        let (rest, broke) = read(body).await;
        bytes.extend(rest);
        (bytes, broke)
    };
    let ((bytes, broke), _conversation) = tokio::join!(calling, serving);
    assert!(bytes == all && broke.is_none(), "{} bytes, {broke:?}", bytes.len());
    check_free(&plan, &recorder);
}

/// Writes until nobody takes any more, and says how much was taken.
async fn write_until_stuck(stream: &TcpStream, bytes: &[u8]) -> usize {
    let (mut taken, mut quiet) = (0, 0);
    while quiet < TURNS && taken < bytes.len() {
        match stream.try_write(&bytes[taken..]) {
            Ok(more) => (taken, quiet) = (taken + more, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => quiet += 1,
            Err(error) => panic!("{error}"),
        }
        yield_now().await;
    }
    taken
}

/// Far more than lies between a peer and an application that doesn't read.
const LARGE: usize = 40_000_000;

/// What two sockets and a connection's buffer hold at most: Linux lets them grow to 4 and 6 MB.
const IN_BETWEEN: usize = 16_000_000;

/// Turns of the runtime in which whoever reads would have read: everything runs on one thread.
const TURNS: u32 = 1_000;

#[tokio::test(start_paused = true)]
async fn an_application_that_looks_away_while_its_answer_is_continued_misses_nothing() {
    let (peer, all) = (Peer::listen().await, content(30_000));
    let (plan, recorder) = plan(&[&peer], &format!("{CONFIG}attempt_timeout = \"2s\""));
    let client = Client::new(1 << 20);
    let asked = Notify::new();
    let serving = async {
        begin_and_reset(&peer, &all, 10_000).await;
        // Whatever became of an attempt that nobody watched, another may follow it.
        loop {
            let mut conversation = peer.accept().await;
            let from = asked_from(&mut conversation).await;
            asked.notify_one();
            conversation.say(&part_head(from, all.len())).await;
            conversation.say_bytes(&all[from..]).await;
        }
    };
    let calling = async {
        let mut body = call(&client, &plan).await;
        let mut bytes = read_some(&mut body, 10_000).await;
        tokio::select! {
            biased;
            () = asked.notified() => {}
            _ = body.frame() => panic!("nothing was sent yet"),
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
        let (rest, broke) = read(body).await;
        bytes.extend(rest);
        (bytes, broke)
    };
    let (bytes, broke) = tokio::select! {
        read = calling => read,
        () = serving => unreachable!(),
    };
    assert!(bytes == all && broke.is_none(), "{} bytes, {broke:?}", bytes.len());
    check_free(&plan, &recorder);
}

// ---- an application that leaves -------------------------------------------------------------------------------------

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Room for one attempt at a time.
const NARROW: &str = "limit = { kind = \"fixed\", max = 1 }\n";

/// Polls a body so often that it is within its continuation, and leaves; false if it came to its end before.
async fn leaves_after(mut body: DeliveredBody, polls: usize) -> bool {
    let mut polled = 0;
    poll_fn(|cx| {
        if polled == polls {
            return Poll::Ready(true);
        }
        polled += 1;
        match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(None) => Poll::Ready(false),
            Poll::Ready(Some(frame)) => {
                frame.unwrap();
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn an_application_that_leaves_at_any_poll_of_a_broken_answer_leaves_nothing_behind() {
    let (peer, all) = (Peer::listen().await, content(200_000));
    let (plan, recorder) = plan(&[&peer], &format!("{CONFIG}{NARROW}"));
    let client = Client::new(1 << 20);
    let (mut left, mut ended) = (0, 0);
    let serving = async {
        loop {
            let mut conversation = peer.accept().await;
            let Some(head) = conversation.next_head().await else { continue };
            let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
            let from = range.and_then(|range| range.split('-').next()?.parse().ok());
            let said = match from {
                None => whole_head(all.len()),
                Some(from) => part_head(from, all.len()),
            };
            // Each answer breaks after 30,000 bytes, unless it is over by then.
            let from: usize = from.unwrap_or_default();
            let until = all.len().min(from + 30_000);
            conversation.say(&said).await;
            conversation.say_bytes(&all[from..until]).await;
            if until < all.len() {
                conversation.reset();
            }
        }
    };
    let calling = async {
        for polls in 0..80 {
            // With room for one, each call shows that the one before has left its place.
            let body = call(&client, &plan).await;
            match leaves_after(body, polls).await {
                true => left += 1,
                false => ended += 1,
            }
            check_free(&plan, &recorder);
        }
    };
    tokio::select! {
        () = calling => {}
        () = serving => unreachable!(),
    }
    assert!(left > 10 && ended > 10, "{left} left, {ended} read to the end");
    // Each extra attempt that was reserved was made or given back: none waits.
    let level = plan.service.upstream().budget().level(Clock::now());
    assert!(level.extra <= level.calls, "{level:?}");
}

#[tokio::test]
async fn an_application_that_leaves_the_line_gives_back_what_was_reserved_for_its_next_attempt() {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], &format!("{CONFIG}{NARROW}"));
    let (client, all) = (Client::new(1 << 20), content(30_000));
    let serving = async {
        begin_and_reset(&peer, &all, 10_000).await;
        // Another call that has the only seat meanwhile, and keeps it.
        let mut conversation = peer.accept().await;
        assert!(!conversation.head().await.contains("range: "));
        conversation.ended().await;
    };
    let upstream = plan.service.upstream();
    let extra = || upstream.budget().level(Clock::now()).extra;
    let calling = async {
        let mut body = call(&client, &plan).await;
        read_some(&mut body, 10_000).await;
        let lined_up = async {
            while extra() == 0 || upstream.lined() == 0 {
                yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = body.frame() => panic!("there is no room to go on"),
            _ = call(&client, &plan) => panic!("nobody answers it"),
            lined_up = timeout(PATIENCE, lined_up) => lined_up.unwrap(),
        }
        drop(body);
        assert_eq!((extra(), upstream.lined()), (0, 0));
    };
    tokio::join!(calling, serving);
    check_free(&plan, &recorder);
}

// ---- ends that nobody announced -------------------------------------------------------------------------------------

/// Calls a peer that answers like that and then closes; it must not be asked again.
async fn called_once(head: &str, bytes: &[u8], reset: bool) -> (Vec<u8>, Option<BreakKind>) {
    let peer = Peer::listen().await;
    let (plan, recorder) = plan(&[&peer], CONFIG);
    let client = Client::new(1 << 20);
    let serving = async {
        let mut conversation = peer.accept().await;
        conversation.head().await;
        conversation.say(head).await;
        conversation.say_bytes(bytes).await;
        if reset {
            conversation.reset()
        } else {
            drop(conversation)
        }
        peer.accept().await;
    };
    let told = tokio::select! {
        told = async { read(call(&client, &plan).await).await } => told,
        () = serving => panic!("it was asked again after {head}"),
    };
    check_free(&plan, &recorder);
    told
}

#[tokio::test]
async fn an_answer_without_a_body_is_whole_however_its_connection_ends() {
    // What a 304 says of a length is that of the answer that it stands for.
    for head in [
        "HTTP/1.1 304 Not Modified\r\netag: \"one\"\r\ncontent-length: 30000\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\netag: \"one\"\r\n\r\n",
        "HTTP/1.1 204 No Content\r\netag: \"one\"\r\n\r\n",
    ] {
        for reset in [true, false] {
            let (bytes, broke) = called_once(head, b"", reset).await;
            assert!(bytes.is_empty() && broke.is_none(), "{head}: {bytes:?}, {broke:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_ends_there() {
    let head = "HTTP/1.1 200 OK\r\netag: \"one\"\r\nconnection: close\r\n\r\n";
    let (bytes, broke) = called_once(head, b"all of it", false).await;
    assert_eq!((bytes.as_slice(), broke), (&b"all of it"[..], None));
}

#[tokio::test]
async fn an_answer_without_length_or_validator_that_is_reset_ends_loudly() {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let (bytes, broke) = called_once(head, b"a part of it", true).await;
    assert_eq!((bytes.as_slice(), broke), (&b"a part of it"[..], Some(BreakKind::BodyReset)));
}

/// What came of an answer without a length, of which the first 10,000 bytes came, when what is missing is answered like that.
async fn continued_by(answer: &str, bytes: &[u8]) -> (usize, Option<BreakKind>, Option<String>) {
    let (peer, all) = (Peer::listen().await, content(30_000));
    let (plan, recorder) = plan(&[&peer], CONFIG);
    let client = Client::new(1 << 20);
    let serving = async {
        let mut first = peer.accept().await;
        first.head().await;
        first.say("HTTP/1.1 200 OK\r\netag: \"one\"\r\nconnection: close\r\n\r\n").await;
        first.say_bytes(&all[..10_000]).await;
        first.reset();
        let mut second = peer.accept().await;
        assert_eq!(asked_from(&mut second).await, 10_000 - OVERLAP);
        second.say(answer).await;
        second.say_bytes(bytes).await;
        drop(second);
        // If it is asked once more, nobody answers.
        loop {
            peer.accept().await.reset();
        }
    };
    let (bytes, broke) = tokio::select! {
        told = async { read(call(&client, &plan).await).await } => told,
        () = serving => unreachable!(),
    };
    assert!(all.starts_with(&bytes), "{answer}: other bytes");
    check_free(&plan, &recorder);
    let cut = recorder.recent()[0].cut.as_deref().map(str::to_owned);
    (bytes.len(), broke, cut)
}

#[tokio::test]
async fn an_answer_without_a_length_goes_on_where_the_next_one_says_how_long_it_is() {
    let all = content(30_000);
    let told = continued_by(&part_head(10_000 - OVERLAP, 30_000), &all[10_000 - OVERLAP..]).await;
    assert_eq!(told, (30_000, None, None));
    // The end had got lost, and nothing else.
    let end = "HTTP/1.1 416 Range Not Satisfiable\r\ncontent-range: bytes */10000\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(continued_by(end, b"").await, (10_000, None, None));
}

#[tokio::test]
async fn what_does_not_say_where_it_belongs_is_never_put_behind_what_was_delivered() {
    let all = content(30_000);
    let rest = &all[10_000 - OVERLAP..];
    let field = |content_range: &str| {
        format!(
            "HTTP/1.1 206 Partial Content\r\netag: \"one\"\r\n{content_range}connection: close\r\n\r\n"
        )
    };
    for (answer, bytes, code) in [
        ("HTTP/1.1 304 Not Modified\r\netag: \"one\"\r\n\r\n".to_owned(), &b""[..], "status"),
        (field(""), rest, "no-content-range"),
        (field("content-range: bytes 9489-29999/30000\r\n"), rest, "wrong-start"),
        (field("content-range: bytes */30000\r\n"), rest, "malformed-content-range"),
        (
            "HTTP/1.1 416 Range Not Satisfiable\r\ncontent-range: bytes */30000\r\ncontent-length: 0\r\n\r\n"
                .to_owned(),
            b"",
            "wrong-total",
        ),
    ] {
        let told = continued_by(&answer, bytes).await;
        let wanted = (10_000, Some(BreakKind::BodyReset), Some(code.to_owned()));
        assert_eq!(told, wanted, "{answer}");
    }
}
