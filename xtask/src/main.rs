//! The one door for whoever changes Mainstay: `cargo xtask test` is what CI runs.
//!
//! Each command is a list of steps that are printed before they run, so that any of them can be run alone.

mod bench;
mod breaks;
mod conformance;
mod crash;
mod dashboard;
mod fuzz;
mod heal;
mod instructions;
mod keepalive;
#[cfg(test)]
mod layers;
mod package;
mod semver;
mod setup;
mod soak;
mod step;
mod supply;

use std::process::ExitCode;

use step::Step;

const HELP: &str = "\
cargo xtask COMMAND

  test           everything that CI checks: format, lints, tests, doc tests, loom models, docs
  msrv           the whole workspace checked by the oldest Rust that its manifest promises
  semver         the library's public face beside that of the last release
  sqlx           the example of the outbox with sqlx, compiled: a workspace of its own
  bless          write the generated manual pages anew
  breaks [--against haproxy,nginx,envoy,caddy] [--only GLOB] [--repeat N] [--markdown FILE] [--html FILE]
                 the break suite: what calls feel of each break, behind Mainstay and behind others
  bench proxy    CPU, latency and memory beside HAProxy and nginx, in one interleaved run
  keepalive [--seconds 60]
                 reads and writes against servers that close idle connections, and what was lost or doubled
  heal [--downloads 1000] [--streams 200]
                 downloads and event streams from servers that break every answer, by curl, wget, requests and httpx
  soak [--minutes 10] [--seed 1] [--html target/soak.html]
                 mixed traffic while servers break at random: memory, descriptors, stuck calls, wrong answers, plots
  outbox-crash [--rounds 200]
                 the outbox's process killed at random moments and at its writes, and whether anything acknowledged was lost
  instructions   what core's decisions take of the processor, counted by callgrind and held against bounds
  package        the Debian package: binary, unit, config, man pages, completions
  fuzz [--target all] [--seconds 60] [--seed 1]
                 what strangers may hand to Mainstay, made up at random; each target for so long
  conformance [http1|http2|websocket [GROUP...]|lint]
                 suites that others have written, all of their cases
  deny           licences, duplicates and sources of what comes from elsewhere; advisories where their database can be fetched
  sbom           a bill of materials of the binary, CycloneDX, in target/sbom
  reproduce      the binary built twice in two folders, and whether both are the same to the byte
  screenshots    the pictures of the dashboard in docs/images, taken from a demo that runs for some minutes
  dashboard-load [--seconds 600]
                 a thousand endpoints and a full feed in a browser: frames, heap, elements
  bench download one large body at a time beside HAProxy and nginx: rate, CPU and memory
  bench library  a call through the library beside hyper-util, tower, tower-resilience and reqwest: CPU time and allocations
  bench outbox   accepted writes a second beside what the disk can sync, and a backlog of a million
  bench outputs  what logs, traces and metrics cost a request, each by itself and all together
  bench live     the live stream of a thousand endpoints while 10,000 calls a second go through
  bench core     the engine's benchmarks, beside other crates
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test" | "ci"] => test(),
        ["bless"] => bless(),
        ["msrv"] => msrv(),
        ["semver"] => semver::run(),
        ["sqlx"] => step::run(&[sqlx()]),
        ["bench", "core"] => step::run(&[Step::cargo("bench --package mainstay-core")]),
        ["breaks", options @ ..] => breaks::run(options),
        ["keepalive", options @ ..] => keepalive::run(options),
        ["heal", options @ ..] => heal::run(options),
        ["soak", options @ ..] => soak::run(options),
        ["outbox-crash", options @ ..] => crash::run(options),
        ["instructions"] => instructions::run(),
        ["counted", words @ ..] => instructions::counted(words),
        ["package"] => package::run(),
        ["fuzz", options @ ..] => fuzz::run(options),
        ["conformance", options @ ..] => conformance::run(options),
        ["deny"] => supply::deny(),
        ["sbom"] => supply::sbom(),
        ["reproduce"] => supply::reproduce(),
        ["screenshots"] => dashboard::screenshots(),
        ["dashboard-load", options @ ..] => dashboard::load(options),
        ["bench", "proxy", options @ ..] => bench::proxy(options),
        ["bench", "library", options @ ..] => bench::library(options),
        ["bench", "outbox", options @ ..] => bench::outbox(options),
        ["bench", "outputs", options @ ..] => bench::outputs(options),
        ["bench", "live", options @ ..] => bench::live(options),
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
    setup::axe();
    setup::databases();
    setup::promtool();
    step::run(&[
        Step::cargo("fmt --all --check"),
        Step::cargo("clippy --workspace --all-targets -- --deny warnings"),
        Step::cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "--deny warnings"),
        Step::cargo("doc --package mainstay --no-deps --all-features").env("RUSTDOCFLAGS", "--deny warnings"),
        // The library without its features, and with each of them alone: elsewhere the tests have them all.
        Step::cargo("check --package mainstay"),
        Step::cargo("check --package mainstay --features courier"),
        Step::cargo("check --package mainstay --features json"),
        Step::cargo("check --package mainstay --features metrics"),
        Step::cargo("check --package mainstay --features outbox"),
        Step::cargo("check --package mainstay --features outbox-postgres"),
        Step::cargo("check --package mainstay --features outbox-sqlite"),
        Step::cargo("check --package mainstay --features stream"),
        Step::cargo("check --package mainstay --features testing"),
        Step::cargo("check --package mainstay --features tower"),
        Step::cargo("check --package mainstay --features tracing"),
        Step::cargo("check --package mainstay --features websocket"),
        sqlx(),
        Step::cargo("test --workspace --doc"),
        // A target folder of its own: the flag would make everything else be built again.
        Step::cargo("test --package mainstay-core --release --test loom_breaker --test budget_loom --test limit_loom --target-dir target/loom")
            .env("RUSTFLAGS", "--cfg loom"),
    ])?;
    // A regression of the hot path is one whatever else passes.
    match setup::packages(&["valgrind"]) {
        Ok(()) => instructions::run()?,
        Err(why) => eprintln!("=== {why}: instructions aren't counted"),
    }
    step::run(&[Step::cargo("nextest run --workspace --no-fail-fast")])
}

/// The Rust that `rust-version` promises, installed by rustup if it isn't there, checks everything but the tests: their own tools may want
/// a newer one.
fn msrv() -> Result<(), String> {
    let manifest = include_str!("../../Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let version = version.ok_or("the manifest names no rust-version")?.trim_matches('"');
    step::run(&[
        Step::new(
            "rustup",
            &format!("toolchain install {version}.0 --profile minimal --no-self-update"),
        ),
        // A target folder of its own: another compiler makes everything be built again.
        Step::cargo("check --workspace --target-dir target/msrv")
            .env("RUSTUP_TOOLCHAIN", format!("{version}.0")),
        Step::cargo("check --package mainstay --all-features --target-dir target/msrv")
            .env("RUSTUP_TOOLCHAIN", format!("{version}.0")),
    ])
}

/// The example that isn't of this workspace, since nothing else here wants what it is built of.
fn sqlx() -> Step {
    Step::cargo(
        "clippy --manifest-path examples/sqlx/Cargo.toml --target-dir target/sqlx -- --deny warnings",
    )
}

fn bless() -> Result<(), String> {
    step::run(&[
        Step::cargo("nextest run --workspace -E test(up_to_date)").env("MAINSTAY_BLESS", "1")
    ])
}
