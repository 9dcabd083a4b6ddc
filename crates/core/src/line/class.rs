//! Those of one priority who wait, and whether they wait in overload.
//!
//! ```text
//!   calm ── the oldest has waited longer than `target`, and so has whoever was the oldest, for `interval` ──▶ overload
//!    ▲                                                                                                           │
//!    └──────────────────── nobody waits, or the oldest has waited no longer than `target` ───────────────────────┘
//! ```

use alloc::collections::BTreeSet;

use super::Ticket;
use super::settings::LineSettings;
use crate::time::Timestamp;

#[derive(Debug, Default)]
pub(super) struct Class {
    /// In the order in which they came.
    waiting: BTreeSet<Ticket>,
    /// Since when the oldest, whoever it was, has always waited for longer than the target; may lie ahead, for an oldest
    /// who will have by then. `None` when nobody waits.
    above_target_since: Option<Timestamp>,
}

impl Class {
    pub(super) fn enter(&mut self, ticket: Ticket, settings: &LineSettings) {
        self.waiting.insert(ticket);
        if self.above_target_since.is_none() {
            self.above_target_since = Some(ticket.entered_at + settings.target);
        }
    }

    /// Takes `ticket` out; false when it isn't there.
    pub(super) fn take(&mut self, ticket: Ticket, settings: &LineSettings, now: Timestamp) -> bool {
        let taken = self.waiting.remove(&ticket);
        match self.waiting.first() {
            None => self.above_target_since = None,
            // The next one has become the oldest. If it came too lately to have waited for long, the wait was good just now.
            Some(oldest) if oldest.entered_at + settings.target >= now => {
                self.above_target_since = Some(oldest.entered_at + settings.target);
            }
            Some(_) => {}
        }
        taken
    }

    pub(super) fn is_overloaded(&self, settings: &LineSettings, now: Timestamp) -> bool {
        self.above_target_since.is_some_and(|since| now >= since + settings.interval)
    }

    /// Who is to be let in first.
    pub(super) fn first(&self, settings: &LineSettings, now: Timestamp) -> Option<Ticket> {
        let overloaded = self.is_overloaded(settings, now);
        if overloaded { self.waiting.last() } else { self.waiting.first() }.copied()
    }

    /// Who would be let in last.
    pub(super) fn last(&self, settings: &LineSettings, now: Timestamp) -> Option<Ticket> {
        let overloaded = self.is_overloaded(settings, now);
        if overloaded { self.waiting.first() } else { self.waiting.last() }.copied()
    }

    pub(super) fn oldest(&self) -> Option<Ticket> {
        self.waiting.first().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
