//! One generation of settings, and what runs by them. A reload makes the next one and swaps.

use std::fmt;
use std::sync::Arc;

use mainstay::degrade::{Fallback, FallbackError, Kept};
use mainstay::pool::TargetError;
use mainstay::{Client, Degrade, Service};
use mainstay_config::Settings;
use mainstay_config::settings::{Limits, Traces};
use mainstay_outbox::{Secrets, SecretsError};
use mainstay_record::{Recorder, Sampling};

use crate::OutboxError;
use crate::error::StartError;

/// Settings with the services that run by them.
#[derive(Debug)]
pub(crate) struct Generation {
    /// Counts up from 1.
    pub(crate) number: u64,
    pub(crate) settings: Settings,
    /// In the order of the settings' upstreams.
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) client: Client,
    /// In the order of the settings' routes.
    pub(crate) degrade: Vec<Degrade>,
    /// What callbacks are signed with, where there are some.
    pub(crate) secrets: Option<Arc<Secrets>>,
}

/// A route whose fixed answer can't be made ready.
#[derive(Debug)]
pub struct RouteError {
    /// Which.
    pub route: String,
    /// Why.
    pub source: FallbackError,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't use the settings of route {:?}: {}", self.route, self.source)
    }
}

impl std::error::Error for RouteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

/// An upstream that can't be run by its settings.
#[derive(Debug)]
pub struct UpstreamError {
    /// Which.
    pub upstream: String,
    /// Why.
    pub source: TargetError,
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't use the settings of upstream {:?}", self.upstream)
    }
}

impl std::error::Error for UpstreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl Generation {
    /// The generation by `settings`. Upstreams that remain by name keep their state and their connections.
    ///
    /// # Errors
    ///
    /// Each upstream that can't be run, the first route whose fixed answer can't be read, or secrets of callbacks that can't.
    pub(crate) fn new(
        settings: Settings,
        recorder: &Arc<Recorder>,
        previous: Option<&Self>,
    ) -> Result<Self, StartError> {
        let (mut services, mut errors) = (Vec::new(), Vec::new());
        for upstream in &settings.upstreams {
            let before = previous.and_then(|previous| previous.service(&upstream.name));
            match Service::new(upstream, recorder, before.map(Arc::as_ref)) {
                Ok(service) => services.push(service),
                Err(source) => {
                    errors.push(UpstreamError { upstream: upstream.name.clone(), source })
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors.into());
        }
        let client = client(&settings.limits, previous).tracing(sampling(&settings.traces));
        // No error: the disk may be full just now, and calls do without.
        if settings.routes.iter().any(|route| route.spill.is_some())
            && let Err(error) = client.try_disk()
        {
            tracing::warn!(%error, "large requests can't be kept in `limits.spill_dir` to be sent again");
        }
        let kept = kept(&settings, previous);
        let degrade = settings
            .routes
            .iter()
            .map(|route| {
                let fallback = route.fallback.as_ref().map(Fallback::new).transpose();
                let fallback =
                    fallback.map_err(|source| RouteError { route: route.name.clone(), source })?;
                Ok(Degrade {
                    kept: kept.clone(),
                    stale: route.stale.clone(),
                    fallback: fallback.map(Arc::new),
                })
            })
            .collect::<Result<_, RouteError>>()?;
        // Read anew each time, so that they can be changed by a reload.
        let secrets = secrets(&settings).map_err(OutboxError::Secrets)?.map(Arc::new);
        let number = previous.map_or(1, |previous| previous.number + 1);
        Ok(Self { number, settings, services, client, degrade, secrets })
    }

    /// The service of an upstream.
    pub(crate) fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.iter().find(|service| &**service.name() == name)
    }
}

/// The client by `limits`. A reload that leaves alone what they say about kept bodies keeps the account of them, so that
/// those of calls under way count on.
fn client(limits: &Limits, previous: Option<&Generation>) -> Client {
    let room = |limits: &Limits| {
        let Limits { replay_bytes_total, hold_bytes_total, spill_bytes_total, .. } = *limits;
        let rings = (limits.rings, limits.ring_bytes_total);
        (replay_bytes_total, hold_bytes_total, spill_bytes_total, limits.spill_dir.clone(), rings)
    };
    let same = previous.filter(|previous| room(&previous.settings.limits) == room(limits));
    same.map_or_else(
        || {
            let (memory_bytes, hold_bytes, disk_bytes, dir, (rings, ring_bytes)) = room(limits);
            Client::new(memory_bytes)
                .holding(hold_bytes)
                .keeping_streams(rings, ring_bytes)
                .with_disk(dir.unwrap_or_else(std::env::temp_dir), disk_bytes)
                .on_runtimes_that_keep_their_thread()
        },
        |previous| previous.client.clone(),
    )
}

/// Which calls are kept as spans before anything is known of them; nothing where none are.
fn sampling(settings: &Traces) -> Option<Sampling> {
    settings.collector.endpoint.as_ref()?;
    Some(Sampling { ratio: settings.ratio, parent: settings.parent })
}

/// What callbacks are signed with, if there are some.
fn secrets(settings: &Settings) -> Result<Option<Secrets>, SecretsError> {
    let outbox = &settings.outbox;
    match (&outbox.callback_secrets_file, &outbox.callback_secrets_env) {
        _ if settings.callbacks.is_empty() => Ok(None),
        (Some(file), _) => Secrets::read(file).map(Some),
        (None, Some(name)) => Secrets::of_env(name).map(Some),
        (None, None) => Ok(None),
    }
}

/// The answers that are kept, if any route keeps some. A reload keeps them, unless their bound is another.
fn kept(settings: &Settings, previous: Option<&Generation>) -> Option<Arc<Kept>> {
    settings.routes.iter().find(|route| route.stale.is_some())?;
    let bytes = settings.limits.stale_bytes_total;
    let before = previous.and_then(|previous| previous.degrade.first()?.kept.as_ref());
    let before = before.filter(|kept| kept.bytes_total() == bytes);
    Some(before.map_or_else(|| Kept::new(bytes), Arc::clone))
}
