//! What can be typed after `cargo xtask bench proxy`.

use std::path::PathBuf;

use super::system::System;
use crate::step;

pub(super) const HELP: &str = "\
cargo xtask bench proxy [OPTIONS]

  --rounds N         how often each system is measured (default 5)
  --seconds S        how long each time under load; half as long at low load (default 4)
  --connections N    client connections under load (default 64)
  --idle N           idle client connections whose memory is measured; 0 leaves that out (default 10000)
  --systems LIST     of direct,haproxy,nginx,envoy,caddy,mainstay (default all)
  --binary FILE      a `mainstay` that is built already, to compare two of them (default: build this one)
  --h2               HTTP/2 too: 100 streams
  --post             writes too, of 1 KiB
  --tls              TLS on both sides too
  --all              all three of them
  --markdown FILE    write the result there, between its markers if it has them
  --smoke            one round of one second, 200 idle connections: does it run at all?
";

/// The checked options.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) rounds: usize,
    pub(super) seconds: u64,
    pub(super) connections: usize,
    pub(super) idle: usize,
    pub(super) systems: Vec<System>,
    pub(super) binary: Option<PathBuf>,
    pub(super) h2: bool,
    pub(super) post: bool,
    pub(super) tls: bool,
    pub(super) markdown: Option<PathBuf>,
    /// The command line that repeats the run.
    pub(super) typed: String,
}

impl Options {
    pub(super) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = words.iter().copied();
        while let Some(word) = rest.next() {
            match word {
                "--smoke" => (options.rounds, options.seconds, options.idle) = (1, 1, 200),
                "--h2" => options.h2 = true,
                "--post" => options.post = true,
                "--tls" => options.tls = true,
                "--all" => (options.h2, options.post, options.tls) = (true, true, true),
                "--rounds" => options.rounds = number(word, rest.next(), 1..=1000)?,
                "--seconds" => options.seconds = number(word, rest.next(), 1..=600)? as u64,
                "--connections" => options.connections = number(word, rest.next(), 1..=10_000)?,
                "--idle" => options.idle = number(word, rest.next(), 0..=25_000)?,
                "--systems" => options.systems = systems(value(word, rest.next())?)?,
                "--binary" => options.binary = Some(absolute(value(word, rest.next())?)?),
                "--markdown" => options.markdown = Some(value(word, rest.next())?.into()),
                _ => return Err(format!("unknown option `{word}`\n\n{HELP}")),
            }
        }
        options.typed = step::typed("bench proxy", words);
        Ok(options)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rounds: 5,
            seconds: 4,
            connections: 64,
            idle: 10_000,
            systems: System::ALL.to_vec(),
            binary: None,
            h2: false,
            post: false,
            tls: false,
            markdown: None,
            typed: String::new(),
        }
    }
}

fn value<'a>(option: &str, word: Option<&'a str>) -> Result<&'a str, String> {
    word.ok_or_else(|| format!("{option} needs a value\n\n{HELP}"))
}

/// Programs are started in another folder.
fn absolute(path: &str) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|error| format!("{path}: {error}"))
}

fn number(
    option: &str,
    word: Option<&str>,
    allowed: std::ops::RangeInclusive<usize>,
) -> Result<usize, String> {
    let word = value(option, word)?;
    word.parse().ok().filter(|number| allowed.contains(number)).ok_or_else(|| {
        format!(
            "{option} {word}: a whole number from {} to {} is allowed",
            allowed.start(),
            allowed.end()
        )
    })
}

fn systems(list: &str) -> Result<Vec<System>, String> {
    let named = |name| System::ALL.into_iter().find(|system| system.name() == name);
    list.split(',')
        .map(|name| {
            named(name).ok_or_else(|| format!("--systems: `{name}` is none of them\n\n{HELP}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_refused(words: &[&str], reason: &str) {
        let why = Options::parse(words).unwrap_err();
        assert!(why.contains(reason), "{words:?}: {why}");
    }

    #[test]
    fn wrong_options_are_refused_with_the_place_and_what_is_allowed() {
        check_refused(&["--fast"], "unknown option `--fast`");
        check_refused(&["--rounds"], "--rounds needs a value");
        check_refused(&["--rounds", "0"], "--rounds 0: a whole number from 1 to 1000");
        check_refused(&["--seconds", "ten"], "--seconds ten");
        check_refused(&["--systems", "haproxy,squid"], "`squid` is none of them");
    }

    #[test]
    fn the_command_line_is_kept_so_that_the_run_can_be_repeated() {
        let options = Options::parse(&["--smoke", "--systems", "direct,mainstay"]).unwrap();
        assert_eq!(options.typed, "cargo xtask bench proxy --smoke --systems direct,mainstay");
        assert_eq!((options.rounds, options.seconds, options.idle), (1, 1, 200));
        assert_eq!(options.systems, [System::Direct, System::Mainstay]);
        let elsewhere = Options::parse(&["--binary", "/here/mainstay", "--h2"]).unwrap();
        assert_eq!(elsewhere.typed, "cargo xtask bench proxy --h2");
    }
}
