//! What is said to a store and what it says, whatever it is made of.

use std::fmt;
use std::time::Duration;

use mainstay_core::outbox::WallTime;
use serde::Serialize;

use crate::{DeliveryId, Offer, SealError};

/// Who opens a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A proxy, that delivers from it: the only one.
    Serve,
    /// Somebody who looks, and may take a hand in it, beside a proxy or without one.
    Visit,
}

/// How much is stored at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Deliveries that wait, are stopped or are dead.
    pub items: u64,
    /// Bytes of their requests.
    pub bytes: u64,
    /// Deliveries of one lane that wait or are stopped.
    pub lane_items: u64,
    /// Bytes of the disk that are left free: what is accepted has to be finished too.
    pub reserve_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { items: 1_000_000, bytes: 10 << 30, lane_items: 100_000, reserve_bytes: 64 << 20 }
    }
}

/// What was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// [`Limits::items`].
    Items,
    /// [`Limits::bytes`].
    Bytes,
    /// [`Limits::lane_items`].
    Lane,
    /// The disk, but for [`Limits::reserve_bytes`].
    Disk,
}

/// What came of a write that is to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is stored.
    New,
    /// The very same request was stored before, as this delivery.
    Known(DeliveryId),
}

/// What is offered.
#[derive(Clone, Debug, Default)]
pub struct Claimed {
    /// The deliveries whose turn it is.
    pub offers: Vec<Offer>,
    /// When the next one's is that isn't offered now, if there is one.
    pub next_due: Option<WallTime>,
    /// Those that had to be stopped, since they aren't what was stored.
    pub stopped: Vec<(DeliveryId, SealError)>,
    /// The key, by its name, that isn't there and that one of them is sealed with. They wait: nothing is wrong with them.
    pub missing_key: Option<[u8; 4]>,
}

/// Which deliveries. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these; empty: any.
    pub ids: Vec<DeliveryId>,
    /// In one of these states, by their names ([`State::NAMES`](crate::State::NAMES)); empty: any.
    pub states: Vec<&'static str>,
    /// Stopped or dead for this reason, by its code.
    pub reason: Option<String>,
    /// To this upstream.
    pub upstream: Option<String>,
    /// In this lane.
    pub lane: Option<String>,
}

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Those after this place.
    pub after: Option<i64>,
    /// At most so many.
    pub most: u32,
}

/// How many deliveries of one state there are at one upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Where they go.
    pub upstream: String,
    /// Their state's name.
    pub state: &'static str,
    /// How many.
    pub items: u64,
    /// Bytes of their requests.
    pub bytes: u64,
    /// When the first of them was accepted, in milliseconds since 1970.
    pub oldest: Option<u64>,
}

/// How long finished deliveries are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Delivered ones: so long a caller can fetch the answer, and its repetition is known as one.
    pub delivered: Duration,
    /// Dead ones.
    pub dead: Duration,
}

/// Something that isn't as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The file's structure, in SQLite's words.
    Tree(String),
    /// A delivery's own row.
    Row(DeliveryId),
    /// A delivery's content.
    Content(DeliveryId, SealError),
    /// A delivery that waits, is stopped or is dead has no content.
    Missing(DeliveryId),
    /// Content whose delivery is gone.
    Orphan(DeliveryId),
    /// A delivery that is offered before its turn, or that isn't though it is its turn.
    Turn(DeliveryId),
    /// What is counted isn't what there is.
    Totals,
}

impl Fault {
    /// Whether it concerns the store as a whole, and not one delivery, which is stopped when its turn comes.
    #[must_use]
    pub const fn is_whole_stores(&self) -> bool {
        matches!(self, Self::Tree(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tree(what) => write!(f, "the file's structure: {what}"),
            Self::Row(id) => write!(f, "delivery {id}: its row isn't what was written"),
            Self::Content(id, error) => write!(f, "delivery {id}: {error}"),
            Self::Missing(id) => write!(f, "delivery {id}: its content is missing"),
            Self::Orphan(id) => write!(f, "delivery {id}: its content is there and it isn't"),
            Self::Turn(id) => write!(f, "delivery {id}: its place in its lane is wrong"),
            Self::Totals => f.write_str("the number of deliveries isn't what is counted"),
        }
    }
}
