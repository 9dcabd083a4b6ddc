//! How many commits there were, outside of the database.
//!
//! SQLite reads its log up to the first page whose checksum is wrong and takes what follows for a commit that a crash cut short.
//! Mostly it is. But if the log was damaged later, acknowledged commits are lost, and nothing would tell. So after each
//! commit its number is written here too, without a sync: it survives the process, and may be too small after a power cut, but
//! never too large. A database that has fewer commits than this has lost some.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::seal::sum;

/// The file.
#[derive(Debug)]
pub(super) struct Mark(File);

impl Mark {
    pub(super) fn open(store: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.open(path(store)).map(Self)
    }

    /// The number, where there may be no such file.
    pub(super) fn read(store: &Path) -> Option<i64> {
        Self(File::open(path(store)).ok()?).get()
    }

    /// The number. None if none was written, or what is there isn't what was written.
    pub(super) fn get(&self) -> Option<i64> {
        let mut whole = [0; 24];
        self.0.read_exact_at(&mut whole, 0).ok()?;
        let (number, found) = whole.split_at(8);
        let number: [u8; 8] = number.try_into().ok()?;
        (found == sum(&[&number])).then(|| i64::from_be_bytes(number))
    }

    /// Writes the number. That it can't be written costs this look at the next opening, and nothing else.
    pub(super) fn set(&self, commits: i64) {
        let number = commits.to_be_bytes();
        let mut whole = [0; 24];
        whole[..8].copy_from_slice(&number);
        whole[8..].copy_from_slice(&sum(&[&number]));
        let _ = self.0.write_all_at(&whole, 0);
    }
}

/// Where it is.
pub(in crate::store) fn path(store: &Path) -> PathBuf {
    beside(store, "-commits")
}

/// A file beside the store's.
pub(super) fn beside(store: &Path, end: &str) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(end);
    name.into()
}
