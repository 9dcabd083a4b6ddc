//! One generation of settings, and what runs by them. A reload makes the next one and swaps.

use std::fmt;
use std::sync::Arc;

use mainstay::pool::TargetError;
use mainstay::{Client, Service};
use mainstay_config::Settings;
use mainstay_record::Recorder;

/// Settings with the services that run by them.
#[derive(Debug)]
pub(crate) struct Generation {
    /// Counts up from 1.
    pub(crate) number: u64,
    pub(crate) settings: Settings,
    /// In the order of the settings' upstreams.
    pub(crate) services: Vec<Arc<Service>>,
    pub(crate) client: Client,
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
    /// Each upstream that can't be run.
    pub(crate) fn new(
        settings: Settings,
        recorder: &Arc<Recorder>,
        previous: Option<&Self>,
    ) -> Result<Self, Vec<UpstreamError>> {
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
            return Err(errors);
        }
        let client = match previous {
            // The same account: bodies that are kept now count on.
            Some(previous) if previous.replay_bytes() == settings.limits.replay_bytes_total => {
                previous.client.clone()
            }
            _ => {
                Client::new(settings.limits.replay_bytes_total).on_runtimes_that_keep_their_thread()
            }
        };
        let number = previous.map_or(1, |previous| previous.number + 1);
        Ok(Self { number, settings, services, client })
    }

    /// The service of an upstream.
    pub(crate) fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.iter().find(|service| &**service.name() == name)
    }

    const fn replay_bytes(&self) -> usize {
        self.settings.limits.replay_bytes_total
    }
}
