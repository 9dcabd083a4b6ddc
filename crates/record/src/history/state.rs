//! How an endpoint stands, in one word.

use mainstay_core::Timestamp;
use mainstay_core::breaker::{BreakerState, Forced};
use mainstay_core::upstream::EndpointView;

/// How an endpoint stands; the later in the list, the further it is from being asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointState {
    /// Nothing is known: it wasn't there.
    #[default]
    Unknown,
    /// It is asked.
    Up,
    /// It is back, and gets its share step by step.
    Warming,
    /// It is asked whatever it does, by order.
    ForcedClosed,
    /// It asked to be left alone.
    Throttled,
    /// Its breaker lets probes through.
    Probing,
    /// It was taken out by what was observed.
    Ejected,
    /// Its breaker is open.
    Open,
    /// Checks fail.
    Unhealthy,
    /// It isn't asked, by order.
    ForcedOpen,
    /// It gets nothing new, by order.
    Drained,
}

impl EndpointState {
    /// Every state, in its order.
    pub const ALL: [Self; 11] = [
        Self::Unknown,
        Self::Up,
        Self::Warming,
        Self::ForcedClosed,
        Self::Throttled,
        Self::Probing,
        Self::Ejected,
        Self::Open,
        Self::Unhealthy,
        Self::ForcedOpen,
        Self::Drained,
    ];

    /// How an endpoint stands at `now`. What was ordered goes first: it is why the rest doesn't matter. A breaker that only watches
    /// (mode `off`) keeps nothing away, so that what it would do isn't how the endpoint stands.
    #[must_use]
    pub fn of(view: &EndpointView, now: Timestamp) -> Self {
        let ahead = |until: Option<Timestamp>| until.is_some_and(|until| until > now);
        match (view.forced, view.breaker) {
            _ if view.drained => Self::Drained,
            (Forced::Open, _) => Self::ForcedOpen,
            (Forced::Closed, _) => Self::ForcedClosed,
            _ if !view.healthy => Self::Unhealthy,
            _ if ahead(view.ejected_until) => Self::Ejected,
            (Forced::No, BreakerState::Open { .. }) if view.breaker_stops => Self::Open,
            (Forced::No, BreakerState::HalfOpen { .. }) if view.breaker_stops => Self::Probing,
            _ if ahead(view.throttled_until) => Self::Throttled,
            _ if view.warm.parts() < mainstay_core::Ratio::ONE.parts() => Self::Warming,
            (Forced::No, _) => Self::Up,
        }
    }

    /// The word.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// One letter for it, for series of many.
    #[must_use]
    pub const fn letter(self) -> char {
        self.row().1
    }

    /// Whether it is out by what was seen of it, not by order.
    #[must_use]
    pub const fn is_out(self) -> bool {
        matches!(self, Self::Probing | Self::Ejected | Self::Open | Self::Unhealthy)
    }

    /// Whether it is asked for whatever comes.
    #[must_use]
    pub const fn is_usable(self) -> bool {
        matches!(
            self,
            Self::Up | Self::Warming | Self::ForcedClosed | Self::Throttled | Self::Probing
        )
    }

    const fn row(self) -> (&'static str, char) {
        match self {
            Self::Unknown => ("unknown", '-'),
            Self::Up => ("up", 'u'),
            Self::Warming => ("warming", 'w'),
            Self::ForcedClosed => ("forced-closed", 'c'),
            Self::Throttled => ("throttled", 't'),
            Self::Probing => ("probing", 'p'),
            Self::Ejected => ("ejected", 'e'),
            Self::Open => ("open", 'o'),
            Self::Unhealthy => ("unhealthy", 'x'),
            Self::ForcedOpen => ("forced-open", 'f'),
            Self::Drained => ("drained", 'd'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use mainstay_core::breaker::{BreakerMode, BreakerSettings};
    use mainstay_core::upstream::{EndpointSettings, UpstreamSettings};
    use mainstay_core::{Chance, Checked, Upstream};

    /// One endpoint, whose breaker has this mode.
    fn view(mode: BreakerMode) -> EndpointView {
        let endpoint = EndpointSettings { name: "a".into(), tier: 0, weight: 1 };
        let breaker = BreakerSettings { mode, ..BreakerSettings::default() };
        let settings =
            UpstreamSettings { endpoints: vec![endpoint], breaker, ..UpstreamSettings::default() };
        let settings = Checked::new(settings).expect("good settings");
        let upstream = Upstream::new(settings, Timestamp::ZERO, &mut Chance::from_seed(1));
        upstream.view(Timestamp::ZERO).remove(0)
    }

    #[test]
    fn a_breaker_that_only_watches_takes_no_endpoint_out() {
        let open = BreakerState::Open { until: Timestamp::MAX };
        let half = BreakerState::HalfOpen { probing: 0, succeeded: 0 };
        let of = |mode, breaker| {
            EndpointState::of(&EndpointView { breaker, ..view(mode) }, Timestamp::ZERO)
        };
        for mode in [BreakerMode::StopAll, BreakerMode::StopRetries] {
            assert_eq!(of(mode, open), EndpointState::Open);
            assert_eq!(of(mode, half), EndpointState::Probing);
        }
        assert_eq!(of(BreakerMode::Off, open), EndpointState::Up);
        assert_eq!(of(BreakerMode::Off, half), EndpointState::Up);
        let ordered = EndpointView { forced: Forced::Open, ..view(BreakerMode::Off) };
        assert_eq!(EndpointState::of(&ordered, Timestamp::ZERO), EndpointState::ForcedOpen);
    }

    #[test]
    fn each_state_has_its_place_a_word_and_a_letter_of_its_own() {
        assert!(
            EndpointState::ALL.iter().enumerate().all(|(place, state)| *state as usize == place)
        );
        let rows: BTreeSet<_> = EndpointState::ALL.iter().map(|state| state.code()).collect();
        let letters: BTreeSet<_> = EndpointState::ALL.iter().map(|state| state.letter()).collect();
        assert_eq!((rows.len(), letters.len()), (11, 11));
    }
}
