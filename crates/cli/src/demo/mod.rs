//! The demo: lab, proxy and traffic in one process, breaks on a timeline, and a verdict at the end.
//!
//! The same traffic runs twice at the same time against two labs that break in the same way: once through Mainstay,
//! once straight to the servers, as an application without it would do. The verdict is the lab's: its oracle counts
//! what was really carried out, and the demo fails when that disagrees with what Mainstay recorded.

mod report;
mod script;
mod traffic;
mod verdict;

use std::hash::{BuildHasher as _, RandomState};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use mainstay_lab::{Lab, Spec};
use mainstay_proxy::{Options, Proxy};
use tokio::time::{Instant, interval};

use crate::args::Demo;
use crate::exit::{Failure, text};
use report::Report;
use script::Script;
use traffic::{Side, Traffic};

/// Runs it in a runtime of its own.
pub(crate) fn run(args: &Demo) -> Result<ExitCode, Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(text)?;
    runtime.block_on(play(args))
}

async fn play(args: &Demo) -> Result<ExitCode, Failure> {
    let script = Script::lasting(Duration::from_secs(args.seconds));
    let with = lab(&script).await?;
    let without = lab(&script).await?;
    let token = token();
    let settings = script.settings(&with, &args.admin, &token)?;
    let proxy = Proxy::start(settings, Options::quiet()).map_err(text)?;
    let address = proxy
        .addresses()
        .first()
        .copied()
        .ok_or_else(|| Failure::of("the proxy has no address"))?;
    introduce(&script, &proxy, &token);

    let traffic = Traffic { rate: f64::from(args.rate), lasting: script.length() };
    let begun = Instant::now();
    let straight_to: Vec<_> = without.servers().iter().map(mainstay_lab::Server::addr).collect();
    let (through, straight) = (Side::default(), Side::default());
    let progress = show_progress(&script, &through, &straight, begun);
    let timelines = async { tokio::join!(with.run_timeline(), without.run_timeline()) };
    let loads = async {
        tokio::join!(traffic.run(vec![address], &through), traffic.run(straight_to, &straight))
    };
    tokio::select! {
        // The progress never ends by itself.
        () = progress => {}
        _ = async { tokio::join!(loads, timelines) } => {}
    }

    let recorder = proxy.recorder().clone();
    if args.keep_open {
        stay(&proxy, &token).await;
    }
    // Bodies that were on their way are over once the proxy has drained.
    proxy.drain(Duration::from_secs(5)).await;
    let report = Report::new(&script, &recorder, (&through, &with), (&straight, &without));
    with.shutdown().await;
    without.shutdown().await;
    print!("{report}");
    if let Some(file) = &args.json {
        let json = serde_json::to_string_pretty(&report).map_err(text)?;
        std::fs::write(file, json)
            .map_err(|error| Failure::of(format!("{}: {error}", file.display())))?;
        eprintln!("written to {}", file.display());
    }
    Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn lab(script: &Script) -> Result<Lab, Failure> {
    let spec = Spec { seed: 7, timeline: script.timeline()?, ..Spec::of(script::SERVERS) };
    Lab::start(spec).await.map_err(text)
}

/// A token for the dashboard: nobody can guess the hashes of the standard library's random keys.
fn token() -> String {
    let keys = RandomState::new();
    (0..2).map(|part: u8| format!("{:016x}", keys.hash_one(part))).collect()
}

/// Where the dashboard is, with the token where a browser sends it nowhere.
fn dashboard(proxy: &Proxy, token: &str) -> Option<String> {
    proxy.admin_address().map(|admin| format!("http://{admin}/#token={token}"))
}

/// Waits for ctrl-c.
async fn stay(proxy: &Proxy, token: &str) {
    if let Some(dashboard) = dashboard(proxy, token) {
        eprintln!("\nAll is over. Look around: {dashboard}\nThe report comes with ctrl-c.");
    }
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("ctrl-c can't be waited for: {error}");
    }
}

fn introduce(script: &Script, proxy: &Proxy, token: &str) {
    eprintln!(
        "Three servers, one proxy in front of them, and {} breaks in {:.0} s.",
        script.breaks(),
        script.length().as_secs_f64()
    );
    if let Some(dashboard) = dashboard(proxy, token) {
        eprintln!("Look inside meanwhile: {dashboard}");
    }
    eprintln!();
}

/// Shows what is broken now and what both sides see of it, until dropped.
async fn show_progress(script: &Script, through: &Side, straight: &Side, begun: Instant) {
    let bar = ProgressBar::new(script.length().as_millis() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {msg}") {
        bar.set_style(style);
    }
    let mut ticks = interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        let at = begun.elapsed();
        bar.set_position((at.as_millis() as u64).min(bar.length().unwrap_or(u64::MAX)));
        let (ours, theirs) = (through.counts(), straight.counts());
        bar.set_message(format!(
            "{:>3.0} s  failed: with Mainstay {} of {}, without {} of {}   now: {}",
            at.as_secs_f64(),
            ours.bad(),
            ours.calls,
            theirs.bad(),
            theirs.calls,
            script.now(at),
        ));
    }
}
