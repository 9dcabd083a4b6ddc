//! When something is due: a sign of life for the application, or the end of a stream in which nothing comes any more.
//!
//! ```text
//!            on_break             on_connected              on_delivered
//!   healthy ─────────▶ away ───────────────────▶ catching up ──────────▶ healthy
//!   dead_after         heartbeat                 both                    dead_after
//! ```

use core::time::Duration;

use super::settings::EventSettings;
use crate::time::Timestamp;

/// Watches over one stream. After each input the driver asks [`Vigil::next_deadline`], and calls [`Vigil::on_time`] when it
/// has come.
#[derive(Clone, Copy, Debug)]
pub struct Vigil {
    heartbeat: Duration,
    dead_after: Duration,
    /// When the server was last heard of; `None` while there is no connection.
    heard_at: Option<Timestamp>,
    /// When the application last heard of us, while a stream is being continued.
    spoke_at: Option<Timestamp>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// A sign of life ([`super::HEARTBEAT`]).
    Heartbeat,
    /// The stream is dead: it broke by [`crate::BreakKind::BodyStalled`].
    Dead,
}

impl Vigil {
    /// The head of a stream came.
    #[must_use]
    pub const fn new(settings: &EventSettings, now: Timestamp) -> Self {
        Self {
            heartbeat: settings.heartbeat,
            dead_after: settings.dead_after,
            heard_at: Some(now),
            spoke_at: None,
        }
    }

    /// Bytes came, whatever they are.
    pub fn on_bytes(&mut self, now: Timestamp) {
        self.heard_at = Some(now);
    }

    /// The stream broke and is to be continued.
    pub fn on_break(&mut self, now: Timestamp) {
        self.heard_at = None;
        self.spoke_at = self.spoke_at.or(Some(now));
    }

    /// A connection that continues it is there.
    pub fn on_connected(&mut self, now: Timestamp) {
        self.heard_at = Some(now);
    }

    /// Takes over when a copy of this last spoke: the one that watched while the stream was away.
    pub fn resume(&mut self, while_away: Self) {
        self.spoke_at = while_away.spoke_at;
    }

    /// The application was given something of the server's.
    pub fn on_delivered(&mut self) {
        self.spoke_at = None;
    }

    /// When to come back, and for what.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Timestamp, Due)> {
        let dead = self.heard_at.map(|at| (at + self.dead_after, Due::Dead));
        let heartbeat = self.spoke_at.map(|at| (at + self.heartbeat, Due::Heartbeat));
        [heartbeat, dead].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What is due now, once.
    pub fn on_time(&mut self, now: Timestamp) -> Option<Due> {
        let (_, due) = self.next_deadline().filter(|(at, _)| *at <= now)?;
        match due {
            Due::Heartbeat => self.spoke_at = Some(now),
            Due::Dead => self.heard_at = None,
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn vigil() -> Vigil {
        Vigil::new(&EventSettings::default(), at(0))
    }

    #[test]
    fn a_stream_that_is_silent_for_too_long_is_dead_and_any_byte_is_a_sign_of_life() {
        let mut vigil = vigil();
        vigil.on_bytes(at(40));
        assert_eq!(vigil.next_deadline(), Some((at(85), Due::Dead)));
        assert_eq!(vigil.on_time(at(84)), None);
        assert_eq!(vigil.on_time(at(85)), Some(Due::Dead));
        assert_eq!(vigil.on_time(at(85)), None, "told once");
    }

    #[test]
    fn while_it_is_being_continued_the_application_hears_of_us_at_each_interval() {
        let mut vigil = vigil();
        vigil.on_break(at(10));
        assert_eq!(vigil.next_deadline(), Some((at(15), Due::Heartbeat)));
        assert_eq!(vigil.on_time(at(16)), Some(Due::Heartbeat));
        assert_eq!(vigil.next_deadline(), Some((at(21), Due::Heartbeat)));
        vigil.on_break(at(20));
        assert_eq!(vigil.next_deadline(), Some((at(21), Due::Heartbeat)), "not put off by breaks");
    }

    #[test]
    fn while_it_catches_up_both_run_and_what_is_delivered_ends_the_signs_of_life() {
        let mut vigil = vigil();
        vigil.on_break(at(10));
        vigil.on_connected(at(12));
        vigil.on_bytes(at(14));
        for second in (15..=55).step_by(5) {
            assert_eq!(vigil.on_time(at(second)), Some(Due::Heartbeat), "{second}");
        }
        assert_eq!(vigil.on_time(at(59)), Some(Due::Dead));
        vigil.on_connected(at(59));
        vigil.on_delivered();
        assert_eq!(vigil.next_deadline(), Some((at(59 + 45), Due::Dead)));
    }
}
