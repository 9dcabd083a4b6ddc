//! A scenario as the simulator takes it: its servers, its faults and its calls, on a clock of its own.
//!
//! A scenario has no times, it has an order: a line waits for what it says. Here loads begin where the script is, and a fault holds
//! until the next one at the same server. A `join`, and an `until` of an endpoint, go on shortly after the last call that is due
//! before them; an `until` of breaks when a run of the plan so far has come to so many.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use http::Method;
use mainstay_lab::{Fault, Rule};
use mainstay_sim::world::Recorded;
use mainstay_sim::{Policy, World};

use super::simulated;
use crate::script::{Operator, Script, Step, Value};
use crate::stage::{config_text, text};

/// A scenario in numbers.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Its servers and faults. Its calls are put in by [`super::pace`].
    pub(crate) world: World,
    pub(crate) policy: Policy,
    /// In the order in which they are due.
    pub(crate) calls: Vec<Planned>,
    /// The servers that something is the matter with.
    pub(crate) named: BTreeSet<String>,
}

/// A call of a load.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) load: String,
    /// When the load begins.
    pub(crate) begins: Duration,
    pub(crate) call: Recorded,
}

/// A fault of the script, with its times in milliseconds.
struct Span {
    server: String,
    words: String,
    at: Duration,
    until: Option<Duration>,
}

impl Plan {
    /// The plan of a script.
    ///
    /// # Errors
    ///
    /// What of it the simulator can't express.
    pub(crate) fn of(script: &Script) -> Result<Self, String> {
        let mut clock = Clock::default();
        for (line, step) in &script.steps {
            clock.step(step, script).map_err(|why| format!("line {line}: {why}"))?;
        }
        clock.plan(script)
    }
}

/// Whether a fault hits all servers alike, so that none of them stands out.
fn hits_all(span: &Span, spans: &[Span], script: &Script) -> bool {
    let same = spans.iter().filter(|other| other.words == span.words && other.at == span.at);
    same.count() == script.servers.len()
}

/// Where the script is.
#[derive(Default)]
struct Clock {
    now: Duration,
    calls: Vec<Planned>,
    spans: Vec<Span>,
}

impl Clock {
    fn step(&mut self, step: &Step, script: &Script) -> Result<(), String> {
        match step {
            Step::Load { name, methods, options, .. } => self.load(name, methods, options),
            Step::After { name, results } => {
                let calls = self.calls.iter().filter(|planned| planned.load == *name);
                let last = calls.map(|planned| planned.call.at).nth(results.saturating_sub(1));
                self.now = self.now.max(last.ok_or("no such call")? + BETWEEN);
                Ok(())
            }
            Step::UntilCount { of, operator: Operator::AtLeast, value: Value::Count(count) } => {
                let code = match of.as_slice() {
                    [what, code] if what == "break" => code,
                    _ => return Err(format!("a plan can't wait for {}", of.join(" "))),
                };
                let so_far = self.plan(script)?;
                let reached = simulated::reaches(&so_far, code, *count as usize)?;
                self.now = self.now.max(reached + BETWEEN);
                Ok(())
            }
            Step::UntilCount { .. } => Err("a plan can wait for so many breaks only".to_owned()),
            Step::Join { .. } | Step::Until { .. } => {
                let last = self.calls.iter().map(|planned| planned.call.at).max();
                self.now = self.now.max(last.unwrap_or_default() + BETWEEN);
                Ok(())
            }
            Step::Fault { server, text: words } => {
                let rule: Rule = words.parse().map_err(text)?;
                let servers = script.servers.iter().filter(|name| *name == server || server == "*");
                for name in servers.cloned().collect::<Vec<_>>() {
                    self.fault(name, words, &rule);
                }
                Ok(())
            }
            Step::At { .. } => Err("a plan goes by what happened, not by the clock".to_owned()),
            Step::Expect { .. } => Ok(()),
        }
    }

    /// The plan of what was read until now.
    fn plan(&self, script: &Script) -> Result<Plan, String> {
        let Self { spans, .. } = self;
        let mut calls = self.calls.clone();
        calls.sort_by_key(|planned| planned.call.at);
        let last = calls.last().map_or(Duration::ZERO, |planned| planned.call.at);
        let world = World::parse(&world_text(script, spans, last + AFTER), None).map_err(text)?;
        let nowhere = script.servers.iter().map(|name| (name, "127.0.0.1:1"));
        let config = config_text(script, nowhere);
        let policy = Policy::parse("scenario", &config, &world).map_err(text)?;
        let named = spans.iter().filter(|span| !hits_all(span, spans, script));
        let named = named.map(|span| span.server.clone()).collect();
        Ok(Plan { world, policy, calls, named })
    }

    fn fault(&mut self, server: String, words: &str, rule: &Rule) {
        let before = self.spans.iter_mut().filter(|span| span.server == server);
        before.for_each(|span| span.until = span.until.or(Some(self.now)));
        if rule.fault != Fault::Healthy {
            self.spans.push(Span { server, words: words.to_owned(), at: self.now, until: None });
        }
    }

    fn load(
        &mut self,
        name: &str,
        methods: &[Method],
        options: &[(String, String)],
    ) -> Result<(), String> {
        let option = |key: &str| options.iter().find(|(name, _)| name == key).map(|(_, it)| it);
        let count: u32 = option("count").map_or(Ok(1), |it| it.parse()).map_err(text)?;
        let rate: f64 = option("rate").map_or(Ok(100.0), |it| it.parse()).map_err(text)?;
        let has_key = option("header").is_some_and(|it| it.starts_with("idempotency-key:"));
        for (number, method) in (0..count).zip(methods.iter().cycle()) {
            let is_write = match *method {
                Method::GET => false,
                Method::POST => true,
                _ => return Err(format!("a world has GET and POST, no {method}")),
            };
            let at = self.now + Duration::from_secs_f64(f64::from(number) / rate);
            let call = Recorded { at, is_write, has_key: Some(has_key) };
            self.calls.push(Planned { load: name.to_owned(), begins: self.now, call });
        }
        Ok(())
    }
}

fn world_text(script: &Script, spans: &[Span], duration: Duration) -> String {
    let mut world = format!(
        "[world]\nduration = \"{}ms\"\n[load]\narrivals = \"constant\"\nrate = 1\n",
        duration.as_millis()
    );
    let h2 = script.config.contains("http2 = \"always\"");
    for name in &script.servers {
        _ = write!(world, "[[endpoint]]\nname = \"{name}\"\ntls = false\nh2 = {h2}\n");
    }
    for Span { server, words, at, until } in spans {
        let words = words.replace('"', "'");
        let at = at.as_millis();
        _ = write!(
            world,
            "[[fault]]\nendpoint = \"{server}\"\nwhat = \"{words}\"\nat = \"{at}ms\"\n"
        );
        if let Some(until) = until {
            _ = writeln!(world, "for = \"{}ms\"", until.as_millis() - at);
        }
    }
    world
}

/// From the last call of a load to the next line: more than an answer takes that nothing is the matter with.
const BETWEEN: Duration = Duration::from_millis(50);

/// From the last call of all to the end.
const AFTER: Duration = Duration::from_millis(100);
