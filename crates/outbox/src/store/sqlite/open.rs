//! Opening a store, and what is checked before it is believed.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::mark::{Mark, beside};
use super::writer::{Desk, Writer};
use super::{Shared, Sqlite, now, schema};
use crate::Keys;
use crate::store::{Access, Limits, OpenError, StoreError};

impl Sqlite {
    /// See [`Store::open`](crate::Store::open).
    pub(in crate::store) fn open(
        path: &Path,
        keys: Keys,
        limits: Limits,
        access: Access,
    ) -> Result<Self, OpenError> {
        let io = |error| OpenError::Io(path.to_owned(), error);
        // By its own name, as SQLite has it: by another one it would have another lock.
        let named = std::fs::canonicalize(path);
        let path = named.as_deref().unwrap_or(path);
        let lock_file = match access {
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
        // Under a proxy that knows the older version only, tables aren't changed.
        let is_older = schema::is_older(&db).map_err(|error| of_database(path, error))?;
        let _alone = (is_older && lock_file.is_none()).then(|| lock(path)).transpose()?;
        schema::upgrade(&mut db).map_err(|error| OpenError::Database(path.to_owned(), error))?;
        schema::check(&db).map_err(|what| OpenError::Damaged(path.to_owned(), what))?;
        let mark = Mark::open(path).map_err(io)?;
        check_commits(path, &db, &mark)?;
        if std::fs::metadata(path).map_err(io)?.len() < CHECKED_AT_ONCE_BYTES {
            check_tree(path, &db)?;
        }
        let reader = read_only(path).map_err(|error| of_database(path, error))?;
        let shared = Arc::new(Shared::default());
        let others = data_version(&db).map_err(|error| of_database(path, error))?;
        let (desk_path, desk_shared) = (path.to_owned(), Arc::clone(&shared));
        let keys = Arc::new(keys);
        let desk_keys = Arc::clone(&keys);
        let desk = Desk {
            path: desk_path,
            db,
            mark,
            limits,
            keys: desk_keys,
            shared: desk_shared,
            others,
        };
        Ok(Self {
            path: path.to_owned(),
            keys,
            writer: Writer::start(desk).map_err(io)?,
            reader: Arc::new(Mutex::new(reader)),
            shared,
            lock: Mutex::new(lock_file),
            serves_since: AtomicU64::new(now().0),
        })
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
    // Else statements whose plan may depend on what is bound are planned anew each time something else is: a quarter of the time of
    // the thread that writes.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
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

/// The right to deliver from the store at `path`, until the file is closed.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::row::Row;

    #[test]
    fn statements_are_planned_once_whatever_is_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox.db");
        make(&path).unwrap();
        let db = connect(&path).unwrap();
        // SQLite looks at what is bound where an index holds a part of the rows only.
        for lane in ["a", "b", "c"] {
            assert!(Row::first_of(&db, "api", lane).unwrap().is_none());
        }
        assert_eq!(Row::planned_again(&db), 0);
    }
}
