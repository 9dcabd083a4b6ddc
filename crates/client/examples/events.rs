//! A stream of events whose connection breaks again and again.

#[path = "shared/stage.rs"]
mod stage;

use std::fmt::Write;

use mainstay::{Mainstay, UpstreamBuilder};
use stage::{Failure, Stage};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    print!("{}", run().await?);
    Ok(())
}

/// What the example prints.
pub async fn run() -> Result<String, Failure> {
    let stage = Stage::of(["a"]).await?;
    let prices = UpstreamBuilder::new("prices").endpoint(stage.url("a"));
    let client = Mainstay::builder().upstream(prices).build()?;
    let mut out = String::new();

    // The server ends each answer after three events, and wants to be left alone for 10 ms then.
    let url = format!("{}/events?count=3&every=1ms&retry=10", stage.url("a"));
    let mut events = client.get(url).event_stream()?;
    let mut ids = Vec::new();
    while ids.len() < 8 {
        let event = events.next().await.ok_or("the server never says that it is the end")??;
        ids.push(event.id);
    }
    writeln!(out, "events {}", ids.join(", "))?;

    // One that breaks within an answer goes on behind the last event.
    stage.set("a", "reset-in-body at=middle times=1").await?;
    let url = format!("{}/events?last=6&every=1ms", stage.url("a"));
    let mut events = client.get(url).send().await?.into_events();
    let mut ids = Vec::new();
    while let Some(event) = events.next().await {
        ids.push(event?.id);
    }
    writeln!(out, "events {}", ids.join(", "))?;
    Ok(out)
}
