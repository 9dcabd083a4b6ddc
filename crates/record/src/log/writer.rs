//! A sink whose lines a thread of its own writes.

use std::io::{self, Write};
use std::time::Duration;

use super::LogSink;
use crate::spool::{Out, Spool};

/// Writes lines to standard output, a file or a socket, from a thread of its own. About a megabyte of each thread's lines may wait to
/// be written; past that the newest are dropped.
#[derive(Debug)]
pub struct WriterSink(Spool);

impl WriterSink {
    /// A sink on standard output.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn stdout() -> io::Result<Self> {
        Self::new(io::stdout())
    }

    /// A sink on `out`, whose thread ends when the sink is dropped and all lines are written.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn new(out: impl Write + Send + 'static) -> io::Result<Self> {
        Spool::new("mainstay-log", Writer(out)).map(Self)
    }
}

struct Writer<W>(W);

impl<W: Write + Send + 'static> Out for Writer<W> {
    fn put(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0.write_all(lines)?;
        self.0.flush()
    }
}

impl LogSink for WriterSink {
    fn write(&self, write: &mut dyn FnMut(&mut Vec<u8>)) {
        self.0.write(write);
    }

    fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    fn flush(&self, at_most: Duration) {
        self.0.flush(at_most);
    }
}
