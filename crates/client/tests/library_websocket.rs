//! WebSocket connections of a program, before the lab's echo and a peer that breaks as it is told to.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::time::Duration;

use bytes::Bytes;
use mainstay::websocket::{Message, SocketEvent};
use mainstay::{BreakKind, Certainty, ErrorKind, Mainstay, RequestBuilder, UpstreamBuilder};
use mainstay_lab::{Lab, Rule, Spec};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// More than the system keeps for a connection.
const MUCH_BYTES: usize = 32 << 20;

fn much() -> Bytes {
    vec![7; MUCH_BYTES].into()
}

fn get(url: &str) -> RequestBuilder {
    let api = UpstreamBuilder::new("api").endpoint(url).set("health", false);
    let client = Mainstay::builder().upstream(api).build().unwrap();
    client.get(url.replacen("http", "ws", 1))
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.expect("it takes too long")
}

/// A server that hands out its connections, once they have switched.
async fn peer() -> (String, mpsc::UnboundedReceiver<WebSocketStream<TcpStream>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, connections) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(socket) = accept_async(stream).await
                && sender.send(socket).is_err()
            {
                return;
            }
        }
    });
    (url, connections)
}

async fn hear(socket: &mut WebSocketStream<TcpStream>) -> Option<Frame> {
    use futures_core::Stream;
    use std::pin::Pin;
    let frame = std::future::poll_fn(|cx| Pin::new(&mut *socket).poll_next(cx)).await;
    frame.and_then(Result::ok)
}

async fn tell(socket: &mut WebSocketStream<TcpStream>, frame: Frame) {
    use futures_sink::Sink;
    use std::pin::Pin;
    std::future::poll_fn(|cx| Pin::new(&mut *socket).poll_ready(cx)).await.unwrap();
    Pin::new(&mut *socket).start_send(frame).unwrap();
    std::future::poll_fn(|cx| Pin::new(&mut *socket).poll_flush(cx)).await.unwrap();
}

#[tokio::test]
async fn what_is_said_comes_back_and_goodbye_is_answered() {
    let lab = Lab::start(Spec::of(["a"])).await.unwrap();
    let url = lab.server("a").unwrap().url();
    let mut socket = within(get(&url).websocket().unwrap().connect()).await.unwrap();
    for message in [Message::from("hello"), Bytes::from(vec![7; 100_000]).into()] {
        within(socket.say(message.clone())).await.unwrap();
        assert_eq!(within(socket.next_message()).await.unwrap().unwrap(), message);
    }
    within(socket.close()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_switch_is_an_error_with_its_status_and_nothing_is_leaked() {
    let (url, mut connections) = peer().await;
    let lab = Lab::start(Spec::of(["a"])).await.unwrap();
    let fault: Rule = "status code=503".parse().unwrap();
    lab.set("a", fault).await.unwrap();
    let url_of_lab = lab.server("a").unwrap().url();
    let refused = within(get(&url_of_lab).websocket().unwrap().connect()).await.unwrap_err();
    assert_eq!(
        (refused.kind(), refused.status().map(|it| it.as_u16())),
        (ErrorKind::Socket, Some(503))
    );
    assert_eq!(refused.break_kind(), Some(BreakKind::UpgradeFailed));
    // Dropped in the middle, its call is over.
    let api = UpstreamBuilder::new("api").endpoint(&url).set("health", false);
    let client = Mainstay::builder().upstream(api).build().unwrap();
    let socket = within(client.get(&url).websocket().unwrap().connect()).await.unwrap();
    let theirs = within(connections.recv()).await.unwrap();
    assert_eq!(client.counts().calls.records, 0);
    drop(socket);
    assert_eq!(client.counts().calls.records, 1);
    drop(theirs);
}

#[tokio::test]
async fn a_connection_that_breaks_without_a_goodbye_is_an_error_and_one_with_it_is_an_end() {
    let (url, mut connections) = peer().await;
    let mut socket = within(get(&url).websocket().unwrap().connect()).await.unwrap();
    let mut theirs = within(connections.recv()).await.unwrap();
    tell(&mut theirs, Frame::text("one")).await;
    drop(theirs);
    assert_eq!(within(socket.next_message()).await.unwrap().unwrap(), Message::from("one"));
    let error = within(socket.next_message()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Socket);
    assert!(within(socket.next_message()).await.is_none());

    let mut socket = within(get(&url).websocket().unwrap().connect()).await.unwrap();
    let mut theirs = within(connections.recv()).await.unwrap();
    let close = CloseFrame { code: 4001.into(), reason: "enough".into() };
    tell(&mut theirs, Frame::Close(Some(close))).await;
    assert!(within(socket.next_message()).await.is_none());
    let closed = socket.closed().unwrap();
    assert_eq!((closed.code, closed.reason.as_str(), closed.may_pass()), (4001, "enough", false));
}

#[tokio::test]
async fn a_peer_that_says_nothing_at_all_is_found_dead_and_one_that_pongs_is_not() {
    let (url, mut connections) = peer().await;
    let ping = Duration::from_millis(50);
    let asked = get(&url).websocket().unwrap().ping(ping, 4 * ping);
    let mut socket = within(asked.connect()).await.unwrap();
    // It isn't read from, so that no Ping is answered.
    let _theirs = within(connections.recv()).await.unwrap();
    let error = within(socket.next_message()).await.unwrap().unwrap_err();
    assert_eq!(error.break_kind(), Some(BreakKind::BodyStalled));

    let asked = get(&url).websocket().unwrap().ping(ping, PATIENCE);
    let mut socket = within(asked.connect()).await.unwrap();
    let mut theirs = within(connections.recv()).await.unwrap();
    let answering = async {
        let mut pings = 0;
        while pings < 3 {
            if let Some(Frame::Ping(_)) = hear(&mut theirs).await {
                pings += 1;
            }
        }
        tell(&mut theirs, Frame::text("still here")).await;
    };
    let (heard, ()) = tokio::join!(within(socket.next_message()), within(answering));
    assert_eq!(heard.unwrap().unwrap(), Message::from("still here"));
}

#[tokio::test]
async fn it_is_opened_again_as_declared_and_nothing_else_is_said_again() {
    let (url, mut connections) = peer().await;
    let mut socket = get(&url).websocket().unwrap().reconnecting().saying(["subscribe"]);
    let serving = async {
        let mut heard = Vec::new();
        for round in 0..3 {
            let mut theirs = connections.recv().await.unwrap();
            heard.push(hear(&mut theirs).await.unwrap());
            tell(&mut theirs, Frame::text(format!("news {round}"))).await;
            match round {
                // What the application says of its own.
                0 => heard.push(hear(&mut theirs).await.unwrap()),
                // The server is restarted.
                1 => {
                    let close = CloseFrame { code: 1012.into(), reason: "".into() };
                    tell(&mut theirs, Frame::Close(Some(close))).await;
                    while hear(&mut theirs).await.is_some() {}
                }
                _ => {
                    tell(&mut theirs, Frame::Close(None)).await;
                    while hear(&mut theirs).await.is_some() {}
                }
            }
        }
        heard
    };
    let hearing = async {
        let mut told = Vec::new();
        while let Some(event) = socket.next_event().await {
            let event = event.unwrap();
            if event == SocketEvent::Message("news 0".into()) {
                socket.say("once").await.unwrap();
            }
            told.push(event);
        }
        told
    };
    let (heard, told) = tokio::join!(within(serving), within(hearing));
    assert_eq!(heard, ["subscribe", "once", "subscribe", "subscribe"].map(Frame::text));
    let wanted: Vec<SocketEvent> = (0..3)
        .flat_map(|round| {
            let news = SocketEvent::Message(format!("news {round}").into());
            [SocketEvent::Opened { before: round }, news]
        })
        .collect();
    assert_eq!(told, wanted);
    assert_eq!(socket.closed().map(|close| close.code), Some(1005));
    // It is over: nothing can be said, and what was to be comes back.
    assert_eq!(socket.say("late").await, Err(Message::from("late")));
}

#[tokio::test(start_paused = true)]
async fn it_gives_up_where_nobody_opens_it_and_at_once_where_that_can_not_work() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut socket = get(&url).websocket().unwrap().reconnecting().give_up_after(3);
    let error = socket.next_event().await.unwrap().unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert!(socket.next_event().await.is_none());
    let nowhere = Mainstay::builder().other_hosts(mainstay::OtherHosts::Refuse).build().unwrap();
    let mut socket = nowhere.get("ws://a.example/").websocket().unwrap().reconnecting();
    let error = socket.next_event().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoRoute);
}

#[tokio::test]
async fn a_peer_that_never_reads_is_waited_for_no_longer_than_is_said() {
    let (url, mut connections) = peer().await;
    let asked = get(&url).websocket().unwrap().send_timeout(Duration::from_millis(100));
    let mut socket = within(asked.without_pings().connect()).await.unwrap();
    let _theirs = within(connections.recv()).await.unwrap();
    let error = within(socket.say(much())).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.break_kind(), error.certainty()),
        (ErrorKind::Socket, Some(BreakKind::BodyStalled), Certainty::MaybeProcessed)
    );
    let words = "its peer has taken nothing of what it was sent for 100ms";
    assert!(error.to_string().ends_with(words), "{error}");
    // Whoever reads is told too, once; and nothing can be said any more.
    let error = within(socket.next_message()).await.unwrap().unwrap_err();
    assert!(error.to_string().ends_with(words), "{error}");
    assert!(within(socket.next_message()).await.is_none());
    within(socket.say("late")).await.unwrap_err();
}

#[tokio::test]
async fn a_reader_is_woken_when_sending_finds_that_nobody_reads() {
    use futures_sink::Sink;
    use std::future::poll_fn;
    use std::pin::Pin;
    let (url, mut connections) = peer().await;
    let asked = get(&url).websocket().unwrap().send_timeout(Duration::from_millis(100));
    let socket = within(asked.without_pings().connect()).await.unwrap();
    let _theirs = within(connections.recv()).await.unwrap();
    // As two tasks have it that share one connection.
    let socket = std::sync::Arc::new(parking_lot::Mutex::new(socket));
    let reading = std::sync::Arc::clone(&socket);
    let reading = tokio::spawn(poll_fn(move |cx| {
        use futures_core::Stream;
        Pin::new(&mut *reading.lock()).poll_next(cx)
    }));
    Pin::new(&mut *socket.lock()).start_send(much().into()).unwrap();
    let flushed = within(poll_fn(|cx| Pin::new(&mut *socket.lock()).poll_flush(cx))).await;
    flushed.unwrap_err();
    let error = within(reading).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.break_kind(), Some(BreakKind::BodyStalled));
}

#[tokio::test]
async fn a_greeting_that_nobody_reads_is_given_up_and_said_over_another_connection() {
    let (url, mut connections) = peer().await;
    let asked = get(&url).websocket().unwrap().send_timeout(Duration::from_millis(100));
    // More than its peer takes as one message.
    let parts = [0; 4].map(|_| Message::Binary(vec![7; 8 << 20].into()));
    let mut socket = asked.reconnecting().saying(parts);
    let serving = async {
        let _unread = connections.recv().await.unwrap();
        let mut theirs = connections.recv().await.unwrap();
        let mut heard = 0;
        while heard < MUCH_BYTES {
            heard += hear(&mut theirs).await.unwrap().len();
        }
        heard
    };
    let (heard, opened) = tokio::join!(within(serving), within(socket.next_event()));
    assert_eq!(heard, MUCH_BYTES);
    assert_eq!(opened.unwrap().unwrap(), SocketEvent::Opened { before: 0 });
    let shown = format!("{socket:?}");
    assert!(shown.contains("greeting: 4"), "{shown}");
}

#[tokio::test]
async fn a_goodbye_to_a_peer_that_does_not_read_comes_to_its_end() {
    let (url, mut connections) = peer().await;
    let mut socket = within(get(&url).websocket().unwrap().connect()).await.unwrap();
    let _theirs = within(connections.recv()).await.unwrap();
    timeout(Duration::from_millis(100), socket.say(much())).await.expect_err("nobody reads it");
    within(socket.close()).await.unwrap();
}
