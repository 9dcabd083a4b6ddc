//! A thousand endpoints and a feed as full as it gets: what the page needs for that.
//!
//! The admin address is played here, since what is measured is the page: a hundred endpoints at each of ten upstreams of which all
//! change each second, fifty rows of the feed a second with thousands left out, and incidents. A minute of it goes by in three seconds
//! in the suite, which looks at what must be bounded; `cargo xtask dashboard-load` takes ten minutes in real time and prints frames too.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::Outcome;
use crate::browser::Browser;
use crate::support::text;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proxy/src/admin/page");

const UPSTREAMS: u64 = 10;
const ENDPOINTS: u64 = 100;
const ROWS_A_SECOND: u64 = 50;

/// What the binary says too; that it does is tested there.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// How long the feed lasts, and how much faster than the clock it goes.
fn length() -> Result<(Duration, u32), String> {
    match std::env::var("MAINSTAY_DASHBOARD_SECONDS") {
        Ok(seconds) => Ok((Duration::from_secs(seconds.parse().map_err(text)?), 1)),
        Err(_) => Ok((Duration::from_secs(60), 20)),
    }
}

struct Fleet {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Fleet {
    async fn serve(speed: u32) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(text)?;
        let address = listener.local_addr().map_err(text)?;
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                // The browser leaves connections as it likes.
                tokio::spawn(async move { drop(answer(tcp, speed).await) });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(tcp: TcpStream, speed: u32) -> std::io::Result<()> {
    let mut tcp = BufReader::new(tcp);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if tcp.read_line(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let path = head.split([' ', '?']).nth(1).unwrap_or_default();
    let (kind, body) = match path {
        "/live" => return live(tcp, speed).await,
        "/timeline" => ("application/json", timeline().to_string().into_bytes()),
        "/incidents" => {
            ("application/json", json!({ "version": 1, "incidents": [] }).to_string().into_bytes())
        }
        path => {
            let name = path.strip_prefix("/dashboard/").unwrap_or("index.html");
            let kind = match name.rsplit('.').next() {
                Some("js") => "text/javascript",
                Some("css") => "text/css",
                Some("svg") => "image/svg+xml",
                _ => "text/html; charset=utf-8",
            };
            (kind, std::fs::read(Path::new(PAGE).join(name)).unwrap_or_default())
        }
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\ncontent-security-policy: {POLICY}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    tcp.write_all(head.as_bytes()).await?;
    tcp.write_all(&body).await
}

async fn live(mut tcp: BufReader<TcpStream>, speed: u32) -> std::io::Result<()> {
    tcp.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    )
    .await?;
    let begun = unix_ms();
    send(&mut tcp, "hello", &json!({
        "v": 1, "boot": "fleet", "now_unix_ms": begun, "started_unix_ms": begun - 3_600_000, "may_act": true, "calls_per_s": ROWS_A_SECOND,
        "kept": { "bucket_ms": 10_000, "buckets": 360, "from_unix_ms": begun - 3_600_000 }, "resumed": false, "missed": 0,
    })).await?;
    send(&mut tcp, "state", &state(0, true)).await?;
    for quarter in 1_u64.. {
        sleep(Duration::from_millis(250) / speed).await;
        let rows: Vec<Value> =
            (0..ROWS_A_SECOND / 4).map(|row| call(quarter * 100 + row)).collect();
        send(&mut tcp, "calls", &json!({ "v": 1, "left_out": 2400, "calls": rows })).await?;
        if quarter.is_multiple_of(4) {
            send(&mut tcp, "state", &state(quarter / 4, false)).await?;
            send(&mut tcp, "incidents", &json!({ "v": 1, "incidents": [incident(quarter / 40)] }))
                .await?;
            let change = json!({ "seq": quarter, "at_unix_ms": unix_ms(), "event": "breaker-opened", "upstream": "fleet-0", "endpoint": "node-0-7", "why": "consecutive-failures", "for_ms": 1000.0 });
            send(&mut tcp, "changes", &json!({ "v": 1, "changes": [change] })).await?;
        }
    }
    Ok(())
}

async fn send(tcp: &mut BufReader<TcpStream>, event: &str, data: &Value) -> std::io::Result<()> {
    tcp.write_all(format!("id: fleet-1\nevent: {event}\ndata: {data}\n\n").as_bytes()).await
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or_default()
}

/// Everything changes each second: the most that can come.
fn state(tick: u64, full: bool) -> Value {
    let upstreams: Vec<Value> = (0..UPSTREAMS).map(|upstream| {
        let endpoints: Vec<Value> = (0..ENDPOINTS).map(|endpoint| self::endpoint(upstream, endpoint, tick)).collect();
        json!({
            "name": format!("fleet-{upstream}"), "state": "degraded", "in_progress": 30,
            "last_s": { "calls": 1000 + tick, "attempts": 1040, "delivered": 1000, "failed": 0, "saved": 40 },
            "minute": { "calls": 60_000, "delivered": 60_000, "failed": 0, "as_is": 0, "success": 1.0, "amplification": 1.04, "saved": { "retry": 100, "failover": 2300 + tick, "hedge": 0, "heal": 0 } },
            "total": { "calls": 60_000 * (tick + 1), "failed": 0, "saved": { "retry": 100, "failover": 2300 * tick, "hedge": 0, "heal": 0 }, "degraded": 0 },
            "budget": { "tokens": 480, "capacity": 500, "calls": 10_000, "extra": 400, "spent": 0.2 },
            "load": { "limit": null, "waiting": 0, "paused_until_unix_ms": null, "rate_available": null, "throttle": null },
            "endpoints": endpoints,
        })
    }).collect();
    json!({ "v": 1, "full": full, "now_unix_ms": unix_ms(), "generation": 1, "draining": false, "calls_in_progress": 300,
            "connections": { "open": 900, "parked": 100, "limit": 10_000 }, "outbox": null, "upstreams": upstreams })
}

fn endpoint(upstream: u64, endpoint: u64, tick: u64) -> Value {
    let is_down = endpoint == 7;
    let wave = (upstream * 7 + endpoint * 3 + tick) % 20;
    let breaker = if is_down {
        json!({ "state": "open", "until_unix_ms": unix_ms() + 4000 })
    } else {
        json!({ "state": "closed" })
    };
    json!({
        "name": format!("node-{upstream}-{endpoint}"), "tier": u64::from(endpoint >= 90), "weight": 1, "state": if is_down { "open" } else { "up" }, "since_unix_ms": unix_ms() - 60_000,
        "ordered": "auto", "breaker": breaker, "route_breakers": {}, "window": { "calls": 100 + tick, "failures": 0, "slow": 0 }, "healthy": true,
        "check": { "at_unix_ms": unix_ms(), "passed": true, "code": null, "details": null }, "ejected": null, "throttled_until_unix_ms": null, "warm_percent": 100,
        "latency": { "p50_ms": 4 + wave, "p99_ms": 20 + 3 * wave }, "in_flight": wave, "last_s": { "attempts": 10 + wave, "broke": 0 },
        "minute": { "attempts": 600 + wave, "answered": 600 + wave, "broke": 0, "success": 1.0, "breaks": {} },
        "connections": { "idle": 2, "in_use": wave, "opened": 40, "reused": 1200 + tick, "idle_limit_ms": null, "stale_met": 0 },
    })
}

fn call(number: u64) -> Value {
    let upstream = number % UPSTREAMS;
    json!({
        "id": format!("{number:016x}"), "at_unix_ms": unix_ms(), "upstream": format!("fleet-{upstream}"), "route": "default", "method": "GET",
        "path": format!("/v1/things/{number}"), "outcome": "delivered", "status": 200, "saved": "failover", "code": null, "stopped": null, "degraded": null, "failed": false,
        "took_ms": 12.3, "attempts": 2, "breaks": [{ "attempt": 1, "endpoint": format!("node-{upstream}-7"), "code": "connect-refused", "phase": "connect", "certainty": "not-sent", "decision": "failover", "took_ms": 0.4 }],
    })
}

/// A new one each ten seconds.
fn incident(number: u64) -> Value {
    let upstream = number % UPSTREAMS;
    json!({
        "id": format!("i{number}"), "group": format!("i{number}"), "upstream": format!("fleet-{upstream}"), "endpoint": format!("node-{upstream}-7"), "cause": "connect-refused",
        "state": if number.is_multiple_of(3) { "open" } else { "ended" }, "began_unix_ms": unix_ms() - 9000, "began_by": "breaks", "last_break_unix_ms": unix_ms(),
        "ended_unix_ms": if number.is_multiple_of(3) { Value::Null } else { json!(unix_ms()) }, "ended_by": "quiet", "lasted_ms": 9000.0, "breaks": 3120,
        "calls": { "met": 1284, "saved": 1284, "failed": 0, "left": 0 }, "saved_by": { "retry": 4, "failover": 1280, "hedge": 0, "heal": 0 },
        "first": { "call": null, "at_unix_ms": unix_ms(), "phase": "connect", "certainty": "not-sent", "details": "connection refused" }, "summary": "",
    })
}

fn timeline() -> Value {
    let now = unix_ms() / 10_000 * 10_000;
    let counts: Vec<u64> = (0..360).map(|place| 9000 + (place * 37) % 1000).collect();
    let none = vec![0; 360];
    let upstreams: Vec<Value> = (0..UPSTREAMS).map(|upstream| json!({
        "name": format!("fleet-{upstream}"), "gone": false, "calls": counts, "delivered": counts, "failed": none, "as_is": none, "attempts": counts,
        "saved": { "retry": none, "failover": none, "hedge": none, "heal": none }, "amplification": none, "budget": none, "endpoints": [],
    })).collect();
    json!({ "version": 1, "now_unix_ms": unix_ms(), "bucket_ms": 10_000, "from_unix_ms": now - 3_590_000, "to_unix_ms": now + 10_000, "buckets": 360, "partial": true, "upstreams": upstreams, "changes": [] })
}

/// Notes how long frames and tasks take.
const WATCH: &str = "window.seen = { frames: [], tasks: [] };
    new PerformanceObserver((list) => { for (const one of list.getEntries()) seen.tasks.push(one.duration); }).observe({ type: 'longtask' });
    { let before = performance.now(); const frame = (now) => { seen.frames.push(now - before); before = now; if (seen.frames.length > 40000) seen.frames.splice(0, 20000); requestAnimationFrame(frame); }; requestAnimationFrame(frame); } 0";

const MEASURE: &str = "(gc(), { heap: performance.memory.usedJSHeapSize, elements: document.getElementsByTagName('*').length })";

#[tokio::test]
async fn a_thousand_endpoints_and_a_full_feed_leave_the_page_light() -> Outcome {
    let (lasting, speed) = length()?;
    let fleet = Fleet::serve(speed).await?;
    let browser = Browser::start().await?;
    browser.window((1280, 900), false).await?;
    let mut heaps = Vec::new();
    for hash in ["#/", "#/feed"] {
        browser.open(&format!("http://{}/{hash}", fleet.address)).await?;
        browser.until("document.querySelectorAll('.tbody .tr').length > 5").await?;
        browser.eval(WATCH).await?;
        // Until the feed is as long as it gets.
        sleep(lasting / 4 / speed).await;
        let first = browser.eval(MEASURE).await?;
        sleep(lasting / 4 / speed).await;
        // A page that is scrolled far down draws those rows, and no more of them.
        browser.eval("scrollTo(0, document.documentElement.scrollHeight / 2)").await?;
        sleep(lasting / 4 / speed).await;
        browser.until("[...document.querySelectorAll('.tbody .tr')].some((row) => { const box = row.getBoundingClientRect(); return box.top > 0 && box.bottom < innerHeight; })").await?;
        sleep(lasting / 4 / speed).await;
        let last = browser.eval(MEASURE).await?;
        let seen = browser.eval("(() => { const frames = seen.frames.sort((a, b) => a - b); const at = (share) => Math.round(frames[Math.floor((frames.length - 1) * share)]);
            return { frames: frames.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), most: at(1), longTasks: seen.tasks.length, longest: Math.round(Math.max(0, ...seen.tasks)) }; })()").await?;
        println!("{hash} {:?} at {speed}x: first {first}, last {last}, {seen}", lasting);
        let number = |value: &Value| value.as_f64().unwrap_or(f64::MAX);
        assert!(number(&last["elements"]) < MOST_ELEMENTS, "{hash}: {last}");
        heaps.push((hash, number(&first["heap"]), number(&last["heap"])));
    }
    for (hash, first, last) in heaps {
        assert!(
            last < first.mul_add(1.5, 8e6) && last < MOST_HEAP,
            "{hash}: {first} bytes, then {last}"
        );
    }
    browser.check()?;
    browser.close().await
}

/// A few hundred rows at most are in the document, whatever there is to show.
const MOST_ELEMENTS: f64 = 3000.0;

const MOST_HEAP: f64 = 64e6;
