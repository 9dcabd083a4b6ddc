//! The changes of state of the last hour, and what people ordered.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::FeedItem;

/// A change, and its place among all of the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Counts up from 1.
    pub seq: u64,
    /// What changed.
    #[serde(flatten)]
    pub item: Arc<FeedItem>,
}

/// What a person ordered.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Who: the address that the order came from.
    pub who: String,
    /// The order's word: `drain`, `retry`, `reload`.
    pub order: String,
    /// At which upstream, if at one.
    pub upstream: Option<Arc<str>>,
    /// At which endpoint, if at one.
    pub endpoint: Option<Arc<str>>,
    /// What it is about otherwise.
    pub what: Option<String>,
}

/// The list of them.
#[derive(Debug, Default)]
pub(crate) struct Changes(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    last: u64,
    list: VecDeque<Change>,
}

impl Changes {
    /// Adds one, and lets go of the oldest when there are too many, or they are too old.
    pub(crate) fn add(&self, item: Arc<FeedItem>) {
        let mut kept = self.0.lock();
        kept.last += 1;
        let (seq, now) = (kept.last, item.at_unix_ms);
        kept.list.push_back(Change { seq, item });
        let too_old = |change: &Change| change.item.at_unix_ms + KEPT_MS < now;
        while kept.list.len() > CHANGES || kept.list.front().is_some_and(too_old) {
            kept.list.pop_front();
        }
    }

    /// The number of the last one; zero before the first.
    pub(crate) fn last(&self) -> u64 {
        self.0.lock().last
    }

    /// Those after this one, and how many of them have left.
    pub(crate) fn after(&self, seq: u64) -> (Vec<Change>, u64) {
        let kept = self.0.lock();
        let first = kept.list.front().map_or(kept.last + 1, |first| first.seq);
        let list = kept.list.iter().filter(|change| change.seq > seq).cloned().collect();
        (list, first.saturating_sub(seq + 1))
    }

    /// Those within these times, in milliseconds since 1970.
    pub(crate) fn within(&self, range: std::ops::RangeInclusive<u64>) -> Vec<Change> {
        let kept = self.0.lock();
        let list = kept.list.iter().filter(|change| range.contains(&change.item.at_unix_ms));
        list.cloned().collect()
    }
}

/// A breaker that flaps at one endpoint changes twice a second at most; so many are about two megabytes.
const CHANGES: usize = 4096;

/// An hour.
const KEPT_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_numbered_bounded_and_leave_after_an_hour() {
        let changes = Changes::default();
        let add = |at| changes.add(Arc::new(FeedItem { at_unix_ms: at, ..FeedItem::default() }));
        assert_eq!(changes.after(0), (vec![], 0));
        (0..3).for_each(add);
        let seqs = |seq| changes.after(seq).0.iter().map(|change| change.seq).collect::<Vec<_>>();
        assert_eq!((seqs(0), seqs(2), seqs(3)), (vec![1, 2, 3], vec![3], vec![]));
        assert_eq!(changes.within(1..=1).len(), 1);
        add(3_600_002);
        assert_eq!(
            (seqs(0), changes.after(0).1, changes.after(1).1, changes.last()),
            (vec![3, 4], 2, 1, 4)
        );
        (0..CHANGES as u64).for_each(|at| add(3_600_002 + at));
        assert_eq!((seqs(0).len(), changes.after(4).1, changes.after(3).1), (CHANGES, 0, 1));
    }
}
