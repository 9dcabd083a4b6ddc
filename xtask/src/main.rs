//! The one door for whoever changes Mainstay: `cargo xtask test` is what CI runs.
//!
//! Each command is a list of steps that are printed before they run, so that any of them can be run alone.

mod bench;
mod crash;
mod heal;
mod keepalive;
#[cfg(test)]
mod layers;
mod setup;
mod step;

use std::process::ExitCode;

use step::Step;

const HELP: &str = "\
cargo xtask COMMAND

  test           everything that CI checks: format, lints, tests, doc tests, loom models, docs
  bless          write the generated manual pages anew
  bench proxy    CPU, latency and memory beside HAProxy and nginx, in one interleaved run
  keepalive [--seconds 60]
                 reads and writes against servers that close idle connections, and what was lost or doubled
  heal [--downloads 1000] [--streams 200]
                 downloads and event streams from servers that break every answer, by curl, wget, requests and httpx
  outbox-crash [--rounds 200]
                 the outbox's process killed at random moments and at its writes, and whether anything acknowledged was lost
  bench download one large body at a time beside HAProxy and nginx: rate, CPU and memory
  bench outbox   accepted writes a second beside what the disk can sync, and a backlog of a million
  bench core     the engine's benchmarks, beside other crates
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test" | "ci"] => test(),
        ["bless"] => bless(),
        ["bench", "core"] => step::run(&[Step::cargo("bench --package mainstay-core")]),
        ["keepalive", options @ ..] => keepalive::run(options),
        ["heal", options @ ..] => heal::run(options),
        ["outbox-crash", options @ ..] => crash::run(options),
        ["bench", "proxy", options @ ..] => bench::proxy(options),
        ["bench", "outbox", options @ ..] => bench::outbox(options),
        ["bench", "download", options @ ..] => bench::download(options),
        [] | ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => Err(format!("unknown command `{}`\n\n{HELP}", words.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// What CI runs. The tests come last, so that their summary closes the output.
fn test() -> Result<(), String> {
    setup::nextest()?;
    setup::clients();
    setup::peers();
    setup::tracers();
    step::run(&[
        Step::cargo("fmt --all --check"),
        Step::cargo("clippy --workspace --all-targets -- --deny warnings"),
        Step::cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "--deny warnings"),
        Step::cargo("test --workspace --doc"),
        // A target folder of its own: the flag would make everything else be built again.
        Step::cargo("test --package mainstay-core --release --test loom_breaker --test budget_loom --test limit_loom --target-dir target/loom")
            .env("RUSTFLAGS", "--cfg loom"),
        Step::cargo("nextest run --workspace --no-fail-fast"),
    ])
}

fn bless() -> Result<(), String> {
    step::run(&[
        Step::cargo("nextest run --workspace -E test(up_to_date)").env("MAINSTAY_BLESS", "1")
    ])
}
