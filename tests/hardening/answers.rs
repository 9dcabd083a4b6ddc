//! The cases of `answers.txt`: what an application gets, as three readers understand it, and what the next one gets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::cases::{self, Case, unescaped};
use crate::stage::{App, in_front_of, probe};
use crate::strict::{self, Message, Rest, Side};
use crate::support::{Binary, text};
use crate::{Outcome, judge, second};

/// An upstream that answers `/case` with what it is given, and all else with the request's target.
struct Script {
    address: SocketAddr,
    next: Arc<Mutex<Vec<u8>>>,
}

impl Script {
    async fn start() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let next = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&next);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve(tcp, Arc::clone(&told)));
            }
        });
        Ok(Self { address, next })
    }

    fn say(&self, bytes: &[u8]) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
    }
}

/// A case's answer is the last on its connection, whose end shows where a body without a length ends; but half of the
/// cases leave it open to the proxy to use it again.
async fn serve(mut tcp: TcpStream, told: Arc<Mutex<Vec<u8>>>) {
    let (mut heard, mut answered, mut piece) = (Vec::new(), 0, [0; 4096]);
    while let Ok(length @ 1..) = tcp.read(&mut piece).await {
        heard.extend_from_slice(&piece[..length]);
        let (messages, _) = strict::read(&heard, Side::Requests);
        for message in &messages[answered..] {
            let target = &message.start[1];
            let is_case = target.starts_with("/case");
            let answer = match is_case {
                true => told.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                false => {
                    let length = target.len();
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{target}")
                        .into_bytes()
                }
            };
            if tcp.write_all(&answer).await.is_err() || target == "/case/closed" {
                return;
            }
        }
        answered = messages.len();
    }
}

struct Wanted {
    method: String,
    /// Nothing for a break.
    whole: Option<(String, Vec<u8>)>,
}

impl Wanted {
    fn of(case: &Case) -> Result<Self, String> {
        let mut wanted = Self { method: "POST".into(), whole: None };
        for line in &case.wanted {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("broken", _) => wanted.whole = None,
                ("to", method) => wanted.method = method.to_owned(),
                (status, body) => {
                    let body = unescaped(body).ok_or("no such escape")?;
                    wanted.whole = Some((status.to_owned(), body));
                }
            }
        }
        Ok(wanted)
    }
}

/// What the application got, to its connection's end, and what it is by the strict reader.
async fn play(
    binary: &Binary,
    wanted: &Wanted,
    target: &str,
) -> Result<(Vec<u8>, Vec<Message>), String> {
    let mut app = App::of(binary.proxy).await?;
    let length = if wanted.method == "POST" { "Content-Length: 0\r\n" } else { "" };
    let request = format!(
        "{} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{length}\r\n",
        wanted.method
    );
    app.send(request.as_bytes()).await;
    let got = app.rest().await?.to_vec();
    let side = Side::Answers { to: &[&wanted.method], ended: true };
    let shown = String::from_utf8_lossy(&got);
    let (messages, rest) = strict::read(&got, side);
    if let Rest::Wrong(why) = rest {
        return Err(format!("the application got {why}: {shown:?}"));
    }
    let (seen, wrong) = second::read(&got, side);
    if wrong || seen != messages {
        return Err(format!("httparse sees {seen:?}, and not {messages:?}: {shown:?}"));
    }
    let answer = messages.iter().find(|message| !message.start[1].starts_with('1'));
    match (&wanted.whole, answer) {
        (None, None) => Ok((got, messages)),
        (None, Some(answer)) if answer.start[1] == "502" || answer.start[1] == "504" => {
            Ok((got, messages))
        }
        (Some((status, body)), Some(answer))
            if answer.start[1] == *status && answer.body == *body =>
        {
            Ok((got, messages))
        }
        _ => Err(format!("the application got {shown:?}")),
    }
}

#[tokio::test]
async fn a_malformed_answer_never_looks_complete_and_leaves_nothing_behind() -> Outcome {
    let cases = cases::read(include_str!("answers.txt"))?;
    let script = Script::start().await?;
    let binary = in_front_of(script.address, "").await?;
    let (mut failures, mut streams, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let wanted = Wanted::of(case)?;
        script.say(&case.bytes);
        for target in ["/case/closed", "/case/open"] {
            // What has no end by itself has to be ended.
            let ends_itself = ["ength", "chunked", "204 No"]
                .iter()
                .any(|word| String::from_utf8_lossy(&case.bytes).contains(word));
            if target == "/case/open" && (!ends_itself || wanted.whole.is_none()) {
                continue;
            }
            match play(&binary, &wanted, target).await {
                Ok((got, mut messages)) => {
                    streams.push((wanted.method.clone(), got));
                    all.append(&mut messages);
                }
                Err(why) => failures.push(format!("{} at {target}: {why}", case.title)),
            }
            if let Err(why) = probe(&binary, &format!("/probe/{number}")).await {
                failures.push(format!("behind {} at {target}: {why}", case.title));
            }
        }
    }
    judge::answers(&streams, &all).await?;
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}
