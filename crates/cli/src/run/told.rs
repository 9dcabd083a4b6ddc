//! Who keeps the process is told how it is: a service manager by the protocol of `sd_notify(3)`, others by a file with its number.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sd_notify::NotifyState;

use crate::exit::Failure;

/// The service manager, where there is one, gets these words.
pub(super) fn manager(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}

/// A file that will hold the number of this process, as soon as it takes connections in.
#[derive(Debug)]
pub(super) struct FreshPidFile {
    fresh: PathBuf,
    path: PathBuf,
}

/// A file that holds the number of the process that takes connections in. It is removed with that process.
#[derive(Debug)]
pub(super) struct PidFile(PathBuf);

impl PidFile {
    /// Writes it beside its place, where that of a process before may be.
    pub(super) fn prepare(path: &Path) -> Result<FreshPidFile, Failure> {
        let wrong = |error| Failure::of(format!("--pid-file {}: {error}", path.display()));
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        std::fs::write(&fresh, format!("{}\n", std::process::id())).map_err(wrong)?;
        Ok(FreshPidFile { fresh: fresh.into(), path: path.to_owned() })
    }

    /// Puts it in its place, whole.
    pub(super) fn publish(fresh: &FreshPidFile) -> Self {
        if let Err(error) = std::fs::rename(&fresh.fresh, &fresh.path) {
            tracing::error!(%error, file = %fresh.path.display(), "it doesn't hold the number of this process");
        }
        Self(fresh.path.clone())
    }
}

impl Drop for FreshPidFile {
    fn drop(&mut self) {
        // Of a process that didn't come to take connections in; else it isn't there any more.
        let _ = std::fs::remove_file(&self.fresh);
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // A successor has put its own there.
        let mine = std::process::id().to_string();
        let is_mine = std::fs::read_to_string(&self.0).is_ok_and(|text| text.trim() == mine);
        if is_mine
            && let Err(error) = std::fs::remove_file(&self.0)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(%error, file = %self.0.display(), "can't be removed");
        }
    }
}
