//! An outage of every endpoint, told by one number wherever it is told: what the page says of it is compared with itself, and with what
//! is so.

use serde_json::{Value, json};

use crate::Outcome;
use crate::browser::Browser;
use crate::stage::Stage;

/// The text of what a selector finds.
fn words(selector: &str) -> String {
    format!("(document.querySelector({}) || {{ innerText: '' }}).innerText", json!(selector))
}

/// The number of open incidents as it stands at the view's name, over the rows, and behind the sentence.
const NUMBERS: &str = "(() => {
    const number = (text) => Number((/\\d+/.exec(text || '') || [0])[0]);
    const sentence = /(\\d+) incidents are open/.exec(document.querySelector('#headline .next').innerText);
    const tag = [...document.querySelectorAll('.nav a')].find((link) => link.textContent.startsWith('Incidents')).querySelector('.tag');
    return [number(tag && tag.innerText.replace(/\\D/g, '')), number(document.querySelector('#open-title').innerText), Number(sentence && sentence[1])];
})()";

#[tokio::test]
async fn an_outage_of_all_is_told_by_the_same_numbers_and_times_everywhere() -> Outcome {
    let stage = Stage::set().await?;
    let browser = stage.browser().await?;
    browser.until(&format!("{}.startsWith('All is well')", words("#headline h1"))).await?;
    stage.fault("*", "refuse").await?;
    let down = "/^payments: (endpoints a, b and standby are down|calls find no endpoint) since \\d\\d:\\d\\d:\\d\\d \\(/";
    browser.until(&format!("{down}.test({})", words("#headline h1"))).await?;
    // Three refuse, and calls find none: each cause at each place is one, however many rows that makes.
    let four = browser.until(&format!("(({NUMBERS}).join() === '4,4,4' && {NUMBERS})")).await?;
    assert_eq!(four, json!([4, 4, 4]));
    a_call_counts_once(&browser).await?;
    refused_calls(&browser).await?;
    every_call_can_be_seen(&browser).await?;
    labelled(&browser).await?;
    until_the_history_has_it(&browser).await?;

    stage.fault("*", "healthy").await?;
    browser.go("#/").await?;
    // What is back doesn't go on breaking in words.
    let over =
        "/ (is|are) back since |find an endpoint again since |No incident is open|All is well/";
    browser.until(&format!("{over}.test({})", words("#headline h1"))).await?;
    // That calls failed is said when no incident is open any more, too.
    let told = "/No incident is open, but [1-9][\\d,]* calls? failed in the last minute\\.|All is well now; [1-9][\\d,]* of [\\d,]+ calls failed in the last 10 minutes\\./";
    browser.until(&format!("{told}.test({})", words("#headline"))).await?;
    // The one of the lower tier is asked by nobody any more, so that nothing says that it is well.
    let idle = "/All is well|^No incident|endpoint standby is half-open since .*, and nobody asks it: the next call there is a probe\\./";
    browser.until(&format!("{idle}.test({})", words("#headline h1"))).await?;
    times_agree(&browser).await?;
    as_it_was(&browser).await?;
    browser.check()?;
    browser.close().await
}

/// To the page of the newest incident, open or ended, whose row has these words.
async fn to_incident(browser: &Browser, state: &str, told: &str) -> Outcome {
    browser.go("#/incidents").await?;
    let row = format!(
        "[...document.querySelectorAll('[id^=incidents-{state}] .tr')].find((row) => row.innerText.includes({}))",
        json!(told)
    );
    let link = browser.until(&format!("{row}.querySelector('a').getAttribute('href')")).await?;
    browser.go(link.as_str().unwrap_or_default()).await
}

/// The row of a cause at three endpoints counts calls, not how often they met it.
async fn a_call_counts_once(browser: &Browser) -> Outcome {
    let told = browser
        .eval(
            "(async () => { const { store } = await import('/dashboard/store.js'); const { groups } = await import('/dashboard/headline.js');
              const open = [...store.incidents.values()].filter((one) => one.cause === 'connect-refused' && one.state === 'open' && one.upstream === 'payments');
              const group = groups(open)[0];
              return { incidents: open.length, sum: open.reduce((sum, one) => sum + one.calls.met, 0), most: Math.max(...open.map((one) => one.calls.met)), met: group.met }; })()",
        )
        .await?;
    let number = |name: &str| told[name].as_u64().unwrap_or_default();
    assert_eq!(number("incidents"), 3, "{told}");
    assert!(number("met") >= number("most") && number("met") < number("sum"), "{told}");
    let row = words(".incident-row:has(.code)");
    browser.until(&format!("/calls met them.*3 incidents|3 incidents.*calls met them/s.test([...document.querySelectorAll('.incident-row')].map((row) => row.innerText).join()) && {row}")).await.map(drop)
}

/// The feed can be asked for them, and each says what was decided.
async fn refused_calls(browser: &Browser) -> Outcome {
    browser.go("#/feed").await?;
    browser
        .until("[...document.querySelectorAll('[aria-label=Code] option')].some((one) => one.value === 'breaker-open')")
        .await?;
    browser.go("#/feed?code=breaker-open").await?;
    let first = "document.querySelector('#feed .tr')";
    browser
        .until(&format!(
            "/(refused at once|waited [\\d.]+ m?s): nothing was sent/.test({first}.innerText)"
        ))
        .await?;
    browser.eval(&format!("{first}.querySelector('a.cover').click()")).await?;
    browser
        .until(&format!(
            "/Nothing was sent\\. The call was refused without an attempt: the breaker of each endpoint/.test({})",
            words("main")
        ))
        .await?;
    let shown = browser
        .eval("[document.querySelectorAll('.waterfall').length, document.querySelector('main').innerText]")
        .await?;
    assert_eq!(shown[0], 0, "a drawing of nothing");
    let text = shown[1].as_str().unwrap_or_default();
    assert!(!text.contains("]("), "it is read as it stands: {text}");
    Ok(())
}

/// Twenty are listed, of how many is said, and the others can be had.
async fn every_call_can_be_seen(browser: &Browser) -> Outcome {
    to_incident(browser, "open", "breaker-open").await?;
    let about = words("section[aria-labelledby=its-calls] header");
    browser.until(&format!("/failed ones first: 20 of \\d+/.test({about})")).await?;
    // What is still to come moves the button.
    browser.until("document.querySelectorAll('.chart > svg').length === 2").await?;
    browser.click("#more-calls").await?;
    browser
        .until("Number(document.querySelector('[aria-label=\"Calls that met it\"]').getAttribute('aria-rowcount')) > 22")
        .await?;
    // One attempt's error is said once.
    browser.go("#/feed?code=connect-refused").await?;
    browser.until("document.querySelector('#feed a.cover')").await?;
    browser.eval("document.querySelector('#feed a.cover').click()").await?;
    browser.until("document.querySelector('.attempt')").await?;
    let errors = "[...document.querySelectorAll('.attempt')].map((one) => [...one.querySelectorAll('dt')].filter((name) => name.innerText === 'Error').length)";
    let errors = browser.eval(errors).await?;
    let most = errors.as_array().into_iter().flatten().filter_map(Value::as_u64).max();
    assert_eq!(most, Some(1), "{errors}");
    // A call that went round all of them, and then found none: no sentence of it denies another.
    browser.go("#/feed?code=connect-refused&how=failed").await?;
    let link = "[...document.querySelectorAll('#feed .tr')].find((row) => row.innerText.includes('breakers are open'))";
    browser.until(&format!("{link} && ({link}.querySelector('a').click(), true)")).await?;
    browser.until("document.querySelectorAll('.attempt').length > 1 && /no further attempt/.test(document.querySelector('main').innerText)").await?;
    let said = browser.eval(&words("main")).await?;
    let said = said.as_str().unwrap_or_default();
    let stop = said.lines().find(|line| line.starts_with("no further attempt")).unwrap_or_default();
    assert!(stop.contains("But for that: nothing was sent") && !stop.contains("Because"), "{stop}");
    Ok(())
}

/// What has a scale of its own says so, a list of changes has room, and who comes back to the page sees it as it is.
async fn labelled(browser: &Browser) -> Outcome {
    browser
        .until(&format!(
            "/saved and failed: at most [1-9][\\d,]* in 10 s, on a scale of their own/.test({})",
            words(".timeline-head .legend")
        ))
        .await?;
    // On a phone there is no room beside the title.
    browser.window((360, 780), false).await?;
    let note = words(".track-note");
    browser
        .until(&format!("/failed, both: [1-9][\\d,]*\\s+in 10 s at most/.test({note}) && document.querySelector('.track-note').scrollWidth <= innerWidth"))
        .await?;
    browser.window((1400, 900), false).await?;
    browser.go("#/endpoint/payments/a").await?;
    browser.until("document.querySelectorAll('.change').length > 2").await?;
    let overlapping = browser
        .eval("[...document.querySelectorAll('.change')].filter((row) => { const [, state, told] = row.children; return state.firstElementChild.nextElementSibling.getBoundingClientRect().right > told.getBoundingClientRect().left; }).map((row) => row.innerText)")
        .await?;
    assert_eq!(overlapping, json!([]));
    browser.window((1280, 900), false).await?;
    let asked = "performance.getEntriesByType('resource').filter((one) => one.name.includes('/timeline?from=')).length";
    let before = browser.eval(asked).await?;
    // It has just been asked for: for ten seconds it won't be by itself.
    let before = browser.until(&format!("({asked} > {before} && {asked})")).await?;
    browser.eval("document.dispatchEvent(new Event('visibilitychange'))").await?;
    let again = format!(
        "(async () => {{ const end = performance.now() + 5000; while ({asked} === {before} && performance.now() < end) await new Promise((done) => setTimeout(done, 50)); return {asked} > {before}; }})()"
    );
    assert_eq!(browser.eval(&again).await?, true, "the timeline isn't asked for");
    Ok(())
}

/// The history has columns of ten seconds.
async fn until_the_history_has_it(browser: &Browser) -> Outcome {
    browser.go("#/incidents").await?;
    browser
        .until("[...document.querySelectorAll('[id^=incidents-open] .tr')].some((row) => /(1[4-9]|[2-9]\\d) s|min/.test(row.innerText))")
        .await
        .map(drop)
}

/// An incident began and ended when its list of changes says so, and nothing that came later is in that.
async fn times_agree(browser: &Browser) -> Outcome {
    to_incident(browser, "ended", "payments / a").await?;
    let told = "(() => { const fact = (name) => [...document.querySelectorAll('dt')].find((one) => one.textContent === name).nextElementSibling.querySelector('time').getAttribute('datetime');
        const change = (name) => [...document.querySelectorAll('.change')].filter((one) => one.innerText.includes(name)).map((one) => one.querySelector('time').getAttribute('datetime'));
        const all = [...document.querySelectorAll('.change time')].map((one) => one.getAttribute('datetime'));
        return [fact('When'), fact('Ended'), change('incident began'), change('incident ended'), all.filter((time) => Date.parse(time) > Date.parse(fact('Ended')) + 10)]; })()";
    let told = browser.until(told).await?;
    assert_eq!(told[2], json!([told[0]]), "{told}");
    assert_eq!(told[3], json!([told[1]]), "{told}");
    assert_eq!(told[4], json!([]), "{told}");
    Ok(())
}

/// At its begin fewer calls had met it than in all.
async fn as_it_was(browser: &Browser) -> Outcome {
    to_incident(browser, "ended", "breaker-open").await?;
    // Why no endpoint was found stands there, and what their breakers did.
    let why = words("main");
    browser
        .until(&format!(
            "/At the endpoints\\n.*a connect-refused/.test({why}) && /breaker opened/.test({why})"
        ))
        .await?;
    let met =
        "Number(document.querySelector('.figures dd').firstChild.textContent.replace(/\\D/g, ''))";
    let name = words(".figures dt");
    let all = browser.until(&format!("({name} === 'Calls that met it' && {met})")).await?;
    browser.eval("[...document.querySelectorAll('a.button')].find((link) => link.textContent === 'Go to its begin').click()").await?;
    browser
        .until(&format!("({name} === 'Calls that had met it' && {met} > 0 && {met} < {all})"))
        .await?;
    // So is what three incidents of one cause were met by together.
    browser.key("1").await?;
    let rows = "[...document.querySelectorAll('.incident-row')].map((row) => row.innerText).join()";
    browser
        .until(&format!("/3 incidents.*calls met them · /s.test({rows}) && !/in all/.test({rows})"))
        .await?;
    browser.key("Escape").await?;
    browser.until("!location.hash.includes('at=')").await.map(drop)
}
