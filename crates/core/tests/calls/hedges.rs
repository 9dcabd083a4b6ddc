//! A second attempt beside the first: when it is made, who wins, and who pays.

use std::time::Duration;

use mainstay_core::breaks::safety::Repetition;
use mainstay_core::budget::BudgetSettings;
use mainstay_core::call::{HedgeAfter, HedgeRefusal, HedgeSettings, Layer};
use mainstay_core::event::{AttemptId, AttemptReason, Saved};
use mainstay_core::retry::MaxAttempts;
use mainstay_core::upstream::{Percentile, Report, ScopeId, Want};
use mainstay_core::{
    BreakKind, CallFacts, CallPolicy, Certainty, Chance, Event, Timestamp, upstream,
};

use crate::story::{Story, facts, policy, show};

const AFTER: Duration = Duration::from_millis(30);

fn hedged() -> CallPolicy {
    let hedge = HedgeSettings { after: HedgeAfter::Fixed(AFTER), ..HedgeSettings::default() };
    CallPolicy { hedge: Some(hedge), ..policy() }
}

fn story_of(facts: CallFacts, policy: CallPolicy, budget: BudgetSettings) -> Story {
    Story::of(&["a", "b", "c"], facts, policy, budget)
}

fn story() -> Story {
    story_of(facts(Repetition::Idempotent), hedged(), BudgetSettings::default())
}

/// A hedged call whose hedge is out.
fn raced() -> Story {
    let mut story = story();
    assert_eq!(story.start(), "attempt 1 at a");
    assert_eq!(story.waited_for(), AFTER);
    assert_eq!(story.wait(), "attempt 2 at b");
    story
}

fn refused(story: &Story) -> Option<HedgeRefusal> {
    story.events.iter().find_map(|event| match event {
        Event::HedgeRefused { reason } => Some(*reason),
        _ => None,
    })
}

fn saved(story: &Story) -> Option<Saved> {
    story.events.iter().find_map(|event| match event {
        Event::CallDelivered { saved, .. } => Some(*saved),
        _ => None,
    })
}

#[test]
fn a_slow_attempt_gets_a_second_one_elsewhere_and_the_faster_wins() {
    let mut story = raced();
    assert_eq!(story.in_flight(), 2);
    assert_eq!(story.answers(2, 200), "cancel 1, deliver 2");
    assert_eq!(saved(&story), Some(Saved::ByHedge));
    assert_eq!(story.in_flight(), 1, "the loser is given back");
}

#[test]
fn the_first_attempt_may_still_win() {
    let mut story = raced();
    assert_eq!(story.answers(1, 200), "cancel 2, deliver 1");
    assert_eq!(saved(&story), Some(Saved::NotNeeded));
    let outrun =
        |event: &Event| matches!(event, Event::AttemptOutrun { attempt: AttemptId(2), .. });
    assert!(story.events.iter().any(outrun));
}

#[test]
fn late_news_of_the_loser_changes_nothing() {
    let mut story = raced();
    story.answers(2, 200);
    assert_eq!(story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed), "");
    assert_eq!(story.answers(1, 200), "");
}

#[test]
fn when_one_breaks_the_other_is_the_retry() {
    let mut story = raced();
    assert_eq!(story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed), "");
    assert_eq!(story.answers(2, 200), "deliver 2");
    let mut story = raced();
    assert_eq!(story.breaks(2, BreakKind::ConnectRefused, Certainty::NotSent), "");
    assert_eq!(story.answers(1, 200), "deliver 1");
}

#[test]
fn a_broken_answer_waits_for_the_other_attempt() {
    let mut story = raced();
    assert_eq!(story.answers(2, 503), "keep 2");
    assert_eq!(story.answers(1, 200), "deliver 1");
    let mut story = raced();
    assert_eq!(story.answers(2, 500), "keep 2");
    story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
    assert_eq!(story.wait(), "attempt 3 at c", "both broke, so it is retried");
    assert_eq!(
        story.breaks(3, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed),
        "deliver 2",
        "the only real answer there was"
    );
}

#[test]
fn each_of_the_two_answers_is_held_back_by_itself() {
    let held = |attempt: u16| {
        let mut story = raced();
        story.tell(|call, ctx| call.on_held(AttemptId(attempt), ctx));
        assert_eq!(story.waited_for(), Duration::from_secs(1));
        story
    };
    let mut story = held(2);
    assert_eq!(story.wait(), "commit 2");
    assert_eq!(story.answers(2, 200), "cancel 1, deliver 2");
    let mut story = held(2);
    assert_eq!(story.breaks(2, BreakKind::BodyReset, Certainty::Processed), "");
    assert_eq!(story.answers(1, 200), "deliver 1");
    let mut story = held(2);
    assert_eq!(story.answers(1, 200), "cancel 2, deliver 1", "enough of it came first");
    let mut story = held(1);
    assert_eq!(story.breaks(1, BreakKind::BodyReset, Certainty::Processed), "");
    assert_eq!(story.waited_for(), Duration::from_secs(10), "the hedge's own time");
    assert_eq!(story.answers(2, 200), "deliver 2");
}

#[test]
fn both_end_with_the_call() {
    let policy = CallPolicy {
        total_timeout: Duration::from_millis(100),
        attempt_timeout: Duration::from_millis(100),
        ..hedged()
    };
    let mut story = story_of(facts(Repetition::Idempotent), policy, BudgetSettings::default());
    story.start();
    story.wait();
    assert_eq!(story.wait(), "cancel 1, cancel 2");
    assert_eq!(story.breaks(1, BreakKind::ResponseTimeout, Certainty::MaybeProcessed), "");
    assert_eq!(
        story.breaks(2, BreakKind::ResponseTimeout, Certainty::MaybeProcessed),
        "fail deadline-exceeded maybe-processed deadline-passed"
    );
}

/// Whoever awaits the first attempt heeds what is said of it at once, and what is said of the hedge after that.
#[test]
fn an_answer_that_is_held_up_to_the_deadline_is_delivered_and_the_hedge_is_told_its_end_once() {
    let policy = CallPolicy {
        total_timeout: Duration::from_millis(100),
        attempt_timeout: Duration::from_millis(100),
        ..hedged()
    };
    for (held, end_of_the_hedge) in [(&[1][..], "cancel 2"), (&[1, 2], "commit 2")] {
        let mut story =
            story_of(facts(Repetition::Idempotent), policy.clone(), BudgetSettings::default());
        story.start();
        assert_eq!(story.wait(), "attempt 2 at b");
        for attempt in held {
            story.tell(|call, ctx| call.on_held(AttemptId(*attempt), ctx));
        }
        story.now = story.call.next_deadline().expect("a deadline").at;
        let mut heeded = None;
        let rest = story.tell(|call, ctx| {
            call.on_time(ctx);
            heeded = call.next_action();
            call.on_head(AttemptId(1), 200, None, ctx);
        });
        let heeded = heeded.map(|action| show(&action, &story.upstream));
        assert_eq!(heeded.as_deref(), Some("commit 1"));
        assert_eq!(rest, format!("{end_of_the_hedge}, deliver 1"));
        assert_eq!(story.in_flight(), 1, "the hedge is given back");
    }
}

#[test]
fn when_the_application_goes_both_are_cancelled() {
    let mut story = raced();
    assert_eq!(story.tell(|call, ctx| call.on_cancel(ctx)), "cancel 1, cancel 2");
    assert_eq!(story.in_flight(), 0);
}

#[test]
fn what_must_not_be_done_twice_is_never_hedged() {
    let mut story = story_of(facts(Repetition::Unsafe), hedged(), BudgetSettings::default());
    story.start();
    assert_eq!(story.waited_for(), Duration::from_secs(10), "the attempt's own end");
    let mut story = story_of(facts(Repetition::Declared), hedged(), BudgetSettings::default());
    story.start();
    assert_eq!(story.waited_for(), AFTER);
}

#[test]
fn a_body_that_is_still_coming_is_not_sent_twice_at_a_time() {
    let facts = CallFacts { has_body: true, ..facts(Repetition::Idempotent) };
    let mut story = story_of(facts, hedged(), BudgetSettings::default());
    story.start();
    assert_eq!(story.wait(), "");
    assert_eq!(refused(&story), Some(HedgeRefusal::BodyNotWhole));
    assert_eq!(story.answers(1, 200), "deliver 1", "a refused hedge fails no call");

    let mut story = story_of(facts, hedged(), BudgetSettings::default());
    story.start();
    story.call.on_body_whole();
    assert_eq!(story.wait(), "attempt 2 at b");
}

#[test]
fn a_hedge_that_the_budget_does_not_pay_for_is_left_out() {
    let budget = BudgetSettings { initial: 0, ..BudgetSettings::default() };
    let mut story = story_of(facts(Repetition::Idempotent), hedged(), budget);
    story.start();
    assert_eq!(story.wait(), "");
    assert_eq!(refused(&story), Some(HedgeRefusal::BudgetEmpty));
    assert_eq!(story.answers(1, 200), "deliver 1");
}

#[test]
fn a_hedge_is_spent_even_if_it_wins() {
    let mut story = raced();
    let before = story.upstream.budget().level(story.now).tokens;
    story.answers(2, 200);
    assert_eq!(story.upstream.budget().level(story.now).tokens, before);
}

#[test]
fn a_hedge_is_an_attempt() {
    let mut policy = hedged();
    policy.retry.max_attempts = MaxAttempts::new(1).unwrap();
    let mut story = story_of(facts(Repetition::Idempotent), policy, BudgetSettings::default());
    story.start();
    assert_eq!(story.wait(), "");
    assert_eq!(refused(&story), Some(HedgeRefusal::AttemptsUsed));
}

#[test]
fn one_endpoint_is_not_hedged_against_itself() {
    let mut story =
        Story::of(&["a"], facts(Repetition::Idempotent), hedged(), BudgetSettings::default());
    story.start();
    assert_eq!(story.wait(), "");
    assert_eq!(refused(&story), Some(HedgeRefusal::NoEndpoint));
    let level = story.upstream.budget().level(story.now);
    assert_eq!((level.tokens, level.extra), (70, 0), "its price is given back");
}

#[test]
fn an_endpoint_whose_breaker_is_not_closed_gets_no_hedge() {
    let mut story =
        Story::of(&["a", "b"], facts(Repetition::Idempotent), hedged(), BudgetSettings::default());
    story.start();
    let b = story.upstream.endpoint_by_name("b").unwrap();
    break_breaker(&story, b);
    // Long enough for a probe, which a hedge isn't.
    story.now = story.now + Duration::from_secs(9);
    assert_eq!(story.tell(|call, ctx| call.on_time(ctx)), "");
    assert_eq!(refused(&story), Some(HedgeRefusal::NoEndpoint));
}

/// Five failures in a row.
fn break_breaker(story: &Story, endpoint: upstream::EndpointId) {
    let mut chance = Chance::from_seed(7);
    for _ in 0..5 {
        let pick =
            story.upstream.pick_again(endpoint, ScopeId(0), story.now).expect("a closed breaker");
        let mut permit = pick.permit;
        let _ = permit.report(Report::Broke, story.now, &mut chance);
    }
}

#[test]
fn a_caller_that_retries_itself_gets_no_hedge() {
    let layer = Some(Layer { attempt: 1, of: 3, depth: 1 });
    let facts = CallFacts { layer, ..facts(Repetition::Idempotent) };
    let mut story = story_of(facts, hedged(), BudgetSettings::default());
    story.start();
    assert_eq!(story.waited_for(), Duration::from_secs(10));
}

#[test]
fn the_percentile_is_that_of_the_endpoint_and_of_now() {
    let hedge = HedgeSettings::default();
    let policy = CallPolicy { hedge: Some(hedge), ..policy() };
    let mut story = story_of(facts(Repetition::Idempotent), policy, BudgetSettings::default());
    // Before anything is known, nothing is hedged.
    story.start();
    assert_eq!(story.waited_for(), Duration::from_secs(10));

    let mut chance = Chance::from_seed(3);
    let answer = |millis: u64, at: Timestamp, chance: &mut Chance| {
        let want =
            Want { tried: &[], scope: ScopeId(0), purpose: upstream::Purpose::First, hash: None };
        let mut pick = story.upstream.pick(want, at, chance).unwrap();
        let _ = pick.permit.report(Report::Answered(Duration::from_millis(millis)), at, chance);
        pick.permit.endpoint()
    };
    let a = answer(10, story.now, &mut chance);
    (1..100).for_each(|n| {
        answer(if n % 20 == 0 { 900 } else { 10 }, story.now, &mut chance);
    });
    let _ = story.upstream.on_time(story.now + Duration::from_secs(1), &mut chance);
    let p95 = story.upstream.percentile(a, Percentile::P95).unwrap();
    assert!((10..=11).contains(&p95.as_millis()), "{p95:?}");
    let mut story = Story { call: story.again(), events: Vec::new(), ..story };
    story.start();
    assert_eq!(story.waited_for(), p95);
    assert_eq!(story.wait(), "attempt 2 at b");
    let hedges = story.events.iter().filter(|event| {
        matches!(event, Event::AttemptStarted { reason: AttemptReason::Hedge, .. })
    });
    assert_eq!(hedges.count(), 1);
}
