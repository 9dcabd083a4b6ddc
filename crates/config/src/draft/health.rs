//! The draft of active checks: what is asked, and how often.

use std::time::Duration;

use mainstay_core::upstream::HealthSettings;

use crate::settings::{Probe, ProbeKind};

/// `[upstream.NAME.health]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthDraft {
    /// `None`: what the other keys say.
    pub(crate) kind: Option<ProbeWord>,
    pub(crate) path: Option<String>,
    pub(crate) passes: Option<Vec<(u16, u16)>>,
    pub(crate) body_contains: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) rhythm: HealthSettings,
}

/// What a check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeWord {
    Tcp,
    Tls,
    Http,
    Grpc,
}

impl Default for HealthDraft {
    fn default() -> Self {
        Self {
            kind: None,
            path: None,
            passes: None,
            body_contains: None,
            service: None,
            timeout: Duration::from_secs(2),
            rhythm: HealthSettings::default(),
        }
    }
}

impl HealthDraft {
    /// The draft that a probe and its rhythm could have been made from.
    pub(crate) fn of(probe: Option<&Probe>, rhythm: &HealthSettings) -> Self {
        let draft = Self { rhythm: rhythm.clone(), ..Self::default() };
        let Some(Probe { kind, timeout }) = probe else { return draft };
        let draft = Self { timeout: *timeout, ..draft };
        match kind {
            ProbeKind::Connect => Self { kind: Some(ProbeWord::Tcp), ..draft },
            ProbeKind::Tls => Self { kind: Some(ProbeWord::Tls), ..draft },
            ProbeKind::Grpc { service } => Self {
                kind: Some(ProbeWord::Grpc),
                service: (!service.is_empty()).then(|| service.clone()),
                ..draft
            },
            ProbeKind::Http { path, passes, body_contains } => Self {
                kind: Some(ProbeWord::Http),
                path: Some(path.clone()),
                passes: Some(passes.clone()),
                body_contains: body_contains.clone(),
                ..draft
            },
        }
    }

    /// Whether something is said that only a GET can ask.
    pub(crate) fn needs_http(&self) -> bool {
        self.path.is_some() || self.passes.is_some() || self.body_contains.is_some()
    }

    /// The kind that is said, or that the other keys speak of.
    pub(crate) fn word(&self) -> ProbeWord {
        let by_keys = match (self.needs_http(), &self.service) {
            (true, _) => ProbeWord::Http,
            (false, Some(_)) => ProbeWord::Grpc,
            (false, None) => ProbeWord::Tcp,
        };
        self.kind.unwrap_or(by_keys)
    }

    /// What a check asks.
    pub(crate) fn probe(&self) -> Probe {
        let kind = match self.word() {
            ProbeWord::Tcp => ProbeKind::Connect,
            ProbeWord::Tls => ProbeKind::Tls,
            ProbeWord::Grpc => {
                ProbeKind::Grpc { service: self.service.clone().unwrap_or_default() }
            }
            ProbeWord::Http => ProbeKind::Http {
                path: self.path.clone().unwrap_or_else(|| "/".into()),
                passes: self.passes.clone().unwrap_or_else(|| vec![(200, 399)]),
                body_contains: self.body_contains.clone(),
            },
        };
        Probe { kind, timeout: self.timeout }
    }
}
