//! The waiting line: calls that found the [limit](crate::limit) reached, until there is room or it is too late.
//!
//! It is bounded, and it knows what its calls are there for: who couldn't be answered in time any more isn't kept waiting, but
//! told at once, while there is time to do something else.
//!
//! ```text
//!   enter ──▶ Refused: full, or can't make it
//!     │
//!     ▼             ┌── next ──▶ LetIn
//!   waiting ────────┼── next, expire ──▶ can't make it any more
//!                   ├── enter, of somebody with a higher priority ──▶ pushed out
//!                   └── leave
//! ```
//!
//! Higher priorities go first, always. Among equals it is first in, first out while all is calm, and last in, first out under
//! overload. A long line in its right order serves everybody when it is nearly too late: each one has waited for as long as
//! the line is. Turned around, it serves most at once, and the others, who would have been too late anyway, run out of time.
//! So does Facebook's adaptive LIFO (Maurer, "Fail at scale", ACM Queue 13(8), 2015), whose sign of overload is a line that
//! hasn't been empty for 100 ms. Ours is CoDel's, from which that one is derived: for 100 ms the wait has been above
//! 5 ms (Nichols and Jacobson, "Controlling queue delay", ACM Queue 10(5), 2012). A line that is never empty, but moves
//! fast, is no overload. Each priority is looked at by itself, since the highest may wait for nothing while the lowest starves.
//! Both of them then drop who has waited for longer than the target; here the call's own deadline decides.
//!
//! The machine is pure: it holds no waker and no lock. One rule for its driver: after each change of what is in flight, call
//! [`Line::next`] for as long as there is room, and at [`Line::next_deadline`] call [`Line::expire`] until it gives nothing.
//! Each ticket comes out once. Operations take O(log n), memory is bounded by the line's length.

mod class;
mod settings;

use alloc::collections::BTreeSet;
use core::array;
use core::fmt;
use core::time::Duration;

use class::Class;
pub use settings::{CLASSES, LineSettings, Priority};

use crate::time::{Timestamp, nanos};

/// Those who wait for one limit.
#[derive(Debug)]
pub struct Line {
    settings: LineSettings,
    /// By priority.
    classes: [Class; CLASSES],
    /// All of them, by when they have to be let in.
    by_start: BTreeSet<(Timestamp, Ticket)>,
    entered: u64,
}

/// Somebody who wants to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Before whom it goes.
    pub priority: Priority,
    /// When it has no use for an answer any more.
    pub give_up_at: Timestamp,
    /// What an attempt takes, by what was observed; zero where nothing was.
    pub needs: Duration,
}

/// A place in a line. Only that line can make use of it.
// Ordered as they came: `number` is compared first, and no two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    number: u64,
    priority: Priority,
    entered_at: Timestamp,
    /// The last moment at which it helps to be let in.
    start_by: Timestamp,
}

/// A place was found.
#[must_use = "who was pushed out has to be told"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// The place.
    pub ticket: Ticket,
    /// Who had to go for it, and has to be told.
    pub pushed_out: Option<PushedOut>,
}

/// Who had to go, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushedOut {
    /// Whose place it was.
    pub ticket: Ticket,
    /// [`Refused::CannotMakeIt`] when it was too late for it anyway; [`Refused::PushedOut`] when a higher priority took its place.
    pub reason: Refused,
}

/// Why somebody doesn't wait, or not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// The line is full, of calls that aren't less important.
    Full,
    /// It waited, and a higher priority took its place.
    PushedOut,
    /// An attempt takes longer than there is time left.
    CannotMakeIt,
}

/// Whose turn it is.
#[must_use = "who is let in or dropped has to be told"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// This one is to be let in.
    LetIn(Ticket),
    /// This one can't make it any more; ask again.
    Drop(Ticket),
}

/// A line, to be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineView {
    /// Calls that wait, by priority.
    pub waiting: [u32; CLASSES],
    /// Which priorities are in overload: who came last goes first.
    pub overloaded: [bool; CLASSES],
    /// How long the oldest has waited.
    pub oldest_for: Option<Duration>,
}

impl Line {
    /// An empty line.
    #[must_use]
    pub fn new(settings: LineSettings) -> Self {
        Self {
            settings,
            classes: array::from_fn(|_| Class::default()),
            by_start: BTreeSet::new(),
            entered: 0,
        }
    }

    /// Takes new settings. Those who wait stay; if there are more than may be, nobody enters before enough have gone.
    pub fn renew(&mut self, settings: LineSettings) {
        self.settings = settings;
    }

    /// Lets somebody wait. In a full line this takes the place of somebody for whom it is too late; or else of one with the
    /// lowest priority, if that is lower, and of those the one that would be let in last.
    ///
    /// # Errors
    ///
    /// [`Refused::CannotMakeIt`] if it would be too late even at once; [`Refused::Full`] if there is no place.
    pub fn enter(&mut self, entry: Entry, now: Timestamp) -> Result<Entered, Refused> {
        let start_by = entry.start_by().filter(|start_by| now <= *start_by);
        let start_by = start_by.ok_or(Refused::CannotMakeIt)?;
        let pushed_out =
            if self.is_full() { Some(self.push_out(entry.priority, now)?) } else { None };
        let ticket =
            Ticket { number: self.entered, priority: entry.priority, entered_at: now, start_by };
        self.entered += 1;
        self.classes[entry.priority.index()].enter(ticket, &self.settings);
        self.by_start.insert((start_by, ticket));
        Ok(Entered { ticket, pushed_out })
    }

    /// Takes somebody out who doesn't want to wait any longer. False if the ticket has come out before.
    pub fn leave(&mut self, ticket: Ticket, now: Timestamp) -> bool {
        let waited = self.by_start.remove(&(ticket.start_by, ticket));
        let taken = self.classes[ticket.priority.index()].take(ticket, &self.settings, now);
        debug_assert_eq!(waited, taken, "each ticket is in both orders or in none");
        waited
    }

    /// Whose turn it is, to be asked when there is room for one; `None` when nobody waits.
    pub fn next(&mut self, now: Timestamp) -> Option<Turn> {
        if let Some(late) = self.expire(now) {
            return Some(Turn::Drop(late));
        }
        let first = |class: &Class| class.first(&self.settings, now);
        let ticket = self.classes.iter().rev().find_map(first)?;
        self.leave(ticket, now);
        Some(Turn::LetIn(ticket))
    }

    /// Takes out one that can't make it any more, and has to be told; to be called until it gives nothing.
    pub fn expire(&mut self, now: Timestamp) -> Option<Ticket> {
        let (start_by, ticket) = *self.by_start.first()?;
        if now <= start_by {
            return None;
        }
        self.leave(ticket, now);
        Some(ticket)
    }

    /// When the first of those who wait can't make it any more; `None` when nobody waits, or for ever.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let (start_by, _) = *self.by_start.first()?;
        // At `start_by` itself it still helps to be let in.
        let late_at = start_by + Duration::from_nanos(1);
        (late_at > start_by).then_some(late_at)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_start.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// What there is to show.
    #[must_use]
    pub fn view(&self, now: Timestamp) -> LineView {
        let class = |index: usize| &self.classes[index];
        let oldest = self.classes.iter().filter_map(Class::oldest).min();
        LineView {
            waiting: array::from_fn(|index| u32::try_from(class(index).len()).unwrap_or(u32::MAX)),
            overloaded: array::from_fn(|index| class(index).is_overloaded(&self.settings, now)),
            oldest_for: oldest.map(|ticket| ticket.waited(now)),
        }
    }

    fn is_full(&self) -> bool {
        self.len() >= self.settings.length as usize
    }

    /// Makes room in a full line for somebody with this priority.
    fn push_out(&mut self, priority: Priority, now: Timestamp) -> Result<PushedOut, Refused> {
        // A line that has been made shorter isn't filled up again by those who take a place each.
        if self.len() > self.settings.length as usize || self.settings.length == 0 {
            return Err(Refused::Full);
        }
        if let Some(ticket) = self.expire(now) {
            return Ok(PushedOut { ticket, reason: Refused::CannotMakeIt });
        }
        let last = |class: &Class| class.last(&self.settings, now);
        let lower = &self.classes[..priority.index()];
        let ticket = lower.iter().find_map(last).ok_or(Refused::Full)?;
        self.leave(ticket, now);
        Ok(PushedOut { ticket, reason: Refused::PushedOut })
    }
}

impl Entry {
    /// The last moment at which it helps to be let in; `None` if that was before the run began.
    fn start_by(&self) -> Option<Timestamp> {
        self.give_up_at.as_nanos().checked_sub(nanos(self.needs)).map(Timestamp::from_nanos)
    }
}

impl Ticket {
    /// Its priority.
    #[must_use]
    pub const fn priority(self) -> Priority {
        self.priority
    }

    /// The last moment at which it helps to be let in.
    #[must_use]
    pub const fn start_by(self) -> Timestamp {
        self.start_by
    }

    /// How long it has waited until `now`.
    #[must_use]
    pub const fn waited(self, now: Timestamp) -> Duration {
        now.since(self.entered_at)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the waiting line is full",
            Self::PushedOut => "a call of higher priority needed the place",
            Self::CannotMakeIt => "an attempt takes longer than there is time left",
        })
    }
}

impl core::error::Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn line(length: u32) -> Line {
        Line::new(LineSettings { length, ..LineSettings::default() })
    }

    /// Somebody who needs 50 ms, and gives up then.
    fn until(millis: u64, priority: Priority) -> Entry {
        Entry { priority, give_up_at: at(millis), needs: Duration::from_millis(50) }
    }

    fn patient(priority: Priority) -> Entry {
        until(60_000, priority)
    }

    /// Enters where there is room.
    #[track_caller]
    fn enter(line: &mut Line, entry: Entry, now: u64) -> Ticket {
        let entered =
            line.enter(entry, at(now)).ok().filter(|entered| entered.pushed_out.is_none());
        entered.map(|entered| entered.ticket).unwrap_or_else(|| panic!("no room at {now}"))
    }

    fn all(line: &mut Line, now: u64) -> Vec<Turn> {
        core::iter::from_fn(|| line.next(at(now))).collect()
    }

    #[test]
    fn first_in_first_out_while_all_is_calm_and_higher_priorities_before() {
        let mut line = line(10);
        let normal = [0, 1, 2].map(|now| enter(&mut line, patient(Priority::NORMAL), now));
        let high = [3, 4].map(|now| enter(&mut line, patient(Priority::HIGHEST), now));
        let low = enter(&mut line, patient(Priority::LOWEST), 4);
        let order = [high[0], high[1], normal[0], normal[1], normal[2], low];
        assert_eq!(all(&mut line, 5), order.map(Turn::LetIn));
        assert!(line.is_empty());
    }

    #[test]
    fn the_order_turns_around_once_the_wait_was_above_the_target_for_an_interval() {
        let waiting = |now| {
            let mut line = line(10);
            let tickets = [0, 10, 20].map(|now| enter(&mut line, patient(Priority::NORMAL), now));
            let first = line.next(at(now));
            (first == Some(Turn::LetIn(tickets[0])), line.view(at(now)).overloaded[1])
        };
        assert_eq!(waiting(104), (true, false));
        assert_eq!(waiting(105), (false, true));
    }

    #[test]
    fn it_is_calm_again_when_the_oldest_has_hardly_waited_or_nobody_waits() {
        let mut line = line(10);
        enter(&mut line, patient(Priority::NORMAL), 0);
        let second = enter(&mut line, patient(Priority::NORMAL), 198);
        let oldest = enter(&mut line, patient(Priority::HIGHEST), 200);
        assert_eq!(line.view(at(200)).overloaded, [false, true, false, false]);
        assert_eq!(line.next(at(200)), Some(Turn::LetIn(oldest)));
        assert_eq!(line.next(at(200)), Some(Turn::LetIn(second)), "the newest");
        let third = enter(&mut line, patient(Priority::NORMAL), 201);
        assert_eq!(line.view(at(201)).overloaded, [false, true, false, false]);
        assert_eq!(all(&mut line, 203).len(), 2);
        assert_eq!(line.view(at(400)), LineView::default());

        let fourth = enter(&mut line, patient(Priority::NORMAL), 400);
        let fifth = enter(&mut line, patient(Priority::NORMAL), 504);
        assert!(line.leave(fourth, at(505)));
        assert_eq!(line.view(at(505)).overloaded, [false; 4], "the next one has just come");
        assert_eq!(line.view(at(608)).overloaded, [false; 4]);
        assert!(line.view(at(609)).overloaded[1]);
        assert_eq!(all(&mut line, 609), [Turn::LetIn(fifth)]);
        assert!(!line.leave(third, at(609)));
    }

    #[test]
    fn a_line_that_moves_fast_is_no_overload_however_long_it_is_not_empty() {
        let mut line = line(10);
        let mut expected = enter(&mut line, patient(Priority::NORMAL), 0);
        for now in 1..1_000 {
            let newer = enter(&mut line, patient(Priority::NORMAL), now);
            assert_eq!(line.next(at(now + 1)), Some(Turn::LetIn(expected)));
            expected = newer;
        }
    }

    #[test]
    fn who_cannot_make_it_is_refused_or_dropped_on_the_way() {
        let mut line = line(10);
        let refused = line.enter(until(149, Priority::NORMAL), at(100));
        assert_eq!(refused, Err(Refused::CannotMakeIt));
        let soon = enter(&mut line, until(200, Priority::NORMAL), 100);
        let sooner = enter(&mut line, until(160, Priority::NORMAL), 101);
        let later = enter(&mut line, patient(Priority::NORMAL), 102);
        assert_eq!(line.next_deadline(), Some(at(110) + Duration::from_nanos(1)));
        assert_eq!(line.expire(at(110)), None, "there is just enough time");
        assert_eq!(line.expire(at(111)), Some(sooner));
        assert_eq!(line.expire(at(111)), None);
        assert_eq!(all(&mut line, 151), [Turn::Drop(soon), Turn::LetIn(later)]);
        assert_eq!(line.next_deadline(), None);
    }

    #[test]
    fn in_a_full_line_a_higher_priority_takes_the_place_of_the_one_let_in_last() {
        let full = || {
            let mut line = line(3);
            let low = [0, 1].map(|now| enter(&mut line, patient(Priority::LOWEST), now));
            enter(&mut line, patient(Priority::NORMAL), 2);
            (line, low)
        };
        let pushed_out = |ticket| Some(PushedOut { ticket, reason: Refused::PushedOut });

        let (mut line, low) = full();
        assert_eq!(line.enter(patient(Priority::LOWEST), at(3)), Err(Refused::Full));
        let entered = line.enter(patient(Priority::NORMAL), at(3));
        assert_eq!(entered.map(|entered| entered.pushed_out), Ok(pushed_out(low[1])), "calm");

        let (mut line, low) = full();
        let entered = line.enter(patient(Priority::HIGHEST), at(500));
        assert_eq!(entered.map(|entered| entered.pushed_out), Ok(pushed_out(low[0])), "overload");
        let entered = line.enter(patient(Priority::NORMAL), at(500));
        assert_eq!(entered.map(|entered| entered.pushed_out), Ok(pushed_out(low[1])));
        assert_eq!(line.enter(patient(Priority::NORMAL), at(500)), Err(Refused::Full));
        assert_eq!(line.len(), 3);
    }

    #[test]
    fn in_a_full_line_those_go_first_for_whom_it_is_too_late() {
        let mut line = line(2);
        let late = enter(&mut line, until(100, Priority::HIGHEST), 0);
        enter(&mut line, patient(Priority::LOWEST), 0);
        let entered =
            line.enter(patient(Priority::LOWEST), at(51)).map(|entered| entered.pushed_out);
        assert_eq!(entered, Ok(Some(PushedOut { ticket: late, reason: Refused::CannotMakeIt })));
    }

    #[test]
    fn nobody_waits_in_a_line_of_no_length() {
        let mut line = line(0);
        assert_eq!(line.enter(patient(Priority::HIGHEST), at(0)), Err(Refused::Full));
        assert_eq!((line.next(at(0)), line.len()), (None, 0));
    }

    #[test]
    fn a_line_that_is_made_shorter_lets_nobody_in_until_enough_have_gone() {
        let mut line = line(3);
        (0..3).for_each(|now| _ = enter(&mut line, patient(Priority::LOWEST), now));
        line.renew(LineSettings { length: 2, ..LineSettings::default() });
        assert_eq!(line.enter(patient(Priority::HIGHEST), at(3)), Err(Refused::Full));
        assert!(line.next(at(3)).is_some());
        assert!(line.enter(patient(Priority::HIGHEST), at(3)).is_ok());
        assert_eq!(line.len(), 2);
    }

    #[test]
    fn the_ends_of_time_are_times() {
        let mut line = line(9);
        let never =
            Entry { priority: Priority::NORMAL, give_up_at: Timestamp::MAX, needs: Duration::ZERO };
        enter(&mut line, never, 0);
        assert_eq!(line.next_deadline(), None);
        assert_eq!(line.expire(Timestamp::MAX), None);
        let too_much = Entry { needs: Duration::MAX, give_up_at: at(5), ..never };
        assert_eq!(line.enter(too_much, at(0)), Err(Refused::CannotMakeIt));
    }
}
