//! A service: one generation of an upstream, with everything that is needed to call it.

mod lineup;
mod news;
mod said;
mod snapshot;
mod spares;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use mainstay_config::settings::{
    Endpoint, HostRewrite, Probe, TraceField, Upstream as UpstreamConfig,
};
use mainstay_core::{BreakKind, CallPolicy, Checked, EndpointId, Upstream};
use mainstay_record::{Recorder, UpstreamRecorder};

use crate::Clock;
use crate::chance::with_chance;
use crate::degrade::Degrade;
use crate::pool::{Target, TargetError};
use lineup::Lineup;
use said::LastSaid;

/// One generation of an upstream: the engine's state, a target for each endpoint, and the recorder's part.
#[derive(Debug)]
pub struct Service {
    name: Arc<str>,
    settings: UpstreamConfig,
    upstream: Arc<Upstream>,
    places: Box<[Place]>,
    recorder: Arc<UpstreamRecorder>,
    lineup: Arc<Lineup>,
}

/// An endpoint, ready to be asked.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) target: Arc<Target>,
    /// What its `Host` field says, unless a route says otherwise.
    pub(crate) host: HeaderValue,
    /// What is put before each path; empty for nothing.
    pub(crate) base_path: Box<str>,
    /// What the last check said, if it failed.
    said: LastSaid,
}

/// What a route wants of its calls.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The route's name.
    pub route: Arc<str>,
    /// Where its calls go.
    pub service: Arc<Service>,
    /// How they are treated.
    pub policy: Arc<Checked<CallPolicy>>,
    /// Bytes of a request's body that are kept for replay in memory.
    pub replay_bytes: usize,
    /// Bytes beyond them that are kept in an encrypted file.
    pub spill_bytes: u64,
    /// Bytes that a request's body may have.
    pub body_bytes: Option<u64>,
    /// How long a body, either way, may make no progress.
    pub body_idle_timeout: Duration,
    /// The `Host` that the upstream sees.
    pub host: HostRewrite,
    /// Path prefix taken off before the endpoint's base path is put in front.
    pub strip_prefix: Option<String>,
    /// Fields that carry an idempotency key, in lower case.
    pub idempotency_headers: Vec<HeaderName>,
    /// The field that consistent hashing goes by.
    pub hash_header: Option<HeaderName>,
    /// The fields by which caller and upstream tell each other about the call.
    pub fields: Fields,
    /// What the application gets in place of an answer that doesn't come.
    pub degrade: Degrade,
}

/// Header fields that say how a call is to be treated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// How much time there is left: the caller's is heeded, and what is left of it travels on. Beside `grpc-timeout`,
    /// which gRPC calls have in any case.
    pub deadline: Option<HeaderName>,
    /// Before whom the call goes where it has to wait for room: 0 to 3.
    pub priority: Option<HeaderName>,
    /// Whose share of the rate limits it takes.
    pub lane: Option<HeaderName>,
    /// What a first attempt says of itself ([`Fields::first_attempt`]), if each is to say which it is and of how many, so that
    /// layers of retries don't multiply.
    pub attempt: Option<HeaderValue>,
    /// What each attempt says of its trace, where calls are traced.
    pub trace: TraceField,
}

impl Service {
    /// A service by `settings`. With a `previous` generation, the state of endpoints that remain is kept, and their
    /// connections too where the connection settings are the same.
    ///
    /// # Errors
    ///
    /// [`TargetError`] when a certificate or key can't be read.
    pub fn new(
        settings: &UpstreamConfig,
        recorder: &Arc<Recorder>,
        previous: Option<&Self>,
    ) -> Result<Arc<Self>, TargetError> {
        let now = Clock::now();
        let policy = settings.policy.clone();
        let upstream = with_chance(|chance| match previous {
            Some(previous) => previous.upstream.renewed(policy, now, chance),
            None => Upstream::new(policy, now, chance),
        });
        let places = settings
            .endpoints
            .iter()
            .map(|endpoint| Place::new(endpoint, settings, previous))
            .collect::<Result<_, _>>()?;
        let names: Vec<&str> =
            settings.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
        let addresses: Vec<(&str, u16)> = settings
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.host.as_str(), endpoint.port))
            .collect();
        let line = || settings.policy.load.line.clone();
        let lineup = match previous {
            Some(previous) => {
                previous.lineup.renew(line());
                Arc::clone(&previous.lineup)
            }
            None => Lineup::new(line()),
        };
        Ok(Arc::new(Self {
            lineup,
            name: settings.name.as_str().into(),
            recorder: recorder.upstream_at(&settings.name, &names, &addresses),
            settings: settings.clone(),
            upstream,
            places,
        }))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The engine's state.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// The endpoints' targets, in the order of their ids.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = &Arc<Target>> {
        self.places.iter().map(|place| &place.target)
    }

    /// The recorder's part.
    #[must_use]
    pub fn recorder(&self) -> &Arc<UpstreamRecorder> {
        &self.recorder
    }

    /// The settings of this generation.
    #[must_use]
    pub fn settings(&self) -> &UpstreamConfig {
        &self.settings
    }

    /// Who waits for room.
    pub(crate) fn lineup(&self) -> &Arc<Lineup> {
        &self.lineup
    }

    pub(crate) fn place(&self, endpoint: EndpointId) -> Option<&Place> {
        self.places.get(usize::from(endpoint.0))
    }

    /// What the error said with which the last check of an endpoint failed, if it was of this kind.
    #[must_use]
    pub fn check_details(&self, endpoint: EndpointId, kind: BreakKind) -> Option<Arc<str>> {
        self.place(endpoint)?.said.of(kind)
    }

    fn probe(&self) -> Option<&Probe> {
        self.settings.probe.as_ref()
    }

    /// The target of an endpoint that is the same in these settings: its kept connections may be used on.
    fn same_target(&self, endpoint: &Endpoint, settings: &UpstreamConfig) -> Option<Arc<Target>> {
        let place = self.settings.endpoints.iter().position(|mine| mine == endpoint)?;
        (self.settings.connect == settings.connect).then(|| Arc::clone(&self.places[place].target))
    }
}

impl Place {
    fn new(
        endpoint: &Endpoint,
        settings: &UpstreamConfig,
        previous: Option<&Service>,
    ) -> Result<Self, TargetError> {
        let kept = previous.and_then(|previous| previous.same_target(endpoint, settings));
        let target = match kept {
            Some(target) => target,
            None => Target::new(endpoint, &settings.connect)?,
        };
        // The host was checked with the settings; an authority that is no field value can't come from there.
        let host = HeaderValue::try_from(endpoint.authority())
            .unwrap_or(HeaderValue::from_static("invalid"));
        Ok(Self {
            target,
            host,
            base_path: endpoint.base_path.as_str().into(),
            said: LastSaid::default(),
        })
    }
}
