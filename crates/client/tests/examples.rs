//! The examples print what their page shows.

#![allow(
    clippy::duplicate_mod,
    reason = "each example stands for itself, with the stage that it plays on"
)]

#[path = "../examples/download.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main function is for the example")]
mod download;
#[path = "../examples/events.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main function is for the example")]
mod events;
#[path = "../examples/rest.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main function is for the example")]
mod rest;

#[path = "../examples/reqwest.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main function is for the example")]
mod around_reqwest;
#[path = "../examples/tonic.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main function is for the example")]
mod around_tonic;
#[path = "../examples/axum.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main function is for the example")]
mod axum_handler;
#[path = "../examples/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main function is for the example")]
mod postgres;
#[path = "../../../tests/support/postgres.rs"]
mod server;

/// The block of text below a heading of the page.
fn shown(heading: &str) -> &'static str {
    let page = include_str!("../../../docs/library/examples.md");
    let section = page.split(&format!("\n## {heading}\n")).nth(1).expect("the page has it");
    let block = section.split("```text\n").nth(1).expect("with what it prints");
    block.split("```").next().expect("up to its end")
}

#[tokio::test]
async fn rest_prints_what_its_page_shows() {
    assert_eq!(rest::run().await.unwrap(), shown("rest"));
}

#[tokio::test]
async fn download_prints_what_its_page_shows() {
    assert_eq!(download::run().await.unwrap(), shown("download"));
}

#[tokio::test]
async fn events_prints_what_its_page_shows() {
    assert_eq!(events::run().await.unwrap(), shown("events"));
}

#[tokio::test]
async fn reqwest_prints_what_its_page_shows() {
    assert_eq!(around_reqwest::run().await.unwrap(), shown("reqwest"));
}

#[tokio::test]
async fn tonic_prints_what_its_page_shows() {
    assert_eq!(around_tonic::run().await.unwrap(), shown("tonic"));
}

#[tokio::test]
async fn axum_prints_what_its_page_shows() {
    assert_eq!(axum_handler::run().await.unwrap(), shown("axum"));
}

#[tokio::test]
async fn postgres_prints_what_its_page_shows() {
    let url = server::Cluster::shared().url();
    assert_eq!(postgres::run(&url).await.unwrap(), shown("postgres"));
}
