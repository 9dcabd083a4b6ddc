//! The thread that writes records.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::rotation::{Appended, append};
use super::{RecordFile, RecordsStatus};

/// Records that may wait to be written: about two megabytes. Past that the newest are dropped.
const WAITING: usize = 1024;

/// The most that is written at once. More only delays what is waited for.
const BATCH_BYTES: usize = 256 * 1024;

/// How long nothing is tried after a failure: a full disk isn't asked for each call.
const PAUSE: Duration = Duration::from_secs(1);

/// Hands records to a thread of its own, which ends when this is dropped and all are written.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    settings: RecordFile,
    lines: SyncSender<String>,
    taken: AtomicU64,
    refused: AtomicU64,
    done: Arc<Done>,
}

#[derive(Debug, Default)]
struct Done {
    handled: Mutex<u64>,
    news: Condvar,
    written: AtomicU64,
    error: Mutex<Option<String>>,
}

impl RecordWriter {
    /// `pause`: how long nothing is tried after a failure; `None` for a second.
    pub(crate) fn new(settings: RecordFile, pause: Option<Duration>) -> io::Result<Self> {
        let (lines, receiver) = sync_channel(WAITING);
        let done = Arc::<Done>::default();
        let mut thread = Thread {
            settings: settings.clone(),
            open: None,
            pause: pause.unwrap_or(PAUSE),
            paused_until: None,
            told: false,
            done: Arc::clone(&done),
        };
        std::thread::Builder::new()
            .name("mainstay-records".into())
            .spawn(move || thread.run(&receiver))?;
        Ok(Self { settings, lines, taken: AtomicU64::new(0), refused: AtomicU64::new(0), done })
    }

    pub(crate) const fn settings(&self) -> &RecordFile {
        &self.settings
    }

    /// Takes one line, or drops it and counts that.
    pub(crate) fn write(&self, mut line: String) {
        line.push('\n');
        match self.lines.try_send(line) {
            Ok(()) => self.taken.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.refused.fetch_add(1, Ordering::Relaxed),
        };
    }

    pub(crate) fn status(&self) -> RecordsStatus {
        let handled = *self.done.handled.lock();
        let written = self.done.written.load(Ordering::Relaxed);
        RecordsStatus {
            path: self.settings.path.clone(),
            written,
            dropped: self.refused.load(Ordering::Relaxed) + handled.saturating_sub(written),
            error: self.done.error.lock().clone(),
        }
    }

    /// Waits until everything taken so far is written or dropped, at most so long.
    pub(crate) fn flush(&self, at_most: Duration) {
        let started = Instant::now();
        let taken = self.taken.load(Ordering::Relaxed);
        let mut handled = self.done.handled.lock();
        while *handled < taken {
            let left = at_most.saturating_sub(started.elapsed());
            if left.is_zero() || self.done.news.wait_for(&mut handled, left).timed_out() {
                return;
            }
        }
    }
}

/// The thread's own.
struct Thread {
    settings: RecordFile,
    open: Option<Appended>,
    pause: Duration,
    paused_until: Option<Instant>,
    /// Whether the failure that lasts has been told.
    told: bool,
    done: Arc<Done>,
}

impl Thread {
    fn run(&mut self, lines: &Receiver<String>) {
        // Opened at once, so that a path that can't be written is known before something breaks.
        let opened = self.append(&[]);
        self.note(opened);
        while let Ok(first) = lines.recv() {
            let (mut batch, mut count) = (first.into_bytes(), 1);
            while batch.len() < BATCH_BYTES
                && let Ok(line) = lines.try_recv()
            {
                batch.extend_from_slice(line.as_bytes());
                count += 1;
            }
            if self.paused_until.is_none_or(|until| Instant::now() >= until) {
                let written = self.append(&batch);
                // What was written in part is lost in whole, as far as is known; the rest of a line is ended later.
                let added = if written.is_ok() { count } else { 0 };
                self.done.written.fetch_add(added, Ordering::Relaxed);
                self.note(written);
            }
            *self.done.handled.lock() += count;
            self.done.news.notify_all();
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        append(&mut self.open, &self.settings, bytes)
    }

    /// Remembers how it went. A failure is told once, not for each line, and so is its end.
    fn note(&mut self, done: io::Result<()>) {
        let path = self.settings.path.display();
        match done {
            Ok(()) => {
                if std::mem::take(&mut self.told) {
                    eprintln!("records are written to {path} again");
                }
                self.paused_until = None;
                *self.done.error.lock() = None;
            }
            Err(error) => {
                self.open = None;
                self.paused_until = Some(Instant::now() + self.pause);
                if !std::mem::replace(&mut self.told, true) {
                    eprintln!(
                        "records can't be written to {path}: {error}; it will be tried again"
                    );
                }
                *self.done.error.lock() = Some(error.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::{RecordCalls, rotated};
    use std::fs;
    use std::path::{Path, PathBuf};

    const LONG: Duration = Duration::from_secs(60);

    /// A folder of the test's own, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder =
                std::env::temp_dir().join(format!("mainstay-{}-{name}", std::process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn file(&self) -> PathBuf {
            self.0.join("records.jsonl")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn settings(path: PathBuf, size_bytes: u64, files: u32) -> RecordFile {
        RecordFile { path, size_bytes, files, calls: RecordCalls::Broken }
    }

    fn writer(settings: RecordFile) -> RecordWriter {
        RecordWriter::new(settings, Some(Duration::ZERO)).unwrap()
    }

    fn write(writer: &RecordWriter, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            writer.write(line);
            // One batch each, so that where a file ends doesn't depend on the thread's turns.
            writer.flush(LONG);
        }
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn files_are_rotated_by_size_and_the_oldest_is_let_go() {
        let folder = Folder::new("rotation");
        let path = folder.file();
        let writer = writer(settings(path.clone(), 20, 2));
        write(&writer, (0..8).map(|number| format!("line {number:04}")));
        assert_eq!(text(&path), "line 0006\nline 0007\n");
        assert_eq!(text(&rotated(&path, 1)), "line 0004\nline 0005\n");
        assert_eq!(text(&rotated(&path, 2)), "line 0002\nline 0003\n");
        assert!(!rotated(&path, 3).exists());
        let status = writer.status();
        assert_eq!((status.written, status.dropped, status.error), (8, 0, None));
    }

    #[test]
    fn without_rotated_files_it_starts_anew() {
        let folder = Folder::new("none-kept");
        let path = folder.file();
        write(
            &writer(settings(path.clone(), 20, 0)),
            (0..3).map(|number| format!("line {number:04}")),
        );
        assert_eq!(text(&path), "line 0002\n");
        assert!(!rotated(&path, 1).exists());
    }

    #[test]
    fn a_restart_appends_and_ends_a_line_that_was_cut_short() {
        let folder = Folder::new("torn");
        let path = folder.file();
        fs::write(&path, "{\"v\":1}\n{\"v\":1,\"id").unwrap();
        write(&writer(settings(path.clone(), 1 << 20, 2)), ["{\"v\":1}".to_owned()]);
        assert_eq!(text(&path), "{\"v\":1}\n{\"v\":1,\"id\n{\"v\":1}\n");
    }

    #[test]
    fn what_cant_be_written_is_counted_and_tried_again() {
        let folder = Folder::new("unwritable");
        let missing = folder.0.join("missing");
        let path = missing.join("records.jsonl");
        let writer = writer(settings(path.clone(), 1 << 20, 2));
        write(&writer, ["lost".to_owned()]);
        let status = writer.status();
        assert_eq!((status.written, status.dropped), (0, 1));
        assert!(status.error.is_some());
        fs::create_dir(&missing).unwrap();
        write(&writer, ["kept".to_owned()]);
        let status = writer.status();
        assert_eq!((status.written, status.dropped, status.error), (1, 1, None));
        assert_eq!(text(&path), "kept\n");
    }

    #[test]
    fn a_file_that_cant_be_rotated_doesnt_grow_past_its_bound() {
        let folder = Folder::new("blocked");
        let path = folder.file();
        // A folder with something in it where the rotated file should go: it can neither be removed nor replaced.
        fs::create_dir_all(rotated(&path, 1).join("in the way")).unwrap();
        let writer = writer(settings(path.clone(), 20, 1));
        write(&writer, (0..4).map(|number| format!("line {number:04}")));
        assert_eq!(text(&path), "line 0000\nline 0001\n");
        let status = writer.status();
        assert_eq!((status.written, status.dropped), (2, 2));
        assert!(status.error.is_some());
    }
}
