//! Calls under random news: whatever happens, a call ends, within its bounds, and repeats nothing that it mustn't.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::breaks::safety::{Repetition, Situation, situation};
use mainstay_core::call::{Attempts, HedgeAfter, HedgeSettings};
use mainstay_core::event::AttemptId;
use mainstay_core::retry::{MaxAttempts, RetrySettings};
use mainstay_core::upstream::EndpointSettings;
use mainstay_core::{
    Action, Break, BreakKind, Call, CallFacts, CallPolicy, Certainty, Chance, Checked, Ctx, Event,
    Timestamp, Upstream, UpstreamSettings,
};
use proptest::prelude::*;

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answers(u16, Option<u64>),
    Breaks(BreakKind, Certainty),
    Hangs,
}

fn fate() -> impl Strategy<Value = Fate> {
    let status = prop_oneof![Just(200), Just(404), Just(421), Just(429), Just(500), Just(503)];
    let certainty = prop_oneof![
        Just(Certainty::NotSent),
        Just(Certainty::Refused),
        Just(Certainty::MaybeProcessed)
    ];
    let kind = prop::sample::select(&BreakKind::ALL[..]);
    prop_oneof![
        (status, prop::option::of(0_u64..40))
            .prop_map(|(status, hint)| Fate::Answers(status, hint)),
        (kind, certainty).prop_map(|(kind, certainty)| Fate::Breaks(kind, certainty)),
        Just(Fate::Hangs),
    ]
}

fn repetition() -> impl Strategy<Value = Repetition> {
    prop_oneof![Just(Repetition::Idempotent), Just(Repetition::Unsafe), Just(Repetition::Declared)]
}

fn upstream(endpoints: u16, now: Timestamp, chance: &mut Chance) -> Arc<Upstream> {
    let endpoints = (0..endpoints)
        .map(|id| EndpointSettings { name: format!("e{id}"), tier: 0, weight: 1 })
        .collect();
    Upstream::new(
        Checked::new(UpstreamSettings { endpoints, ..UpstreamSettings::default() })
            .expect("right settings"),
        now,
        chance,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_call_ends_within_its_bounds(
        seed in any::<u64>(),
        endpoints in 1_u16..6,
        max_attempts in 1_u8..=10,
        repetition in repetition(),
        hedge_after in prop::option::of(1_u64..5_000),
        calls in prop::collection::vec(prop::collection::vec((fate(), 0_u64..12_000), 40), 1..6),
    ) {
        let mut chance = Chance::from_seed(seed);
        let mut now = Timestamp::from_millis(1);
        let upstream = upstream(endpoints, now, &mut chance);
        let retry = RetrySettings { max_attempts: MaxAttempts::new(max_attempts).unwrap(), ..RetrySettings::default() };
        let hedge = hedge_after.map(|millis| HedgeSettings {
            after: HedgeAfter::Fixed(Duration::from_millis(millis)),
            ..HedgeSettings::default()
        });
        let policy = CallPolicy { retry, hedge, ..CallPolicy::default() };
        let facts = CallFacts { repetition, ..CallFacts::of("GET", false, &policy) };
        let policy = Arc::new(Checked::new(policy).unwrap());
        for fates in calls {
            let mut call = Call::new(Arc::clone(&policy), facts, now);
            let ends_by = call.deadline_at() + Duration::from_millis(1);
            let mut fates = fates.into_iter();
            let (mut news, mut may_repeat) = (News::Start, true);
            // What the attempts that are out will come to, and when.
            let mut out: Vec<(Timestamp, AttemptId, News)> = Vec::new();
            let mut ended = 0;
            loop {
                let mut ctx = Ctx { now, chance: &mut chance, upstream: &upstream };
                match news {
                    News::Start => call.on_start(&mut ctx),
                    News::Time => call.on_time(&mut ctx),
                    News::Head(id, status, hint) => {
                        call.on_head(id, status, hint.map(Duration::from_secs), &mut ctx);
                    }
                    News::Break(id, what) => {
                        may_repeat &= repetition != Repetition::Unsafe || situation(&what) != Situation::MaybeProcessed;
                        call.on_break(id, what, &mut ctx);
                    }
                }
                while let Some(event) = call.next_event() {
                    ended += u32::from(matches!(event, Event::CallDelivered { .. } | Event::CallFailed { .. }));
                }
                while let Some(action) = call.next_action() {
                    match action {
                        Action::Attempt { attempt, .. } => {
                            prop_assert!(may_repeat, "a write that may have been done was sent again");
                            prop_assert!(out.is_empty() || hedge.is_some() && repetition != Repetition::Unsafe);
                            let (fate, after) = fates.next().expect("no call makes forty attempts");
                            let at = now + Duration::from_millis(after);
                            match fate {
                                Fate::Answers(status, hint) => out.push((at, attempt, News::Head(attempt, status, hint))),
                                Fate::Breaks(kind, certainty) => {
                                    out.push((at, attempt, News::Break(attempt, Break::new(kind, certainty))));
                                }
                                Fate::Hangs => out.push((Timestamp::MAX, attempt, News::Time)),
                            }
                        }
                        Action::Cancel { attempt } => {
                            let what = Break::new(BreakKind::ResponseTimeout, Certainty::MaybeProcessed);
                            let place = out.iter().position(|(_, id, _)| *id == attempt);
                            let place = place.expect("only what is out is cancelled");
                            out[place] = (now, attempt, News::Break(attempt, what));
                        }
                        Action::Keep { .. } => {}
                        Action::Line(_) => prop_assert!(false, "nothing is limited here"),
                        Action::Commit { .. } | Action::Continue { .. } | Action::Cut(_) => {
                            prop_assert!(false, "nothing is held back, and no body is read");
                        }
                        Action::Deliver { .. } | Action::Fail(_) => prop_assert_eq!(ended, 1),
                    }
                }
                if ended > 0 {
                    break;
                }
                prop_assert!(out.len() <= 2, "an attempt and a hedge");
                let in_flight = upstream.view(now).iter().map(|endpoint| endpoint.in_flight).sum::<u32>();
                prop_assert_eq!(in_flight as usize, out.len(), "a permit for each attempt");
                let first = (0..out.len()).min_by_key(|place| out[*place].0);
                let waits = call.next_deadline().map_or(Timestamp::MAX, |deadline| deadline.at);
                (now, news) = match first.filter(|place| out[*place].0 <= waits) {
                    Some(place) => {
                        let (at, _, news) = out.remove(place);
                        (at, news)
                    }
                    None => (waits, News::Time),
                };
                prop_assert!(now <= ends_by, "later than its deadline: {now:?}");
            }
            prop_assert!(call.attempts() <= u16::from(max_attempts + Attempts::FREE_LIMIT));
            drop(call);
            prop_assert_eq!(upstream.view(now).iter().map(|endpoint| endpoint.in_flight).sum::<u32>(), 0);
            let level = upstream.budget().level(now);
            prop_assert!(level.tokens <= level.capacity);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum News {
    Start,
    Time,
    Head(AttemptId, u16, Option<u64>),
    Break(AttemptId, Break),
}
