//! The rate limits against what they promise: never more than the burst and one for each interval, in any stretch of time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use mainstay_core::rate::{KeyedRate, KeyedRateSettings, Pause, Rate, RateSettings};
use mainstay_core::{Chance, Timestamp};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// Milliseconds.
    Wait(u64),
    Take,
    /// Willing to wait so many milliseconds.
    Book(u64),
    /// Gives back one of the places that are booked and not yet reached.
    GiveBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..400).prop_map(Step::Wait),
        Just(Step::Take),
        (0_u64..1_000).prop_map(Step::Book),
        any::<usize>().prop_map(Step::GiveBack),
    ]
}

/// Whether in each stretch of time go no more than the burst and one for each whole interval.
fn conforms(sent: &[Timestamp], settings: &RateSettings) -> Result<(), String> {
    let mut sent = sent.to_vec();
    sent.sort();
    for (first, start) in sent.iter().enumerate() {
        for (last, end) in sent.iter().enumerate().skip(first) {
            let length = end.since(*start).as_nanos();
            let allowed = u128::from(settings.burst)
                + length * u128::from(settings.rate) / settings.period.as_nanos();
            let count = (last - first + 1) as u128;
            if count > allowed {
                return Err(format!("{count} from {start:?} to {end:?}, allowed are {allowed}"));
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_order_of_takes_bookings_and_returns_lets_too_many_through(
        rate in 1_u32..20,
        burst in 1_u32..6,
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let settings = RateSettings { rate, period: Duration::from_secs(1), burst };
        let limit = Rate::new(&settings);
        let mut now = Timestamp::from_millis(10);
        let (mut sent, mut booked) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Wait(millis) => now = now + Duration::from_millis(millis),
                Step::Take => match limit.take(now) {
                    Ok(()) => sent.push(now),
                    Err(until) => prop_assert!(until > now),
                },
                Step::Book(millis) => {
                    let latest = now + Duration::from_millis(millis);
                    match limit.take_by(now, latest) {
                        Ok(slot) => {
                            prop_assert!((now..=latest).contains(&slot.at()));
                            booked.push(slot);
                        }
                        Err(until) => prop_assert!(until > latest),
                    }
                }
                Step::GiveBack(which) if !booked.is_empty() => {
                    let which = which % booked.len();
                    limit.give_back(booked.remove(which));
                }
                Step::GiveBack(_) => {}
            }
            sent.extend(booked.extract_if(.., |slot| slot.at() <= now).map(|slot| slot.at()));
        }
        sent.extend(booked.iter().map(|slot| slot.at()));
        prop_assert_eq!(conforms(&sent, &settings), Ok(()));
    }

    #[test]
    fn no_key_gets_more_than_its_limit_however_many_share_its_cells(
        burst in 1_u32..4,
        keys in 1_u32..4,
        takes in prop::collection::vec((0_u64..12, 0_u64..60), 1..200),
    ) {
        let each = RateSettings { rate: 5, period: Duration::from_secs(1), burst };
        let limit = KeyedRate::new(&KeyedRateSettings { each: each.clone(), keys });
        let mut now = Timestamp::ZERO;
        let mut sent = vec![Vec::new(); 12];
        for (key, wait) in takes {
            now = now + Duration::from_millis(wait);
            if limit.take(key, now).is_ok() {
                sent[key as usize].push(now);
            }
        }
        for sent in sent {
            prop_assert_eq!(conforms(&sent, &each), Ok(()));
        }
    }
}

const THREADS: u64 = 4;

#[test]
fn threads_that_take_at_the_same_moment_get_the_burst_together() {
    let settings = RateSettings { rate: 1, period: Duration::from_secs(1), burst: 1_000 };
    let (limit, taken) = (Rate::new(&settings), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let ok = (0..1_000).filter(|_| limit.take(Timestamp::ZERO).is_ok()).count();
                taken.fetch_add(ok as u32, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(taken.into_inner(), 1_000);
}

#[test]
fn threads_that_share_keys_get_each_keys_burst_at_most() {
    // Two keys' worth of cells for sixteen keys, so that cells are shared and the least advanced one changes.
    let each = RateSettings { rate: 1, period: Duration::from_secs(1), burst: 300 };
    for round in 0..20_u64 {
        let limit = KeyedRate::new(&KeyedRateSettings { each: each.clone(), keys: 2 });
        let taken: [AtomicU32; 16] = std::array::from_fn(|_| AtomicU32::new(0));
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (limit, taken) = (&limit, &taken);
                scope.spawn(move || {
                    let mut chance = Chance::from_seed(round * THREADS + thread);
                    for _ in 0..8_000 {
                        let key = chance.below(16);
                        if limit.take(round * 16 + key, Timestamp::ZERO).is_ok() {
                            taken[key as usize].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let taken = taken.map(AtomicU32::into_inner);
        assert!(taken.iter().all(|&count| count <= 300), "round {round}: {taken:?}");
        assert!(taken.iter().any(|&count| count > 100), "round {round}: {taken:?}");
    }
}

#[test]
fn limits_and_pauses_allocate_nothing() {
    let each = RateSettings { rate: 100, period: Duration::from_secs(1), burst: 10 };
    let (limit, pause) = (Rate::new(&each), Pause::new());
    let keyed = KeyedRate::new(&KeyedRateSettings { each, keys: 100 });
    let mut chance = Chance::from_seed(1);
    let counted = allocation_counter::measure(|| {
        for call in 0..10_000 {
            let now = Timestamp::from_millis(call);
            pause.begin(Duration::from_millis(call % 7), now);
            let from = pause.release_at(now, &mut chance).unwrap_or(now);
            let slot = limit.take_by(from, from + Duration::from_millis(50));
            let key = keyed.take(call % 200, now);
            if let (Ok(slot), Err(_)) = (slot, key) {
                limit.give_back(slot);
            }
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
