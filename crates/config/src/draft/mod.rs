//! Settings in the making: what the layers (defaults, profile, upstream, route) are laid over each other in.
//!
//! A draft is shaped like the file; the engine's own settings are part of it wherever they have that shape. It becomes
//! checked settings when all layers are on it, and it can be made from them again, to be printed.

mod call;
mod events;
mod heal;
mod health;
mod load;
mod upstream;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use call::{
    BackoffDraft, CallDraft, GrowthWord, ResumableDraft, RetryDraft, UploadWord,
};
pub(crate) use events::{EndWord, EventsDraft};
pub(crate) use heal::HealDraft;
pub(crate) use health::{HealthDraft, ProbeWord};
pub(crate) use load::{KeyRateDraft, LimitDraft, LimitWord, RateDraft};
pub(crate) use upstream::{EndpointDraft, TlsDraft, UpstreamDraft};

use crate::settings::{
    AccessLog, Incidents, Limits, LogFormat, Metrics, Outbox, Records, Route, Traces,
};

/// The file itself.
#[derive(Clone, Debug)]
pub(crate) struct TopDraft {
    pub(crate) listen: Vec<String>,
    pub(crate) drain_timeout: Duration,
    pub(crate) threads: Option<usize>,
    pub(crate) log_calls: bool,
    pub(crate) log_format: LogFormat,
    pub(crate) access_log: AccessLog,
    pub(crate) limits: Limits,
    pub(crate) records: Records,
    pub(crate) outbox: Outbox,
    pub(crate) incidents: Incidents,
    pub(crate) traces: Traces,
    pub(crate) metrics: Metrics,
}

impl Default for TopDraft {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            drain_timeout: Duration::from_secs(30),
            threads: None,
            log_calls: false,
            log_format: LogFormat::default(),
            access_log: AccessLog::default(),
            limits: Limits::default(),
            records: Records::default(),
            outbox: Outbox::default(),
            incidents: Incidents::default(),
            traces: Traces::default(),
            metrics: Metrics::default(),
        }
    }
}

/// `[admin]`
#[derive(Clone, Debug)]
pub(crate) struct AdminDraft {
    pub(crate) address: String,
    pub(crate) token: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) token_env: Option<String>,
}

impl Default for AdminDraft {
    fn default() -> Self {
        Self { address: ADMIN_ADDRESS.into(), token: None, token_file: None, token_env: None }
    }
}

/// `[[listener]]`
#[derive(Clone, Debug, Default)]
pub(crate) struct ListenerDraft {
    pub(crate) address: String,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

/// `[[route]]`
#[derive(Clone, Debug)]
pub(crate) struct RouteDraft {
    pub(crate) name: Option<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) path: Option<String>,
    pub(crate) methods: Vec<String>,
    pub(crate) breaker: ScopeWord,
    pub(crate) strip_prefix: Option<String>,
    pub(crate) call: CallDraft,
}

impl RouteDraft {
    /// The draft that `route` could have been made from.
    pub(crate) fn of(route: &Route) -> Self {
        let is_scoped = route.policy.scope != Default::default();
        Self {
            name: Some(route.name.clone()),
            hosts: route.matcher.hosts.clone(),
            path: route.matcher.path.as_ref().map(crate::print::path),
            methods: route.matcher.methods.clone(),
            breaker: if is_scoped { ScopeWord::Route } else { ScopeWord::Endpoint },
            strip_prefix: route.strip_prefix.clone(),
            call: CallDraft::of(route),
        }
    }

    /// A route that matches everything.
    pub(crate) fn new(call: CallDraft) -> Self {
        Self {
            name: None,
            hosts: Vec::new(),
            path: None,
            methods: Vec::new(),
            breaker: ScopeWord::Endpoint,
            strip_prefix: None,
            call,
        }
    }
}

/// Whose breaker judges the calls of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeWord {
    Endpoint,
    Route,
}

/// Where applications connect when nothing else is said.
pub(crate) const LISTEN_ADDRESS: &str = "127.0.0.1:8080";

/// Where the admin API is when nothing else is said.
pub(crate) const ADMIN_ADDRESS: &str = "127.0.0.1:9900";
