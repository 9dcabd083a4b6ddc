//! Where HTTP/2 connections are kept while streams come and go: in divisions, as on the shelf.
//!
//! A thread uses connections of its own division while their peers allow more streams, then one of another division
//! that carries nothing, before a new one is opened: nobody queues for a stream while a further connection may be
//! opened. Where none may, the least loaded one is waited for. Only one is opened at a time in each division: when many calls begin at
//! once, they share the first connection instead of opening one each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_core::ping::PingSettings;
use parking_lot::Mutex;
use tokio::sync::MutexGuard;

use super::ConnectionState;
use super::multi::{Multi, Pings, Stream, Unsettled};

/// The HTTP/2 connections of one target.
#[derive(Debug)]
pub(super) struct Hub {
    divisions: Box<[Division]>,
    reused: AtomicU64,
    stale: AtomicU64,
    pings: Pings,
}

#[derive(Debug, Default)]
struct Division {
    kept: Mutex<Vec<Multi>>,
    opening: tokio::sync::Mutex<()>,
}

impl Hub {
    pub(super) fn new(divisions: usize, pings: PingSettings) -> Self {
        let divisions = (0..divisions).map(|_| Division::default()).collect();
        let pings = Pings { settings: pings, pace: Arc::default() };
        Self { divisions, reused: AtomicU64::new(0), stale: AtomicU64::new(0), pings }
    }

    /// When its connections are PINGed.
    pub(super) fn pings(&self) -> &Pings {
        &self.pings
    }

    /// A stream on a connection that has room.
    pub(super) fn take(&self, own: usize, now: Timestamp) -> Option<Stream> {
        let others = (own + 1..self.divisions.len()).chain(0..own);
        let found = self.take_from(own, now, Multi::has_room).or_else(|| {
            others
                .into_iter()
                .find_map(|place| self.take_from(place, now, |multi| multi.streams() == 0))
        });
        self.note_reused(found)
    }

    /// A stream on the connection that carries the least, room or not: where no further one may be opened.
    pub(super) fn take_any(&self, now: Timestamp) -> Option<Stream> {
        let loads = self.divisions.iter().enumerate().flat_map(|(place, division)| {
            division.kept.lock().iter().map(|multi| (multi.streams(), place)).collect::<Vec<_>>()
        });
        let (least, place) = loads.min()?;
        let found = self.take_from(place, now, |multi| multi.streams() <= least);
        self.note_reused(found)
    }

    fn take_from(
        &self,
        place: usize,
        now: Timestamp,
        fits: impl Fn(&Multi) -> bool,
    ) -> Option<Stream> {
        let mut kept = self.divisions[place].kept.lock();
        self.retain(&mut kept, |multi| multi.is_open(now));
        // The newest first: older ones run empty and are swept away.
        kept.iter().rev().find(|multi| fits(multi)).map(|multi| multi.stream(now))
    }

    fn note_reused(&self, found: Option<Stream>) -> Option<Stream> {
        found.inspect(|_| {
            self.reused.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// Whoever holds this opens the division's next connection; the others wait, and look again.
    pub(super) async fn opening(&self, own: usize) -> MutexGuard<'_, ()> {
        self.divisions[own].opening.lock().await
    }

    /// Ends when the peer of the division's newest connection has said how many streams it allows.
    pub(super) async fn settled(&self, own: usize) {
        let newest = self.divisions[own].kept.lock().last().and_then(Multi::unsettled);
        if let Some(unsettled) = newest {
            Unsettled::settled(unsettled).await;
        }
    }

    /// Keeps a connection for others.
    pub(super) fn put(&self, multi: Multi, own: usize) {
        self.divisions[own].kept.lock().push(multi);
    }

    /// Lets go of connections that are closed, too old, or have carried nothing for too long.
    pub(super) fn sweep(&self, now: Timestamp, idle_timeout: Duration) {
        for division in &self.divisions {
            self.retain(&mut division.kept.lock(), |multi| {
                let idle = multi.idle_since().is_some_and(|since| now.since(since) >= idle_timeout);
                multi.is_open(now) && !idle
            });
        }
    }

    fn retain(&self, kept: &mut Vec<Multi>, keep: impl Fn(&mut Multi) -> bool) {
        kept.retain_mut(|multi| {
            let keep = keep(multi);
            if !keep && multi.is_closed() {
                self.stale.fetch_add(1, Ordering::Relaxed);
            }
            keep
        });
    }

    /// Lets go of one connection that carries nothing. False when there is none.
    pub(super) fn close_one(&self) -> bool {
        self.divisions.iter().any(|division| {
            let mut kept = division.kept.lock();
            let idle = kept.iter().position(|multi| multi.streams() == 0);
            idle.map(|place| kept.remove(place)).is_some()
        })
    }

    /// Connections that carry nothing.
    pub(super) fn idle(&self) -> usize {
        let idle = |division: &Division| {
            division.kept.lock().iter().filter(|multi| multi.streams() == 0).count()
        };
        self.divisions.iter().map(idle).sum()
    }

    /// What the connections in it do, by their numbers.
    pub(super) fn states(&self, now: Timestamp, note: &mut impl FnMut(u64, ConnectionState)) {
        for division in &self.divisions {
            for multi in division.kept.lock().iter_mut() {
                let state = match multi.idle_since() {
                    _ if !multi.is_open(now) => ConnectionState::Draining,
                    Some(since) => ConnectionState::Idle { idle_for: now.since(since) },
                    None => ConnectionState::Busy { streams: multi.streams() },
                };
                note(multi.id(), state);
            }
        }
    }

    pub(super) fn reused(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    pub(super) fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }
}
