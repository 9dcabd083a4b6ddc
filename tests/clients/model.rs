//! A language model's API whose streams end in every way, asked by the `openai` package: what isn't whole has to be an error there.
//!
//! The package takes any end in good order for the end of the answer, `[DONE]` or not, and so a cut answer for a whole one; that is
//! shown first, without Mainstay.

use std::net::SocketAddr;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Outcome;
use crate::page::length;
use crate::stage::text;
use crate::support::Binary;
use crate::support::program::Program;

/// How a stream of the server ends; the first part of the path asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Whole,
    /// In good order, with all of the text and without `[DONE]`: as gateways end a stream that broke behind them.
    Early,
    Reset,
    /// The connection ends without the last chunk.
    Cut,
    Stalled,
}

/// What the application got.
#[derive(Debug, Deserialize)]
struct Seen {
    text: String,
    finish: Option<String>,
    error: Option<String>,
    code: Option<String>,
}

#[tokio::test]
async fn the_openai_package_raises_whatever_ends_without_done_and_reads_what_is_whole() -> Outcome {
    let model = Model::serve().await?;
    let upstream = format!("[upstream.model]\nendpoints = [\"http://{}\"]\n", model.address);
    let settings = "profile = \"llm-stream\"\nheal.events.dead_after = \"1s\"\n";
    let binary = Binary::run(&format!("{upstream}{settings}")).await?;
    // Without Mainstay, what ended early looks complete.
    ask(model.address, Ending::Early).await?.check_whole()?;
    ask(binary.proxy, Ending::Whole).await?.check_whole()?;
    for (ending, code) in [
        (Ending::Early, "body-truncated"),
        (Ending::Reset, "body-reset"),
        (Ending::Cut, "body-truncated"),
        (Ending::Stalled, "body-stalled"),
    ] {
        let seen = ask(binary.proxy, ending).await?;
        let is_raised = seen.error.as_deref() == Some("APIError");
        let is_named = seen.code.as_deref() == Some(code);
        // What came before is there to be read.
        if !(is_raised && is_named && TEXT.starts_with(&seen.text) && !seen.text.is_empty()) {
            return Err(format!("{ending:?}: {seen:?}"));
        }
    }
    let status = binary.admin("/status").await?;
    let cut = &status["counts"]["calls"]["cut"];
    if cut == 4 { Ok(()) } else { Err(format!("{cut} are counted as cut")) }
}

async fn ask(address: SocketAddr, ending: Ending) -> Result<Seen, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/chat.py");
    let url = format!("http://{address}/{}/v1", ending.word());
    serde_json::from_str(&Program::python()?.output(&[script, &url]).await?).map_err(text)
}

impl Seen {
    fn check_whole(&self) -> Outcome {
        let is_whole = self.text == TEXT && self.finish.as_deref() == Some("stop");
        if is_whole && self.error.is_none() { Ok(()) } else { Err(format!("{self:?}")) }
    }
}

impl Ending {
    const ALL: [Self; 5] = [Self::Whole, Self::Early, Self::Reset, Self::Cut, Self::Stalled];

    fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Early => "early",
            Self::Reset => "reset",
            Self::Cut => "cut",
            Self::Stalled => "stalled",
        }
    }
}

/// The running server; it ends when this is dropped.
struct Model {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Model {
    async fn serve() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // One that breaks off is the checker's, who only knocks.
                tokio::spawn(async move { drop(answer(stream).await) });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One request a connection.
async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let mut body = vec![0; length(&head)];
    stream.read_exact(&mut body).await?;
    let word = head.split('/').nth(1).unwrap_or_default();
    let ending = Ending::ALL.into_iter().find(|ending| ending.word() == word);
    let mut answer = String::from(HEAD);
    let mut event = |data: &str| answer += &format!("{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8);
    let breaks = matches!(ending, Some(Ending::Reset | Ending::Cut | Ending::Stalled));
    let pieces = TEXT.split_inclusive(' ').take(if breaks { 3 } else { usize::MAX });
    for piece in pieces {
        event(&chunk(&format!("{{\"content\":\"{piece}\"}}"), "null"));
    }
    if !breaks {
        event(&chunk("{}", "\"stop\""));
    }
    if ending == Some(Ending::Whole) {
        event("[DONE]");
    }
    if !breaks {
        answer += "0\r\n\r\n";
    }
    stream.write_all(answer.as_bytes()).await?;
    match ending {
        Some(Ending::Reset) => stream.get_ref().set_zero_linger(),
        // Until the other side has had enough.
        Some(Ending::Stalled) => stream.read_to_end(&mut body).await.map(drop),
        Some(Ending::Whole | Ending::Early | Ending::Cut) | None => Ok(()),
    }
}

fn chunk(delta: &str, finish: &str) -> String {
    format!(
        "{{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"lab-1\",\
         \"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}"
    )
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                    transfer-encoding: chunked\r\nconnection: close\r\n\r\n";

const TEXT: &str = "one two three four five";
