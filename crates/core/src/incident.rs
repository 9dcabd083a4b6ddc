//! An incident: breaks of one cause at one endpoint that belong together.
//!
//! ```text
//!            so many breaks within so long, or its breaker opens, or its checks fail
//!   quiet ───────────────────────────────────────────────────────────────────────▶ open ◀────────────┐
//!     ▲                                                                              │                │
//!     │                     its breaker closes, a check passes, it answers again ────┤                │ a break
//!     │                                                                              ▼                │
//!     ├───────────────────────── nothing breaks for `settle_for` ◀────────────── settling ────────────┘
//!     └───────────────────────── nothing breaks for `quiet_for`, while it is asked
//! ```
//!
//! A [`Watch`] watches one cause at one place and says when an incident begins and ends. A lone break is none; an outage is one
//! within a second, at any rate worth the name. An endpoint that comes and goes is one incident, not many: what ends one
//! has to hold for `settle_for`. While an endpoint is out (its breaker open, its checks failing) it isn't asked, so that
//! nothing breaks there says nothing, and the incident goes on.
//!
//! What it deliberately doesn't do: count calls, keep what is over, or know what the cause is. It decides nothing about calls.

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::check::{Check, Checked, Problems};
use crate::time::Timestamp;

/// When an incident begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentSettings {
    /// Breaks of one cause at one endpoint that make an incident. 2 to 1000, default 5. Too low, and each hiccup is one; too
    /// high, and an endpoint that is seldom asked never has one, unless its breaker opens.
    pub breaks: u16,
    /// Within how long they have to come. 1 s to 10 min, default 10 s.
    pub within: Duration,
    /// For how long nothing may break until one is over by itself, while the endpoint is asked. 1 s to 1 h, default 60 s.
    pub quiet_for: Duration,
    /// For how long nothing may break after a sign that it is over. 0 to 10 min, default 5 s.
    pub settle_for: Duration,
    /// Answers without a break between them that are such a sign. 1 to 100 000, default 20.
    pub answers: u32,
}

impl Default for IncidentSettings {
    fn default() -> Self {
        Self {
            breaks: 5,
            within: Duration::from_secs(10),
            quiet_for: Duration::from_secs(60),
            settle_for: Duration::from_secs(5),
            answers: 20,
        }
    }
}

impl Check for IncidentSettings {
    fn check(&self, problems: &mut Problems) {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let Self { breaks, within, quiet_for, settle_for, answers } = *self;
        problems.require((2..=1000).contains(&breaks), "breaks", breaks, "2 to 1000");
        problems.require((second..=10 * minute).contains(&within), "within", within, "1s to 10m");
        let quiet = second..=60 * minute;
        problems.require(quiet.contains(&quiet_for), "quiet_for", quiet_for, "1s to 1h");
        problems.require(settle_for <= 10 * minute, "settle_for", settle_for, "0s to 10m");
        problems.require((1..=100_000).contains(&answers), "answers", answers, "1 to 100000");
    }
}

/// Why one began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BeganBy {
    /// So many breaks came within so long.
    Breaks,
    /// The breaker opened.
    BreakerOpened,
    /// Active checks found the endpoint unhealthy.
    CheckFailed,
}

/// Why one ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// The breaker closed.
    BreakerClosed,
    /// Active checks found the endpoint healthy again.
    CheckPassed,
    /// So many answers came without a break between them.
    Answers,
    /// Nothing broke for so long.
    Quiet,
    /// The endpoint isn't in the settings any more.
    Removed,
}

/// What a watch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// An incident began.
    Began {
        /// With its first break.
        at: Timestamp,
        /// Why.
        by: BeganBy,
        /// Breaks that belong to it so far.
        breaks: u16,
    },
    /// It ended.
    Ended {
        /// When what ended it happened; for one that went quiet, the last time that something spoke for it.
        at: Timestamp,
        /// Why.
        by: EndedBy,
    },
}

/// Watches one cause at one place.
#[derive(Clone, Debug, Default)]
pub struct Watch(State);

#[derive(Clone, Debug)]
enum State {
    /// No incident. The last breaks, at most as many as make one.
    Quiet { recent: VecDeque<Timestamp> },
    /// There is one.
    Open {
        last_bad_at: Timestamp,
        /// What may end it, and since when that holds.
        sign: Option<(Timestamp, EndedBy)>,
        /// Answers since the last break.
        answers: u32,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Quiet { recent: VecDeque::new() }
    }
}

impl Watch {
    /// Whether there is an incident now.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.0, State::Open { .. })
    }

    /// What speaks for its end, and since when: it is over once that has held for [`IncidentSettings::settle_for`].
    #[must_use]
    pub const fn sign(&self) -> Option<(Timestamp, EndedBy)> {
        match self.0 {
            State::Open { sign, .. } => sign,
            State::Quiet { .. } => None,
        }
    }

    /// Something broke.
    pub fn on_break(
        &mut self,
        settings: &Checked<IncidentSettings>,
        now: Timestamp,
    ) -> Option<Turn> {
        match &mut self.0 {
            State::Quiet { recent } => {
                let most = usize::from(settings.breaks);
                if recent.len() >= most {
                    recent.pop_front();
                }
                recent.push_back(now);
                let first = *recent.front()?;
                let is_one = recent.len() >= most && now.since(first) <= settings.within;
                is_one.then(|| self.begin(settings, now, BeganBy::Breaks))
            }
            State::Open { last_bad_at, sign, answers } => {
                (*last_bad_at, *sign, *answers) = (now.max(*last_bad_at), None, 0);
                None
            }
        }
    }

    /// The endpoint's breaker opened, and this was the last thing that broke there.
    pub fn on_breaker_opened(
        &mut self,
        settings: &Checked<IncidentSettings>,
        now: Timestamp,
    ) -> Option<Turn> {
        self.on_out(settings, now, BeganBy::BreakerOpened)
    }

    /// Active checks found the endpoint unhealthy, and this is what broke in the last one.
    pub fn on_check_failed(
        &mut self,
        settings: &Checked<IncidentSettings>,
        now: Timestamp,
    ) -> Option<Turn> {
        self.on_out(settings, now, BeganBy::CheckFailed)
    }

    /// The endpoint's breaker closed by itself.
    pub fn on_breaker_closed(&mut self, now: Timestamp) {
        self.on_sign(now, EndedBy::BreakerClosed);
    }

    /// Active checks found the endpoint healthy again.
    pub fn on_check_passed(&mut self, now: Timestamp) {
        self.on_sign(now, EndedBy::CheckPassed);
    }

    /// So many answers came since the last news, after all breaks that were told.
    pub fn on_answers(&mut self, settings: &Checked<IncidentSettings>, count: u32, now: Timestamp) {
        let State::Open { answers, .. } = &mut self.0 else { return };
        *answers = answers.saturating_add(count);
        if *answers >= settings.answers {
            self.on_sign(now, EndedBy::Answers);
        }
    }

    /// The endpoint isn't in the settings any more.
    pub fn on_removed(&mut self, now: Timestamp) -> Option<Turn> {
        self.is_open().then(|| self.end(now, EndedBy::Removed))
    }

    /// Time has passed. `is_out`: the endpoint isn't asked, by what was seen of it.
    pub fn on_time(
        &mut self,
        settings: &Checked<IncidentSettings>,
        now: Timestamp,
        is_out: bool,
    ) -> Option<Turn> {
        let State::Open { last_bad_at, sign, .. } = &mut self.0 else { return None };
        if is_out {
            // Being out speaks for it as a break does: silence counts from its end.
            *last_bad_at = now.max(*last_bad_at);
        }
        match *sign {
            Some((since, by)) if now.since(since) >= settings.settle_for => {
                Some(self.end(since, by))
            }
            _ if now.since(*last_bad_at) >= settings.quiet_for => {
                let at = *last_bad_at;
                Some(self.end(at, EndedBy::Quiet))
            }
            _ => None,
        }
    }

    /// When [`Watch::on_time`] may have something to say; [`Timestamp::MAX`] when nothing is open.
    #[must_use]
    pub fn next_deadline(&self, settings: &Checked<IncidentSettings>) -> Timestamp {
        let State::Open { last_bad_at, sign, .. } = self.0 else { return Timestamp::MAX };
        let quiet_at = last_bad_at + settings.quiet_for;
        sign.map_or(quiet_at, |(since, _)| quiet_at.min(since + settings.settle_for))
    }

    /// Whether it knows nothing that still matters, so that it may be forgotten.
    #[must_use]
    pub fn is_idle(&self, settings: &Checked<IncidentSettings>, now: Timestamp) -> bool {
        match &self.0 {
            State::Quiet { recent } => {
                recent.back().is_none_or(|last| now.since(*last) > settings.within)
            }
            State::Open { .. } => false,
        }
    }

    fn on_out(
        &mut self,
        settings: &Checked<IncidentSettings>,
        now: Timestamp,
        by: BeganBy,
    ) -> Option<Turn> {
        match &mut self.0 {
            State::Quiet { .. } => Some(self.begin(settings, now, by)),
            State::Open { sign, answers, .. } => {
                (*sign, *answers) = (None, 0);
                None
            }
        }
    }

    fn on_sign(&mut self, now: Timestamp, by: EndedBy) {
        if let State::Open { sign: sign @ None, .. } = &mut self.0 {
            *sign = Some((now, by));
        }
    }

    /// It begins with the first of the breaks that are near enough; without any, now.
    fn begin(&mut self, settings: &Checked<IncidentSettings>, now: Timestamp, by: BeganBy) -> Turn {
        let recent = match core::mem::take(&mut self.0) {
            State::Quiet { recent } => recent,
            State::Open { .. } => VecDeque::new(),
        };
        let near = recent.iter().filter(|at| now.since(**at) <= settings.within);
        let (breaks, first) = (near.clone().count(), near.min().copied());
        self.0 = State::Open {
            last_bad_at: recent.back().map_or(now, |last| now.max(*last)),
            sign: None,
            answers: 0,
        };
        Turn::Began {
            at: first.unwrap_or(now),
            by,
            breaks: u16::try_from(breaks).unwrap_or(u16::MAX),
        }
    }

    fn end(&mut self, at: Timestamp, by: EndedBy) -> Turn {
        self.0 = State::default();
        Turn::Ended { at, by }
    }
}

impl BeganBy {
    /// A stable name for records.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Breaks => "breaks",
            Self::BreakerOpened => "breaker-opened",
            Self::CheckFailed => "check-failed",
        }
    }
}

impl EndedBy {
    /// A stable name for records.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BreakerClosed => "breaker-closed",
            Self::CheckPassed => "check-passed",
            Self::Answers => "answers",
            Self::Quiet => "quiet",
            Self::Removed => "removed",
        }
    }
}
