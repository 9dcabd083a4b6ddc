//! The cases of `requests.txt` through the whole proxy: what the upstream hears, as three readers understand it.

use crate::Outcome;
use crate::cases::{self, Case, unescaped};
use crate::stage::{App, Recorder, in_front_of, probe};
use crate::strict::{self, Message, Rest, Side};
use crate::support::{Binary, text};

/// What follows each wrong case on the same connection.
const SECOND: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// What must come of a case.
#[derive(Debug, Default)]
struct Wanted {
    passes: Vec<(String, String, Vec<u8>)>,
    refused: bool,
    cut: bool,
}

impl Wanted {
    fn of(case: &Case) -> Result<Self, String> {
        let mut wanted = Self::default();
        for line in &case.wanted {
            match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
                ["refused"] => wanted.refused = true,
                ["cut"] => wanted.cut = true,
                ["passes", method, target, ref body @ ..] => {
                    let body = unescaped(&body.concat()).ok_or("no such escape")?;
                    wanted.passes.push((method.to_owned(), target.to_owned(), body));
                }
                _ => return Err(format!("{:?} wants {line:?}", case.title)),
            }
        }
        Ok(wanted)
    }
}

/// Sends a case, whole or in two pieces, and looks at what the application gets.
async fn play(binary: &Binary, case: &Case, wanted: &Wanted, cut_at: usize) -> Outcome {
    let mut app = App::of(binary.proxy).await?;
    let (first, second) = case.bytes.split_at(cut_at);
    if !first.is_empty() {
        app.send(first).await;
        tokio::task::yield_now().await;
    }
    let mut methods: Vec<&str> = wanted.passes.iter().map(|(method, ..)| &method[..]).collect();
    if !wanted.refused && !wanted.cut {
        app.send(second).await;
        let answers = app.answers(&methods).await?;
        for (answer, (_, target, _)) in answers.iter().zip(&wanted.passes) {
            if answer.start[1] != "200" || answer.body != target.as_bytes() {
                return Err(format!("the answer to {target} is {answer:?}"));
            }
        }
        return Ok(());
    }
    app.send(&[second, if wanted.refused { SECOND } else { b"" }].concat()).await;
    if wanted.cut {
        app.shut_down().await;
    }
    let got = app.rest().await?.to_vec();
    methods.push("GET");
    let (answers, rest) = strict::read(&got, Side::Answers { to: &methods, ended: true });
    let good = answers.iter().filter(|answer| answer.start[1].starts_with('2')).count();
    let shown = String::from_utf8_lossy(&got);
    if rest != Rest::Nothing || good != wanted.passes.len() {
        return Err(format!("the application got {shown:?}: {rest:?}"));
    }
    // Where nothing is said, the connection's end says it.
    if wanted.refused && !answers.last().is_some_and(|answer| answer.start[1].starts_with('4')) {
        return Err(format!("it isn't refused: {shown:?}"));
    }
    Ok(())
}

#[tokio::test]
async fn what_leaves_the_proxy_is_understood_alike_by_all_and_no_request_is_too_many() -> Outcome {
    let cases = cases::read(include_str!("requests.txt"))?;
    let recorder = Recorder::start().await?;
    let binary = in_front_of(recorder.address, "").await?;
    let (mut expected, mut failures) = (Vec::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let wanted = Wanted::of(case)?;
        for cut_at in [0, case.bytes.len() / 2, case.bytes.len().saturating_sub(1)] {
            if let Err(why) = play(&binary, case, &wanted, cut_at).await {
                failures.push(format!("{}, cut at {cut_at}: {why}", case.title));
            }
            expected.extend(wanted.passes.iter().cloned());
        }
        // Whatever became of it, the next application gets its own answer.
        let target = format!("/probe/{number}");
        if let Err(why) = probe(&binary, &target).await {
            failures.push(format!("behind {}: {why}", case.title));
        }
        expected.push(("GET".into(), target, Vec::new()));
    }
    let heard: Vec<Message> = recorder.agreed().await?;
    let mut heard: Vec<_> = heard
        .into_iter()
        .map(|message| {
            let [method, target, _] = message.start;
            (method, target, message.body)
        })
        .collect();
    heard.sort();
    expected.sort();
    for one in &heard {
        if !expected.contains(one) {
            failures.push(format!("nobody sent {one:?}"));
        }
    }
    if heard.len() != expected.len() {
        failures.push(format!(
            "the upstream heard {} requests, and not {}",
            heard.len(),
            expected.len()
        ));
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// What is named in `Connection`, and what is of one connection by its nature, goes no further.
#[tokio::test]
async fn nothing_of_one_connection_goes_on() -> Outcome {
    let recorder = Recorder::start().await?;
    let binary = in_front_of(recorder.address, "").await?;
    let mut app = App::of(binary.proxy).await?;
    app.send(
        b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: x-internal, keep-alive\r\nX-Internal: 1\r\nKeep-Alive: 5\r\n\
          Proxy-Connection: close\r\nProxy-Authorization: Basic eDp5\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nTE: gzip\r\n\r\n",
    )
    .await;
    app.answers(&["GET"]).await?;
    let heard = recorder.agreed().await?;
    let names: Vec<&str> = heard[0].fields.iter().map(|(name, _)| &name[..]).collect();
    for gone in [
        "x-internal",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
        "http2-settings",
        "te",
    ] {
        if names.contains(&gone) {
            return Err(format!("{gone} went on: {names:?}"));
        }
    }
    Ok(())
}

/// One byte at a time: where a reader was cut must not matter.
#[tokio::test]
async fn a_request_that_comes_byte_by_byte_is_the_same_request() -> Outcome {
    let recorder = Recorder::start().await?;
    let binary = in_front_of(recorder.address, "").await?;
    let mut app = App::of(binary.proxy).await?;
    app.tcp.set_nodelay(true).map_err(text)?;
    let case = b"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX: 1\r\n\r\n";
    for byte in case {
        app.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    app.answers(&["POST"]).await?;
    let heard = recorder.agreed().await?;
    match &heard[..] {
        [one] if one.body == b"abc" => Ok(()),
        other => Err(format!("{other:?}")),
    }
}
