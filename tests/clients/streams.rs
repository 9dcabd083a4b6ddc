//! An event stream in a browser: it has each event once and in order by one request, whatever the servers do.

use mainstay_lab::Rule;
use serde::Deserialize;

use crate::stage::{Stage, text};
use crate::{Outcome, browse};

#[tokio::test]
async fn a_browser_does_not_notice_that_its_stream_breaks_ten_times() -> Outcome {
    #[derive(Debug, Deserialize)]
    struct Page {
        events: Vec<u64>,
        opens: u64,
        errors: u64,
    }
    let stage = Stage::set().await?;
    stage.lab.set_all(rule("reset-in-body at=in-event times=10 path=/events")?).await;
    let profile = tempfile::tempdir().map_err(text)?;
    let browser = browse(&profile, &stage.url("/page/stream"))?;
    let told = stage.page.told().await?;
    drop(browser);
    let page: Page = serde_json::from_str(&told).map_err(text)?;
    let is_whole = page.events.iter().copied().eq(1..=20);
    (is_whole && page.opens == 1 && page.errors == 0).then_some(()).ok_or(told)
}

fn rule(words: &str) -> Result<Rule, String> {
    words.parse().map_err(text)
}
