//! A store of its own, of either kind, and deliveries for it.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of its own")]

#[path = "../../../../tests/support/postgres.rs"]
pub mod postgres;

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use mainstay_core::outbox::{Assurance, Next, WallTime};
use mainstay_outbox::store::{Access, OpenError, PostgresAddress, PostgresSettings};
use mainstay_outbox::{
    CallNote, DeliveryId, Field, Finish, Keys, Limits, NewDelivery, Store, StoredHead,
};

/// Some time in 2033.
pub const NOW: WallTime = WallTime(2_000_000_000_000);

pub struct Stage {
    dir: tempfile::TempDir,
    /// Where it is a schema of the shared server.
    schema: Option<String>,
}

/// What a store promises is tested with each kind.
#[allow(unused_macros, reason = "not all of them test that")]
macro_rules! with_each_kind {
    ($($test:ident),+ $(,)?) => {
        mod in_a_file {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Stage::new()).await;
            })+
        }
        mod in_postgres {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::Stage::postgres()).await;
            })+
        }
    };
}
#[allow(unused_imports, reason = "not all of them test that")]
pub(crate) use with_each_kind;

impl Stage {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), schema: None }
    }

    /// A schema of its own on the server that the tests share.
    pub fn postgres() -> Self {
        // Some need room for themselves: quotes, and not all of it in lower case.
        let schema = format!("Test \"{}", DeliveryId::fresh().unwrap());
        Self { dir: tempfile::tempdir().unwrap(), schema: Some(schema) }
    }

    pub fn is_postgres(&self) -> bool {
        self.schema.is_some()
    }

    /// How its schema is used.
    pub fn settings(&self) -> PostgresSettings {
        let address = PostgresAddress::parse(&postgres::Cluster::shared().url()).unwrap();
        let schema = self.schema.clone().unwrap();
        PostgresSettings { address, schema, lease: Duration::from_secs(60) }
    }

    /// In memory where the system has such a place: many steps, none of which is about the disk.
    pub fn in_memory() -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { dir: dir.unwrap(), schema: None }
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
        if self.is_postgres() {
            // Whose process is gone it doesn't know.
            return Self { dir: tempfile::tempdir().unwrap(), schema: self.schema.clone() };
        }
        let beside = self.dir().parent().unwrap();
        let copy = Self { dir: tempfile::tempdir_in(beside).unwrap(), schema: None };
        for file in std::fs::read_dir(self.dir()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.dir().join(file.file_name())).unwrap();
        }
        copy
    }

    /// Has something done to the database that no store would do.
    pub fn sql(&self, text: &str) {
        if let Some(schema) = &self.schema {
            let schema = schema.replace('"', "\"\"");
            let text = format!("SET search_path = \"{schema}\"; {text}");
            postgres::Cluster::shared().sql(&text);
            return;
        }
        let db = rusqlite::Connection::open(self.path()).unwrap();
        db.busy_timeout(Duration::from_secs(5)).unwrap();
        db.execute_batch(text).unwrap();
    }

    pub fn open(&self) -> Store {
        self.open_with(Limits { reserve_bytes: 0, ..Limits::default() })
    }

    /// With a key, so that content is encrypted.
    pub fn open_sealed(&self) -> Store {
        let key = self.beside("key");
        std::fs::write(&key, "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=").unwrap();
        let limits = Limits { reserve_bytes: 0, ..Limits::default() };
        let keys = Keys::read([key.as_path()]).unwrap();
        if self.is_postgres() {
            return Store::open_postgres(self.settings(), keys, limits, Access::Serve).unwrap();
        }
        Store::open(&self.path(), keys, limits, Access::Serve).unwrap()
    }

    pub fn open_with(&self, limits: Limits) -> Store {
        self.try_open(limits, Access::Serve).unwrap()
    }

    pub fn visit(&self) -> Store {
        self.try_open(Limits::default(), Access::Visit).unwrap()
    }

    pub fn try_open(&self, limits: Limits, access: Access) -> Result<Store, OpenError> {
        if self.is_postgres() {
            return Store::open_postgres(self.settings(), Keys::default(), limits, access);
        }
        Store::open(&self.path(), Keys::default(), limits, access)
    }

    /// Bytes in SQL, by their hexadecimal digits.
    pub fn bytes(&self, digits: &str) -> String {
        if self.is_postgres() { format!("'\\x{digits}'::bytea") } else { format!("X'{digits}'") }
    }

    /// What was on its way by a process that is gone is left to others, without the wait for it.
    pub fn leases_end(&self) {
        if self.is_postgres() {
            self.sql("UPDATE lease SET until = '-infinity'");
        }
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
        callback: None,
        about: None,
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
