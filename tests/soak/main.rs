//! A long time of mixed traffic while servers break at random: nothing grows, nothing hangs, nothing is wrong or done twice.
//!
//! In the suite it lasts some seconds. `cargo xtask soak` runs it for minutes or hours against the release build, and writes a page with
//! plots. What breaks and when comes from a seed, which is printed.
//!
//! - [`traffic`]: who calls, and what came of it
//! - [`trouble`]: what breaks
//! - [`watch`]: memory, descriptors, threads and connections of the proxy, each second
//! - [`verdict`]: what has to hold
//! - [`page`]: the plots

mod page;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod trouble;
mod verdict;
mod watch;
mod websocket;

use std::path::PathBuf;
use std::time::Duration;

use mainstay_lab::{Lab, Spec};
use tokio::time::{Instant, sleep, timeout};

use support::{PATIENCE, text};
use traffic::Tally;
use trouble::Trouble;
use verdict::Soaked;
use watch::{Proxy, Watch};

/// What is asked for.
struct Asked {
    lasts: Duration,
    seed: u64,
    html: Option<PathBuf>,
    binary: PathBuf,
}

impl Asked {
    fn from_environment() -> Result<Self, String> {
        let word = |name: &str| std::env::var(name).ok();
        let number = |name: &str, default: u64| {
            word(name).map_or(Ok(default), |number| number.parse().map_err(text))
        };
        Ok(Self {
            lasts: Duration::from_secs(number("MAINSTAY_SOAK_SECONDS", SMOKE_SECONDS)?),
            seed: number("MAINSTAY_SOAK_SEED", SEED)?,
            html: word("MAINSTAY_SOAK_HTML").map(PathBuf::from),
            binary: word("MAINSTAY_SOAK_BINARY")
                .map_or_else(|| env!("CARGO_BIN_EXE_mainstay").into(), PathBuf::from),
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_grows_hangs_or_is_wrong_while_servers_break_at_random() -> Result<(), String> {
    let asked = Asked::from_environment()?;
    println!("seed {}: `cargo xtask soak --seed {0}` repeats it", asked.seed);
    let soaked = soak(&asked).await?;
    println!("{}", soaked.summary());
    if let Some(file) = &asked.html {
        std::fs::write(file, page::text(&soaked)).map_err(text)?;
    }
    soaked.wrong()
}

#[tokio::test]
async fn a_proxy_that_has_ended_is_noticed() -> Result<(), String> {
    let lab = Lab::start(Spec::of(SERVERS)).await.map_err(text)?;
    let proxy = Proxy::start(&Asked::from_environment()?.binary, &lab).await?;
    if !proxy.is_running() {
        return Err("it doesn't run".to_owned());
    }
    proxy.signal("-KILL").await?;
    let ends = async {
        while proxy.is_running() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, ends).await.map_err(|_| "nobody notices that it has ended")?;
    lab.shutdown().await;
    Ok(())
}

async fn soak(asked: &Asked) -> Result<Soaked, String> {
    let lab = Lab::start(Spec::of(SERVERS)).await.map_err(text)?;
    let proxy = Proxy::start(&asked.binary, &lab).await?;
    let mut watch = Watch::of(&proxy);
    watch.look().await?;
    let begun = Instant::now();
    let mut trouble = Trouble::new(asked.seed);
    let mut all = Tally::default();
    let mut lap = 0;
    while begun.elapsed() < asked.lasts {
        lap += 1;
        let left = asked.lasts.saturating_sub(begun.elapsed());
        let lasts = left.clamp(Duration::from_secs(1), LAP);
        // Everything that a lap begins ends within it, so that the books can be closed.
        let traffic = timeout(lasts + LONGEST_CALL * 2, traffic::lap(&proxy, lap, lasts));
        let tally = tokio::select! {
            tally = traffic => tally.map_err(|_| format!("lap {lap} doesn't end: a call is stuck"))??,
            failed = trouble.make(&lab, &proxy) => return Err(failed.err().unwrap_or_default()),
            failed = watch.each_second() => return Err(failed.err().unwrap_or_default()),
        };
        trouble.end(&lab).await;
        let tally = tally.judged_by(lab.oracle());
        lab.oracle().reset();
        eprintln!("lap {lap}, {:.0} s: {}", begun.elapsed().as_secs_f64(), tally.line());
        watch.note(&tally);
        all.add(tally);
    }
    let at_rest = watch.at_rest().await?;
    let soaked = Soaked {
        seed: asked.seed,
        seconds: begun.elapsed().as_secs_f64(),
        breaks: trouble.count,
        tally: all,
        samples: watch.samples,
        laps: watch.laps,
        at_rest,
    };
    proxy.end().await?;
    lab.shutdown().await;
    Ok(soaked)
}

/// Servers of both upstreams.
const SERVERS: [&str; 3] = ["a", "b", "c"];

/// Long enough for everything to break once or twice.
const SMOKE_SECONDS: u64 = 6;

/// Any; the same in each run of the suite.
const SEED: u64 = 2026;

/// After so long the oracle's books are closed: they have an end.
const LAP: Duration = Duration::from_secs(60);

/// The longest that a call may take by the proxy's settings, with room for a busy machine.
const LONGEST_CALL: Duration = Duration::from_secs(20);
