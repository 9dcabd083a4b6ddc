//! Each view, while a server breaks, is healed, and its incident is looked at again.

use serde_json::json;

use crate::Outcome;
use crate::browser::Browser;
use crate::stage::Stage;
use crate::support::text;

/// The text of what a selector finds.
fn words(selector: &str) -> String {
    format!("(document.querySelector({}) || {{ innerText: '' }}).innerText", json!(selector))
}

#[tokio::test]
async fn an_incident_is_told_as_it_happens_and_again_after_it_ended() -> Outcome {
    let stage = Stage::set().await?;
    let browser = stage.browser().await?;
    // The token isn't left in the address.
    let address = browser.eval("location.href").await?;
    assert_eq!(address, stage.url("").as_str());
    browser.until(&format!("{}.startsWith('All is well')", words("#headline h1"))).await?;
    browser.until("document.querySelectorAll('#up-payments [role=row]').length === 3").await?;
    browser.check()?;

    stage.fault("a", "refuse").await?;
    let headline = words("#headline h1");
    let told = format!(
        "/^payments: endpoint a .*since .*\\(connect-refused\\); [1-9].* saved.*, 0 failed/.test({headline})"
    );
    browser.until(&told).await?;
    browser
        .until(&format!(
            "/next probe|health/i.test({}) || document.querySelector('.is-bad')",
            words("#up-payments")
        ))
        .await?;
    browser.until(&format!("{}.includes('1 open incident')", words("main"))).await?;
    // Numbers go on by themselves.
    let figures = words(".figures");
    let first = browser.eval(&figures).await?;
    browser.until(&format!("{figures} !== {first}")).await?;
    // A screen reader is told once, without numbers that change.
    let spoken = browser.eval("document.querySelector('#spoken').textContent").await?;
    assert!(
        spoken
            .as_str()
            .is_some_and(|words| words.contains("endpoint a") && !words.contains("saved")),
        "{spoken}"
    );

    feed_and_call(&stage, &browser).await?;
    endpoint(&browser).await?;
    connections(&browser).await?;

    // The history has columns of ten seconds: it has to last for one to be gone back to.
    browser.go("#/incidents").await?;
    browser
        .until("[...document.querySelectorAll('[id^=incidents-open] .tr')].some((row) => /payments \\/ a/.test(row.innerText) && /(1[4-9]|[2-9]\\d) s|min/.test(row.innerText))")
        .await?;
    stage.fault("*", "healthy").await?;
    browser.go("#/").await?;
    // Of those that failed a minute ago it tells when no incident is open, too.
    let well = format!("/^(All is well|No incident is open, but )/.test({headline})");
    // Only calls show that an endpoint is back which isn't checked.
    tokio::select! {
        seen = browser.until(&well) => drop(seen?),
        ended = stage.read_orders(u32::MAX) => ended?,
    }
    browser.until(&format!("{}.includes('The last incident ended')", words("#headline"))).await?;
    past(&browser).await?;
    incident(&browser).await?;
    browser.check()?;
    browser.close().await
}

/// The feed pauses, filters, and leads to a call and to the manual.
async fn feed_and_call(stage: &Stage, browser: &Browser) -> Outcome {
    stage.fault("orders", "status code=500").await?;
    stage.read_orders(4).await?;
    browser.go("#/feed").await?;
    browser.until("document.querySelectorAll('#feed [role=row]').length > 2").await?;
    browser.click("#pause").await?;
    browser.until(&format!("/Go on/.test({})", words("#pause"))).await?;
    let paused = browser.eval(&words("#feed")).await?;
    stage.read_orders(3).await?;
    browser.until(&format!("/Go on \\([1-9]/.test({})", words("#pause"))).await?;
    assert_eq!(browser.eval(&words("#feed")).await?, paused, "what is paused stands still");
    browser.key("p").await?;
    browser.until(&format!("{} === 'Pause'", words("#pause"))).await?;
    browser.go("#/feed?code=connect-refused&how=saved").await?;
    browser.until("document.querySelectorAll('#feed [role=row]').length > 0").await?;
    browser.go("#/feed?text=no-such-thing").await?;
    browser.until(&format!("{}.includes('No call that is kept here fits')", words("main"))).await?;
    browser.go("#/feed?code=connect-refused&how=saved").await?;
    browser.until("document.querySelector('#feed a.cover')").await?;
    browser.eval("document.querySelector('#feed a.cover').click()").await?;
    browser.until("document.querySelectorAll('.waterfall .wf-attempt').length >= 2").await?;
    let call = browser.eval(&words("main")).await?;
    let call = call.as_str().unwrap_or_default();
    for said in [
        "delivered 200 (saved by failover)",
        "broke: ",
        "How far\nnot sent: nothing was done",
        "Decided\non to another endpoint",
        "Look at\n",
        "The application got\nthe answer of ",
    ] {
        assert!(call.contains(said), "the call doesn't say {said:?}: {call}");
    }
    // A connection that was kept may have broken in the same call, just before.
    browser.click("main a.code[href$='#connect-refused']").await?;
    browser
        .until("location.pathname === '/dashboard/breaks' && document.querySelector('h3:target')")
        .await?;
    assert_eq!(
        browser.eval("document.querySelector('h3:target').textContent").await?,
        "connect-refused"
    );
    browser.eval("void setTimeout(() => history.back())").await?;
    browser
        .until("location.pathname === '/' && document.querySelector('.waterfall')")
        .await
        .map(drop)
}

async fn endpoint(browser: &Browser) -> Outcome {
    browser.go("#/").await?;
    browser.until("document.querySelector('#up-payments a.cover')").await?;
    browser.eval("[...document.querySelectorAll('#up-payments a.cover')].find((link) => link.textContent === 'a').click()").await?;
    browser.until("document.querySelectorAll('.chart > svg').length === 3").await?;
    browser
        .until(&format!("/Breaker\\n.*\\nHealth check\\nconnect-refused/.test({})", words("main")))
        .await?;
    browser
        .until(&format!("/health check failed|breaker opened/.test({})", words("main")))
        .await
        .map(drop)
}

async fn connections(browser: &Browser) -> Outcome {
    browser.key("5").await?;
    browser.until("document.querySelectorAll('#connections [role=row]').length > 0").await?;
    browser.go("#/connections?upstream=payments").await?;
    browser.until(&format!("{}.includes('payments / b')", words("#connections"))).await.map(drop)
}

/// The timeline goes back by keys and by the mouse, and everything is shown for that time.
async fn past(browser: &Browser) -> Outcome {
    // An incident can be gone back to once it is some seconds old. Both were open then, and the sentence is about the worse.
    let told = format!(
        "/^orders: .*server-error.*, [1-7] failed\\.$/.test({}) && /payments \\/ a\\s+connect-refused/.test({})",
        words("#headline h1"),
        words("main"),
    );
    for key in ["j", "j", "Escape"].iter().cycle().take(90) {
        browser.key(key).await?;
        tokio::time::sleep(std::time::Duration::from_millis(400)).await;
        if browser.eval(&told).await? == true {
            break;
        }
    }
    browser.until(&told).await?;
    browser.until(&format!("{}.startsWith('Shown as it was at')", words("#banners"))).await?;
    browser.key("Escape").await?;
    browser.until("!location.hash.includes('at=')").await?;
    browser.eval("document.querySelector('.track').focus()").await?;
    browser.key("ArrowLeft").await?;
    browser.key("ArrowLeft").await?;
    browser
        .until("document.querySelector('.track').getAttribute('aria-valuetext').endsWith('ago')")
        .await?;
    browser.key("End").await?;
    browser
        .until("document.querySelector('.track').getAttribute('aria-valuetext') === 'now'")
        .await?;
    let track = browser.eval("(() => { const box = document.querySelector('.track').getBoundingClientRect(); return [box.left, box.width, box.top + box.height / 2]; })()").await?;
    let number = |place: usize| track[place].as_f64().unwrap_or_default();
    browser
        .drag((number(0) + number(1) - 2.0, number(2)), (number(0) + number(1) * 0.3, number(2)))
        .await?;
    browser.until("/at=\\d+/.test(location.hash)").await?;
    browser.click("#back-to-now").await?;
    browser.until("!location.hash.includes('at=')").await.map(drop)
}

/// The incident is told in full, and saved as a file that needs nothing else.
async fn incident(browser: &Browser) -> Outcome {
    browser.key("2").await?;
    browser.until("[...document.querySelectorAll('[id^=incidents-ended] a.cover')].find((link) => link.textContent === 'payments / a')").await?;
    browser.eval("[...document.querySelectorAll('[id^=incidents-ended] a.cover')].find((link) => link.textContent === 'payments / a').click()").await?;
    browser.until(&format!("/^payments: endpoint a broke with connect-refused from .* met it, .* saved by failover.*, 0 failed\\.$/.test({})", words(".headline h1"))).await?;
    browser.until("document.querySelectorAll('#incident-calls [role=row]').length > 0").await?;
    browser.until("document.querySelectorAll('.chart > svg').length === 2").await?;
    let folder = tempfile::tempdir().map_err(text)?;
    browser.save_into(folder.path()).await?;
    browser.key("s").await?;
    browser.click("#dialog-confirm").await?;
    let name = browser.saved().await?;
    browser.check()?;
    let file = folder.path().join(name);
    let html = std::fs::read_to_string(&file).map_err(text)?;
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
    for wrong in ["http://", "https://", "src=", "href=", "url("] {
        let html = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!html.contains(wrong), "the file has {wrong}");
    }
    browser.open(&format!("file://{}", file.display())).await?;
    browser
        .until(&format!("/endpoint a broke with connect-refused/.test({})", words("main")))
        .await?;
    browser.until("document.querySelectorAll('.chart > svg').length >= 2 && document.querySelector('details')").await.map(drop)
}

#[tokio::test]
async fn a_stream_that_is_cut_heals_and_what_was_missed_is_caught_up() -> Outcome {
    let stage = Stage::set().await?;
    let browser = stage.browser().await?;
    browser.until(&format!("{} === 'live'", words("#live"))).await?;
    browser.check()?;
    stage.wire.cut();
    let lost = "/Disconnected since \\d+ s, last state shown/";
    browser.until(&format!("{lost}.test({})", words("#banners"))).await?;
    browser.until(&format!("{} === 'lost'", words("#live"))).await?;
    browser.until("document.querySelector('#spoken').textContent.includes('lost')").await?;
    // The last state stays to be seen.
    browser.until("document.querySelectorAll('#up-payments [role=row]').length === 3").await?;
    stage.fault("a", "refuse").await?;
    let requests = browser.problems();
    assert!(requests.iter().all(|problem| problem.contains("net::ERR_")), "{requests:?}");
    stage.wire.mend();
    browser
        .until(&format!("{} === 'live' && !document.querySelector('#lost')", words("#live")))
        .await?;
    browser.until(&format!("{}.startsWith('payments: endpoint a')", words("#headline h1"))).await?;
    browser.go("#/endpoint/payments/a").await?;
    browser.until(&format!("/incident began/.test({})", words("main"))).await?;
    // The tries that failed while it was cut.
    let rest = browser.problems();
    assert!(rest.iter().all(|problem| problem.contains("net::ERR_")), "{rest:?}");
    browser.close().await
}

/// What the page and `mainstay top` both say, by one table, which the binary's own test reads as well.
const HEADLINES: &str = include_str!("../../crates/cli/src/top/model/headlines.json");

#[tokio::test]
async fn the_page_tells_what_is_wrong_in_the_words_of_mainstay_top() -> Outcome {
    let stage = Stage::set().await?;
    let browser = stage.browser().await?;
    // Times of another day would be told with their date.
    let told = format!(
        "(async () => {{ const cases = {HEADLINES}; const {{ headline }} = await import('/dashboard/headline.js'); const clock = Date.now;
          const wrong = []; try {{ for (const one of cases) {{ Date.now = () => one.state.now_unix_ms; const got = headline(one.state, one.incidents, null);
            for (const part of ['tone', 'text', 'next']) if (got[part] !== one[part]) wrong.push(`${{one.what}}: ${{part}} is ${{got[part]}}, not ${{one[part]}}`); }} }}
          finally {{ Date.now = clock; }} return [cases.length, wrong]; }})()"
    );
    let told = browser.eval(&told).await?;
    assert!(told[0].as_u64() > Some(10), "{told}");
    assert_eq!(told[1], serde_json::json!([]), "{told}");
    browser.check()?;
    browser.close().await
}

/// What both fold, by one table.
const CHANGES: &str = include_str!("../../crates/cli/src/top/model/changes.json");

#[tokio::test]
async fn the_page_folds_changes_as_mainstay_top_does() -> Outcome {
    let stage = Stage::set().await?;
    let browser = stage.browser().await?;
    let told = format!(
        "(async () => {{ const cases = {CHANGES}; const {{ folded }} = await import('/dashboard/changes.js');
          return cases.map((one) => [one.what, folded(one.changes).map(({{ first, last, probes }}) => [first.seq, last.seq, probes]), one.rows]); }})()"
    );
    let told = browser.eval(&told).await?;
    let cases = told.as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(cases.len() > 3, "{told}");
    for case in cases {
        assert_eq!(case[1], case[2], "{}", case[0]);
    }
    browser.check()?;
    browser.close().await
}
