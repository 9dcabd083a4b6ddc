//! How many writes are on their way to one destination at a time.
//!
//! An API that has just come back is cold, and everybody's backlog waits for it. So the number begins at one, grows by one with
//! each success until it has reached its bound (which doubles it with each round, as TCP's slow start does: RFC 5681, section
//! 3.1), is halved by a failure, and begins anew at one when the destination is held.

/// A destination's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    window: u16,
    most: u16,
}

impl Ramp {
    /// A window of one that may grow to `most`. At least 1; 0 counts as 1.
    #[must_use]
    pub const fn new(most: u16) -> Self {
        Self { window: 1, most: if most == 0 { 1 } else { most } }
    }

    /// How many may be on their way.
    #[must_use]
    pub const fn window(&self) -> u16 {
        self.window
    }

    /// Another bound, after a reload.
    pub fn set_most(&mut self, most: u16) {
        self.most = most.max(1);
        self.window = self.window.min(self.most);
    }

    /// A write was answered: well, or as refused for good. Either way there is somebody there.
    pub fn on_answer(&mut self) {
        self.window = self.window.saturating_add(1).min(self.most);
    }

    /// A write failed.
    pub fn on_failure(&mut self) {
        self.window = (self.window / 2).max(1);
    }

    /// The destination takes nothing for a while.
    pub fn on_held(&mut self) {
        self.window = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_with_each_round_up_to_its_bound() {
        let mut ramp = Ramp::new(10);
        let mut rounds = std::vec::Vec::new();
        for _ in 0..5 {
            rounds.push(ramp.window());
            (0..ramp.window()).for_each(|_| ramp.on_answer());
        }
        assert_eq!(rounds, [1, 2, 4, 8, 10]);
    }

    #[test]
    fn failures_halve_it_and_a_hold_begins_anew() {
        let mut ramp = Ramp::new(16);
        (0..100).for_each(|_| ramp.on_answer());
        ramp.on_failure();
        assert_eq!(ramp.window(), 8);
        ramp.on_held();
        ramp.on_failure();
        assert_eq!(ramp.window(), 1);
    }

    #[test]
    fn a_bound_may_shrink_and_is_never_nothing() {
        let mut ramp = Ramp::new(0);
        ramp.on_answer();
        assert_eq!(ramp.window(), 1);
        ramp.set_most(8);
        (0..100).for_each(|_| ramp.on_answer());
        ramp.set_most(3);
        assert_eq!(ramp.window(), 3);
    }
}
