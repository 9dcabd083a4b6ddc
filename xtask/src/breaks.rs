//! `cargo xtask breaks`: the break suite (`tests/suite`), all of it, against Mainstay's release build and the proxies that can be had.

use std::path::Path;

use crate::setup;
use crate::step::{self, Step};

const HELP: &str = "\
cargo xtask breaks [OPTIONS]

  --against LIST     of haproxy,nginx,envoy,caddy, each also as NAME-tuned (default none: Mainstay alone)
  --only GLOB        scenarios with these names, as in 'down-*' or 'tls-expired,body-*' (default all)
  --repeat N         how often each is run; the median counts, and Mainstay has to pass each time (default 1)
  --markdown FILE    write the tables there, between its markers
  --html FILE        write a page with a timeline of each proxy in each scenario
  --logs FOLDER      keep there what each proxy was configured with, and what it wrote
  --binary FILE      a `mainstay` that is built already (default: build this one)
";

/// Runs it.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    if words.iter().any(|word| matches!(*word, "--help" | "-h")) {
        print!("{HELP}");
        return Ok(());
    }
    let options = Options::parse(words)?;
    setup::proxies(&options.against);
    if options.binary.is_none() {
        step::run(&[Step::cargo("build --release --package mainstay-cli")])?;
    }
    let binary = options.binary.as_deref().unwrap_or("target/release/mainstay");
    // As the suite builds it: a package alone would have other features, and be built anew.
    let mut suite = Step::cargo("test --workspace --test suite")
        .env("MAINSTAY_BREAKS", step::typed("breaks", words))
        .env("MAINSTAY_BREAKS_BINARY", absolute(binary)?)
        .env("MAINSTAY_BREAKS_AGAINST", options.against.join(","))
        .env("MAINSTAY_BREAKS_ONLY", options.only)
        .env("MAINSTAY_BREAKS_REPEAT", options.repeat.to_string());
    for (name, file) in [
        ("MAINSTAY_BREAKS_MARKDOWN", options.markdown),
        ("MAINSTAY_BREAKS_HTML", options.html),
        ("MAINSTAY_BREAKS_LOGS", options.logs),
    ] {
        if let Some(file) = file {
            suite = suite.env(name, absolute(&file)?);
        }
    }
    step::run(&[suite])
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    against: Vec<String>,
    only: String,
    repeat: u32,
    markdown: Option<String>,
    html: Option<String>,
    logs: Option<String>,
    binary: Option<String>,
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            against: Vec::new(),
            only: String::new(),
            repeat: 1,
            markdown: None,
            html: None,
            logs: None,
            binary: None,
        };
        for pair in words.chunks(2) {
            let [option, value] = pair else {
                return Err(format!("{} needs a value\n\n{HELP}", pair[0]));
            };
            let owned = || Some((*value).to_owned());
            match *option {
                "--against" => options.against = against(value)?,
                "--only" => options.only = (*value).to_owned(),
                "--repeat" => {
                    let times = value.parse().ok().filter(|times| (1..=MOST_TIMES).contains(times));
                    options.repeat = times.ok_or_else(|| {
                        format!(
                            "--repeat {value}: a whole number from 1 to {MOST_TIMES} is allowed"
                        )
                    })?;
                }
                "--markdown" => options.markdown = owned(),
                "--html" => options.html = owned(),
                "--logs" => options.logs = owned(),
                "--binary" => options.binary = owned(),
                other => return Err(format!("unknown option `{other}`\n\n{HELP}")),
            }
        }
        Ok(options)
    }
}

fn against(list: &str) -> Result<Vec<String>, String> {
    let known = |name: &&str| {
        let name = name.strip_suffix("-tuned").unwrap_or(name);
        PROXIES.contains(&name)
    };
    match list.split(',').find(|name| !known(name)) {
        Some(name) => Err(format!("--against: `{name}` is none of {}", PROXIES.join(", "))),
        None => Ok(list.split(',').map(str::to_owned).collect()),
    }
}

/// The suite is started in another folder.
fn absolute(path: &str) -> Result<String, String> {
    let path = std::path::absolute(Path::new(path)).map_err(|error| format!("{path}: {error}"))?;
    Ok(path.display().to_string())
}

/// Those that it knows how to configure.
const PROXIES: [&str; 4] = ["haproxy", "nginx", "envoy", "caddy"];

/// A night.
const MOST_TIMES: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_checked_before_anything_is_built() {
        let told = Options::parse(&["--against", "haproxy,envoy-tuned", "--repeat", "3"]).unwrap();
        assert_eq!(told.against, ["haproxy", "envoy-tuned"]);
        assert_eq!(told.repeat, 3);
        for (words, reason) in [
            (&["--against", "squid"][..], "`squid` is none of"),
            (&["--repeat", "0"], "from 1 to 100"),
            (&["--only"], "--only needs a value"),
            (&["--fast", "1"], "unknown option `--fast`"),
        ] {
            let why = Options::parse(words).unwrap_err();
            assert!(why.contains(reason), "{words:?}: {why}");
        }
    }
}
