//! Whether the upstream still lives: a Ping when it has been quiet, and anything at all within a time.
//!
//! ```text
//!            quiet for ping_after           a frame ends
//!   quiet ─────────────────────────▶ owed ────────────────▶ asked ─▶ dead after pong_within
//!     ▲                                                       │
//!     └────────────────────── any byte ───────────────────────┘
//! ```
//!
//! Any byte is a sign of life, not only the Pong: an upstream in the middle of a long message can't answer before its frame's end. So
//! a Pong may come when nobody waits for it any more, and is known as ours by a token that no application can have seen.

use core::time::Duration;

use super::settings::SocketSettings;
use crate::time::Timestamp;

/// Watches over one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vigil {
    ping_after: Option<Duration>,
    pong_within: Duration,
    /// How long nothing may move where no Pings are sent.
    idle_timeout: Duration,
    watch: Watch,
    token: [u8; TOKEN_BYTES],
}

#[derive(Clone, Copy, Debug)]
enum Watch {
    /// It was heard.
    Heard(Timestamp),
    /// It couldn't be asked then, since a frame of the application's was under way.
    Owed(Timestamp),
    /// It was asked.
    Asked(Timestamp),
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// A Ping.
    Ping,
    /// It was asked and said nothing.
    Dead,
    /// Nothing moved, and it isn't asked.
    Idle,
}

impl Vigil {
    /// `token`: what no other tunnel has.
    pub(super) fn new(
        settings: &SocketSettings,
        idle_timeout: Duration,
        token: u64,
        now: Timestamp,
    ) -> Self {
        let mut bytes = *TOKEN_BEGINS;
        bytes[TOKEN_BYTES - 8..].copy_from_slice(&token.to_be_bytes());
        Self {
            ping_after: settings.ping_after,
            pong_within: settings.pong_within,
            idle_timeout,
            watch: Watch::Heard(now),
            token: bytes,
        }
    }

    /// It gave a sign of life.
    pub(super) fn on_sign(&mut self, now: Timestamp) {
        self.watch = Watch::Heard(now);
    }

    /// The application sent something, which counts where nobody is asked.
    pub(super) fn on_application(&mut self, now: Timestamp) {
        if self.ping_after.is_none() {
            self.watch = Watch::Heard(now);
        }
    }

    /// It was asked: by a Ping, or by bytes that it doesn't take.
    pub(super) fn on_asked(&mut self, now: Timestamp) {
        self.watch = Watch::Asked(now);
    }

    /// A Ping is due, and has to wait for the end of a frame.
    pub(super) fn on_owed(&mut self, now: Timestamp) {
        self.watch = Watch::Owed(now);
    }

    pub(super) const fn is_owed(&self) -> bool {
        matches!(self.watch, Watch::Owed(_))
    }

    /// The payload of our Pings.
    pub(super) const fn token(&self) -> &[u8] {
        &self.token
    }

    /// How long the way from a quiet moment to a death is.
    pub(super) fn dead_after(&self) -> Duration {
        self.ping_after.map_or(self.idle_timeout, |after| after.saturating_add(self.pong_within))
    }

    /// When to come back, and for what.
    pub(super) fn next_deadline(&self) -> (Timestamp, Due) {
        match (self.watch, self.ping_after) {
            (Watch::Heard(at), Some(after)) => (at + after, Due::Ping),
            (Watch::Heard(at), None) => (at + self.idle_timeout, Due::Idle),
            // Looked at again, in case that the frame is stuck by now.
            (Watch::Owed(at), _) => (at + self.pong_within, Due::Ping),
            (Watch::Asked(at), _) => (at + self.pong_within, Due::Dead),
        }
    }

    /// What is due now.
    pub(super) fn due(&self, now: Timestamp) -> Option<Due> {
        let (at, due) = self.next_deadline();
        (at <= now).then_some(due)
    }
}

const TOKEN_BYTES: usize = 16;

/// Says to whoever looks at the bytes whose Ping it is.
const TOKEN_BEGINS: &[u8; TOKEN_BYTES] = b"mainstay\0\0\0\0\0\0\0\0";

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn vigil(ping_after: Option<Duration>) -> Vigil {
        let settings = SocketSettings { ping_after, ..SocketSettings::default() };
        Vigil::new(&settings, Duration::from_secs(60), 7, at(0))
    }

    #[test]
    fn it_is_asked_when_it_was_quiet_and_dead_when_it_says_nothing() {
        let mut vigil = vigil(Some(Duration::from_secs(30)));
        vigil.on_sign(at(5));
        assert_eq!((vigil.due(at(34)), vigil.due(at(35))), (None, Some(Due::Ping)));
        vigil.on_asked(at(35));
        assert_eq!((vigil.due(at(44)), vigil.due(at(45))), (None, Some(Due::Dead)));
        vigil.on_sign(at(44));
        assert_eq!(vigil.next_deadline(), (at(74), Due::Ping));
    }

    #[test]
    fn while_it_can_t_be_asked_it_isn_t_judged() {
        let mut vigil = vigil(Some(Duration::from_secs(30)));
        vigil.on_owed(at(30));
        assert_eq!(vigil.next_deadline(), (at(40), Due::Ping));
        vigil.on_asked(at(100));
        assert_eq!(vigil.next_deadline(), (at(110), Due::Dead));
    }

    #[test]
    fn without_pings_anything_that_moves_puts_the_end_off() {
        let mut vigil = vigil(None);
        vigil.on_application(at(10));
        assert_eq!(vigil.next_deadline(), (at(70), Due::Idle));
        vigil.on_sign(at(20));
        assert_eq!(vigil.next_deadline(), (at(80), Due::Idle));
    }
}
