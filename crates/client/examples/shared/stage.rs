//! What the examples play on: servers of the lab, which break when they are told to.

#![allow(dead_code, unreachable_pub, reason = "each example uses a part of its own")]

use std::fmt::Write;

use mainstay::{Attempt, AttemptOutcome};
use mainstay_lab::{Lab, Rule, ServerSpec, Spec};

/// Whatever goes wrong in an example.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Servers on the loopback.
pub struct Stage {
    lab: Lab,
}

impl Stage {
    /// Healthy servers of these names.
    pub async fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, Failure> {
        Ok(Self { lab: Lab::start(Spec::of(names)).await? })
    }

    /// The same, speaking HTTP/2 as well.
    pub async fn with_http2<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, Failure> {
        let mut spec = Spec::of(names);
        spec.servers =
            spec.servers.into_iter().map(|server| ServerSpec { h2: true, ..server }).collect();
        Ok(Self { lab: Lab::start(spec).await? })
    }

    /// A server's URL, without a slash at the end.
    pub fn url(&self, name: &str) -> String {
        let url = self.lab.server(name).map(mainstay_lab::Server::url).unwrap_or_default();
        url.trim_end_matches('/').to_owned()
    }

    /// What a server does from now on.
    pub async fn set(&self, name: &str, rule: &str) -> Result<(), Failure> {
        Ok(self.lab.set(name, rule.parse::<Rule>()?).await?)
    }
}

/// Attempts, a line for each. Ports differ from run to run, so that endpoints are told by their place.
pub fn attempts(attempts: &[Attempt]) -> String {
    let mut lines = String::new();
    let mut known = Vec::new();
    for attempt in attempts {
        let place = known.iter().position(|known| *known == attempt.endpoint);
        let place = place.unwrap_or_else(|| {
            known.push(attempt.endpoint.clone());
            known.len() - 1
        });
        let outcome = match attempt.outcome {
            AttemptOutcome::Answered(Some(status)) => format!("answered with {status}"),
            AttemptOutcome::Answered(None) => "answered".to_owned(),
            AttemptOutcome::Broke(what) => {
                format!("{}, {}", what.kind.code(), what.certainty.code())
            }
            other => format!("{other:?}").to_lowercase(),
        };
        // A string takes everything.
        let _ = writeln!(
            lines,
            "  {} at endpoint {}: {:?}, {outcome}",
            attempt.number,
            place + 1,
            attempt.reason
        );
    }
    lines
}
