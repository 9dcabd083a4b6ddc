//! What is known of an HTTP/2 connection by all who use it: how much it carries and may carry, and whether it lives.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_core::ping::{Pace, PingSettings};
use tokio::sync::Notify;

use crate::Clock;
use crate::connect::Meter;

/// One connection's shared facts. Its task writes some of them, its streams the others.
#[derive(Debug)]
pub(super) struct Line {
    /// Streams that hold it in the upper half; in the lower half those of them that wait for the peer's leave to
    /// begin. One word, so that a place is taken by nobody twice.
    load: AtomicU64,
    /// What the peer allows at the same time.
    limit: AtomicU32,
    /// Whether the peer's settings have come, so that the limit is its own.
    settled: AtomicBool,
    /// The connection's task has ended: nothing is written any more.
    over: AtomicBool,
    /// When its last stream ended, in nanoseconds.
    idle_since: AtomicU64,
    /// Wakes those who wait for a place, or for the settings.
    room: Notify,
    meter: Arc<Meter>,
    pings: Pings,
    /// A head or data has come since the last PING.
    heard: AtomicBool,
    /// How often in a row the watch found that nothing had come.
    quiet_ticks: AtomicU8,
    /// Somebody wants a PING to be sent.
    ping_wanted: AtomicBool,
    /// PINGs that were answered or found needless, ever, and when the last was answered, in nanoseconds.
    proofs: AtomicU32,
    proved_at: AtomicU64,
    /// A PING wasn't answered in time.
    silent: AtomicBool,
    calmed: AtomicBool,
    task: OnceLock<Waker>,
}

/// When the connections of a target are PINGed.
#[derive(Clone, Debug)]
pub(in crate::pool) struct Pings {
    pub(in crate::pool) settings: PingSettings,
    pub(in crate::pool) pace: Arc<Pace>,
}

/// The wait of a stream that may not begin yet. It counts as waiting until it is placed or dropped.
#[derive(Debug)]
pub(super) struct Waiting {
    line: Arc<Line>,
    placed: bool,
}

impl Line {
    pub(super) fn new(meter: &Arc<Meter>, pings: &Pings) -> Arc<Self> {
        Arc::new(Self {
            load: AtomicU64::new(0),
            limit: AtomicU32::new(ASSUMED_STREAMS),
            settled: AtomicBool::new(false),
            over: AtomicBool::new(false),
            idle_since: AtomicU64::new(Clock::now().as_nanos()),
            room: Notify::new(),
            meter: Arc::clone(meter),
            pings: pings.clone(),
            heard: AtomicBool::new(true),
            quiet_ticks: AtomicU8::new(0),
            ping_wanted: AtomicBool::new(false),
            proofs: AtomicU32::new(0),
            proved_at: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            calmed: AtomicBool::new(false),
            task: OnceLock::new(),
        })
    }

    pub(super) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Streams on it now, waiting ones included.
    pub(super) fn streams(&self) -> u32 {
        held(self.load.load(Ordering::Relaxed))
    }

    /// Whether one more stream may begin at once. Before the peer's settings have come that is known of the first
    /// stream only.
    pub(super) fn has_room(&self) -> bool {
        let load = self.load.load(Ordering::Relaxed);
        if self.settled.load(Ordering::Relaxed) {
            load & WAITING == 0 && held(load) < self.limit.load(Ordering::Relaxed)
        } else {
            held(load) == 0
        }
    }

    /// Since when it has carried nothing; `None` while it carries something.
    pub(super) fn idle_since(&self) -> Option<Timestamp> {
        let since = self.idle_since.load(Ordering::Relaxed);
        (self.streams() == 0).then(|| Timestamp::from_nanos(since))
    }

    /// One more stream holds it.
    pub(super) fn hold(&self) {
        self.load.fetch_add(HOLDER, Ordering::Relaxed);
    }

    /// A stream lets go of it.
    pub(super) fn release(&self) {
        let before = self.load.fetch_sub(HOLDER, Ordering::Relaxed);
        if held(before) == 1 {
            self.idle_since.store(Clock::now().as_nanos(), Ordering::Relaxed);
        }
        if before & WAITING > 0 {
            self.room.notify_one();
        }
    }

    /// Whether a stream that holds it, and doesn't wait, may begin.
    pub(super) fn may_begin(&self) -> bool {
        begun(self.load.load(Ordering::Relaxed)) <= self.limit.load(Ordering::Relaxed)
    }

    // ---- whether it lives --------------------------------------------------------------------------------------

    pub(super) fn pings(&self) -> &Pings {
        &self.pings
    }

    /// A head or data came.
    pub(super) fn note_heard(&self) {
        // Read first: a line that nobody writes to stays in every core's cache.
        if !self.heard.load(Ordering::Relaxed) {
            self.heard.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn take_heard(&self) -> bool {
        self.heard.swap(false, Ordering::Relaxed)
    }

    pub(super) fn note_quiet(&self, ticks: u8) {
        self.quiet_ticks.store(ticks, Ordering::Relaxed);
    }

    /// Whether it has been quiet for so long that it is to be proved alive before it is used.
    pub(super) fn is_quiet(&self, now: Timestamp) -> bool {
        let Some(idle) = self.pings.settings.idle else { return false };
        match self.idle_since() {
            Some(since) => {
                let proved_at = Timestamp::from_nanos(self.proved_at.load(Ordering::Relaxed));
                now.since(since.max(proved_at)) >= self.pings.pace.stretched(idle)
            }
            None => self.quiet_ticks.load(Ordering::Relaxed) >= TICKS,
        }
    }

    /// Asks for a proof of life and waits for it. False when there is none: the connection has been given up.
    pub(super) async fn proved(&self) -> bool {
        let before = self.proofs.load(Ordering::Acquire);
        self.ping_wanted.store(true, Ordering::Release);
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
        self.until(|| self.is_over() || self.proofs.load(Ordering::Acquire) != before).await;
        !self.is_over()
    }

    pub(super) fn take_ping_wanted(&self) -> bool {
        self.ping_wanted.load(Ordering::Relaxed) && self.ping_wanted.swap(false, Ordering::Acquire)
    }

    /// A PING was answered after `round_trip`, or (`None`) may not be sent now: it is used without.
    pub(super) fn note_proof(&self, answered: Option<(Timestamp, Duration)>) {
        if let Some((now, round_trip)) = answered {
            self.proved_at.store(now.as_nanos(), Ordering::Relaxed);
            self.meter.note_ping(round_trip);
            self.note_quiet(0);
        }
        self.proofs.fetch_add(1, Ordering::Release);
        self.room.notify_waiters();
    }

    pub(super) fn note_silent(&self) {
        self.silent.store(true, Ordering::Release);
    }

    /// Whether it was given up because a PING wasn't answered.
    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Acquire)
    }

    /// The peer may have ended the connection because it was asked too much.
    pub(super) fn note_error(&self, error: &h2::Error) {
        let calm = error.is_remote() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM);
        if calm && error.is_go_away() && !self.calmed.swap(true, Ordering::Relaxed) {
            self.pings.pace.on_calm();
        }
    }

    /// Notes how the connection's task is woken.
    pub(super) fn note_task(&self, cx: &Context<'_>) {
        if self.task.get().is_none() {
            let _ = self.task.set(cx.waker().clone());
        }
    }

    /// Whether nothing is written to it any more.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.room.notify_waiters();
    }

    /// Those who wait look again whether there is any use in it.
    pub(super) fn look_again(&self) {
        self.room.notify_waiters();
    }

    /// Notes what the peer allows.
    pub(super) fn allow(&self, streams: u32) {
        let before = self.limit.swap(streams, Ordering::Relaxed);
        if streams > before {
            self.room.notify_waiters();
        }
    }

    /// Notes that the peer's settings have come.
    pub(super) fn settle(&self) {
        if !self.settled.swap(true, Ordering::Relaxed) {
            self.room.notify_waiters();
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }

    /// Ends when the peer's settings have come, or the connection has ended.
    pub(super) async fn settled(&self) {
        self.until(|| self.is_settled() || self.is_over()).await;
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let mut change = std::pin::pin!(self.room.notified());
            change.as_mut().enable();
            if holds() {
                return;
            }
            change.await;
        }
    }
}

impl Waiting {
    /// For a stream that holds the connection.
    pub(super) fn new(line: Arc<Line>) -> Self {
        line.load.fetch_add(1, Ordering::Relaxed);
        Self { line, placed: false }
    }

    /// Ends when the stream may begin, or `lost` says that the connection takes nothing new. False in the latter
    /// case.
    pub(super) async fn placed(mut self, mut lost: impl FnMut() -> bool) -> bool {
        let line = Arc::clone(&self.line);
        loop {
            let mut change = std::pin::pin!(line.room.notified());
            change.as_mut().enable();
            if line.is_over() || lost() {
                return false;
            }
            let limit = line.limit.load(Ordering::Relaxed);
            let placed = line.load.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |load| {
                (begun(load) < limit).then(|| load - 1)
            });
            if placed.is_ok() {
                self.placed = true;
                return true;
            }
            change.await;
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.placed {
            self.line.load.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

const fn held(load: u64) -> u32 {
    (load >> 32) as u32
}

/// Streams that have begun, or will at once.
const fn begun(load: u64) -> u32 {
    held(load).saturating_sub((load & WAITING) as u32)
}

const HOLDER: u64 = 1 << 32;
const WAITING: u64 = HOLDER - 1;

/// How often the watch looks within the shortest length that it watches for.
pub(super) const TICKS: u8 = 4;

/// How many streams are opened before the peer has said how many it allows: what RFC 9113 (section 6.5.2) asks peers to
/// allow at least.
pub(super) const ASSUMED_STREAMS: u32 = 100;
