//! Servers that nobody here wrote, behind the real binary, and clients that nobody here wrote in front of it.
//!
//! The lab breaks as its author thought that servers break. nginx and HAProxy break as they do: they close idle
//! connections at their own time, end connections after so many requests, reload under load. The traffic is light and pauses for about as long
//! as the servers keep idle connections, so that closes cross requests; clients are httpx and Node. A server's own log counts what was
//! carried out.
//!
//! A program that is missing fails its test by name; `cargo xtask test` installs what is missing.

mod grpc;
mod health;
mod server;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod websocket;

use serde_json::json;
use server::{Haproxy, Nginx};
use support::Binary;
use traffic::{Client, Traffic};

type Outcome = Result<(), String>;

/// A server that keeps idle connections for a second, as traffic meets it that pauses for about a second.
fn config(port: u16, more: &str) -> String {
    format!("[upstream.api]\nendpoints = [\"http://127.0.0.1:{port}\"]\n{more}")
}

#[tokio::test]
async fn httpx_meets_no_stale_connection_of_an_nginx_that_closes_idle_ones() -> Outcome {
    let nginx = Nginx::start("keepalive_timeout 1s;").await?;
    let binary = Binary::run(&config(nginx.port, "")).await?;
    let traffic = Traffic { client: Client::Httpx, seconds: 8, pause_ms: 1000 };
    let seen = traffic.run(&binary).await?;
    seen.check(&nginx.executed().await?, 1)
}

#[tokio::test]
async fn node_meets_no_stale_connection_of_an_nginx_that_ends_them_after_a_few_requests() -> Outcome
{
    let nginx = Nginx::start("keepalive_requests 3; keepalive_timeout 1s;").await?;
    let binary = Binary::run(&config(nginx.port, "")).await?;
    let traffic = Traffic { client: Client::Node, seconds: 8, pause_ms: 300 };
    let seen = traffic.run(&binary).await?;
    seen.check(&nginx.executed().await?, 1)
}

#[tokio::test]
async fn reloads_of_an_nginx_under_load_break_no_read_and_double_no_write() -> Outcome {
    let nginx = Nginx::start("keepalive_timeout 65s;").await?;
    let binary = Binary::run(&config(nginx.port, "")).await?;
    let traffic = Traffic { client: Client::Httpx, seconds: 6, pause_ms: 20 };
    let seen = nginx.reloading_while(traffic.run(&binary)).await?;
    seen.check(&nginx.executed().await?, 8)
}

#[tokio::test]
async fn an_nginx_that_says_goaway_after_a_few_streams_is_not_noticed() -> Outcome {
    let nginx = Nginx::start_http2("keepalive_requests 7; keepalive_timeout 1s;").await?;
    let http2 = "[upstream.api.connect]\nhttp2 = \"always\"\n";
    let binary = Binary::run(&config(nginx.port, http2)).await?;
    let traffic = Traffic { client: Client::Node, seconds: 6, pause_ms: 20 };
    let seen = traffic.run(&binary).await?;
    seen.check(&nginx.executed().await?, 0)
}

#[tokio::test]
async fn httpx_meets_no_stale_connection_of_a_haproxy_that_closes_idle_ones() -> Outcome {
    let nginx = Nginx::start("keepalive_timeout 65s;").await?;
    let haproxy = Haproxy::start(nginx.port).await?;
    let binary = Binary::run(&config(haproxy.port, "")).await?;
    let traffic = Traffic { client: Client::Httpx, seconds: 8, pause_ms: 1000 };
    let seen = traffic.run(&binary).await?;
    seen.check(&nginx.executed().await?, 1)
}

#[tokio::test]
async fn grpcio_at_both_ends_sees_each_call_end_as_it_should() -> Outcome {
    let story = grpc::Story::tell().await?;
    story.check_calls_of_each_kind()?;
    story.check_statuses()?;
    story.check_retries()?;
    story.check_pings()?;
    story.check_restarts()
}

#[tokio::test]
async fn checks_of_grpcio_s_own_health_service_follow_what_it_says() -> Outcome {
    let mut server = health::Server::start().await?;
    let binary = server.binary().await?;
    health::until(&binary, "api", &[("healthy", json!(true)), ("last_check/passed", json!(true))])
        .await?;
    server.say("NOT_SERVING").await?;
    let down = [
        ("healthy", json!(false)),
        ("last_check/code", json!("server-error")),
        ("last_check/details", json!("the service is NOT_SERVING")),
    ];
    health::until(&binary, "api", &down).await?;
    server.say("SERVING").await?;
    health::until(&binary, "api", &[("healthy", json!(true)), ("last_check/passed", json!(true))])
        .await?;
    let unknown = [
        ("healthy", json!(false)),
        ("last_check/details", json!("the server doesn't know the service (grpc-status 5)")),
    ];
    health::until(&binary, "other", &unknown).await?;
    let metrics = support::get(binary.admin, "/metrics").await?;
    let counted = |result: &str| {
        let series = "mainstay_checks_total{upstream=\"api\",endpoint=\"a\",result=";
        metrics.lines().any(|line| {
            line.starts_with(&format!("{series}\"{result}\"}} ")) && !line.ends_with(" 0")
        })
    };
    if counted("passed") && counted("server-error") { Ok(()) } else { Err(metrics) }
}

#[tokio::test]
async fn a_thousand_messages_by_websockets_come_back_while_pings_cross_them() -> Outcome {
    let stage = websocket::Stage::set("ping_after = \"10ms\", pong_within = \"30s\"").await?;
    let seen = stage.echo().await?;
    if seen != json!({ "same": 1000, "code": 1000 }) {
        return Err(seen.to_string());
    }
    stage.metric("mainstay_tunnels_total{upstream=\"api\",end=\"closed-by-application\"}").await?;
    let pings = stage.metric("mainstay_tunnel_pings_total{upstream=\"api\"}").await?;
    if pings >= 20 { Ok(()) } else { Err(format!("only {pings} pings of Mainstay's")) }
}

#[tokio::test]
async fn websockets_is_told_of_a_half_dead_upstream_and_of_a_reset_by_1012() -> Outcome {
    for (fault, end) in [("half-dead", "upstream-dead"), ("refuse", "upstream-reset")] {
        let settings = "ping_after = \"300ms\", pong_within = \"300ms\"";
        let stage = websocket::Stage::set(settings).await?;
        let mut waiting = stage.wait().await?;
        stage.breaks(fault).await?;
        let begun = std::time::Instant::now();
        let told = waiting.says().await?;
        let took = begun.elapsed();
        // The two times, and what a busy machine needs.
        if told != "1012" || took > std::time::Duration::from_secs(10) {
            return Err(format!("{fault}: {told} after {took:?}"));
        }
        stage.metric(&format!("mainstay_tunnels_total{{upstream=\"api\",end=\"{end}\"}}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn websockets_notices_nothing_of_connections_that_broke_before_its_first_message() -> Outcome
{
    let stage = websocket::Broken::set(2).await?;
    let mut client = stage.late().await?;
    let name = stage.binary.admin("/status").await?["upstreams"][0]["endpoints"][0]["name"].clone();
    let endpoint = name.as_str().ok_or("no endpoint")?;
    let series =
        format!("mainstay_bodies_resumed_total{{upstream=\"api\",endpoint=\"{endpoint}\"}}");
    websocket::metric(&stage.binary, &series, 2).await?;
    client.tell().await?;
    let said = [client.says().await?, client.says().await?];
    if said != ["here", "1000"] {
        return Err(format!("{said:?}"));
    }
    let series = "mainstay_tunnels_reopened_total{upstream=\"api\"}";
    websocket::metric(&stage.binary, series, 2).await.map(drop)
}
