//! The calls that wait for room at an upstream: core's line, with those who are to be woken.
//!
//! Who goes first, who is turned away and when is core's to decide ([`Line`]). This keeps the line behind a lock, which
//! nobody takes while there is room, and hands over seats as they become free.

use std::collections::HashMap;
use std::sync::Arc;

use mainstay_core::line::{Entered, Entry, Line, LineSettings, PushedOut, Refused, Ticket};
use mainstay_core::upstream::Seat;
use mainstay_core::{Timestamp, Upstream};
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// An upstream's line. Its generations share it.
#[derive(Debug)]
pub(crate) struct Lineup(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    line: Line,
    waiting: HashMap<Ticket, oneshot::Sender<Told>>,
}

/// What somebody in line is told: that it is its turn, or that it is turned away.
type Told = Result<Seat, Refused>;

/// A place in line, left when dropped.
#[derive(Debug)]
pub(crate) struct InLine {
    lineup: Arc<Lineup>,
    upstream: Arc<Upstream>,
    ticket: Ticket,
    told: oneshot::Receiver<Told>,
    /// The last moment at which it helps to be let in.
    pub(crate) start_by: Timestamp,
}

impl Lineup {
    pub(crate) fn new(settings: LineSettings) -> Arc<Self> {
        let line = Line::new(settings);
        Arc::new(Self(Mutex::new(Inner { line, waiting: HashMap::new() })))
    }

    /// Takes the settings of a new generation.
    pub(crate) fn renew(&self, settings: LineSettings) {
        self.0.lock().line.renew(settings);
    }

    /// Takes a place in line.
    pub(crate) fn enter(
        self: &Arc<Self>,
        upstream: &Arc<Upstream>,
        entry: Entry,
        now: Timestamp,
    ) -> Result<InLine, Refused> {
        let (teller, told) = oneshot::channel();
        let mut inner = self.0.lock();
        let Entered { ticket, pushed_out } = inner.line.enter(entry, now)?;
        inner.waiting.insert(ticket, teller);
        if let Some(PushedOut { ticket, reason }) = pushed_out {
            tell(&mut inner.waiting, ticket, Err(reason));
        }
        upstream.set_lined(inner.line.len());
        // A seat may have become free since the call looked, and whoever left it saw nobody waiting.
        inner.hand_over(upstream, now);
        let start_by = ticket.start_by();
        let (lineup, upstream) = (Arc::clone(self), Arc::clone(upstream));
        Ok(InLine { lineup, upstream, ticket, told, start_by })
    }

    /// Waits in line, for as long as it helps: a seat, or why there is none.
    pub(crate) async fn seat(
        self: &Arc<Self>,
        upstream: &Arc<Upstream>,
        entry: Entry,
        now: Timestamp,
    ) -> Result<Seat, Refused> {
        self.enter(upstream, entry, now)?.told().await
    }

    /// An attempt has ended: lets in whom there is room for. Costs one load while nobody waits.
    #[inline]
    pub(crate) fn on_room(&self, upstream: &Arc<Upstream>, now: Timestamp) {
        if upstream.lined() > 0 {
            self.0.lock().hand_over(upstream, now);
        }
    }
}

impl Inner {
    fn hand_over(&mut self, upstream: &Upstream, now: Timestamp) {
        let Self { line, waiting } = self;
        upstream.let_in(line, now, |ticket, told| tell(waiting, ticket, told));
    }
}

fn tell(waiting: &mut HashMap<Ticket, oneshot::Sender<Told>>, ticket: Ticket, told: Told) {
    if let Some(tell) = waiting.remove(&ticket) {
        // One that has just gone takes its place out of the line itself; a seat that it was given is free again.
        let _ = tell.send(told);
    }
}

impl InLine {
    /// Waits for its turn, or until it is turned away.
    ///
    /// # Errors
    ///
    /// Why it has no turn.
    pub(crate) async fn told(&mut self) -> Told {
        let late = tokio::time::sleep_until(crate::Clock::instant(self.start_by));
        tokio::select! {
            biased;
            // The sender goes only with its message; a line that is gone has no room.
            told = &mut self.told => told.unwrap_or(Err(Refused::Full)),
            () = late => Err(Refused::CannotMakeIt),
        }
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        let now = crate::Clock::now();
        let mut inner = self.lineup.0.lock();
        if inner.line.leave(self.ticket, now) {
            inner.waiting.remove(&self.ticket);
            self.upstream.set_lined(inner.line.len());
        }
        // A seat that was on its way to it goes to the next.
        if let Ok(Ok(seat)) = self.told.try_recv() {
            drop(seat);
            inner.hand_over(&self.upstream, now);
        }
    }
}
