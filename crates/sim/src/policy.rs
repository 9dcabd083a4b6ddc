//! The policy that is tried: a user's own file, as `mainstay run` would read it, with the world's endpoints put in.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_config::Errors;
use mainstay_config::settings::{ConnectSettings, Probe, Route, Settings};
use mainstay_core::upstream::EndpointSettings;
use mainstay_core::{CallPolicy, Checked, Problem, UpstreamSettings};

use crate::world::World;

/// Everything that decides, for one upstream.
#[derive(Clone, Debug)]
pub struct Policy {
    /// What it is called in results.
    pub name: String,
    /// What is decided for all calls alike.
    pub upstream: Checked<UpstreamSettings>,
    /// The policy of reads (GET).
    pub reads: Arc<Checked<CallPolicy>>,
    /// The policy of writes (POST).
    pub writes: Arc<Checked<CallPolicy>>,
    /// What active checks ask.
    pub probe: Option<Probe>,
    /// How connections are made and kept.
    pub connect: ConnectSettings,
    /// How long a body may make no progress.
    pub body_idle_timeout: Duration,
}

/// Why there is no policy.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file is wrong.
    Settings(Errors),
    /// No upstream has this name; there are these.
    NoUpstream(String, Vec<String>),
    /// No route leads to this upstream.
    NoRoute(String),
    /// With the world's endpoints, rules don't hold.
    Rules(Vec<Problem>),
}

impl Policy {
    /// Mainstay's defaults for this world.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Rules`], when the world's endpoints break one.
    pub fn defaults(world: &World) -> Result<Self, PolicyError> {
        Self::parse(
            "defaults",
            "[upstream.world]\nendpoints = [\"https://world.example\"]\n",
            world,
        )
    }

    /// Reads a policy from the text of a config; its first upstream counts.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with it.
    pub fn parse(name: &str, text: &str, world: &World) -> Result<Self, PolicyError> {
        let loaded = mainstay_config::parse(text, name).map_err(PolicyError::Settings)?;
        Self::of(name, &loaded.settings, None, world)
    }

    /// The policy of an upstream of these settings; of the first, if none is named.
    ///
    /// Endpoints are the world's. One that the settings know by the same name has its tier and weight from there.
    ///
    /// # Errors
    ///
    /// There is no such upstream, no route leads to it, or the world's endpoints break a rule.
    pub fn of(
        name: &str,
        settings: &Settings,
        upstream: Option<&str>,
        world: &World,
    ) -> Result<Self, PolicyError> {
        let place = match upstream {
            None => 0,
            Some(name) => {
                settings.upstreams.iter().position(|it| it.name == name).ok_or_else(|| {
                    let known = settings.upstreams.iter().map(|it| it.name.clone()).collect();
                    PolicyError::NoUpstream(name.to_owned(), known)
                })?
            }
        };
        let Some(upstream) = settings.upstreams.get(place) else {
            return Err(PolicyError::NoUpstream(String::new(), Vec::new()));
        };
        let route = |method: &str| {
            let mut routes = settings.routes.iter().filter(|route| route.upstream == place);
            let first = routes.clone().next();
            routes.find(|route| takes(route, method)).or(first)
        };
        let (Some(reads), Some(writes)) = (route("GET"), route("POST")) else {
            return Err(PolicyError::NoRoute(upstream.name.clone()));
        };
        let mut rules = upstream.policy.clone().into_inner();
        rules.endpoints = world
            .endpoints
            .iter()
            .map(|endpoint| {
                let known = rules.endpoints.iter().find(|known| known.name == endpoint.name);
                EndpointSettings {
                    name: endpoint.name.clone(),
                    tier: known.map_or(endpoint.tier, |known| known.tier),
                    weight: known.map_or(endpoint.weight, |known| known.weight),
                }
            })
            .collect();
        Ok(Self {
            name: name.to_owned(),
            upstream: Checked::new(rules).map_err(PolicyError::Rules)?,
            reads: Arc::clone(&reads.policy),
            writes: Arc::clone(&writes.policy),
            probe: upstream.probe.clone(),
            connect: upstream.connect.clone(),
            body_idle_timeout: reads.body_idle_timeout,
        })
    }

    /// The policy of a call.
    #[must_use]
    pub fn of_call(&self, is_write: bool) -> &Arc<Checked<CallPolicy>> {
        if is_write { &self.writes } else { &self.reads }
    }
}

fn takes(route: &Route, method: &str) -> bool {
    let methods = &route.matcher.methods;
    methods.is_empty() || methods.iter().any(|it| it == method)
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(errors) => errors.fmt(f),
            Self::NoUpstream(name, known) => {
                write!(f, "there is no upstream `{name}`; there are {}", known.join(", "))
            }
            Self::NoRoute(name) => write!(f, "no route leads to upstream `{name}`"),
            Self::Rules(problems) => {
                let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
                write!(f, "{}", lines.join("; "))
            }
        }
    }
}

impl std::error::Error for PolicyError {}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLD: &str = "[world]\nduration = \"1s\"\n[load]\narrivals = \"constant\"\nrate = 1\n[[endpoint]]\nname = \"a\"\ntier = 1\n[[endpoint]]\nname = \"b\"\n";

    #[test]
    fn the_policy_is_the_files_and_the_endpoints_are_the_worlds() {
        let world = World::parse(WORLD, None).unwrap();
        let text = "[upstream.x]\nattempt_timeout = \"700ms\"\nendpoints = [{ url = \"https://x.example\", name = \"b\", tier = 2 }]\n";
        let policy = Policy::parse("mine", text, &world).unwrap();
        let tiers: Vec<_> =
            policy.upstream.endpoints.iter().map(|it| (it.name.as_str(), it.tier)).collect();
        assert_eq!(tiers, [("a", 1), ("b", 2)]);
        assert_eq!(policy.reads.attempt_timeout, Duration::from_millis(700));
    }

    #[test]
    fn an_upstream_that_is_not_there_is_named_with_those_that_are() {
        let world = World::parse(WORLD, None).unwrap();
        let loaded = mainstay_config::parse(mainstay_config::example(), "x").unwrap();
        let error = Policy::of("x", &loaded.settings, Some("payments"), &world).unwrap_err();
        assert_eq!(error.to_string(), "there is no upstream `payments`; there are orders");
    }
}
