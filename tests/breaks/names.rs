//! Names: lists that survive their name servers, addresses that leave, families that hang.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::support::{Binary, PATIENCE, get};
use crate::{Outcome, Stage};

/// Two servers at the same port of two addresses, and a name that leads to the first.
const TWO_ADDRESSES: &str = "
[[server]]
name = \"a\"
[[server]]
name = \"b\"
address = \"127.0.0.2\"
port = \"a\"
[dns]
[[dns.name]]
name = \"api.lab\"
a = [\"127.0.0.1\"]
ttl = \"1s\"
";

/// What `/status` says of the only endpoint, when it is as wanted.
async fn until(
    binary: &Binary,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> Result<serde_json::Value, String> {
    let seen = timeout(PATIENCE, async {
        loop {
            let status = binary.admin("/status").await?;
            let endpoint = status["upstreams"][0]["endpoints"][0].clone();
            if wanted(&endpoint) {
                return Ok::<_, String>(endpoint);
            }
            tokio::task::yield_now().await;
        }
    });
    seen.await.map_err(|_| "never seen".to_owned())?
}

#[tokio::test]
async fn a_working_list_survives_every_way_in_which_name_servers_fail() -> Outcome {
    for (fault, code) in [
        ("dns-servfail", "resolver-failure"),
        ("dns-refused", "resolver-failure"),
        ("dns-timeout", "resolver-timeout"),
    ] {
        let stage = Stage::set(TWO_ADDRESSES).await?;
        let endpoint = format!("http://api.lab:{}", stage.port("a")?);
        let more = "connect.resolve_timeout = \"300ms\"\npool.max_idle = 0\n";
        let binary = Binary::run(&stage.config(&endpoint, more)).await?;
        get(binary.proxy, "/before").await?;
        stage.fault("api.lab", fault).await?;
        // Connections aren't kept here, so each call needs the address, and asks again once the TTL is over.
        until(&binary, |endpoint| endpoint["addresses"]["stale"] == true).await?;
        for call in 0..5 {
            let answer = get(binary.proxy, "/while-it-fails").await?;
            if !answer.contains("while-it-fails") {
                return Err(format!("{fault}: call {call} got {answer}"));
            }
        }
        let seen = until(&binary, |known| known["addresses"]["failure"]["code"] == code).await?;
        if seen["addresses"]["list"] != serde_json::json!(["127.0.0.1"]) {
            return Err(format!("{fault}: the list is gone: {seen}"));
        }
    }
    Ok(())
}

#[tokio::test]
async fn connections_to_an_address_that_left_are_drained_and_calls_follow_the_name() -> Outcome {
    let stage = Stage::set(TWO_ADDRESSES).await?;
    let endpoint = format!("http://api.lab:{}", stage.port("a")?);
    let binary = Binary::run(&stage.config(&endpoint, "")).await?;
    let first = get(binary.proxy, "/x").await?;
    if !first.contains("\"server\":\"a\"") {
        return Err(first);
    }
    stage.fault("api.lab", "dns-answer a=127.0.0.2").await?;
    // No call is made meanwhile: the watch alone looks up again, and closes what is idle.
    until(&binary, |endpoint| {
        endpoint["addresses"]["list"] == serde_json::json!(["127.0.0.2"])
            && endpoint["connections"]["idle"] == 0
    })
    .await?;
    let second = get(binary.proxy, "/x").await?;
    if second.contains("\"server\":\"b\"") { Ok(()) } else { Err(second) }
}

#[tokio::test]
async fn a_black_holed_family_costs_the_first_call_one_delay_and_later_ones_nothing() -> Outcome {
    let stage = Stage::set(
        "
[[server]]
name = \"v4\"
[[server]]
name = \"v6\"
address = \"::1\"
port = \"v4\"
[dns]
[[dns.name]]
name = \"api.lab\"
a = [\"127.0.0.1\"]
aaaa = [\"::1\"]
",
    )
    .await?;
    stage.fault("v6", "blackhole").await?;
    let endpoint = format!("http://api.lab:{}", stage.port("v4")?);
    // Each call connects anew. The delay is shorter than the default of 250 ms, which leaves a busy machine 150 ms to spare.
    let more = "pool.max_idle = 0\nconnect.race_delay = \"150ms\"\n";
    let binary = Binary::run(&stage.config(&endpoint, more)).await?;
    let mut took = Vec::new();
    for _ in 0..4 {
        let begun = Instant::now();
        let answer = get(binary.proxy, "/x").await?;
        took.push(begun.elapsed());
        if !answer.contains("\"server\":\"v4\"") {
            return Err(answer);
        }
    }
    let healthy = took[1..].iter().min().copied().unwrap_or_default();
    if took[0] > healthy + Duration::from_millis(300) || healthy >= Duration::from_millis(150) {
        return Err(format!("{took:?}"));
    }
    Ok(())
}
