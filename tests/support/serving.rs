//! Which process takes connections in, where one takes over from another.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::{sleep, timeout};

/// The file of `--pid-file`. Whoever is in it is killed when this is dropped.
pub(crate) struct Serving(tempfile::TempPath);

impl Serving {
    pub(crate) fn new() -> Result<Self, String> {
        let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        Ok(Self(file.into_temp_path()))
    }

    pub(crate) fn file(&self) -> &Path {
        &self.0
    }

    /// Its number.
    pub(crate) fn id(&self) -> Result<u32, String> {
        let text = std::fs::read_to_string(&self.0).map_err(|error| error.to_string())?;
        text.trim().parse().map_err(|_| format!("{text:?} isn't the number of a process"))
    }

    /// Sends it a signal: `HUP`, `TERM`, `USR2`.
    pub(crate) fn signal(&self, name: &str) -> Result<(), String> {
        let id = self.id()?;
        let sent = Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status();
        match sent {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("no signal {name} to {id}: {other:?}")),
        }
    }

    /// Empties the file if it names this process, which is ended by another way: its number may soon be somebody else's.
    pub(crate) fn forget(&self, id: u32) -> Result<(), String> {
        match self.id() {
            Ok(named) if named == id => {
                std::fs::write(&self.0, "").map_err(|error| error.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Waits until it is another than `before`.
    pub(crate) async fn succeeded(&self, before: u32, patience: Duration) -> Result<u32, String> {
        let waiting = async {
            loop {
                match self.id() {
                    Ok(id) if id != before => return id,
                    _ => sleep(Duration::from_millis(10)).await,
                }
            }
        };
        timeout(patience, waiting).await.map_err(|_| format!("nobody succeeds {before}"))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Empty before it listens, and gone where it ended by itself.
        if let Ok(id) = self.id() {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
        }
    }
}
