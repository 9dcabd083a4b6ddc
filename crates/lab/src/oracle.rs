//! The witness: counts what each server really did, per request id and in total.
//!
//! A client can only believe what it sees; the oracle stands on the other side and knows. "Executed" means that
//! the server carried the request out, after reading its body whole and before answering. A write executed twice
//! is a [`Duplicate`]. Health checks (`/healthz`) are counted apart, so that a monitor doesn't blur the books.
//!
//! Memory is bounded: at most [`IDS_LIMIT`] ids of at most [`ID_LIMIT_BYTES`] each. What comes after that is
//! counted as `unrecorded`, never dropped in silence.
//!
//! It counts the bytes of bodies too, as they are given to the kernel and without chunks' heads: how much more was sent
//! than was needed, when answers break and are asked for again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

/// Counts for all servers of a lab. Clones are the same oracle.
#[derive(Debug, Clone)]
pub struct Oracle {
    books: Arc<Mutex<Snapshot>>,
    changes: watch::Sender<u64>,
}

/// Everything the oracle knows at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// By request id (`x-request-id`), then by method.
    pub requests: BTreeMap<String, BTreeMap<String, Counts>>,
    /// Requests without a usable id, by method.
    pub anonymous: BTreeMap<String, Counts>,
    /// By server.
    pub servers: BTreeMap<String, Totals>,
    /// By path, without its query; paths that find no room are one, with the name `other`.
    pub paths: BTreeMap<String, PathCounts>,
    /// Receptions and executions whose id found no room.
    pub unrecorded: u64,
}

/// What was asked of one path, by all methods and of all servers; health checks aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PathCounts {
    /// Request heads seen.
    pub received: u64,
    /// Those of them that asked for a range.
    pub range_requests: u64,
    /// Bytes of bodies given to the kernel: what was sent, whether or not it arrived.
    pub body_bytes: u64,
}

/// What happened to one method of one request id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Request heads seen.
    pub received: u64,
    /// Times carried out.
    pub executed: u64,
    /// Times carried out, by server.
    pub executed_by: BTreeMap<String, u64>,
    /// Bytes of the bodies of all its answers, given to the kernel.
    pub body_bytes: u64,
}

/// What one server did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// Connections accepted.
    pub connections: u64,
    /// Request heads seen, health checks aside.
    pub received: u64,
    /// Requests carried out.
    pub executed: u64,
    /// Answers given to the kernel whole, health checks aside; what the status says doesn't matter.
    pub answered_whole: u64,
    /// Answers begun and not ended, health checks aside.
    pub answered_partly: u64,
    /// Request heads that asked for a range, health checks aside.
    pub range_requests: u64,
    /// Bytes of bodies given to the kernel, health checks aside.
    pub body_bytes: u64,
    /// Health checks seen.
    pub health_checks: u64,
}

/// A write that was carried out more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Duplicate {
    /// The request id.
    pub id: String,
    /// A method that isn't idempotent.
    pub method: String,
    /// How often, at least two.
    pub executed: u64,
}

/// Who asked for what, as far as the books are concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) server: &'a str,
    pub(crate) id: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) asks_range: bool,
    pub(crate) is_health_check: bool,
}

/// An answer on its way. What was sent of it is booked however it ends: its task may be dropped.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    oracle: &'a Oracle,
    entry: Entry<'a>,
    pub(crate) body_bytes: u64,
    is_whole: Option<bool>,
}

impl Answer<'_> {
    /// It was sent, whole or in part.
    pub(crate) fn ended(mut self, is_whole: bool) {
        self.is_whole = Some(is_whole);
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        if !self.entry.is_health_check {
            self.oracle.change(|books| books.answered(self.entry, self.body_bytes, self.is_whole));
        }
    }
}

impl Oracle {
    /// Knows these servers from the beginning: one that did nothing is shown with zeros, not missing.
    pub(crate) fn of<'a>(servers: impl IntoIterator<Item = &'a str>) -> Self {
        let servers =
            servers.into_iter().map(|name| (name.to_owned(), Totals::default())).collect();
        let books = Snapshot { servers, ..Snapshot::default() };
        Self { books: Arc::new(Mutex::new(books)), changes: watch::Sender::new(0) }
    }

    /// Everything it knows now.
    pub fn snapshot(&self) -> Snapshot {
        self.books().clone()
    }

    /// The totals of one server; all zero if it did nothing yet.
    pub fn totals(&self, server: &str) -> Totals {
        self.books().servers.get(server).cloned().unwrap_or_default()
    }

    /// How often this request was carried out, by all servers and methods.
    pub fn executions(&self, id: &str) -> u64 {
        self.books()
            .requests
            .get(id)
            .map_or(0, |methods| methods.values().map(|counts| counts.executed).sum())
    }

    /// All requests of a method that isn't idempotent (RFC 9110, 9.2.2) that were carried out more than once.
    pub fn duplicates(&self) -> Vec<Duplicate> {
        self.books().duplicates()
    }

    /// Waits until what it knows satisfies `condition`; put a timeout around it.
    pub async fn wait_until(&self, mut condition: impl FnMut(&Snapshot) -> bool) {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if condition(&self.books()) || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Forgets everything but the servers' names.
    pub fn reset(&self) {
        self.change(|books| {
            let mut servers = std::mem::take(&mut books.servers);
            servers.values_mut().for_each(|totals| *totals = Totals::default());
            *books = Snapshot { servers, ..Snapshot::default() };
        });
    }

    pub(crate) fn connected(&self, server: &str) {
        self.change(|books| books.server(server).connections += 1);
    }

    pub(crate) fn received(&self, entry: Entry<'_>) {
        self.change(|books| {
            if entry.is_health_check {
                books.server(entry.server).health_checks += 1;
                return;
            }
            let totals = books.server(entry.server);
            totals.received += 1;
            totals.range_requests += u64::from(entry.asks_range);
            let path = books.path(entry.path);
            path.received += 1;
            path.range_requests += u64::from(entry.asks_range);
            if let Some(counts) = books.counts(entry) {
                counts.received += 1;
            }
        });
    }

    /// Returns how much the server has carried out by now, this one included.
    pub(crate) fn executed(&self, entry: Entry<'_>) -> u64 {
        let mut number = 0;
        self.change(|books| {
            if !entry.is_health_check {
                books.server(entry.server).executed += 1;
                if let Some(counts) = books.counts(entry) {
                    counts.executed += 1;
                    *counts.executed_by.entry(entry.server.to_owned()).or_default() += 1;
                }
            }
            number = books.server(entry.server).executed;
        });
        number
    }

    /// Begins to book an answer.
    pub(crate) fn answer<'a>(&'a self, entry: Entry<'a>) -> Answer<'a> {
        Answer { oracle: self, entry, body_bytes: 0, is_whole: None }
    }

    fn change(&self, change: impl FnOnce(&mut Snapshot)) {
        change(&mut self.books());
        self.changes.send_modify(|version| *version = version.wrapping_add(1));
    }

    fn books(&self) -> MutexGuard<'_, Snapshot> {
        // Nothing in here can be left half done, so a panic elsewhere doesn't spoil the books.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    /// As [`Oracle::duplicates`].
    pub fn duplicates(&self) -> Vec<Duplicate> {
        let mut found = Vec::new();
        for (id, methods) in &self.requests {
            for (method, counts) in methods {
                if counts.executed > 1 && !IDEMPOTENT.contains(&method.as_str()) {
                    found.push(Duplicate {
                        id: id.clone(),
                        method: method.clone(),
                        executed: counts.executed,
                    });
                }
            }
        }
        found
    }

    fn answered(&mut self, entry: Entry<'_>, body_bytes: u64, is_whole: Option<bool>) {
        let totals = self.server(entry.server);
        totals.body_bytes += body_bytes;
        match is_whole {
            Some(true) => totals.answered_whole += 1,
            Some(false) => totals.answered_partly += 1,
            None => {}
        }
        self.path(entry.path).body_bytes += body_bytes;
        // Its id was counted as unrecorded, or given a line, when it was received.
        let counts = match entry.id.filter(|id| !id.is_empty()) {
            Some(id) => self.requests.get_mut(id),
            None => Some(&mut self.anonymous),
        };
        if let Some(counts) = counts.and_then(|methods| methods.get_mut(known(entry.method))) {
            counts.body_bytes += body_bytes;
        }
    }

    fn path(&mut self, path: &str) -> &mut PathCounts {
        let fits = path.len() <= ID_LIMIT_BYTES && self.paths.len() < PATHS_LIMIT;
        let name = if fits || self.paths.contains_key(path) { path } else { "other" };
        self.paths.entry(name.to_owned()).or_default()
    }

    fn server(&mut self, name: &str) -> &mut Totals {
        if !self.servers.contains_key(name) {
            self.servers.insert(name.to_owned(), Totals::default());
        }
        self.servers.entry(name.to_owned()).or_default()
    }

    fn counts(&mut self, entry: Entry<'_>) -> Option<&mut Counts> {
        let method = known(entry.method);
        let Some(id) = entry.id.filter(|id| !id.is_empty()) else {
            return Some(self.anonymous.entry(method.to_owned()).or_default());
        };
        let fits = id.len() <= ID_LIMIT_BYTES && self.requests.len() < IDS_LIMIT;
        if !fits && !self.requests.contains_key(id) {
            self.unrecorded += 1;
            return None;
        }
        Some(self.requests.entry(id.to_owned()).or_default().entry(method.to_owned()).or_default())
    }
}

/// A method is any token; only known ones get a line of their own, or the books could grow by method.
fn known(method: &str) -> &str {
    if METHODS.contains(&method) { method } else { "other" }
}

/// RFC 9110, 9.2.2.
const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"];

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// A million calls is a long test; at some 300 bytes each they cost 300 MB, which a test machine has.
pub const IDS_LIMIT: usize = 1_000_000;

/// An API of a test has fewer; an id in a path would fill any number.
const PATHS_LIMIT: usize = 1_000;

/// Longer than a UUID, a ULID or a W3C trace id, with room for a prefix.
pub const ID_LIMIT_BYTES: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(id: Option<&'a str>, method: &'a str) -> Entry<'a> {
        Entry { server: "a", id, method, path: "/x", asks_range: false, is_health_check: false }
    }

    #[test]
    fn a_write_executed_twice_is_a_duplicate_and_a_read_is_not() {
        let oracle = Oracle::of(["a"]);
        for method in ["POST", "POST", "GET", "GET", "PUT", "PUT"] {
            oracle.executed(entry(Some("x"), method));
        }
        let found = oracle.duplicates();
        assert_eq!(found, [Duplicate { id: "x".into(), method: "POST".into(), executed: 2 }]);
        assert_eq!(oracle.executions("x"), 6);
    }

    #[test]
    fn executions_are_booked_to_the_server_that_made_them() {
        let oracle = Oracle::of(["a"]);
        oracle.executed(entry(Some("x"), "POST"));
        oracle.executed(Entry { server: "b", ..entry(Some("x"), "POST") });
        let snapshot = oracle.snapshot();
        let counts = &snapshot.requests["x"]["POST"];
        assert_eq!(counts.executed_by, BTreeMap::from([("a".into(), 1), ("b".into(), 1)]));
    }

    #[test]
    fn health_checks_are_counted_apart() {
        let oracle = Oracle::of(["a"]);
        let check = Entry { is_health_check: true, ..entry(None, "GET") };
        oracle.received(check);
        oracle.executed(check);
        oracle.answer(check).ended(true);
        assert_eq!(oracle.totals("a"), Totals { health_checks: 1, ..Totals::default() });
        assert!(oracle.snapshot().anonymous.is_empty() && oracle.snapshot().paths.is_empty());
    }

    #[test]
    fn ids_too_long_and_methods_unknown_do_not_grow_the_books() {
        let oracle = Oracle::of(["a"]);
        oracle.received(entry(Some(&"x".repeat(ID_LIMIT_BYTES + 1)), "POST"));
        oracle.received(entry(Some("y"), "BREW"));
        let snapshot = oracle.snapshot();
        assert_eq!(snapshot.unrecorded, 1);
        assert_eq!(snapshot.requests["y"]["other"].received, 1);
    }

    #[test]
    fn what_was_sent_is_booked_though_its_task_was_dropped() {
        let oracle = Oracle::of(["a"]);
        let request = Entry { asks_range: true, ..entry(Some("x"), "GET") };
        oracle.received(request);
        oracle.answer(request).body_bytes = 5;
        let mut answer = oracle.answer(request);
        answer.body_bytes = 7;
        answer.ended(true);
        let snapshot = oracle.snapshot();
        assert_eq!(snapshot.requests["x"]["GET"].body_bytes, 12);
        let path = PathCounts { received: 1, range_requests: 1, body_bytes: 12 };
        assert_eq!(snapshot.paths["/x"], path);
        let totals = &snapshot.servers["a"];
        assert_eq!((totals.body_bytes, totals.answered_whole, totals.answered_partly), (12, 1, 0));
    }

    #[test]
    fn paths_without_number_are_one() {
        let oracle = Oracle::of(["a"]);
        let paths: Vec<_> = (0..PATHS_LIMIT + 5).map(|number| format!("/{number}")).collect();
        for path in &paths {
            oracle.received(Entry { path, ..entry(None, "GET") });
        }
        oracle.received(Entry { path: "/1", ..entry(None, "GET") });
        let paths = oracle.snapshot().paths;
        assert_eq!(paths.len(), PATHS_LIMIT + 1);
        assert_eq!((paths["other"].received, paths["/1"].received), (5, 2));
    }

    #[test]
    fn it_can_be_written_as_json() {
        let oracle = Oracle::of(["a"]);
        oracle.executed(entry(Some("x"), "POST"));
        let json = serde_json::to_value(oracle.snapshot()).unwrap();
        assert_eq!(json["requests"]["x"]["POST"]["executed"], 1);
        assert_eq!(json["servers"]["a"]["executed"], 1);
    }
}
