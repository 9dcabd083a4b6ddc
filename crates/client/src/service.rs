//! A service: one generation of an upstream, with everything that is needed to call it.

use std::sync::Arc;
use std::time::Duration;

use mainstay_config::settings::{HostRewrite, Upstream as UpstreamConfig};
use mainstay_core::{CallPolicy, Checked, Upstream};
use mainstay_record::{Recorder, UpstreamRecorder};

use crate::pool::{Target, TargetError};

/// One generation of an upstream: the engine's state, a target for each endpoint, and the recorder's part.
#[derive(Debug)]
pub struct Service {
    name: Arc<str>,
    upstream: Arc<Upstream>,
    targets: Box<[Arc<Target>]>,
    recorder: Arc<UpstreamRecorder>,
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
    /// Bytes of a request's body that are kept for replay.
    pub replay_bytes: usize,
    /// How long a body, either way, may make no progress.
    pub body_idle_timeout: Duration,
    /// The `Host` that the upstream sees.
    pub host: HostRewrite,
    /// Path prefix taken off before the endpoint's base path is put in front.
    pub strip_prefix: Option<String>,
    /// Fields that carry an idempotency key, in lower case.
    pub idempotency_headers: Vec<http::HeaderName>,
    /// The field that consistent hashing goes by.
    pub hash_header: Option<http::HeaderName>,
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
        let _ = (settings, recorder, previous);
        todo!()
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
    #[must_use]
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// The recorder's part.
    #[must_use]
    pub fn recorder(&self) -> &Arc<UpstreamRecorder> {
        &self.recorder
    }

    /// Watches over the service until dropped: active checks, statistics, expired connections. Run exactly one per
    /// generation, on any runtime.
    pub async fn watch(self: Arc<Self>) {
        todo!()
    }
}
