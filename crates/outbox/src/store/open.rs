//! Opening a store, and what is checked before it is believed.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::watch;

use super::mark::{Mark, beside};
use super::writer::{Desk, Writer};
use super::{Inner, Limits, Shared, Store, StoreError, schema};
use crate::Keys;

/// Who opens a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A proxy, that delivers from it: the only one.
    Serve,
    /// Somebody who looks, and may take a hand in it, beside a proxy or without one.
    Visit,
}

/// Why a store can't be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another proxy has it.
    InUse(PathBuf),
    /// There is none.
    Missing(PathBuf),
    /// The file is something else.
    NotOurs(PathBuf),
    /// It has lost commits that were acknowledged.
    Lost {
        /// The file.
        path: PathBuf,
        /// As many there were, at least.
        acknowledged: i64,
        /// As many there are.
        found: i64,
    },
    /// It is damaged: what SQLite says to it.
    Damaged(PathBuf, String),
    /// It is of a later version, or the database failed.
    Database(PathBuf, StoreError),
    /// A file can't be made, read or locked.
    Io(PathBuf, std::io::Error),
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::InUse(path) => write!(
                f,
                "{} is in use by another mainstay; each needs an outbox of its own",
                path.display()
            ),
            Self::Missing(path) => write!(f, "there is no outbox at {}", path.display()),
            Self::NotOurs(path) => write!(f, "{} isn't an outbox", path.display()),
            Self::Lost { path, found: 0, .. } => write!(
                f,
                "{} is gone or empty, and there were accepted writes in it. Put it back; or, to begin with nothing, remove {} and {}-wal",
                path.display(),
                super::mark::path(path).display(),
                path.display()
            ),
            Self::Lost { path, acknowledged, found } => write!(
                f,
                "{} has lost writes that were accepted: {found} commits are left of {acknowledged}. It was replaced by an older copy, \
                 or its log {}-wal is damaged. Put the newer files back; or, to go on with what is left, remove {}",
                path.display(),
                path.display(),
                super::mark::path(path).display()
            ),
            Self::Damaged(path, what) => write!(
                f,
                "{} is damaged: {what}. Put a copy of `mainstay outbox backup` back, or save what can be read with `mainstay outbox export`",
                path.display()
            ),
            Self::Database(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

impl Store {
    /// Opens the store at `path`; whoever serves makes it if there is none.
    ///
    /// What another crash left behind is recovered. A file below 64 MiB is checked as a whole, which takes up to half a second; a larger
    /// one should be [checked](Store::check) once it runs.
    ///
    /// # Errors
    ///
    /// [`OpenError`]. Nothing was changed, then.
    pub fn open(
        path: &Path,
        keys: Keys,
        limits: Limits,
        access: Access,
    ) -> Result<Self, OpenError> {
        let io = |error| OpenError::Io(path.to_owned(), error);
        // By its own name, as SQLite has it: by another one it would have another lock.
        let named = std::fs::canonicalize(path);
        let path = named.as_deref().unwrap_or(path);
        let lock = match access {
            Access::Serve => Some(lock(path)?),
            Access::Visit => None,
        };
        let is_there = std::fs::metadata(path).is_ok_and(|file| file.len() > 0);
        match access {
            Access::Visit if !is_there => return Err(OpenError::Missing(path.to_owned())),
            Access::Serve if !is_there => make(path)?,
            _ => is_ours(path)?,
        }
        let mut db = connect(path).map_err(|error| of_database(path, error))?;
        schema::upgrade(&mut db).map_err(|error| OpenError::Database(path.to_owned(), error))?;
        schema::check(&db).map_err(|what| OpenError::Damaged(path.to_owned(), what))?;
        let mark = Mark::open(path).map_err(io)?;
        check_commits(path, &db, &mark)?;
        if std::fs::metadata(path).map_err(io)?.len() < CHECKED_AT_ONCE_BYTES {
            check_tree(path, &db)?;
        }
        let reader = read_only(path).map_err(|error| of_database(path, error))?;
        let shared = Arc::new(Shared {
            changes: watch::Sender::new(0),
            waiting: Mutex::default(),
            damage: Mutex::default(),
        });
        let others = data_version(&db).map_err(|error| of_database(path, error))?;
        let (desk_path, desk_shared) = (path.to_owned(), Arc::clone(&shared));
        let desk = Desk { path: desk_path, db, mark, limits, shared: desk_shared, others };
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            keys: Arc::new(keys),
            writer: Writer::start(desk).map_err(io)?,
            reader: Arc::new(Mutex::new(reader)),
            shared,
            lock,
        })))
    }
}

/// A connection that writes.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_FOR)?;
    db.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    db.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; \
         PRAGMA cache_size = -16384; PRAGMA trusted_schema = OFF;",
    )?;
    db.query_row("PRAGMA wal_autocheckpoint = 8000", [], |_| Ok(()))?;
    db.query_row("PRAGMA journal_size_limit = 67108864", [], |_| Ok(()))?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// A connection that reads.
pub(super) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    // Not READ_ONLY: the last one to close a log that another process left behind has to be able to fold it in.
    let db = connect(path)?;
    db.execute_batch("PRAGMA query_only = ON")?;
    Ok(db)
}

/// Counts what other connections write.
pub(super) fn data_version(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("PRAGMA data_version", [], |row| row.get(0))
}

/// Bytes free on the disk of `path`; all there are, where the system doesn't say.
pub(super) fn free_bytes(path: &Path) -> u64 {
    rustix::fs::statvfs(path).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Copies the store at `path` to `to`.
pub(super) fn backup(path: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::Database(format!("{}: {error}", to.display()));
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let copied = copy(path, to).and_then(|()| {
        File::open(to).and_then(|file| file.sync_all()).map_err(failed)?;
        sync_dir(to).map_err(failed)
    });
    if copied.is_err() {
        // Half a copy would be taken for one, and be in the way of the next.
        let _ = std::fs::remove_file(to);
    }
    copied
}

fn copy(path: &Path, to: &Path) -> Result<(), StoreError> {
    use rusqlite::backup::{Backup, StepResult};
    let from = read_only(path)?;
    let mut into = Connection::open(to)?;
    // All in one step: the copy is of one moment, and writers of a write-ahead log aren't held up by it.
    match Backup::new(&from, &mut into)?.step(-1)? {
        StepResult::Done => Ok(()),
        other => Err(StoreError::Database(format!("the copy wasn't finished: {other:?}"))),
    }
}

/// The directory of `path` knows it for good.
fn sync_dir(path: &Path) -> std::io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let place = beside(path, "-lock");
    let io = |error| OpenError::Io(place.clone(), error);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&place)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// An empty file for its owner only, in whose directory it is known for good.
fn make(path: &Path) -> Result<(), OpenError> {
    // Where there was one, its log may hold all that is left of it, and SQLite would remove that.
    let mark = Mark::read(path).filter(|commits| *commits > 0);
    let log = std::fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    if mark.is_some() || log {
        let acknowledged = mark.unwrap_or(1);
        return Err(OpenError::Lost { path: path.to_owned(), acknowledged, found: 0 });
    }
    let made = || -> std::io::Result<()> {
        // Under another name, so that after a crash there is either none or one with its tables.
        let fresh = beside(path, "-new");
        for end in ["", "-journal", "-wal", "-shm"] {
            match std::fs::remove_file(beside(&fresh, end)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        fill(&fresh).map_err(std::io::Error::other)?;
        File::open(&fresh)?.sync_all()?;
        std::fs::rename(&fresh, path)?;
        sync_dir(path)
    };
    made().map_err(|error| OpenError::Io(path.to_owned(), error))
}

fn fill(fresh: &Path) -> rusqlite::Result<()> {
    let mut db = Connection::open(fresh)?;
    // Pages that are freed may be given back to the disk; that can't be changed later.
    db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;")?;
    schema::make(&mut db)
}

/// SQLite's own mark at the file's beginning, and ours.
fn is_ours(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::FileExt as _;
    let mut head = [0; 100];
    let file = File::open(path).map_err(|error| OpenError::Io(path.to_owned(), error))?;
    let is_whole = file.read_exact_at(&mut head, 0).is_ok();
    let id = i32::from_be_bytes([head[68], head[69], head[70], head[71]]);
    let is_ours = is_whole && head.starts_with(b"SQLite format 3\0");
    if is_ours && id == schema::APPLICATION_ID {
        Ok(())
    } else {
        Err(OpenError::NotOurs(path.to_owned()))
    }
}

fn check_commits(path: &Path, db: &Connection, mark: &Mark) -> Result<(), OpenError> {
    // First the mark: another process may commit between the two.
    let mark = mark.get();
    let found = db
        .query_row("SELECT value FROM counter WHERE name = 'commits'", [], |row| row.get(0))
        .map_err(|error| of_database(path, error))?;
    match mark {
        Some(acknowledged) if found < acknowledged => {
            Err(OpenError::Lost { path: path.to_owned(), acknowledged, found })
        }
        _ => Ok(()),
    }
}

/// The tree's structure, and that its indexes say the same as its tables.
fn check_tree(path: &Path, db: &Connection) -> Result<(), OpenError> {
    let said: String = db
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|error| of_database(path, error))?;
    if said == "ok" { Ok(()) } else { Err(OpenError::Damaged(path.to_owned(), said)) }
}

fn of_database(path: &Path, error: rusqlite::Error) -> OpenError {
    match StoreError::from(error) {
        StoreError::Damaged(what) => OpenError::Damaged(path.to_owned(), what),
        error => OpenError::Database(path.to_owned(), error),
    }
}

/// Another process's commit is over by then, or it hangs.
const BUSY_FOR: Duration = Duration::from_secs(5);

/// Half a second's work at most.
const CHECKED_AT_ONCE_BYTES: u64 = 64 << 20;
