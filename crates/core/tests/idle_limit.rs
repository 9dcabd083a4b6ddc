//! The learned idle limit against servers of a known one.

use std::time::Duration;

use mainstay_core::{IdleLimit, Timestamp};
use proptest::prelude::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

proptest! {
    /// Whatever the server's coarseness (up to a fifth), two moments are enough, and the limit lies in its range.
    #[test]
    fn a_servers_limit_is_learned_and_obeyed(
        limit in 60_u64..120_000,
        late in prop::collection::vec(0_u64..20, 2..30),
    ) {
        let mut machine = IdleLimit::new();
        let mut now = Timestamp::from_millis(1_000_000);
        for percent in late {
            now = now + ms(limit + 300);
            machine.on_peer_closed(ms(limit + limit * percent / 100), now);
        }
        let learned = machine.limit().expect("two closes agree");
        prop_assert!(learned >= ms(limit) && learned <= ms(limit) * 6 / 5);
        let retire_after = machine.retire_after().expect("it follows from the limit");
        prop_assert!(retire_after < learned && retire_after >= learned / 2);
    }

    /// Restarts, however many, whose closes come in whatever order, teach nothing if two connections of each differ
    /// widely in age.
    #[test]
    fn restarts_teach_nothing(
        ages in prop::collection::vec((50_u64..1_000, prop::collection::vec(0_u64..60_000, 0..6)), 1..8),
    ) {
        let mut machine = IdleLimit::new();
        for (restart, (least, others)) in ages.into_iter().enumerate() {
            let at = Timestamp::from_millis(1_000_000 + restart as u64 * 100_000);
            for (place, age) in others.iter().copied().chain([least, least * 2 + 1]).enumerate() {
                machine.on_peer_closed(ms(age), at + ms(place as u64));
            }
            prop_assert_eq!(machine.limit(), None);
        }
    }

    /// A limit that isn't there any more is forgotten after as many survivals as closes are remembered, and never
    /// sooner than the first.
    #[test]
    fn a_wrong_limit_does_not_stick(limit in 60_u64..60_000, closes in 2_u64..40) {
        let mut machine = IdleLimit::new();
        for close in 0..closes {
            machine.on_peer_closed(ms(limit), Timestamp::from_millis(1_000_000 + close * 100_000));
        }
        let counts_from = machine.survival_counts_from().expect("something is believed");
        prop_assert!(counts_from > ms(limit));
        for _ in 0..closes.min(8) {
            machine.on_survived(counts_from);
        }
        prop_assert_eq!(machine.limit(), None);
    }
}
