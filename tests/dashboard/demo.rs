//! The demo, told from the dashboard alone; its pictures are the manual's.
//!
//! In the suite it is short, and what the page says is compared with the demo's script. With `MAINSTAY_SCREENSHOTS` (a folder) it runs
//! for minutes, so that there is an hour's worth to look at, and the pictures are written there.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::Outcome;
use crate::browser::Browser;
use crate::support::{PATIENCE, text};

/// The demo's process, which ends with this, and the address that it says.
struct Demo {
    url: String,
    _process: Child,
}

impl Demo {
    async fn start(seconds: u32) -> Result<Self, String> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_mainstay"))
            // What the outage near its end began is over some seconds later.
            .args(["demo", "--keep-open", "--seconds", &seconds.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(text)?;
        let mut lines = BufReader::new(process.stderr.take().ok_or("no standard error")?).lines();
        let told = async {
            while let Some(line) = lines.next_line().await.map_err(text)? {
                let url = line.split_whitespace().find(|word| word.starts_with("http://"));
                if let Some(url) = url {
                    // Where it is said with a token, that is a part of it.
                    let of_page = url.split('/').take(3).collect::<Vec<_>>().join("/");
                    return Ok(if url.contains("#token=") { url.to_owned() } else { of_page });
                }
            }
            Err("the demo doesn't say where its dashboard is".to_owned())
        };
        let url = timeout(PATIENCE, told).await.map_err(text)??;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { url, _process: process })
    }
}

/// Where pictures go, if they are to be kept.
struct Album(Option<PathBuf>);

/// A window of which there is a picture.
type Window = ((u32, u32), bool, &'static str);

const DESKTOP_LIGHT: Window = ((1280, 860), false, "desktop-light");
const DESKTOP_DARK: Window = ((1280, 860), true, "desktop-dark");
const PHONE_LIGHT: Window = ((360, 760), false, "phone-light");
const PHONE_DARK: Window = ((360, 760), true, "phone-dark");

impl Album {
    async fn take(&self, browser: &Browser, name: &str, windows: &[Window]) -> Outcome {
        for (size, dark, kind) in windows {
            browser.window(*size, *dark).await?;
            // A frame that lays out anew, one that draws the rows which are seen then, and one that shows it.
            browser
                .eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 60))))")
                .await?;
            let picture = browser.picture().await?;
            assert!(picture.starts_with(b"\x89PNG"), "no PNG");
            if let Some(folder) = &self.0 {
                let file = folder.join(format!("dashboard-{name}-{kind}.png"));
                std::fs::write(&file, picture).map_err(text)?;
            }
        }
        browser.window((1280, 860), false).await
    }
}

#[tokio::test]
async fn the_demo_is_told_by_the_dashboard() -> Outcome {
    let album = Album(std::env::var_os("MAINSTAY_SCREENSHOTS").map(PathBuf::from));
    let seconds = if album.0.is_some() { 300 } else { 60 };
    let browser = Browser::start().await?;
    browser.window((1280, 860), false).await?;
    let demo = Demo::start(seconds).await?;
    browser.open(&demo.url).await?;
    let headline = "(document.querySelector('#headline h1') || { innerText: '' }).innerText";
    browser.until(&format!("/^(All is well|No incident is open|demo: )/.test({headline})")).await?;

    // The first act in which something breaks: what, since when, why, and what it costs, in a sentence.
    if album.0.is_some() {
        let refused = "/^demo: endpoint b is down since \\d\\d:\\d\\d:\\d\\d \\(connect-refused\\); \\d+ calls? saved by failover/";
        browser.until(&format!("{refused}.test({headline})")).await?;
        browser
            .until("/unhealthy 1\\d s/.test(document.querySelector('#up-demo').innerText)")
            .await?;
    }
    album.take(&browser, "now", &[DESKTOP_LIGHT, DESKTOP_DARK, PHONE_LIGHT, PHONE_DARK]).await?;

    // Of an incident everything is told when it is over, too.
    browser.go("#/incidents").await?;
    let ended = |who: &str, cause: &str, failed: u32| {
        format!(
            "[...document.querySelectorAll('[id^=incidents-ended] .tr')].filter((row) => row.innerText.includes('demo / {who}') && row.innerText.includes('{cause}')
              && Number(row.querySelectorAll('[role=cell]')[4].innerText.replace(/\\D/g, '')) >= 1
              && Number(row.querySelectorAll('[role=cell]')[6].innerText.replace(/\\D/g, '')) >= {failed})[0]"
        )
    };
    browser.patient_until(&ended("b", "", 0), seconds).await?;
    // The pictures are of the outage: which server is asked most, and so breaks most, before it is another each time.
    let (cause, failed) = if album.0.is_some() { ("connect-refused", 1) } else { ("", 0) };
    let ended = ended("a", cause, failed);
    let link = format!("({ended})?.querySelector('a').getAttribute('href')");
    let incident = browser.patient_until(&link, seconds).await?;
    album.take(&browser, "incidents", &[DESKTOP_LIGHT]).await?;
    browser.go(incident.as_str().unwrap_or_default()).await?;
    browser.until("document.querySelectorAll('.chart > svg').length === 2").await?;
    let story = "document.querySelector('.headline h1').innerText";
    browser
        .until(&format!(
            "/^demo: endpoint a broke with .* from .* to .*; .* met it, .* saved/.test({story})"
        ))
        .await?;
    album.take(&browser, "incident", &[DESKTOP_LIGHT, PHONE_DARK]).await?;
    let call = browser
        .until("document.querySelector('#incident-calls a.cover').getAttribute('href')")
        .await?;
    browser.go(call.as_str().unwrap_or_default()).await?;
    browser.until("document.querySelector('.waterfall') && /Decided/.test(document.querySelector('main').innerText)").await?;
    album.take(&browser, "call", &[DESKTOP_LIGHT]).await?;
    browser.go("#/endpoint/demo/a").await?;
    browser.until("document.querySelectorAll('.chart > svg').length === 3").await?;
    album.take(&browser, "endpoint", &[DESKTOP_DARK]).await?;
    browser.go("#/").await?;
    browser.key("j").await?;
    browser.until("/at=\\d+/.test(location.hash) && document.querySelector('#headline') && document.querySelector('#up-demo')").await?;
    album.take(&browser, "past", &[DESKTOP_LIGHT]).await?;
    browser.check()?;
    browser.close().await
}
