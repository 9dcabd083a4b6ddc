//! Load from `wrk` (HTTP/1.1) and `h2load` (HTTP/2), and what they say about it.
//!
//! Both are closed loops: a slow answer delays the next request. That suits CPU per request, which is counted, not timed; latency
//! under full load on shared cores says more about the scheduler than about the proxy, and the tables say so.

use std::net::SocketAddr;

use super::process::tied;

/// What one run of a load generator saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    pub(super) requests: u64,
    pub(super) per_second: f64,
    /// Median latency in microseconds; `h2load` doesn't tell.
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    /// Answers that weren't 2xx or 3xx, and connections that broke.
    pub(super) errors: u64,
}

/// HTTP/1.1 over kept connections, from one thread.
pub(super) fn wrk(to: SocketAddr, connections: usize, seconds: u64) -> Result<Load, String> {
    wrk_with(&[], &format!("http://{to}"), connections, seconds)
}

/// The same over TLS.
pub(super) fn wrk_tls(to: SocketAddr, connections: usize, seconds: u64) -> Result<Load, String> {
    wrk_with(&[], &format!("https://{to}"), connections, seconds)
}

/// The same, writes of 1 KiB.
pub(super) fn wrk_post(to: SocketAddr, connections: usize, seconds: u64) -> Result<Load, String> {
    const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/post.lua");
    wrk_with(&["--script", SCRIPT], &format!("http://{to}"), connections, seconds)
}

fn wrk_with(more: &[&str], origin: &str, connections: usize, seconds: u64) -> Result<Load, String> {
    let mut words = vec![
        "--threads=1".into(),
        format!("--connections={connections}"),
        format!("--duration={seconds}s"),
        "--latency".into(),
    ];
    words.extend(more.iter().map(|&word| word.to_owned()));
    let text = output("wrk", &words, origin)?;
    read_wrk(&text).ok_or_else(|| format!("wrk said something else than expected:\n{text}"))
}

/// HTTP/2 without TLS: 100 streams over four connections.
pub(super) fn h2load(to: SocketAddr, seconds: u64) -> Result<Load, String> {
    let words = [
        "--clients=4".into(),
        "--max-concurrent-streams=25".into(),
        format!("--duration={seconds}"),
    ];
    let text = output("h2load", &words, &format!("http://{to}"))?;
    read_h2load(&text).ok_or_else(|| format!("h2load said something else than expected:\n{text}"))
}

/// So many requests a second over HTTP/1.1, whether or not answers come, from one thread.
pub(super) fn paced(to: SocketAddr, per_second: u64, seconds: u64) -> Result<Load, String> {
    const CLIENTS: u64 = 50;
    let words = [
        "--h1".into(),
        format!("--clients={CLIENTS}"),
        format!("--rps={}", per_second.div_ceil(CLIENTS)),
        format!("--duration={seconds}"),
    ];
    let text = output("h2load", &words, &format!("http://{to}"))?;
    read_h2load(&text).ok_or_else(|| format!("h2load said something else than expected:\n{text}"))
}

fn output(program: &str, words: &[String], origin: &str) -> Result<String, String> {
    let done = tied(program.as_ref())
        .args(words)
        .arg(format!("{origin}/orders/4711"))
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        Ok(text)
    } else {
        Err(format!(
            "{program} failed against {origin}:\n{text}{}",
            String::from_utf8_lossy(&done.stderr)
        ))
    }
}

fn read_wrk(text: &str) -> Option<Load> {
    let line = |start: &str| text.lines().find_map(|line| line.trim().strip_prefix(start));
    let requests =
        text.lines().find(|line| line.contains(" requests in "))?.split_whitespace().next()?;
    let refused =
        line("Non-2xx or 3xx responses:").map_or(Some(0), |count| count.trim().parse().ok())?;
    Some(Load {
        requests: requests.parse().ok()?,
        per_second: line("Requests/sec:")?.trim().parse().ok()?,
        p50_us: Some(microseconds(line("50%")?)?),
        p99_us: Some(microseconds(line("99%")?)?),
        errors: refused + line("Socket errors:").map_or(0, numbers),
    })
}

fn read_h2load(text: &str) -> Option<Load> {
    let finished = text.lines().find(|line| line.starts_with("finished in "))?;
    let counts = text.lines().find_map(|line| line.strip_prefix("requests: "))?;
    let count = |what: &str| {
        counts.split(", ").find_map(|part| part.strip_suffix(what)?.trim().parse::<u64>().ok())
    };
    let answers = text.lines().find_map(|line| line.strip_prefix("status codes: "))?;
    let refused = answers
        .split(", ")
        .filter(|part| part.ends_with("4xx") || part.ends_with("5xx"))
        .map(first_number);
    Some(Load {
        requests: count("done")?,
        per_second: finished.split(", ").nth(1)?.strip_suffix(" req/s")?.parse().ok()?,
        p50_us: None,
        p99_us: None,
        errors: count("failed")? + count("errored")? + count("timeout")? + refused.sum::<u64>(),
    })
}

/// `1.25ms` and the like.
fn microseconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit_at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let number: f64 = text[..unit_at].parse().ok()?;
    match &text[unit_at..] {
        "us" => Some(number),
        "ms" => Some(number * 1e3),
        "s" => Some(number * 1e6),
        "m" => Some(number * 60e6),
        _ => None,
    }
}

/// The sum of all numbers of a line.
fn numbers(text: &str) -> u64 {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok()).sum()
}

/// The number that a phrase begins with.
fn first_number(text: &str) -> u64 {
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_prints_is_read_with_its_errors() {
        let text = "\
Running 2s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.31ms    1.02ms  20.00ms   91.00%
    Req/Sec    24.00k     1.00k   26.00k    70.00%
  Latency Distribution
     50%  950.00us
     75%    1.80ms
     90%    2.90ms
     99%    1.02s
  48211 requests in 2.00s, 11.00MB read
  Socket errors: connect 0, read 3, write 1, timeout 2
  Non-2xx or 3xx responses: 17
Requests/sec:  24105.50
Transfer/sec:      5.50MB
";
        let load = read_wrk(text).unwrap();
        assert_eq!(load.requests, 48_211);
        assert_eq!(load.per_second, 24_105.5);
        assert_eq!((load.p50_us, load.p99_us), (Some(950.0), Some(1_020_000.0)));
        assert_eq!(load.errors, 23);
    }

    #[test]
    fn what_h2load_prints_is_read_with_its_errors() {
        let text = "\
finished in 1.01s, 27400.00 req/s, 1.09MB/s
requests: 27400 total, 27500 started, 27400 done, 27398 succeeded, 2 failed, 1 errored, 0 timeout
status codes: 27390 2xx, 0 3xx, 4 4xx, 5 5xx
";
        let load = read_h2load(text).unwrap();
        assert_eq!((load.requests, load.per_second, load.errors), (27_400, 27_400.0, 12));
    }

    #[test]
    fn output_that_lacks_a_line_is_no_result() {
        assert_eq!(read_wrk("unable to connect to 127.0.0.1:8080 Connection refused\n"), None);
        assert_eq!(read_h2load("finished in 1.01s, 27400.00 req/s, 1.09MB/s\n"), None);
    }
}
