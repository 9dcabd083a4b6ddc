//! What a reader must know to compare a figure with one of their own: versions and the machine.

use std::ffi::OsStr;
use std::fmt;
use std::process::Command;
use std::thread;

use super::options::Options;
use super::system::System;

/// Lines of `what: which`.
pub(super) struct Facts(Vec<(&'static str, String)>);

impl Facts {
    /// Asks the programs and the machine.
    pub(super) fn gather(options: &Options) -> Self {
        let mut lines = vec![
            ("machine", format!("{} cores, {}", cores(), processor())),
            ("kernel", first_line("uname", &["-sr"])),
            ("wrk", version("wrk")),
        ];
        for system in &options.systems {
            match system {
                System::Direct => {}
                System::Haproxy => lines.push(("haproxy", version("haproxy"))),
                System::Nginx => lines.push(("nginx", version("nginx"))),
                System::Envoy => lines.push(("envoy", told("envoy", "--version"))),
                System::Caddy => lines.push(("caddy", told("caddy", "version"))),
                System::Mainstay => lines.push(("mainstay", mainstay(options))),
            }
        }
        Self(lines)
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(what, which)| writeln!(f, "- {what}: {which}"))
    }
}

/// The commit, unless somebody else built it: then only they know.
fn mainstay(options: &Options) -> String {
    match &options.binary {
        Some(binary) => first_line(binary, &["--version"]) + ", built before",
        None => {
            let commit = first_line("git", &["describe", "--always", "--dirty"]);
            format!("commit {commit}, {}", first_line("rustc", &["-V"]))
        }
    }
}

/// The word of `PROGRAM -v` that has a version in it.
fn version(program: &str) -> String {
    let line = first_line(program, &["-v"]);
    let is_version =
        |word: &&str| word.contains('.') && word.contains(|c: char| c.is_ascii_digit());
    line.split_whitespace().find(is_version).map_or(line.clone(), str::to_owned)
}

/// What one of the proxies of their own folder says to this word.
fn told(program: &str, word: &str) -> String {
    let text = Command::new(super::proxies().join(program)).arg(word).output();
    let text = text.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let text = text.unwrap_or_else(|_| "unknown".into());
    // Envoy: a hash, the version, then how it was built.
    let is_version = |part: &&str| {
        part.contains('.') && part.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit())
    };
    text.split([' ', '/']).find(is_version).map_or(text.clone(), str::to_owned)
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get())
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or("unknown processor".into(), |(_, name)| name.to_owned())
}

/// The first line that a program prints, wherever it prints it: nginx tells its version on standard error.
fn first_line(program: impl AsRef<OsStr>, words: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(words).output() else { return "unknown".into() };
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").trim().to_owned()
}
