//! A client program: found, run, and ended whatever happens.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{PATIENCE, text};

/// A program that is installed.
pub(crate) struct Program(PathBuf);

impl Program {
    /// The first of these names that is in `PATH`.
    pub(crate) fn find(names: &[&str]) -> Result<Self, String> {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
        let files =
            names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        let found = files.into_iter().find(|file| Path::is_file(file));
        found.map(Self).ok_or_else(|| {
            format!(
                "{} isn't installed, so nothing was tested; `cargo xtask test` installs it",
                names[0]
            )
        })
    }

    /// Where that is.
    pub(crate) fn path(names: &[&str]) -> Result<PathBuf, String> {
        Self::find(names).map(|program| program.0)
    }

    /// A file of the tests' own Python, with its packages.
    pub(crate) fn python() -> Result<Self, String> {
        Self::find(&[concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers-venv/bin/python3")])
    }

    /// Runs it to its end and gives what it wrote.
    pub(crate) async fn output(&self, words: &[&str]) -> Result<String, String> {
        let command = self.command(words).output();
        let output = timeout(PATIENCE, command).await.map_err(|_| self.told("doesn't end"))?;
        let output = output.map_err(text)?;
        if !output.status.success() {
            let (status, why) = (output.status, String::from_utf8_lossy(&output.stderr));
            return Err(self.told(&format!("{}: {status}: {why}", words.join(" "))));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts it; killed when the result is dropped.
    pub(crate) fn start(&self, words: &[&str]) -> Result<Running, String> {
        let child = self.command(words).stdin(Stdio::piped()).spawn().map_err(text)?;
        Ok(Running(child))
    }

    /// What runs it: its standard output is a pipe, and it is killed when its process is dropped.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.0);
        command.args(words).kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped());
        // What a person has set up for their own programs is none of the test's business.
        for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "CURL_HOME"] {
            command.env_remove(name);
        }
        command
    }

    fn told(&self, what: &str) -> String {
        format!("{} {what}", self.0.display())
    }
}

/// A program that runs.
pub(crate) struct Running(Child);

impl Running {
    /// The first line that it writes.
    pub(crate) async fn line(&mut self) -> Result<String, String> {
        let output = self.0.stdout.as_mut().ok_or("no standard output")?;
        let read = async {
            let mut line = String::new();
            // By bytes: what follows is for whoever reads next.
            while let byte @ 1.. = output.read_u8().await.map_err(text)?
                && byte != b'\n'
            {
                line.push(char::from(byte));
            }
            Ok(line)
        };
        timeout(PATIENCE, read).await.map_err(|_| "the program says nothing")?
    }

    /// Ends its standard input, which tells it to end, and gives what it wrote.
    pub(crate) async fn end_of_input(&mut self) -> Result<String, String> {
        drop(self.0.stdin.take());
        let mut said = String::new();
        let mut output = self.0.stdout.take().ok_or("no standard output")?;
        let read = timeout(PATIENCE, output.read_to_string(&mut said));
        read.await.map_err(|_| "the program doesn't end")?.map_err(text)?;
        Ok(said)
    }
}
