//! The library's metrics beside the proxy's: the same policy, the same calls, and so the same text but for times.

use mainstay::Mainstay;
use mainstay_config::settings::Admin;

use crate::support::*;

/// One endpoint that nobody listens at, and whose breaker opens at once; behind it one that is well.
fn policy(origin: &Origin) -> String {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let well = origin.address;
    format!(
        "[upstream.api]\nhealth = false\nbreaker.consecutive_failures = 1\nlimit.kind = \"fixed\"\nlimit.max = 10\n\
         endpoints = [{{ url = \"http://{gone}\" }}, {{ url = \"http://{well}\", tier = 1 }}]\n"
    )
}

const CALLS: usize = 3;

/// The text without what differs from run to run, values of times and exemplars; and without the proxy's incidents, for which it looks each second.
fn lasting(text: &str) -> Vec<String> {
    let sample = |line: &str| {
        let line = line.split(" # ").next().unwrap_or_default();
        match line.rsplit_once(' ') {
            Some((series, _)) if series.contains("_seconds") => series.to_owned(),
            _ => line.to_owned(),
        }
    };
    let lines = text.lines().filter(|line| !line.starts_with("mainstay_incidents"));
    lines.map(|line| if line.starts_with('#') { line.to_owned() } else { sample(line) }).collect()
}

fn of_the_proxy(policy: &str, openmetrics: bool) -> impl FnMut() -> Vec<String> {
    let read = mainstay_config::parse(policy, "policy").unwrap().settings;
    let mut settings = settings(&[]);
    (settings.upstreams, settings.routes) = (read.upstreams, read.routes);
    settings.admin = Some(Admin { address: "127.0.0.1:0".parse().unwrap(), token: None });
    let proxy = start(settings);
    let mut app = App::of(&proxy);
    for _ in 0..CALLS {
        assert_eq!(app.get("/").status, 200);
    }
    let accept = if openmetrics { "application/openmetrics-text" } else { "text/plain" };
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n");
    move || lasting(&App::at(proxy.admin_address().unwrap()).send(&request).answer().body)
}

fn of_the_library(policy: &str, openmetrics: bool) -> impl FnMut() -> Vec<String> {
    let client = Mainstay::from_config_text(policy).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for _ in 0..CALLS {
            let response = client.upstream("api").unwrap().get("/").send().await.unwrap();
            assert_eq!(response.status(), 200);
            response.bytes().await.unwrap();
        }
    });
    move || {
        // Its tasks get their turn.
        runtime.block_on(tokio::task::yield_now());
        lasting(&if openmetrics { client.openmetrics_text() } else { client.metrics_text() })
    }
}

#[test]
fn the_library_tells_the_same_by_the_same_names() {
    for openmetrics in [false, true] {
        let origin = Origin::good();
        let policy = policy(&origin);
        let (mut proxys, mut librarys) =
            (of_the_proxy(&policy, openmetrics), of_the_library(&policy, openmetrics));
        // A connection is idle a moment after its answer's end.
        let began = std::time::Instant::now();
        while proxys() != librarys() && began.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        let told = librarys();
        assert_eq!(told, proxys());
        let open = |line: &String| {
            line.starts_with("mainstay_breaker_state{")
                && line.contains("open")
                && line.ends_with(" 1")
        };
        assert!(told.iter().any(open), "{told:#?}");
        for wanted in [
            "mainstay_budget_tokens{upstream=\"api\"}",
            "mainstay_concurrency_limit{upstream=\"api\"} 10",
            "mainstay_line_length{upstream=\"api\"} 0",
        ] {
            assert!(told.iter().any(|line| line.starts_with(wanted)), "{wanted}: {told:#?}");
        }
    }
}
