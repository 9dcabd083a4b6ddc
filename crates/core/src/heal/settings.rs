//! What a route says about answers that break.

use alloc::sync::Arc;
use core::time::Duration;

use super::events::EventSettings;
use super::range::RangeSettings;
use super::stall::{RateFloor, StallGuard};
use crate::check::{Check, Checked, Problems};

/// How answers are held back, watched and continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealSettings {
    /// How much of an answer is waited for before any of it goes to the application. Default: [`HoldSettings`]'s.
    pub hold: Option<HoldSettings>,
    /// How long the application may be without new bytes while a broken answer is being continued; `None`: none is. 100 ms
    /// to 1 h, default 30 s. Too low: a restart of the upstream is not outlived; too high: the application waits for what
    /// won't come.
    pub resume_within: Option<Duration>,
    /// What identifies a representation, and how far one is skipped.
    pub ranges: RangeSettings,
    /// How event streams are watched and continued.
    pub events: Arc<Checked<EventSettings>>,
    /// The least rate at which an answer of known length has to come. Default: [`RateFloor`]'s.
    pub floor: Option<RateFloor>,
}

impl Default for HealSettings {
    fn default() -> Self {
        Self {
            hold: Some(HoldSettings::default()),
            resume_within: Some(Duration::from_secs(30)),
            ranges: RangeSettings::default(),
            events: Arc::default(),
            floor: Some(RateFloor::default()),
        }
    }
}

/// The commit point: until when a break is an ordinary failed attempt, of which the application sees nothing.
///
/// The head of an answer waits for the first byte of its body, or for all of it where that is announced to be small. Only
/// for requests that may be done twice: the others couldn't be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldSettings {
    /// Bytes of a body of known length that are waited for as a whole. 0 to 16 MiB, default 64 KiB. Too low: small answers
    /// that break have to be continued, and most can't be; too high: memory, and the first byte comes with the last.
    pub bytes: u64,
    /// How long the head waits at most. 1 ms to 1 min, default 1 s. Too low: a break soon after the head shows through;
    /// too high: an answer whose first byte takes long is late.
    pub time: Duration,
}

/// What the body of an answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Bytes, so many of them if that is known.
    Bytes(Option<u64>),
    /// Server-sent events.
    Events,
    /// Messages of gRPC, and trailers that tell the outcome.
    Messages,
}

/// How much of an answer's body is waited for before its head goes to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Its first byte.
    FirstByte,
    /// Its first message, of which the first byte is enough, or the trailers in its place: they tell the outcome.
    FirstMessage,
    /// Its first event, unless that is longer than [`FIRST_EVENT_BYTES`].
    FirstEvent,
    /// All of it.
    Whole,
}

impl HoldSettings {
    /// What is waited for of a body. Events say more than bytes: the first may be a comment's. Messages are never waited for as a
    /// whole: each may be the answer to one of the application's.
    #[must_use]
    pub fn wanted(&self, content: Content) -> Wanted {
        match content {
            Content::Events => Wanted::FirstEvent,
            Content::Messages => Wanted::FirstMessage,
            Content::Bytes(Some(length)) if length <= self.bytes => Wanted::Whole,
            Content::Bytes(_) => Wanted::FirstByte,
        }
    }
}

/// Bytes of comments and of a first event that are waited for: as many as of a small answer.
pub const FIRST_EVENT_BYTES: usize = 64 * 1024;

impl Default for HoldSettings {
    fn default() -> Self {
        Self { bytes: 64 * 1024, time: Duration::from_secs(1) }
    }
}

impl HealSettings {
    /// Watches a body that may be silent for so long. Only of one whose length is known it is known how fast it has to come.
    #[must_use]
    pub fn guard(&self, silence: Duration, length: Option<u64>) -> StallGuard {
        StallGuard::new(silence, self.floor.filter(|_| length.is_some()))
    }
}

impl Check for HealSettings {
    fn check(&self, problems: &mut Problems) {
        if let Some(hold) = &self.hold {
            problems.within("hold", hold);
        }
        if let Some(within) = self.resume_within {
            let range = Duration::from_millis(100)..=Duration::from_secs(3600);
            problems.require(range.contains(&within), "resume_within", within, "100ms to 1h");
        }
        if let Some(floor) = &self.floor {
            problems.within("floor", floor);
        }
    }
}

impl Check for HoldSettings {
    fn check(&self, problems: &mut Problems) {
        let most = 16 * 1024 * 1024;
        problems.require(self.bytes <= most, "bytes", self.bytes, "0 to 16 MiB");
        let range = Duration::from_millis(1)..=Duration::from_secs(60);
        problems.require(range.contains(&self.time), "time", self.time, "1ms to 1m");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn the_defaults_keep_their_own_rules() {
        assert!(Checked::new(HealSettings::default()).is_ok());
    }

    #[test]
    fn small_answers_are_waited_for_as_a_whole_and_streams_for_what_comes_first() {
        let hold = HoldSettings { bytes: 100, ..HoldSettings::default() };
        assert_eq!(hold.wanted(Content::Bytes(Some(100))), Wanted::Whole);
        assert_eq!(hold.wanted(Content::Bytes(Some(101))), Wanted::FirstByte);
        assert_eq!(hold.wanted(Content::Bytes(None)), Wanted::FirstByte);
        assert_eq!(hold.wanted(Content::Events), Wanted::FirstEvent);
        assert_eq!(hold.wanted(Content::Messages), Wanted::FirstMessage);
    }

    #[test]
    fn every_broken_rule_is_told_at_once() {
        let settings = HealSettings {
            hold: Some(HoldSettings { bytes: u64::MAX, time: Duration::ZERO }),
            resume_within: Some(Duration::from_millis(1)),
            ..HealSettings::default()
        };
        let problems = Checked::new(settings).map(|_| ()).unwrap_err();
        let places: Vec<_> = problems.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(places, ["hold.bytes", "hold.time", "resume_within"]);
    }
}
