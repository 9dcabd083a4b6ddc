//! Lines on their way to a file or a terminal, written by a thread of their own.
//!
//! A line is written straight into a buffer that its thread has nearly to itself, and the writing thread takes whole buffers, some
//! twenty times a second or as soon as one is well filled: so a line costs no allocation, no channel and as a rule nobody's waking.
//! Lines of one thread stay in order; those of different threads are in order but for a round's length.
//!
//! Nothing waits: what finds its buffer full is dropped and counted.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::counters::Sharded;

/// Bytes that a buffer holds: thousands of lines, of which there are eight buffers and eight that are being written.
const MOST_BYTES: usize = 1 << 20;

/// How long lines are gathered before they are written, if they are few. Nobody reads faster, and a thread that is woken for each line
/// costs more than all else.
const GATHERED_FOR: Duration = Duration::from_millis(50);

/// Bytes in one buffer that are written without waiting further. So much stays in a processor's own cache between the threads that write
/// lines and the one that takes them; a round's worth of a busy proxy's lines would go through memory four times.
const PLENTY_BYTES: usize = 64 * 1024;

/// Takes whole lines.
pub(crate) trait Out: Send + 'static {
    /// Writes some lines, each with its end.
    fn put(&mut self, lines: &[u8]) -> io::Result<()>;
}

/// Takes lines, and never waits. What was taken is written before its thread ends, which is after this was dropped.
#[derive(Debug)]
pub(crate) struct Spool {
    inner: Arc<Inner>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Inner {
    sheets: Sharded<Mutex<Sheet>>,
    dropped: AtomicU64,
    written: AtomicU64,
    failed: AtomicU64,
    /// Whether a buffer is so full that it shouldn't wait for the round's end.
    is_plenty: AtomicBool,
    /// Whether the thread sleeps until somebody has a line. It says so before it looks whether there is one, and whoever writes one looks
    /// at this behind it: so one of the two sees the other.
    sleeps: AtomicBool,
    stops: AtomicBool,
    /// Rounds of the thread that have ended.
    rounds: Mutex<u64>,
    news: Condvar,
}

/// Lines that wait.
#[derive(Debug, Default)]
struct Sheet {
    bytes: Vec<u8>,
    lines: u64,
}

impl Spool {
    /// A spool whose thread has this name.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub(crate) fn new(name: &str, out: impl Out) -> io::Result<Self> {
        Self::gathering(name, out, GATHERED_FOR)
    }

    /// One whose rounds are so long.
    fn gathering(name: &str, mut out: impl Out, round: Duration) -> io::Result<Self> {
        let inner = Arc::<Inner>::default();
        let theirs = Arc::clone(&inner);
        let running =
            thread::Builder::new().name(name.into()).spawn(move || theirs.run(&mut out, round))?;
        Ok(Self { inner, thread: running.thread().clone() })
    }

    /// Takes one line, which `write` appends without its end, or drops it and counts that.
    pub(crate) fn write(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut sheet = self.inner.sheets.mine().lock();
        if sheet.bytes.len() >= MOST_BYTES {
            drop(sheet);
            self.inner.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_plenty = sheet.bytes.len() >= PLENTY_BYTES;
        write(&mut sheet.bytes);
        sheet.bytes.push(b'\n');
        sheet.lines += 1;
        let is_plenty = !was_plenty && sheet.bytes.len() >= PLENTY_BYTES;
        drop(sheet);
        if is_plenty {
            self.inner.is_plenty.store(true, Ordering::Release);
        }
        if is_plenty || self.inner.sleeps.load(Ordering::Relaxed) {
            self.inner.sleeps.store(false, Ordering::Relaxed);
            self.thread.unpark();
        }
    }

    /// Lines for which there was no room, and those that couldn't be written.
    pub(crate) fn dropped(&self) -> u64 {
        self.inner.dropped.load(Ordering::Relaxed) + self.inner.failed.load(Ordering::Relaxed)
    }

    /// Lines that were written.
    pub(crate) fn written(&self) -> u64 {
        self.inner.written.load(Ordering::Relaxed)
    }

    /// Waits until everything taken so far is written, at most so long.
    pub(crate) fn flush(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let mut rounds = self.inner.rounds.lock();
        // The round that goes on may have passed by what was just taken; the next one can't.
        let wanted = *rounds + 2;
        while *rounds < wanted {
            self.thread.unpark();
            if self.inner.news.wait_until(&mut rounds, until).timed_out() {
                return;
            }
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.inner.stops.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Inner {
    fn run(&self, out: &mut impl Out, round: Duration) {
        let mut taken = Sheet::default();
        loop {
            let stops = self.stops.load(Ordering::Acquire);
            if !stops {
                self.sleep();
                self.gather(round);
            }
            for sheet in self.sheets.iter() {
                std::mem::swap(&mut *sheet.lock(), &mut taken);
                if taken.lines > 0 {
                    let done = out.put(&taken.bytes);
                    let counter = if done.is_ok() { &self.written } else { &self.failed };
                    counter.fetch_add(taken.lines, Ordering::Relaxed);
                }
                taken.bytes.clear();
                taken.lines = 0;
            }
            *self.rounds.lock() += 1;
            self.news.notify_all();
            if stops {
                return;
            }
        }
    }

    /// Until there is a line, or another reason to wake.
    fn sleep(&self) {
        self.sleeps.store(true, Ordering::Relaxed);
        if self.sheets.iter().all(|sheet| sheet.lock().lines == 0) {
            thread::park();
        }
        self.sleeps.store(false, Ordering::Relaxed);
    }

    /// Waits for a round's length, or less where there is plenty to write. Whoever wakes it for another reason is heeded all the same: their
    /// lines are in the round that follows.
    fn gather(&self, round: Duration) {
        let until = Instant::now() + round;
        while !self.is_plenty.swap(false, Ordering::Acquire) && !self.stops.load(Ordering::Acquire)
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{self, Receiver, Sender};

    const LONG: Duration = Duration::from_secs(60);

    type Text = Arc<Mutex<Vec<u8>>>;

    /// Writes into a shared text, after a permission for each write; without permissions any more everything passes.
    struct Slow(Receiver<io::Result<()>>, Text);

    impl Out for Slow {
        fn put(&mut self, lines: &[u8]) -> io::Result<()> {
            self.0.recv().unwrap_or(Ok(()))?;
            self.1.lock().extend_from_slice(lines);
            Ok(())
        }
    }

    fn slow() -> (Spool, Sender<io::Result<()>>, Text) {
        let (permit, permits) = mpsc::channel();
        let text = Text::default();
        (Spool::new("test", Slow(permits, Arc::clone(&text))).unwrap(), permit, text)
    }

    fn write(spool: &Spool, line: &str) {
        spool.write(|bytes| bytes.extend_from_slice(line.as_bytes()));
    }

    #[test]
    fn what_hangs_holds_nobody_up_and_what_it_misses_is_counted() {
        let (spool, permit, text) = slow();
        let line = "x".repeat(1000);
        let sent = 5 * (MOST_BYTES as u64) / 1000;
        (0..sent).for_each(|_| write(&spool, &line));
        // One buffer waits and one is being written, at most.
        assert!(spool.dropped() >= sent / 2, "{} of {sent}", spool.dropped());
        spool.flush(Duration::ZERO);
        drop(permit);
        spool.flush(LONG);
        let written = text.lock().iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!((written, written + spool.dropped()), (spool.written(), sent));
    }

    #[test]
    fn where_there_is_plenty_the_rest_of_the_round_isnt_waited_for() {
        let text = Text::default();
        let out = Slow(mpsc::channel().1, Arc::clone(&text));
        let spool = Spool::gathering("test", out, Duration::from_secs(3600)).unwrap();
        let line = "x".repeat(999);
        for round in 1..=3 {
            (0..=PLENTY_BYTES / 1000).for_each(|_| write(&spool, &line));
            while text.lock().len() < round * PLENTY_BYTES {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn lines_that_could_not_be_written_are_counted() {
        let (spool, permit, text) = slow();
        permit.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        write(&spool, "lost");
        spool.flush(LONG);
        drop(permit);
        write(&spool, "kept");
        spool.flush(LONG);
        assert_eq!((spool.dropped(), spool.written()), (1, 1));
        assert_eq!(*text.lock(), b"kept\n");
    }

    #[test]
    fn lines_of_a_thread_stay_in_order_and_none_is_lost_at_the_end() {
        let (spool, permit, text) = slow();
        drop(permit);
        let spool = Arc::new(spool);
        let threads: Vec<_> = (0..4)
            .map(|name| {
                let spool = Arc::clone(&spool);
                thread::spawn(move || {
                    (0..1000).for_each(|n| write(&spool, &format!("{name} {n:04}")))
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let inner = Arc::clone(&spool.inner);
        drop(spool);
        let mut rounds = inner.rounds.lock();
        while inner.written.load(Ordering::Relaxed) < 4000 {
            assert!(!inner.news.wait_for(&mut rounds, LONG).timed_out(), "lines are missing");
        }
        let text = String::from_utf8(text.lock().clone()).unwrap();
        for name in 0..4 {
            let mine: Vec<_> =
                text.lines().filter(|line| line.starts_with(&format!("{name} "))).collect();
            assert!(mine.len() == 1000 && mine.is_sorted(), "{name}");
        }
    }
}
