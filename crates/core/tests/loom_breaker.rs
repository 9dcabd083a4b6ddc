//! Threads that meet in a breaker, in every order that matters.
//!
//!     RUSTFLAGS="--cfg loom" cargo test -p mainstay-core --release --test loom_breaker
//!
//! Loom runs each test again and again until it has seen every interleaving with at most two preemptions, which
//! is where nearly all such faults are found; without that bound three threads take hours.
#![cfg(loom)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use mainstay_core::breaker::{
    Admission, Breaker, BreakerSettings, BreakerState, Forced, Outcome, Transition,
};
use mainstay_core::{Chance, Timestamp};

const FAST: Outcome = Outcome::Success(Duration::from_millis(3));

/// A breaker, and what is seen of it. Loom runs one thread at a time, so what is counted here by plain atomics is
/// exact, and costs the model no further orders.
struct Stage {
    breaker: Breaker,
    settings: BreakerSettings,
    /// An admission from before the threads started.
    kept: Mutex<Option<Admission>>,
    /// Probes out now.
    out: AtomicUsize,
    opened: AtomicUsize,
    half_opened: AtomicUsize,
    closed: AtomicUsize,
}

impl Stage {
    /// One failure opens it.
    fn new(probes_to_close: u8) -> Self {
        Self {
            breaker: Breaker::new(),
            settings: BreakerSettings {
                consecutive_failures: 1,
                failure_ratio: None,
                probes_to_close,
                ..BreakerSettings::default()
            },
            kept: Mutex::new(None),
            out: AtomicUsize::new(0),
            opened: AtomicUsize::new(0),
            half_opened: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
        }
    }

    /// Half-open from the start, nothing told yet.
    fn half_open(probes_to_close: u8) -> Self {
        let stage = Self::new(probes_to_close);
        let admission = stage.admit(at(0)).expect("it is closed");
        stage.settle(admission, Outcome::Failure, at(0));
        stage.breaker.on_check_passed(&stage.settings, at(0)).expect("it is open");
        stage.opened.store(0, Ordering::Relaxed);
        stage
    }

    fn admit(&self, now: Timestamp) -> Option<Admission> {
        let (admission, transition) = self.breaker.admit(&self.settings, now).ok()?;
        self.tell(transition);
        Some(admission)
    }

    fn settle(&self, admission: Admission, outcome: Outcome, now: Timestamp) {
        let mut chance = Chance::from_seed(1);
        let transition = self.breaker.settle(&self.settings, admission, outcome, now, &mut chance);
        self.tell(transition);
    }

    fn tell(&self, transition: Option<Transition>) {
        let counter = match transition {
            Some(Transition::Opened { .. }) => &self.opened,
            Some(Transition::HalfOpened) => &self.half_opened,
            Some(Transition::Closed) => &self.closed,
            None => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a probe in, and says how many are out with it.
    fn enter(&self) -> usize {
        self.out.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn leave(&self) {
        self.out.fetch_sub(1, Ordering::Relaxed);
    }

    fn kept(&self) -> Admission {
        self.kept.lock().expect("no thread panics").take().expect("only one thread takes it")
    }

    fn told(&self) -> [usize; 3] {
        [&self.opened, &self.half_opened, &self.closed]
            .map(|counter| counter.load(Ordering::Relaxed))
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Runs the threads on a stage in every order, then looks at the end.
fn check(
    stage: impl Fn() -> Stage + Send + Sync + 'static,
    threads: &'static [fn(&Stage)],
    end: impl Fn(&Stage) + Send + Sync + 'static,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(move || {
        let stage = Arc::new(stage());
        let (own, others) = threads.split_first().expect("at least one thread");
        let others: Vec<_> = others
            .iter()
            .map(|run| {
                let stage = Arc::clone(&stage);
                thread::spawn(move || run(&stage))
            })
            .collect();
        own(&stage);
        for other in others {
            other.join().expect("no thread panics");
        }
        end(&stage);
    });
}

/// Asks for a probe and gives it back.
fn probe_and_release(stage: &Stage) {
    if let Some(admission) = stage.admit(at(10_000)) {
        assert_eq!(stage.enter(), 1, "more probes than the ramp allows");
        stage.leave();
        stage.breaker.release(admission);
    }
}

/// Asks for a probe, which succeeds.
fn probe_and_succeed(stage: &Stage) {
    if let Some(admission) = stage.admit(at(10_000)) {
        assert!(stage.enter() <= 2, "more probes than the ramp allows");
        stage.leave();
        stage.settle(admission, FAST, at(10_000));
    }
}

#[test]
fn three_threads_find_the_open_time_over_and_one_probe_passes() {
    let opened = || {
        let stage = Stage::new(3);
        let admission = stage.admit(at(0)).expect("it is closed");
        stage.settle(admission, Outcome::Failure, at(0));
        stage
    };
    fn ask(stage: &Stage) {
        if let Some(admission) = stage.admit(at(10_000)) {
            assert!(admission.is_probe());
            stage.enter();
        }
    }
    check(opened, &[ask, ask, ask], |stage| {
        assert_eq!(stage.out.load(Ordering::Relaxed), 1);
        assert_eq!(stage.told(), [1, 1, 0]);
    });
}

#[test]
fn released_slots_are_neither_lost_nor_doubled() {
    check(
        || Stage::half_open(3),
        &[probe_and_release, probe_and_release, probe_and_release],
        |stage| {
            let state = stage.breaker.state(at(10_000));
            assert_eq!(state, BreakerState::HalfOpen { probing: 0, succeeded: 0 });
            assert_eq!(stage.told(), [0, 0, 0]);
        },
    );
}

#[test]
fn the_ramp_holds_while_probes_succeed() {
    check(
        || Stage::half_open(10),
        &[probe_and_succeed, probe_and_succeed, probe_and_succeed],
        |stage| {
            let BreakerState::HalfOpen { probing, succeeded } = stage.breaker.state(at(10_000))
            else {
                panic!("it can't have closed");
            };
            assert_eq!(probing, 0);
            assert!((1..=3).contains(&succeeded));
        },
    );
}

#[test]
fn it_closes_once() {
    let one_succeeded = || {
        let stage = Stage::half_open(3);
        probe_and_succeed(&stage);
        stage
    };
    check(one_succeeded, &[probe_and_succeed, probe_and_succeed], |stage| {
        assert_eq!(stage.breaker.state(at(10_000)), BreakerState::Closed);
        assert_eq!(stage.told(), [0, 0, 1]);
    });
}

#[test]
fn failures_at_the_same_time_open_it_once() {
    fn fail(stage: &Stage) {
        if let Some(admission) = stage.admit(at(0)) {
            stage.settle(admission, Outcome::Failure, at(0));
        }
    }
    check(
        || Stage::new(3),
        &[fail, fail, fail],
        |stage| {
            assert_eq!(stage.told(), [1, 0, 0]);
            assert!(matches!(stage.breaker.state(at(0)), BreakerState::Open { .. }));
        },
    );
}

#[test]
fn a_probe_that_fails_beside_one_that_succeeds_reopens_it_once() {
    fn fail(stage: &Stage) {
        if let Some(admission) = stage.admit(at(10_000)) {
            stage.settle(admission, Outcome::Failure, at(10_000));
        }
    }
    let one_succeeded = || {
        let stage = Stage::half_open(10);
        probe_and_succeed(&stage);
        stage
    };
    check(one_succeeded, &[fail, probe_and_succeed, fail], |stage| {
        assert_eq!(stage.told()[0], 1);
        assert!(matches!(stage.breaker.state(at(10_000)), BreakerState::Open { .. }));
    });
}

/// Half-open, with one probe out that nobody has heard of since.
fn one_lost() -> Stage {
    let stage = Stage::half_open(10);
    let lost = stage.admit(at(0)).expect("a probe may pass");
    *stage.kept.lock().expect("no thread panics") = Some(lost);
    stage
}

/// Asks for a probe after the lost one's time is over, and keeps it.
fn probe_late(stage: &Stage) {
    if let Some(admission) = stage.admit(at(31_000)) {
        assert!(admission.is_probe());
        stage.enter();
    }
}

#[test]
fn a_lost_probe_is_written_off_once_and_the_ramp_begins_at_one() {
    check(one_lost, &[probe_late, probe_late, probe_late], |stage| {
        assert_eq!(stage.out.load(Ordering::Relaxed), 1);
        let state = stage.breaker.state(at(31_000));
        assert_eq!(state, BreakerState::HalfOpen { probing: 1, succeeded: 0 });
    });
}

#[test]
fn news_that_come_as_a_probe_is_written_off_count_or_are_late() {
    fn hear(stage: &Stage) {
        let lost = stage.kept();
        stage.settle(lost, FAST, at(31_000));
    }
    check(one_lost, &[hear, probe_late, probe_late], |stage| {
        let out = stage.out.load(Ordering::Relaxed);
        let BreakerState::HalfOpen { probing, succeeded } = stage.breaker.state(at(31_000)) else {
            panic!("it neither failed nor succeeded often enough");
        };
        assert_eq!(usize::from(probing), out, "a slot was lost or made up");
        assert!(matches!((out, succeeded), (1, 0) | (1..=2, 1)), "{out} out, {succeeded} well");
    });
}

#[test]
fn a_probe_released_as_it_is_written_off_frees_no_slot_of_another() {
    fn give_back(stage: &Stage) {
        let lost = stage.kept();
        stage.breaker.release(lost);
    }
    check(one_lost, &[give_back, probe_late, probe_late], |stage| {
        assert_eq!(stage.out.load(Ordering::Relaxed), 1);
        let state = stage.breaker.state(at(31_000));
        assert_eq!(state, BreakerState::HalfOpen { probing: 1, succeeded: 0 });
    });
}

/// One call that succeeds at this time.
fn succeed(stage: &Stage, now: Timestamp) {
    let admission = stage.admit(now).expect("it is closed");
    stage.settle(admission, FAST, now);
}

#[test]
fn the_window_loses_and_makes_up_no_call_while_its_bucket_changes() {
    let threads: &[fn(&Stage)] = &[
        |stage| succeed(stage, at(500)),
        |stage| succeed(stage, at(1_500)),
        |stage| succeed(stage, at(4_500)),
    ];
    let one_before = || {
        let stage = Stage::new(3);
        succeed(&stage, at(400));
        stage
    };
    check(one_before, threads, |stage| {
        assert_eq!(stage.breaker.counts(&stage.settings, at(4_500)).calls, 4);
    });
}

#[test]
fn after_a_long_pause_old_calls_are_gone_and_new_ones_are_all_there() {
    fn call(stage: &Stage) {
        succeed(stage, at(100_000));
    }
    let some_before = || {
        let stage = Stage::new(3);
        (0..10).for_each(|call| succeed(&stage, at(call * 1_000)));
        stage
    };
    check(some_before, &[call, call, call], |stage| {
        assert_eq!(stage.breaker.counts(&stage.settings, at(100_000)).calls, 3);
    });
}

#[test]
fn a_call_of_an_earlier_period_erases_nothing_of_a_later_one() {
    fn live_on(stage: &Stage) {
        let failing = stage.admit(at(0)).expect("it is closed");
        stage.settle(failing, Outcome::Failure, at(0));
        stage.breaker.on_check_passed(&stage.settings, at(0)).expect("it is open");
        let probe = stage.admit(at(0)).expect("a probe may pass");
        stage.settle(probe, FAST, at(0));
        succeed(stage, at(0));
    }
    fn come_late(stage: &Stage) {
        let early = stage.kept();
        stage.settle(early, FAST, at(0));
    }
    let one_out = || {
        let stage = Stage::new(1);
        let early = stage.admit(at(0)).expect("it is closed");
        *stage.kept.lock().expect("no thread panics") = Some(early);
        stage
    };
    check(one_out, &[live_on, come_late], |stage| {
        let counts = stage.breaker.counts(&stage.settings, at(0));
        // The late call may have been on its way into the window already.
        assert!((1..=2).contains(&counts.calls) && counts.failures == 0, "{counts:?}");
    });
}

#[test]
fn a_check_that_passes_beside_an_attempt_half_opens_it_once() {
    let opened = || {
        let stage = Stage::new(3);
        let admission = stage.admit(at(0)).expect("it is closed");
        stage.settle(admission, Outcome::Failure, at(0));
        stage
    };
    fn pass_check(stage: &Stage) {
        stage.tell(stage.breaker.on_check_passed(&stage.settings, at(10_000)));
    }
    check(opened, &[pass_check, probe_and_release, pass_check], |stage| {
        assert_eq!(stage.told(), [1, 1, 0]);
    });
}

#[test]
fn an_order_wins_over_what_is_seen_at_the_same_time() {
    fn order(stage: &Stage) {
        stage.tell(stage.breaker.force(Forced::Open, at(10_000)));
    }
    check(
        || Stage::half_open(1),
        &[order, probe_and_succeed],
        |stage| {
            assert_eq!(stage.breaker.forced(), Forced::Open);
            let [opened, _, closed] = stage.told();
            assert_eq!(opened, 1);
            assert!(closed <= 1);
        },
    );
}
