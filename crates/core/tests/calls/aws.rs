//! AWS's retry guidance 2.1, standard mode: its published cases, as the tests of AWS's SDKs for it have them (aws-sdk-php,
//! tests/Retry/Standard), under a policy and a budget that are set like theirs. No line of theirs is here: numbers only.
//!
//! The bucket starts full, which ours doesn't by default, and there is no ceiling beside it, for which the floor is put out of reach. The
//! jitter is left out to see that each bound is met to the millisecond, and drawn in full to see that it isn't passed.

use std::time::Duration;

use mainstay_core::breaks::safety::Repetition;
use mainstay_core::budget::BudgetSettings;
use mainstay_core::event::StopReason;
use mainstay_core::retry::{BackoffSettings, Jitter, MaxAttempts, RetrySettings};
use mainstay_core::{CallPolicy, Chance};

use crate::story::{Story, facts};

/// Answers to a call, one after the other, and what they come to.
struct Case {
    title: &'static str,
    /// Tokens before.
    tokens: u32,
    attempts: u8,
    endpoints: &'static [&'static str],
    base: u64,
    cap: u64,
    steps: &'static [Step],
}

const STANDARD: Case = Case {
    title: "",
    tokens: 500,
    attempts: 3,
    endpoints: &["a"],
    base: 50,
    cap: 20_000,
    steps: &[],
};

/// An answer: the tokens after it, and what the call does.
struct Step(Answer, u32, Then);

#[derive(Clone, Copy)]
enum Answer {
    Good,
    Failed,
    Throttled,
}

enum Then {
    /// For so many milliseconds before jitter.
    Waits(u64),
    Succeeds,
    Stops(StopReason),
}

use Answer::{Failed, Good, Throttled};
use Then::{Stops, Succeeds, Waits};

const CASES: &[Case] = &[
    Case {
        title: "it succeeds at last, and the last retry's cost comes back",
        steps: &[
            Step(Failed, 486, Waits(50)),
            Step(Failed, 472, Waits(100)),
            Step(Good, 486, Succeeds),
        ],
        ..STANDARD
    },
    Case {
        title: "the attempts are used up, and the last failure costs nothing",
        steps: &[
            Step(Failed, 486, Waits(50)),
            Step(Failed, 472, Waits(100)),
            Step(Failed, 472, Stops(StopReason::AttemptsUsed)),
        ],
        ..STANDARD
    },
    Case {
        title: "there are tokens for one retry",
        tokens: 14,
        steps: &[Step(Failed, 0, Waits(50)), Step(Failed, 0, Stops(StopReason::BudgetEmpty))],
        ..STANDARD
    },
    Case {
        title: "there are no tokens",
        tokens: 0,
        steps: &[Step(Failed, 0, Stops(StopReason::BudgetEmpty))],
        ..STANDARD
    },
    Case {
        title: "waits double",
        attempts: 5,
        steps: &[
            Step(Failed, 486, Waits(50)),
            Step(Failed, 472, Waits(100)),
            Step(Failed, 458, Waits(200)),
            Step(Failed, 444, Waits(400)),
            Step(Failed, 444, Stops(StopReason::AttemptsUsed)),
        ],
        ..STANDARD
    },
    Case {
        title: "waits end at their cap",
        attempts: 5,
        cap: 200,
        steps: &[
            Step(Failed, 486, Waits(50)),
            Step(Failed, 472, Waits(100)),
            Step(Failed, 458, Waits(200)),
            Step(Failed, 444, Waits(200)),
            Step(Failed, 444, Stops(StopReason::AttemptsUsed)),
        ],
        ..STANDARD
    },
    Case {
        title: "what is left pays for no other retry",
        tokens: 20,
        attempts: 5,
        steps: &[Step(Failed, 6, Waits(50)), Step(Failed, 6, Stops(StopReason::BudgetEmpty))],
        ..STANDARD
    },
    Case {
        title: "tokens come back, first call",
        tokens: 30,
        attempts: 5,
        steps: &[
            Step(Failed, 16, Waits(50)),
            Step(Failed, 2, Waits(100)),
            Step(Good, 16, Succeeds),
        ],
        ..STANDARD
    },
    Case {
        title: "tokens come back, second call",
        tokens: 16,
        attempts: 5,
        steps: &[Step(Failed, 2, Waits(50)), Step(Good, 16, Succeeds)],
        ..STANDARD
    },
    Case {
        title: "throttling costs 5, and waits from a second on",
        endpoints: &["a", "b"],
        steps: &[Step(Throttled, 495, Waits(1_000)), Step(Good, 500, Succeeds)],
        ..STANDARD
    },
    Case {
        title: "the waits of DynamoDB",
        attempts: 4,
        base: 25,
        steps: &[
            Step(Failed, 486, Waits(25)),
            Step(Failed, 472, Waits(50)),
            Step(Failed, 458, Waits(100)),
            Step(Failed, 458, Stops(StopReason::AttemptsUsed)),
        ],
        ..STANDARD
    },
    Case {
        title: "a success at the first try brings one token",
        tokens: 490,
        steps: &[Step(Good, 491, Succeeds)],
        ..STANDARD
    },
    Case { title: "a full bucket stays as it is", steps: &[Step(Good, 500, Succeeds)], ..STANDARD },
];

fn plays(case: &Case, jitter: Jitter, seed: u64) {
    let backoff = BackoffSettings {
        base: Duration::from_millis(case.base),
        cap: Duration::from_millis(case.cap),
        jitter,
        ..BackoffSettings::default()
    };
    let max_attempts = MaxAttempts::new(case.attempts).expect("right attempts");
    let policy = CallPolicy {
        retry: RetrySettings { max_attempts, backoff, ..RetrySettings::default() },
        ..CallPolicy::default()
    };
    let budget = BudgetSettings { initial: case.tokens, floor: 1_000, ..BudgetSettings::default() };
    let mut story = Story::of(case.endpoints, facts(Repetition::Idempotent), policy, budget);
    story.chance = Chance::from_seed(seed);
    let mut did = story.start();
    for (Step(answer, tokens, then), attempt) in case.steps.iter().zip(1..) {
        let here = format!("{}, {jitter:?}, seed {seed}, answer {attempt}", case.title);
        assert!(did.starts_with(&format!("attempt {attempt} at ")), "{here}: {did}");
        did = match answer {
            Good => story.answers(attempt, 200),
            Failed => story.answers(attempt, 500),
            Throttled => story.answers(attempt, 429),
        };
        assert_eq!(story.upstream.budget().level(story.now).tokens, *tokens, "{here}");
        match then {
            Succeeds => {
                assert_eq!(
                    (did.as_str(), story.stopped_by()),
                    (&*deliver(attempt), None),
                    "{here}"
                );
            }
            Stops(why) => {
                assert_eq!(
                    (did.as_str(), story.stopped_by()),
                    (&*deliver(attempt), Some(*why)),
                    "{here}"
                );
            }
            Waits(whole) => {
                let whole = Duration::from_millis(*whole);
                let least = if jitter == Jitter::None { whole } else { Duration::ZERO };
                let (waited, range) = (story.waited_for(), least..=whole);
                assert!(range.contains(&waited), "{here}: {waited:?} isn't in {range:?}");
                did = story.wait();
            }
        }
    }
}

fn deliver(attempt: u16) -> String {
    format!("deliver {attempt}")
}

#[test]
fn the_cases_of_aws_hold_under_its_settings() {
    for case in CASES {
        plays(case, Jitter::None, 1);
        (0..SEEDS).for_each(|seed| plays(case, Jitter::Full, seed));
    }
}

/// A hint is throttling's, and so is its price, where AWS asks for that of a failure; it is kept with up to a tenth on top, where AWS
/// adds nothing, and for as long as the call's time allows, where AWS cuts it at five seconds behind its own wait.
#[test]
fn a_hint_is_kept_in_another_way_than_by_aws() {
    for (hint, least, most) in [(0, 0, 60), (2, 2_000, 2_200), (10, 10_000, 11_000)] {
        let mut story = standard();
        story.start();
        assert_eq!(story.answers_with_hint(1, 503, hint), "keep 1");
        assert_eq!(story.upstream.budget().level(story.now).tokens, 495);
        let range = Duration::from_millis(least)..=Duration::from_millis(most);
        assert!(range.contains(&story.waited_for()), "{hint} s: {:?}", story.waited_for());
    }
    let mut story = standard();
    story.start();
    story.answers_with_hint(1, 500, 10);
    assert!(story.waited_for() <= Duration::from_millis(50), "a 500's hint isn't heeded");
}

/// Where AWS draws from nothing to a second: the endpoint itself is left alone for one.
#[test]
fn the_only_endpoint_is_left_alone_for_a_second_after_throttling() {
    let mut story = standard();
    let begun = story.now;
    story.start();
    assert_eq!(story.answers(1, 429), "keep 1");
    while story.wait().is_empty() {}
    let waited = story.now.since(begun);
    let range = Duration::from_millis(1_000)..=Duration::from_millis(1_100);
    assert!(range.contains(&waited), "{waited:?}");
}

/// AWS's settings, with full jitter.
fn standard() -> Story {
    let budget = BudgetSettings { initial: 500, ..BudgetSettings::default() };
    Story::of(&["a"], facts(Repetition::Idempotent), CallPolicy::default(), budget)
}

/// The defaults that are theirs, and the one that isn't.
#[test]
fn the_defaults_are_those_of_aws_but_for_the_tokens_at_the_start() {
    let budget = BudgetSettings::default();
    assert_eq!((budget.capacity, budget.cost, budget.throttled_cost), (500, 14, 5));
    assert_eq!(budget.initial, 70);
    let retry = RetrySettings::default();
    assert_eq!((retry.max_attempts.count(), retry.throttled_base), (3, Duration::from_secs(1)));
    let (base, cap) = (retry.backoff.base, retry.backoff.cap);
    assert_eq!((base, cap), (Duration::from_millis(50), Duration::from_secs(20)));
}

/// Enough that a bound that is passed now and then is seen.
const SEEDS: u64 = 200;
