//! Requests of a program to an API of which one endpoint breaks.

#[path = "shared/stage.rs"]
mod stage;

use std::fmt::Write;

use mainstay::{Mainstay, UpstreamBuilder};
use stage::{Failure, Stage, attempts};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    print!("{}", run().await?);
    Ok(())
}

/// What the example prints.
pub async fn run() -> Result<String, Failure> {
    let stage = Stage::of(["a", "b"]).await?;
    let orders = UpstreamBuilder::new("orders")
        .endpoint_in_tier(stage.url("a"), 0)
        .endpoint_in_tier(stage.url("b"), 1);
    let client = Mainstay::builder().upstream(orders).build()?;
    let mut out = String::new();

    // One endpoint resets connections: a read goes on elsewhere.
    stage.set("a", "reset-before").await?;
    let response = client.get(format!("{}/orders/7", stage.url("a"))).send().await?;
    writeln!(out, "read: {} {:?}", response.status().as_u16(), response.saved())?;
    write!(out, "{}", attempts(&response.attempts()))?;

    // A write whose outcome is unknown isn't made twice.
    let post = client.post(format!("{}/charges", stage.url("a"))).json(&["5"]);
    let error = post.send().await.err().ok_or("there is no answer to it")?;
    writeln!(out, "write: {:?}, {:?}", error.break_code(), error.certainty())?;

    // With a key it may be.
    let keyed = client.post(format!("{}/charges", stage.url("a"))).json(&["5"]);
    let response = keyed.idempotency_key("order-7").send().await?;
    writeln!(out, "write with a key: {} {:?}", response.status().as_u16(), response.saved())?;

    // What was not sent comes back.
    stage.set("a", "refuse").await?;
    stage.set("b", "refuse").await?;
    let post = client.post(format!("{}/charges", stage.url("a"))).body("5");
    let error = post.send().await.err().ok_or("nobody listens")?;
    writeln!(out, "nobody listens: {:?}, {:?}", error.break_code(), error.certainty())?;
    let request = error.into_request().ok_or("it was not sent")?;
    stage.set("b", "healthy").await?;
    let response = client.execute(request).await?;
    writeln!(out, "the same request again: {}", response.status().as_u16())?;
    Ok(out)
}
