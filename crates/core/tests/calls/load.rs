//! What is let through: limits, the line before them, rates, pauses, and the throttle.

use std::time::Duration;

use mainstay_core::breaks::safety::Repetition;
use mainstay_core::budget::BudgetSettings;
use mainstay_core::call::{HedgeAfter, HedgeRefusal, HedgeSettings};
use mainstay_core::event::Held;
use mainstay_core::limit::LimitSettings;
use mainstay_core::line::{LineSettings, Priority, Refused};
use mainstay_core::rate::{KeyedRateSettings, RateSettings};
use mainstay_core::throttle::ThrottleSettings;
use mainstay_core::upstream::{LoadSettings, Seat};
use mainstay_core::{BreakKind, Call, CallFacts, CallPolicy, Certainty, Event};

use crate::story::{Story, facts, policy};

fn story_of(facts: CallFacts, load: LoadSettings) -> Story {
    Story::under(&["a", "b", "c"], facts, policy(), BudgetSettings::default(), load)
}

fn story(load: LoadSettings) -> Story {
    story_of(facts(Repetition::Idempotent), load)
}

fn limited(limit: u32) -> LoadSettings {
    LoadSettings { limit: Some(LimitSettings::Fixed(limit)), ..LoadSettings::default() }
}

/// A limit that is reached, with the seat that reaches it.
fn full(facts: CallFacts, line: LineSettings) -> (Story, Seat) {
    let story = story_of(facts, LoadSettings { line, ..limited(1) });
    let seat = story.upstream.seat_for_line().expect("the only seat");
    (story, seat)
}

fn plainly_full() -> (Story, Seat) {
    full(facts(Repetition::Idempotent), LineSettings::default())
}

fn rated(rate: u32, burst: u32) -> LoadSettings {
    let rate = RateSettings { rate, period: Duration::from_secs(1), burst };
    LoadSettings { rate: Some(rate), ..LoadSettings::default() }
}

/// The next call to the same upstream.
fn next(story: Story) -> (Call, Story) {
    let call = story.again();
    let before = story.call;
    (before, Story { call, events: Vec::new(), ..story })
}

fn held(story: &Story) -> Vec<Held> {
    let held = |event: &Event| match event {
        Event::AttemptHeld { by } => Some(*by),
        _ => None,
    };
    story.events.iter().filter_map(held).collect()
}

#[test]
fn a_call_without_room_waits_in_line_and_takes_the_seat_that_becomes_free() {
    let mut story = story(limited(1));
    assert_eq!(story.start(), "attempt 1 at a");
    let (mut first, mut story) = next(story);
    assert_eq!(story.start(), "line up normal");
    assert_eq!(held(&story), [Held::Limit]);
    assert!(story.upstream.seat_for_line().is_none());

    let mut chance = mainstay_core::Chance::from_seed(2);
    let mut ctx =
        mainstay_core::Ctx { now: story.now, chance: &mut chance, upstream: &story.upstream };
    first.on_head(mainstay_core::event::AttemptId(1), 200, None, &mut ctx);
    assert!(story.upstream.seat_for_line().is_none(), "its body is under way");
    first.on_body_end(None, &mut ctx);
    let seat = story.upstream.seat_for_line().expect("a free seat");
    assert_eq!(story.upstream.load(story.now).in_flight, 1);
    assert_eq!(story.tell(|call, ctx| call.on_turn(seat, ctx)), "attempt 1 at a");
    assert_eq!(story.answers(1, 200), "deliver 1");
    drop(story.call);
    assert_eq!(story.upstream.load(story.now).in_flight, 0);
}

#[test]
fn new_calls_stand_behind_those_that_wait() {
    let mut story = story(limited(5));
    story.upstream.set_lined(1);
    assert_eq!(story.start(), "line up normal");
}

#[test]
fn a_call_that_is_turned_away_says_why_and_sends_nothing() {
    for (why, code) in [
        (Refused::Full, "line-full"),
        (Refused::PushedOut, "pushed-out"),
        (Refused::CannotMakeIt, "deadline-too-close"),
    ] {
        let (mut story, _seat) = plainly_full();
        story.start();
        let said = story.tell(|call, ctx| call.on_turned_away(why, ctx));
        assert_eq!(said, format!("fail limit-reached not-sent {code}"));
        assert!(story.events.iter().any(|event| matches!(event, Event::CallShed { .. })));
    }
}

#[test]
fn whoever_waits_in_line_gives_up_at_the_deadline() {
    let (mut story, _seat) = plainly_full();
    story.start();
    assert_eq!(story.waited_for(), Duration::from_secs(30));
    assert_eq!(story.wait(), "fail deadline-exceeded not-sent deadline-passed");
}

#[test]
fn a_seat_that_comes_too_late_is_given_back() {
    let mut story = story(limited(1));
    let seat = story.upstream.seat_for_line().unwrap();
    story.start();
    story.tell(|call, ctx| call.on_cancel(ctx));
    assert_eq!(story.tell(|call, ctx| call.on_turn(seat, ctx)), "");
    assert_eq!(story.upstream.load(story.now).in_flight, 0);
}

#[test]
fn the_priority_is_the_requests_own_or_its_routes() {
    let urgent = CallFacts { priority: Some(Priority::HIGHEST), ..facts(Repetition::Idempotent) };
    let (mut story, _seat) = full(urgent, LineSettings::default());
    assert_eq!(story.start(), "line up 3");
}

#[test]
fn an_endpoint_that_is_full_is_passed_over_and_when_all_are_the_call_waits() {
    let load =
        LoadSettings { endpoint_limit: Some(LimitSettings::Fixed(1)), ..LoadSettings::default() };
    let mut story = story(load);
    let mut before = Vec::new();
    for expected in ["attempt 1 at a", "attempt 1 at b", "attempt 1 at c"] {
        assert_eq!(story.start(), expected);
        let (call, next) = next(story);
        before.push(call);
        story = next;
    }
    assert_eq!(story.start(), "line up normal");
    assert_eq!(story.upstream.room(story.now), 0);
    drop(before.remove(1));
    assert_eq!(story.upstream.room(story.now), 1, "b has room");
    let seat = story.upstream.seat_for_line().expect("the upstream has no limit");
    assert_eq!(story.tell(|call, ctx| call.on_turn(seat, ctx)), "attempt 1 at b");
}

#[test]
fn a_repeat_of_what_was_never_sent_keeps_its_seat() {
    let mut story = story(limited(1));
    story.start();
    story.upstream.set_lined(1);
    assert_eq!(
        story.breaks(1, BreakKind::ConnectRefused, Certainty::NotSent),
        "attempt 2 at b",
        "it doesn't go to the line's end"
    );
    assert_eq!(story.upstream.load(story.now).in_flight, 1);
}

#[test]
fn a_retry_needs_room_like_any_attempt() {
    let mut story = story(limited(1));
    story.start();
    story.breaks(1, BreakKind::ResetBeforeHead, Certainty::MaybeProcessed);
    assert_eq!(story.upstream.load(story.now).in_flight, 0, "it isn't held while it waits");
    let seat = story.upstream.seat_for_line().unwrap();
    assert_eq!(story.wait(), "line up normal");
    drop(seat);
    let seat = story.upstream.seat_for_line().unwrap();
    assert_eq!(story.tell(|call, ctx| call.on_turn(seat, ctx)), "attempt 2 at b");
}

#[test]
fn the_rate_spaces_attempts_and_a_dropped_call_gives_its_slot_back() {
    let mut story = story(rated(10, 1));
    assert_eq!(story.start(), "attempt 1 at a");
    let (_first, mut story) = next(story);
    assert_eq!(story.start(), "");
    assert_eq!(held(&story), [Held::Rate]);
    assert_eq!(story.waited_for(), Duration::from_millis(100));
    let (second, mut story) = next(story);
    drop(second);
    assert_eq!(story.start(), "");
    assert_eq!(story.waited_for(), Duration::from_millis(100), "the second's slot");
    assert_eq!(story.wait(), "attempt 1 at a");
}

#[test]
fn what_the_rate_allows_only_after_the_deadline_is_refused_at_once_with_the_time() {
    let mut story = story(rated(1, 1));
    story.start();
    let time_left = Some(Duration::from_millis(400));
    let facts = CallFacts { time_left, ..story.facts };
    let (_first, story) = next(Story { facts, ..story });
    let mut story = story;
    assert_eq!(story.start(), "fail limit-reached not-sent rate-exceeded");
}

#[test]
fn each_key_has_a_rate_of_its_own() {
    let each = RateSettings { rate: 1, period: Duration::from_secs(1), burst: 1 };
    let load = LoadSettings {
        keyed_rate: Some(KeyedRateSettings { each, keys: 100 }),
        ..LoadSettings::default()
    };
    let lane = |lane| CallFacts { lane: Some(lane), ..facts(Repetition::Idempotent) };
    let mut story = story_of(lane(0x1234_5678_9abc_def0), load);
    assert_eq!(story.start(), "attempt 1 at a");
    let (_first, mut story) = next(story);
    assert_eq!(story.start(), "", "the same key waits");
    let (_second, story) = next(Story { facts: lane(0x0fed_cba9_8765_4321), ..story });
    let mut story = story;
    assert_eq!(story.start(), "attempt 1 at a", "another one doesn't");
}

#[test]
fn a_429_pauses_everybody_until_its_end_and_they_return_spread() {
    let mut story = story(LoadSettings::default());
    story.start();
    assert_eq!(story.answers_with_hint(1, 429, 10), "keep 1");
    let (first, mut story) = next(story);
    assert_eq!(story.start(), "");
    assert_eq!(held(&story), [Held::Pause]);
    let waited = story.waited_for();
    assert!((10_000..=11_000).contains(&waited.as_millis()), "{waited:?}");
    assert!(story.wait().starts_with("attempt 1"));
    drop(first);
}

#[test]
fn a_pause_that_ends_after_the_deadline_is_told_at_once() {
    let mut story = story(LoadSettings::default());
    story.start();
    assert_eq!(story.answers_with_hint(1, 429, 60), "deliver 1");
    let (_first, mut story) = next(story);
    assert_eq!(story.start(), "fail limit-reached not-sent paused");
}

#[test]
fn a_429_to_one_key_pauses_that_key_alone() {
    let lane = |lane| CallFacts { lane: Some(lane), ..facts(Repetition::Idempotent) };
    let mut story = story_of(lane(0x1111_2222_3333_4444), LoadSettings::default());
    story.start();
    story.answers_with_hint(1, 429, 10);
    let (_first, mut story) = next(story);
    assert_eq!(story.start(), "");
    let (_second, story) = next(Story { facts: lane(0x5555_6666_7777_8888), ..story });
    let mut story = story;
    assert_eq!(story.start(), "attempt 1 at a");
}

#[test]
fn a_hedge_that_would_have_to_wait_is_left_out() {
    let hedge = HedgeSettings {
        after: HedgeAfter::Fixed(Duration::from_millis(30)),
        ..HedgeSettings::default()
    };
    let policy = CallPolicy { hedge: Some(hedge), ..policy() };
    for load in [limited(1), rated(1, 1)] {
        let mut story = Story::under(
            &["a", "b"],
            facts(Repetition::Idempotent),
            policy.clone(),
            BudgetSettings::default(),
            load,
        );
        story.start();
        assert_eq!(story.wait(), "");
        let refused =
            |event: &Event| matches!(event, Event::HedgeRefused { reason: HedgeRefusal::Held });
        assert!(story.events.iter().any(refused), "{:?}", story.events);
        assert_eq!(story.answers(1, 200), "deliver 1");
    }
}

#[test]
fn a_hedge_that_is_not_made_takes_no_place_under_the_rate_limit() {
    let hedge = HedgeSettings {
        after: HedgeAfter::Fixed(Duration::from_millis(30)),
        ..HedgeSettings::default()
    };
    let policy = CallPolicy { hedge: Some(hedge), ..policy() };
    let no_seat = LoadSettings { limit: Some(LimitSettings::Fixed(1)), ..rated(1, 2) };
    let cases = [
        (&["a", "b"][..], no_seat, HedgeRefusal::Held),
        (&["a"], rated(1, 2), HedgeRefusal::NoEndpoint),
    ];
    for (endpoints, load, why) in cases {
        let idempotent = facts(Repetition::Idempotent);
        let budget = BudgetSettings::default();
        let mut story = Story::under(endpoints, idempotent, policy.clone(), budget, load);
        story.start();
        assert_eq!(story.wait(), "");
        let refused = |event: &Event| *event == Event::HedgeRefused { reason: why };
        assert!(story.events.iter().any(refused), "{:?}", story.events);
        assert_eq!(story.answers(1, 200), "deliver 1");
        story.tell(|call, ctx| call.on_body_end(None, ctx));
        let (_, mut story) = next(story);
        assert_eq!(story.start(), "attempt 1 at a", "the second place of the burst");
        assert_eq!(held(&story), []);
    }
}

#[test]
fn while_everything_is_turned_away_most_calls_are_not_sent() {
    let load =
        LoadSettings { throttle: Some(ThrottleSettings::default()), ..LoadSettings::default() };
    let mut story = story(load);
    let mut refused = 0;
    for _ in 0..1_000 {
        match story.start().as_str() {
            "fail limit-reached not-sent self-throttled" => refused += 1,
            attempt if attempt.starts_with("attempt") => drop(story.answers(1, 429)),
            _ => {}
        }
        let (_, next) = next(story);
        story = next;
    }
    assert!((700..1_000).contains(&refused), "{refused}");
}
