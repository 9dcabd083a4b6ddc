//! A download that breaks on its way, and comes whole.

#[path = "shared/stage.rs"]
mod stage;

use std::fmt::Write;

use mainstay::{Mainstay, Profile, UpstreamBuilder};
use stage::{Failure, Stage, attempts};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    print!("{}", run().await?);
    Ok(())
}

/// What the example prints.
pub async fn run() -> Result<String, Failure> {
    let stage = Stage::of(["a", "b"]).await?;
    let files = UpstreamBuilder::new("files")
        .profile(Profile::Download)
        .endpoint_in_tier(stage.url("a"), 0)
        .endpoint_in_tier(stage.url("b"), 1);
    let client = Mainstay::builder().upstream(files).build()?;

    // The first answer is reset in its middle.
    stage.set("a", "reset-in-body at=middle times=1").await?;
    let response = client.get(format!("{}/bytes/1000000", stage.url("a"))).send().await?;
    let mut body = response.error_for_status()?.into_body();
    let mut file = Vec::new();
    while let Some(piece) = next(&mut body).await {
        file.extend_from_slice(&piece?);
    }
    let is_right = file
        .iter()
        .enumerate()
        .all(|(place, byte)| *byte == mainstay_lab::pattern_byte(place as u64));

    let mut out = String::new();
    writeln!(out, "{} bytes, each of them right: {is_right}", file.len())?;
    write!(out, "{}", attempts(&body.attempts()))?;

    // Where nobody wants to look on, the whole goes into a writer.
    stage.set("a", "reset-in-body at=middle times=1").await?;
    let response = client.get(format!("{}/bytes/1000000", stage.url("a"))).send().await?;
    let written = response.copy_to(&mut tokio::io::sink()).await?;
    writeln!(out, "{written} bytes written")?;
    Ok(out)
}

/// The next piece of the body.
async fn next(body: &mut mainstay::ResponseBody) -> Option<Result<bytes::Bytes, mainstay::Error>> {
    use futures_core::Stream;
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_next(cx)).await
}
