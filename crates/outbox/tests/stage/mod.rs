//! A store in a directory of its own, and deliveries for it.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of its own")]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use mainstay_core::outbox::{Assurance, Next, WallTime};
use mainstay_outbox::store::Access;
use mainstay_outbox::{
    CallNote, DeliveryId, Field, Finish, Keys, Limits, NewDelivery, Store, StoredHead,
};

/// Some time in 2033.
pub const NOW: WallTime = WallTime(2_000_000_000_000);

pub struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// In memory where the system has such a place: many steps, none of which is about the disk.
    pub fn in_memory() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { dir: dir.unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("outbox.db")
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Another place with the files as they are now, as a process leaves them that is killed.
    pub fn as_a_crash_leaves_it(&self) -> Self {
        let beside = self.dir().parent().unwrap();
        let copy = Self { dir: tempfile::tempdir_in(beside).unwrap() };
        for file in std::fs::read_dir(self.dir()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.dir().join(file.file_name())).unwrap();
        }
        copy
    }

    /// Has something done to the database that no store would do.
    pub fn sql(&self, text: &str) {
        let db = rusqlite::Connection::open(self.path()).unwrap();
        db.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        db.execute_batch(text).unwrap();
    }

    pub fn open(&self) -> Store {
        self.open_with(Limits { reserve_bytes: 0, ..Limits::default() })
    }

    pub fn open_with(&self, limits: Limits) -> Store {
        Store::open(&self.path(), Keys::default(), limits, Access::Serve).unwrap()
    }
}

/// A delivery that may be done twice and is due now.
pub fn new(upstream: &str, lane: Option<&str>, body: &str) -> NewDelivery {
    let id = DeliveryId::fresh().unwrap();
    NewDelivery {
        id,
        upstream: upstream.into(),
        route: "writes".into(),
        lane: lane.map(Into::into),
        key: id.to_string(),
        scope: None,
        print: [0; 32],
        assurance: Assurance::Repeatable,
        head: StoredHead {
            method: Some("POST".into()),
            target: Some("/orders".into()),
            status: None,
            fields: vec![Field::Text("content-type".into(), "text/plain".into())],
        },
        body: Bytes::copy_from_slice(body.as_bytes()),
        accepted_at: NOW,
        due_at: NOW,
        expires_at: WallTime(NOW.0 + 3_600_000),
        tried: None,
        maybe_done: false,
        hold_until: None,
    }
}

/// The end of an offer, after one call.
pub fn finish(next: Next) -> Finish {
    let note = CallNote {
        at: NOW.0,
        took_ms: 1,
        call: "0000000000000001".into(),
        attempts: 1,
        status: None,
        code: None,
        certainty: None,
    };
    Finish { note: Some(note), maybe_done: false, next, answer: None }
}
