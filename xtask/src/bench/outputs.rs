//! `cargo xtask bench outputs`: what the log, the access log, traces, metrics, records and the live stream cost a request.
//!
//!     wrk, one thread -> mainstay with everything off | with each output | with all of them -> one nginx
//!
//! All variants run side by side, each round measures every one of them, and each round begins with another. What is compared is the CPU
//! time of Mainstay's process for one request within a round, which counts what its other threads do for outputs as well. The
//! collector is an nginx that takes everything; what a real one costs is not Mainstay's.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::folder::Folder;
use super::load;
use super::process::Process;
use super::stats::Spread;
use super::system::{self, free_addresses};
use crate::setup;

const HELP: &str = "\
cargo xtask bench outputs [OPTIONS]

  --rounds N         how often each variant is measured (default 7)
  --seconds S        how long each time (default 4)
  --connections N    client connections (default 64)
  --binary FILE      a `mainstay` that is built already (default: build this one)
  --smoke            one round of one second: does it run at all?
";

/// One way to run Mainstay.
struct Variant {
    name: &'static str,
    /// The end of its config.
    config: &'static str,
    scraped: bool,
    streamed: bool,
}

const RECORDS: &str = "[records]\nfile = \"@folder@/records.jsonl\"\n";

const VARIANTS: [Variant; 8] = [
    Variant { name: "all off", config: "", scraped: false, streamed: false },
    Variant {
        name: "each call logged",
        config: "log_calls = true\n",
        scraped: false,
        streamed: false,
    },
    Variant {
        name: "access log",
        config: "[access_log]\nfile = \"@folder@/access.log\"\n",
        scraped: false,
        streamed: false,
    },
    Variant {
        name: "traces, 1 %",
        config: "[traces]\nendpoint = \"http://@collector@\"\nprotocol = \"http\"\nratio = \"1%\"\nqueue = 100000\n",
        scraped: false,
        streamed: false,
    },
    Variant {
        name: "traces, 100 %",
        config: "[traces]\nendpoint = \"http://@collector@\"\nprotocol = \"http\"\nratio = \"100%\"\nqueue = 100000\n",
        scraped: false,
        streamed: false,
    },
    Variant {
        name: "scraped, live stream, records",
        config: RECORDS,
        scraped: true,
        streamed: true,
    },
    Variant {
        name: "all on, traces 1 %",
        config: "log_calls = true\n[records]\nfile = \"@folder@/records.jsonl\"\n[access_log]\nfile = \"@folder@/access.log\"\n[traces]\nendpoint = \"http://@collector@\"\nprotocol = \"http\"\nratio = \"1%\"\nqueue = 100000\n",
        scraped: true,
        streamed: true,
    },
    Variant {
        name: "all on, traces 100 %",
        config: "log_calls = true\n[records]\nfile = \"@folder@/records.jsonl\"\n[access_log]\nfile = \"@folder@/access.log\"\n[traces]\nendpoint = \"http://@collector@\"\nprotocol = \"http\"\nratio = \"100%\"\nqueue = 100000\n",
        scraped: true,
        streamed: true,
    },
];

#[derive(Debug)]
struct Options {
    rounds: usize,
    seconds: u64,
    connections: usize,
    binary: Option<std::path::PathBuf>,
}

/// A variant that runs, with those who read its outputs.
struct Running {
    process: Process,
    address: SocketAddr,
    readers: Vec<Reader>,
    /// CPU time for a request in microseconds, by round.
    cpu_us: Vec<f64>,
}

/// Runs it.
pub(crate) fn outputs(words: &[&str]) -> Result<(), String> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        print!("{HELP}");
        return Ok(());
    }
    let options = Options::parse(words)?;
    setup::packages(&["nginx", "wrk", "util-linux"])?;
    let target = super::target()?;
    let binary = super::binary(options.binary.as_deref(), &target)?;
    let folder = Folder::new(&target.join("bench-outputs"))?;
    let (_origin, origins) = system::origin(folder.path(), None)?;
    let mut all = Vec::new();
    for (place, variant) in VARIANTS.iter().enumerate() {
        let running = variant.start(place, &binary, folder.path(), origins)?;
        load::wrk(running.address, options.connections, 1)?;
        all.push(running);
    }
    for round in 0..options.rounds {
        eprintln!("=== round {} of {}", round + 1, options.rounds);
        for turn in 0..all.len() {
            let which = (round + turn) % all.len();
            all[which].measure(VARIANTS[which].name, &options)?;
        }
    }
    print!("{}", table(&all));
    Ok(())
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self { rounds: 7, seconds: 4, connections: 64, binary: None };
        let mut rest = words.iter().copied();
        while let Some(word) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{word} needs a value\n\n{HELP}"));
            let number = |text: &str, most: usize| {
                let number = text.parse().ok().filter(|number| (1..=most).contains(number));
                number.ok_or_else(|| {
                    format!("{word} {text}: a whole number from 1 to {most} is allowed")
                })
            };
            match word {
                "--smoke" => (options.rounds, options.seconds) = (1, 1),
                "--rounds" => options.rounds = number(value()?, 1000)?,
                "--seconds" => options.seconds = number(value()?, 600)? as u64,
                "--connections" => options.connections = number(value()?, 10_000)?,
                "--binary" => {
                    let path = value()?;
                    let path =
                        std::path::absolute(path).map_err(|error| format!("{path}: {error}"));
                    options.binary = Some(path?);
                }
                _ => return Err(format!("unknown option `{word}`\n\n{HELP}")),
            }
        }
        Ok(options)
    }
}

impl Variant {
    fn start(
        &self,
        place: usize,
        binary: &Path,
        folder: &Path,
        origins: [SocketAddr; 3],
    ) -> Result<Running, String> {
        let [listen, admin, _] = free_addresses()?;
        let mine = folder.join(format!("variant-{place}"));
        let failed = |error| format!("{}: {error}", mine.display());
        std::fs::create_dir_all(&mine).map_err(failed)?;
        let [first, second, third] = origins;
        // Any path is answered with 200: as a collector's answer, a body that isn't protobuf refuses nothing.
        let own = self.config.replace("@folder@", &mine.display().to_string());
        let own = own.replace("@collector@", &first.to_string());
        // Keys of the file itself come before its tables.
        let (top, tables) = match own.strip_prefix("log_calls = true\n") {
            Some(tables) => ("log_calls = true\n", tables),
            None => ("", own.as_str()),
        };
        let config = format!(
            "listen = \"{listen}\"\nadmin = \"{admin}\"\n{top}{tables}\n[upstream.default]\n\
             endpoints = [\"http://{first}\", \"http://{second}\", \"http://{third}\"]\n"
        );
        let file = mine.join("mainstay.toml");
        std::fs::write(&file, config).map_err(failed)?;
        let words = ["run".into(), "--config".into(), file.display().to_string()];
        let mut process = Process::start("mainstay", binary, &words, &mine)?;
        process.wait_for(listen)?;
        let mut readers = Vec::new();
        if self.scraped {
            readers.push(Reader::scraping(admin));
        }
        if self.streamed {
            readers.push(Reader::streaming(admin));
        }
        Ok(Running { process, address: listen, readers, cpu_us: Vec::new() })
    }
}

impl Running {
    fn measure(&mut self, name: &str, options: &Options) -> Result<(), String> {
        self.readers.iter().for_each(|reader| reader.active.store(true, Relaxed));
        let before = self.process.cpu();
        let load = load::wrk(self.address, options.connections, options.seconds)?;
        // What was gathered for outputs is written and sent within a second and a half.
        thread::sleep(Duration::from_millis(1500));
        let spent = self.process.cpu().since(&before);
        self.readers.iter().for_each(|reader| reader.active.store(false, Relaxed));
        if load.requests == 0 || load.errors > 0 {
            return Err(format!("{name}: {} requests, {} errors", load.requests, load.errors));
        }
        let each = spent.as_secs_f64() * 1e6 / load.requests as f64;
        eprintln!("{name:>30}: {each:6.2} us of CPU a request, {:7.0} requests/s", load.per_second);
        self.cpu_us.push(each);
        Ok(())
    }
}

fn table(all: &[Running]) -> String {
    let mut text =
        "\n| outputs | CPU a request, us | more than all off |\n|---|---|---|\n".to_owned();
    let base = &all[0].cpu_us;
    for (variant, running) in VARIANTS.iter().zip(all) {
        let ratios =
            running.cpu_us.iter().zip(base).map(|(each, base)| (each / base - 1.0) * 100.0);
        let cpu = Spread::of(running.cpu_us.iter().copied()).map_or("-".into(), |cpu| cpu.text(1));
        let more = match Spread::of(ratios) {
            Some(more) if !std::ptr::eq(base, &running.cpu_us) => {
                format!("{:.1} % ({:.1} to {:.1})", more.median, more.least, more.most)
            }
            _ => "-".into(),
        };
        text += &format!("| {} | {cpu} | {more} |\n", variant.name);
    }
    text
}

/// Who reads an output while a variant is measured. Ends when dropped.
struct Reader {
    active: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    running: Option<JoinHandle<()>>,
}

impl Reader {
    /// Scrapes the metrics each second.
    fn scraping(admin: SocketAddr) -> Self {
        Self::start(move |active, ended| {
            while !ended.load(Relaxed) {
                if active.load(Relaxed) {
                    let _bytes = get(admin, "/metrics").map(|mut stream| drain(&mut stream));
                }
                thread::sleep(Duration::from_secs(1));
            }
        })
    }

    /// Reads the live stream while it is active.
    fn streaming(admin: SocketAddr) -> Self {
        Self::start(move |active, ended| {
            while !ended.load(Relaxed) {
                if active.load(Relaxed)
                    && let Ok(mut stream) = get(admin, "/live")
                {
                    let mut part = [0; 65536];
                    while active.load(Relaxed) && !ended.load(Relaxed) {
                        match stream.read(&mut part) {
                            Ok(0) => break,
                            Ok(_) => {}
                            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                            Err(_) => break,
                        }
                    }
                }
                thread::sleep(Duration::from_millis(50));
            }
        })
    }

    fn start(work: impl FnOnce(&AtomicBool, &AtomicBool) + Send + 'static) -> Self {
        let (active, ended) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let (theirs, end) = (Arc::clone(&active), Arc::clone(&ended));
        let running = Some(thread::spawn(move || work(&theirs, &end)));
        Self { active, ended, running }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        if self.running.take().is_some_and(|running| running.join().is_err()) {
            eprintln!("a reader of the outputs panicked");
        }
    }
}

pub(super) fn get(admin: SocketAddr, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {admin}\r\naccept: application/openmetrics-text\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

fn drain(stream: &mut TcpStream) -> usize {
    let mut all = Vec::new();
    // A scrape that takes longer than it may is one that brings less.
    let _ended = stream.read_to_end(&mut all);
    all.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_options_are_named_with_what_is_allowed() {
        for (words, why) in [
            (&["--fast"][..], "unknown option `--fast`"),
            (&["--rounds"], "--rounds needs a value"),
            (&["--seconds", "0"], "--seconds 0: a whole number from 1 to 600"),
        ] {
            assert!(Options::parse(words).unwrap_err().contains(why), "{words:?}");
        }
        assert_eq!(Options::parse(&["--smoke", "--connections", "8"]).unwrap().connections, 8);
    }
}
