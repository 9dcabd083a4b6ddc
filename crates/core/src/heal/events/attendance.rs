//! Who is there to read a stream that is kept in a ring, and what is to be done meanwhile.
//!
//! ```text
//!              on_left                        the time is over, or on_closing
//!   here ──────────────────▶ away until ─────────────────────────────────────▶ leave
//!    ▲                          │
//!    └──────────────────────────┘ on_come
//! ```
//!
//! While an application is here, the stream is read as it takes it, not faster: what it hasn't taken can't fall out of the ring. While
//! none is, it is read on, and kept.

use core::time::Duration;

use crate::time::Timestamp;

/// Whether an application is there.
#[derive(Debug)]
pub struct Attendance {
    keep: Duration,
    place: Place,
    /// Counts those who came; the last one is here, or was.
    visitor: u64,
    /// Whether the stream has ended.
    has_ended: bool,
    /// Whether nobody can come back any more.
    is_closing: bool,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Here,
    Away { until: Timestamp },
}

/// What is to be done with the stream, until there is news or its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Read on; until then, if nobody is there.
    Read {
        /// When nobody is waited for any longer.
        until: Option<Timestamp>,
    },
    /// Don't read: the application hasn't taken what is here, or there is no more.
    Rest {
        /// When nobody is waited for any longer.
        until: Option<Timestamp>,
    },
    /// Give it up.
    Leave,
}

impl Attendance {
    /// One application is there, the visitor 1. Where it leaves, it is waited for so long.
    #[must_use]
    pub const fn new(keep: Duration) -> Self {
        Self { keep, place: Place::Here, visitor: 1, has_ended: false, is_closing: false }
    }

    /// An application came: in place of the one that is here, if one is. Gives its number.
    pub const fn on_come(&mut self) -> u64 {
        self.visitor += 1;
        self.place = Place::Here;
        self.visitor
    }

    /// A visitor left. `may_return`: it may come back with an id of ours. One that was replaced by another has no say.
    pub fn on_left(&mut self, visitor: u64, may_return: bool, now: Timestamp) {
        if visitor == self.visitor && matches!(self.place, Place::Here) {
            let keep = if may_return { self.keep } else { Duration::ZERO };
            self.place = Place::Away { until: now + keep };
        }
    }

    /// Nobody who is away can be served any more: what came after the last id that anybody can have has fallen out. The stream isn't
    /// read on for nobody; that it was there is known until the time is over.
    pub fn on_out_of_reach(&mut self) {
        self.has_ended |= !self.is_anybody_here();
    }

    /// The stream ended, well or not.
    pub const fn on_end(&mut self) {
        self.has_ended = true;
    }

    /// The process ends: whoever leaves now can't come back.
    pub const fn on_closing(&mut self) {
        self.is_closing = true;
    }

    /// Whether this visitor is the one that is here.
    #[must_use]
    pub const fn is_here(&self, visitor: u64) -> bool {
        matches!(self.place, Place::Here) && visitor == self.visitor
    }

    /// Whether an application is here.
    #[must_use]
    pub const fn is_anybody_here(&self) -> bool {
        matches!(self.place, Place::Here)
    }

    /// What is to be done. `has_backlog`: something is here that the application hasn't taken.
    #[must_use]
    pub fn duty(&self, has_backlog: bool, now: Timestamp) -> Duty {
        let until = match self.place {
            Place::Away { until } if self.is_closing || now >= until => return Duty::Leave,
            Place::Away { until } => Some(until),
            Place::Here => None,
        };
        if self.has_ended || (until.is_none() && has_backlog) {
            Duty::Rest { until }
        } else {
            Duty::Read { until }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn it_is_read_as_the_application_takes_it_and_on_while_that_is_away() {
        let mut attendance = Attendance::new(KEEP);
        assert_eq!(attendance.duty(false, at(0)), Duty::Read { until: None });
        assert_eq!(attendance.duty(true, at(0)), Duty::Rest { until: None });
        attendance.on_left(1, true, at(10));
        let until = Some(at(70));
        assert_eq!(attendance.duty(false, at(10)), Duty::Read { until });
        assert_eq!(attendance.duty(true, at(69)), Duty::Read { until });
        assert_eq!(attendance.duty(false, at(70)), Duty::Leave);
    }

    #[test]
    fn whoever_comes_takes_the_place_of_the_one_before() {
        let mut attendance = Attendance::new(KEEP);
        assert_eq!(attendance.on_come(), 2);
        assert!(!attendance.is_here(1) && attendance.is_here(2));
        attendance.on_left(1, true, at(0));
        assert!(attendance.is_anybody_here(), "the one before has no say");
        attendance.on_left(2, true, at(0));
        assert!(!attendance.is_anybody_here());
        assert_eq!(attendance.on_come(), 3);
        assert_eq!(attendance.duty(false, at(1000)), Duty::Read { until: None });
    }

    #[test]
    fn what_has_ended_is_kept_for_those_who_come_back_for_its_end() {
        let mut attendance = Attendance::new(KEEP);
        attendance.on_end();
        assert_eq!(attendance.duty(false, at(0)), Duty::Rest { until: None });
        attendance.on_left(1, true, at(0));
        assert_eq!(attendance.duty(false, at(59)), Duty::Rest { until: Some(at(60)) });
        assert_eq!(attendance.duty(false, at(60)), Duty::Leave);
    }

    #[test]
    fn what_nobody_can_come_back_for_isn_t_read_on() {
        let mut attendance = Attendance::new(KEEP);
        attendance.on_out_of_reach();
        assert_eq!(attendance.duty(false, at(0)), Duty::Read { until: None }, "it has all so far");
        attendance.on_left(1, true, at(0));
        attendance.on_out_of_reach();
        assert_eq!(attendance.duty(false, at(1)), Duty::Rest { until: Some(at(60)) });
    }

    #[test]
    fn nobody_is_waited_for_who_can_t_come_back() {
        let mut attendance = Attendance::new(KEEP);
        attendance.on_left(1, false, at(0));
        assert_eq!(attendance.duty(false, at(0)), Duty::Leave);
        let mut attendance = Attendance::new(KEEP);
        attendance.on_closing();
        assert_eq!(attendance.duty(false, at(0)), Duty::Read { until: None }, "it is still here");
        attendance.on_left(1, true, at(0));
        assert_eq!(attendance.duty(false, at(0)), Duty::Leave);
    }
}
