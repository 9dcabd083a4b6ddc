//! Where HTTP/2 connections are kept while streams come and go: in divisions, as on the shelf.
//!
//! A thread uses connections of its own division while their peers allow more streams, then one of another division
//! that carries nothing, before a new one is opened: nobody queues for a stream while a further connection may be
//! opened. Where none may, the least loaded one is waited for. Only one is opened at a time in each division: when many calls begin at
//! once, they share the first connection instead of opening one each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mainstay_core::Timestamp;
use mainstay_core::ping::PingSettings;
use parking_lot::Mutex;
use tokio::sync::MutexGuard;

use super::ConnectionState;
use super::multi::{Multi, Pings, Stream, Unsettled};
use super::rest::Rest;

/// The HTTP/2 connections of one target.
#[derive(Debug)]
pub(super) struct Hub {
    divisions: Box<[Division]>,
    reused: AtomicU64,
    pings: Pings,
}

#[derive(Debug, Default)]
struct Division {
    kept: Mutex<Vec<Kept>>,
    opening: tokio::sync::Mutex<()>,
}

/// A connection, and how it rests.
#[derive(Debug)]
struct Kept {
    multi: Multi,
    /// It isn't used any more, only kept to see when the peer closes it.
    probe: bool,
    /// It has been told that it lived past what was thought to be the peer's limit.
    outlived: bool,
}

impl Hub {
    pub(super) fn new(divisions: usize, pings: PingSettings) -> Self {
        let divisions = (0..divisions).map(|_| Division::default()).collect();
        let pings = Pings { settings: pings, pace: Arc::default() };
        Self { divisions, reused: AtomicU64::new(0), pings }
    }

    /// When its connections are PINGed.
    pub(super) fn pings(&self) -> &Pings {
        &self.pings
    }

    /// A stream on a connection that has room.
    pub(super) fn take(&self, own: usize, now: Timestamp, rest: &Rest) -> Option<Stream> {
        let others = (own + 1..self.divisions.len()).chain(0..own);
        let found = self.take_from(own, now, rest, Multi::has_room).or_else(|| {
            others
                .into_iter()
                .find_map(|place| self.take_from(place, now, rest, |multi| multi.streams() == 0))
        });
        self.note_reused(found)
    }

    /// A stream on the connection that carries the least, room or not: where no further one may be opened.
    pub(super) fn take_any(&self, now: Timestamp, rest: &Rest) -> Option<Stream> {
        let loads = self.divisions.iter().enumerate().flat_map(|(place, division)| {
            let kept = division.kept.lock();
            let usable = kept.iter().filter(|kept| !kept.probe);
            usable.map(|kept| (kept.multi.streams(), place)).collect::<Vec<_>>()
        });
        let (least, place) = loads.min()?;
        let found = self.take_from(place, now, rest, |multi| multi.streams() <= least);
        self.note_reused(found)
    }

    fn take_from(
        &self,
        place: usize,
        now: Timestamp,
        rest: &Rest,
        fits: impl Fn(&Multi) -> bool,
    ) -> Option<Stream> {
        let mut kept = self.divisions[place].kept.lock();
        kept.retain_mut(|kept| kept.stays(now, rest));
        // The newest first: older ones run empty and are swept away.
        let usable = kept.iter().rev().filter(|kept| !kept.probe);
        usable.map(|kept| &kept.multi).find(|multi| fits(multi)).map(|multi| multi.stream(now))
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
        let newest = self.divisions[own].kept.lock().last().and_then(|kept| kept.multi.unsettled());
        if let Some(unsettled) = newest {
            Unsettled::settled(unsettled).await;
        }
    }

    /// Keeps a connection for others.
    pub(super) fn put(&self, multi: Multi, own: usize) {
        self.divisions[own].kept.lock().push(Kept { multi, probe: false, outlived: false });
    }

    /// Lets go of connections that are closed, too old, or have carried nothing for too long.
    pub(super) fn sweep(&self, now: Timestamp, rest: &Rest) {
        for division in &self.divisions {
            division.kept.lock().retain_mut(|kept| kept.stays(now, rest));
        }
    }

    /// Lets go of one connection that carries nothing. False when there is none.
    pub(super) fn close_one(&self) -> bool {
        self.divisions.iter().any(|division| {
            let mut kept = division.kept.lock();
            let idle = kept.iter().position(|kept| kept.multi.streams() == 0);
            idle.map(|place| kept.remove(place)).is_some()
        })
    }

    /// Connections that carry nothing.
    pub(super) fn idle(&self) -> usize {
        let idle = |division: &Division| {
            division.kept.lock().iter().filter(|kept| kept.multi.streams() == 0).count()
        };
        self.divisions.iter().map(idle).sum()
    }

    /// Lets go of connections to peers that are gone: streams under way go on, nothing new begins.
    pub(super) fn drain(&self, is_gone: impl Fn(Option<SocketAddr>) -> bool) {
        for division in &self.divisions {
            division.kept.lock().retain(|kept| !is_gone(kept.multi.peer()));
        }
    }

    /// What the connections in it do, by their numbers.
    pub(super) fn states(&self, now: Timestamp, note: &mut impl FnMut(u64, ConnectionState)) {
        for division in &self.divisions {
            for Kept { multi, .. } in division.kept.lock().iter_mut() {
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
}

impl Kept {
    /// Whether it is kept on. If not, it is told why.
    fn stays(&mut self, now: Timestamp, rest: &Rest) -> bool {
        let since = self.multi.idle_since();
        if self.multi.is_closed() {
            self.note_closed(since, now, rest);
            return false;
        }
        if !self.multi.is_open(now) {
            return false;
        }
        let Some(rested) = since.map(|since| now.since(since)) else { return true };
        if !self.outlived && rest.survival_counts(rested) {
            self.outlived = true;
            rest.note_survived(rested);
        }
        if rest.is_over(rested) || (self.probe && self.outlived) {
            false
        } else if self.probe || !rest.is_retired(rested) {
            true
        } else if rest.takes_probe(now) {
            self.probe = true;
            true
        } else {
            rest.note_avoided();
            false
        }
    }

    fn note_closed(&self, since: Option<Timestamp>, now: Timestamp, rest: &Rest) {
        // Where the peer said first that it goes away, this is near enough.
        let ended_at = self.multi.ended_at().unwrap_or(now).min(now);
        let rested = since.filter(|since| *since <= ended_at).map(|since| ended_at.since(since));
        if rested.is_some_and(|rested| rest.is_retired(rested)) {
            rest.note_avoided();
        } else {
            rest.note_seen();
        }
        if let Some(rested) = rested {
            rest.learn_close(rested, ended_at);
        }
    }
}
