//! The folder for configs and logs of one run, named after the process and removed with it.

use std::fs;
use std::path::{Path, PathBuf};

/// Dropped, it is gone.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes it, and removes what an interrupted run left.
    pub(super) fn new(parent: &Path) -> Result<Self, String> {
        let path = parent.join(std::process::id().to_string());
        let failed = |error| format!("{}: {error}", path.display());
        fs::create_dir_all(&path).map_err(failed)?;
        for entry in fs::read_dir(parent).map_err(failed)?.flatten() {
            if !Path::new("/proc").join(entry.file_name()).exists() {
                remove(&entry.path());
            }
        }
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path) {
        eprintln!("{} stays: {error}", path.display());
    }
}
