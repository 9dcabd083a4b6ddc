//! `cargo xtask bench live`: what the live stream of a thousand endpoints is like while ten thousand calls a second go through.
//!
//! ```text
//! h2load, paced -> mainstay with a thousand endpoints -> one nginx
//!                     └─> /live, read to the end of each event by one reader
//! ```
//!
//! The dashboard is told how things are once a second. What is looked at is whether it still is: the time between two of these events,
//! how large they are, and the CPU time of Mainstay's process with nobody reading and with one who does, a round each in turn. What
//! a browser does with it is `cargo xtask dashboard-load`.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::folder::Folder;
use super::load;
use super::outputs::get;
use super::process::Process;
use super::stats::Spread;
use super::system::{self, free_addresses};
use crate::setup;

const HELP: &str = "\
cargo xtask bench live [OPTIONS]

  --rounds N         how often it is measured without a reader and with one (default 3)
  --seconds S        how long each time (default 20)
  --rate N           calls a second (default 10000)
  --endpoints N      endpoints of the one upstream (default 1000)
  --binary FILE      a `mainstay` that is built already (default: build this one)
";

#[derive(Debug)]
struct Options {
    rounds: u64,
    seconds: u64,
    rate: u64,
    endpoints: u64,
    binary: Option<std::path::PathBuf>,
}

/// What a reader of the stream saw.
#[derive(Debug, Default)]
struct Seen {
    bytes: usize,
    /// Milliseconds between two states.
    gaps_ms: Vec<f64>,
    largest_bytes: usize,
}

/// Runs it.
pub(crate) fn live(words: &[&str]) -> Result<(), String> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        print!("{HELP}");
        return Ok(());
    }
    let options = Options::parse(words)?;
    setup::packages(&["nginx", "nghttp2-client", "util-linux"])?;
    let target = super::target()?;
    let binary = super::binary(options.binary.as_deref(), &target)?;
    let folder = Folder::new(&target.join("bench-live"))?;
    let (_origin, origins) = system::origin(folder.path(), None)?;
    let [listen, admin, _] = free_addresses()?;
    let file = folder.path().join("mainstay.toml");
    let config = config(&options, (listen, admin), origins);
    std::fs::write(&file, config).map_err(|error| format!("{}: {error}", file.display()))?;
    let words = ["run".into(), "--config".into(), file.display().to_string()];
    let mut process = Process::start("mainstay", &binary, &words, folder.path())?;
    process.wait_for(listen)?;
    load::paced(listen, options.rate, 3)?;
    println!(
        "{} endpoints, {} calls a second wanted, {} s a time\n\n| reader | calls a second | CPU, share of a core | state each, ms | largest state, KiB | stream, KiB/s |\n|---|---|---|---|---|---|",
        options.endpoints, options.rate, options.seconds
    );
    for _ in 0..options.rounds {
        for is_read in [false, true] {
            println!("{}", round(&process, (listen, admin), &options, is_read)?);
        }
    }
    println!("\nmemory of the process at most: {} MiB", process.peak_kib()? / 1024);
    Ok(())
}

/// A row of the table.
fn round(
    process: &Process,
    (listen, admin): (SocketAddr, SocketAddr),
    options: &Options,
    is_read: bool,
) -> Result<String, String> {
    let lasting = Duration::from_secs(options.seconds);
    let reader = is_read.then(|| std::thread::spawn(move || read(admin, lasting)));
    let before = process.cpu();
    let load = load::paced(listen, options.rate, options.seconds)?;
    let spent = process.cpu().since(&before).as_secs_f64() / lasting.as_secs_f64();
    if load.errors > 0 {
        return Err(format!("{} of {} calls failed", load.errors, load.requests));
    }
    let first = format!("{:.0} | {spent:.3}", load.per_second);
    let Some(reader) = reader else { return Ok(format!("| none | {first} | - | - | - |")) };
    let seen = reader.join().map_err(|_| "the reader panicked")??;
    let gaps = Spread::of(seen.gaps_ms.iter().copied()).ok_or("no two states came")?;
    let kib = |bytes: usize| bytes as f64 / 1024.0;
    Ok(format!(
        "| one | {first} | {} | {:.0} | {:.0} |",
        gaps.text(0),
        kib(seen.largest_bytes),
        kib(seen.bytes) / lasting.as_secs_f64()
    ))
}

/// Reads the stream for so long.
fn read(admin: SocketAddr, lasting: Duration) -> Result<Seen, String> {
    let told = |error: std::io::Error| format!("the live stream: {error}");
    let stream = get(admin, "/live").map_err(told)?;
    // It says something each second.
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(told)?;
    let (begun, mut last) = (Instant::now(), None::<Instant>);
    let (mut lines, mut line, mut seen) = (BufReader::new(stream), Vec::new(), Seen::default());
    let (mut is_state, mut event_bytes) = (false, 0);
    while begun.elapsed() < lasting {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(told)? == 0 {
            return Err("the live stream ended".into());
        }
        seen.bytes += line.len();
        event_bytes += line.len();
        if line.starts_with(b"event: ") {
            // Chunks cut lines anywhere: an event is as long as it is to the next one.
            let is_larger = is_state && event_bytes > seen.largest_bytes;
            seen.largest_bytes = if is_larger { event_bytes } else { seen.largest_bytes };
            (is_state, event_bytes) = (line.starts_with(b"event: state"), 0);
        } else if is_state && line.starts_with(b"data: ") {
            let now = Instant::now();
            let before = last.replace(now);
            seen.gaps_ms.extend(before.map(|before| (now - before).as_secs_f64() * 1e3));
        }
    }
    Ok(seen)
}

/// Endpoints that differ by their path: what an origin answers doesn't depend on it.
fn config(
    options: &Options,
    (listen, admin): (SocketAddr, SocketAddr),
    origins: [SocketAddr; 3],
) -> String {
    let endpoint = |place: u64| {
        let origin = origins[(place % 3) as usize];
        format!("{{ url = \"http://{origin}/e{place}\", name = \"e{place}\" }}")
    };
    let endpoints: Vec<_> = (0..options.endpoints).map(endpoint).collect();
    format!(
        "listen = \"{listen}\"\nadmin = \"{admin}\"\n[upstream.default]\nendpoints = [{}]\n",
        endpoints.join(", ")
    )
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options =
            Self { rounds: 3, seconds: 20, rate: 10_000, endpoints: 1_000, binary: None };
        let mut rest = words.iter().copied();
        while let Some(word) = rest.next() {
            let value = rest.next().ok_or_else(|| format!("{word} needs a value\n\n{HELP}"))?;
            let number = |most: u64| {
                let number = value.parse().ok().filter(|number| (1..=most).contains(number));
                number.ok_or_else(|| {
                    format!("{word} {value}: a whole number from 1 to {most} is allowed")
                })
            };
            match word {
                "--rounds" => options.rounds = number(1000)?,
                "--seconds" => options.seconds = number(3600)?,
                "--rate" => options.rate = number(100_000)?,
                "--endpoints" => options.endpoints = number(10_000)?,
                "--binary" => {
                    let path =
                        std::path::absolute(value).map_err(|error| format!("{value}: {error}"));
                    options.binary = Some(path?);
                }
                _ => return Err(format!("unknown option `{word}`\n\n{HELP}")),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_options_are_named_with_what_is_allowed() {
        for (words, why) in [
            (&["--fast", "1"][..], "unknown option `--fast`"),
            (&["--rate"], "--rate needs a value"),
            (&["--seconds", "0"], "--seconds 0: a whole number from 1 to 3600"),
        ] {
            assert!(Options::parse(words).unwrap_err().contains(why), "{words:?}");
        }
        assert_eq!(Options::parse(&["--endpoints", "8"]).unwrap().endpoints, 8);
    }
}
