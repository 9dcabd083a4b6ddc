//! What a scenario file says.
//!
//! ```text
//! # Why it matters.
//! servers a b c
//! | total_timeout = "5s"                         added to the config, below [upstream.api]
//! load reads GET /x count=100 rate=200           starts a load and goes on
//! after reads 20                                 waits for so many of its results
//! fault b reset-before                           the lab's own words
//! until endpoint b breaker.state=open            waits for the admin address to say so; `within 1200ms` if it must be soon
//! until break throttled >= 3                     waits until it is so; what `expect` knows
//! join reads                                     waits for the load's end
//! expect reads good = 100%                       good, status 503, without-answer, incomplete, p50, p99, max, attempts
//! expect reads misplaced-events = 0               events, misplaced-events (a gap, a duplicate), error-events
//! expect duplicates = 0                          duplicates, amplification, executed ID, records, break CODE, event CODE
//! ```
//!
//! The scenarios of the break suite (`scenarios/suite`, run by `tests/suite`) go by the clock, so that one can be run against any proxy:
//!
//! ```text
//! category down                                  what it belongs to
//! speak tls                                      what the servers speak: tls, http2, dns
//! name api.lab a                                 the servers that their name leads to at first; all of them unless it is said
//! load reads GET /x count=500 rate=100           all loads begin at the same moment
//! at 1s fault busiest refuse                     the break begins with the first of these; `busiest` is who was asked most until then
//! at 3s fault busiest healthy                    and ends with the last
//! tells connect-refused                          the break's codes: one of them has to be told
//! without nginx it speaks no HTTP/2 to servers   who can't take part, and why
//! expect success >= 99%                          of all calls together: success, p50, p99, amplification, masked, recovered, streams
//! ```

use std::time::Duration;

/// A whole scenario.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// The first comment.
    pub(crate) why: String,
    pub(crate) servers: Vec<String>,
    pub(crate) config: String,
    pub(crate) steps: Vec<(usize, Step)>,
    pub(crate) suite: Suite,
}

/// What only scenarios of the break suite say.
#[derive(Debug, Default)]
pub(crate) struct Suite {
    pub(crate) category: String,
    pub(crate) speaks: Vec<String>,
    pub(crate) name: Option<(String, Vec<String>)>,
    pub(crate) tells: Vec<String>,
    pub(crate) without: Vec<(String, String)>,
}

/// One line.
#[derive(Debug)]
pub(crate) enum Step {
    Load { name: String, methods: Vec<http::Method>, path: String, options: Vec<(String, String)> },
    After { name: String, results: usize },
    At { at: Duration, server: String, text: String },
    Join { name: String },
    Fault { server: String, text: String },
    Until { endpoint: String, field: String, value: String, within: Option<Duration> },
    UntilCount { of: Vec<String>, operator: Operator, value: Value },
    Expect { of: Vec<String>, operator: Operator, value: Value },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Operator {
    Equal,
    AtMost,
    AtLeast,
}

/// A number with its unit: a share in percent, a time, or a count.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) enum Value {
    Percent(f64),
    Time(Duration),
    Count(f64),
}

impl Operator {
    pub(crate) fn holds(self, found: f64, wanted: f64) -> bool {
        match self {
            Self::Equal => (found - wanted).abs() < 1e-9,
            Self::AtMost => found <= wanted,
            Self::AtLeast => found >= wanted,
        }
    }
}

pub(crate) fn parse(text: &str) -> Result<Script, String> {
    let mut script = Script::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix('#') {
            if script.servers.is_empty() {
                script.why.push_str(comment);
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        if let Some(config) = line.strip_prefix('|') {
            script.config.push_str(config.trim_start());
            script.config.push('\n');
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["servers", names @ ..] = words.as_slice() {
            script.servers = names.iter().map(|name| (*name).to_owned()).collect();
            continue;
        }
        if script.suite.read(&words) {
            continue;
        }
        let step = step(&words).ok_or_else(|| format!("line {number}: not understood: {line}"))?;
        script.steps.push((number, step));
    }
    if script.servers.is_empty() || script.steps.is_empty() {
        return Err("a scenario needs servers and steps".into());
    }
    Ok(script)
}

impl Suite {
    /// Reads a line, if it is one of these.
    fn read(&mut self, words: &[&str]) -> bool {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match words {
            ["category", category] => self.category = (*category).to_owned(),
            ["speak", speaks @ ..] => self.speaks = owned(speaks),
            ["name", name, servers @ ..] => self.name = Some(((*name).to_owned(), owned(servers))),
            ["tells", codes @ ..] => self.tells = owned(codes),
            ["without", proxy, why @ ..] => {
                self.without.push(((*proxy).to_owned(), why.join(" ")));
            }
            _ => return false,
        }
        true
    }
}

fn step(words: &[&str]) -> Option<Step> {
    let owned = |word: &&str| (*word).to_owned();
    Some(match words {
        ["load", name, methods, path, options @ ..] => Step::Load {
            name: owned(name),
            methods: methods.split(',').map(|method| method.parse().ok()).collect::<Option<_>>()?,
            path: owned(path),
            options: options
                .iter()
                .map(|option| option.split_once('=').map(|(key, value)| (key.into(), value.into())))
                .collect::<Option<_>>()?,
        },
        ["after", name, results] => {
            Step::After { name: owned(name), results: results.parse().ok()? }
        }
        ["join", name] => Step::Join { name: owned(name) },
        ["at", at, "fault", server, text @ ..] if !text.is_empty() => {
            let Value::Time(at) = value_of(at)? else { return None };
            Step::At { at, server: owned(server), text: text.join(" ") }
        }
        ["fault", server, text @ ..] if !text.is_empty() => {
            Step::Fault { server: owned(server), text: text.join(" ") }
        }
        ["until", "endpoint", endpoint, what, within @ ..] => {
            let (field, value) = what.split_once('=')?;
            let within = match within {
                [] => None,
                ["within", time] => match value_of(time)? {
                    Value::Time(time) => Some(time),
                    Value::Percent(_) | Value::Count(_) => return None,
                },
                _ => return None,
            };
            Step::Until {
                endpoint: owned(endpoint),
                field: field.into(),
                value: value.into(),
                within,
            }
        }
        ["until", of @ .., operator, value] if !of.is_empty() => Step::UntilCount {
            of: of.iter().map(owned).collect(),
            operator: operator_of(operator)?,
            value: value_of(value)?,
        },
        ["expect", of @ .., operator, value] if !of.is_empty() => Step::Expect {
            of: of.iter().map(owned).collect(),
            operator: operator_of(operator)?,
            value: value_of(value)?,
        },
        _ => return None,
    })
}

fn operator_of(word: &str) -> Option<Operator> {
    match word {
        "=" => Some(Operator::Equal),
        "<=" => Some(Operator::AtMost),
        ">=" => Some(Operator::AtLeast),
        _ => None,
    }
}

pub(crate) fn value_of(word: &str) -> Option<Value> {
    if let Some(share) = word.strip_suffix('%') {
        return share.parse().ok().map(Value::Percent);
    }
    if let Some(millis) = word.strip_suffix("ms") {
        return millis.parse().ok().map(|millis| Value::Time(Duration::from_millis(millis)));
    }
    if let Some(seconds) = word.strip_suffix('s') {
        return seconds.parse().ok().map(|seconds| Value::Time(Duration::from_secs(seconds)));
    }
    word.parse().ok().map(Value::Count)
}
