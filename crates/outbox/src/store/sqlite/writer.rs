//! The one thread that writes, and its group commits.
//!
//! ```text
//!   callers ──▶ │ job │ job │ job │ ──▶ BEGIN · each job · COMMIT, synced ──▶ each caller is told
//! ```
//!
//! While the disk syncs one commit, jobs gather for the next: nobody waits for a timer, and a lone caller waits for one sync. When
//! a commit fails as a whole, each of its jobs is tried alone, so that one that is too large doesn't take the others along. After a
//! failure of the disk the database is opened anew: what it had in memory may not be what is there (see `Desk::reopen`).

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::oneshot;

use super::mark::Mark;
use super::row::Row;
use super::{Shared, open};
use crate::store::{Limits, StoreError};
use crate::{DeliveryId, Keys};

/// Deliveries that are on their way, and with each its lane: of that nothing else may go before it is back, even if a person
/// has given it up meanwhile.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_id: HashMap<DeliveryId, (i64, Option<Lane>)>,
    places: HashSet<i64>,
    lanes: HashSet<Lane>,
}

/// A lane, with the upstream whose it is.
type Lane = (String, String);

impl Claims {
    /// Whether what is at this place is on its way. A quick look: one that moved meanwhile is told by [`Claims::has`] alone.
    pub(super) fn has_place(&self, place: i64) -> bool {
        self.places.contains(&place)
    }

    /// Whether it, or another one of its lane, is on its way.
    pub(super) fn has(&self, row: &Row) -> bool {
        self.by_id.contains_key(&row.id) || lane(row).is_some_and(|lane| self.lanes.contains(&lane))
    }

    pub(super) fn take(&mut self, row: &Row) {
        let lane = lane(row);
        self.lanes.extend(lane.clone());
        self.places.insert(row.seq);
        self.by_id.insert(row.id, (row.seq, lane));
    }

    fn give_back(&mut self, id: DeliveryId) {
        if let Some((place, lane)) = self.by_id.remove(&id) {
            self.places.remove(&place);
            lane.map(|lane| self.lanes.remove(&lane));
        }
    }
}

fn lane(row: &Row) -> Option<Lane> {
    row.lane.as_ref().map(|lane| (row.upstream.clone(), lane.clone()))
}

/// Deliveries that were taken for somebody. What isn't his when this is dropped is given back, so that a claim that fails or is
/// cancelled in the middle leaves nothing behind that nobody would ever be offered again.
pub(super) struct Taken {
    ids: Vec<DeliveryId>,
    jobs: Option<Sender<Message>>,
}

impl Taken {
    pub(super) fn add(&mut self, id: DeliveryId) {
        self.ids.push(id);
    }

    /// It has got to him.
    pub(super) fn keep(&mut self, id: DeliveryId) {
        self.ids.retain(|taken| *taken != id);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(jobs) = self.jobs.as_ref().filter(|_| !self.ids.is_empty()) {
            let _ = jobs.send(Message::GiveBack(std::mem::take(&mut self.ids)));
        }
    }
}

/// Something to be written.
pub(super) trait Write: Send + 'static {
    /// What comes of it.
    type Out: Send + 'static;

    /// Writes it. It may be run again after it was rolled back. An inner error is an answer, and nothing has been written then.
    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<Result<Self::Out, StoreError>>;

    /// The deliveries that stand differently since.
    fn touched(&self) -> Touched;
}

/// Whom it concerns that something was written.
pub(super) enum Touched {
    /// One that was underway, and isn't any more.
    Finished(DeliveryId),
    /// Nobody but those who wait for any change.
    Nobody,
    /// Perhaps any.
    Any,
}

/// What a job writes on.
pub(super) struct Paper<'a> {
    pub(super) db: &'a Connection,
    pub(super) limits: &'a Limits,
    pub(super) keys: &'a Keys,
    /// Bytes free on the disk.
    pub(super) free_bytes: u64,
}

/// The door to the thread.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

enum Message {
    Write(Box<dyn Job>),
    Ask(Ask),
    GiveBack(Vec<DeliveryId>),
}

/// Something that is read between two commits.
type Ask = Box<dyn FnOnce(&Connection, &mut Claims) + Send>;

impl Writer {
    /// Starts the thread.
    pub(super) fn start(desk: Desk) -> std::io::Result<Self> {
        let (jobs, inbox) = channel();
        let thread =
            std::thread::Builder::new().name("outbox".into()).spawn(move || desk.work(&inbox))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Has something written, and waits until it is on the disk.
    pub(super) async fn write<W: Write>(&self, work: W) -> Result<W::Out, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Write(Box::new(Pending { work, out: None, reply })));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Has something read between two commits, where nobody else changes what is on its way.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection, &mut Claims) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Ask(Box::new(move |db, claims| {
            // Who asked may be gone; then the answer is nobody's.
            let _ = reply.send(ask(db, claims));
        })));
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// For a claim, that may not come to its end.
    pub(super) fn taken(&self) -> Taken {
        Taken { ids: Vec::new(), jobs: self.jobs.clone() }
    }

    fn send(&self, message: Message) {
        // Where the thread is gone the message is dropped, and with it the way back: its sender learns that.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(message);
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // It ends when it has written what was handed over; a panic there was told to those who waited.
            let _ = thread.join();
        }
    }
}

/// A job with the way back to whoever waits for it.
trait Job: Send {
    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<()>;
    fn settle(
        self: Box<Self>,
        outcome: Result<(), StoreError>,
        claims: &mut Claims,
        shared: &Shared,
    );
}

struct Pending<W: Write> {
    work: W,
    out: Option<Result<W::Out, StoreError>>,
    reply: oneshot::Sender<Result<W::Out, StoreError>>,
}

impl<W: Write> Job for Pending<W> {
    fn run(&mut self, paper: &Paper<'_>) -> rusqlite::Result<()> {
        self.out = Some(self.work.run(paper)?);
        Ok(())
    }

    fn settle(
        self: Box<Self>,
        outcome: Result<(), StoreError>,
        claims: &mut Claims,
        shared: &Shared,
    ) {
        let out = match outcome {
            Ok(()) => self.out.unwrap_or(Err(StoreError::Closed)),
            Err(error) => Err(error),
        };
        // One that isn't there any more isn't on its way either.
        if matches!(out, Ok(_) | Err(StoreError::Unknown)) {
            match self.work.touched() {
                Touched::Finished(id) => {
                    claims.give_back(id);
                    shared.tell(Some(&[id]));
                }
                Touched::Nobody => {}
                Touched::Any => shared.tell(None),
            }
        }
        // Who asked may be gone; what was written stays.
        let _ = self.reply.send(out);
    }
}

/// Why there was no commit.
enum Failure {
    /// Another process writes, or the disk failed, before any job was run.
    NotBegun(StoreError),
    /// One of the jobs failed, or the commit.
    RolledBack(StoreError),
}

/// The thread's own.
pub(super) struct Desk {
    pub(super) path: PathBuf,
    pub(super) db: Connection,
    pub(super) mark: Mark,
    pub(super) limits: Limits,
    pub(super) keys: Arc<Keys>,
    pub(super) shared: Arc<Shared>,
    /// What SQLite counts up when another process writes.
    pub(super) others: i64,
}

impl Desk {
    fn work(mut self, inbox: &Receiver<Message>) {
        let mut claims = Claims::default();
        let mut looked_at = Instant::now();
        loop {
            match inbox.recv_timeout(LOOK_EVERY) {
                Ok(first) => self.take(first, inbox, &mut claims),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            // However much there is to do.
            if looked_at.elapsed() >= LOOK_EVERY {
                looked_at = Instant::now();
                self.look();
            }
        }
        // A log that is empty needs no recovery; where that fails, the next opening does it.
        let _ = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Does what has gathered.
    fn take(&mut self, first: Message, inbox: &Receiver<Message>, claims: &mut Claims) {
        let (mut jobs, mut asks) = (Vec::new(), Vec::new());
        let mut is_news = false;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Write(job) => jobs.push(job),
                Message::Ask(ask) => asks.push(ask),
                Message::GiveBack(ids) => {
                    ids.into_iter().for_each(|id| claims.give_back(id));
                    is_news = true;
                }
            }
            let is_full = jobs.len() >= JOBS_MOST;
            next = if is_full { None } else { inbox.try_recv().ok() };
        }
        if !jobs.is_empty() {
            self.write(jobs, claims);
            is_news = true;
        }
        if is_news {
            self.shared.changes.send_modify(|count| *count += 1);
        }
        asks.into_iter().for_each(|ask| ask(&self.db, claims));
    }

    fn write(&mut self, mut jobs: Vec<Box<dyn Job>>, claims: &mut Claims) {
        match self.commit(&mut jobs) {
            Ok(()) => {
                jobs.into_iter().for_each(|job| job.settle(Ok(()), claims, &self.shared));
            }
            // No job is to blame where none could begin; each of them alone would wait as long for the same.
            Err(Failure::NotBegun(error)) => self.failed(jobs, &error, claims),
            Err(Failure::RolledBack(error)) if jobs.len() == 1 => {
                self.failed(jobs, &error, claims);
            }
            Err(Failure::RolledBack(_)) => {
                jobs.into_iter().for_each(|job| self.write(vec![job], claims));
            }
        }
    }

    fn failed(&self, jobs: Vec<Box<dyn Job>>, error: &StoreError, claims: &mut Claims) {
        jobs.into_iter().for_each(|job| job.settle(Err(error.clone()), claims, &self.shared));
    }

    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        let free_bytes = open::free_bytes(&self.path);
        let mut has_begun = false;
        let written = (|| {
            let change = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            has_begun = true;
            let paper = Paper { db: &change, limits: &self.limits, keys: &self.keys, free_bytes };
            jobs.iter_mut().try_for_each(|job| job.run(&paper))?;
            let commits = counted(&change)?;
            change.commit()?;
            Ok(commits)
        })();
        match written {
            Ok(commits) => {
                self.mark.set(commits);
                Ok(())
            }
            Err(error) => {
                let error = self.after_failure(error);
                Err(if has_begun { Failure::RolledBack(error) } else { Failure::NotBegun(error) })
            }
        }
    }

    /// After a failure of the disk: what SQLite believes to be there may not be, so it looks again from the beginning. And what it
    /// believes not to be there may be: a commit whose sync failed stands in the log, and would count at the next start, though
    /// those who waited for it are told that it failed. So another commit takes its place in the log before they are told.
    fn after_failure(&mut self, error: rusqlite::Error) -> StoreError {
        let is_disks = matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::DatabaseCorrupt)
        );
        let error = StoreError::from(error);
        if !is_disks {
            return error;
        }
        if let Ok(db) = open::connect(&self.path) {
            self.db = db;
        }
        match (self.overwrite(), error) {
            (Err(_), StoreError::Database(why)) => StoreError::Database(format!(
                "{why}; what was to be written may be there at the next start, unless something else is written before"
            )),
            (_, error) => error,
        }
    }

    /// A commit of nothing but its number.
    fn overwrite(&mut self) -> rusqlite::Result<()> {
        let change = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let commits = counted(&change)?;
        change.commit()?;
        self.mark.set(commits);
        Ok(())
    }

    /// Whether somebody else has written.
    fn look(&mut self) {
        let others = open::data_version(&self.db).unwrap_or(self.others);
        if std::mem::replace(&mut self.others, others) != others {
            self.shared.tell(None);
            self.shared.changes.send_modify(|count| *count += 1);
        }
    }
}

/// One commit more.
fn counted(db: &Connection) -> rusqlite::Result<i64> {
    db.prepare_cached(
        "UPDATE counter SET value = value + 1 WHERE name = 'commits' RETURNING value",
    )?
    .query_row([], |row| row.get(0))
}

/// So long it takes at most until what another process wrote is noticed. The look reads one number from memory.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Jobs of one commit: so many that the sync's cost is shared away, few enough that nobody waits long for the last.
const JOBS_MOST: usize = 1024;
