//! The limit under every order that threads can take, by loom's model checker. Run it with
//! `RUSTFLAGS="--cfg loom" cargo test -p mainstay-core --release --test limit_loom`.

#![cfg(loom)]

use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use mainstay_core::Timestamp;
use mainstay_core::limit::{AdaptiveSettings, Limit, LimitSettings};

/// A limit of 20 whose first window is due at a second, with one sample in it.
fn due() -> Arc<Limit> {
    let settings = AdaptiveSettings { minimum_samples: 1, ..AdaptiveSettings::default() };
    let limit = Limit::new(LimitSettings::Adaptive(settings));
    let _ = limit.on_answer(Duration::from_millis(5), 20, Timestamp::ZERO);
    Arc::new(limit)
}

/// Runs two threads in every order, then looks at the limit.
fn check(first: fn(&Limit) -> bool, second: fn(&Limit) -> bool, then: fn(&Limit, u32)) {
    loom::model(move || {
        let limit = due();
        let other = {
            let limit = Arc::clone(&limit);
            thread::spawn(move || second(&limit))
        };
        let moved = u32::from(first(&limit));
        let moved = moved + u32::from(other.join().expect("the other thread ends"));
        then(&limit, moved);
    });
}

const DUE: Timestamp = Timestamp::from_millis(1_000);

#[test]
fn a_window_that_two_threads_find_due_moves_the_limit_once() {
    let answer = |limit: &Limit| limit.on_answer(Duration::from_millis(5), 20, DUE).is_some();
    check(answer, answer, |limit, moved| assert_eq!((limit.current(), moved), (21, 1)));
}

#[test]
fn a_drop_is_counted_in_one_of_two_windows() {
    let drop = |limit: &Limit| limit.on_drop(20, DUE).is_some();
    check(drop, drop, |limit, moved| {
        assert_eq!((limit.current(), moved), (18, 1));
        // Whatever was left for the next window, that one closes as well.
        let _ = limit.on_drop(20, Timestamp::from_millis(2_000));
        assert_eq!(limit.current(), 16);
    });
}

#[test]
fn who_closes_the_next_window_sees_what_the_last_one_learned() {
    let next = Timestamp::from_millis(2_000);
    let answer = |limit: &Limit, now| {
        let _ = limit.on_answer(Duration::from_millis(5), 20, now);
    };
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let limit = due();
        let other = {
            let limit = Arc::clone(&limit);
            thread::spawn(move || answer(&limit, DUE))
        };
        answer(&limit, DUE);
        answer(&limit, next);
        other.join().expect("the other thread ends");
        // Two windows at most; never one that forgot the other.
        let grown = limit.current();
        assert!((21..=22).contains(&grown), "{grown}");
        answer(&limit, Timestamp::from_millis(9_000));
        assert_eq!(limit.current(), grown + 1);
    });
}
