//! Spans: what is told of healthy, saved, hedged and broken calls, over either protocol, and what a collector that is in trouble
//! does to calls, which is nothing.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::collector::{Collector, spans_of};
use crate::server::{Seen, Server};
use crate::support::{Binary, PATIENCE, text};
use crate::{Outcome, hold};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";

/// The binary in front of two servers: `a`, which breaks where it is asked to, and `b`, which is asked when `a` can't be.
struct Stage {
    binary: Binary,
    a: Server,
    b: Server,
    collector: Collector,
}

impl Stage {
    async fn set(protocol: &str, traces: &str, more: &str) -> Result<Self, String> {
        let (a, b) = (Server::start(true).await?, Server::start(false).await?);
        let collector = Collector::start().await?;
        let port = if protocol == "http" { collector.http } else { collector.grpc };
        let config = format!(
            "[traces]\nendpoint = \"http://127.0.0.1:{port}\"\nprotocol = \"{protocol}\"\ninterval = \"50ms\"\n{traces}\n\
             [upstream.api]\nhealth = false\nejection = false\nheal.hold = false\nheal.resume_within = false\n{more}\n\
             endpoints = [{{ url = \"http://{}\", name = \"a\" }}, {{ url = \"http://{}\", name = \"b\", tier = 1 }}]\n",
            a.address, b.address
        );
        Ok(Self { binary: Binary::run(&config).await?, a, b, collector })
    }

    /// A GET with these fields; gives the whole answer.
    async fn get(&self, path: &str, fields: &str) -> Result<String, String> {
        let proxy = self.binary.proxy;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: app.test:81\r\nconnection: close\r\n{fields}\r\n"
        );
        let mut answer = Vec::new();
        let asked = async {
            let mut stream = TcpStream::connect(proxy).await?;
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_end(&mut answer).await
        };
        // An answer that breaks may end in a reset.
        let _ended = timeout(PATIENCE, asked).await.map_err(text)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// What `/status` says of the export, once `is_so` holds for it.
    async fn status(&self, is_so: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let status = self.binary.admin("/status").await?["traces"].take();
            if is_so(&status) {
                return Ok(status);
            }
            hold(Instant::now() < until, format!("the export stays at {status}"))?;
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The span of this kind, the n-th of them.
fn of_kind<'s>(spans: &'s [Value], kind: &str, place: usize) -> Result<&'s Value, String> {
    let kind = format!("SPAN_KIND_{kind}");
    let found = spans.iter().filter(|span| span["kind"] == kind.as_str()).nth(place);
    found.ok_or_else(|| format!("no {kind} number {place} in {spans:#?}"))
}

/// Each attribute is as wanted; null: it isn't there.
fn check(span: &Value, wanted: &Value) -> Outcome {
    for (key, value) in wanted.as_object().ok_or("an object")? {
        let seen = &span["attributes"][key];
        hold(seen == value, format!("{key}: wanted {value}, seen {seen} in {span:#}"))?;
    }
    Ok(())
}

/// The bytes of an id, which JSON has in base64, as digits.
fn digits(id: &Value) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(id.as_str().unwrap_or_default());
    bytes.unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of the field that names this span as the parent.
fn parent_of(span: &Value, flags: &str) -> String {
    format!("00-{}-{}-{flags}", digits(&span["traceId"]), digits(&span["spanId"]))
}

async fn a_saved_call_is_told(protocol: &str) -> Outcome {
    let mut stage = Stage::set(protocol, "resource = [\"service.name=edge\"]", "").await?;
    let fields = format!("traceparent: {PARENT}-01\r\ntracestate: vendor=1\r\n");
    let answer = stage.get("/break?token=s3cret", &fields).await?;
    hold(answer.starts_with("HTTP/1.1 200"), &answer)?;
    let export = stage.collector.export().await?;
    let scope = &export["message"]["resourceSpans"][0];
    let resource = &scope["resource"]["attributes"];
    hold(resource["service.name"] == "edge" && resource["process.pid"].is_u64(), resource)?;
    hold(!export.to_string().contains("s3cret"), "the query is told")?;
    let spans = spans_of(&export);
    hold(spans.len() == 3, format!("{spans:#?}"))?;
    let call = of_kind(&spans, "SERVER", 0)?;
    check(
        call,
        &json!({
            "http.request.method": "GET", "url.path": "/break", "url.scheme": "http",
            "server.address": "app.test", "server.port": 81, "network.protocol.version": "1.1",
            "http.response.status_code": 200, "mainstay.outcome": "delivered", "mainstay.saved": "failover",
            "mainstay.attempts": 2, "mainstay.upstream": "api", "error.type": null,
        }),
    )?;
    hold(digits(&call["traceId"]) == PARENT[3..35], "another trace")?;
    hold(digits(&call["parentSpanId"]) == PARENT[36..], "another parent")?;
    hold(call["traceState"] == "vendor=1" && call["name"] == "GET api", call)?;
    let id = call["attributes"]["mainstay.call.id"].as_str().unwrap_or_default();
    hold(answer.contains(&format!("mainstay-call-id: {id}")), format!("{id} in {answer}"))?;
    hold(digits(&call["spanId"]) == id, "the span's id isn't the call's")?;
    hold(call["status"].is_null() || call["status"] == json!({}), call)?;
    let (first, second) = (of_kind(&spans, "CLIENT", 0)?, of_kind(&spans, "CLIENT", 1)?);
    check(
        first,
        &json!({
            "server.address": "127.0.0.1", "server.port": stage.a.address.port(), "mainstay.endpoint": "a",
            "error.type": "reset-before-head", "http.request.resend_count": null, "mainstay.attempt.reason": "first",
            "mainstay.break.certainty": "maybe-processed", "http.response.status_code": null,
            "network.peer.port": stage.a.address.port(),
        }),
    )?;
    hold(first["status"]["code"] == "STATUS_CODE_ERROR", first)?;
    check(
        second,
        &json!({
            "server.port": stage.b.address.port(), "mainstay.endpoint": "b", "error.type": null,
            "http.request.resend_count": 1, "mainstay.attempt.reason": "failover", "http.response.status_code": 200,
        }),
    )?;
    let waited = call["events"][0]["name"] == "retry-scheduled";
    hold(waited && call["events"][0]["attributes"]["mainstay.decision"] == "wait", call)?;
    let at = |span: &Value, key: &str| span[key].as_str().and_then(|at| at.parse::<u64>().ok());
    let (from, to) = ("startTimeUnixNano", "endTimeUnixNano");
    let order = [
        at(call, from),
        at(first, from),
        at(first, to),
        at(second, from),
        at(second, to),
        at(call, to),
    ];
    hold(order.is_sorted() && order[0].is_some(), format!("{order:?}"))?;
    for (server, span) in [(&stage.a, first), (&stage.b, second)] {
        hold(span["parentSpanId"] == call["spanId"], "not the call's child")?;
        let seen = Seen { parent: Some(parent_of(span, "01")), state: Some("vendor=1".into()) };
        hold(server.seen() == [seen], format!("{:?}", server.seen()))?;
    }
    stage.status(|status| status["exported"] == 1 && status["error"].is_null()).await.map(drop)
}

#[tokio::test]
async fn a_saved_call_is_told_with_each_attempt_over_grpc() -> Outcome {
    a_saved_call_is_told("grpc").await
}

#[tokio::test]
async fn a_saved_call_is_told_with_each_attempt_over_http() -> Outcome {
    a_saved_call_is_told("http").await
}

#[tokio::test]
async fn a_hedge_is_linked_to_the_attempt_that_it_was_made_beside() -> Outcome {
    let mut stage = Stage::set("grpc", "ratio = \"100%\"", "hedge = { after = \"50ms\" }").await?;
    let answer = stage.get("/slow", "").await?;
    hold(answer.starts_with("HTTP/1.1 200"), &answer)?;
    let spans = stage.collector.spans(3).await?;
    let (first, hedge) = (of_kind(&spans, "CLIENT", 0)?, of_kind(&spans, "CLIENT", 1)?);
    check(first, &json!({ "mainstay.attempt.result": "outrun", "error.type": null }))?;
    check(hedge, &json!({ "mainstay.attempt.reason": "hedge", "http.response.status_code": 200 }))?;
    hold(first["links"][0]["spanId"] == hedge["spanId"], first)?;
    hold(hedge["links"][0]["spanId"] == first["spanId"], hedge)?;
    check(of_kind(&spans, "SERVER", 0)?, &json!({ "mainstay.saved": "hedge" }))
}

#[tokio::test]
async fn of_calls_that_arent_sampled_the_broken_ones_are_told() -> Outcome {
    let more = "retry.max_attempts = 1";
    let mut stage = Stage::set("http", "ratio = \"0%\"", more).await?;
    let not_sampled = format!("traceparent: {PARENT}-00\r\n");
    for path in ["/break", "/cut", "/well"] {
        stage.get(path, &not_sampled).await?;
    }
    let spans = stage.collector.spans(4).await?;
    for (place, path, error, outcome) in
        [(0, "/break", "reset-before-head", "failed"), (1, "/cut", "body-truncated", "delivered")]
    {
        let wanted = json!({ "url.path": path, "error.type": error, "mainstay.outcome": outcome });
        let call = of_kind(&spans, "SERVER", place)?;
        check(call, &wanted)?;
        hold(call["status"]["code"] == "STATUS_CODE_ERROR", call)?;
        check(of_kind(&spans, "CLIENT", place)?, &json!({ "error.type": error }))?;
    }
    let flags: Vec<_> = stage.a.seen().into_iter().filter_map(|seen| seen.parent).collect();
    let are_passed_on = flags.iter().all(|parent| parent.ends_with("-00"));
    hold(flags.len() == 3 && are_passed_on, format!("{flags:?}"))
}

#[tokio::test]
async fn what_upstreams_are_told_of_the_trace_is_as_the_route_says() -> Outcome {
    for (says, own, none) in
        [("always", true, true), ("continue", true, false), ("never", false, false)]
    {
        let stage = Stage::set("grpc", "", &format!("trace_header = \"{says}\"")).await?;
        stage.get("/", &format!("traceparent: {PARENT}-00\r\ntracestate: a=b\r\n")).await?;
        stage.get("/", "tracestate: a=b\r\n").await?;
        stage.get("/", "traceparent: nonsense\r\ntracestate: a=b\r\n").await?;
        let seen = stage.a.seen();
        let is_told = |at: usize, is_told: bool, state: bool| {
            let Seen { parent, state: said } = &seen[at];
            let in_its_trace = parent.as_ref().is_some_and(|parent| parent[3..35] == PARENT[3..35]);
            parent.is_some() == is_told
                && said.is_some() == state
                && in_its_trace == (at == 0 && is_told)
        };
        let right = is_told(0, own, own) && is_told(1, none, false) && is_told(2, none, false);
        hold(right, format!("{says}: {seen:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn calls_dont_notice_a_collector_that_is_gone_hangs_is_slow_or_refuses() -> Outcome {
    let mut stage = Stage::set("grpc", "ratio = \"100%\"\nqueue = 64", "").await?;
    for mode in ["hang", "slow", "unavailable", "refuse"] {
        stage.collector.behave(mode).await?;
        let before = Instant::now();
        for _ in 0..100 {
            let answer = stage.get("/well", "").await?;
            hold(answer.starts_with("HTTP/1.1 200"), &answer)?;
        }
        // A call that waited for the collector would wait for seconds.
        let each = before.elapsed() / 100;
        hold(each < Duration::from_millis(200), format!("{mode}: {each:?} each"))?;
    }
    let refused = |status: &Value| status["refused"].as_u64() > Some(0);
    let status = stage.status(refused).await?;
    hold(status["dropped"].as_u64() > Some(0), &status)?;
    hold(status["error"].as_str().is_some_and(|why| why.contains("status 3")), &status)?;
    let metrics = crate::support::get(stage.binary.admin, "/metrics").await?;
    let dropped = metrics.lines().find(|line| line.starts_with("mainstay_traces_dropped_total "));
    hold(dropped.is_some_and(|line| !line.ends_with(" 0")), format!("{dropped:?}"))?;
    // When it is well again, so is the export.
    stage.collector.behave("ok").await?;
    stage.get("/after", "").await?;
    stage
        .status(|status| status["exported"].as_u64() > Some(0) && status["error"].is_null())
        .await?;
    stage.collector.behave("partial").await?;
    stage.get("/after", "").await?;
    stage
        .status(|status| status["error"].as_str().is_some_and(|why| why.contains("too old")))
        .await?;
    Ok(())
}

#[tokio::test]
async fn what_waits_is_sent_once_the_collector_is_back() -> Outcome {
    let mut stage = Stage::set("http", "ratio = \"100%\"", "").await?;
    stage.collector.behave("unavailable").await?;
    stage.get("/kept", "").await?;
    stage.status(|status| status["error"] == "status 503").await?;
    stage.collector.behave("ok").await?;
    loop {
        let export = stage.collector.export().await?;
        if export["mode"] == "ok" {
            check(of_kind(&spans_of(&export), "SERVER", 0)?, &json!({ "url.path": "/kept" }))?;
            break;
        }
    }
    let status = stage.status(|status| status["exported"] == 1).await?;
    hold(status["refused"] == 0 && status["dropped"] == 0, &status)
}

#[tokio::test]
async fn a_collectors_fields_come_from_a_file_and_are_shown_nowhere() -> Outcome {
    let file = tempfile::NamedTempFile::new().map_err(text)?;
    std::fs::write(file.path(), "api-key: s3cret\n").map_err(text)?;
    let traces = format!("ratio = \"100%\"\nheaders_file = {:?}", file.path());
    let mut stage = Stage::set("grpc", &traces, "").await?;
    stage.get("/", "").await?;
    let export = stage.collector.export().await?;
    hold(export["headers"]["api-key"] == "s3cret", &export["headers"])?;
    let status = stage.binary.admin("/status").await?.to_string();
    hold(!status.contains("s3cret"), "the field is shown")
}

#[tokio::test]
async fn where_no_collector_listens_calls_go_on_and_what_waits_is_bounded() -> Outcome {
    // Bound and never asked to listen: whoever connects is refused.
    let socket = tokio::net::TcpSocket::new_v4().map_err(text)?;
    socket.bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0))).map_err(text)?;
    let nobody = socket.local_addr().map_err(text)?;
    let server = Server::start(false).await?;
    let config = format!(
        "[traces]\nendpoint = \"http://{nobody}\"\nratio = \"100%\"\nqueue = 64\ninterval = \"10ms\"\n\
         [upstream.api]\nendpoints = [\"http://{}\"]\n",
        server.address
    );
    let binary = Binary::run(&config).await?;
    for _ in 0..200 {
        let answer = crate::support::get(binary.proxy, "/").await?;
        hold(answer == "ok", &answer)?;
    }
    let until = Instant::now() + PATIENCE;
    loop {
        let status = binary.admin("/status").await?["traces"].take();
        if status["error"] == "connect-refused" && status["dropped"].as_u64() > Some(0) {
            return hold(status["queued"].as_u64() <= Some(64), &status);
        }
        hold(Instant::now() < until, &status)?;
        sleep(Duration::from_millis(20)).await;
    }
}
