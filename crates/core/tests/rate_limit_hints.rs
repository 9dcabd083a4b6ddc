//! Hints from fields with any content: never a panic, never longer than a day, never from what remains.

use std::time::Duration;

use mainstay_core::retry::rate_limit::{Hint, HintSource};
use mainstay_core::retry::retry_after::LONGEST;
use proptest::prelude::*;

/// Names that mean something, and some that nearly do.
const NAMES: [&str; 16] = [
    "Retry-After",
    "retry-after-ms",
    "x-ms-retry-after-ms",
    "RateLimit",
    "ratelimit-policy",
    "ratelimit-remaining",
    "RateLimit-Reset",
    "X-RateLimit-Remaining",
    "x-ratelimit-reset",
    "x-ratelimit-reset-after",
    "x-rate-limit-reset",
    "x-ratelimit-reset-tokens",
    "x-ratelimit-remaining-tokens",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-tokens-remaining",
    "ratelimit-",
];

/// Any bytes, and pieces of what is well-formed in any order, which get further.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "0",
        "1",
        "9",
        "17860176",
        "99999999999999",
        ".",
        "-",
        ":",
        "Z",
        "+",
        "T",
        "s",
        "ms",
        "m",
        "h",
        "µs",
        "\"a\"",
        "\"",
        "\\",
        ";r=0",
        ";t=5",
        ";w=",
        "=",
        ",",
        " ",
        "remaining=0",
        "reset=9",
        "?1",
        "@1",
        "%\"a\"",
        "(",
        "2026-08-06T12:00:20",
        "Thu, 06 Aug 2026 12:00:05 GMT",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat().into_bytes()),
    ]
}

fn hint(fields: &[(&str, Vec<u8>)], status: u16, wall_unix_ms: u64) -> Option<Hint> {
    let fields = fields.iter().map(|(name, value)| (*name, value.as_slice()));
    Hint::of(fields, status, wall_unix_ms)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_give_a_hint_within_its_bounds_or_none(
        fields in prop::collection::vec((prop::sample::select(&NAMES[..]), value()), 0..8),
        status in prop_oneof![Just(429_u16), Just(503), Just(200), any::<u16>()],
        wall_unix_ms in prop_oneof![Just(1_786_017_600_000_u64), any::<u64>()],
    ) {
        if let Some(hint) = hint(&fields, status, wall_unix_ms) {
            prop_assert!(hint.wait <= LONGEST);
            prop_assert!(!hint.wait.is_zero() || matches!(hint.source, HintSource::RetryAfter | HintSource::RetryAfterMillis));
        }
    }

    #[test]
    fn lengths_and_moments_are_read_alike(wait in 1_u64..86_400, now in 1_000_000_000_u64..4_000_000_000) {
        for value in [wait.to_string(), (now + wait).to_string(), ((now + wait) * 1_000).to_string(), format!("{wait}s")] {
            let fields = [("x-ratelimit-remaining", b"0".to_vec()), ("x-ratelimit-reset", value.into_bytes())];
            let expected = Hint { wait: Duration::from_secs(wait), source: HintSource::XRateLimitReset };
            prop_assert_eq!(hint(&fields, 200, now * 1_000), Some(expected));
        }
    }

    #[test]
    fn what_remains_never_makes_anybody_wait(remaining in 1_u64.., reset in value(), status in 200_u16..600) {
        let fields = [
            ("x-ratelimit-remaining", remaining.to_string().into_bytes()),
            ("x-ratelimit-reset", reset),
            ("ratelimit", format!("\"a\";r={};t=60", remaining % 1_000 + 1).into_bytes()),
        ];
        prop_assert_eq!(hint(&fields, status, 1_786_017_600_000), None);
    }
}

#[test]
fn reading_allocates_nothing() {
    let fields = [
        ("ratelimit", b"\"a\";r=0;t=60, \"b\";r=0".to_vec()),
        ("ratelimit-policy", b"\"b\";q=10;w=90".to_vec()),
        ("anthropic-ratelimit-tokens-reset", b"2026-08-06T12:00:20Z".to_vec()),
    ];
    let counted = allocation_counter::measure(|| {
        let wait = hint(&fields, 429, 1_786_017_600_000).map(|hint| hint.wait);
        assert_eq!(wait, Some(Duration::from_secs(90)));
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
