//! What the downloads are judged by.

use crate::Outcome;
use crate::reader::Client;

/// One download, as its client saw it.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) client: Client,
    /// Of the representation.
    pub(crate) bytes: u64,
    /// Whether it came byte by byte.
    pub(crate) is_right: bool,
    /// Why the client itself says that it isn't whole.
    pub(crate) error: Option<String>,
}

/// What came of all downloads.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    reads: Vec<Read>,
    /// Of the proxy's process: before all, and after each quarter of a round.
    pub(crate) memory_kib: Vec<u64>,
    pub(crate) seconds: f64,
    /// Requests that the servers had.
    pub(crate) attempts: u64,
    /// Bytes of bodies that the servers sent.
    pub(crate) sent_bytes: u64,
    /// Calls that broke and were continued to their end, as the proxy counts them.
    pub(crate) healed: u64,
}

impl Figures {
    pub(crate) fn new(memory_kib: u64) -> Self {
        Self { memory_kib: vec![memory_kib], ..Self::default() }
    }

    pub(crate) fn add(&mut self, read: Read) {
        self.reads.push(read);
    }

    /// All came whole; what was sent more than once is little; and memory is what it was when as many calls had broken as records
    /// are kept of.
    pub(crate) fn wrong(&self) -> Outcome {
        let bad: Vec<_> = self.reads.iter().filter(|read| read.is_bad()).collect();
        if !bad.is_empty() {
            let some = &bad[..bad.len().min(5)];
            return Err(format!("{} of {} are bad, as {some:?}", bad.len(), self.reads.len()));
        }
        // A few are short enough to come through unbroken.
        if self.healed * 10 < self.reads.len() as u64 * 9 {
            return Err(format!("only {} of {} broke", self.healed, self.reads.len()));
        }
        if self.amplification() > MOST_AMPLIFICATION {
            return Err(format!("the servers sent {:.3} times the bytes", self.amplification()));
        }
        match self.growth() {
            Some(growth) if growth > MOST_GROWTH => Err(format!(
                "memory grew to {growth:.2} times in the last round: {:?} KiB",
                self.memory_kib
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Bytes sent by the servers for one of the representations.
    fn amplification(&self) -> f64 {
        self.sent_bytes as f64 / self.bytes() as f64
    }

    fn bytes(&self) -> u64 {
        self.reads.iter().map(|read| read.bytes).sum()
    }

    /// Memory after the last round beside that after the one before, if there was one with as many calls as records are kept of.
    fn growth(&self) -> Option<f64> {
        let [before, .., after] = self.memory_kib.get(4..)? else { return None };
        let is_filled = self.reads.len() >= 2 * RECORDS;
        is_filled.then_some(*after as f64 / *before as f64)
    }

    /// The tables of the manual.
    pub(crate) fn table(&self) -> String {
        let mut out = String::from("| downloads by | | failed | wrong |\n|---|---|---|---|\n");
        for client in Client::ALL {
            let all = || self.reads.iter().filter(|read| read.client == client);
            let failed = all().filter(|read| read.error.is_some()).count();
            let wrong = all().filter(|read| read.is_wrong()).count();
            out += &format!("| {} | {} | {failed} | {wrong} |\n", client.name(), all().count());
        }
        let gigabytes = self.bytes() as f64 / 1e9;
        out += &format!(
            "\n| | |\n|---|---|\n\
             | bytes | {gigabytes:.1} GB |\n\
             | rate | {:.0} MB/s |\n\
             | broken and healed | {} |\n\
             | attempts | {} |\n\
             | bytes sent by the servers : bytes of the representations | {:.4} |\n\
             | memory of the proxy, MiB: before, and after each quarter | {} |\n",
            gigabytes * 1e3 / self.seconds,
            self.healed,
            self.attempts,
            self.amplification(),
            self.memory_text(),
        );
        out
    }

    fn memory_text(&self) -> String {
        let each = self.memory_kib.iter().map(|kib| format!("{:.1}", *kib as f64 / 1024.0));
        each.collect::<Vec<_>>().join(", ")
    }
}

impl Read {
    /// It passes for whole and is something else: what must never happen.
    fn is_wrong(&self) -> bool {
        self.error.is_none() && !self.is_right
    }

    fn is_bad(&self) -> bool {
        self.error.is_some() || !self.is_right
    }
}

/// Each break costs 512 bytes that are compared, and what was on its way.
const MOST_AMPLIFICATION: f64 = 1.1;

/// What an allocator may do from one moment to the next.
const MOST_GROWTH: f64 = 1.1;

/// Broken calls that the proxy keeps records of, unless told otherwise.
const RECORDS: usize = 1_000;
