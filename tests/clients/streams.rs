//! Event streams: a browser has each event once and in order by one request, whatever the servers do; a Python program that breaks off
//! itself and comes back has as well.

use mainstay_lab::{Lab, Rule, Spec};
use serde::Deserialize;

use crate::stage::{Stage, endpoints, text};
use crate::support::program::Program;
use crate::support::{Binary, get};
use crate::{Outcome, browse};

#[tokio::test]
async fn a_browser_does_not_notice_that_its_stream_is_reset_and_stalls_again_and_again() -> Outcome
{
    #[derive(Debug, Deserialize)]
    struct Page {
        events: Vec<u64>,
        opens: u64,
        errors: u64,
    }
    let stage = Stage::set().await?;
    // Each connection brings one event: of each server the first one stalls, and the next four are reset.
    let trouble =
        "stall at=in-event times=1 path=/events; reset-in-body at=in-event times=4 path=/events";
    stage.lab.set_all(trouble.parse::<Rule>().map_err(text)?).await;
    let profile = tempfile::tempdir().map_err(text)?;
    let browser = browse(&profile, &stage.url("/page/stream"))?;
    let told = stage.page.told().await?;
    drop(browser);
    let page: Page = serde_json::from_str(&told).map_err(text)?;
    let is_whole = page.events.iter().copied().eq(1..=20);
    if !is_whole || page.opens != 1 || page.errors != 0 {
        return Err(told);
    }
    let (mut stalls, mut resets) = (0, 0);
    for name in ["a", "b", "c"] {
        let (_, counts) = stage.endpoint(name).await?;
        stalls += counts["body_failures"]["body-stalled"].as_u64().unwrap_or_default();
        resets += counts["body_failures"]["body-reset"].as_u64().unwrap_or_default();
    }
    if stalls >= 1 && resets >= 4 {
        return Ok(());
    }
    Err(format!("{stalls} stalls and {resets} resets were to be noticed"))
}

#[tokio::test]
async fn a_program_that_breaks_off_and_comes_back_has_no_gap_and_no_doubled_event() -> Outcome {
    #[derive(Debug, Deserialize)]
    struct Told {
        numbers: Vec<u64>,
        others: Vec<serde_json::Value>,
        connections: u64,
        last_id: String,
    }
    let lab = Lab::start(Spec::of(["a", "b"])).await.map_err(text)?;
    let config = format!(
        "[upstream.api]\nendpoints = [{}]\n[upstream.api.heal.events.ring]\nkeep = \"30s\"\n",
        endpoints(&lab)
    );
    let binary = Binary::run(&config).await?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/returner.py");
    let (address, path) = (binary.proxy.to_string(), "/events?ids=none&last=400&every=2ms");
    let said = Program::find(&["python3"])?.output(&[script, &address, path, "400"]).await?;
    let told: Told = serde_json::from_str(&said).map_err(text)?;
    let is_whole = told.numbers.iter().copied().eq(1..=400) && told.others.is_empty();
    let came_back = told.connections >= 20 && told.last_id.starts_with("ms-");
    (is_whole && came_back).then_some(()).ok_or(said)?;
    // It was one call all the time.
    let metrics = get(binary.admin, "/metrics").await?;
    let resumed = told.connections - 1;
    for line in [
        "mainstay_calls_started_total{upstream=\"api\"} 1".to_owned(),
        format!("mainstay_event_returns_total{{upstream=\"api\",result=\"resumed\"}} {resumed}"),
        "mainstay_event_returns_total{upstream=\"api\",result=\"fallen-out\"} 0".to_owned(),
    ] {
        metrics.lines().any(|it| it == line).then_some(()).ok_or(format!("{line}: {metrics}"))?;
    }
    Ok(())
}
