//! When an HTTP/2 connection may be PINGed, and how long its answer may take.
//!
//! A PING proves that a connection lives, and costs the peer something; gRPC servers end connections that send too many. Their
//! rule (gRPC proposal A8, and its two servers): a PING is a strike when the last one came less than 5 minutes before, or
//! less than 2 hours where no stream is open; the third strike ends the connection with ENHANCE_YOUR_CALM; whenever the
//! server sends a head or data, all is forgotten, and the next PING is no strike.
//!
//! So after each head or piece of data two PINGs are free: the first is none, the second at most one strike. After those a
//! waiting stream is asked for each 5 minutes, which is no strike either, and an idle connection isn't asked for
//! again before it has brought data. A peer that says ENHANCE_YOUR_CALM all the same has another rule: for its endpoint
//! all lengths are doubled, and only one PING is free.

use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use core::time::Duration;

use crate::time::Timestamp;

/// When PINGs are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PingSettings {
    /// A connection that was quiet for so long is PINGed before it is used; `None`: never.
    pub idle: Option<Duration>,
    /// Streams that wait while nothing arrives for so long make it be PINGed; `None`: never.
    pub interval: Option<Duration>,
    /// How long the answer may take at least.
    pub timeout: Duration,
}

impl Default for PingSettings {
    fn default() -> Self {
        Self {
            idle: Some(Duration::from_secs(10)),
            interval: Some(Duration::from_secs(15)),
            timeout: Duration::from_secs(1),
        }
    }
}

/// What an endpoint's connections have learned of its patience. Shared by all of them, for as long as it is known.
#[derive(Debug, Default)]
pub struct Pace(AtomicU8);

impl Pace {
    /// The peer ended a connection with ENHANCE_YOUR_CALM.
    pub fn on_calm(&self) {
        let _ = self.0.fetch_update(Relaxed, Relaxed, |doublings| {
            (doublings < DOUBLINGS_AT_MOST).then_some(doublings + 1)
        });
    }

    /// A length, for this endpoint.
    #[must_use]
    pub fn stretched(&self, length: Duration) -> Duration {
        length.saturating_mul(1 << self.0.load(Relaxed))
    }

    fn free(&self) -> u8 {
        if self.0.load(Relaxed) == 0 { FREE_PINGS } else { 1 }
    }
}

/// One connection's PINGs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pinger {
    /// Since the peer last sent a head or data.
    since_data: u8,
    last_at: Option<Timestamp>,
    out: bool,
    round_trip: Option<Duration>,
}

/// What a PING is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingReason {
    /// The connection is to be used after a quiet time.
    BeforeUse,
    /// Streams wait for an answer.
    Waiting,
}

impl Pinger {
    /// The peer sent a head or data since it was last asked.
    pub fn on_data(&mut self) {
        self.since_data = 0;
    }

    /// Whether one may be sent at `now`.
    #[must_use]
    pub fn may_ping(&self, reason: PingReason, pace: &Pace, now: Timestamp) -> bool {
        let long_ago = self.last_at.is_none_or(|last| now.since(last) >= pace.stretched(LONG_AGO));
        let allowed = self.since_data < pace.free() || (reason == PingReason::Waiting && long_ago);
        allowed && !self.out
    }

    /// One was sent.
    pub fn on_sent(&mut self, now: Timestamp) {
        self.since_data = self.since_data.saturating_add(1);
        self.last_at = Some(now);
        self.out = true;
    }

    /// Its answer came.
    pub fn on_answer(&mut self, now: Timestamp) {
        if core::mem::take(&mut self.out) {
            self.round_trip = self.last_at.map(|sent| now.since(sent));
        }
    }

    /// Until when the one that is out may be answered: four round trips, but not less than `floor`.
    #[must_use]
    pub fn answer_until(&self, floor: Duration) -> Option<Timestamp> {
        let patience =
            self.round_trip.map_or(floor, |last| floor.max(last.saturating_mul(ROUND_TRIPS)));
        self.last_at.filter(|_| self.out).map(|sent| sent + patience)
    }

    /// How long the last answer took.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}

/// PINGs between two pieces of data: the second may be a strike, of which a gRPC server forgives two.
const FREE_PINGS: u8 = 2;

/// After so long a PING is no strike of a waiting stream's: gRPC's 5 minutes, and what clocks and networks may differ by.
const LONG_AGO: Duration = Duration::from_secs(5 * 60 + 10);

/// 10 s become 43 minutes: whoever wants fewer PINGs than that wants none, and can be told so.
const DOUBLINGS_AT_MOST: u8 = 8;

/// A round trip varies; one that takes four times the last is lost, or as good as lost.
const ROUND_TRIPS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_nanos(1_000_000_000);

    fn at(secs: u64) -> Timestamp {
        START + Duration::from_secs(secs)
    }

    /// A gRPC server's book on one connection, as its source keeps it.
    #[derive(Default)]
    struct Server {
        last_ping: Option<Timestamp>,
        strikes: u32,
    }

    impl Server {
        fn sends_data(&mut self) {
            *self = Self::default();
        }

        fn is_pinged(&mut self, streams: bool, now: Timestamp) {
            let wait = if streams { 5 * 60 } else { 2 * 60 * 60 };
            if self.last_ping.is_some_and(|last| now.since(last) < Duration::from_secs(wait)) {
                self.strikes += 1;
            }
            self.last_ping = Some(now);
            assert!(self.strikes <= 2, "too many pings at {now:?}");
        }
    }

    #[test]
    fn a_grpc_server_with_a_stream_that_waits_for_a_day_never_minds() {
        let (mut pinger, pace, mut server) =
            (Pinger::default(), Pace::default(), Server::default());
        let mut sent = 0;
        // A PING before use, and then the stream that it was for.
        assert!(pinger.may_ping(PingReason::BeforeUse, &pace, at(0)));
        server.is_pinged(false, at(0));
        pinger.on_sent(at(0));
        pinger.on_answer(at(0));
        for now in (15..24 * 60 * 60).step_by(15).map(at) {
            if pinger.may_ping(PingReason::Waiting, &pace, now) {
                server.is_pinged(true, now);
                pinger.on_sent(now);
                pinger.on_answer(now);
                sent += 1;
            }
        }
        assert!(sent > 200, "it goes on asking: {sent}");
    }

    #[test]
    fn calls_that_are_given_up_before_an_answer_never_add_up_to_a_third_strike() {
        let (mut pinger, pace, mut server) =
            (Pinger::default(), Pace::default(), Server::default());
        for now in (0..100_000).step_by(11).map(at) {
            if pinger.may_ping(PingReason::BeforeUse, &pace, now) {
                server.is_pinged(false, now);
                pinger.on_sent(now);
                pinger.on_answer(now);
            }
        }
        server.sends_data();
        pinger.on_data();
        assert!(pinger.may_ping(PingReason::BeforeUse, &pace, at(100_000)));
    }

    #[test]
    fn one_is_out_at_a_time_and_waits_for_four_round_trips() {
        let (mut pinger, pace) = (Pinger::default(), Pace::default());
        let floor = Duration::from_secs(1);
        pinger.on_sent(at(0));
        assert!(!pinger.may_ping(PingReason::BeforeUse, &pace, at(0)));
        assert_eq!(pinger.answer_until(floor), Some(at(1)));
        pinger.on_answer(at(2));
        assert_eq!(pinger.round_trip(), Some(Duration::from_secs(2)));
        assert_eq!(pinger.answer_until(floor), None);
        pinger.on_sent(at(10));
        assert_eq!(pinger.answer_until(floor), Some(at(18)));
    }

    #[test]
    fn a_peer_that_wants_calm_gets_it_within_bounds() {
        let (mut pinger, pace) = (Pinger::default(), Pace::default());
        pace.on_calm();
        assert_eq!(pace.stretched(Duration::from_secs(10)), Duration::from_secs(20));
        pinger.on_sent(at(0));
        pinger.on_answer(at(0));
        assert!(!pinger.may_ping(PingReason::Waiting, &pace, at(600)), "twice 5 minutes and more");
        assert!(pinger.may_ping(PingReason::Waiting, &pace, at(620)));
        (0..100).for_each(|_| pace.on_calm());
        assert_eq!(pace.stretched(Duration::from_secs(1)), Duration::from_secs(256));
    }
}
