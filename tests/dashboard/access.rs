//! What axe-core says of each view: nothing serious, on a desktop and on a phone, in light and dark.

use std::path::Path;

use serde_json::Value;

use crate::Outcome;
use crate::browser::Browser;
use crate::stage::Stage;
use crate::support::text;

/// Fetched by `cargo xtask test`; not a part of the repository.
const AXE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/axe-core/package/axe.min.js");

/// The narrowest phone that is still sold, and a small desktop.
const WINDOWS: [(u32, u32); 2] = [(1280, 900), (360, 780)];

/// What axe-core says of the whole page that is open: what is serious, with the elements. It isn't to load style sheets anew, which it
/// would do by styles of its own, against the page's policy.
const ASK_AXE: &str = "axe.run(document, { resultTypes: ['violations'], preload: false }).then((found) => found.violations
     .filter((one) => one.impact === 'serious' || one.impact === 'critical')
     .map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(' ; ')}`))";

fn axe() -> Result<String, String> {
    std::fs::read_to_string(Path::new(AXE)).map_err(|error| {
        format!(
            "axe-core isn't there ({error}), so nothing was tested; `cargo xtask test` fetches it"
        )
    })
}

/// What is wrong with the document that is open, in each window, light and dark.
async fn faults(browser: &Browser, axe: &str) -> Result<Vec<String>, String> {
    browser.eval(&format!("{axe};0")).await?;
    let mut wrong = Vec::new();
    for dark in [false, true] {
        for window in WINDOWS {
            browser.window(window, dark).await?;
            let found = browser.eval(ASK_AXE).await?;
            let found = found.as_array().into_iter().flatten();
            wrong.extend(found.map(|one| format!("{window:?} dark={dark}: {one}")));
            let beyond = browser.eval("document.documentElement.scrollWidth - innerWidth").await?;
            if beyond.as_f64() > Some(0.0) {
                wrong.push(format!("{window:?}: {beyond} pixels wider than the window"));
            }
        }
    }
    Ok(wrong)
}

#[tokio::test]
async fn the_page_of_break_codes_and_the_saved_file_are_accessible_and_fit_a_phone() -> Outcome {
    let axe = axe()?;
    let stage = Stage::set().await?;
    let browser = stage.browser().await?;
    stage.fault("a", "refuse").await?;
    browser.until("document.querySelector('.headline.bad, .headline.warn')").await?;
    let folder = tempfile::tempdir().map_err(text)?;
    browser.save_into(folder.path()).await?;
    browser.key("s").await?;
    browser.click("#dialog-confirm").await?;
    let file = folder.path().join(browser.saved().await?);
    browser.open(&format!("http://{}/dashboard/breaks", stage.wire.address)).await?;
    browser.until("document.querySelectorAll('h3').length > 30").await?;
    let mut wrong = faults(&browser, &axe).await?;
    browser.check()?;
    browser.open(&format!("file://{}", file.display())).await?;
    browser.until("document.querySelector('.headline') && document.querySelector('h1')").await?;
    wrong.extend(faults(&browser, &axe).await?);
    browser.check()?;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    browser.close().await
}

#[tokio::test]
async fn labels_of_the_timeline_have_room_from_the_first_minute_on() -> Outcome {
    let stage = Stage::set().await?;
    let browser = stage.browser().await?;
    // In pixels: what is kept grows by the second, and each width is another share of it.
    let boxes = "[...document.querySelectorAll('.track-scale span')].map((one) => one.getBoundingClientRect()).map((box) => [box.left, box.right])";
    let mut seen = 0;
    for _ in 0..5 {
        for width in [320, 344, 360, 393, 430, 600, 768, 1280] {
            browser.window((width, 780), false).await?;
            browser.eval("new Promise((done) => { dispatchEvent(new Event('mainstay-redraw')); requestAnimationFrame(() => requestAnimationFrame(done)); })").await?;
            let boxes = browser.until(&format!("(({boxes}).length > 0 && {boxes})")).await?;
            let boxes: Vec<_> = boxes.as_array().into_iter().flatten().collect();
            let side = |place: usize, side: usize| boxes[place][side].as_f64().unwrap_or_default();
            for place in 1..boxes.len() {
                let gap = side(place, 0) - side(place - 1, 1);
                assert!(gap >= 2.0, "labels {gap} pixels apart on {width}: {boxes:?}");
            }
            let is_within = side(0, 0) >= 0.0 && side(boxes.len() - 1, 1) <= f64::from(width);
            assert!(is_within, "labels beyond {width} pixels: {boxes:?}");
            seen = seen.max(boxes.len());
        }
        browser.eval("new Promise((done) => setTimeout(done, 700))").await?;
    }
    assert!(seen >= 3, "{seen} labels at most");
    browser.check()?;
    browser.close().await
}

#[tokio::test]
async fn every_view_is_accessible_and_fits_a_phone() -> Outcome {
    let axe = axe()?;
    let stage = Stage::set().await?;
    let browser = stage.browser().await?;
    stage.fault("a", "refuse").await?;
    browser.until("document.querySelector('.headline.bad, .headline.warn')").await?;
    browser.go("#/feed").await?;
    let call =
        browser.until("document.querySelector('#feed a.cover').getAttribute('href')").await?;
    browser.go("#/incidents").await?;
    let incident = browser
        .until("document.querySelector('[id^=incidents-] a.cover').getAttribute('href')")
        .await?;
    stage.fault("orders", "reset-after-execute").await?;
    stage.order("held").await?;
    let here = |hash: &Value| hash.as_str().unwrap_or_default().to_owned();
    let views = [
        ("#/".to_owned(), "document.querySelector('#up-payments')", ""),
        ("#/feed".to_owned(), "document.querySelector('#feed')", ""),
        (here(&call), "document.querySelector('.waterfall')", ""),
        ("#/incidents".to_owned(), "document.querySelector('[id^=incidents-open]')", ""),
        (here(&incident), "document.querySelector('#incident-calls')", ""),
        ("#/outbox".to_owned(), "document.querySelector('#lane-rows')", ""),
        ("#/connections".to_owned(), "document.querySelector('#connections')", ""),
        ("#/endpoint/payments/a".to_owned(), "document.querySelector('.chart')", ""),
        (
            "#/endpoint/payments/a".to_owned(),
            "document.querySelector('#dialog').open",
            "document.querySelector('[data-order=drain]').click()",
        ),
        (
            "#/".to_owned(),
            "document.querySelector('#dialog').open",
            "document.querySelector('#help').click()",
        ),
        ("#/no-such-view".to_owned(), "document.querySelector('[role=alert]')", ""),
    ];
    browser.eval(&format!("{axe};0")).await?;
    let mut wrong = Vec::new();
    for dark in [false, true] {
        for window in WINDOWS {
            browser.window(window, dark).await?;
            for (hash, there, open) in &views {
                browser.eval("document.querySelector('#dialog').close()").await?;
                browser.go(hash).await?;
                browser.until("document.querySelector('main').children.length > 0").await?;
                if !open.is_empty() {
                    browser.until(&format!("({open}, true)")).await?;
                }
                browser.until(there).await?;
                let found = browser.eval(ASK_AXE).await?;
                wrong.extend(
                    found
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(|one| format!("{window:?} dark={dark} {hash}: {one}")),
                );
                let beyond =
                    browser.eval("document.documentElement.scrollWidth - innerWidth").await?;
                if beyond.as_f64() > Some(0.0) {
                    wrong.push(format!("{window:?} {hash}: {beyond} pixels wider than the window"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    browser.check()?;
    browser.close().await
}

#[tokio::test]
async fn the_keyboard_reaches_everything_in_order_and_the_focus_is_seen() -> Outcome {
    let stage = Stage::set().await?;
    let browser = stage.browser().await?;
    browser.until("document.querySelectorAll('#up-payments [role=row]').length === 3").await?;
    browser.eval("document.activeElement.blur(); scrollTo(0, 0)").await?;
    let mut seen = Vec::new();
    for _ in 0..60 {
        browser.key("Tab").await?;
        let what = browser.eval(
            "(() => { const el = document.activeElement; if (el === document.body) return null;
             const style = getComputedStyle(el); const after = getComputedStyle(el, '::after');
             const ring = [style, after].some((one) => one.outlineStyle !== 'none' && parseFloat(one.outlineWidth) >= 2);
             return [el.id || el.textContent || el.getAttribute('aria-label'), ring]; })()",
        ).await?;
        if what.is_null() {
            break;
        }
        assert_eq!(what[1], true, "the focus on {} isn't seen", what[0]);
        seen.push(what[0].as_str().unwrap_or_default().to_owned());
    }
    let place = |wanted: &str| {
        seen.iter()
            .position(|one| one == wanted)
            .ok_or_else(|| format!("{wanted} isn't reached: {seen:?}"))
    };
    let places = [
        place("skip")?,
        place("Now")?,
        place("Connections")?,
        place("theme")?,
        place("a")?,
        place("b")?,
        place("save")?,
    ];
    assert!(places.is_sorted(), "{seen:?}");
    // The keys are listed by a key, and the list closes by another.
    browser.key("?").await?;
    browser
        .until(
            "document.querySelector('#dialog').open && document.querySelectorAll('kbd').length > 6",
        )
        .await?;
    browser.key("Escape").await?;
    browser.until("!document.querySelector('#dialog').open").await?;
    for (key, hash) in [("2", "#/incidents"), ("3", "#/feed"), ("4", "#/outbox"), ("1", "#/")] {
        browser.key(key).await?;
        browser
            .until(&format!("location.hash === '{hash}' && document.activeElement.id === 'main'"))
            .await?;
    }
    // Light, dark, and as the system has it.
    for theme in ["light", "dark", ""] {
        browser.key("t").await?;
        browser
            .until(&format!("(document.documentElement.dataset.theme || '') === '{theme}'"))
            .await?;
    }
    browser.check()?;
    browser.close().await
}
