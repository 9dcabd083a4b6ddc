//! `cargo xtask bench proxy`: what Mainstay costs beside HAProxy, nginx, Envoy and Caddy, in one interleaved run.
//!
//!     wrk, one thread -> direct | haproxy | nginx | envoy | caddy | mainstay -> one nginx with three addresses
//!
//! Figures of different runs aren't comparable on a machine that others use too; figures of one round are, nearly. So all systems stand
//! side by side, each round measures every one of them, and what is compared is the ratio within a round. CPU time a request is the main
//! figure: it is counted by the kernel and doesn't depend on who waits for whom.
//!
//! All proxies have their resilience on, with the configs in `xtask/bench`; Mainstay has none, since its defaults are the point. What the
//! benchmark doesn't do: large bodies, open-loop load, more than one machine.
//!
//! - [`options`]: what can be typed
//! - [`folder`], [`process`], [`system`]: what is started, and how it ends
//! - [`rounds`], [`load`], [`idle`], [`noise`]: what is measured
//! - [`stats`], [`facts`], [`report`], [`page`]: what is said about it
//! - [`mod@download`]: `cargo xtask bench download`, one large body at a time
//! - [`mod@library`]: `cargo xtask bench library`, a call through the library beside other clients
//! - [`mod@outputs`]: `cargo xtask bench outputs`, what logs, traces and metrics cost a request
//! - [`mod@live`]: `cargo xtask bench live`, the live stream of a thousand endpoints
//! - [`mod@outbox`]: `cargo xtask bench outbox`, stored writes beside what the disk can sync

mod download;
mod facts;
mod folder;
mod idle;
mod library;
mod live;
mod load;
mod noise;
mod options;
mod outbox;
mod outputs;
mod page;
mod process;
mod report;
mod rounds;
mod stats;
mod system;

use std::path::{Path, PathBuf};

pub(crate) use download::download;
use folder::Folder;
pub(crate) use library::library;
pub(crate) use live::live;
use options::Options;
pub(crate) use outbox::outbox;
pub(crate) use outputs::outputs;
use rounds::Stage;
use system::{Place, System, Tls};

use crate::setup;
use crate::step::{self, Step};

/// CPU per request, latency and memory beside HAProxy and nginx.
pub(crate) fn proxy(words: &[&str]) -> Result<(), String> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        print!("{}", options::HELP);
        return Ok(());
    }
    let mut options = Options::parse(words)?;
    let target = target()?;
    let mainstay = options.binary.clone().unwrap_or_else(|| target.join("dist/mainstay"));
    prepare(&mut options)?;
    let folder = Folder::new(&target.join("bench-proxy"))?;
    let idle = idle::allowed(options.idle)?;
    if idle < options.idle {
        eprintln!(
            "=== only {idle} idle connections: the limit of open files (ulimit -Hn) allows no more"
        );
    }
    // In this order: what is started last ends first, and the folder goes when nobody writes into it any more.
    let (origin, origins) = system::origin(folder.path(), None)?;
    let connections = idle.max(options.connections) + SPARE_CONNECTIONS;
    let place = Place {
        folder: folder.path(),
        mainstay: mainstay.clone(),
        proxies: proxies(),
        origins,
        tls: None,
        connections,
    };
    let secured = Folder::new(&target.join("bench-proxy-tls"))?;
    let tls = options.tls.then(|| Tls::make(secured.path())).transpose()?;
    let tls_origin =
        tls.as_ref().map(|tls| system::origin(secured.path(), Some(tls))).transpose()?;
    let tls_place = tls_origin.as_ref().map(|(_, origins)| Place {
        folder: secured.path(),
        mainstay,
        proxies: proxies(),
        origins: *origins,
        tls: tls.as_ref(),
        connections,
    });
    let tls_stage = tls_place.as_ref().zip(tls_origin.as_ref());
    let tls_stage = tls_stage.map(|(place, (origin, _))| Stage { place, origin });
    let plain = Stage { place: &place, origin: &origin };
    let mut all = rounds::run(&options, &plain, tls_stage.as_ref())?;
    if idle > 0 {
        rounds::add_idle(&mut all, options.rounds, idle, &place)?;
    }
    let text = report::text(&options, &all, &facts::Facts::gather(&options));
    println!("\n{text}");
    options.markdown.as_deref().map_or(Ok(()), |file| page::write(file, &text))
}

/// Builds what is measured: what packages hold.
fn build() -> Result<(), String> {
    step::run(&[Step::cargo("build --profile dist --package mainstay-cli")])
}

/// The binary that is measured: that one, or this code's, which is built then.
fn binary(given: Option<&Path>, target: &Path) -> Result<PathBuf, String> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    build()?;
    Ok(target.join("dist/mainstay"))
}

/// Where the proxies are that come as Python packages.
fn proxies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/proxies-venv/bin")
}

fn prepare(options: &mut Options) -> Result<(), String> {
    let named: Vec<String> = options.systems.iter().map(|one| one.name().to_owned()).collect();
    setup::proxies(&named);
    // One that can't be had has been told.
    options.systems.retain(|system| match system {
        System::Envoy | System::Caddy => proxies().join(system.name()).exists(),
        System::Direct | System::Haproxy | System::Nginx | System::Mainstay => true,
    });
    let generators: &[&str] = if options.h2 { &["wrk", "nghttp2-client"] } else { &["wrk"] };
    setup::packages(&[&["haproxy", "nginx", "util-linux", "openssl"], generators].concat())?;
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
