//! What `which` foretells and `explain` lists, against what the running proxy does.

use std::net::SocketAddr;
use std::process::Output;

use serde_json::Value;

use crate::binary::{Binary, run};
use crate::{Outcome, hold, text};

/// Nobody listens there.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// One attempt, and requests below one path only.
const MORE: &str = "retry.max_attempts = 1\n[[route]]\nname = \"orders\"\npath = \"/orders\"\n";

async fn said(words: &[&str]) -> Result<Output, String> {
    let folder = tempfile::tempdir().map_err(text)?;
    run(words, folder.path()).await
}

/// What is printed, if the exit code is this.
async fn printed(words: &[&str], code: i32) -> Result<String, String> {
    let output = said(words).await?;
    let told = String::from_utf8_lossy(if code == 2 { &output.stderr } else { &output.stdout });
    let all = format!("{words:?}: {output:?}");
    hold(output.status.code() == Some(code), all)?;
    Ok(told.into_owned())
}

fn document(printed: &str) -> Result<Value, String> {
    serde_json::from_str(printed).map_err(|error| format!("{error} in {printed}"))
}

#[tokio::test]
async fn which_foretells_what_the_proxy_does() -> Outcome {
    let binary = Binary::start_with(&[("a", NOBODY)], MORE).await?;
    let config = binary.config().to_str().ok_or("no config")?.to_owned();
    let which = |request: &str, code: i32| {
        let words = format!("which {request} --json --config {config}");
        async move { document(&printed(&words.split(' ').collect::<Vec<_>>(), code).await?) }
    };

    let foretold = which("POST /orders/7", 0).await?;
    let breaks = foretold["breaks"].as_array().ok_or("no breaks")?;
    let foretold = breaks.iter().find(|part| part["code"] == "connect-refused");
    let foretold = foretold.ok_or("no connect-refused")?;
    let got = binary.exchange("POST", "/orders/7").await?;
    let problem = document(&got.body)?;
    hold(foretold["status"] == got.status, format!("{foretold} but {got:?}"))?;
    hold(foretold["stop"] == problem["stop"], format!("{foretold} but {problem}"))?;
    hold(foretold["certainty"] == problem["certainty"], format!("{foretold} but {problem}"))?;

    let foretold = which("GET /nothing", 1).await?;
    let got = binary.exchange("GET", "/nothing").await?;
    hold(foretold["answered"]["status"] == got.status, format!("{foretold} but {got:?}"))?;
    let same = foretold["answered"]["document"] == document(&got.body)?;
    hold(same, format!("{foretold} but {got:?}"))
}

#[tokio::test]
async fn which_draws_a_request_within_the_width_and_names_what_is_wrong_with_it() -> Outcome {
    let to = ["--to", "http://127.0.0.1:1", "--to", "http://127.0.0.1:2"];
    let drawn = printed(&[&["which", "GET", "/x", "--width", "72"][..], &to].concat(), 0).await?;
    let wide = drawn.lines().find(|line| line.chars().count() > 72);
    hold(wide.is_none(), format!("{wide:?} is wider than 72 columns"))?;
    for told in ["again elsewhere at once, free", "safe: GET only reads", "tier 0"] {
        hold(drawn.contains(told), format!("{told:?} isn't in\n{drawn}"))?;
    }
    let wrong: [(&[&str], &str); 6] = [
        (&["which", "G T", "/x"], "METHOD \"G T\""),
        (&["which", "GET", "x y"], "URL \"x y\""),
        (&["which", "GET", "ftp://a/x"], "URL \"ftp://a/x\""),
        (&["which", "GET", "/x", "-H", "nothing"], "\"nothing\""),
        (&["which", "GET", "/x", "--profile", "none"], "--profile"),
        (&["which", "GET", "/x", "--width", "59"], "--width"),
    ];
    for (words, place) in wrong {
        let said = printed(&[words, &to].concat(), 2).await?;
        hold(said.contains(place), format!("{words:?} doesn't name {place}:\n{said}"))?;
    }
    let said = printed(&["which", "GET", "/x"], 2).await?;
    hold(said.contains("--config"), said)
}

#[tokio::test]
async fn explain_lists_the_calls_that_are_asked_for_and_says_how_to_keep_more() -> Outcome {
    let binary = Binary::start_with(&[("a", NOBODY)], MORE).await?;
    let admin = binary.admin.to_string();
    for path in ["/orders/1", "/orders/2"] {
        binary.exchange("GET", path).await?;
    }
    let explain = |filters: &str, code: i32| {
        let words = format!("explain --admin {admin} {filters}");
        async move { printed(&words.split_whitespace().collect::<Vec<_>>(), code).await }
    };
    let all = explain("--outcome failed --upstream api --code connect-refused", 0).await?;
    hold(all.lines().count() == 2 && all.contains("/orders/1"), &*all)?;
    let one = explain("--limit 1", 0).await?;
    hold(one.lines().count() == 1 && one.contains("/orders/2"), &*one)?;
    hold(explain("--outcome saved", 0).await?.is_empty(), "a call was saved")?;

    for (filters, told) in [
        ("--limit 0", "--limit=0"),
        ("--code nope", "reset-before-head"),
        ("--outcome nope", "delivered, saved, as_is, cut, failed"),
        ("--upstream nope", "upstream=nope: there is no such upstream; allowed: api"),
    ] {
        let said = explain(filters, 2).await?;
        hold(said.contains(told), format!("{filters} doesn't say {told}: {said}"))?;
    }
    let output = said(&["explain", "0000000000000000", "--admin", &admin]).await?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    hold(output.status.code() == Some(1) && told.contains("[records] file"), told)
}
