//! reqwest as the client, Mainstay around it.

#[path = "shared/stage.rs"]
mod stage;

use std::fmt::Write;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use mainstay::tower::{AttemptBody, MainstayLayer};
use mainstay::{Mainstay, UpstreamBuilder};
use stage::{Failure, Stage, attempts};
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    print!("{}", run().await?);
    Ok(())
}

/// What the example prints.
pub async fn run() -> Result<String, Failure> {
    let stage = Stage::of(["a", "b"]).await?;
    let api = UpstreamBuilder::new("api")
        .endpoint_in_tier(stage.url("a"), 0)
        .endpoint_in_tier(stage.url("b"), 1);
    let client = Mainstay::builder().upstream(api).build()?;
    let api = client.upstream("api").ok_or("it was just given")?;

    let reqwest = reqwest::Client::new();
    let service = ServiceBuilder::new()
        .layer(MainstayLayer::new(&api))
        .service(service_fn(move |request: Request<AttemptBody>| send(reqwest.clone(), request)));
    let mut out = String::new();

    // Nobody listens at the first: nothing was sent, so that even a POST goes on elsewhere.
    stage.set("a", "refuse").await?;
    let request = Request::post("http://api/orders").body(Full::new(Bytes::from_static(b"5")))?;
    let response = service.clone().oneshot(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    writeln!(out, "refused: {status}, by b: {}", String::from_utf8_lossy(&body).contains("\"b\""))?;

    // It was sent, and nobody knows what was done.
    stage.set("a", "reset-after-execute").await?;
    let request = Request::post("http://api/orders").body(Full::new(Bytes::from_static(b"5")))?;
    let error = service.clone().oneshot(request).await.err().ok_or("no answer came")?;
    writeln!(out, "reset: {:?}, {:?}", error.break_code(), error.certainty())?;
    write!(out, "{}", attempts(error.attempts()))?;
    Ok(out)
}

/// One attempt.
async fn send(
    client: reqwest::Client,
    request: Request<AttemptBody>,
) -> Result<Response<reqwest::Body>, reqwest::Error> {
    let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))?;
    Ok(client.execute(request).await?.into())
}
