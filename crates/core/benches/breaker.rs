//! What a breaker costs a call: ours beside `recloser` and `failsafe`.
//!
//! - `admit and record`: a call passes a closed breaker and succeeds. `alone` is one thread; `two threads` is the time
//!   a call takes each of two threads that use one breaker.
//! - `refusal`: a call is turned away by an open one.
//!
//! Ours takes the time as an argument, so it is called with times that go on by a microsecond a call, which makes
//! it change its bucket as it would in use. The others read the clock themselves where they need it; that is part of
//! what they cost. `tower-resilience-circuitbreaker` isn't here: its breaker is a tower service, and through
//! futures polled to their end one would measure more than the breaker.
//!
//! Targets: 10 ns alone, 25 ns with two threads, 15 ns for a refusal.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use failsafe::CircuitBreaker;
use mainstay_core::breaker::{Breaker, BreakerSettings, Forced, Outcome};
use mainstay_core::{Chance, Timestamp};

/// One call through our closed breaker.
fn ours(breaker: &Breaker, settings: &BreakerSettings, now: &mut Timestamp, chance: &mut Chance) {
    *now = *now + Duration::from_micros(1);
    if let Ok((admission, transition)) = breaker.admit(black_box(settings), *now) {
        black_box(transition);
        let outcome = black_box(Outcome::Success(Duration::from_millis(3)));
        black_box(breaker.settle(settings, admission, outcome, *now, chance));
    }
}

fn recloser(breaker: &recloser::Recloser) {
    let _ = black_box(breaker.call(|| black_box(Ok::<(), ()>(()))));
}

fn failsafe(breaker: &impl CircuitBreaker) {
    let _ = black_box(breaker.call(|| black_box(Ok::<(), ()>(()))));
}

/// With its own defaults, which are of the same kind as ours: failures in a row, or a success rate over a window.
fn new_failsafe() -> impl CircuitBreaker + Sync {
    failsafe::Config::new().build()
}

/// The time that two threads take for `calls` calls each.
fn on_two_threads(calls: u64, run: impl Fn(u64) + Sync) -> Duration {
    let barrier = Barrier::new(2);
    let one = || {
        barrier.wait();
        let started = Instant::now();
        run(calls);
        started.elapsed()
    };
    thread::scope(|scope| {
        let other = scope.spawn(one);
        let own = one();
        own.max(other.join().expect("the other thread measures, too"))
    })
}

fn admit_and_record(criterion: &mut Criterion) {
    let settings = BreakerSettings::default();
    let run_ours = |breaker: &Breaker, calls: u64| {
        let (mut now, mut chance) = (Timestamp::ZERO, Chance::from_seed(1));
        for _ in 0..calls {
            ours(breaker, &settings, &mut now, &mut chance);
        }
    };
    let mut group = criterion.benchmark_group("admit and record, alone");
    group.bench_function("mainstay", |bencher| {
        let breaker = Breaker::new();
        let (mut now, mut chance) = (Timestamp::ZERO, Chance::from_seed(1));
        bencher.iter(|| ours(&breaker, &settings, &mut now, &mut chance));
    });
    group.bench_function("recloser", |bencher| {
        let breaker = recloser::Recloser::default();
        bencher.iter(|| recloser(&breaker));
    });
    group.bench_function("failsafe", |bencher| {
        let breaker = new_failsafe();
        bencher.iter(|| failsafe(&breaker));
    });
    group.finish();

    let mut group = criterion.benchmark_group("admit and record, two threads");
    group.bench_function("mainstay", |bencher| {
        let breaker = Breaker::new();
        bencher.iter_custom(|calls| on_two_threads(calls, |calls| run_ours(&breaker, calls)));
    });
    group.bench_function("recloser", |bencher| {
        let breaker = recloser::Recloser::default();
        let run = |calls| (0..calls).for_each(|_| recloser(&breaker));
        bencher.iter_custom(|calls| on_two_threads(calls, run));
    });
    group.bench_function("failsafe", |bencher| {
        let breaker = new_failsafe();
        let run = |calls| (0..calls).for_each(|_| failsafe(&breaker));
        bencher.iter_custom(|calls| on_two_threads(calls, run));
    });
    group.finish();
}

fn refusal(criterion: &mut Criterion) {
    let settings = BreakerSettings::default();
    let mut chance = Chance::from_seed(1);
    let mut group = criterion.benchmark_group("refusal");
    group.bench_function("mainstay, open", |bencher| {
        let (breaker, now) = (Breaker::new(), Timestamp::ZERO);
        for _ in 0..settings.consecutive_failures {
            if let Ok((admission, _)) = breaker.admit(&settings, now) {
                let _ = breaker.settle(&settings, admission, Outcome::Failure, now, &mut chance);
            }
        }
        bencher.iter(|| breaker.admit(black_box(&settings), black_box(now)).err());
    });
    group.bench_function("mainstay, by order", |bencher| {
        let (breaker, now) = (Breaker::new(), Timestamp::ZERO);
        let _ = breaker.force(Forced::Open, now);
        bencher.iter(|| breaker.admit(black_box(&settings), black_box(now)).err());
    });
    group.bench_function("recloser", |bencher| {
        let breaker = recloser::Recloser::custom().closed_len(1).build();
        for _ in 0..10 {
            let _ = breaker.call(|| Err::<(), ()>(()));
        }
        bencher.iter(|| recloser(&breaker));
    });
    group.bench_function("failsafe", |bencher| {
        let breaker = new_failsafe();
        for _ in 0..10 {
            let _ = breaker.call(|| Err::<(), ()>(()));
        }
        bencher.iter(|| failsafe(&breaker));
    });
    group.finish();
}

criterion_group!(benches, admit_and_record, refusal);
criterion_main!(benches);
