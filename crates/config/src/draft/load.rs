//! The draft of what is let through to an upstream.
//!
//! The engine's limits hold only what their kind needs. Here everything may be said that some kind has, and what isn't said
//! is open: it follows from the kind, and gives way to what is said beside it.

use std::time::Duration;

use mainstay_core::Ratio;
use mainstay_core::limit::{AdaptiveSettings, GradientRule, LimitRule, LimitSettings};
use mainstay_core::rate::{KeyedRateSettings, RateSettings};
use mainstay_core::upstream::LoadSettings;

/// `[upstream.NAME.limit]` and `.endpoint_limit`. What isn't said is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LimitDraft {
    pub(crate) kind: LimitWord,
    pub(crate) max: Option<u32>,
    pub(crate) min: Option<u32>,
    pub(crate) initial: Option<u32>,
    pub(crate) window: Option<Duration>,
    pub(crate) minimum_samples: Option<u32>,
    /// In hundredths, as `smoothing`.
    pub(crate) backoff: Option<u16>,
    pub(crate) tolerated_drops: Option<Ratio>,
    pub(crate) slow_after: Option<Duration>,
    pub(crate) smoothing: Option<u16>,
    pub(crate) queue: Option<u32>,
    pub(crate) long_window: Option<u32>,
    /// In hundredths.
    pub(crate) tolerance: Option<u16>,
}

/// By what rule a limit is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LimitWord {
    Fixed,
    #[default]
    Aimd,
    Gradient,
}

/// `[upstream.NAME.rate]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RateDraft {
    /// Has no default: only the upstream's own terms say it.
    pub(crate) calls: Option<u32>,
    pub(crate) period: Duration,
    pub(crate) burst: Option<u32>,
}

/// `[upstream.NAME.key_rate]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyRateDraft {
    pub(crate) each: RateDraft,
    pub(crate) keys: u32,
}

impl LimitDraft {
    /// The draft that `limit` could have been made from.
    fn of(limit: &LimitSettings) -> Self {
        let settings = match limit {
            LimitSettings::Fixed(max) => {
                return Self { kind: LimitWord::Fixed, max: Some(*max), ..Self::default() };
            }
            LimitSettings::Adaptive(settings) => settings,
        };
        let AdaptiveSettings {
            rule,
            min,
            max,
            initial,
            window,
            minimum_samples,
            backoff,
            tolerated_drops,
        } = settings;
        let draft = Self {
            max: Some(*max),
            min: Some(*min),
            initial: Some(*initial),
            window: Some(*window),
            minimum_samples: Some(*minimum_samples),
            backoff: Some(hundredths(*backoff)),
            tolerated_drops: Some(*tolerated_drops),
            ..Self::default()
        };
        match rule {
            LimitRule::Aimd { slow_after } => Self {
                kind: LimitWord::Aimd,
                slow_after: Some(slow_after.unwrap_or(NEVER)),
                ..draft
            },
            LimitRule::Gradient(GradientRule {
                smoothing,
                queue,
                long_window,
                tolerance_percent,
            }) => Self {
                kind: LimitWord::Gradient,
                smoothing: Some(hundredths(*smoothing)),
                queue: Some(*queue),
                long_window: Some(*long_window),
                tolerance: Some(*tolerance_percent),
                ..draft
            },
        }
    }

    pub(crate) fn settings(&self) -> LimitSettings {
        let rule = match self.kind {
            LimitWord::Fixed => return LimitSettings::Fixed(self.max.unwrap_or(1)),
            LimitWord::Aimd => {
                LimitRule::Aimd { slow_after: Some(self.slow_after.unwrap_or(SLOW)) }
            }
            LimitWord::Gradient => LimitRule::Gradient(self.gradient()),
        };
        let usual = AdaptiveSettings::default();
        let said = self.min.max(self.initial).unwrap_or_default();
        let max = self.max.unwrap_or(usual.max.max(said));
        let least = self.initial.map_or(max, |initial| initial.min(max));
        let min = self.min.unwrap_or(usual.min.min(least));
        let initial = self.initial.unwrap_or(usual.initial.max(min).min(max));
        LimitSettings::Adaptive(AdaptiveSettings {
            rule,
            min,
            max,
            initial,
            window: self.window.unwrap_or(usual.window),
            minimum_samples: self.minimum_samples.unwrap_or(usual.minimum_samples),
            backoff: self.backoff.map_or(usual.backoff, Ratio::percent),
            tolerated_drops: self.tolerated_drops.unwrap_or(usual.tolerated_drops),
        })
    }

    fn gradient(&self) -> GradientRule {
        let usual = GradientRule::default();
        GradientRule {
            smoothing: self.smoothing.map_or(usual.smoothing, Ratio::percent),
            queue: self.queue.unwrap_or(usual.queue),
            long_window: self.long_window.unwrap_or(usual.long_window),
            tolerance_percent: self.tolerance.unwrap_or(usual.tolerance_percent),
        }
    }
}

impl RateDraft {
    fn of(rate: &RateSettings) -> Self {
        let RateSettings { rate, period, burst } = *rate;
        Self { calls: Some(rate), period, burst: Some(burst) }
    }

    /// `None` where the number of calls is missing.
    pub(crate) fn settings(&self) -> Option<RateSettings> {
        let rate = self.calls?;
        let burst = self.burst.unwrap_or((rate / BURST_SHARE).max(1));
        Some(RateSettings { rate, period: self.period, burst })
    }
}

impl KeyRateDraft {
    fn of(rate: &KeyedRateSettings) -> Self {
        Self { each: RateDraft::of(&rate.each), keys: rate.keys }
    }

    pub(crate) fn settings(&self) -> Option<KeyedRateSettings> {
        Some(KeyedRateSettings { each: self.each.settings()?, keys: self.keys })
    }
}

impl Default for RateDraft {
    fn default() -> Self {
        Self { calls: None, period: Duration::from_secs(1), burst: None }
    }
}

impl Default for KeyRateDraft {
    fn default() -> Self {
        Self { each: RateDraft::default(), keys: 1024 }
    }
}

/// The parts of a draft that are made from `load`.
pub(super) fn parts(
    load: &LoadSettings,
) -> (Option<LimitDraft>, Option<LimitDraft>, Option<RateDraft>, Option<KeyRateDraft>) {
    (
        load.limit.as_ref().map(LimitDraft::of),
        load.endpoint_limit.as_ref().map(LimitDraft::of),
        load.rate.as_ref().map(RateDraft::of),
        load.keyed_rate.as_ref().map(KeyRateDraft::of),
    )
}

/// Written as hundredths, so that none are lost.
fn hundredths(ratio: Ratio) -> u16 {
    ratio.parts() / (Ratio::ONE.parts() / 100)
}

/// From when on an answer is a sign of overload, where nothing is said.
const SLOW: Duration = Duration::from_secs(5);

/// The longest that can be said.
const NEVER: Duration = Duration::from_secs(3600);

/// A burst of a tenth of the rate: no period then sees more than 1.1 times what is allowed.
const BURST_SHARE: u32 = 10;
