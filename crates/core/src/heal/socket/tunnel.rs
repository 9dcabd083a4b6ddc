//! One WebSocket connection through the proxy: both directions, the watch over the upstream, and how it ends.

use alloc::vec::Vec;
use core::time::Duration;

use super::end::{GOING_AWAY, TunnelEnd};
use super::frames::{Control, Cut, Frames, Malformed, Sender};
use super::outgoing::Outgoing;
use super::settings::SocketSettings;
use super::vigil::{Due, Vigil};
use super::written::{self, Mask};
use crate::chance::Chance;
use crate::time::Timestamp;

/// A WebSocket connection. News go in; [`Tunnel::pending`] is what to write, [`Tunnel::reads`] whom to read from,
/// [`Tunnel::next_deadline`] when to come back, [`Tunnel::reopening`] that the upstream's connection is to be opened again, and
/// [`Tunnel::ending`] how it is over.
#[derive(Debug)]
pub struct Tunnel {
    state: State,
    vigil: Vigil,
    /// Masks of our own frames.
    chance: Chance,
    client: Frames,
    server: Frames,
    to_application: Outgoing,
    to_upstream: Outgoing,
    /// How long it may take to open the upstream's connection again, while no message has begun.
    reconnect: Option<Duration>,
    /// The application's last Ping that the upstream hasn't answered, while it may have to be sent again.
    unanswered: Vec<u8>,
    counts: TunnelCounts,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Application,
    /// The server.
    Upstream,
}

/// How one side's connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// It was closed.
    Closed,
    /// It broke.
    Reset,
}

/// What went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelCounts {
    /// Bytes that came from the application.
    pub sent: u64,
    /// Bytes that came from the upstream.
    pub received: u64,
    /// Pings of our own.
    pub pings: u64,
    /// How often the upstream's connection was opened again, before the first message.
    pub reopened: u16,
    /// The code of the first Close, whoever sent it.
    pub close_code: Option<u16>,
}

/// How it is over. What is pending is still to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub end: TunnelEnd,
    /// The application couldn't be told: its connection ends in the middle of a frame, or of a closing handshake.
    pub is_cut: bool,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Both talk.
    Open,
    /// The upstream's connection broke in this way before the first message, and is being opened again.
    Reopening {
        end: TunnelEnd,
        until: Timestamp,
    },
    /// One has said goodbye. The other one has until then to answer, or to go on sending.
    Closing {
        by: Side,
        until: Timestamp,
    },
    /// Both have. What is left is the end of the connections, the server's first (RFC 6455, section 7.1.1).
    Closed {
        by: Side,
        until: Timestamp,
    },
    /// We have said goodbye to the application, and wait for its answer.
    Parting {
        end: TunnelEnd,
        until: Timestamp,
    },
    Over(Ending),
}

impl Tunnel {
    /// A connection whose handshake is over. `idle_timeout`: how long nothing may move if no Pings are sent.
    #[must_use]
    pub fn new(
        settings: &SocketSettings,
        idle_timeout: Duration,
        mut chance: Chance,
        now: Timestamp,
    ) -> Self {
        Self {
            state: State::Open,
            vigil: Vigil::new(settings, idle_timeout, chance.next_u64(), now),
            chance,
            client: Frames::of(Sender::Client),
            server: Frames::of(Sender::Server),
            to_application: Outgoing::default(),
            to_upstream: Outgoing::default(),
            reconnect: settings.reconnect,
            unanswered: Vec::new(),
            counts: TunnelCounts::default(),
        }
    }

    // ---- news -------------------------------------------------------------------------------------------------

    /// Bytes came.
    pub fn on_bytes(&mut self, from: Side, piece: &[u8], now: Timestamp) {
        if let State::Closing { until, .. } = &mut self.state {
            *until = now + self.vigil.dead_after();
        }
        match from {
            Side::Upstream => self.on_upstream(piece, now),
            Side::Application => self.on_application(piece, now),
        }
    }

    /// One side's connection ended.
    pub fn on_end(&mut self, of: Side, how: ConnectionEnd, now: Timestamp) {
        match (self.state, of) {
            (State::Open, Side::Upstream) => self.broke(upstream_ended(how), now),
            (State::Open | State::Reopening { .. }, Side::Application) => {
                self.over(TunnelEnd::ApplicationGone);
            }
            // Not worth more: the answer to a goodbye is a courtesy.
            (State::Closing { by, .. } | State::Closed { by, .. }, _) => self.over(closed_by(by)),
            (State::Parting { end, .. }, Side::Application) => self.over(end),
            (State::Parting { .. } | State::Reopening { .. }, Side::Upstream)
            | (State::Over(_), _) => {}
        }
    }

    /// The upstream's connection is another one, which agreed to what the application was told.
    pub fn on_reopened(&mut self, now: Timestamp) {
        let State::Reopening { .. } = self.state else { return };
        self.state = State::Open;
        self.counts.reopened = self.counts.reopened.saturating_add(1);
        self.server = Frames::of(Sender::Server);
        self.vigil.on_sign(now);
    }

    /// There is no other one.
    pub fn on_not_reopened(&mut self, now: Timestamp) {
        if let State::Reopening { end, .. } = self.state {
            self.give_up(end, now);
        }
    }

    /// So many bytes of what was pending were written.
    pub fn on_written(&mut self, to: Side, count: usize, now: Timestamp) {
        match to {
            Side::Upstream => self.to_upstream.on_written(count),
            Side::Application => {
                let was_full = self.to_application.is_full();
                self.to_application.on_written(count);
                if was_full && !self.to_application.is_full() {
                    // Nobody listened to the upstream meanwhile.
                    self.vigil.on_sign(now);
                }
            }
        }
    }

    /// The upstream's connection, which took nothing for a while, takes bytes again: somebody reads there.
    pub fn on_upstream_reads(&mut self, now: Timestamp) {
        self.vigil.on_sign(now);
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Timestamp) {
        match self.state {
            State::Open if self.to_application.is_full() => {}
            State::Open => match self.vigil.due(now) {
                Some(Due::Ping) => self.ask(now),
                Some(Due::Dead) => self.broke(TunnelEnd::UpstreamDead, now),
                Some(Due::Idle) => self.broke(TunnelEnd::Idle, now),
                None => {}
            },
            State::Closing { by, until } if now >= until => match by {
                Side::Application => self.broke(TunnelEnd::UpstreamDead, now),
                Side::Upstream => self.over(closed_by(by)),
            },
            State::Closed { by, until } if now >= until => self.over(closed_by(by)),
            State::Parting { end, until } if now >= until => self.over(end),
            State::Reopening { end, until } if now >= until => self.give_up(end, now),
            State::Reopening { .. }
            | State::Closing { .. }
            | State::Closed { .. }
            | State::Parting { .. }
            | State::Over(_) => {}
        }
    }

    /// The proxy ends, and nothing waits any longer.
    pub fn on_drain(&mut self, now: Timestamp) {
        match self.state {
            State::Open => {
                if self.client.is_between_frames() {
                    let mask = self.mask();
                    self.to_upstream.push(&written::close(GOING_AWAY, "", Some(mask)));
                }
                self.part(TunnelEnd::Drained, now);
            }
            State::Reopening { .. } => self.give_up(TunnelEnd::Drained, now),
            State::Closing { by, .. } | State::Closed { by, .. } => self.over(closed_by(by)),
            State::Parting { .. } | State::Over(_) => {}
        }
    }

    // ---- answers ----------------------------------------------------------------------------------------------

    /// What is to be written to one side.
    #[must_use]
    pub fn pending(&self, to: Side) -> &[u8] {
        match to {
            Side::Application => self.to_application.pending(),
            // What is for the next connection isn't for the one that broke.
            Side::Upstream if matches!(self.state, State::Reopening { .. }) => &[],
            Side::Upstream => self.to_upstream.pending(),
        }
    }

    /// The upstream's connection is to be opened again: how it broke, and until when that is waited for. Told until
    /// [`Tunnel::on_reopened`] or [`Tunnel::on_not_reopened`].
    #[must_use]
    pub const fn reopening(&self) -> Option<(TunnelEnd, Timestamp)> {
        match self.state {
            State::Reopening { end, until } => Some((end, until)),
            State::Open
            | State::Closing { .. }
            | State::Closed { .. }
            | State::Parting { .. }
            | State::Over(_) => None,
        }
    }

    /// Whether one side is to be read from. One that isn't has to wait for the other to read.
    #[must_use]
    pub fn reads(&self, from: Side) -> bool {
        match (self.state, from) {
            (State::Over(_), _)
            | (State::Parting { .. } | State::Reopening { .. }, Side::Upstream) => false,
            (State::Parting { .. }, Side::Application) => true,
            (
                State::Open
                | State::Reopening { .. }
                | State::Closing { .. }
                | State::Closed { .. },
                Side::Application,
            ) => !self.to_upstream.is_full(),
            (State::Open | State::Closing { .. } | State::Closed { .. }, Side::Upstream) => {
                !self.to_application.is_full()
            }
        }
    }

    /// When to come back with [`Tunnel::on_time`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.state {
            // An upstream that isn't read from can't give a sign of life.
            State::Open if self.to_application.is_full() => None,
            State::Open => Some(self.vigil.next_deadline().0),
            State::Reopening { until, .. }
            | State::Closing { until, .. }
            | State::Closed { until, .. }
            | State::Parting { until, .. } => Some(until),
            State::Over(_) => None,
        }
    }

    /// How it is over, once it is.
    #[must_use]
    pub const fn ending(&self) -> Option<Ending> {
        match self.state {
            State::Over(ending) => Some(ending),
            State::Open
            | State::Reopening { .. }
            | State::Closing { .. }
            | State::Closed { .. }
            | State::Parting { .. } => None,
        }
    }

    /// What went through by now.
    #[must_use]
    pub const fn counts(&self) -> TunnelCounts {
        self.counts
    }

    // ---- the upstream's bytes -----------------------------------------------------------------------------------

    fn on_upstream(&mut self, mut piece: &[u8], now: Timestamp) {
        self.counts.received += piece.len() as u64;
        if !self.is_joined() {
            return;
        }
        self.vigil.on_sign(now);
        loop {
            match self.server.next(&mut piece) {
                Ok(None) => return,
                Ok(Some(Cut::Control(Control::Pong))) if self.is_our_pong() => {}
                Ok(Some(cut)) => {
                    self.note_message(cut);
                    if cut == Cut::Control(Control::Pong) {
                        self.unanswered.clear();
                    }
                    self.to_application.push(match cut {
                        Cut::Payload(bytes) => bytes,
                        Cut::Head | Cut::Control(_) => self.server.held(),
                    });
                    self.note_close(Side::Upstream, cut, now);
                }
                Err(Malformed) => return self.broke(TunnelEnd::UpstreamMalformed, now),
            }
        }
    }

    fn is_our_pong(&self) -> bool {
        self.counts.pings > 0 && self.server.control_payload() == self.vigil.token()
    }

    // ---- the application's bytes ----------------------------------------------------------------------------------

    fn on_application(&mut self, mut piece: &[u8], now: Timestamp) {
        self.counts.sent += piece.len() as u64;
        if matches!(self.state, State::Over(_)) {
            return;
        }
        self.vigil.on_application(now);
        loop {
            match self.client.next(&mut piece) {
                Ok(None) => break,
                Ok(Some(cut)) if self.is_joined() => {
                    self.note_message(cut);
                    self.note_ping(cut);
                    self.to_upstream.push(match cut {
                        Cut::Payload(bytes) => bytes,
                        Cut::Head | Cut::Control(_) => self.client.held(),
                    });
                    self.note_close(Side::Application, cut, now);
                    self.ask_if_owed(now);
                }
                // What is sent behind a goodbye of ours goes nowhere; its answer is waited for.
                Ok(Some(Cut::Control(Control::Close(_)))) => return self.end_parting(),
                Ok(Some(_)) => {}
                Err(Malformed) if self.is_joined() => {
                    return self.broke(TunnelEnd::ApplicationMalformed, now);
                }
                Err(Malformed) => return self.end_parting(),
            }
        }
    }

    fn end_parting(&mut self) {
        if let State::Parting { end, .. } = self.state {
            self.over(end);
        }
    }

    // ---- the watch ----------------------------------------------------------------------------------------------

    fn ask(&mut self, now: Timestamp) {
        if self.client.is_between_frames() {
            let mask = self.mask();
            self.to_upstream.push(&written::ping(self.vigil.token(), Some(mask)));
            self.counts.pings += 1;
            self.vigil.on_asked(now);
        } else if self.to_upstream.is_empty() {
            self.vigil.on_owed(now);
        } else {
            // What it doesn't take asks as well as a Ping.
            self.vigil.on_asked(now);
        }
    }

    fn ask_if_owed(&mut self, now: Timestamp) {
        let is_open = matches!(self.state, State::Open);
        if is_open && self.vigil.is_owed() && self.client.is_between_frames() {
            self.ask(now);
        }
    }

    fn mask(&mut self) -> Mask {
        let [.., a, b, c, d] = self.chance.next_u64().to_be_bytes();
        [a, b, c, d]
    }

    // ---- the end ------------------------------------------------------------------------------------------------

    /// Whether what comes from one side goes to the other.
    const fn is_joined(&self) -> bool {
        matches!(
            self.state,
            State::Open | State::Reopening { .. } | State::Closing { .. } | State::Closed { .. }
        )
    }

    /// A message that has begun belongs to this connection and no other.
    fn note_message(&mut self, cut: Cut<'_>) {
        if matches!(cut, Cut::Head | Cut::Control(Control::Other)) {
            (self.reconnect, self.unanswered) = (None, Vec::new());
        }
    }

    /// A Ping that is lost with its connection is asked again: it does nothing, and its sender waits for the answer.
    fn note_ping(&mut self, cut: Cut<'_>) {
        if cut == Cut::Control(Control::Ping) && self.reconnect.is_some() {
            self.unanswered = self.client.held().to_vec();
        }
    }

    fn note_close(&mut self, from: Side, cut: Cut<'_>, now: Timestamp) {
        let Cut::Control(Control::Close(code)) = cut else { return };
        self.state = match self.state {
            State::Open => {
                self.counts.close_code = code;
                State::Closing { by: from, until: now + self.vigil.dead_after() }
            }
            // There is nobody to pass it on to.
            State::Reopening { end, .. } => {
                self.counts.close_code = code;
                self.state = State::Closing { by: from, until: now };
                return self.broke(end, now);
            }
            State::Closing { by, .. } if by != from => {
                State::Closed { by, until: now + ENDS_WITHIN }
            }
            state => state,
        };
    }

    /// One side broke. What the upstream hasn't taken by now it won't get.
    fn broke(&mut self, end: TunnelEnd, now: Timestamp) {
        self.to_upstream = Outgoing::default();
        match self.reconnect.filter(|_| self.may_reopen(end)) {
            Some(within) => {
                self.to_upstream.push(&self.unanswered);
                self.state = State::Reopening { end, until: now + within };
            }
            None => self.part(end, now),
        }
    }

    /// Whether another connection would do as well: nothing was said over this one, and it broke by itself.
    fn may_reopen(&self, end: TunnelEnd) -> bool {
        let broke_by_itself = matches!(
            end,
            TunnelEnd::UpstreamReset | TunnelEnd::UpstreamGone | TunnelEnd::UpstreamDead
        );
        broke_by_itself && matches!(self.state, State::Open) && self.counts.reopened < MOST_REOPENED
    }

    /// The upstream's connection isn't opened again.
    fn give_up(&mut self, end: TunnelEnd, now: Timestamp) {
        (self.reconnect, self.state) = (None, State::Open);
        // The last one may have ended in the middle of a frame's head, of which nothing was passed on.
        self.server = Frames::of(Sender::Server);
        self.broke(end, now);
    }

    /// Says goodbye to the application, if that can be done: between two frames, and before the upstream's own.
    fn part(&mut self, end: TunnelEnd, now: Timestamp) {
        let after = match self.state {
            State::Open => Some(State::Parting { end, until: now + PARTS_WITHIN }),
            // It said goodbye itself, and ours is the answer.
            State::Closing { by: Side::Application, .. } => {
                Some(State::Over(Ending { end, is_cut: false }))
            }
            State::Reopening { .. }
            | State::Closing { by: Side::Upstream, .. }
            | State::Closed { .. }
            | State::Parting { .. }
            | State::Over(_) => None,
        };
        let after = after.filter(|_| self.server.is_between_frames());
        let Some((after, (code, reason))) = after.zip(end.goodbye()) else {
            self.state = State::Over(Ending { end, is_cut: true });
            return;
        };
        self.to_application.push(&written::close(code, reason, None));
        self.counts.close_code.get_or_insert(code);
        self.state = after;
    }

    fn over(&mut self, end: TunnelEnd) {
        self.state = State::Over(Ending { end, is_cut: false });
    }
}

const fn upstream_ended(how: ConnectionEnd) -> TunnelEnd {
    match how {
        ConnectionEnd::Closed => TunnelEnd::UpstreamGone,
        ConnectionEnd::Reset => TunnelEnd::UpstreamReset,
    }
}

const fn closed_by(side: Side) -> TunnelEnd {
    match side {
        Side::Application => TunnelEnd::ClosedByApplication,
        Side::Upstream => TunnelEnd::ClosedByUpstream,
    }
}

/// A connection that breaks again and again without a word is no connection.
const MOST_REOPENED: u16 = 3;

/// After both goodbyes a server closes at once. Some wait for the client; then we do it for both.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// How long an application has to answer our goodbye: it is near, and its library answers a Close by itself.
pub const PARTS_WITHIN: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const HELLO: &[u8] = b"\x81\x85mask\x05\x04\x1f\x07\x02";
    const CLOSE_OF_CLIENT: &[u8] = b"\x88\x82mask\x6e\x89";
    const CLOSE_OF_SERVER: &[u8] = b"\x88\x02\x03\xe8";

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn tunnel() -> Tunnel {
        let settings = SocketSettings::default();
        Tunnel::new(&settings, Duration::from_secs(60), Chance::from_seed(1), at(0))
    }

    /// Writes all that is pending for one side.
    fn written(tunnel: &mut Tunnel, to: Side, now: Timestamp) -> Vec<u8> {
        let bytes = tunnel.pending(to).to_vec();
        tunnel.on_written(to, bytes.len(), now);
        bytes
    }

    fn end(tunnel: &Tunnel) -> Option<(TunnelEnd, bool)> {
        tunnel.ending().map(|ending| (ending.end, ending.is_cut))
    }

    #[test]
    fn a_quiet_upstream_is_pinged_and_its_pong_is_kept_from_the_application() {
        let mut tunnel = tunnel();
        tunnel.on_bytes(Side::Application, HELLO, at(1));
        assert_eq!(written(&mut tunnel, Side::Upstream, at(1)), HELLO);
        assert_eq!(tunnel.next_deadline(), Some(at(30)), "what the application says isn't heard");
        tunnel.on_time(at(30));
        let ping = written(&mut tunnel, Side::Upstream, at(30));
        let mut payload = ping[6..].to_vec();
        super::super::frames::mask_with(&ping[2..6], &mut payload);
        assert!(ping.starts_with(b"\x89\x90") && payload.starts_with(b"mainstay"), "{ping:?}");
        let pong = [b"\x8a\x10", payload.as_slice()].concat();
        tunnel.on_bytes(Side::Upstream, &[pong.as_slice(), b"\x81\x01a\x8a\x01?"].concat(), at(31));
        assert_eq!(written(&mut tunnel, Side::Application, at(31)), b"\x81\x01a\x8a\x01?");
        assert_eq!(tunnel.next_deadline(), Some(at(61)));
    }

    #[test]
    fn an_upstream_that_says_nothing_any_more_is_found_and_told_as_1012() {
        let mut tunnel = tunnel();
        tunnel.on_time(at(30));
        tunnel.on_time(at(40));
        let told = written(&mut tunnel, Side::Application, at(40));
        assert_eq!((told[0], &told[2..4]), (0x88, 1012_u16.to_be_bytes().as_slice()));
        assert!(tunnel.reads(Side::Application) && !tunnel.reads(Side::Upstream));
        tunnel.on_bytes(Side::Application, HELLO, at(41));
        assert_eq!(end(&tunnel), None);
        tunnel.on_bytes(Side::Application, CLOSE_OF_CLIENT, at(41));
        assert_eq!(end(&tunnel), Some((TunnelEnd::UpstreamDead, false)));
        assert_eq!(tunnel.pending(Side::Upstream), b"", "the dead one gets nothing more");
        assert_eq!(tunnel.counts().close_code, Some(1012));
    }

    #[test]
    fn an_application_that_doesn_t_answer_isn_t_waited_for() {
        let mut tunnel = tunnel();
        tunnel.on_end(Side::Upstream, ConnectionEnd::Reset, at(5));
        assert_eq!(tunnel.next_deadline(), Some(at(7)));
        tunnel.on_time(at(7));
        assert_eq!(end(&tunnel), Some((TunnelEnd::UpstreamReset, false)));
    }

    #[test]
    fn in_the_middle_of_a_frame_the_application_is_cut_off() {
        let mut tunnel = tunnel();
        tunnel.on_bytes(Side::Upstream, b"\x81\x05he", at(1));
        tunnel.on_end(Side::Upstream, ConnectionEnd::Closed, at(2));
        assert_eq!(end(&tunnel), Some((TunnelEnd::UpstreamGone, true)));
        assert_eq!(written(&mut tunnel, Side::Application, at(2)), b"\x81\x05he");
    }

    #[test]
    fn a_head_that_was_torn_is_held_back_and_doesn_t_keep_a_goodbye_out() {
        let mut tunnel = tunnel();
        tunnel.on_bytes(Side::Upstream, b"\x81\x01a\x81", at(1));
        tunnel.on_end(Side::Upstream, ConnectionEnd::Closed, at(2));
        let told = written(&mut tunnel, Side::Application, at(2));
        assert!(told.starts_with(b"\x81\x01a\x88"), "{told:?}");
        assert_eq!(told[5..7], 1012_u16.to_be_bytes());
    }

    #[test]
    fn nonsense_of_the_upstream_s_is_1011_and_of_the_application_s_1002() {
        let mut of_upstream = tunnel();
        of_upstream.on_bytes(Side::Upstream, b"HTTP/1.1 500 ", at(1));
        assert_eq!(of_upstream.counts().close_code, Some(1011));
        let mut of_application = tunnel();
        of_application.on_bytes(Side::Application, b"\x81\x01a", at(1));
        assert_eq!(of_application.counts().close_code, Some(1002));
        of_application.on_end(Side::Application, ConnectionEnd::Closed, at(1));
        assert_eq!(end(&of_application), Some((TunnelEnd::ApplicationMalformed, false)));
    }

    #[test]
    fn a_closing_handshake_passes_untouched_whoever_begins_it() {
        for (first, end_of) in [
            (Side::Application, TunnelEnd::ClosedByApplication),
            (Side::Upstream, TunnelEnd::ClosedByUpstream),
        ] {
            let mut tunnel = tunnel();
            let mut say = |side| match side {
                Side::Application => {
                    tunnel.on_bytes(side, CLOSE_OF_CLIENT, at(1));
                    assert_eq!(written(&mut tunnel, Side::Upstream, at(1)), CLOSE_OF_CLIENT);
                }
                Side::Upstream => {
                    tunnel.on_bytes(side, CLOSE_OF_SERVER, at(1));
                    assert_eq!(written(&mut tunnel, Side::Application, at(1)), CLOSE_OF_SERVER);
                }
            };
            say(first);
            say(if first == Side::Upstream { Side::Application } else { Side::Upstream });
            assert_eq!((end(&tunnel), tunnel.next_deadline()), (None, Some(at(6))));
            tunnel.on_end(Side::Upstream, ConnectionEnd::Closed, at(2));
            assert_eq!(end(&tunnel), Some((end_of, false)));
            assert_eq!(tunnel.counts().close_code, Some(1000));
        }
    }

    #[test]
    fn a_goodbye_that_is_never_answered_is_answered_by_us() {
        let mut tunnel = tunnel();
        tunnel.on_bytes(Side::Application, CLOSE_OF_CLIENT, at(1));
        tunnel.on_bytes(Side::Upstream, b"\x81\x01a", at(20));
        assert_eq!(tunnel.next_deadline(), Some(at(60)), "an upstream may have more to say first");
        tunnel.on_time(at(60));
        assert_eq!(end(&tunnel), Some((TunnelEnd::UpstreamDead, false)));
        let told = written(&mut tunnel, Side::Application, at(60));
        assert!(told.starts_with(b"\x81\x01a\x88"), "{told:?}");
    }

    #[test]
    fn the_end_of_the_proxy_is_told_to_both() {
        let mut tunnel = tunnel();
        tunnel.on_drain(at(1));
        assert!(written(&mut tunnel, Side::Upstream, at(1)).starts_with(b"\x88\x82"));
        let told = written(&mut tunnel, Side::Application, at(1));
        assert_eq!(told[..1], *b"\x88");
        assert_eq!(told[2..4], 1001_u16.to_be_bytes());
        tunnel.on_bytes(Side::Application, CLOSE_OF_CLIENT, at(1));
        assert_eq!(end(&tunnel), Some((TunnelEnd::Drained, false)));
    }

    const PING_OF_CLIENT: &[u8] = b"\x89\x81mask\x52";

    fn reconnecting() -> Tunnel {
        let reconnect = Some(Duration::from_secs(5));
        let settings = SocketSettings { reconnect, ..SocketSettings::default() };
        Tunnel::new(&settings, Duration::from_secs(60), Chance::from_seed(1), at(0))
    }

    fn reset(tunnel: &mut Tunnel, now: Timestamp) {
        tunnel.on_end(Side::Upstream, ConnectionEnd::Reset, now);
    }

    #[test]
    fn before_the_first_message_another_connection_does_as_well() {
        let mut tunnel = reconnecting();
        tunnel.on_bytes(Side::Upstream, b"\x89\x01?\x81", at(1));
        assert_eq!(written(&mut tunnel, Side::Application, at(1)), b"\x89\x01?");
        reset(&mut tunnel, at(2));
        assert_eq!(tunnel.reopening(), Some((TunnelEnd::UpstreamReset, at(7))));
        assert_eq!(tunnel.next_deadline(), Some(at(7)));
        assert!(!tunnel.reads(Side::Upstream) && tunnel.reads(Side::Application));
        tunnel.on_bytes(Side::Application, HELLO, at(3));
        assert_eq!(tunnel.pending(Side::Upstream), b"", "not for the one that broke");
        tunnel.on_reopened(at(4));
        assert_eq!(written(&mut tunnel, Side::Upstream, at(4)), HELLO);
        tunnel.on_bytes(Side::Upstream, b"\x81\x01a", at(4));
        assert_eq!(written(&mut tunnel, Side::Application, at(4)), b"\x81\x01a");
        assert_eq!((tunnel.counts().reopened, tunnel.reopening()), (1, None));
        reset(&mut tunnel, at(5));
        assert_eq!(tunnel.counts().close_code, Some(1012), "a message has gone over this one");
    }

    #[test]
    fn a_ping_that_was_lost_is_asked_again_and_one_that_was_answered_isnt() {
        let mut tunnel = reconnecting();
        tunnel.on_bytes(Side::Application, PING_OF_CLIENT, at(1));
        assert_eq!(written(&mut tunnel, Side::Upstream, at(1)), PING_OF_CLIENT);
        reset(&mut tunnel, at(2));
        tunnel.on_reopened(at(3));
        assert_eq!(written(&mut tunnel, Side::Upstream, at(3)), PING_OF_CLIENT);
        tunnel.on_bytes(Side::Upstream, b"\x8a\x01?", at(3));
        reset(&mut tunnel, at(4));
        tunnel.on_reopened(at(5));
        assert_eq!(tunnel.pending(Side::Upstream), b"");
    }

    #[test]
    fn where_there_is_no_other_connection_the_break_is_told() {
        for give_up in [Tunnel::on_not_reopened, |tunnel: &mut Tunnel, _| tunnel.on_time(at(7))] {
            let mut tunnel = reconnecting();
            tunnel.on_bytes(Side::Application, PING_OF_CLIENT, at(1));
            reset(&mut tunnel, at(2));
            give_up(&mut tunnel, at(3));
            assert_eq!(tunnel.counts().close_code, Some(1012));
            assert_eq!(tunnel.pending(Side::Upstream), b"");
            tunnel.on_bytes(Side::Application, CLOSE_OF_CLIENT, at(4));
            assert_eq!(end(&tunnel), Some((TunnelEnd::UpstreamReset, false)));
        }
    }

    #[test]
    fn a_connection_that_breaks_again_and_again_is_given_up() {
        let mut tunnel = reconnecting();
        for _ in 0..MOST_REOPENED {
            reset(&mut tunnel, at(1));
            assert!(tunnel.reopening().is_some());
            tunnel.on_reopened(at(1));
        }
        reset(&mut tunnel, at(1));
        assert_eq!((tunnel.reopening(), tunnel.counts().close_code), (None, Some(1012)));
    }

    #[test]
    fn an_upstream_that_is_dead_is_left_for_another_one_and_nonsense_isnt() {
        let mut tunnel = reconnecting();
        tunnel.on_time(at(30));
        tunnel.on_time(at(40));
        assert_eq!(tunnel.reopening().map(|(end, _)| end), Some(TunnelEnd::UpstreamDead));
        let mut tunnel = reconnecting();
        tunnel.on_bytes(Side::Upstream, b"HTTP/1.1 500 ", at(1));
        assert_eq!((tunnel.reopening(), tunnel.counts().close_code), (None, Some(1011)));
    }

    #[test]
    fn who_leaves_meanwhile_is_not_kept() {
        let broken = || {
            let mut tunnel = reconnecting();
            reset(&mut tunnel, at(1));
            tunnel
        };
        let mut left = broken();
        left.on_end(Side::Application, ConnectionEnd::Closed, at(2));
        assert_eq!(end(&left), Some((TunnelEnd::ApplicationGone, false)));
        let mut closed = broken();
        closed.on_bytes(Side::Application, CLOSE_OF_CLIENT, at(2));
        assert_eq!(end(&closed), Some((TunnelEnd::UpstreamReset, false)));
        assert!(closed.pending(Side::Application).starts_with(b"\x88"));
        let mut drained = broken();
        drained.on_drain(at(2));
        assert_eq!((drained.reopening(), drained.counts().close_code), (None, Some(1001)));
    }

    #[test]
    fn an_application_in_the_middle_of_a_frame_puts_the_ping_off() {
        let mut tunnel = tunnel();
        let (begin, rest) = HELLO.split_at(8);
        tunnel.on_bytes(Side::Application, begin, at(1));
        assert_eq!(written(&mut tunnel, Side::Upstream, at(1)), begin);
        tunnel.on_time(at(30));
        tunnel.on_time(at(40));
        assert_eq!((end(&tunnel), tunnel.pending(Side::Upstream)), (None, &b""[..]));
        tunnel.on_bytes(Side::Application, rest, at(45));
        let sent = written(&mut tunnel, Side::Upstream, at(45));
        assert!(sent.starts_with(rest) && sent[rest.len()..].starts_with(b"\x89\x90"), "{sent:?}");
        assert_eq!(tunnel.next_deadline(), Some(at(55)));
    }

    #[test]
    fn an_upstream_that_takes_nothing_is_found_without_a_ping() {
        let mut tunnel = tunnel();
        tunnel.on_bytes(Side::Application, &HELLO[..8], at(1));
        tunnel.on_time(at(30));
        tunnel.on_upstream_reads(at(35));
        assert_eq!(tunnel.next_deadline(), Some(at(65)), "it reads, if slowly");
        tunnel.on_time(at(65));
        tunnel.on_time(at(75));
        assert_eq!(tunnel.counts().pings, 0);
        assert_eq!(tunnel.counts().close_code, Some(1012));
    }

    #[test]
    fn an_upstream_that_isn_t_read_from_isn_t_judged() {
        let mut tunnel = tunnel();
        let mut frame = b"\x82\x7f\0\0\0\0\0\x01\0\0".to_vec();
        frame.resize(10 + 65_536, b'x');
        tunnel.on_bytes(Side::Upstream, &frame, at(1));
        assert!(!tunnel.reads(Side::Upstream));
        assert_eq!(tunnel.next_deadline(), None);
        tunnel.on_time(at(100));
        tunnel.on_written(Side::Application, 1000, at(100));
        assert!(tunnel.reads(Side::Upstream));
        assert_eq!(tunnel.next_deadline(), Some(at(130)));
    }
}
