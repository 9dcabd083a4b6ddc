//! The draft of an upstream.

use std::path::PathBuf;
use std::time::Duration;

use mainstay_core::UpstreamSettings;
use mainstay_core::upstream::EndpointSettings;

use super::{CallDraft, HealthDraft, KeyRateDraft, LimitDraft, RateDraft, load};
use crate::settings::{CertificateFiles, ConnectSettings, Endpoint, TlsSettings, Upstream};
use crate::text::Url;

/// `[upstream.NAME]`
#[derive(Clone, Debug, Default)]
pub(crate) struct UpstreamDraft {
    /// Endpoints, scopes, health, and limits and rates of the load are filled in when it becomes settings.
    pub(crate) policy: UpstreamSettings,
    pub(crate) endpoints: Vec<EndpointDraft>,
    /// Its TLS part is [`UpstreamDraft::tls`].
    pub(crate) connect: ConnectSettings,
    pub(crate) tls: TlsDraft,
    pub(crate) health: Option<HealthDraft>,
    pub(crate) limit: Option<LimitDraft>,
    pub(crate) endpoint_limit: Option<LimitDraft>,
    pub(crate) rate: Option<RateDraft>,
    pub(crate) key_rate: Option<KeyRateDraft>,
    pub(crate) call: CallDraft,
}

/// `[upstream.NAME.tls]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsDraft {
    pub(crate) ca: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
    pub(crate) danger_accept_any_certificate: bool,
    pub(crate) expiry_warning: Duration,
}

impl Default for TlsDraft {
    fn default() -> Self {
        Self::of(&TlsSettings::default())
    }
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointDraft {
    pub(crate) url: String,
    pub(crate) name: Option<String>,
    pub(crate) tier: u8,
    pub(crate) weight: u16,
}

impl Default for EndpointDraft {
    fn default() -> Self {
        Self { url: String::new(), name: None, tier: 0, weight: 1 }
    }
}

impl UpstreamDraft {
    /// The built-in defaults, from which the layers start.
    pub(crate) fn new() -> Self {
        Self { health: Some(HealthDraft::default()), ..Self::default() }
    }

    /// The draft that `upstream` could have been made from.
    pub(crate) fn of(upstream: &Upstream) -> Self {
        let policy = upstream.policy.clone().into_inner();
        let (limit, endpoint_limit, rate, key_rate) = load::parts(&policy.load);
        let pairs = policy.endpoints.iter().zip(&upstream.endpoints);
        Self {
            endpoints: pairs
                .map(|(settings, endpoint)| EndpointDraft::of(settings, endpoint))
                .collect(),
            health: policy
                .health
                .as_ref()
                .map(|rhythm| HealthDraft::of(upstream.probe.as_ref(), rhythm)),
            tls: TlsDraft::of(&upstream.connect.tls),
            connect: upstream.connect.clone(),
            limit,
            endpoint_limit,
            rate,
            key_rate,
            call: CallDraft::default(),
            policy,
        }
    }
}

impl TlsDraft {
    fn of(tls: &TlsSettings) -> Self {
        Self {
            ca: tls.ca.clone(),
            certificate: tls.client.as_ref().map(|files| files.certificate.clone()),
            key: tls.client.as_ref().map(|files| files.key.clone()),
            server_name: tls.server_name.clone(),
            danger_accept_any_certificate: tls.danger_accept_any_certificate,
            expiry_warning: tls.expiry_warning,
        }
    }

    pub(crate) fn settings(&self) -> TlsSettings {
        let files = self.certificate.clone().zip(self.key.clone());
        TlsSettings {
            ca: self.ca.clone(),
            client: files.map(|(certificate, key)| CertificateFiles { certificate, key }),
            server_name: self.server_name.clone(),
            danger_accept_any_certificate: self.danger_accept_any_certificate,
            expiry_warning: self.expiry_warning,
        }
    }
}

impl EndpointDraft {
    fn of(settings: &EndpointSettings, endpoint: &Endpoint) -> Self {
        let url = Url {
            scheme: endpoint.scheme,
            host: endpoint.host.clone(),
            port: endpoint.port,
            base_path: endpoint.base_path.clone(),
        };
        Self {
            url: url.to_string(),
            name: Some(endpoint.name.clone()),
            tier: settings.tier,
            weight: settings.weight,
        }
    }
}
