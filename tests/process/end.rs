//! SIGTERM, once and twice.

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::binary::{Binary, PATIENCE, exchange};
use crate::held::Held;
use crate::{Outcome, hold};

#[tokio::test]
async fn sigterm_waits_for_the_answer_that_is_under_way() -> Outcome {
    let server = Held::start().await?;
    let mut binary = Binary::start(&[("a", server.address)]).await?;
    let (proxy, admin) = (binary.proxy, binary.admin);
    let call = tokio::spawn(exchange(proxy, "GET", "/", ""));
    server.has_request().await?;

    binary.signal("TERM")?;
    binary.says("draining for at most 30 s").await?;
    binary.until("/draining", true.into()).await?;
    let ready = exchange(admin, "GET", "/readyz", "").await?;
    hold(ready.status == 503, format!("while it drains: {ready:?}"))?;
    hold(exchange(admin, "POST", "/reload", "").await?.status == 503, "it takes new settings")?;
    let closed = async { while TcpStream::connect(proxy).await.is_ok() {} };
    timeout(PATIENCE, closed).await.map_err(|_| "it goes on listening")?;
    hold(!call.is_finished(), "the call has ended before its answer came")?;

    server.go_on();
    let answer = call.await.map_err(crate::text)??;
    hold((answer.status, answer.body.as_str()) == (200, "late"), format!("{answer:?}"))?;
    binary.says("drained, 0 calls cut").await?;
    hold(binary.ended().await? == Some(0), "its exit code isn't 0")
}

#[tokio::test]
async fn a_second_sigterm_ends_at_once() -> Outcome {
    let server = Held::start().await?;
    let mut binary = Binary::start(&[("a", server.address)]).await?;
    let call = tokio::spawn(exchange(binary.proxy, "GET", "/", ""));
    server.has_request().await?;

    binary.signal("TERM")?;
    binary.says("a second signal ends at once").await?;
    binary.signal("TERM")?;
    binary.says("ended without draining").await?;
    hold(binary.ended().await? == Some(0), "its exit code isn't 0")?;
    let answer = call.await.map_err(crate::text)?;
    hold(answer.is_err(), format!("an answer that never came: {answer:?}"))
}

/// Its number may be another's as soon as its status has been asked for, and whoever the file names is killed at the end of a test.
#[tokio::test]
async fn a_process_that_was_killed_is_named_no_longer() -> Outcome {
    let server = Held::start().await?;
    let mut binary = Binary::start(&[("a", server.address)]).await?;
    binary.signal("KILL")?;
    hold(binary.ended().await?.is_none(), "it ended by itself")?;
    hold(binary.serving.id().is_err(), "the file still names it")
}
