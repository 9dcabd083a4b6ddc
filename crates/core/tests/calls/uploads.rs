//! Uploads that the server keeps: they go on from where it has them, and nowhere else.

use std::time::Duration;

use mainstay_core::breaks::safety::{Repetition, Verdict};
use mainstay_core::budget::BudgetSettings;
use mainstay_core::call::HedgeSettings;
use mainstay_core::event::{AttemptId, AttemptReason, Saved, StopReason};
use mainstay_core::heal::NotHealed;
use mainstay_core::heal::upload::{Fault, UploadSettings};
use mainstay_core::{Break, BreakKind, CallFacts, CallPolicy, Certainty, Event};

use super::story::{Story, facts, policy};

fn resuming() -> CallPolicy {
    CallPolicy { resumable_upload: Some(UploadSettings::default()), ..policy() }
}

/// An upload to the first of these endpoints, which keeps it.
fn kept_at(endpoints: &[&str], repetition: Repetition) -> Story {
    let facts = CallFacts { has_body: true, ..facts(repetition) };
    let mut story = Story::of(endpoints, facts, resuming(), BudgetSettings::default());
    assert_eq!(story.start(), "attempt 1 at a");
    story.keeps(1);
    story
}

fn kept(repetition: Repetition) -> Story {
    kept_at(&["a", "b", "c"], repetition)
}

impl Story {
    fn keeps(&mut self, attempt: u16) {
        self.tell(|call, _| call.on_upload_kept(AttemptId(attempt)));
    }

    fn is_reset(&mut self, attempt: u16) -> String {
        self.breaks(attempt, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed)
    }

    fn is_asked_for_the_rest(&mut self, attempt: u16, from: u64, brought: u64) -> String {
        self.tell(|call, ctx| call.on_upload_append(AttemptId(attempt), 204, (from, brought), ctx))
    }

    fn is_put_off(&mut self, attempt: u16, status: u16) -> String {
        self.tell(|call, ctx| call.on_upload_later(AttemptId(attempt), status, None, ctx))
    }

    fn is_at_fault(&mut self, attempt: u16, why: Fault) -> String {
        self.tell(|call, ctx| call.on_upload_fault(AttemptId(attempt), 404, why, ctx))
    }

    fn tokens_left(&self) -> u32 {
        self.upstream.budget().level(self.now).tokens
    }

    fn not_resumed(&self) -> Option<NotHealed> {
        self.events.iter().find_map(|event| match event {
            Event::UploadNotResumed { why } => Some(*why),
            _ => None,
        })
    }

    fn reasons(&self) -> Vec<AttemptReason> {
        let reason = |event: &Event| match event {
            Event::AttemptStarted { reason, .. } => Some(*reason),
            _ => None,
        };
        self.events.iter().filter_map(reason).collect()
    }

    fn saved(&self) -> Option<Saved> {
        self.events.iter().find_map(|event| match event {
            Event::CallDelivered { saved, .. } => Some(*saved),
            _ => None,
        })
    }
}

#[test]
fn an_upload_that_breaks_is_asked_for_and_goes_on_even_if_it_must_not_be_done_twice() {
    let mut story = kept(Repetition::Unsafe);
    let what = Break::new(BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
    assert_eq!(story.call.verdict(&what), Verdict::ContinueUpload);
    assert_eq!(story.is_reset(1), "");
    assert_eq!(story.wait(), "attempt 2 at a");
    assert!(story.call.continues_upload());
    assert_eq!(story.is_asked_for_the_rest(2, 70, 70), "attempt 3 at a");
    assert_eq!(story.answers(3, 201), "deliver 3");
    assert_eq!(
        story.reasons(),
        [AttemptReason::First, AttemptReason::Resume, AttemptReason::Resume]
    );
    assert_eq!(story.saved(), Some(Saved::ByRetry));
    let resumed = story.events.iter().find_map(|event| match event {
        Event::UploadResumed { attempt, from, .. } => Some((attempt.0, *from)),
        _ => None,
    });
    assert_eq!(resumed, Some((2, 70)));
    story.tell(|call, ctx| call.on_body_end(None, ctx));
    assert_eq!(story.in_flight(), 0);
}

#[test]
fn without_an_offer_the_table_decides_as_ever() {
    let facts = facts(Repetition::Unsafe);
    let mut story = Story::of(&["a", "b"], facts, resuming(), BudgetSettings::default());
    story.start();
    assert_eq!(story.is_reset(1), "fail reset-before-head maybe-processed outcome-unknown");
}

#[test]
fn an_offer_that_nobody_asked_for_changes_nothing() {
    let mut story = Story::write();
    story.start();
    story.keeps(1);
    assert!(!story.call.continues_upload());
    assert_eq!(story.is_reset(1), "fail reset-before-head maybe-processed outcome-unknown");
}

#[test]
fn a_body_that_is_gone_cannot_go_on() {
    let mut story = kept(Repetition::Idempotent);
    story.tell(|call, _| call.on_body_unrepeatable());
    assert_eq!(story.is_reset(1), "fail reset-before-head maybe-processed body-unrepeatable");
}

#[test]
fn nothing_is_appended_out_of_a_body_that_is_gone() {
    for (repetition, end) in [
        (Repetition::Unsafe, "fail server-error maybe-processed outcome-unknown"),
        (Repetition::Idempotent, "fail server-error maybe-processed body-unrepeatable"),
    ] {
        // The server says by itself how much it has, or is to be asked for it.
        let mut story = kept(repetition);
        story.tell(|call, _| call.on_body_unrepeatable());
        assert_eq!(story.is_asked_for_the_rest(1, 60_000, 60_000), end);
        assert_eq!(story.not_resumed(), Some(NotHealed::Stopped(StopReason::Unrepeatable)));
        let mut story = kept(repetition);
        story.tell(|call, _| call.on_body_unrepeatable());
        assert_eq!(story.is_put_off(1, 201), end);
        assert_eq!((story.in_flight(), story.call.is_over()), (0, true));
    }
    // It was gone while the server was asked.
    let mut story = kept(Repetition::Unsafe);
    story.is_reset(1);
    assert_eq!(story.wait(), "attempt 2 at a");
    story.tell(|call, _| call.on_body_unrepeatable());
    let end = "fail reset-before-head maybe-processed outcome-unknown";
    assert_eq!(story.is_asked_for_the_rest(2, 60_000, 60_000), end);
}

#[test]
fn what_the_server_has_got_gives_its_price_back_and_the_count_begins_anew() {
    let mut story = kept(Repetition::Unsafe);
    let before = story.tokens_left();
    for round in 0..20_u16 {
        let out = 1 + 2 * round;
        story.is_reset(out);
        assert_eq!(story.wait(), format!("attempt {} at a", out + 1));
        let brought = story.is_asked_for_the_rest(out + 1, 10_000, 10_000);
        assert_eq!(brought, format!("attempt {} at a", out + 2));
    }
    assert_eq!(story.answers(41, 201), "deliver 41");
    assert!(story.tokens_left() >= before);
}

#[test]
fn without_progress_it_is_paid_for_and_comes_to_its_end() {
    let mut story = kept(Repetition::Unsafe);
    let before = story.tokens_left();
    let mut out = 1;
    let end = loop {
        let said = story.is_reset(out);
        if !said.is_empty() {
            break said;
        }
        story.wait();
        let said = story.is_asked_for_the_rest(out + 1, 0, 0);
        if said.starts_with("fail") {
            break said;
        }
        out += 2;
        assert!(out < 20);
    };
    assert!(end.ends_with("attempts-used"), "{end}");
    assert!(story.tokens_left() < before);
    assert_eq!(story.in_flight(), 0);
}

#[test]
fn a_server_that_is_away_for_a_moment_is_asked_again_and_nobody_else() {
    let mut story = kept(Repetition::Unsafe);
    story.is_reset(1);
    assert_eq!(story.wait(), "attempt 2 at a");
    assert_eq!(story.breaks(2, BreakKind::ConnectRefused, Certainty::NotSent), "");
    assert_eq!(story.wait(), "attempt 3 at a");
    assert_eq!(story.is_asked_for_the_rest(3, 5_000, 5_000), "attempt 4 at a");
}

#[test]
fn what_may_be_done_twice_begins_anew_elsewhere_where_its_server_is_away() {
    let mut story = kept(Repetition::Idempotent);
    story.is_reset(1);
    assert_eq!(story.wait(), "attempt 2 at a");
    assert_eq!(story.breaks(2, BreakKind::ConnectRefused, Certainty::NotSent), "");
    assert!(!story.call.continues_upload());
    assert_eq!(story.wait(), "attempt 3 at b");
    assert_eq!(story.not_resumed(), Some(NotHealed::Stopped(StopReason::NoEndpoint)));

    // There is no elsewhere.
    let mut story = kept_at(&["a"], Repetition::Idempotent);
    story.is_reset(1);
    story.wait();
    story.breaks(2, BreakKind::ConnectRefused, Certainty::NotSent);
    assert!(story.call.continues_upload());
}

#[test]
fn a_kept_connection_that_had_ended_is_no_break_of_the_upload() {
    let mut story = kept(Repetition::Unsafe);
    story.is_reset(1);
    story.wait();
    let again = story.breaks(2, BreakKind::ClosedWhileIdle, Certainty::NotSent);
    assert_eq!(again, "attempt 3 at a over a fresh connection");
}

#[test]
fn an_answer_that_says_later_is_kept_for_the_case_that_nothing_better_comes() {
    let mut story = kept(Repetition::Unsafe);
    assert_eq!(story.is_put_off(1, 503), "keep 1");
    assert_eq!(story.wait(), "attempt 2 at a");
    assert_eq!(story.is_put_off(2, 423), "");
    assert_eq!(story.wait(), "attempt 3 at a");
    assert_eq!(story.is_at_fault(3, Fault::Gone), "deliver 1");
    assert_eq!(story.not_resumed(), Some(NotHealed::Unproven("gone")));
    assert_eq!(story.stopped_by(), Some(StopReason::OutcomeUnknown));
}

#[test]
fn an_upload_that_is_lost_is_for_the_table() {
    let mut story = kept(Repetition::Unsafe);
    story.is_reset(1);
    story.wait();
    let lost = story.is_at_fault(2, Fault::AnswerLost);
    assert_eq!(lost, "fail reset-before-head maybe-processed outcome-unknown");

    let mut story = kept(Repetition::Idempotent);
    story.is_reset(1);
    story.wait();
    assert_eq!(story.is_at_fault(2, Fault::Gone), "");
    assert_eq!(story.wait(), "attempt 3 at b");
    assert_eq!(story.reasons().last(), Some(&AttemptReason::Failover));
}

#[test]
fn a_creation_that_isnt_one_was_perhaps_done_and_nothing_is_delivered() {
    let facts = facts(Repetition::Unsafe);
    let mut story = Story::of(&["a"], facts, resuming(), BudgetSettings::default());
    story.start();
    let end = story.is_at_fault(1, Fault::NotOffered);
    assert_eq!(end, "fail server-error maybe-processed outcome-unknown");
}

#[test]
fn a_protocol_of_several_requests_saves_nothing_and_costs_nothing_while_none_breaks() {
    let mut story = kept(Repetition::Unsafe);
    let before = story.tokens_left();
    assert_eq!(story.is_asked_for_the_rest(1, 0, 0), "attempt 2 at a");
    assert_eq!(story.is_asked_for_the_rest(2, 60_000, 60_000), "attempt 3 at a");
    assert_eq!(story.answers(3, 204), "deliver 3");
    assert_eq!(story.saved(), Some(Saved::NotNeeded));
    assert!(story.tokens_left() >= before);
    assert!(!story.events.iter().any(|event| matches!(event, Event::UploadResumed { .. })));
}

#[test]
fn it_has_time_to_outlive_a_restart_and_no_more() {
    let mut story = kept(Repetition::Unsafe);
    story.now = story.now + Duration::from_secs(29);
    story.is_reset(1);
    let within = story.call.deadline_at().since(story.now);
    assert_eq!(within, Duration::from_secs(30));
    let began = story.now;
    let end = loop {
        let mut said = story.wait();
        if let Some(attempt) = said.strip_prefix("attempt ") {
            let attempt = attempt.split(' ').next().and_then(|number| number.parse().ok());
            let kind = BreakKind::ConnectTimeout;
            said = story.breaks(attempt.expect("a number"), kind, Certainty::NotSent);
        }
        if said.starts_with("fail") {
            break said;
        }
    };
    assert!(story.now.since(began) <= Duration::from_secs(30), "{end}");
}

#[test]
fn an_upload_isnt_hedged() {
    let facts = CallFacts { has_body: true, ..facts(Repetition::Idempotent) };
    let hedge = Some(HedgeSettings::default());
    let policy = CallPolicy { hedge, ..resuming() };
    let mut story = Story::of(&["a", "b"], facts, policy, BudgetSettings::default());
    story.start();
    story.tell(|call, _| call.on_body_whole());
    assert_eq!(story.wait(), "cancel 1");
}

#[test]
fn a_cancelled_upload_leaves_nothing_behind() {
    let mut story = kept(Repetition::Unsafe);
    story.is_reset(1);
    story.wait();
    assert_eq!(story.tell(|call, ctx| call.on_cancel(ctx)), "cancel 2");
    assert_eq!(story.in_flight(), 0);
}
