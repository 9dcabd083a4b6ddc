//! The draft of what is said about calls.

use std::time::Duration;

use mainstay_core::CallPolicy;
use mainstay_core::breaks::StatusSet;
use mainstay_core::call::{AdaptiveTimeout, HedgeSettings};
use mainstay_core::heal::socket::SocketSettings;
use mainstay_core::heal::upload::{Protocol, UploadSettings};
use mainstay_core::line::Priority;
use mainstay_core::retry::{BackoffSettings, Growth, Jitter, MaxAttempts, RetrySettings};
use mainstay_core::upstream::ScopeId;

use super::HealDraft;
use crate::settings::{
    CallFields, Fallback, Forwarded, HostRewrite, Route, RouteOutbox, Spill, Stale,
};

/// What is said about calls, at an upstream or at a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallDraft {
    pub(crate) total_timeout: Duration,
    pub(crate) attempt_timeout: Duration,
    pub(crate) adaptive_timeout: Option<AdaptiveTimeout>,
    pub(crate) hedge: Option<HedgeSettings>,
    pub(crate) priority: Priority,
    pub(crate) retry: RetryDraft,
    pub(crate) failures: StatusSet,
    pub(crate) idempotent: bool,
    pub(crate) idempotency_headers: Vec<String>,
    pub(crate) replay: usize,
    pub(crate) spill: Option<Spill>,
    pub(crate) resumable_upload: Option<ResumableDraft>,
    pub(crate) body_idle_timeout: Duration,
    /// `endpoint`, `keep`, or a host.
    pub(crate) host: String,
    pub(crate) forwarded: Forwarded,
    pub(crate) hash_header: Option<String>,
    pub(crate) fields: CallFields,
    pub(crate) stale: Option<Stale>,
    pub(crate) fallback: Option<Fallback>,
    pub(crate) heal: HealDraft,
    pub(crate) outbox: Option<RouteOutbox>,
    pub(crate) websocket: SocketSettings,
}

/// `[resumable_upload]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResumableDraft {
    pub(crate) protocol: UploadWord,
    /// `None` is the latest, or none where the protocol has no versions.
    pub(crate) interop_version: Option<u8>,
    pub(crate) within: Duration,
}

/// How uploads are continued, without the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadWord {
    Ietf,
    Tus,
}

/// `[retry]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RetryDraft {
    pub(crate) max_attempts: MaxAttempts,
    pub(crate) backoff: BackoffDraft,
    pub(crate) throttled_base: Duration,
    pub(crate) repeat_refused: bool,
}

/// `[retry.backoff]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackoffDraft {
    pub(crate) growth: GrowthWord,
    /// In hundredths; `None` is the default, or none where the growth has no factor.
    pub(crate) factor: Option<u16>,
    pub(crate) base: Duration,
    pub(crate) cap: Duration,
    pub(crate) jitter: Jitter,
}

/// How waits grow, without the factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GrowthWord {
    Exponential,
    Linear,
    Constant,
}

impl Default for CallDraft {
    fn default() -> Self {
        let CallPolicy {
            total_timeout,
            attempt_timeout,
            adaptive_timeout,
            hedge,
            retry,
            failures,
            idempotent,
            priority,
            heal,
            resumable_upload,
            scope: _,
        } = CallPolicy::default();
        Self {
            adaptive_timeout,
            hedge,
            priority,
            total_timeout,
            attempt_timeout,
            retry: RetryDraft::of(&retry),
            failures,
            idempotent,
            idempotency_headers: vec!["idempotency-key".into()],
            replay: 1 << 20,
            spill: None,
            resumable_upload: resumable_upload.as_ref().map(ResumableDraft::of),
            body_idle_timeout: Duration::from_secs(30),
            host: "endpoint".into(),
            forwarded: Forwarded::Nothing,
            hash_header: None,
            fields: CallFields::default(),
            stale: None,
            fallback: None,
            heal: HealDraft::of(&heal),
            outbox: None,
            websocket: SocketSettings::default(),
        }
    }
}

impl CallDraft {
    /// The draft that `route` could have been made from.
    pub(crate) fn of(route: &Route) -> Self {
        let policy = &*route.policy;
        let host = match &route.host {
            HostRewrite::Endpoint => "endpoint",
            HostRewrite::Keep => "keep",
            HostRewrite::Set(host) => host,
        };
        Self {
            total_timeout: policy.total_timeout,
            attempt_timeout: policy.attempt_timeout,
            adaptive_timeout: policy.adaptive_timeout,
            hedge: policy.hedge,
            priority: policy.priority,
            retry: RetryDraft::of(&policy.retry),
            failures: policy.failures,
            idempotent: policy.idempotent,
            idempotency_headers: route.idempotency_headers.clone(),
            replay: route.replay_bytes,
            spill: route.spill,
            resumable_upload: policy.resumable_upload.as_ref().map(ResumableDraft::of),
            body_idle_timeout: route.body_idle_timeout,
            host: host.to_owned(),
            forwarded: route.forwarded,
            hash_header: route.hash_header.clone(),
            fields: route.fields.clone(),
            stale: route.stale.clone(),
            fallback: route.fallback.clone(),
            heal: HealDraft::of(&policy.heal),
            outbox: route.outbox.clone(),
            websocket: route.websocket,
        }
    }

    /// The engine's part.
    pub(crate) fn policy(&self, scope: ScopeId) -> CallPolicy {
        CallPolicy {
            total_timeout: self.total_timeout,
            attempt_timeout: self.attempt_timeout,
            adaptive_timeout: self.adaptive_timeout,
            hedge: self.hedge,
            priority: self.priority,
            retry: self.retry.settings(),
            failures: self.failures,
            idempotent: self.idempotent,
            heal: self.heal.settings(),
            resumable_upload: self.resumable_upload.as_ref().map(ResumableDraft::settings),
            scope,
        }
    }

    /// The `Host` that the upstream sees.
    pub(crate) fn host_rewrite(&self) -> HostRewrite {
        match self.host.as_str() {
            "endpoint" => HostRewrite::Endpoint,
            "keep" => HostRewrite::Keep,
            host => HostRewrite::Set(host.to_owned()),
        }
    }
}

impl ResumableDraft {
    fn of(upload: &UploadSettings) -> Self {
        let (protocol, interop_version) = match upload.protocol {
            Protocol::Ietf { interop_version } => (UploadWord::Ietf, Some(interop_version)),
            Protocol::Tus => (UploadWord::Tus, None),
        };
        Self { protocol, interop_version, within: upload.within }
    }

    fn settings(&self) -> UploadSettings {
        let protocol = match self.protocol {
            UploadWord::Ietf => Protocol::Ietf {
                interop_version: self.interop_version.unwrap_or(Protocol::INTEROP_VERSION),
            },
            UploadWord::Tus => Protocol::Tus,
        };
        UploadSettings { protocol, within: self.within }
    }
}

impl Default for ResumableDraft {
    fn default() -> Self {
        Self::of(&UploadSettings::default())
    }
}

impl RetryDraft {
    fn of(retry: &RetrySettings) -> Self {
        let RetrySettings { max_attempts, backoff, throttled_base, repeat_refused } = retry.clone();
        Self { max_attempts, backoff: BackoffDraft::of(&backoff), throttled_base, repeat_refused }
    }

    fn settings(&self) -> RetrySettings {
        let Self { max_attempts, backoff, throttled_base, repeat_refused } = self.clone();
        RetrySettings { max_attempts, backoff: backoff.settings(), throttled_base, repeat_refused }
    }
}

impl BackoffDraft {
    fn of(backoff: &BackoffSettings) -> Self {
        let (growth, factor) = match backoff.growth {
            Growth::Exponential { factor_percent } => {
                (GrowthWord::Exponential, Some(factor_percent))
            }
            Growth::Linear => (GrowthWord::Linear, None),
            Growth::Constant => (GrowthWord::Constant, None),
        };
        Self { growth, factor, base: backoff.base, cap: backoff.cap, jitter: backoff.jitter }
    }

    fn settings(&self) -> BackoffSettings {
        let growth = match self.growth {
            GrowthWord::Exponential => {
                Growth::Exponential { factor_percent: self.factor.unwrap_or(DOUBLE) }
            }
            GrowthWord::Linear => Growth::Linear,
            GrowthWord::Constant => Growth::Constant,
        };
        BackoffSettings { growth, base: self.base, cap: self.cap, jitter: self.jitter }
    }
}

/// The factor of exponential growth when none is given, in hundredths.
const DOUBLE: u16 = 200;
