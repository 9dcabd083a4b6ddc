//! One destination of stored writes: how many are on their way to it, how many more may be, and until when it is left alone.
//!
//! ```text
//!   room ──▶ claimed ──▶ ended ──▶ the window grows, shrinks, or begins anew behind a hold
//! ```
//!
//! Whoever offers asks [`room`](Destination::room), tells what was claimed and what came of it, and comes back at
//! [`asks_again_at`](Destination::asks_again_at), or sooner if something was stored. One destination knows nothing of the others.

use super::{DeadReason, Next, Ramp, StoppedReason, WallTime};

/// What is known of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    ramp: Ramp,
    in_flight: u16,
    held_until: WallTime,
    /// When there is something to be offered, as far as is known.
    next_due: Option<WallTime>,
}

impl Destination {
    /// One that nothing is known of, to which at most `most` writes may be on their way at a time. 0 counts as 1.
    #[must_use]
    pub const fn new(most: u16) -> Self {
        Self { ramp: Ramp::new(most), in_flight: 0, held_until: WallTime(0), next_due: None }
    }

    /// Another bound, after a reload. What is on its way already stays.
    pub fn set_most(&mut self, most: u16) {
        self.ramp.set_most(most);
    }

    /// How many more may go now; `None`: none.
    #[must_use]
    pub fn room(&self, now: WallTime) -> Option<u16> {
        let room = self.ramp.window().saturating_sub(self.in_flight);
        (room > 0 && now >= self.held_until).then_some(room)
    }

    /// So many of its writes are on their way now. `next_due`: when the next one's turn is that isn't, if there is one.
    pub fn on_claimed(&mut self, count: u16, next_due: Option<WallTime>) {
        self.in_flight = self.in_flight.saturating_add(count);
        self.next_due = next_due;
    }

    /// One of them is back, and this becomes of it.
    pub fn on_ended(&mut self, next: Next) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match next {
            Next::Delivered | Next::Dead(DeadReason::Rejected) => self.ramp.on_answer(),
            Next::Again { hold_until: Some(until), .. } => {
                self.ramp.on_held();
                self.held_until = self.held_until.max(until);
            }
            // It never came to a call.
            Next::Stopped(StoppedReason::NoRoute | StoppedReason::Damaged) => {}
            Next::Again { hold_until: None, .. }
            | Next::Stopped(StoppedReason::MaybeDone)
            | Next::Dead(DeadReason::Expired | DeadReason::Exhausted | DeadReason::Dropped) => {
                self.ramp.on_failure();
            }
        }
    }

    /// One of them is left to others, and what becomes of it isn't known.
    pub fn on_left(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// What waits for it can't be read before `until`, so that nothing more is claimed. It says nothing of the destination itself.
    pub fn on_unreadable(&mut self, until: WallTime) {
        self.held_until = self.held_until.max(until);
    }

    /// When there may be something to offer though nothing happens before; `None`: something has to end or to be stored.
    #[must_use]
    pub fn asks_again_at(&self, now: WallTime) -> Option<WallTime> {
        if self.ramp.window() <= self.in_flight {
            return None;
        }
        // What is due isn't known while it is held: nobody asked.
        if now < self.held_until { Some(self.held_until) } else { self.next_due }
    }

    /// Whether nothing is on its way and no hold lasts: where nothing waits either, it may be forgotten.
    #[must_use]
    pub fn is_quiet(&self, now: WallTime) -> bool {
        self.in_flight == 0 && self.held_until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime(1_000);
    const LATER: WallTime = WallTime(5_000);

    fn again(hold_until: Option<WallTime>) -> Next {
        Next::Again { at: LATER, counts: true, hold_until }
    }

    /// One whose window has grown to 8.
    fn warm() -> Destination {
        let mut warm = Destination::new(8);
        for _ in 0..8 {
            warm.on_claimed(1, None);
            warm.on_ended(Next::Delivered);
        }
        warm
    }

    #[test]
    fn one_goes_first_and_answers_make_room_for_more() {
        let mut fresh = Destination::new(8);
        assert_eq!(fresh.room(NOW), Some(1));
        fresh.on_claimed(1, Some(NOW));
        assert_eq!((fresh.room(NOW), fresh.asks_again_at(NOW)), (None, None));
        fresh.on_ended(Next::Dead(DeadReason::Rejected));
        assert_eq!((fresh.room(NOW), fresh.asks_again_at(NOW)), (Some(2), Some(NOW)));
    }

    #[test]
    fn a_hold_sends_nothing_until_it_is_over_and_then_one() {
        let mut held = warm();
        held.on_claimed(1, None);
        held.on_ended(again(Some(LATER)));
        assert_eq!((held.room(NOW), held.asks_again_at(NOW)), (None, Some(LATER)));
        assert!(!held.is_quiet(NOW) && held.is_quiet(LATER));
        assert_eq!(held.room(LATER), Some(1));
    }

    #[test]
    fn a_shorter_hold_does_not_end_a_longer_one() {
        let mut held = warm();
        held.on_claimed(2, None);
        held.on_ended(again(Some(LATER)));
        held.on_ended(again(Some(WallTime(2_000))));
        assert_eq!(held.room(WallTime(2_000)), None);
    }

    #[test]
    fn what_never_came_to_a_call_says_nothing_of_the_destination() {
        for why in [StoppedReason::NoRoute, StoppedReason::Damaged] {
            let mut destination = warm();
            destination.on_claimed(1, None);
            destination.on_ended(Next::Stopped(why));
            assert_eq!(destination.room(NOW), Some(8));
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_asked_for_and_says_nothing_of_the_destination() {
        let mut destination = warm();
        destination.on_unreadable(LATER);
        assert_eq!((destination.room(NOW), destination.asks_again_at(NOW)), (None, Some(LATER)));
        assert_eq!(destination.room(LATER), Some(8));
    }

    #[test]
    fn failures_halve_the_room() {
        let failures = [
            again(None),
            Next::Stopped(StoppedReason::MaybeDone),
            Next::Dead(DeadReason::Exhausted),
            Next::Dead(DeadReason::Expired),
        ];
        for failure in failures {
            let mut destination = warm();
            destination.on_claimed(1, None);
            destination.on_ended(failure);
            assert_eq!(destination.room(NOW), Some(4), "{failure:?}");
        }
    }

    #[test]
    fn a_bound_that_shrinks_below_what_is_on_its_way_makes_room_for_nothing() {
        let mut destination = warm();
        destination.on_claimed(6, None);
        destination.set_most(2);
        assert_eq!(destination.room(NOW), None);
        (0..5).for_each(|_| destination.on_ended(Next::Delivered));
        assert_eq!(destination.room(NOW), Some(1));
    }
}
