//! The one thread that writes, and its group commits.
//!
//! ```text
//!   callers ──▶ │ job │ job │ job │ ──▶ BEGIN · each job · COMMIT, synced ──▶ each caller is told
//! ```
//!
//! While the disk syncs one commit, jobs gather for the next: nobody waits for a timer, and a lone caller waits for one sync. When
//! a commit fails as a whole, each of its jobs is tried alone, so that one that is too large doesn't take the others along. After a
//! failure of the disk the database is opened anew: what it had in memory may not be what is there (see `Desk::reopen`).

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::oneshot;

use super::mark::Mark;
use super::{Limits, Shared, StoreError, open};
use crate::DeliveryId;

/// Deliveries that are on their way.
pub(super) type Claims = HashSet<DeliveryId>;

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
        if out.is_ok() {
            match self.work.touched() {
                Touched::Finished(id) => {
                    claims.remove(&id);
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

/// The thread's own.
pub(super) struct Desk {
    pub(super) path: PathBuf,
    pub(super) db: Connection,
    pub(super) mark: Mark,
    pub(super) limits: Limits,
    pub(super) shared: Arc<Shared>,
    /// What SQLite counts up when another process writes.
    pub(super) others: i64,
}

impl Desk {
    fn work(mut self, inbox: &Receiver<Message>) {
        let mut claims = Claims::new();
        loop {
            match inbox.recv_timeout(LOOK_EVERY) {
                Ok(first) => self.take(first, inbox, &mut claims),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        // A log that is empty needs no recovery; where that fails, the next opening does it.
        let _ = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    /// Does what has gathered.
    fn take(&mut self, first: Message, inbox: &Receiver<Message>, claims: &mut Claims) {
        let (mut jobs, mut asks) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Write(job) => jobs.push(job),
                Message::Ask(ask) => asks.push(ask),
            }
            let is_full = jobs.len() >= JOBS_MOST;
            next = if is_full { None } else { inbox.try_recv().ok() };
        }
        if !jobs.is_empty() {
            self.write(jobs, claims);
            self.shared.changes.send_modify(|count| *count += 1);
        }
        asks.into_iter().for_each(|ask| ask(&self.db, claims));
    }

    fn write(&mut self, mut jobs: Vec<Box<dyn Job>>, claims: &mut Claims) {
        match self.commit(&mut jobs) {
            Ok(()) => {
                jobs.into_iter().for_each(|job| job.settle(Ok(()), claims, &self.shared));
            }
            Err(error) if jobs.len() == 1 => {
                let error = StoreError::from(error);
                jobs.into_iter()
                    .for_each(|job| job.settle(Err(error.clone()), claims, &self.shared));
            }
            Err(_) => jobs.into_iter().for_each(|job| self.write(vec![job], claims)),
        }
    }

    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
        let free_bytes = open::free_bytes(&self.path);
        let written = (|| {
            let change = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let paper = Paper { db: &change, limits: &self.limits, free_bytes };
            jobs.iter_mut().try_for_each(|job| job.run(&paper))?;
            let commits = change
                .prepare_cached(
                    "UPDATE counter SET value = value + 1 WHERE name = 'commits' RETURNING value",
                )?
                .query_row([], |row| row.get(0))?;
            change.commit()?;
            Ok(commits)
        })();
        match written {
            Ok(commits) => {
                self.mark.set(commits);
                Ok(())
            }
            Err(error) => {
                self.reopen(&error);
                Err(error)
            }
        }
    }

    /// After a failure of the disk: what SQLite believes to be there may not be, so it looks again from the beginning.
    fn reopen(&mut self, error: &rusqlite::Error) {
        let is_disks = matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::DatabaseCorrupt)
        );
        if is_disks && let Ok(db) = open::connect(&self.path) {
            self.db = db;
        }
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

/// So long it takes at most until what another process wrote is noticed. The look reads one number from memory.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Jobs of one commit: so many that the sync's cost is shared away, few enough that nobody waits long for the last.
const JOBS_MOST: usize = 1024;
