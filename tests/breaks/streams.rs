//! HTTP/2 connections that are half dead: established, silent, and nobody says so.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::support::{Binary, get};
use crate::{Outcome, Stage};

const SERVER: &str = "[[server]]\nname = \"a\"\nh2 = true\n";

async fn stage() -> Result<(Stage, Binary), String> {
    let stage = Stage::set(SERVER).await?;
    let endpoint = format!("http://127.0.0.1:{}", stage.port("a")?);
    let more = "total_timeout = \"30s\"\nconnect.http2 = \"always\"\nconnect.http2_ping_idle = \"1s\"\nconnect.http2_ping_interval = \"1s\"\nconnect.http2_ping_timeout = \"500ms\"\n";
    // Far longer than a PING takes to find out.
    let config = stage
        .config(&endpoint, more)
        .replace("attempt_timeout = \"1s\"", "attempt_timeout = \"20s\"");
    let binary = Binary::run(&config).await?;
    get(binary.proxy, "/before").await?;
    Ok((stage, binary))
}

#[tokio::test]
async fn a_quiet_connection_that_died_is_found_before_it_is_used() -> Outcome {
    let (stage, binary) = stage().await?;
    stage.fault("a", "half-dead").await?;
    // Quiet for as long as makes it doubtful: nothing can be waited for, since nothing happens.
    sleep(Duration::from_millis(1200)).await;
    let begun = Instant::now();
    let answer = get(binary.proxy, "/after").await?;
    if !answer.contains("/after") || begun.elapsed() > Duration::from_secs(5) {
        return Err(format!("{:?}: {answer}", begun.elapsed()));
    }
    let calls = binary.admin("/calls").await?;
    let attempt = &calls["calls"][0]["attempts"][0];
    if attempt["code"] == "closed-while-idle" && attempt["certainty"] == "not-sent" {
        Ok(())
    } else {
        Err(format!("{attempt}"))
    }
}

#[tokio::test]
async fn a_connection_that_dies_under_a_waiting_read_is_found_long_before_the_timeout() -> Outcome {
    let (stage, binary) = stage().await?;
    stage.fault("a", "half-dead").await?;
    let begun = Instant::now();
    let answer = get(binary.proxy, "/meanwhile").await?;
    if !answer.contains("/meanwhile") || begun.elapsed() > Duration::from_secs(10) {
        return Err(format!("{:?}: {answer}", begun.elapsed()));
    }
    let calls = binary.admin("/calls").await?;
    let attempt = &calls["calls"][0]["attempts"][0];
    if attempt["evidence"].as_str().is_some_and(|evidence| evidence.contains("PING")) {
        Ok(())
    } else {
        Err(format!("{attempt}"))
    }
}
