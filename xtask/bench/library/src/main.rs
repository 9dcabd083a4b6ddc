//! What a call costs through the library, beside other clients, in one interleaved run. `cargo xtask bench library` builds and starts it.
//!
//! All clients ask the same server, which runs on a thread of its own, for the same hundred bytes over kept connections. What is counted
//! is the calling thread's: its CPU time as the kernel books it, and its allocations. What the kernel does for the loopback in the sender's
//! name is in it, for all alike. Each round measures every client, and each round begins with another one; what is compared is the ratio
//! within a round.

mod clients;
mod origin;
mod table;

use std::time::Duration;

use clients::Named;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

const HELP: &str = "\
  --rounds N     how often each client is measured (default 15)
  --calls N      calls of each measurement (default 5000)
  --at-once N    how many of them are under way at a time (default 1 and 32, one table each)
  --only NAME    this client alone, without a table's ratios
";

/// What can be typed.
struct Options {
    rounds: usize,
    calls: usize,
    at_once: Vec<usize>,
    only: Option<String>,
}

/// What a call has cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) cpu_micros: f64,
    pub(crate) allocations: f64,
    pub(crate) bytes: f64,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some(options) = options(&words) else {
        eprint!("{HELP}");
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let origin = origin::start();
    for at_once in &options.at_once {
        let mut all = runtime.block_on(async { clients::all(origin) });
        if let Some(only) = &options.only {
            all.retain(|client| client.name == only);
        }
        // Connections, caches and the allocator's own pages are there before anything counts.
        for client in &all {
            measure(&runtime, client, options.calls.min(2000), *at_once);
        }
        let mut costs = vec![Vec::new(); all.len()];
        for round in 0..options.rounds {
            for place in 0..all.len() {
                let place = (place + round) % all.len();
                costs[place].push(measure(&runtime, &all[place], options.calls, *at_once));
            }
        }
        let names: Vec<&str> = all.iter().map(|client| client.name).collect();
        println!("{}", table::text(&names, &costs, *at_once, &options));
    }
}

fn options(words: &[String]) -> Option<Options> {
    let mut options = Options { rounds: 15, calls: 5000, at_once: vec![1, 32], only: None };
    for pair in words.chunks(2) {
        let [key, value] = pair else { return None };
        match key.as_str() {
            "--rounds" => options.rounds = value.parse().ok()?,
            "--calls" => options.calls = value.parse().ok()?,
            "--at-once" => options.at_once = vec![value.parse().ok()?],
            "--only" => options.only = Some(value.clone()),
            _ => return None,
        }
    }
    Some(options)
}

/// One measurement: so many calls, so many of them at once.
fn measure(runtime: &Runtime, client: &Named, calls: usize, at_once: usize) -> Cost {
    let mut cpu = Duration::ZERO;
    let counted = allocation_counter::measure(|| {
        let begun = cpu_time();
        (client.run)(runtime, calls, at_once);
        cpu = cpu_time() - begun;
    });
    let each = |total: f64| total / calls as f64;
    Cost {
        cpu_micros: each(cpu.as_secs_f64() * 1e6),
        allocations: each(counted.count_total as f64),
        bytes: each(counted.bytes_total as f64),
    }
}

/// What the kernel has booked to this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
