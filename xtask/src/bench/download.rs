//! `cargo xtask bench download`: one large, unbroken body at a time through each system, in interleaved rounds.
//!
//! What is compared is the rate within a round, the CPU time for the whole body, and the most memory that the proxy ever held:
//! whoever keeps what a client may ask for again would show it there.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::folder::Folder;
use super::process::Process;
use super::stats::Spread;
use super::system::{self, Place, System};

const HELP: &str = "\
cargo xtask bench download [OPTIONS]

  --rounds N   how often each system is measured (default 5)
  --mib N      the size of the body (default 1024)
  --no-build   with the release binary that is there
";

struct Options {
    rounds: usize,
    mib: u64,
    build: bool,
}

/// What was measured of one download.
#[derive(Clone, Copy)]
struct Sample {
    /// Bytes a second.
    rate: f64,
    /// Of the proxy, for the whole body.
    cpu: Option<Duration>,
}

/// Rate, CPU and memory of large downloads beside HAProxy and nginx.
pub(crate) fn download(words: &[&str]) -> Result<(), String> {
    let Some(options) = Options::parse(words)? else {
        print!("{HELP}");
        return Ok(());
    };
    crate::setup::packages(&["haproxy", "nginx", "util-linux", "curl"])?;
    if options.build {
        super::build()?;
    }
    let target = super::target()?;
    let folder = Folder::new(&target.join("bench-download"))?;
    // Without any block of its own on the disk: reading it costs the same each time.
    let large = File::create(folder.path().join("large.bin"));
    large
        .and_then(|file| file.set_len(options.mib << 20))
        .map_err(|error| format!("large.bin: {error}"))?;
    let (_origin, origins) = system::origin(folder.path(), None)?;
    let mainstay = target.join("dist/mainstay");
    let place = Place {
        folder: folder.path(),
        mainstay,
        proxies: super::proxies(),
        origins,
        tls: None,
        connections: 256,
    };
    // Those that people compare it with for this.
    const SYSTEMS: [System; 4] = [System::Direct, System::Haproxy, System::Nginx, System::Mainstay];
    let started: Vec<_> =
        SYSTEMS.iter().map(|system| system.start(&place)).collect::<Result<_, _>>()?;
    let mut all: Vec<Vec<Sample>> = started.iter().map(|_| Vec::new()).collect();
    for round in 0..options.rounds {
        for turn in 0..started.len() {
            let which = (round + turn) % started.len();
            let running = &started[which];
            let sample = measure(running.address, running.process.as_ref(), options.mib << 20)?;
            eprintln!(
                "round {}: {:>9} {:7.0} MB/s, CPU {:?}",
                round + 1,
                running.system.name(),
                sample.rate / 1e6,
                sample.cpu.unwrap_or_default()
            );
            all[which].push(sample);
        }
    }
    println!("\n| | MB/s | rate : HAProxy's | CPU, s a GiB | CPU : HAProxy's | peak memory, MiB |");
    println!("|---|---|---|---|---|---|");
    let haproxy = SYSTEMS.iter().position(|system| *system == System::Haproxy);
    let haproxy = haproxy.map(|place| all[place].clone()).unwrap_or_default();
    for (running, samples) in started.iter().zip(&all) {
        let peak = running.process.as_ref().map(Process::peak_kib).transpose()?;
        println!("{}", row(running.system, samples, &haproxy, peak, options.mib));
    }
    Ok(())
}

fn row(
    system: System,
    samples: &[Sample],
    haproxy: &[Sample],
    peak_kib: Option<u64>,
    mib: u64,
) -> String {
    let text = |spread: Option<Spread>, decimals| {
        spread.map_or_else(|| "-".into(), |spread: Spread| spread.text(decimals))
    };
    let seconds = |sample: &Sample| sample.cpu.map(|cpu| cpu.as_secs_f64());
    let gib = mib as f64 / 1024.0;
    let rate = Spread::of(samples.iter().map(|sample| sample.rate / 1e6));
    let ratio = Spread::of(samples.iter().zip(haproxy).map(|(one, other)| one.rate / other.rate));
    let cpu = Spread::of(samples.iter().filter_map(seconds).map(|seconds| seconds / gib));
    let pairs = samples.iter().zip(haproxy);
    let cpu_ratio =
        Spread::of(pairs.filter_map(|(one, other)| Some(seconds(one)? / seconds(other)?)));
    let peak = peak_kib.map_or_else(|| "-".into(), |kib| format!("{:.1}", kib as f64 / 1024.0));
    format!(
        "| {} | {} | {} | {} | {} | {peak} |",
        system.name(),
        text(rate, 0),
        text(ratio, 2),
        text(cpu, 2),
        text(cpu_ratio, 2)
    )
}

fn measure(address: SocketAddr, process: Option<&Process>, bytes: u64) -> Result<Sample, String> {
    let before = process.map(Process::cpu);
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--output"])
        .arg(Path::new("/dev/null"))
        .args(["--write-out", "%{size_download} %{time_total}"])
        .arg(format!("http://{address}/large.bin"))
        .output()
        .map_err(|error| format!("curl: {error}"))?;
    let after = process.map(Process::cpu);
    let told = String::from_utf8_lossy(&output.stdout);
    let mut words = told.split(' ');
    let mut number = || words.next().and_then(|word| word.parse::<f64>().ok());
    match (number(), number()) {
        (Some(size), Some(seconds)) if size as u64 == bytes && seconds > 0.0 => Ok(Sample {
            rate: size / seconds,
            cpu: before.zip(after).map(|(before, after)| after.since(&before)),
        }),
        _ => Err(format!("curl: {told} {}", String::from_utf8_lossy(&output.stderr))),
    }
}

impl Options {
    /// None when help is asked for.
    fn parse(words: &[&str]) -> Result<Option<Self>, String> {
        let mut options = Self { rounds: 5, mib: 1024, build: true };
        let mut rest = words.iter().copied();
        while let Some(word) = rest.next() {
            let mut number = |most: usize| {
                let value = rest.next().and_then(|value| value.parse::<usize>().ok());
                value
                    .filter(|value| (1..=most).contains(value))
                    .ok_or_else(|| format!("{word} needs a number from 1 to {most}\n\n{HELP}"))
            };
            match word {
                "--rounds" => options.rounds = number(1000)?,
                "--mib" => options.mib = number(1 << 20)? as u64,
                "--no-build" => options.build = false,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("unknown option `{word}`\n\n{HELP}")),
            }
        }
        Ok(Some(options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_options_are_refused_with_what_is_allowed() {
        let why = |words: &[&str]| Options::parse(words).err().unwrap_or_default();
        assert!(why(&["--mib", "0"]).contains("--mib needs a number from 1 to"));
        assert!(why(&["--rounds"]).contains("--rounds needs a number"));
        assert!(why(&["--fast"]).contains("unknown option `--fast`"));
        assert!(matches!(Options::parse(&["-h"]), Ok(None)));
    }
}
