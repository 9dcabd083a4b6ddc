//! `cargo xtask bench proxy`: what Mainstay costs beside HAProxy and nginx, in one interleaved run.
//!
//!     wrk, one thread -> direct | haproxy | nginx | mainstay -> one nginx with three addresses
//!
//! Figures of different runs aren't comparable on a machine that others use too; figures of one round are, nearly. So all systems stand
//! side by side, each round measures every one of them, and what is compared is the ratio within a round. CPU time a request is the main
//! figure: it is counted by the kernel and doesn't depend on who waits for whom.
//!
//! All proxies have their resilience on, with the configs in `xtask/bench`; Mainstay has none, since its defaults are the point. What the
//! benchmark doesn't do: TLS, large bodies, open-loop load, more than one machine.
//!
//! - [`options`]: what can be typed
//! - [`folder`], [`process`], [`system`]: what is started, and how it ends
//! - [`rounds`], [`load`], [`idle`], [`noise`]: what is measured
//! - [`stats`], [`facts`], [`report`], [`page`]: what is said about it
//! - [`mod@download`]: `cargo xtask bench download`, one large body at a time
//! - [`mod@outbox`]: `cargo xtask bench outbox`, stored writes beside what the disk can sync

mod download;
mod facts;
mod folder;
mod idle;
mod load;
mod noise;
mod options;
mod outbox;
mod page;
mod process;
mod report;
mod rounds;
mod stats;
mod system;

use std::path::{Path, PathBuf};

pub(crate) use download::download;
use folder::Folder;
use options::Options;
pub(crate) use outbox::outbox;
use system::{Place, System};

use crate::setup;
use crate::step::{self, Step};

/// CPU per request, latency and memory beside HAProxy and nginx.
pub(crate) fn proxy(words: &[&str]) -> Result<(), String> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        print!("{}", options::HELP);
        return Ok(());
    }
    let options = Options::parse(words)?;
    let target = target()?;
    let mainstay = options.binary.clone().unwrap_or_else(|| target.join("release/mainstay"));
    prepare(&options)?;
    let folder = Folder::new(&target.join("bench-proxy"))?;
    let idle = idle::allowed(options.idle)?;
    if idle < options.idle {
        eprintln!(
            "=== only {idle} idle connections: the limit of open files (ulimit -Hn) allows no more"
        );
    }
    // In this order: what is started last ends first, and the folder goes when nobody writes into it any more.
    let (origin, origins) = system::origin(folder.path())?;
    let connections = idle.max(options.connections) + SPARE_CONNECTIONS;
    let place = Place { folder: folder.path(), mainstay, origins, connections };
    let mut all = rounds::run(&options, &place, &origin)?;
    if idle > 0 {
        rounds::add_idle(&mut all, options.rounds, idle, &place)?;
    }
    let text = report::text(&options, &all, &facts::Facts::gather(&options));
    println!("\n{text}");
    options.markdown.as_deref().map_or(Ok(()), |file| page::write(file, &text))
}

/// Builds what is measured.
fn build() -> Result<(), String> {
    step::run(&[Step::cargo("build --release --package mainstay-cli")])
}

fn prepare(options: &Options) -> Result<(), String> {
    let generators: &[&str] = if options.h2 { &["wrk", "nghttp2-client"] } else { &["wrk"] };
    setup::packages(&[&["haproxy", "nginx", "util-linux"], generators].concat())?;
    if options.binary.is_none() && options.systems.contains(&System::Mainstay) {
        build()?;
    }
    Ok(())
}

/// Where cargo builds to.
fn target() -> Result<PathBuf, String> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let path = std::env::var_os("CARGO_TARGET_DIR").map_or_else(beside, PathBuf::from);
    std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// For health checks, the warm-up's connections that are still closing, and wrk's first probe.
const SPARE_CONNECTIONS: usize = 256;
