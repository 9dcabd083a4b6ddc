//! What `mainstay diagnose` can be asked: more walks, other requests, by the way of a config.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{PATIENCE, text};
use crate::{Outcome, Stage};

const PLAIN: &str = "[[server]]\nname = \"a\"\n";

/// What the binary said, and its exit code.
struct Said {
    exit: i32,
    out: String,
    err: String,
}

async fn diagnose(words: &[&str]) -> Result<Said, String> {
    let walk = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .arg("diagnose")
        .args(words)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output =
        timeout(PATIENCE, walk).await.map_err(|_| "diagnose doesn't end")?.map_err(text)?;
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Said {
        exit: output.status.code().unwrap_or(-1),
        out: words(&output.stdout),
        err: words(&output.stderr),
    })
}

impl Said {
    fn json(&self) -> Result<Value, String> {
        serde_json::from_str(&self.out).map_err(|why| format!("{why}: {}{}", self.out, self.err))
    }

    /// Fails unless it ended so, and each of these was said.
    fn check(&self, exit: i32, wanted: &[&str]) -> Outcome {
        match wanted.iter().find(|words| !self.out.contains(**words)) {
            None if self.exit == exit => Ok(()),
            missing => Err(format!("{} {missing:?}\n{}{}", self.exit, self.out, self.err)),
        }
    }
}

async fn plain() -> Result<(Stage, String), String> {
    let stage = Stage::set(PLAIN).await?;
    let url = format!("http://127.0.0.1:{}/x", stage.port("a")?);
    Ok((stage, url))
}

fn file(config: &str) -> Result<tempfile::NamedTempFile, String> {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().map_err(text)?;
    file.write_all(config.as_bytes()).map_err(text)?;
    Ok(file)
}

#[tokio::test]
async fn repeated_walks_are_each_over_connections_of_their_own_and_their_times_are_told() -> Outcome
{
    let (stage, url) = plain().await?;
    let told = diagnose(&[&url, "--repeat", "3", "--json"]).await?;
    let one = &told.json()?["endpoints"][0];
    let (walks, broke, seen) = (&one["walks"], &one["broke"], one["seen"].as_array());
    if (walks, broke, seen.map(Vec::len)) != (&json!(3), &json!(0), Some(1)) || told.exit != 0 {
        return Err(told.out);
    }
    for step in ["connect", "first-byte", "body"] {
        if one["times"][step]["median_ms"].as_f64().is_none() {
            return Err(format!("no times of {step}: {}", told.out));
        }
    }
    // A request and one over the connection again, three times.
    let received = stage.lab.oracle().totals("a").received;
    if received != 6 {
        return Err(format!("{received} requests"));
    }
    diagnose(&[&url, "--repeat", "2"]).await?.check(0, &["2 walks, 0 broke", "nothing broke"])
}

#[tokio::test]
async fn a_request_has_the_method_and_fields_that_were_asked_for_and_a_write_is_made_once()
-> Outcome {
    let (stage, url) = plain().await?;
    let words = [&*url, "--method", "POST", "-H", "x-request-id: once", "--json"];
    let told = diagnose(&words).await?;
    let seen = &told.json()?["endpoints"][0]["seen"][0];
    let executed = stage.lab.oracle().executions("once");
    if told.exit != 0 || executed != 1 || !seen["reuse"].is_null() {
        return Err(format!("executed {executed} times: {}", told.out));
    }
    let wrong = diagnose(&[&url, "-H", "no colon"]).await?;
    if wrong.exit != 2 || !wrong.err.contains("isn't a header field") {
        return Err(format!("{} {}", wrong.exit, wrong.err));
    }
    let wrong = diagnose(&[&url, "--method", "NO SUCH"]).await?;
    if wrong.exit == 2 { Ok(()) } else { Err(format!("{} {}", wrong.exit, wrong.err)) }
}

#[tokio::test]
async fn by_a_route_all_endpoints_are_walked_to_as_the_route_says_and_judged_by_its_failures()
-> Outcome {
    let stage = Stage::set("[[server]]\nname = \"a\"\n[[server]]\nname = \"b\"\n").await?;
    stage.fault("b", "status code=404").await?;
    let (a, b) = (stage.port("a")?, stage.port("b")?);
    let config = format!(
        "[upstream.api]\nendpoints = [\"http://127.0.0.1:{a}\", \"http://127.0.0.1:{b}/base\"]\nhealth = false\n\
         [[route]]\npath = \"/v1\"\nmethods = [\"GET\"]\nupstream = \"api\"\nstrip_prefix = \"/v1\"\nfailures = [404]\n"
    );
    let file = file(&config)?;
    let via = file.path().display().to_string();
    let told = diagnose(&["http://app.example/v1/x", "--via", &via, "--json"]).await?;
    let endpoints = &told.json()?["endpoints"];
    let url = |place: usize| endpoints[place]["seen"][0]["url"].as_str().unwrap_or_default();
    let wanted = (format!("http://127.0.0.1:{a}/x"), format!("http://127.0.0.1:{b}/base/x"));
    let finding = &endpoints[1]["seen"][0]["finding"];
    if (url(0), url(1)) != (&*wanted.0, &*wanted.1)
        || !endpoints[0]["seen"][0]["finding"].is_null()
        || finding["code"] != "server-error"
        || finding["detail"] != "status 404"
        || told.exit != 13
    {
        return Err(told.out);
    }
    // The endpoint's own URL: judged by its upstream with the config, as usual without it.
    let own = format!("http://127.0.0.1:{b}/x");
    diagnose(&[&own, "--via", &via]).await?.check(13, &["status 404"])?;
    diagnose(&[&own]).await?.check(0, &["404", "nothing broke"])?;
    let nowhere = diagnose(&["http://app.example/v1/x", "--via", &via, "--method", "PUT"]).await?;
    if nowhere.exit == 2 && nowhere.err.contains("goes nowhere by this config") {
        Ok(())
    } else {
        Err(format!("{} {}", nowhere.exit, nowhere.err))
    }
}

#[tokio::test]
async fn the_name_servers_and_each_family_s_time_and_ttl_are_told() -> Outcome {
    let names = "[dns]\n[[dns.name]]\nname = \"api.lab\"\na = [\"127.0.0.1\"]\nttl = \"7s\"\n";
    let stage = Stage::set(&format!("{PLAIN}{names}")).await?;
    let server = stage.lab.dns_addr().ok_or("no name server")?.to_string();
    let endpoint = format!("http://api.lab:{}", stage.port("a")?);
    let file = file(&stage.config(&endpoint, ""))?;
    let via = file.path().display().to_string();
    let told = diagnose(&[&endpoint, "--via", &via, "--json"]).await?;
    let names = &told.json()?["endpoints"][0]["seen"][0]["names"];
    let of = |record: &str| {
        let families = names["families"].as_array().into_iter().flatten();
        families.into_iter().find(|family| family["record"] == record).cloned().unwrap_or_default()
    };
    let (v4, v6) = (of("A"), of("AAAA"));
    if names["servers"] != json!([server])
        || (&v4["addresses"], &v4["ttl_s"]) != (&json!(1), &json!(7))
        || v6["code"] != "no-address"
        || v4["took_ms"].as_f64().is_none()
    {
        return Err(told.out);
    }
    let asked = format!("asked {server}");
    diagnose(&[&endpoint, "--via", &via]).await?.check(0, &[&asked, "1 address, TTL 7 s"])
}

#[tokio::test]
async fn a_second_request_that_breaks_is_a_finding_of_its_own_step() -> Outcome {
    let (stage, url) = plain().await?;
    stage.fault("a", "close-on-reuse with=rst").await?;
    let told = diagnose(&[&url, "--json"]).await?;
    let seen = &told.json()?["endpoints"][0]["seen"][0];
    let reuse = &seen["reuse"];
    if seen["finding"]["step"] != "reuse"
        || seen["finding"]["code"] != reuse["code"]
        || reuse["reused"] != true
        || seen["head"]["status"] != 200
        || told.exit != 13
    {
        return Err(told.out);
    }
    diagnose(&[&url]).await?.check(13, &["BROKE: ", "broke in reuse"])
}

#[tokio::test]
async fn a_body_longer_than_what_is_read_is_said_to_be_not_read_whole() -> Outcome {
    let (_stage, url) = plain().await?;
    let url = url.replace("/x", "/bytes/80000000");
    // Once: a second walk would fetch as much again.
    let told = diagnose(&[&url, "--json"]).await?;
    let seen = &told.json()?["endpoints"][0]["seen"][0];
    let read = seen["body_bytes"].as_u64().unwrap_or_default();
    if seen["body_whole"] != false || !(64 << 20..80_000_000).contains(&read) {
        return Err(told.out);
    }
    told.check(0, &["and not read to its end"])
}
