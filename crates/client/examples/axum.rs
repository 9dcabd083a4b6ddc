//! A handler of axum that calls out, and tells its own caller what may have happened.

#[path = "shared/stage.rs"]
mod stage;

use std::fmt::Write;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use http::{Request, StatusCode};
use mainstay::{Certainty, Mainstay, Upstream, UpstreamBuilder};
use stage::{Failure, Stage};
use tower::ServiceExt;

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
    let orders = client.upstream("orders").ok_or("it was just given")?;
    let app = Router::new()
        .route("/orders/{id}", get(read))
        .route("/orders", post(write))
        .with_state(orders);
    let mut out = String::new();

    for (fault, method, path) in [
        ("healthy", "GET", "/orders/7"),
        ("reset-after-execute", "GET", "/orders/7"),
        ("reset-after-execute", "POST", "/orders"),
    ] {
        stage.set("a", fault).await?;
        let request = Request::builder().method(method).uri(path).body(Body::empty())?;
        let status = app.clone().oneshot(request).await?.status().as_u16();
        writeln!(out, "{method} while a is {fault}: {status}")?;
    }
    for server in ["a", "b"] {
        stage.set(server, "refuse").await?;
    }
    let request = Request::post("/orders").body(Body::empty())?;
    let status = app.oneshot(request).await?.status().as_u16();
    writeln!(out, "POST while nobody listens: {status}")?;
    Ok(out)
}

async fn read(State(orders): State<Upstream>, Path(id): Path<String>) -> impl IntoResponse {
    match orders.get(format!("/orders/{id}")).send().await {
        Ok(response) => response.status(),
        Err(error) => told(&error),
    }
}

async fn write(State(orders): State<Upstream>) -> impl IntoResponse {
    match orders.post("/orders").body("5").send().await {
        Ok(response) => response.status(),
        Err(error) => told(&error),
    }
}

/// 503 where nothing has happened, so that the caller may come again; 502 where it has to ask first.
fn told(error: &mainstay::Error) -> StatusCode {
    match error.certainty() {
        Certainty::NotSent | Certainty::Refused => StatusCode::SERVICE_UNAVAILABLE,
        Certainty::MaybeProcessed | Certainty::Processed => StatusCode::BAD_GATEWAY,
    }
}
