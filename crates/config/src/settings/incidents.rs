//! When breaks are an incident, and who is told of it.

use std::time::Duration;

use mainstay_core::incident::IncidentSettings;

use super::Callback;

/// Incidents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incidents {
    /// Breaks of one cause at one endpoint that make one. 2 to 1000, default 5.
    pub breaks: u16,
    /// Within how long. 1 s to 10 min, default 10 s.
    pub within: Duration,
    /// For how long nothing may break until one is over by itself. 1 s to 1 h, default 60 s.
    pub quiet_for: Duration,
    /// Who is told when one begins and ends: one of [`Settings::callbacks`](super::Settings::callbacks) leads there. Default
    /// nobody.
    pub webhook: Option<Callback>,
}

impl Default for Incidents {
    fn default() -> Self {
        let IncidentSettings { breaks, within, quiet_for, .. } = IncidentSettings::default();
        Self { breaks, within, quiet_for, webhook: None }
    }
}

impl Incidents {
    /// The rules by which they begin and end.
    #[must_use]
    pub fn rules(&self) -> IncidentSettings {
        let Self { breaks, within, quiet_for, .. } = *self;
        IncidentSettings { breaks, within, quiet_for, ..IncidentSettings::default() }
    }
}
