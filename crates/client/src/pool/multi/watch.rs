//! The watch over a connection's life: PINGs before use and while streams wait.
//!
//! It looks at the count of read bytes a few times within the shortest length that it watches for, so that the
//! connection's own work reads no clock and sets no timer. When a PING may be sent is core's decision
//! ([`mainstay_core::ping`]).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use h2::{Ping, PingPong};
use mainstay_core::ping::{PingReason, Pinger};
use tokio::time::{Instant, Sleep, sleep};

use super::line::{Line, TICKS};
use crate::Clock;

/// Watches one connection, within its task.
#[derive(Debug)]
pub(super) struct Watch {
    ping_pong: PingPong,
    pinger: Pinger,
    /// The next look, or the end of the wait for an answer. In a box, since it must not move.
    alarm: Pin<Box<Sleep>>,
    armed: bool,
    tick: Duration,
    /// Bytes that had been read at the last look, and looks since that found no more.
    read_bytes: u64,
    quiet_ticks: u8,
}

impl Watch {
    /// Nothing, when neither kind of PING is wanted.
    pub(super) fn new(ping_pong: Option<PingPong>, line: &Line) -> Option<Self> {
        let settings = &line.pings().settings;
        let shortest = settings.idle.into_iter().chain(settings.interval).min()?;
        let tick = shortest / u32::from(TICKS);
        Some(Self {
            ping_pong: ping_pong?,
            pinger: Pinger::default(),
            alarm: Box::pin(sleep(tick)),
            armed: false,
            tick,
            read_bytes: 0,
            quiet_ticks: 0,
        })
    }

    /// Ready when a PING wasn't answered in time.
    pub(super) fn poll(&mut self, line: &Line, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = line.pings().settings.timeout;
        if self.pinger.answer_until(timeout).is_some()
            && let Poll::Ready(Ok(_)) = self.ping_pong.poll_pong(cx)
        {
            let now = Clock::now();
            self.pinger.on_answer(now);
            self.quiet_ticks = 0;
            line.note_proof(self.pinger.round_trip().map(|round_trip| (now, round_trip)));
            self.arm(Instant::now() + self.tick);
        }
        if line.take_ping_wanted() {
            self.ping(PingReason::BeforeUse, line, cx);
        }
        // A task's waker stays the same, so a timer that is armed needs no second look before it has ended.
        while !self.armed || self.alarm.is_elapsed() {
            self.armed = true;
            if self.alarm.as_mut().poll(cx).is_pending() {
                break;
            }
            if self.pinger.answer_until(timeout).is_some_and(|until| until <= Clock::now()) {
                return Poll::Ready(());
            }
            self.look(line, cx);
        }
        Poll::Pending
    }

    fn look(&mut self, line: &Line, cx: &mut Context<'_>) {
        self.arm(Instant::now() + self.tick);
        let read_bytes = line.meter().read_bytes();
        let is_quiet = read_bytes == self.read_bytes && line.streams() > 0;
        self.read_bytes = read_bytes;
        self.quiet_ticks = if is_quiet { self.quiet_ticks.saturating_add(1) } else { 0 };
        line.note_quiet(self.quiet_ticks);
        let pings = line.pings();
        let quiet_for = self.tick * u32::from(self.quiet_ticks);
        if pings.settings.interval.is_some_and(|length| quiet_for >= pings.pace.stretched(length)) {
            self.ping(PingReason::Waiting, line, cx);
        }
    }

    fn ping(&mut self, reason: PingReason, line: &Line, cx: &mut Context<'_>) {
        if line.take_heard() {
            self.pinger.on_data();
        }
        let pings = line.pings();
        if let Some(until) = self.pinger.answer_until(pings.settings.timeout) {
            // One is out: its answer does for all.
            return self.arm(Clock::instant(until));
        }
        let now = Clock::now();
        let sent = self.pinger.may_ping(reason, &pings.pace, now)
            && self.ping_pong.send_ping(Ping::opaque()).is_ok();
        if !sent {
            return line.note_proof(None);
        }
        self.pinger.on_sent(now);
        // Registers for the answer.
        let _ = self.ping_pong.poll_pong(cx);
        if let Some(until) = self.pinger.answer_until(pings.settings.timeout) {
            self.arm(Clock::instant(until));
        }
    }

    fn arm(&mut self, at: Instant) {
        self.alarm.as_mut().reset(at);
        self.armed = false;
    }
}
