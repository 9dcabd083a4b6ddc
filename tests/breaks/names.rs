//! Names: lists that survive their name servers, and addresses that leave.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{Binary, PATIENCE, get, text};
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
pub(crate) async fn until(
    binary: &Binary,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value, String> {
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
        if seen["addresses"]["list"] != json!(["127.0.0.1"]) {
            return Err(format!("{fault}: the list is gone: {seen}"));
        }
        // Its age is what has passed since the last good answer, which is more than the TTL by now, and it grows.
        let age = |seen: &Value| seen["addresses"]["age_ms"].as_f64().unwrap_or_default();
        if age(&seen) < 1000.0 {
            return Err(format!("{fault}: too young: {seen}"));
        }
        until(&binary, |later| age(later) > age(&seen)).await?;
        stage.fault("api.lab", "healthy").await?;
        // Calls ask again, once the failure's hold is over.
        let healed = timeout(PATIENCE, async {
            loop {
                get(binary.proxy, "/after").await?;
                let now = until(&binary, |_| true).await?;
                if now["addresses"]["failure"].is_null() {
                    return Ok::<_, String>(now);
                }
            }
        });
        let healed = healed.await.map_err(|_| format!("{fault}: never healed"))??;
        if age(&healed) >= age(&seen) {
            return Err(format!("{fault}: found anew, and still old: {healed}"));
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
        endpoint["addresses"]["list"] == json!(["127.0.0.2"])
            && endpoint["connections"]["idle"] == 0
    })
    .await?;
    let second = get(binary.proxy, "/x").await?;
    if second.contains("\"server\":\"b\"") { Ok(()) } else { Err(second) }
}

/// A request whose last byte is the test's to send: its connection to the endpoint is in use until then.
async fn half_sent(binary: &Binary) -> Result<TcpStream, String> {
    let mut stream = TcpStream::connect(binary.proxy).await.map_err(text)?;
    let head = "PUT /slow HTTP/1.1\r\nhost: api\r\nconnection: close\r\ncontent-length: 2\r\n\r\n1";
    stream.write_all(head.as_bytes()).await.map_err(text)?;
    Ok(stream)
}

#[tokio::test]
async fn a_call_in_progress_at_an_address_that_left_ends_well_and_nothing_new_goes_there() -> Outcome
{
    let stage = Stage::set(TWO_ADDRESSES).await?;
    let endpoint = format!("http://api.lab:{}", stage.port("a")?);
    // Its body may stand still for as long as the test needs.
    let config = stage
        .config(&endpoint, "total_timeout = \"2m\"\n")
        .replace("attempt_timeout = \"1s\"", "attempt_timeout = \"100s\"");
    let binary = Binary::run(&config).await?;
    let mut busy = half_sent(&binary).await?;
    until(&binary, |endpoint| endpoint["connections"]["in_use"] == 1).await?;
    timeout(PATIENCE, stage.lab.oracle().wait_until(|books| books.servers["a"].received == 1))
        .await
        .map_err(|_| "the request isn't on its way")?;
    get(binary.proxy, "/x").await?;
    until(&binary, |endpoint| endpoint["connections"]["idle"] == 1).await?;
    stage.fault("api.lab", "dns-answer a=127.0.0.2").await?;
    // The idle one is closed, the one in use isn't.
    until(&binary, |endpoint| {
        let connections = &endpoint["connections"];
        endpoint["addresses"]["list"] == json!(["127.0.0.2"])
            && (&connections["idle"], &connections["in_use"]) == (&json!(0), &json!(1))
    })
    .await?;
    let before = stage.lab.oracle().totals("a");
    for _ in 0..5 {
        let answer = get(binary.proxy, "/x").await?;
        if !answer.contains("\"server\":\"b\"") {
            return Err(answer);
        }
    }
    busy.write_all(b"2").await.map_err(text)?;
    let mut answer = String::new();
    timeout(PATIENCE, busy.read_to_string(&mut answer)).await.map_err(text)?.map_err(text)?;
    if !answer.starts_with("HTTP/1.1 200") || !answer.contains("\"server\":\"a\"") {
        return Err(answer);
    }
    // It isn't kept: what is left leads to where the name does.
    until(&binary, |endpoint| endpoint["connections"]["in_use"] == 0).await?;
    let kept = binary.admin("/connections").await?;
    let kept = kept["connections"].as_array().ok_or("no list of connections")?;
    if !kept.iter().all(|one| one["peer"].as_str().is_some_and(|at| at.starts_with("127.0.0.2:"))) {
        return Err(format!("{kept:?}"));
    }
    let after = stage.lab.oracle().totals("a");
    if (before.received, before.connections) == (after.received, after.connections) {
        Ok(())
    } else {
        Err(format!("something new went to the address that left: {before:?}, then {after:?}"))
    }
}
