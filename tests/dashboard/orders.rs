//! Each order, from the button to what comes of it; and who may give none.

use serde_json::json;

use crate::Outcome;
use crate::browser::Browser;
use crate::stage::{Stage, TOKEN};

async fn text_of(browser: &Browser, selector: &str) -> Result<String, String> {
    let words =
        browser.until(&format!("document.querySelector({})?.innerText", json!(selector))).await?;
    Ok(words.as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn whoever_has_no_token_is_asked_for_it_and_a_wrong_one_is_refused() -> Outcome {
    let stage = Stage::set().await?;
    let browser = Browser::start().await?;
    browser.open(&stage.url("")).await?;
    browser.until("document.querySelector('#token')").await?;
    let denied = |problems: Vec<String>| {
        let others: Vec<_> =
            problems.into_iter().filter(|problem| !problem.contains("401")).collect();
        if others.is_empty() { Ok(()) } else { Err(others.join("\n")) }
    };
    denied(browser.problems())?;
    for (given, comes) in [
        ("wrong", "document.querySelector('form.gate [role=alert]')"),
        (TOKEN, "document.querySelector('#headline')"),
    ] {
        browser.eval("document.querySelector('#token').value = ''; document.querySelector('#token').focus()").await?;
        browser.type_in(given).await?;
        browser.key("Enter").await?;
        browser.until(comes).await?;
    }
    denied(browser.problems())?;
    // It is kept for this tab, and nowhere else.
    let kept = browser
        .eval("[...Object.values(localStorage), document.cookie, location.href].join()")
        .await?;
    assert!(!kept.as_str().unwrap_or_default().contains("token"), "{kept}");
    browser.close().await
}

#[tokio::test]
async fn endpoints_are_drained_opened_closed_and_left_to_themselves() -> Outcome {
    let stage = Stage::set().await?;
    let browser = stage.browser().await?;
    browser.go("#/endpoint/payments/a").await?;
    for (order, button, says, state) in [
        ("drain", "Drain a", "takes no new calls", "drained"),
        ("open", "Force open a", "refused at once", "forced open"),
        ("closed", "Force closed a", "whatever it does", "forced closed"),
        ("auto", "Take the order back", "Takes the order back", "up"),
    ] {
        browser.click(&format!("[data-order={order}]")).await?;
        let said = text_of(&browser, "#dialog .says").await?;
        assert!(said.contains(says), "{order}: {said}");
        // Nothing is ordered before it is confirmed.
        let before = text_of(&browser, ".title .state").await?;
        assert_eq!(text_of(&browser, "#dialog-confirm").await?, button);
        browser.key("Escape").await?;
        browser.until("!document.querySelector('#dialog').open").await?;
        assert_eq!(text_of(&browser, ".title .state").await?, before);
        browser.click(&format!("[data-order={order}]")).await?;
        browser.click("#dialog-confirm").await?;
        browser.until("!document.querySelector('#dialog').open").await?;
        let state = json!(state);
        browser
            .until(&format!("document.querySelector('.title .state').innerText === {state}"))
            .await?;
        browser.until(&format!("document.querySelector('[data-order={order}]').getAttribute('aria-pressed') === 'true'")).await?;
    }
    browser.until("document.querySelectorAll('.change').length >= 4 && /by 127\\.0\\.0\\.1/.test(document.querySelector('.changes').innerText)").await?;
    browser.check()?;
    browser.close().await
}

#[tokio::test]
async fn stored_writes_are_retried_settled_and_dropped_and_a_lane_is_released() -> Outcome {
    let stage = Stage::set().await?;
    let browser = stage.browser().await?;
    // One that may have been carried out holds its lane, with one behind it; two more are turned down for good.
    stage.fault("orders", "reset-after-execute").await?;
    for lane in ["held", "held", "settled", "dropped"] {
        stage.order(lane).await?;
    }
    browser.go("#/outbox").await?;
    browser.until("document.querySelectorAll('#lane-rows [role=row]').length === 3").await?;
    stage.fault("orders", "status code=422").await?;
    stage.order("dead").await?;
    browser.until("/dead\\s+the destination turned it down/.test(document.querySelector('#deliveries-rows').innerText)").await?;
    stage.fault("orders", "healthy").await?;

    // What is delivered or settled is seen no more; what was dropped stays as a dead letter.
    for (lane, order, becomes) in [
        ("settled", "settle", "!row"),
        ("dropped", "drop", "row.innerText.includes('a person gave it up')"),
        ("dead", "retry", "!row"),
    ] {
        let row = format!(
            "[...document.querySelectorAll('#deliveries-rows [role=row]')].find((row) => row.innerText.includes('/ {lane}'))"
        );
        browser.until(&format!("(({row}).querySelector('[data-order={order}]').click(), document.querySelector('#dialog').open)")).await?;
        browser.click("#dialog-confirm").await?;
        browser.until("!document.querySelector('#dialog').open").await?;
        browser.until(&format!("((row) => {becomes})({row})")).await?;
    }
    browser.click("#lane-rows button").await?;
    let behind = text_of(&browser, "#dialog").await?;
    assert!(behind.contains("1 stored write waits behind"), "{behind}");
    browser.click("#dialog-confirm").await?;
    browser
        .until("!document.querySelector('#dialog').open && !document.querySelector('#lane-rows')")
        .await?;
    browser.until("document.querySelectorAll('#deliveries-rows [role=row]').length === 1").await?;
    browser.check()?;
    browser.close().await
}
