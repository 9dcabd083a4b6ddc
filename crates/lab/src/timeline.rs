//! What happens when: one line a step, `TIME SERVER FAULT`, in the order of time.
//!
//! ```text
//! 0s   a  healthy
//! 5s   b  reset-before ratio=0.5    # half of the requests
//! 10s  *  refuse                    # or just: 10s outage
//! 15s  *  healthy
//! ```

use std::str::FromStr;
use std::time::Duration;

use crate::fault::{Rule, parse_duration};
use crate::problem::{Invalid, Problem};

/// The steps of a script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timeline {
    steps: Vec<Step>,
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When, counted from the start of the timeline.
    pub at: Duration,
    /// The server; none: all of them.
    pub server: Option<String>,
    /// What it does from then on.
    pub rule: Rule,
    /// Where it stands, counted from 1.
    pub line: usize,
}

impl Timeline {
    /// The steps, in the order of time.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Reads a text whose first line is line `first_line` of the file it comes from.
    pub(crate) fn parse(text: &str, first_line: usize, problems: &mut Vec<Problem>) -> Self {
        let mut steps: Vec<Step> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let number = first_line + index;
            let words = line.split('#').next().unwrap_or_default().trim();
            if words.is_empty() {
                continue;
            }
            let before = problems.len();
            let step = step(words, number, problems);
            if problems.len() > before {
                continue;
            }
            if let Some(last) = steps.last().filter(|last| last.at > step.at) {
                let allowed =
                    format!("a time not before that of line {}, {:?}", last.line, last.at);
                problems.push(
                    Problem::new("the time", format!("{:?}", step.at), allowed).on_line(number),
                );
            }
            if steps.len() == STEPS_LIMIT {
                let allowed = format!("at most {STEPS_LIMIT} steps");
                problems.push(Problem::new("the timeline", "longer", allowed).on_line(number));
                break;
            }
            steps.push(step);
        }
        Self { steps }
    }

    /// Names the steps whose server isn't among these, nor a name of the DNS server; and those whose fault is for the
    /// other kind.
    pub(crate) fn check_names(&self, servers: &[&str], dns: &[&str], problems: &mut Vec<Problem>) {
        for step in &self.steps {
            let mut wrong = |place: &str, value: &str, allowed: &str| {
                problems.push(Problem::new(place, value, allowed).on_line(step.line));
            };
            let name = step.server.as_deref().unwrap_or("*");
            let is_dns = dns.contains(&name);
            if step.server.is_some() && !is_dns && !servers.contains(&name) {
                let known: Vec<_> = [&["*"], servers, dns].concat();
                wrong("the server", name, &known.join(", "));
            } else if !step.rule.fits(is_dns) {
                let allowed = if is_dns { "healthy or dns-…" } else { "a fault of servers" };
                wrong("the fault", step.rule.fault.word(), allowed);
            }
        }
    }
}

impl FromStr for Timeline {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut problems = Vec::new();
        let timeline = Self::parse(text, 1, &mut problems);
        Invalid::check(problems)?;
        Ok(timeline)
    }
}

fn step(words: &str, line: usize, problems: &mut Vec<Problem>) -> Step {
    let (time, rest) = split_word(words);
    let (server, fault) = match split_word(rest) {
        // An outage is of all servers, so its line needs none.
        ("outage", "") => ("*", "outage"),
        split => split,
    };
    let has_unit = time == "0" || time.ends_with(|c: char| c.is_ascii_lowercase());
    let at = parse_duration(time).filter(|_| has_unit);
    if at.is_none() {
        problems.push(
            Problem::new("the time", time, "a time with its unit, up to 24h, such as 10s")
                .on_line(line),
        );
    }
    if split_word(fault).0 == "outage" && server != "*" {
        problems.push(
            Problem::new("the server", server, "* with outage; refuse is for one server")
                .on_line(line),
        );
    }
    let rule = match fault.parse::<Rule>() {
        Ok(rule) => rule,
        Err(error) => {
            problems.extend(error.problems().iter().map(|problem| problem.clone().on_line(line)));
            crate::fault::Fault::Healthy.into()
        }
    };
    let server = (server != "*").then(|| server.to_owned());
    Step { at: at.unwrap_or_default(), server, rule, line }
}

fn split_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// More than a person writes; a text from elsewhere can't fill the memory.
const STEPS_LIMIT: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    #[test]
    fn lines_are_steps() {
        let timeline: Timeline =
            "# a script\n0s a healthy\n\n5s  b  reset-before ratio=0.5 # half\n10s outage\n"
                .parse()
                .unwrap();
        let [first, second, third] = timeline.steps() else { panic!("{timeline:?}") };
        assert_eq!((first.at, first.server.as_deref(), first.line), (Duration::ZERO, Some("a"), 2));
        assert_eq!(second.rule.to_string(), "reset-before ratio=0.5");
        assert_eq!((third.server.as_deref(), &third.rule.fault), (None, &Fault::Refuse));
    }

    #[test]
    fn every_wrong_line_is_named_with_its_number() {
        let error = "0s a healthy\nsoon b refuse\n3s c explode\n2 d hang at=1\n1s a outage\n0.5s a"
            .parse::<Timeline>();
        let text = error.unwrap_err().to_string();
        for part in [
            "line 2: the time is `soon`",
            "line 3: the fault is `explode`",
            "line 4: the time is `2`",
            "line 4: a parameter is `at=1`",
            "line 5: the server is `a`",
            "line 6: the fault is ``",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn time_does_not_run_backwards() {
        let error = "5s a healthy\n3s a refuse".parse::<Timeline>().unwrap_err();
        assert!(error.to_string().starts_with("line 2: the time is `3s`"), "{error}");
    }
}
