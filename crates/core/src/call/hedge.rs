//! Hedging: a second attempt while the first is still out.
//!
//! Most calls that are slow are slow by bad luck, and a second try elsewhere is fast: asked once the first has been out
//! for longer than 95 in 100 take, it cuts the tail of the latency for about 5 % more load (Dean and Barroso, *The Tail
//! at Scale*, CACM 2013). It is for requests that may be done twice, goes to an endpoint that the call hasn't
//! tried and whose breaker is closed, and is paid for by the budget. A hedge that may not be made is left out; the call
//! goes on.
//!
//! Each answer is held back by itself, and the race is won by the first of which enough is here: a head alone, behind which
//! nothing may come, stops nobody.

use core::time::Duration;

use crate::check::{Check, Problems};
use crate::time::Timestamp;
use crate::upstream::{EndpointId, Percentile, Upstream};

/// When a hedge is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgeSettings {
    /// How long an attempt has to be out.
    pub after: HedgeAfter,
    /// The least that it has to be out, whatever the percentile says. 1 ms to 1 min, default 1 ms.
    pub floor: Duration,
}

/// How long an attempt has to be out before it is hedged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeAfter {
    /// So long. 1 ms to 1 min.
    Fixed(Duration),
    /// As long as all but this share of the endpoint's answers took in the last half minute. While too few answers are
    /// known, nothing is hedged.
    Percentile(Percentile),
}

impl Default for HedgeSettings {
    fn default() -> Self {
        Self { after: HedgeAfter::Percentile(Percentile::P95), floor: LEAST }
    }
}

impl Check for HedgeSettings {
    fn check(&self, problems: &mut Problems) {
        let range = LEAST..=MOST;
        problems.require(range.contains(&self.floor), "floor", self.floor, "1ms to 1m");
        match self.after {
            HedgeAfter::Fixed(after) => {
                problems.require(range.contains(&after), "after", after, "1ms to 1m");
            }
            HedgeAfter::Percentile(percentile) => problems.require(
                percentile >= Percentile::P75,
                "after",
                percentile.code(),
                "p75 or higher: below it, one call in two is made twice",
            ),
        }
    }
}

impl HedgeSettings {
    /// When an attempt that starts at `endpoint` now is to be hedged; `None` while that can't be said.
    pub(super) fn due_at(
        &self,
        endpoint: EndpointId,
        upstream: &Upstream,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let after = match self.after {
            HedgeAfter::Fixed(after) => after,
            HedgeAfter::Percentile(percentile) => upstream.percentile(endpoint, percentile)?,
        };
        Some(now + after.max(self.floor))
    }
}

/// Why a hedge that was due wasn't made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HedgeRefusal {
    /// The body of the request isn't here as a whole.
    BodyNotWhole,
    /// Every attempt that the policy allows was made.
    AttemptsUsed,
    /// The call ends before an answer could come.
    DeadlineTooClose,
    /// The budget for extra attempts is empty.
    BudgetEmpty,
    /// No other endpoint that is well and has room.
    NoEndpoint,
    /// It would have to wait for a limit or the end of a pause.
    Held,
}

impl HedgeRefusal {
    /// A stable name for records and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BodyNotWhole => "body-not-whole",
            Self::AttemptsUsed => "attempts-used",
            Self::DeadlineTooClose => "deadline-too-close",
            Self::BudgetEmpty => "budget-empty",
            Self::NoEndpoint => "no-endpoint",
            Self::Held => "held",
        }
    }
}

const LEAST: Duration = Duration::from_millis(1);
const MOST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Checked;

    #[test]
    fn the_default_is_the_ninety_fifth_percentile_and_within_its_own_rules() {
        assert!(Checked::new(HedgeSettings::default()).is_ok());
    }

    #[test]
    fn hedging_half_of_all_calls_is_refused() {
        let after = HedgeAfter::Percentile(Percentile::P50);
        let problems =
            Checked::new(HedgeSettings { after, floor: Duration::ZERO }).map(|_| ()).unwrap_err();
        assert_eq!(problems.len(), 2);
        let after = HedgeAfter::Fixed(Duration::from_micros(1));
        assert!(Checked::new(HedgeSettings { after, ..HedgeSettings::default() }).is_err());
    }
}
