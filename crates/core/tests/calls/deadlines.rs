//! How long a call and its attempts may take, and what isn't begun since it can't be finished.

use std::time::Duration;

use mainstay_core::breaks::safety::Repetition;
use mainstay_core::budget::BudgetSettings;
use mainstay_core::call::{AdaptiveTimeout, Layer};
use mainstay_core::event::StopReason;
use mainstay_core::upstream::{Percentile, Purpose, Report, ScopeId, Want};
use mainstay_core::{BreakKind, Call, CallFacts, CallPolicy, Certainty, Chance};

use crate::story::{Story, facts, policy};

fn story_of(facts: CallFacts, policy: CallPolicy) -> Story {
    Story::of(&["a", "b"], facts, policy, BudgetSettings::default())
}

/// Every endpoint has answered a hundred times in so long, and somebody looked at it.
fn observe(story: &Story, took: Duration) {
    let mut chance = Chance::from_seed(3);
    for endpoint in story.upstream.endpoint_ids() {
        for _ in 0..100 {
            let pick = story
                .upstream
                .pick_again(endpoint, ScopeId(0), story.now)
                .expect("a closed breaker");
            let mut permit = pick.permit;
            let _ = permit.report(Report::Answered(took), story.now, &mut chance);
        }
    }
    let _ = story.upstream.on_time(story.now + Duration::from_secs(1), &mut chance);
}

#[test]
fn the_callers_own_deadline_ends_the_call() {
    let time_left = Some(Duration::from_millis(250));
    let mut story = story_of(CallFacts { time_left, ..facts(Repetition::Idempotent) }, policy());
    story.start();
    assert_eq!(story.waited_for(), Duration::from_millis(250));
    assert_eq!(story.wait(), "cancel 1");
}

#[test]
fn a_caller_cannot_give_more_time_than_the_policy_does() {
    let time_left = Some(Duration::from_secs(3600));
    let story = story_of(CallFacts { time_left, ..facts(Repetition::Idempotent) }, policy());
    assert_eq!(story.call.deadline_at(), story.now + Duration::from_secs(30));
}

#[test]
fn what_travels_on_is_the_time_that_is_left_less_the_round_trip() {
    let time_left = Some(Duration::from_millis(250));
    let mut story = story_of(CallFacts { time_left, ..facts(Repetition::Idempotent) }, policy());
    story.start();
    let a = story.upstream.endpoint_by_name("a").unwrap();
    let left = |story: &Story| story.call.time_left(a, &story.upstream, story.now);
    assert_eq!(left(&story), Duration::from_millis(250));
    story.upstream.note_round_trip(a, Duration::from_millis(64));
    let about = left(&story);
    assert!((185..=187).contains(&about.as_millis()), "{about:?}");
    story.now = story.now + Duration::from_secs(1);
    assert_eq!(left(&story), Duration::ZERO);
}

#[test]
fn the_end_of_the_attempt_travels_on_when_it_comes_first() {
    let policy = CallPolicy { attempt_timeout: Duration::from_secs(2), ..policy() };
    let mut story = story_of(facts(Repetition::Idempotent), policy);
    story.start();
    let a = story.upstream.endpoint_by_name("a").unwrap();
    assert_eq!(story.call.time_left(a, &story.upstream, story.now), Duration::from_secs(2));
}

#[test]
fn an_attempt_that_cannot_finish_is_not_begun() {
    let time_left = Some(Duration::from_millis(100));
    let facts = CallFacts { time_left, ..facts(Repetition::Idempotent) };
    let mut story = story_of(facts, policy());
    observe(&story, Duration::from_millis(300));
    assert_eq!(story.start(), "fail deadline-exceeded not-sent deadline-too-close");
}

#[test]
fn an_endpoint_that_let_everything_time_out_is_asked_again_all_the_same() {
    let policy = CallPolicy {
        total_timeout: Duration::from_secs(1),
        attempt_timeout: Duration::from_secs(1),
        ..policy()
    };
    let mut story = story_of(facts(Repetition::Idempotent), policy);
    let mut chance = Chance::from_seed(3);
    for _ in 0..200 {
        let want = Want { tried: &[], scope: ScopeId(0), purpose: Purpose::First, hash: None };
        if let Ok(mut pick) = story.upstream.pick(want, story.now, &mut chance) {
            let report = Report::TimedOut(Duration::from_secs(1));
            let _ = pick.permit.report(report, story.now, &mut chance);
        }
    }
    story.now = story.now + Duration::from_secs(10);
    let _ = story.upstream.on_time(story.now, &mut chance);
    assert_eq!(story.upstream.least_needed(), Duration::ZERO);
    let mut story = Story { call: story.again(), events: Vec::new(), ..story };
    assert!(story.start().starts_with("attempt 1"));
}

#[test]
fn a_retry_that_cannot_finish_is_not_waited_for() {
    let time_left = Some(Duration::from_millis(500));
    let facts = CallFacts { time_left, ..facts(Repetition::Idempotent) };
    let mut story = story_of(facts, policy());
    observe(&story, Duration::from_millis(420));
    assert_eq!(story.start(), "attempt 1 at a");
    assert_eq!(
        story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed),
        "fail reset-before-head maybe-processed deadline-too-close"
    );
    assert_eq!(story.stopped_by(), Some(StopReason::DeadlineTooClose));
}

#[test]
fn an_attempts_timeout_follows_what_the_endpoint_takes() {
    let adaptive_timeout =
        Some(AdaptiveTimeout { percentile: Percentile::P95, ..AdaptiveTimeout::default() });
    let mut story =
        story_of(facts(Repetition::Idempotent), CallPolicy { adaptive_timeout, ..policy() });
    story.start();
    assert_eq!(story.waited_for(), Duration::from_secs(10), "nothing is known yet");
    observe(&story, Duration::from_millis(200));
    let mut story = Story { call: story.again(), events: Vec::new(), ..story };
    story.start();
    let timeout = story.waited_for().as_millis();
    assert!((400..=450).contains(&timeout), "{timeout}");
}

#[test]
fn timeouts_do_not_make_the_timeout_shorter_and_shorter() {
    let adaptive_timeout =
        Some(AdaptiveTimeout { percentile: Percentile::P95, ..AdaptiveTimeout::default() });
    let policy = CallPolicy { adaptive_timeout, ..policy() };
    let mut story = story_of(facts(Repetition::Idempotent), policy);
    observe(&story, Duration::from_millis(200));
    // One call in five hangs; what was cut off counts as long as it took.
    let mut chance = Chance::from_seed(9);
    for round in 0..200_u64 {
        let want = Want { tried: &[], scope: ScopeId(0), purpose: Purpose::First, hash: None };
        let mut pick = story.upstream.pick(want, story.now, &mut chance).unwrap();
        let report = match round % 5 {
            0 => Report::TimedOut(Duration::from_millis(400)),
            _ => Report::Answered(Duration::from_millis(200)),
        };
        let _ = pick.permit.report(report, story.now, &mut chance);
    }
    story.now = story.now + Duration::from_secs(2);
    let _ = story.upstream.on_time(story.now, &mut chance);
    let a = story.upstream.endpoint_by_name("a").unwrap();
    let p95 = story.upstream.percentile(a, Percentile::P95).unwrap();
    assert!(p95 >= Duration::from_millis(400), "{p95:?}");
}

#[test]
fn retries_are_left_to_a_caller_that_retries_until_its_last_attempt() {
    let of = |attempt| CallFacts {
        layer: Some(Layer { attempt, of: 3, depth: 1 }),
        ..facts(Repetition::Idempotent)
    };
    let mut story = story_of(of(1), policy());
    story.start();
    assert_eq!(
        story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed),
        "fail reset-before-head maybe-processed left-to-caller"
    );
    let mut story = story_of(of(3), policy());
    story.start();
    story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
    assert_eq!(story.wait(), "attempt 2 at b");
}

#[test]
fn what_was_never_sent_moves_on_whoever_retries() {
    let layer = Some(Layer { attempt: 1, of: 3, depth: 1 });
    let mut story = story_of(CallFacts { layer, ..facts(Repetition::Unsafe) }, policy());
    story.start();
    assert_eq!(story.breaks(1, BreakKind::ConnectRefused, Certainty::NotSent), "attempt 2 at b");
}

/// How far the call's end moves when a body moves at the last moment.
fn moved_by(told: impl FnOnce(&mut Call)) -> Duration {
    let mut story = story_of(facts(Repetition::Idempotent), policy());
    story.start();
    let end = story.call.deadline_at();
    story.tell(|call, _| {
        told(call);
        call.on_upload(end);
    });
    story.call.deadline_at().since(end)
}

#[test]
fn the_deadline_moves_along_with_a_body_that_is_larger_than_memory_and_with_no_other() {
    let moves = policy().attempt_timeout;
    assert_eq!(moved_by(|_| ()), Duration::ZERO);
    assert_eq!(moved_by(Call::on_body_spilled), moves);
    assert_eq!(moved_by(Call::on_body_unrepeatable), moves);
}

#[test]
fn a_body_that_has_spilled_is_sent_again() {
    let mut story = story_of(facts(Repetition::Idempotent), policy());
    story.start();
    story.tell(|call, _| call.on_body_spilled());
    story.breaks(1, BreakKind::WriteFailed, Certainty::MaybeProcessed);
    assert_eq!(story.wait(), "attempt 2 at b");
}
