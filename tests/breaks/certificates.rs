//! A certificate that ends soon: warned of ahead of time, everywhere where somebody looks, and no longer once it is renewed.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::timeout;

use crate::names::until;
use crate::support::{Binary, PATIENCE, Told, get, text};
use crate::{Outcome, Stage};

/// A TLS server with a certificate for its name, at two addresses, so that the name can move.
const SERVER: &str = "
[[server]]
name = \"a\"
tls = true
[[server]]
name = \"b\"
address = \"127.0.0.2\"
port = \"a\"
tls = true
[dns]
[[dns.name]]
name = \"api.lab\"
a = [\"127.0.0.1\"]
ttl = \"1s\"
";

const DAY_S: u64 = 24 * 3600;

/// The samples of the two metrics: warnings so far, and when the certificate ends.
async fn metrics(binary: &Binary, endpoint: &str) -> Result<[Option<f64>; 2], String> {
    let page = get(binary.admin, "/metrics").await?;
    let labels = format!("{{upstream=\"api\",endpoint=\"{endpoint}\"}} ");
    let sample = |name: &str| {
        let start = format!("{name}{labels}");
        page.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
    };
    Ok([
        sample("mainstay_certificate_warnings_total"),
        sample("mainstay_certificate_expiry_timestamp_seconds"),
    ])
}

/// Makes calls until the name has moved, and so the watch has told all that it had to tell by then.
async fn move_to(stage: &Stage, binary: &Binary, told: &Told, address: &str) -> Outcome {
    let before = told.of("addresses-changed").len();
    stage.fault("api.lab", &format!("dns-answer a={address}")).await?;
    let moved = async {
        while told.of("addresses-changed").len() == before {
            get(binary.proxy, "/x").await?;
        }
        Ok::<_, String>(())
    };
    timeout(PATIENCE, moved).await.map_err(|_| "the name never moves")?
}

#[tokio::test]
async fn a_certificate_that_ends_soon_is_warned_of_once_and_a_renewed_one_ends_the_warning()
-> Outcome {
    let stage = Stage::set(SERVER).await?;
    stage.fault("a", "tls-expiring").await?;
    let url = format!("https://api.lab:{}", stage.port("a")?);
    // Each call shakes hands anew, and so sees the certificate that is there now.
    let more = "connect.http2 = \"never\"\npool.max_idle = 0\n";
    let log = tempfile::NamedTempFile::new().map_err(text)?;
    let binary =
        Binary::run_logging(&stage.config(&url, more), log.reopen().map_err(text)?).await?;
    let told = Told::listen(binary.admin).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(text)?.as_secs();
    let known = until(&binary, |_| true).await?;
    if !known["certificate_ends_at_unix_s"].is_null() {
        return Err(format!("known before any handshake: {known}"));
    }
    let endpoint = known["name"].as_str().ok_or("no name")?.to_owned();

    let answer = get(binary.proxy, "/x").await?;
    if !answer.contains("\"server\":\"a\"") {
        return Err(answer);
    }
    let warned = timeout(PATIENCE, async {
        while told.of("certificate-expiring").is_empty() {
            tokio::task::yield_now().await;
        }
    });
    warned.await.map_err(|_| "nobody is warned")?;
    let event = told.of("certificate-expiring").remove(0);
    let left_days = event["for_ms"].as_f64().unwrap_or_default() / 1e3 / DAY_S as f64;
    if event["endpoint"] != *endpoint || !(2.9..=3.0).contains(&left_days) {
        return Err(format!("{left_days} days: {event}"));
    }
    let known = until(&binary, |_| true).await?;
    let ends_at = known["certificate_ends_at_unix_s"].as_u64().unwrap_or_default();
    // The lab made it a moment before the clock was read here, or after.
    if !(now + 3 * DAY_S - 600..=now + 3 * DAY_S + 600).contains(&ends_at) {
        return Err(format!("ends at {ends_at}, and it is {now}"));
    }
    let seen = metrics(&binary, &endpoint).await?;
    if seen != [Some(1.0), Some(ends_at as f64)] {
        return Err(format!("{seen:?}"));
    }
    let line = timeout(PATIENCE, async {
        loop {
            let log = std::fs::read_to_string(log.path()).map_err(text)?;
            if let Some(line) = log.lines().find(|line| line.contains("certificate-expiring")) {
                return Ok::<_, String>(line.to_owned());
            }
            tokio::task::yield_now().await;
        }
    });
    let line = line.await.map_err(|_| "the log says nothing")??;
    if !line.contains(&endpoint) || !line.contains("upstream=api") {
        return Err(line);
    }

    // Renewed: the field moves, and nothing more is told.
    stage.fault("a", "healthy").await?;
    get(binary.proxy, "/x").await?;
    let renewed = until(&binary, |known| {
        known["certificate_ends_at_unix_s"].as_u64().is_some_and(|at| at > now + 300 * DAY_S)
    });
    let renewed = renewed.await?["certificate_ends_at_unix_s"].as_u64().unwrap_or_default();
    // A warning would be told before the news of a second move.
    move_to(&stage, &binary, &told, "127.0.0.2").await?;
    move_to(&stage, &binary, &told, "127.0.0.1").await?;
    let seen = metrics(&binary, &endpoint).await?;
    let warnings = told.of("certificate-expiring").len();
    if seen == [Some(1.0), Some(renewed as f64)] && warnings == 1 {
        Ok(())
    } else {
        Err(format!("{warnings} warnings, {seen:?}, renewed until {renewed}"))
    }
}
