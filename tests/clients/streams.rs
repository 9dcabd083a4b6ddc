//! An event stream in a browser: it has each event once and in order by one request, whatever the servers do.

use mainstay_lab::Rule;
use serde::Deserialize;

use crate::stage::{Stage, text};
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
