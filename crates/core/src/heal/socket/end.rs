//! Why a tunnel ended.

use crate::breaks::BreakKind;

/// Why a tunnel ended, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelEnd {
    /// The application said goodbye first.
    ClosedByApplication,
    /// The upstream said goodbye first.
    ClosedByUpstream,
    /// Both sides ended, in a protocol that isn't read.
    Finished,
    /// The application's connection ended without a goodbye.
    ApplicationGone,
    /// What the application sent are no frames.
    ApplicationMalformed,
    /// The upstream's connection was reset.
    UpstreamReset,
    /// The upstream's connection was closed without a goodbye.
    UpstreamGone,
    /// The upstream's connection was open, and nobody at its other end.
    UpstreamDead,
    /// What the upstream sent are no frames.
    UpstreamMalformed,
    /// Nothing moved for too long, and nobody could be asked.
    Idle,
    /// The proxy ends.
    Drained,
}

impl TunnelEnd {
    /// Every end.
    pub const ALL: [Self; 11] = [
        Self::ClosedByApplication,
        Self::ClosedByUpstream,
        Self::Finished,
        Self::ApplicationGone,
        Self::ApplicationMalformed,
        Self::UpstreamReset,
        Self::UpstreamGone,
        Self::UpstreamDead,
        Self::UpstreamMalformed,
        Self::Idle,
        Self::Drained,
    ];

    /// A stable name for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ClosedByApplication => "closed-by-application",
            Self::ClosedByUpstream => "closed-by-upstream",
            Self::Finished => "finished",
            Self::ApplicationGone => "application-gone",
            Self::ApplicationMalformed => "application-malformed",
            Self::UpstreamReset => "upstream-reset",
            Self::UpstreamGone => "upstream-gone",
            Self::UpstreamDead => "upstream-dead",
            Self::UpstreamMalformed => "upstream-malformed",
            Self::Idle => "idle",
            Self::Drained => "drained",
        }
    }

    /// What broke; `None` for an end in good order, our own among them.
    #[must_use]
    pub const fn broke(self) -> Option<BreakKind> {
        match self {
            Self::ClosedByApplication | Self::ClosedByUpstream | Self::Finished | Self::Drained => {
                None
            }
            Self::ApplicationGone | Self::ApplicationMalformed => Some(BreakKind::ClientGone),
            Self::UpstreamReset => Some(BreakKind::BodyReset),
            Self::UpstreamGone => Some(BreakKind::BodyTruncated),
            Self::UpstreamDead => Some(BreakKind::BodyStalled),
            Self::UpstreamMalformed => Some(BreakKind::MalformedResponse),
            // Two sides that have nothing to say: our own limit, and no endpoint's fault.
            Self::Idle => Some(BreakKind::DeadlineExceeded),
        }
    }

    /// The code and the reason of the Close that the application gets from us (RFC 6455, section 7.4, and IANA's registry).
    pub(super) const fn goodbye(self) -> Option<(u16, &'static str)> {
        match self {
            // An application may connect again at once: another endpoint, or the same one, will answer or not.
            Self::UpstreamReset => Some((SERVICE_RESTART, "the upstream's connection was reset")),
            Self::UpstreamGone => {
                Some((SERVICE_RESTART, "the upstream's connection ended without a Close"))
            }
            Self::UpstreamDead => Some((SERVICE_RESTART, "the upstream doesn't answer any more")),
            Self::Idle => Some((SERVICE_RESTART, "nothing moved for too long")),
            Self::UpstreamMalformed => {
                Some((INTERNAL_ERROR, "what the upstream sent is no WebSocket"))
            }
            Self::ApplicationMalformed => Some((PROTOCOL_ERROR, "no WebSocket frame")),
            // Not 1012: the upstream is well, and it isn't known whether this proxy comes back.
            Self::Drained => Some((GOING_AWAY, "the proxy is shutting down")),
            Self::ClosedByApplication
            | Self::ClosedByUpstream
            | Self::Finished
            | Self::ApplicationGone => None,
        }
    }
}

pub(super) const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const INTERNAL_ERROR: u16 = 1011;
const SERVICE_RESTART: u16 = 1012;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_end_is_listed_at_its_place_and_has_a_code_of_its_own() {
        assert!(TunnelEnd::ALL.iter().enumerate().all(|(place, end)| *end as usize == place));
        assert_eq!(TunnelEnd::Drained as usize + 1, TunnelEnd::ALL.len());
        let codes: BTreeSet<_> = TunnelEnd::ALL.iter().map(|end| end.code()).collect();
        assert_eq!(codes.len(), TunnelEnd::ALL.len());
    }

    #[test]
    fn a_reason_fits_into_a_control_frame() {
        let reasons = TunnelEnd::ALL.into_iter().filter_map(TunnelEnd::goodbye);
        assert!(reasons.clone().count() > 0);
        assert!(reasons.into_iter().all(|(_, reason)| reason.len() <= 123));
    }
}
