//! Why a store doesn't do as it is asked.

use std::path::PathBuf;

use super::Full;
use super::sqlite::mark_path;
use crate::DeliveryId;

/// Why the store didn't do as it was asked. Nothing was accepted, then, unless it is [`StoreError::Unsure`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no room.
    Full(Full),
    /// Another request had this idempotency key.
    OtherRequest(DeliveryId),
    /// There is no such delivery.
    Unknown,
    /// Content couldn't be sealed.
    Seal(crate::SealError),
    /// What goes to this upstream is held, since it is sealed with a key that isn't there.
    Held(String, crate::SealError),
    /// The database didn't do it: the reason in its words.
    Database(String),
    /// Something in it isn't what was written. It takes nothing any more.
    Damaged(String),
    /// Only whoever serves may claim, not a visitor.
    Visitor,
    /// The connection to the database broke while a write was stored, and nobody could find out by now whether it was. It may be there.
    Unsure(DeliveryId),
    /// What came of a call was told too late: another worker has had the delivery since. It was noted.
    Late(DeliveryId),
    /// A delivery was left to other workers, since this one couldn't renew its lease in time.
    LeaseOver(DeliveryId),
    /// This kind of store doesn't do that.
    NotHere(&'static str),
    /// The store is closed.
    Closed,
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Full(Full::Items) => f.write_str("the outbox has as many deliveries as it may"),
            Self::Full(Full::Bytes) => f.write_str("the outbox has as many bytes as it may"),
            Self::Full(Full::Lane) => f.write_str("the lane has as many deliveries as it may"),
            Self::Full(Full::Disk) => f.write_str("the outbox's disk is full"),
            Self::OtherRequest(id) => {
                write!(f, "delivery {id} has the same idempotency key and another request")
            }
            Self::Unknown => f.write_str("there is no such delivery"),
            Self::Seal(error) => error.fmt(f),
            Self::Held(upstream, error) => {
                write!(f, "deliveries to {upstream:?} are held: {error}")
            }
            Self::Database(why) => write!(f, "the outbox's database failed: {why}"),
            Self::Damaged(what) => write!(f, "the outbox is damaged: {what}"),
            Self::Visitor => f.write_str("only the proxy that serves an outbox delivers from it"),
            Self::Unsure(id) => write!(
                f,
                "the connection to the outbox's database broke while delivery {id} was stored, and it may be there or not"
            ),
            Self::Late(id) => write!(
                f,
                "what came of a call for delivery {id} was told after another worker had taken it, and is only noted"
            ),
            Self::LeaseOver(id) => write!(
                f,
                "delivery {id} is left to other workers: its lease couldn't be renewed in time"
            ),
            Self::NotHere(what) => f.write_str(what),
            Self::Closed => f.write_str("the outbox is closed"),
        }
    }
}

impl std::error::Error for StoreError {}

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
    /// A PostgreSQL store can't be used: where it is, and why.
    Postgres(String, StoreError),
    /// There is none in a PostgreSQL database: where that is, and the schema that was looked for.
    NoSchema(String, String),
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
                mark_path(path).display(),
                path.display()
            ),
            Self::Lost { path, acknowledged, found } => write!(
                f,
                "{} has lost writes that were accepted: {found} commits are left of {acknowledged}. It was replaced by an older copy, \
                 or its log {}-wal is damaged. Put the newer files back; or, to go on with what is left, remove {}",
                path.display(),
                path.display(),
                mark_path(path).display()
            ),
            Self::Damaged(path, what) => write!(
                f,
                "{} is damaged: {what}. Put a copy of `mainstay outbox backup` back, or save what can be read with `mainstay outbox export`",
                path.display()
            ),
            Self::Database(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Postgres(place, error) => write!(f, "{place}: {error}"),
            Self::NoSchema(place, schema) => {
                write!(
                    f,
                    "there is no outbox in schema {schema} of {place}; the first proxy makes it"
                )
            }
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}
