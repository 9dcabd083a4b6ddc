//! What becomes of a call whose attempt broke: again, elsewhere, later, or not at all.

use std::time::Duration;

use mainstay_core::breaker::Forced;
use mainstay_core::breaks::grpc::Pushback;
use mainstay_core::breaks::safety::Repetition;
use mainstay_core::budget::BudgetSettings;
use mainstay_core::event::{Saved, StopReason};
use mainstay_core::{BreakKind, CallPolicy, Certainty, EndpointId, Event, Timestamp};

use crate::story::{Story, facts, policy};

#[test]
fn a_good_answer_is_delivered_at_once() {
    let mut story = Story::read();
    assert_eq!(story.start(), "attempt 1 at a");
    assert_eq!(story.answers(1, 200), "deliver 1");
    assert_eq!(story.in_flight(), 1, "the body is under way");
    assert_eq!(story.tell(|call, ctx| call.on_body_end(None, ctx)), "");
    assert!(story.call.is_over());
    assert_eq!(story.in_flight(), 0);
}

#[test]
fn a_broken_read_is_tried_elsewhere_after_a_wait() {
    let mut story = Story::read();
    story.start();
    assert_eq!(story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed), "");
    assert_eq!(story.waited_for(), Duration::from_millis(100));
    assert_eq!(story.wait(), "attempt 2 at b");
    assert_eq!(story.answers(2, 200), "deliver 2");
    let saved = story.events.iter().any(|event| {
        matches!(
            event,
            Event::CallDelivered { saved: Saved::ByFailover, attempts: 2, as_is: false, .. }
        )
    });
    assert!(saved, "{:?}", story.events);
}

#[test]
fn what_was_never_sent_goes_elsewhere_at_once_and_costs_nothing() {
    let mut story = Story::write();
    let tokens = |story: &Story| story.upstream.budget().level(story.now).tokens;
    story.start();
    let before = tokens(&story);
    assert_eq!(story.breaks(1, BreakKind::ConnectRefused, Certainty::NotSent), "attempt 2 at b");
    assert_eq!(story.breaks(2, BreakKind::ConnectTimeout, Certainty::NotSent), "attempt 3 at c");
    assert_eq!(tokens(&story), before);
    assert_eq!(
        story.breaks(3, BreakKind::NameNotFound, Certainty::NotSent),
        "",
        "no untried endpoint is left"
    );
    assert_eq!(story.waited_for(), Duration::from_millis(100));
    assert!(tokens(&story) < before, "and now it is a retry like any other");
}

#[test]
fn a_dead_kept_connection_is_replaced_by_a_fresh_one() {
    let mut story = Story::write();
    story.start();
    assert_eq!(
        story.breaks(1, BreakKind::ClosedWhileIdle, Certainty::NotSent),
        "attempt 2 at a over a fresh connection"
    );
}

#[test]
fn a_connection_that_goes_away_is_replaced_by_fresh_ones_and_nobody_is_blamed_for_the_first_few() {
    let mut story = Story::write();
    story.start();
    // A fresh connection is shared: others may have filled it before this call's stream came.
    for attempt in 1..=3 {
        assert_eq!(
            story.breaks(attempt, BreakKind::GoAway, Certainty::Refused),
            format!("attempt {} at a over a fresh connection", attempt + 1)
        );
    }
    let failures = |story: &Story| story.upstream.view(story.now)[0].counts.failures;
    assert_eq!(failures(&story), 0);
    // That all of them go away is the endpoint's doing, and the next attempt waits.
    assert_eq!(story.breaks(4, BreakKind::GoAway, Certainty::Refused), "");
    assert_eq!(failures(&story), 1);
    assert_eq!(story.wait(), "attempt 5 at b");
}

#[test]
fn where_the_endpoint_of_a_dead_connection_takes_nobody_another_one_is_asked_for_free() {
    for (kind, certainty) in [
        (BreakKind::GoAway, Certainty::Refused),
        (BreakKind::GoAway, Certainty::NotSent),
        (BreakKind::ClosedWhileIdle, Certainty::NotSent),
    ] {
        let mut story = Story::write();
        story.start();
        // Others saw it break meanwhile.
        let _ = story.upstream.force(EndpointId(0), Forced::Open, story.now);
        assert_eq!(story.breaks(1, kind, certainty), "attempt 2 at b");
    }
}

#[test]
fn the_end_of_a_kept_connection_blames_nobody_even_where_the_request_may_have_got_there() {
    let mut story = Story::read();
    story.start();
    story.breaks(1, BreakKind::ClosedWhileIdle, Certainty::MaybeProcessed);
    assert_eq!(story.upstream.view(story.now)[0].counts.failures, 0);
    assert_eq!(story.wait(), "attempt 2 at b");
}

#[test]
fn a_refused_stream_is_the_endpoints_own_word_and_is_charged() {
    let mut story = Story::write();
    story.start();
    assert_eq!(story.breaks(1, BreakKind::StreamRefused, Certainty::Refused), "");
    assert_eq!(story.wait(), "attempt 2 at b");
}

#[test]
fn a_write_that_may_have_been_done_is_not_repeated_and_the_answer_says_so() {
    let mut story = Story::write();
    story.start();
    assert_eq!(
        story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed),
        "fail reset-before-head maybe-processed outcome-unknown"
    );
}

#[test]
fn a_declared_write_is_repeated() {
    let mut story =
        Story::of(&["a", "b"], facts(Repetition::Declared), policy(), BudgetSettings::default());
    story.start();
    assert_eq!(story.breaks(1, BreakKind::ResponseTimeout, Certainty::MaybeProcessed), "");
    assert_eq!(story.wait(), "attempt 2 at b");
}

#[test]
fn a_failed_write_gets_the_upstreams_own_answer() {
    let mut story = Story::write();
    story.start();
    assert_eq!(story.answers(1, 500), "deliver 1");
    assert_eq!(story.stopped_by(), Some(StopReason::OutcomeUnknown));
}

#[test]
fn the_last_real_answer_is_delivered_when_nothing_better_comes() {
    let mut story = Story::read();
    story.start();
    assert_eq!(story.answers(1, 502), "keep 1");
    assert_eq!(story.wait(), "attempt 2 at b");
    assert_eq!(story.breaks(2, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed), "");
    assert_eq!(story.wait(), "attempt 3 at c");
    assert_eq!(story.breaks(3, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed), "deliver 1");
    assert_eq!(story.stopped_by(), Some(StopReason::AttemptsUsed));
}

#[test]
fn a_later_answer_replaces_the_kept_one() {
    let mut story = Story::read();
    story.start();
    assert_eq!(story.answers(1, 502), "keep 1");
    story.wait();
    assert_eq!(story.answers(2, 503), "keep 2");
    story.wait();
    assert_eq!(story.answers(3, 500), "deliver 3");
}

#[test]
fn an_attempt_that_takes_too_long_is_cancelled_and_tried_elsewhere() {
    let mut story = Story::read();
    story.start();
    assert_eq!(story.waited_for(), Duration::from_secs(10));
    assert_eq!(story.wait(), "cancel 1");
    assert!(story.call.next_deadline().is_none(), "it waits for the news of the cancelled attempt");
    assert_eq!(story.breaks(1, BreakKind::ResponseTimeout, Certainty::MaybeProcessed), "");
    assert_eq!(story.wait(), "attempt 2 at b");
}

#[test]
fn no_attempt_starts_after_the_calls_deadline() {
    let policy = CallPolicy {
        total_timeout: Duration::from_millis(1_050),
        attempt_timeout: Duration::from_secs(1),
        ..policy()
    };
    let mut story =
        Story::of(&["a", "b"], facts(Repetition::Idempotent), policy, BudgetSettings::default());
    story.start();
    assert_eq!(story.wait(), "cancel 1");
    assert_eq!(
        story.breaks(1, BreakKind::ResponseTimeout, Certainty::MaybeProcessed),
        "fail response-timeout maybe-processed deadline-too-close"
    );
}

#[test]
fn the_calls_deadline_ends_an_attempt_too() {
    let policy = CallPolicy { total_timeout: Duration::from_secs(12), ..policy() };
    let mut story =
        Story::of(&["a", "b"], facts(Repetition::Idempotent), policy, BudgetSettings::default());
    story.start();
    story.wait();
    story.breaks(1, BreakKind::ResponseTimeout, Certainty::MaybeProcessed);
    assert_eq!(story.wait(), "attempt 2 at b");
    assert_eq!(story.wait(), "cancel 2");
    assert_eq!(story.now, Timestamp::from_millis(13_000));
    assert_eq!(
        story.breaks(2, BreakKind::ResponseTimeout, Certainty::MaybeProcessed),
        "fail deadline-exceeded maybe-processed deadline-passed"
    );
}

#[test]
fn a_hint_is_waited_for_and_not_shortened() {
    let mut story =
        Story::of(&["a"], facts(Repetition::Idempotent), policy(), BudgetSettings::default());
    story.start();
    assert_eq!(story.answers_with_hint(1, 429, 3), "keep 1");
    let waited = story.waited_for();
    assert!(waited >= Duration::from_secs(3) && waited <= Duration::from_secs(4), "{waited:?}");
    assert_eq!(story.wait(), "attempt 2 at a");
}

#[test]
fn a_hint_beyond_the_deadline_is_passed_on_at_once() {
    let mut story =
        Story::of(&["a"], facts(Repetition::Idempotent), policy(), BudgetSettings::default());
    story.start();
    assert_eq!(story.answers_with_hint(1, 429, 3_600), "deliver 1");
    assert_eq!(story.stopped_by(), Some(StopReason::DeadlineTooClose));
}

#[test]
fn a_server_that_asks_for_a_pause_is_left_for_another() {
    let mut story = Story::read();
    story.start();
    assert_eq!(story.answers_with_hint(1, 503, 20), "keep 1");
    assert!(story.waited_for() <= Duration::from_secs(1), "{:?}", story.waited_for());
    assert_eq!(story.wait(), "attempt 2 at b");
}

#[test]
fn a_write_that_was_turned_away_gets_that_answer() {
    let mut story = Story::write();
    story.start();
    assert_eq!(story.answers_with_hint(1, 429, 1), "deliver 1");
    assert_eq!(story.stopped_by(), Some(StopReason::NotDeclared));
}

#[test]
fn a_body_that_cannot_be_sent_again_ends_the_attempts() {
    let mut story = Story::read();
    story.start();
    story.tell(|call, _| call.on_body_unrepeatable());
    assert_eq!(
        story.breaks(1, BreakKind::WriteFailed, Certainty::MaybeProcessed),
        "fail write-failed maybe-processed body-unrepeatable"
    );
}

#[test]
fn an_empty_budget_ends_the_attempts() {
    let budget = BudgetSettings { initial: 0, ..BudgetSettings::default() };
    let mut story = Story::of(&["a", "b"], facts(Repetition::Idempotent), policy(), budget);
    story.start();
    assert_eq!(
        story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed),
        "fail reset-before-head maybe-processed budget-empty"
    );
}

#[test]
fn late_news_counts_for_nothing() {
    let mut story = Story::read();
    story.start();
    story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
    assert_eq!(story.answers(1, 200), "");
    assert_eq!(story.wait(), "attempt 2 at b");
    assert_eq!(story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed), "");
    assert_eq!(story.answers(2, 200), "deliver 2");
}

#[test]
fn an_application_that_leaves_frees_everything() {
    let mut story = Story::read();
    story.start();
    assert_eq!(story.tell(|call, ctx| call.on_cancel(ctx)), "cancel 1");
    assert!(story.call.is_over());
    assert_eq!(story.in_flight(), 0);
    assert_eq!(
        story.upstream.view(story.now)[0].counts.failures,
        0,
        "that says nothing about the endpoint"
    );
}

#[test]
fn a_dropped_call_gives_its_reservation_back() {
    let mut story = Story::read();
    let before = story.upstream.budget().level(story.now).tokens;
    story.start();
    story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
    let Story { upstream, call, now, .. } = story;
    assert!(upstream.budget().level(now).tokens < before);
    drop(call);
    assert_eq!(upstream.budget().level(now).tokens, before);
}

#[test]
fn a_body_that_breaks_is_booked_after_its_answer() {
    let mut story = Story::read();
    story.start();
    story.answers(1, 200);
    story.tell(|call, ctx| call.on_body_end(Some(BreakKind::BodyReset), ctx));
    assert!(
        story
            .events
            .iter()
            .any(|event| matches!(event, Event::BodyFailed { kind: BreakKind::BodyReset, .. }))
    );
    assert_eq!(story.upstream.view(story.now)[0].counts.failures, 1);
}

#[test]
fn an_open_breaker_is_told_with_the_time_to_come_back() {
    let mut story =
        Story::of(&["a"], facts(Repetition::Idempotent), policy(), BudgetSettings::default());
    let a = story.upstream.endpoint_ids().next().unwrap();
    let _ = story.upstream.force(a, Forced::Open, story.now);
    assert_eq!(story.start(), "fail breaker-open not-sent breaker-open");
}

#[test]
fn a_grpc_call_that_is_unavailable_goes_again_where_it_may_be_done_twice() {
    let mut story = Story::read();
    story.start();
    assert_eq!(story.ends_as_grpc(1, 14, Pushback::Unsaid), "keep 1");
    assert!(story.wait().starts_with("attempt 2"));
    assert_eq!(story.ends_as_grpc(2, 0, Pushback::Unsaid), "deliver 2");
    let mut story = Story::write();
    story.start();
    assert_eq!(story.ends_as_grpc(1, 14, Pushback::Unsaid), "deliver 1");
    assert_eq!(story.stopped_by(), Some(StopReason::OutcomeUnknown));
    assert_eq!(story.upstream.view(story.now)[0].counts.failures, 1);
}

#[test]
fn a_grpc_servers_pushback_is_a_time_to_wait_or_the_end_of_it() {
    let mut story =
        Story::of(&["a"], facts(Repetition::Declared), policy(), BudgetSettings::default());
    story.start();
    story.ends_as_grpc(1, 14, Pushback::After(Duration::from_secs(3)));
    assert!(story.waited_for() >= Duration::from_secs(3));
    let mut story = Story::read();
    story.start();
    assert_eq!(story.ends_as_grpc(1, 14, Pushback::Never), "deliver 1");
    assert_eq!(story.stopped_by(), Some(StopReason::PushedBack));
}

#[test]
fn a_grpc_quota_is_waited_for_and_blames_nobody() {
    let mut story = Story::read();
    story.start();
    story.ends_as_grpc(1, 8, Pushback::After(Duration::from_secs(2)));
    assert!(story.waited_for() >= Duration::from_secs(2), "other endpoints don't help");
    assert_eq!(story.upstream.view(story.now)[0].counts.failures, 0);
}

#[test]
fn a_grpc_answer_that_is_none_of_these_is_delivered_as_a_success() {
    for code in [1, 3, 4, 5, 10, 16] {
        let mut story = Story::read();
        story.start();
        assert_eq!(story.ends_as_grpc(1, code, Pushback::Unsaid), "deliver 1");
        assert_eq!(story.upstream.view(story.now)[0].counts.failures, 0);
    }
}

#[test]
fn an_outcome_in_trailers_is_booked_and_throttling_there_blames_nobody() {
    for (kind, failures) in [(BreakKind::ServerError, 1), (BreakKind::Throttled, 0)] {
        let mut story = Story::read();
        story.start();
        story.answers(1, 200);
        story.tell(|call, ctx| call.on_body_end(Some(kind), ctx));
        assert_eq!(story.upstream.view(story.now)[0].counts.failures, failures);
    }
}
