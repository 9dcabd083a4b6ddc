//! Load control: what is let through, what waits, what is turned away and how it is told so; hedges; and what layers and
//! callers say of a call.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::binary::{Binary, PATIENCE};
use crate::heard::Heard;
use crate::held::Held;
use crate::{Outcome, hold, text};

/// An answer with its head, in lower case.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// A call without a body, with these fields.
async fn call(to: SocketAddr, method: &str, fields: &str) -> Result<Answer, String> {
    let mut stream = TcpStream::connect(to).await.map_err(text)?;
    let request = format!(
        "{method} /x HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\ncontent-length: 0\r\n{fields}\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(text)?;
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.map_err(text)?.map_err(text)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(format!("no answer: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (head, body) = (head.to_lowercase(), body.to_owned());
    Ok(Answer { status: status.ok_or("no status")?, head, body })
}

/// Turned away by us, as everything is that was never sent.
fn shed(answer: &Answer, stop: &str) -> Outcome {
    let is_said = answer.status == 503
        && answer.head.contains("proxy-status:")
        && answer.head.contains("application/problem+json")
        && answer.body.contains(&format!("\"{stop}\""));
    hold(is_said, format!("not shed by {stop}: {answer:?}"))
}

/// Three lines that keep a test from what isn't its matter.
const ALONE: &str = "health = false\nejection = false\n";

#[tokio::test]
async fn no_more_than_the_limit_are_under_way_some_wait_and_the_rest_is_turned_away() -> Outcome {
    let server = Held::start().await?;
    let limits = format!("{ALONE}limit = {{ kind = \"fixed\", max = 2 }}\nline.length = 2\n");
    let binary = Binary::start_with(&[("a", server.address)], &limits).await?;
    let (ended, mut answers) = mpsc::unbounded_channel();
    for _ in 0..5 {
        let (ended, proxy) = (ended.clone(), binary.proxy);
        tokio::spawn(async move { ended.send(call(proxy, "GET", "").await) });
    }
    let mut answer = async || answers.recv().await.ok_or("no answer")?;
    shed(&answer().await?, "line-full")?;
    server.has_requests(2).await?;
    server.go_on();
    for _ in 0..4 {
        let answer = answer().await?;
        hold(answer.status == 200, format!("{answer:?}"))?;
    }
    hold(server.most_at_once() == 2, format!("{} at once", server.most_at_once()))
}

#[tokio::test]
async fn who_leaves_the_line_makes_room_in_it() -> Outcome {
    let server = Held::start().await?;
    let limits = format!("{ALONE}limit = {{ kind = \"fixed\", max = 1 }}\nline.length = 1\n");
    let binary = Binary::start_with(&[("a", server.address)], &limits).await?;
    let proxy = binary.proxy;
    let first = tokio::spawn(async move { call(proxy, "GET", "").await });
    server.has_requests(1).await?;
    let second = tokio::spawn(async move { call(proxy, "GET", "").await });
    binary.until("/upstreams/0/load/waiting", 1.into()).await?;
    shed(&call(proxy, "GET", "").await?, "line-full")?;
    second.abort();
    binary.until("/upstreams/0/load/waiting", 0.into()).await?;
    binary.until("/upstreams/0/load/limit/in_flight", 1.into()).await?;
    server.go_on();
    hold(first.await.map_err(text)??.status == 200, "the first is answered")?;
    let later = call(proxy, "GET", "").await?;
    hold(later.status == 200, format!("{later:?}"))?;
    binary.until("/upstreams/0/load/limit/in_flight", 0.into()).await
}

#[tokio::test]
async fn beyond_the_rate_a_call_that_cant_wait_is_turned_away_and_told_when_to_come_back() -> Outcome
{
    let server = Heard::start("200 OK").await?;
    let rate = format!(
        "{ALONE}total_timeout = \"1s\"\nrate = {{ calls = 2, period = \"1h\", burst = 2 }}\n"
    );
    let binary = Binary::start_with(&[("a", server.address)], &rate).await?;
    for _ in 0..2 {
        let answer = call(binary.proxy, "GET", "").await?;
        hold(answer.status == 200, format!("{answer:?}"))?;
    }
    let answer = call(binary.proxy, "GET", "").await?;
    shed(&answer, "rate-exceeded")?;
    hold(answer.head.contains("retry-after: "), format!("{answer:?}"))?;
    hold(server.heads().await.len() == 2, "two were sent")
}

#[tokio::test]
async fn a_429_pauses_all_calls_or_those_with_its_key() -> Outcome {
    let server = Heard::start("429 Too Many Requests\r\nretry-after: 60").await?;
    let times = format!("{ALONE}total_timeout = \"2s\"\n");
    let binary = Binary::start_with(&[("a", server.address)], &times).await?;
    let answer = call(binary.proxy, "POST", "").await?;
    hold(answer.status == 429, format!("{answer:?}"))?;
    let answer = call(binary.proxy, "GET", "").await?;
    shed(&answer, "paused")?;
    hold(answer.head.contains("retry-after: "), format!("{answer:?}"))?;
    hold(server.heads().await.len() == 1, "one was sent")?;

    let keyed = format!("{times}rate_key_header = \"x-token\"\n");
    let binary = Binary::start_with(&[("a", server.address)], &keyed).await?;
    let of = async |token: &str| call(binary.proxy, "POST", &format!("x-token: {token}\r\n")).await;
    hold(of("one").await?.status == 429, "sent")?;
    shed(&of("one").await?, "paused")?;
    hold(server.heads().await.len() == 2, "nothing more was sent for the first token")?;
    hold(of("two").await?.status == 429, "another token isn't paused")
}

#[tokio::test]
async fn a_hedge_answers_where_the_first_attempt_hangs() -> Outcome {
    let (hanging, fast) = (Held::start().await?, Heard::start("200 OK").await?);
    // A hedge takes a turn as well, so every first attempt may meet the one that hangs: means for all of them.
    let hedge = format!(
        "{ALONE}balance = \"round-robin\"\nhedge.after = \"20ms\"\nbudget = {{ initial = 500, floor = 100 }}\n"
    );
    let endpoints = [("hanging", hanging.address), ("fast", fast.address)];
    let binary = Binary::start_with(&endpoints, &hedge).await?;
    let started_at = Instant::now();
    for _ in 0..6 {
        let answer = call(binary.proxy, "GET", "").await?;
        hold(answer.status == 200, format!("{answer:?}"))?;
    }
    hanging.has_requests(1).await?;
    // Without hedges the first call alone would have waited for an attempt's timeout, ten seconds.
    hold(started_at.elapsed().as_secs() < 9, "no attempt was waited for to its end")?;
    // Nobody hedges a write.
    let metrics = binary.ask("GET", "/metrics", "").await?.body;
    let made = metrics
        .lines()
        .any(|line| line.starts_with("mainstay_hedges_total") && !line.ends_with(" 0"));
    hold(made, metrics)
}

#[tokio::test]
async fn a_callers_deadline_is_kept_and_travels_on_shorter() -> Outcome {
    let server = Heard::start("200 OK").await?;
    let field = format!("{ALONE}deadline_header = \"x-time-left\"\n");
    let binary = Binary::start_with(&[("a", server.address)], &field).await?;
    call(binary.proxy, "GET", "x-time-left: 2000\r\n").await?;
    call(binary.proxy, "GET", "").await?;
    let said = server.values("x-time-left").await;
    let said: Vec<u64> = said.iter().filter_map(|value| value.parse().ok()).collect();
    let [of_caller, of_policy] = said[..] else { return Err(format!("{said:?}")) };
    hold((1..=2000).contains(&of_caller), format!("{said:?}"))?;
    hold((2001..=10_000).contains(&of_policy), format!("{said:?}"))?;

    let hanging = Held::start().await?;
    let binary = Binary::start_with(&[("a", hanging.address)], &field).await?;
    let started_at = Instant::now();
    let answer = call(binary.proxy, "GET", "x-time-left: 200ms\r\n").await?;
    hold(answer.status == 504, format!("{answer:?}"))?;
    // The policy alone would have given it thirty seconds.
    hold(started_at.elapsed().as_secs() < 9, format!("{:?}", started_at.elapsed()))
}

#[tokio::test]
async fn layers_of_retries_dont_multiply() -> Outcome {
    let server = Heard::start("500 Internal Server Error").await?;
    let policy = format!("{ALONE}retry = {{ max_attempts = 3, backoff.base = \"1ms\" }}\n");
    let inner = Binary::start_with(&[("a", server.address)], &policy).await?;
    let outer = Binary::start_with(&[("inner", inner.proxy)], &policy).await?;
    let answer = call(outer.proxy, "GET", "").await?;
    hold(answer.status == 500, format!("{answer:?}"))?;
    let said = server.values("mainstay-attempt").await;
    // The outer's first two come through as they are. In its last one nobody above would try again, and the inner does.
    let expected =
        ["1;of=3;depth=2", "2;of=3;depth=2", "1;of=3;depth=2", "2;of=3;depth=2", "3;of=3;depth=2"];
    hold(said == expected, format!("{said:?}"))
}
