//! Where lines of requests go.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crate::file::{Appended, RecordFile, append};
use crate::spool::Out;

/// Standard output.
pub(super) struct Stdout;

impl Out for Stdout {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(lines)?;
        out.flush()
    }
}

/// A file that is rotated.
pub(super) struct File {
    settings: RecordFile,
    open: Option<Appended>,
    paused_until: Option<Instant>,
    /// Whether the failure that lasts has been told.
    told: bool,
}

impl File {
    pub(super) const fn new(settings: RecordFile) -> Self {
        Self { settings, open: None, paused_until: None, told: false }
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        append(&mut self.open, &self.settings, lines)
    }
}

impl Out for File {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.paused_until.is_some_and(|until| Instant::now() < until) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let done = self.append(lines);
        let path = self.settings.path.display();
        match &done {
            Ok(()) => {
                if std::mem::take(&mut self.told) {
                    eprintln!("requests are logged to {path} again");
                }
                self.paused_until = None;
            }
            Err(error) => {
                self.open = None;
                self.paused_until = Some(Instant::now() + PAUSE);
                if !std::mem::replace(&mut self.told, true) {
                    eprintln!(
                        "requests can't be logged to {path}: {error}; it will be tried again"
                    );
                }
            }
        }
        done
    }
}

/// How long nothing is tried after a failure: a full disk isn't asked for each round.
const PAUSE: Duration = Duration::from_secs(1);
