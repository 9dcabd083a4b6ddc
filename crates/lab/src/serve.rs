//! A lab by itself: from a file until somebody stops it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};

use crate::lab::{Lab, StartError};
use crate::problem::Invalid;
use crate::spec::Spec;

/// Runs the lab that a file describes until SIGINT or SIGTERM, long after its timeline has ended. `ready` is
/// called once, when all servers listen and before the timeline begins.
///
/// # Errors
/// [`ServeError`]: the file can't be read, is wrong, or the lab can't start.
pub async fn serve_file(path: &Path, ready: impl FnOnce(&Lab)) -> Result<(), ServeError> {
    // Before anything listens: a signal from then on is an orderly end.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signal)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signal)?;
    let read = tokio::fs::read_to_string(path).await;
    let text = read.map_err(|source| ServeError::Read { path: path.to_owned(), source })?;
    let spec = Spec::parse(&text)
        .map_err(|source| ServeError::Invalid { path: path.to_owned(), source })?;
    let lab = Lab::start(spec).await.map_err(ServeError::Start)?;
    ready(&lab);
    let script = async {
        lab.run_timeline().await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = script => {}
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    lab.shutdown().await;
    Ok(())
}

/// Why a lab couldn't run from a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The file can't be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is wrong.
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong with it.
        source: Invalid,
    },
    /// The lab can't start.
    Start(StartError),
    /// The process can't listen to signals.
    Signal(io::Error),
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, .. } => write!(f, "can't read {}", path.display()),
            Self::Invalid { path, .. } => write!(f, "{} doesn't describe a lab", path.display()),
            Self::Start(_) => f.write_str("the lab can't start"),
            Self::Signal(_) => f.write_str("can't listen to signals"),
        }
    }
}

impl std::error::Error for ServeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } | Self::Signal(source) => Some(source),
            Self::Invalid { source, .. } => Some(source),
            Self::Start(source) => Some(source),
        }
    }
}
