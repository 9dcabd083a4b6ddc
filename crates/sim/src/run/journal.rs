//! What was told in a run, call by call, for whoever compares a run with a real one.
//!
//! A run counts and forgets, so that its memory doesn't grow. Where single decisions matter, it keeps them: all events of the
//! machines, and each execution, up to a bound.

use mainstay_core::{Event, Timestamp};

use super::Simulation;
use crate::outcome::Report;

/// What was told, in the order in which it was.
#[derive(Clone, Debug)]
pub struct Journal {
    entries: Vec<Entry>,
    limit: usize,
    missed: u64,
}

/// One thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Of which call, counted from 0 in the order in which they begin; `None`: an upstream told it by itself.
    pub call: Option<u64>,
    /// What.
    pub what: Happened,
}

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Happened {
    /// An event of the machines.
    Told(Event),
    /// A server carried the call out.
    Executed,
}

impl Journal {
    /// All of it.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// For how much there was no room.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    pub(super) fn add(&mut self, at: Timestamp, call: Option<u64>, what: Happened) {
        if self.entries.len() < self.limit {
            self.entries.push(Entry { at, call, what });
        } else {
            self.missed += 1;
        }
    }
}

impl Simulation {
    /// Runs to the end, and keeps what is told, at most `limit` entries.
    #[must_use]
    pub fn run_with_journal(mut self, limit: usize) -> (Report, Journal) {
        self.journal = Some(Journal { entries: Vec::new(), limit, missed: 0 });
        self.run_until(std::time::Duration::MAX);
        let empty = Journal { entries: Vec::new(), limit, missed: 0 };
        let journal = self.journal.take().unwrap_or(empty);
        (self.finish(), journal)
    }
}
