//! A sink that hands lines to a thread of its own, which writes them.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::LogSink;

/// Lines that may wait to be written: about a quarter of a megabyte. Past that the newest are dropped.
const WAITING: usize = 1024;

/// Writes lines to standard output, a file or a socket, from a thread of its own.
#[derive(Debug)]
pub struct WriterSink {
    lines: SyncSender<String>,
    taken: AtomicU64,
    refused: AtomicU64,
    done: Arc<Done>,
}

/// What the thread has done with what was taken.
#[derive(Debug, Default)]
struct Done {
    handled: Mutex<u64>,
    news: Condvar,
    failed: AtomicU64,
}

impl WriterSink {
    /// A sink on standard output.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn stdout() -> std::io::Result<Self> {
        Self::new(std::io::stdout())
    }

    /// A sink on `out`, whose thread ends when the sink is dropped and all lines are written.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn new(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let done = Arc::<Done>::default();
        let thread = Arc::clone(&done);
        std::thread::Builder::new()
            .name("mainstay-log".into())
            .spawn(move || write_lines(out, &receiver, &thread))?;
        Ok(Self { lines: sender, taken: AtomicU64::new(0), refused: AtomicU64::new(0), done })
    }
}

impl LogSink for WriterSink {
    fn write(&self, mut line: String) {
        line.push('\n');
        match self.lines.try_send(line) {
            Ok(()) => self.taken.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.refused.fetch_add(1, Ordering::Relaxed),
        };
    }

    fn dropped(&self) -> u64 {
        self.refused.load(Ordering::Relaxed) + self.done.failed.load(Ordering::Relaxed)
    }

    fn flush(&self, at_most: Duration) {
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

/// Writes what comes, several lines between two flushes if they are there.
fn write_lines(mut out: impl Write, lines: &Receiver<String>, done: &Done) {
    while let Ok(first) = lines.recv() {
        let mut batch = 0;
        let mut failed = 0;
        for line in std::iter::once(first).chain(lines.try_iter().take(WAITING)) {
            batch += 1;
            failed += u64::from(out.write_all(line.as_bytes()).is_err());
        }
        // Lines that were written but not flushed are lost as well; which ones nobody knows.
        if out.flush().is_err() {
            failed = batch;
        }
        done.failed.fetch_add(failed, Ordering::Relaxed);
        *done.handled.lock() += batch;
        done.news.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(60);

    /// Writes into a shared text, after a permission for each write.
    struct Slow {
        permits: Receiver<io::Result<()>>,
        text: Arc<Mutex<String>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Without permissions any more everything passes.
            self.permits.recv().unwrap_or(Ok(()))?;
            self.text.lock().push_str(std::str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (WriterSink, mpsc::Sender<io::Result<()>>, Arc<Mutex<String>>) {
        let (permit, permits) = mpsc::channel();
        let text = Arc::<Mutex<String>>::default();
        let sink = WriterSink::new(Slow { permits, text: Arc::clone(&text) }).unwrap();
        (sink, permit, text)
    }

    #[test]
    fn a_writer_that_hangs_holds_nobody_up_and_what_it_misses_is_counted() {
        let (sink, permit, text) = slow();
        let sent = 3 * WAITING as u64;
        (0..sent).for_each(|number| sink.write(format!("line {number}")));
        assert!(sink.dropped() >= sent - WAITING as u64 - 1);
        sink.flush(Duration::ZERO);
        drop(permit);
        sink.flush(LONG);
        let written = text.lock().lines().count() as u64;
        assert_eq!(written + sink.dropped(), sent);
        assert!(text.lock().starts_with("line 0\nline 1\n"));
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted() {
        let (sink, permit, text) = slow();
        permit.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        sink.write("lost".into());
        sink.flush(LONG);
        drop(permit);
        sink.write("kept".into());
        sink.flush(LONG);
        assert_eq!(sink.dropped(), 1);
        assert_eq!(*text.lock(), "kept\n");
    }
}
