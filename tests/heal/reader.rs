//! One client that reads one download after the other, and what it got of each.

use std::process::Stdio;

use aws_lc_rs::digest::{Context, SHA256};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::{Duration, timeout};

use crate::support::program::Program;
use crate::support::text;

/// A program that reads downloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Curl,
    Wget,
    Requests,
    Httpx,
}

/// What a client got of a download.
#[derive(Debug, Deserialize)]
pub(crate) struct Got {
    pub(crate) sha256: String,
    /// Why the client itself says that it isn't whole.
    pub(crate) error: Option<String>,
}

/// A client that is there: curl and wget are run for each download, Python's libraries keep their connections.
pub(crate) enum Reader {
    Command(Program, &'static [&'static str]),
    Python(Box<Python>),
}

/// A program of ours that reads what its standard input names, by a library.
pub(crate) struct Python {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Client {
    pub(crate) const ALL: [Self; 4] = [Self::Curl, Self::Wget, Self::Requests, Self::Httpx];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Curl => "curl",
            Self::Wget => "wget",
            Self::Requests => "requests",
            Self::Httpx => "httpx",
        }
    }

    pub(crate) fn start(self) -> Result<Reader, String> {
        Ok(match self {
            Self::Curl => Reader::Command(Program::find(&["curl"])?, &CURL),
            Self::Wget => Reader::Command(Program::find(&["wget"])?, &WGET),
            Self::Requests | Self::Httpx => Reader::Python(Box::new(Python::start(self.name())?)),
        })
    }
}

impl Reader {
    /// Reads a download to its end.
    ///
    /// # Errors
    ///
    /// The client can't be asked or doesn't end. That it got something else is no error here.
    pub(crate) async fn read(&mut self, url: &str) -> Result<Got, String> {
        let reading = async {
            match self {
                Self::Command(program, words) => run(program, &[words, &[url][..]].concat()).await,
                Self::Python(python) => python.read(url).await,
            }
        };
        timeout(LONGEST, reading).await.map_err(|_| format!("{url} never ended"))?
    }
}

async fn run(program: &Program, words: &[&str]) -> Result<Got, String> {
    let mut process = program.command(words).stderr(Stdio::piped()).spawn().map_err(text)?;
    let mut output = process.stdout.take().ok_or("no standard output")?;
    let mut errors = process.stderr.take().ok_or("no standard error")?;
    let (mut hash, mut piece) = (Context::new(&SHA256), vec![0; PIECE_BYTES]);
    let hashing = async {
        loop {
            match output.read(&mut piece).await? {
                0 => return Ok(()),
                bytes => hash.update(&piece[..bytes]),
            }
        }
    };
    let mut said = String::new();
    let (hashed, told): (std::io::Result<()>, _) =
        tokio::join!(hashing, errors.read_to_string(&mut said));
    hashed.map_err(text)?;
    told.map_err(text)?;
    let status = process.wait().await.map_err(text)?;
    let error = (!status.success()).then(|| format!("{status}: {said}"));
    Ok(Got { sha256: hex(hash.finish().as_ref()), error })
}

impl Python {
    fn start(library: &str) -> Result<Self, String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/heal/downloads.py");
        let mut process = Program::python()?
            .command(&[script, library])
            .stdin(Stdio::piped())
            .spawn()
            .map_err(text)?;
        let input = process.stdin.take().ok_or("no standard input")?;
        let output = process.stdout.take().ok_or("no standard output")?;
        Ok(Self { _process: process, input, output: BufReader::new(output).lines() })
    }

    async fn read(&mut self, url: &str) -> Result<Got, String> {
        self.input.write_all(format!("{url}\n").as_bytes()).await.map_err(text)?;
        let line = self.output.next_line().await.map_err(text)?;
        serde_json::from_str(&line.ok_or(ENDED)?).map_err(text)
    }
}

/// A hash as programs write it.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// It never repeats or goes on by itself.
const CURL: [&str; 3] = ["--silent", "--show-error", "--fail"];

/// It would go on where an answer broke, and hide what is looked for.
const WGET: [&str; 4] = ["--no-verbose", "--tries=1", "--no-proxy", "--output-document=-"];

const ENDED: &str = "the Python program ended; what it lacks is installed by `cargo xtask test`";

/// What a pipe holds.
const PIECE_BYTES: usize = 64 * 1024;

/// Far above what 50 MB take on a busy machine: a client that hangs is a failure with a name.
const LONGEST: Duration = Duration::from_secs(120);
