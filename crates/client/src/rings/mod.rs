//! Event streams that go on while their application is away: their last events are kept, for when it comes back.
//!
//! ```text
//!   upstream ─▶ DeliveredBody ─▶ reader ─▶ Desk: ids, ring, queue ─▶ Follower ─▶ the application
//!               call and healing  a task    │                          gone: `keep` begins
//!                                           └── comes back with an id ─▶ a new Follower
//! ```
//!
//! What is kept, who is waited for and how long is core's to decide ([`mainstay_core::heal::events::Recorded`],
//! [`mainstay_core::heal::events::Attendance`]). The task that reads ([`reader`]) owns the call: its record is written when the stream has
//! ended, or when nobody came back for it in time. The task ends then, when a drain finds nobody there, and with its runtime.

mod desk;
mod follower;
mod identity;
mod reader;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use aws_lc_rs::hmac;
use http::request::Parts;
use mainstay_core::heal::events::{Lost, RingId};
use mainstay_record::RingCounts;
use parking_lot::Mutex;

pub(crate) use desk::{Desk, Opening};
pub(crate) use follower::Follower;
pub(crate) use identity::Identity;

use crate::body::Room;
use crate::driver::DeliveredBody;
use crate::service::Plan;

/// All streams of a process that are kept.
pub(crate) struct Rings {
    most: usize,
    room: Arc<Room>,
    /// Of this process only. None where the system has no chance to give.
    key: OnceLock<Option<hmac::Key>>,
    open: Mutex<HashMap<u64, Arc<Desk>>>,
    counts: Mutex<BTreeMap<Arc<str>, RingCounts>>,
    is_closing: AtomicBool,
}

/// What becomes of an application that comes back with an id of ours.
#[derive(Debug)]
pub(crate) enum Back {
    /// It goes on.
    GoesOn(Arc<Desk>, Follower),
    /// It has had all of its stream, which is over.
    Over,
    /// It isn't known what it missed.
    Lost(Lost),
}

impl Rings {
    /// None is open. At most so many may be, and their events take at most so many bytes.
    pub(crate) fn new(most: usize, bytes_total: u64) -> Arc<Self> {
        Arc::new(Self {
            most,
            room: Room::new(bytes_total),
            key: OnceLock::new(),
            open: Mutex::default(),
            counts: Mutex::default(),
            is_closing: AtomicBool::new(false),
        })
    }

    /// Who asks for what; `None` where nobody could be recognised again.
    pub(crate) fn identity(&self, plan: &Plan, head: &Parts) -> Option<Identity> {
        let key = self.key.get_or_init(identity::fresh_key).as_ref()?;
        Some(Identity::of(key, plan, head))
    }

    /// An application is back. One that isn't who it was learns no more than that nothing is known.
    pub(crate) fn come_back(&self, plan: &Plan, id: RingId, who: &Identity) -> Back {
        let desk = self.open.lock().get(&id.run).filter(|desk| desk.is_for(who)).map(Arc::clone);
        let back = match desk.as_ref().map(|desk| desk.come_back(id)) {
            None => Back::Lost(Lost::Unknown),
            Some(Err(lost)) => Back::Lost(lost),
            Some(Ok(follower)) => match desk.zip(follower) {
                Some((desk, follower)) => Back::GoesOn(desk, follower),
                None => Back::Over,
            },
        };
        self.count(plan.service.name(), |counts| match &back {
            Back::GoesOn(..) => counts.resumed += 1,
            Back::Over => counts.over += 1,
            Back::Lost(Lost::Unknown) => counts.unknown += 1,
            Back::Lost(Lost::FallenOut) => counts.fallen_out += 1,
        });
        back
    }

    /// Keeps a stream from its beginning, if one more may be; else it is given back.
    pub(crate) fn open(
        self: &Arc<Self>,
        opening: Opening,
        body: DeliveredBody,
    ) -> Result<Follower, Box<DeliveredBody>> {
        let upstream = Arc::clone(&opening.upstream);
        let desk = {
            let mut open = self.open.lock();
            let desk = (open.len() < self.most).then(|| Desk::new(opening, self.room.share()));
            if let Some(desk) = &desk {
                open.insert(desk.run(), Arc::clone(desk));
            }
            desk
        };
        self.count(&upstream, |counts| match desk {
            Some(_) => counts.made += 1,
            None => counts.refused += 1,
        });
        let Some(desk) = desk else { return Err(Box::new(body)) };
        if self.is_closing.load(Ordering::SeqCst) {
            desk.on_closing();
        }
        let follower = Follower::first(&desk);
        reader::start(Arc::clone(self), desk, body);
        Ok(follower)
    }

    /// The process ends: nobody who leaves now can come back, and nobody is waited for.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
        self.open.lock().values().for_each(|desk| desk.on_closing());
    }

    /// How it stands with the streams of an upstream.
    pub(crate) fn counts(&self, upstream: &str) -> RingCounts {
        let mut counts = self.counts.lock().get(upstream).copied().unwrap_or_default();
        for desk in self.open.lock().values().filter(|desk| desk.upstream() == upstream) {
            counts.open += 1;
            counts.bytes += desk.memory_bytes();
        }
        counts
    }

    fn count(&self, upstream: &Arc<str>, count: impl FnOnce(&mut RingCounts)) {
        count(self.counts.lock().entry(Arc::clone(upstream)).or_default());
    }

    fn forget(&self, desk: &Desk) {
        self.open.lock().remove(&desk.run());
    }
}

/// Without keys and events.
impl std::fmt::Debug for Rings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rings").field("most", &self.most).finish_non_exhaustive()
    }
}
