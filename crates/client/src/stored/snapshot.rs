//! How many writes are stored, for metrics. The same for proxy and library.

use std::time::Duration;

use mainstay_outbox::{State, Store, Totals};
use mainstay_record::StoredSnapshot;

/// Those to one upstream: each state, whether or not there are any; nothing while the store can't be asked, since an alert on what waits
/// there would end.
#[must_use]
pub fn snapshots(store: &Store, totals: &[Totals], upstream: &str) -> Vec<StoredSnapshot> {
    if store.trouble().is_some() {
        return Vec::new();
    }
    let now = store.now().0;
    let of = |state: &'static str| {
        let total = totals.iter().find(|total| total.upstream == upstream && total.state == state);
        let (items, bytes) = total.map_or((0, 0), |total| (total.items, total.bytes));
        let since = total.and_then(|total| total.oldest).unwrap_or(now);
        let oldest = Duration::from_millis(now.saturating_sub(since));
        StoredSnapshot { state, items, bytes, oldest }
    };
    State::NAMES.into_iter().map(of).collect()
}
