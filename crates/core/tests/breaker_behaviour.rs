//! What a breaker does, one behaviour at a time, on a virtual clock.
#![cfg(not(loom))]

use std::time::Duration;

use mainstay_core::breaker::{
    Admission, Breaker, BreakerMode, BreakerSettings, BreakerState, Forced, Outcome, Refusal,
    Transition, WindowCounts,
};
use mainstay_core::event::OpenCause;
use mainstay_core::{Chance, Ratio, Timestamp};

const FAST: Outcome = Outcome::Success(Duration::from_millis(3));
const SLOW: Outcome = Outcome::Success(Duration::from_secs(5));

/// A breaker with its settings, its clock and its chance.
struct Stage {
    breaker: Breaker,
    settings: BreakerSettings,
    now: Timestamp,
    chance: Chance,
}

impl Stage {
    fn new(change: impl FnOnce(&mut BreakerSettings)) -> Self {
        let mut settings = BreakerSettings::default();
        change(&mut settings);
        Self {
            breaker: Breaker::new(),
            settings,
            now: Timestamp::from_millis(500),
            chance: Chance::from_seed(1),
        }
    }

    /// Opened by failures in a row, and its open time over.
    fn ready_to_probe(change: impl FnOnce(&mut BreakerSettings)) -> Self {
        let mut stage = Self::new(change);
        stage.calls(5, Outcome::Failure);
        stage.pass_time(5_001);
        stage
    }

    fn pass_time(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    fn admit(&self) -> Result<(Admission, Option<Transition>), Refusal> {
        self.breaker.admit(&self.settings, self.now)
    }

    /// Admits an attempt that must be a probe.
    fn probe(&self) -> Admission {
        let (admission, _) = self.admit().expect("a probe may pass");
        assert!(admission.is_probe());
        admission
    }

    fn settle(&mut self, admission: Admission, outcome: Outcome) -> Option<Transition> {
        self.breaker.settle(&self.settings, admission, outcome, self.now, &mut self.chance)
    }

    /// So many calls, one after the other, with the same outcome; gives the last transition of a settlement.
    fn calls(&mut self, number: usize, outcome: Outcome) -> Option<Transition> {
        let mut last = None;
        for _ in 0..number {
            let (admission, _) = self.admit().expect("it may pass");
            last = self.settle(admission, outcome);
        }
        last
    }

    fn state(&self) -> BreakerState {
        self.breaker.state(self.now)
    }

    fn counts(&self) -> WindowCounts {
        self.breaker.counts(&self.settings, self.now)
    }

    fn force(&self, order: Forced) -> Option<Transition> {
        self.breaker.force(order, self.now)
    }
}

/// The cause of an opening, and whether its length is between half of `full` and all of it.
#[track_caller]
fn check_opened(transition: Option<Transition>, expected: OpenCause, full: Duration) {
    let Some(Transition::Opened { cause, open_for }) = transition else {
        panic!("not opened: {transition:?}");
    };
    assert_eq!(cause, expected);
    assert!(open_for >= full / 2 && open_for <= full, "{open_for:?} of {full:?}");
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn failures_in_a_row_open_it() {
    let mut stage = Stage::new(|_| {});
    assert_eq!(stage.calls(4, Outcome::Failure), None);
    check_opened(stage.calls(1, Outcome::Failure), OpenCause::Consecutive, secs(5));
    let refusal = stage.admit().expect_err("it is open");
    assert_eq!(stage.state(), BreakerState::Open { until: refusal.until });
    assert!(refusal.until > stage.now + secs(2));
}

#[test]
fn one_success_ends_a_row() {
    let mut stage = Stage::new(|settings| settings.failure_ratio = None);
    for _ in 0..10 {
        assert_eq!(stage.calls(4, Outcome::Failure), None);
        stage.calls(1, FAST);
    }
    assert_eq!(stage.state(), BreakerState::Closed);
}

#[test]
fn a_share_of_failures_opens_it_from_the_minimum_of_calls_on() {
    let mut stage = Stage::new(|settings| settings.consecutive_failures = 0);
    assert_eq!(stage.calls(10, FAST), None);
    assert_eq!(stage.calls(9, Outcome::Failure), None);
    check_opened(stage.calls(1, Outcome::Failure), OpenCause::FailureRatio, secs(5));
}

#[test]
fn a_share_of_slow_calls_opens_it() {
    let mut stage = Stage::new(|settings| settings.slow_ratio = Some(Ratio::percent(20)));
    stage.calls(16, FAST);
    assert_eq!(stage.calls(3, SLOW), None);
    check_opened(stage.calls(1, SLOW), OpenCause::SlowRatio, secs(5));
}

#[test]
fn slow_calls_are_counted_and_open_nothing_when_their_trigger_is_off() {
    let mut stage = Stage::new(|_| {});
    assert_eq!(stage.calls(50, SLOW), None);
    assert_eq!(stage.counts(), WindowCounts { calls: 50, failures: 0, slow: 50 });
}

#[test]
fn with_all_triggers_off_nothing_opens_it() {
    let mut stage = Stage::new(|settings| {
        settings.consecutive_failures = 0;
        settings.failure_ratio = None;
    });
    assert_eq!(stage.calls(100, Outcome::Failure), None);
    assert_eq!(stage.state(), BreakerState::Closed);
}

#[test]
fn a_body_that_breaks_later_is_a_failure_and_no_further_call() {
    let mut stage = Stage::new(|settings| settings.consecutive_failures = 0);
    stage.calls(20, FAST);
    let note = |stage: &mut Stage| {
        stage.breaker.note_failure(&stage.settings, stage.now, &mut stage.chance)
    };
    for _ in 0..9 {
        assert_eq!(note(&mut stage), None);
    }
    assert_eq!(stage.counts(), WindowCounts { calls: 20, failures: 9, slow: 0 });
    check_opened(note(&mut stage), OpenCause::FailureRatio, secs(5));
    stage.pass_time(5_001);
    let _probe = stage.probe();
    assert_eq!(note(&mut stage), None);
    assert!(matches!(stage.state(), BreakerState::HalfOpen { .. }));
}

#[test]
fn the_ramp_grows_as_probes_succeed() {
    let mut stage = Stage::ready_to_probe(|settings| settings.probes_to_close = 20);
    let mut widths = Vec::new();
    for _ in 0..4 {
        let mut out = Vec::new();
        while let Ok((admission, _)) = stage.admit() {
            assert!(admission.is_probe());
            out.push(admission);
        }
        widths.push(out.len());
        for admission in out {
            assert_eq!(stage.settle(admission, FAST), None);
        }
    }
    assert_eq!(widths, [1, 2, 4, 8]);
}

#[test]
fn half_opening_and_closing_are_told_once() {
    let mut stage = Stage::ready_to_probe(|_| {});
    let (first, transition) = stage.admit().expect("its time is over");
    assert_eq!(transition, Some(Transition::HalfOpened));
    assert_eq!(stage.settle(first, FAST), None);
    let (second, third) = (stage.probe(), stage.probe());
    assert_eq!(stage.settle(second, FAST), None);
    assert_eq!(stage.settle(third, FAST), Some(Transition::Closed));
    assert_eq!(stage.state(), BreakerState::Closed);
    assert_eq!(stage.counts(), WindowCounts::default());
}

#[test]
fn a_failed_probe_reopens_it_for_twice_as_long_up_to_the_cap() {
    let mut stage = Stage::ready_to_probe(|settings| settings.open_cap = secs(30));
    for full in [10, 20, 30, 30] {
        let probe = stage.probe();
        let transition = stage.settle(probe, Outcome::Failure);
        check_opened(transition, OpenCause::ProbeFailed, secs(full));
        stage.pass_time(full * 1_000 + 1);
    }
    stage.calls(3, FAST);
    assert_eq!(stage.state(), BreakerState::Closed);
    check_opened(stage.calls(5, Outcome::Failure), OpenCause::Consecutive, secs(5));
}

#[test]
fn open_times_are_spread_over_their_upper_half() {
    let mut stage = Stage::new(|settings| settings.consecutive_failures = 1);
    let mut lengths = Vec::new();
    for _ in 0..200 {
        let Some(Transition::Opened { open_for, .. }) = stage.calls(1, Outcome::Failure) else {
            panic!("it opens at each failure");
        };
        lengths.push(open_for);
        stage.force(Forced::Closed);
        stage.force(Forced::No);
    }
    assert!(lengths.iter().min().expect("some") < &Duration::from_millis(2_600));
    assert!(lengths.iter().max().expect("some") > &Duration::from_millis(4_900));
}

#[test]
fn a_slow_probe_fails_where_slowness_opens() {
    let mut stage = Stage::ready_to_probe(|settings| settings.slow_ratio = Some(Ratio::ONE));
    let probe = stage.probe();
    check_opened(stage.settle(probe, SLOW), OpenCause::ProbeFailed, secs(10));
    let mut stage = Stage::ready_to_probe(|settings| settings.probes_to_close = 1);
    let probe = stage.probe();
    assert_eq!(stage.settle(probe, SLOW), Some(Transition::Closed));
}

#[test]
fn a_released_probe_gives_its_slot_back() {
    let stage = Stage::ready_to_probe(|_| {});
    for _ in 0..100 {
        let probe = stage.probe();
        assert!(stage.admit().is_err());
        stage.breaker.release(probe);
    }
}

#[test]
fn lost_probes_are_written_off_and_the_ramp_begins_again_at_one() {
    let mut stage = Stage::ready_to_probe(|_| {});
    stage.calls(1, FAST);
    let lost = [stage.probe(), stage.probe()];
    let refusal = stage.admit().expect_err("all probes are out");
    assert!(refusal.until >= stage.now + secs(30));
    stage.now = refusal.until;
    let (probe, transition) = stage.admit().expect("the lost ones are written off");
    assert_eq!((probe.is_probe(), transition), (true, None));
    assert!(stage.admit().is_err());
    for late in lost {
        assert_eq!(stage.settle(late, Outcome::Failure), None);
    }
    assert_eq!(stage.state(), BreakerState::HalfOpen { probing: 1, succeeded: 0 });
    stage.settle(probe, FAST);
    assert_eq!(stage.calls(2, FAST), Some(Transition::Closed));
}

#[test]
fn an_endpoint_with_few_calls_closes_too() {
    let mut stage = Stage::ready_to_probe(|_| {});
    stage.calls(1, FAST);
    stage.pass_time(3_600_000);
    stage.calls(1, FAST);
    stage.pass_time(3_600_000);
    assert_eq!(stage.calls(1, FAST), Some(Transition::Closed));
}

#[test]
fn late_news_count_for_nothing() {
    let mut stage = Stage::new(|_| {});
    let late: Vec<Admission> = (0..3).map(|_| stage.admit().expect("closed").0).collect();
    stage.calls(5, Outcome::Failure);
    stage.pass_time(5_001);
    stage.calls(3, FAST);
    for admission in late {
        assert_eq!(stage.settle(admission, Outcome::Failure), None);
    }
    assert_eq!(stage.counts(), WindowCounts::default());
}

#[test]
fn a_passed_check_opens_the_door_for_probes_at_once() {
    let mut stage = Stage::new(|_| {});
    let passed = |stage: &Stage| stage.breaker.on_check_passed(&stage.settings, stage.now);
    assert_eq!(passed(&stage), None);
    stage.calls(5, Outcome::Failure);
    assert_eq!(passed(&stage), Some(Transition::HalfOpened));
    assert_eq!(passed(&stage), None);
    assert_eq!(stage.calls(3, FAST), Some(Transition::Closed));
    stage.force(Forced::Open);
    assert_eq!(passed(&stage), None);
}

#[test]
fn mode_off_watches_and_lets_everything_pass() {
    let mut stage = Stage::new(|settings| settings.mode = BreakerMode::Off);
    check_opened(stage.calls(5, Outcome::Failure), OpenCause::Consecutive, secs(5));
    assert!(matches!(stage.state(), BreakerState::Open { .. }));
    assert_eq!(stage.breaker.would_admit(&stage.settings, stage.now), Ok(()));
    assert_eq!(stage.calls(2, FAST), None);
    assert_eq!(stage.counts(), WindowCounts { calls: 7, failures: 5, slow: 0 });
    stage.pass_time(5_001);
    let probe = stage.probe();
    let (other, _) = stage.admit().expect("all pass");
    assert!(!other.is_probe());
    stage.settle(probe, FAST);
    assert_eq!(stage.calls(2, FAST), Some(Transition::Closed));
}

#[test]
fn mode_stop_retries_lets_first_attempts_pass_and_probes_with_them() {
    let mut stage = Stage::new(|settings| settings.mode = BreakerMode::StopRetries);
    stage.calls(5, Outcome::Failure);
    assert!(stage.admit().is_err());
    assert_eq!(stage.breaker.would_admit_first(&stage.settings, stage.now), Ok(()));
    let (first, _) = stage.breaker.admit_first(&stage.settings, stage.now).expect("it passes");
    assert!(!first.is_probe());
    assert_eq!(stage.settle(first, Outcome::Failure), None);
    stage.pass_time(5_001);
    let (first, half_opened) =
        stage.breaker.admit_first(&stage.settings, stage.now).expect("it passes");
    assert!(first.is_probe());
    assert_eq!(half_opened, Some(Transition::HalfOpened));
}

#[test]
fn an_order_to_open_holds_in_every_mode_until_it_is_taken_back() {
    for mode in [BreakerMode::Off, BreakerMode::StopRetries, BreakerMode::StopAll] {
        let mut stage = Stage::new(|settings| settings.mode = mode);
        stage.calls(4, Outcome::Failure);
        let opened = Transition::Opened { cause: OpenCause::Forced, open_for: Duration::MAX };
        assert_eq!(stage.force(Forced::Open), Some(opened));
        assert_eq!(stage.force(Forced::Open), None);
        stage.pass_time(u64::from(u32::MAX));
        let refusal = Refusal { until: Timestamp::MAX };
        assert_eq!(stage.admit().err(), Some(refusal));
        assert_eq!(stage.breaker.admit_first(&stage.settings, stage.now).err(), Some(refusal));
        assert_eq!(stage.force(Forced::No), Some(Transition::Closed));
        assert_eq!(stage.calls(4, Outcome::Failure), None);
    }
}

#[test]
fn an_order_to_close_holds_whatever_is_seen() {
    let mut stage = Stage::new(|_| {});
    stage.calls(5, Outcome::Failure);
    assert_eq!(stage.force(Forced::Closed), Some(Transition::Closed));
    assert_eq!(stage.breaker.forced(), Forced::Closed);
    assert_eq!(stage.calls(100, Outcome::Failure), None);
    assert_eq!(stage.counts().failures, 105);
    assert_eq!(stage.force(Forced::No), None);
    assert_eq!(stage.counts(), WindowCounts::default());
    assert!(stage.calls(5, Outcome::Failure).is_some());
}

#[test]
fn taking_back_no_order_changes_nothing() {
    let mut stage = Stage::new(|_| {});
    stage.calls(4, Outcome::Failure);
    assert_eq!(stage.force(Forced::No), None);
    assert!(stage.calls(1, Outcome::Failure).is_some());
}

#[test]
fn asking_whether_it_would_pass_takes_no_slot() {
    let stage = Stage::ready_to_probe(|_| {});
    for _ in 0..10 {
        assert_eq!(stage.breaker.would_admit(&stage.settings, stage.now), Ok(()));
    }
    let _probe = stage.probe();
    assert!(stage.breaker.would_admit(&stage.settings, stage.now).is_err());
}

#[test]
fn another_window_length_clears_the_counts_and_other_changes_do_not() {
    let mut stage = Stage::new(|_| {});
    stage.calls(3, FAST);
    let before = stage.settings.clone();
    stage.settings.minimum_calls = 5;
    stage.breaker.on_reload(&before, &stage.settings);
    assert_eq!(stage.counts().calls, 3);
    let before = stage.settings.clone();
    stage.settings.window = secs(60);
    stage.breaker.on_reload(&before, &stage.settings);
    assert_eq!(stage.counts().calls, 0);
    stage.calls(2, FAST);
    assert_eq!(stage.counts().calls, 2);
}

#[test]
fn the_end_of_time_is_survived() {
    let mut stage = Stage::new(|_| {});
    stage.now = Timestamp::MAX;
    stage.calls(5, Outcome::Failure);
    stage.calls(3, FAST);
    assert_eq!(stage.state(), BreakerState::Closed);
}
