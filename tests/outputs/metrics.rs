//! Metrics, as Prometheus' own tool reads them and as a collector gets them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::collector::Collector;
use crate::server::Server;
use crate::support::program::Program;
use crate::support::{Binary, PATIENCE, get, text};
use crate::{Outcome, hold};

/// Prometheus' tool, from its package.
fn promtool() -> Result<Program, String> {
    Program::find(&[
        "promtool",
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/promtool/usr/bin/promtool"),
    ])
}

/// The binary in front of a server that breaks where it is asked to, and of one that doesn't, after a call of each kind.
async fn after_calls(more: &str) -> Result<Binary, String> {
    let (a, b) = (Server::start(true).await?, Server::start(false).await?);
    let config = format!(
        "{more}\n[upstream.saved]\nhealth = false\nendpoints = [{{ url = \"http://{}\", name = \"a\" }}, {{ url = \"http://{}\", name = \"b\", tier = 1 }}]\n\
         [upstream.alone]\nhealth = false\nretry.max_attempts = 1\nendpoints = [\"http://{}\"]\n\
         [[route]]\npath = \"/saved\"\nstrip_prefix = \"/saved\"\nupstream = \"saved\"\n[[route]]\nstrip_prefix = \"/alone\"\nupstream = \"alone\"\n",
        a.address, b.address, a.address
    );
    let binary = Binary::run(&config).await?;
    for path in ["/saved/well", "/saved/break", "/alone/break", "/alone/well"] {
        let answer = get(binary.proxy, path).await?;
        hold(!answer.is_empty(), path)?;
    }
    Ok(binary)
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_of_what_is_scraped() -> Outcome {
    let binary = after_calls("").await?;
    let scraped = get(binary.admin, "/metrics").await?;
    let mut command = promtool()?.command(&["check", "metrics"]);
    command.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut process = command.spawn().map_err(text)?;
    let mut input = process.stdin.take().ok_or("no standard input")?;
    input.write_all(scraped.as_bytes()).await.map_err(text)?;
    drop(input);
    let output =
        timeout(PATIENCE, process.wait_with_output()).await.map_err(text)?.map_err(text)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    hold(output.status.success() && said.is_empty(), format!("{}: {said}", output.status))
}

#[tokio::test]
async fn promtool_checks_the_alerts_and_what_they_say_of_made_up_series() -> Outcome {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ops/prometheus/");
    let said =
        promtool()?.output(&["check", "rules", &format!("{folder}mainstay.rules.yml")]).await?;
    hold(said.contains("SUCCESS"), &said)?;
    let said =
        promtool()?.output(&["test", "rules", &format!("{folder}mainstay.test.yml")]).await?;
    hold(said.contains("SUCCESS"), &said)
}

#[tokio::test]
async fn an_exemplar_leads_to_the_call_that_failed_and_to_its_trace() -> Outcome {
    let collector = Collector::start().await?;
    let traces = format!("[traces]\nendpoint = \"http://127.0.0.1:{}\"\n", collector.grpc);
    let binary = after_calls(&traces).await?;
    let mut stream = TcpStream::connect(binary.admin).await.map_err(text)?;
    let request = format!(
        "GET /metrics HTTP/1.0\r\nhost: {}\r\naccept: application/openmetrics-text\r\n\r\n",
        binary.admin
    );
    stream.write_all(request.as_bytes()).await.map_err(text)?;
    let mut scraped = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut scraped)).await.map_err(text)?.map_err(text)?;
    let failure = scraped
        .lines()
        .find(|line| line.starts_with("mainstay_call_failures_total{upstream=\"alone\""));
    let failure = failure.ok_or("no failure")?;
    let (_, labels) =
        failure.split_once(" # {").ok_or_else(|| format!("no exemplar: {failure}"))?;
    let label = |name: &str| {
        labels.split_once(&format!("{name}=\"")).and_then(|(_, rest)| rest.split('"').next())
    };
    let call = label("call_id").ok_or("no call")?;
    let record = binary.admin(&format!("/calls/{call}")).await?;
    hold(record["call"]["outcome"] == "failed", &record)?;
    hold(label("trace_id").is_some_and(|trace| trace.len() == 32), failure)?;
    hold(label("span_id") == Some(call), failure)
}

async fn a_collector_gets_what_is_scraped(protocol: &str) -> Outcome {
    let mut collector = Collector::start().await?;
    let port = if protocol == "http" { collector.http } else { collector.grpc };
    let binary = after_calls(&format!(
        "[metrics]\nendpoint = \"http://127.0.0.1:{port}\"\nprotocol = \"{protocol}\"\ninterval = \"1s\"\nresource = [\"service.name=edge\"]\n"
    ))
    .await?;
    let export = collector.export().await?;
    let all = &export["message"]["resourceMetrics"][0];
    hold(all["resource"]["attributes"]["service.name"] == "edge", all)?;
    let metrics: BTreeMap<&str, &Value> = all["scopeMetrics"][0]["metrics"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|metric| Some((metric["name"].as_str()?, metric)))
        .collect();
    let point = |kind: &str, name: &str, labels: Value| -> Result<Value, String> {
        let metric = metrics.get(name).ok_or_else(|| format!("no {name}"))?;
        let points = metric[kind]["dataPoints"].as_array().ok_or_else(|| metric.to_string())?;
        let found = points.iter().find(|point| point["attributes"] == labels);
        found.cloned().ok_or_else(|| format!("{name}: none with {labels} in {points:?}"))
    };
    let failed =
        point("sum", "mainstay_calls", json!({ "upstream": "alone", "outcome": "failed" }))?;
    hold(failed["asInt"] == "1", &failed)?;
    let nanos = |key: &str| failed[key].as_str().and_then(|at| at.parse::<u64>().ok());
    hold(nanos("startTimeUnixNano") < nanos("timeUnixNano"), &failed)?;
    let sum = &metrics["mainstay_calls"]["sum"];
    hold(
        sum["isMonotonic"] == true
            && sum["aggregationTemporality"] == "AGGREGATION_TEMPORALITY_CUMULATIVE",
        sum,
    )?;
    let labels = json!({ "upstream": "alone", "outcome": "failed" });
    let took = point("histogram", "mainstay_call_duration_seconds", labels)?;
    let counts: u64 = took["bucketCounts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|count| count.as_str()?.parse::<u64>().ok())
        .sum();
    hold(took["count"] == "1" && counts == 1, &took)?;
    let (buckets, bounds) = (took["bucketCounts"].as_array(), took["explicitBounds"].as_array());
    hold(buckets.map(Vec::len) == bounds.map(|bounds| bounds.len() + 1), &took)?;
    let example = &took["exemplars"][0];
    hold(
        example["filteredAttributes"][0]["key"] == "mainstay.call.id"
            && example["asDouble"].as_f64() <= took["sum"].as_f64(),
        example,
    )?;
    hold(metrics["mainstay_call_duration_seconds"]["unit"] == "s", "no unit")?;
    let healthy =
        point("gauge", "mainstay_budget_capacity_tokens", json!({ "upstream": "saved" }))?;
    hold(healthy["asDouble"].as_f64() > Some(0.0), &healthy)?;
    // All that a scrape has, and nothing that it hasn't.
    let scraped = get(binary.admin, "/metrics").await?;
    let names = scraped.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let with_values: Vec<&str> = names
        .filter(|name| {
            scraped.lines().any(|line| !line.starts_with('#') && line.starts_with(*name))
        })
        .map(|name| name.strip_suffix("_total").unwrap_or(name))
        .collect();
    let missing: Vec<_> = with_values.iter().filter(|name| !metrics.contains_key(**name)).collect();
    hold(missing.is_empty(), format!("{missing:?}"))?;
    hold(metrics.keys().all(|name| with_values.contains(name)), "more than is scraped")?;
    let later = timeout(Duration::from_secs(30), collector.export()).await.map_err(text)??;
    hold(later["signal"] == "metrics", "no second export")?;
    let status = binary.admin("/status").await?["metrics"].take();
    hold(status["exported"].as_u64() > Some(0) && status["error"].is_null(), &status)
}

#[tokio::test]
async fn a_collector_gets_over_grpc_what_is_scraped() -> Outcome {
    a_collector_gets_what_is_scraped("grpc").await
}

#[tokio::test]
async fn a_collector_gets_over_http_what_is_scraped() -> Outcome {
    a_collector_gets_what_is_scraped("http").await
}
