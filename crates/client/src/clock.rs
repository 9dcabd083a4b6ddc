//! The clock behind [`Timestamp`]: nanoseconds since the process began to count.

use std::cell::Cell;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstay_core::Timestamp;
use tokio::time::Instant;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The process's clock. All parts of a process share it, so their timestamps can be compared.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// The time now.
    #[must_use]
    pub fn now() -> Timestamp {
        let start = *START;
        Timestamp::from_nanos(mainstay_core::time::nanos(
            Instant::now().saturating_duration_since(start),
        ))
    }

    /// When a timestamp is, for a timer.
    #[must_use]
    pub fn instant(at: Timestamp) -> Instant {
        // Far beyond what a timer can hold is as good as never.
        const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
        *START + Duration::from_nanos(at.as_nanos()).min(FAR)
    }

    /// Wall-clock milliseconds since 1970, to which the moments in hints are compared.
    #[must_use]
    pub fn unix_millis() -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// The same at a moment that just was. What lies between the two clocks is looked up once a second by each thread, so that a
    /// clock that is put right is noticed that much later.
    #[must_use]
    pub fn unix_millis_at(at: Timestamp) -> u64 {
        thread_local! {
            /// Nanoseconds between 1970 and the process's begin, and until when that holds.
            static BEGAN: Cell<(u64, Timestamp)> = const { Cell::new((0, Timestamp::ZERO)) };
        }
        let (mut began, until) = BEGAN.get();
        if at >= until {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let now = Self::now();
            began = mainstay_core::time::nanos(since).saturating_sub(now.as_nanos());
            BEGAN.set((began, now + Duration::from_secs(1)));
        }
        (began + at.as_nanos()) / 1_000_000
    }

    /// Wall-clock seconds since 1970, to which HTTP dates are compared.
    #[must_use]
    pub fn unix_seconds() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}
