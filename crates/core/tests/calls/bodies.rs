//! Bodies that break: held back before anything is delivered, continued afterwards.

use std::time::Duration;

use mainstay_core::breaks::safety::Repetition;
use mainstay_core::budget::BudgetSettings;
use mainstay_core::event::{AttemptId, AttemptReason, Saved, StopReason};
use mainstay_core::heal::{HealSettings, NotHealed, Proof};
use mainstay_core::upstream::EndpointId;
use mainstay_core::{BreakKind, CallPolicy, Certainty, Event};

use super::story::{Story, facts, policy};

/// Whoever has what is missing shows by itself that it has.
const PROOF: Proof = Proof { after: Duration::ZERO, anywhere: true };

/// A call whose answer is being delivered, from a.
fn delivered() -> Story {
    let mut story = Story::read();
    story.start();
    assert_eq!(story.answers(1, 200), "deliver 1");
    story
}

impl Story {
    fn holds(&mut self, attempt: u16) -> String {
        self.tell(|call, ctx| call.on_held(AttemptId(attempt), ctx))
    }

    fn body_breaks(&mut self) -> String {
        self.tell(|call, ctx| call.on_body_break(BreakKind::BodyReset, Ok(PROOF), ctx))
    }

    fn resumes(&mut self, attempt: u16) -> String {
        self.tell(|call, ctx| call.on_resumed(AttemptId(attempt), 206, ctx))
    }

    fn progresses(&mut self) {
        self.tell(|call, ctx| call.on_body_progress(ctx));
    }

    fn mismatches(&mut self, attempt: u16) -> String {
        self.tell(|call, ctx| call.on_mismatch(AttemptId(attempt), 206, "other-validator", ctx))
    }

    fn tokens(&self) -> u32 {
        self.upstream.budget().level(self.now).tokens
    }

    fn cut_by(&self) -> Option<NotHealed> {
        self.events.iter().find_map(|event| match event {
            Event::AnswerCut { why, .. } => Some(*why),
            _ => None,
        })
    }
}

#[test]
fn a_held_answer_that_breaks_is_tried_again_unseen() {
    let mut story = Story::read();
    story.start();
    assert!(story.call.hold().is_some());
    assert_eq!(story.holds(1), "");
    assert_eq!(story.breaks(1, BreakKind::BodyReset, Certainty::Processed), "");
    assert_eq!(story.wait(), "attempt 2 at b");
    assert_eq!(story.answers(2, 200), "deliver 2");
    let saved = story.events.iter().find_map(|event| match event {
        Event::CallDelivered { saved, .. } => Some(*saved),
        _ => None,
    });
    assert_eq!(saved, Some(Saved::ByFailover));
}

#[test]
fn a_held_answer_is_delivered_when_it_takes_too_long() {
    let mut story = Story::read();
    story.start();
    story.holds(1);
    assert_eq!(story.waited_for(), Duration::from_secs(1));
    assert_eq!(story.wait(), "commit 1");
    assert_eq!(story.answers(1, 200), "deliver 1");
}

#[test]
fn a_held_answer_is_delivered_and_not_thrown_away_when_its_attempt_has_had_its_time() {
    let short = CallPolicy { attempt_timeout: Duration::from_millis(100), ..policy() };
    let facts = facts(Repetition::Idempotent);
    let mut story = Story::of(&["a", "b"], facts, short, BudgetSettings::default());
    story.start();
    story.holds(1);
    assert_eq!(story.waited_for(), Duration::from_millis(100));
    assert_eq!(story.wait(), "commit 1");
}

#[test]
fn what_must_not_be_done_twice_is_not_held_back() {
    assert!(Story::write().call.hold().is_none());
    let mut story = Story::read();
    story.tell(|call, _| call.on_body_unrepeatable());
    assert!(story.call.hold().is_none());
}

#[test]
fn a_body_that_breaks_is_continued_where_it_came_from() {
    let mut story = delivered();
    assert_eq!(story.body_breaks(), "");
    assert_eq!(story.wait(), "attempt 2 at a");
    let reason = story.events.iter().rev().find_map(|event| match event {
        Event::AttemptStarted { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, Some(AttemptReason::Resume));
    assert_eq!(story.resumes(2), "continue with 2");
    story.tell(|call, ctx| call.on_body_end(None, ctx));
    assert!(story.call.is_over());
    assert!(story.events.contains(&Event::AnswerHealed { breaks: 1 }));
    assert_eq!(story.in_flight(), 0);
}

/// The answer breaks, and goes on by `attempt`, at the endpoint that is given back.
fn goes_on_at(story: &mut Story, attempt: u16) -> String {
    assert_eq!(story.body_breaks(), "");
    let said = story.wait();
    assert_eq!(story.resumes(attempt), format!("continue with {attempt}"));
    story.progresses();
    said
}

#[test]
fn an_answer_that_breaks_off_twice_in_a_row_at_one_endpoint_goes_on_elsewhere() {
    let mut story = delivered();
    let places: Vec<String> = (2..8).map(|attempt| goes_on_at(&mut story, attempt)).collect();
    let expected = ["a", "b", "b", "a", "a", "b"];
    let expected: Vec<String> =
        (2..).zip(expected).map(|(n, at)| format!("attempt {n} at {at}")).collect();
    assert_eq!(places, expected);
}

#[test]
fn a_stream_whose_sameness_nobody_can_tell_stays_where_it_is() {
    let mut story = delivered();
    for attempt in 2..20 {
        let own = Proof { anywhere: false, ..PROOF };
        story.tell(|call, ctx| call.on_body_break(BreakKind::BodyReset, Ok(own), ctx));
        assert_eq!(story.wait(), format!("attempt {attempt} at a"));
        story.resumes(attempt);
        story.progresses();
    }
}

#[test]
fn an_endpoint_with_another_representation_is_asked_once_and_then_the_first_one_again() {
    let mut story = delivered();
    goes_on_at(&mut story, 2);
    assert_eq!(story.body_breaks(), "");
    assert_eq!(story.wait(), "attempt 3 at b");
    assert_eq!(story.mismatches(3), "");
    assert_eq!(story.wait(), "attempt 4 at a");
    story.resumes(4);
    story.progresses();
    goes_on_at(&mut story, 5);
    assert_eq!(story.body_breaks(), "");
    assert_eq!(story.wait(), "attempt 6 at c");
    assert_eq!(story.mismatches(6), "");
    assert_eq!(story.wait(), "attempt 7 at a");
    story.resumes(7);
    for attempt in 8..20 {
        story.progresses();
        assert_eq!(goes_on_at(&mut story, attempt), format!("attempt {attempt} at a"));
    }
}

#[test]
fn an_attempt_to_continue_that_breaks_goes_elsewhere() {
    let mut story = delivered();
    story.body_breaks();
    story.wait();
    story.breaks(2, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
    assert_eq!(story.wait(), "attempt 3 at b");
    assert_eq!(story.resumes(3), "continue with 3");
}

#[test]
fn another_endpoints_other_answer_is_not_the_end_but_the_same_ones_is() {
    let mut story = delivered();
    story.body_breaks();
    story.wait();
    story.breaks(2, BreakKind::ConnectRefused, Certainty::NotSent);
    // What was never sent goes on to b at once.
    assert_eq!(story.mismatches(3), "");
    story.wait();
    let mut story = delivered();
    story.body_breaks();
    story.wait();
    assert_eq!(story.mismatches(2), "cut body-reset");
    assert_eq!(story.cut_by(), Some(NotHealed::Unproven("other-validator")));
}

#[test]
fn progress_costs_nothing_and_counts_attempts_anew() {
    let mut story = delivered();
    let before = story.tokens();
    story.progresses();
    for attempt in 2..300 {
        assert_eq!(story.body_breaks(), "");
        let said = story.wait();
        assert!(said.starts_with(&format!("attempt {attempt} at ")), "{said}");
        assert_eq!(story.resumes(attempt), format!("continue with {attempt}"));
        story.progresses();
    }
    assert!(story.tokens() >= before, "{} of {before}", story.tokens());
}

#[test]
fn attempts_that_bring_nothing_are_paid_for_and_end() {
    let mut story = delivered();
    let before = story.tokens();
    story.body_breaks();
    story.wait();
    story.resumes(2);
    assert_eq!(story.body_breaks(), "");
    assert!(story.tokens() < before);
    let said = loop {
        let said = story.wait();
        if said.starts_with("cut") {
            break said;
        }
        if let Some(attempt) = said.strip_prefix("attempt ") {
            let attempt: u16 = attempt.split(' ').next().unwrap().parse().unwrap();
            story.breaks(attempt, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
            if story.call.is_over() {
                break "cut".into();
            }
        }
    };
    assert!(said.starts_with("cut"), "{said}");
    assert!(matches!(story.cut_by(), Some(NotHealed::Stopped(_))));
}

#[test]
fn without_means_the_application_waits_for_its_answer_and_is_not_refused() {
    let poor = BudgetSettings { initial: 14, floor: 1, ..BudgetSettings::default() };
    let facts = facts(Repetition::Idempotent);
    let mut story = Story::of(&["a", "b", "c"], facts, policy(), poor);
    story.start();
    story.answers(1, 200);
    let taken = story.upstream.budget().reserve(mainstay_core::budget::Price::Transient, story.now);
    assert!(taken.is_some());
    story.body_breaks();
    assert_eq!(story.wait(), "");
    assert!(story.events.iter().any(|event| event.code() == "attempt-held"));
    drop(taken);
    assert_eq!(story.wait(), "attempt 2 at a");
}

#[test]
fn it_is_waited_for_no_longer_than_the_route_says() {
    let heal =
        HealSettings { resume_within: Some(Duration::from_secs(2)), ..HealSettings::default() };
    let facts = facts(Repetition::Idempotent);
    let mut story =
        Story::of(&["a"], facts, CallPolicy { heal, ..policy() }, BudgetSettings::default());
    story.start();
    story.answers(1, 200);
    let broke_at = story.now;
    story.body_breaks();
    assert_eq!(story.wait(), "attempt 2 at a");
    assert_eq!(story.wait(), "cancel 2");
    assert_eq!(story.now.since(broke_at), Duration::from_secs(2));
    let said = story.breaks(2, BreakKind::ResponseTimeout, Certainty::MaybeProcessed);
    assert_eq!(said, "cut body-reset");
}

#[test]
fn an_open_breaker_is_waited_for_in_the_middle_of_an_answer() {
    let facts = facts(Repetition::Idempotent);
    let mut story = Story::of(&["a"], facts, policy(), BudgetSettings::default());
    story.start();
    story.answers(1, 200);
    let _ = story.upstream.force(EndpointId(0), mainstay_core::breaker::Forced::Open, story.now);
    story.body_breaks();
    assert_eq!(story.wait(), "");
    // However long it may be open: it is looked after twice a second, and told once.
    for _ in 0..10 {
        assert!(story.waited_for() <= Duration::from_secs(1));
        assert_eq!(story.wait(), "");
    }
    let held = story.events.iter().filter(|event| event.code() == "attempt-held").count();
    assert_eq!(held, 1);
    let _ = story.upstream.force(EndpointId(0), mainstay_core::breaker::Forced::Closed, story.now);
    assert_eq!(story.wait(), "attempt 2 at a");
}

#[test]
fn a_peer_that_wants_rest_gets_it_before_each_attempt() {
    let mut story = delivered();
    let rest = Duration::from_secs(3);
    story.tell(|call, ctx| {
        call.on_body_break(BreakKind::BodyReset, Ok(Proof { after: rest, ..PROOF }), ctx)
    });
    assert!(story.waited_for() >= rest);
    assert_eq!(story.wait(), "attempt 2 at a");
    story.breaks(2, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
    assert!(story.waited_for() >= rest);
}

#[test]
fn a_part_is_followed_by_the_rest_of_it_and_nothing_broke() {
    let mut story = delivered();
    story.progresses();
    story.tell(|call, ctx| call.on_body_part(Duration::ZERO, ctx));
    assert_eq!(story.wait(), "attempt 2 at a");
    assert_eq!(story.resumes(2), "continue with 2");
    story.tell(|call, ctx| call.on_body_end(None, ctx));
    let codes: Vec<_> = story.events.iter().map(Event::code).collect();
    assert!(!codes.contains(&"body-failed") && !codes.contains(&"answer-healed"), "{codes:?}");
}

#[test]
fn what_cannot_be_proved_or_is_switched_off_is_cut_at_once() {
    let mut story = delivered();
    let said = story.tell(|call, ctx| {
        call.on_body_break(BreakKind::BodyTruncated, Err("no-validator"), ctx);
    });
    assert_eq!(said, "cut body-truncated");
    assert_eq!(story.cut_by(), Some(NotHealed::Unproven("no-validator")));

    let heal = HealSettings { resume_within: None, ..HealSettings::default() };
    let facts = facts(Repetition::Idempotent);
    let mut story =
        Story::of(&["a"], facts, CallPolicy { heal, ..policy() }, BudgetSettings::default());
    story.start();
    story.answers(1, 200);
    assert_eq!(story.body_breaks(), "cut body-reset");
    assert_eq!(story.cut_by(), Some(NotHealed::Off));
}

#[test]
fn an_answer_to_a_write_is_never_continued() {
    let mut story = Story::write();
    story.start();
    story.answers(1, 200);
    assert_eq!(story.body_breaks(), "cut body-reset");
    assert_eq!(story.cut_by(), Some(NotHealed::Stopped(StopReason::ReplyStarted)));
}

#[test]
fn an_application_that_leaves_while_its_answer_is_continued_is_told_once() {
    let mut story = delivered();
    story.body_breaks();
    story.wait();
    assert_eq!(story.tell(|call, ctx| call.on_cancel(ctx)), "cancel 2");
    let ends: Vec<_> = story.events.iter().map(Event::code).collect();
    assert!(!ends.contains(&"call-failed"), "{ends:?}");
    assert_eq!(story.in_flight(), 0);
}

/// A call that switched protocols, at a.
fn switched() -> Story {
    let mut story = delivered();
    story.tell(|call, ctx| {
        call.on_tunnel_break(BreakKind::BodyReset, Duration::from_secs(5), ctx);
    });
    story
}

#[test]
fn a_connection_that_broke_before_a_word_is_opened_again_elsewhere_and_paid_for() {
    let before = Story::read().tokens();
    let mut story = switched();
    assert_eq!(story.wait(), "attempt 2 at b");
    let resumed = story.tell(|call, ctx| call.on_resumed(AttemptId(2), 101, ctx));
    assert_eq!(resumed, "continue with 2");
    assert!(story.tokens() < before);
    story.tell(|call, ctx| call.on_body_end(None, ctx));
    assert_eq!(story.in_flight(), 0);
}

#[test]
fn a_connection_nobody_else_agrees_to_is_cut() {
    let mut story = switched();
    assert_eq!(story.wait(), "attempt 2 at b");
    assert_eq!(story.mismatches(2), "");
    assert_eq!(story.wait(), "attempt 3 at c");
    assert_eq!(story.mismatches(3), "");
    // There is nobody left but the one that broke, whose word is the last.
    assert_eq!(story.wait(), "attempt 4 at a");
    assert_eq!(story.mismatches(4), "cut body-reset");
    assert_eq!(story.cut_by(), Some(NotHealed::Unproven("other-validator")));
    assert_eq!(story.in_flight(), 0);
}

#[test]
fn a_connection_has_so_long_to_be_opened_again() {
    let story = switched();
    assert_eq!(story.call.deadline_at().since(story.now), Duration::from_secs(5));
}
