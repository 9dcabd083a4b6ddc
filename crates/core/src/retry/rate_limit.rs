//! Hints: what an answer's fields say about when to come back.
//!
//! Peers that limit us say so in many ways. [`Hint::of`] knows those that are common and takes the first of them
//! that is there, well-formed and says to wait:
//!
//! | order | fields | read as |
//! |---|---|---|
//! | 1 | `Retry-After` | RFC 9110, section 10.2.3: seconds or an HTTP date |
//! | 2 | `retry-after-ms`, `x-ms-retry-after-ms` | milliseconds |
//! | 3 | `RateLimit`, `RateLimit-Policy` | draft-ietf-httpapi-ratelimit-headers: items with `r` and `t`; `limit=, remaining=, reset=` of its draft 07 |
//! | 4 | `RateLimit-Remaining`, `-Reset` | its drafts up to 06 |
//! | 5 | `X-RateLimit-Remaining`, `-Reset-After`, `-Reset`; the same as `X-Rate-Limit-` | custom: a length or a moment |
//! | 6 | `x-ratelimit-remaining-requests`, `-tokens` and `-reset-`; `anthropic-ratelimit-*` | vendors of language models: a length or a moment; the longest that is spent |
//!
//! 1 and 2 are hints in a refusal only (403, 429, 503): a redirect's or a created resource's speak to the application. The
//! others count whatever the status, once their allowance is spent: something remaining never makes anybody wait. Where no
//! remainder is told, a 429 says that there is none. A field that isn't well-formed is as good as absent, with all of its
//! family.
//!
//! **A length or a moment?** A number below 10^9 is a length in seconds (31 years), below 10^12 seconds since 1970 (since
//! 2001), below 10^15 milliseconds since 1970; beyond that it is nothing. Other values are lengths such as `6m0s` or `20ms`, or
//! dates by RFC 3339 or HTTP. A moment that has passed is no hint. Moments are compared to our own wall clock, so they are as
//! wrong as the clocks differ.
//!
//! No hint is longer than [`LONGEST`], a day. Nothing is allocated, and any bytes are an answer or `None`.

use core::time::Duration;

use super::moments::{reset_in, thousandths};
use super::retry_after::{self, LONGEST, trim};
use super::structured::Limits;

/// How long a peer wants us to stay away, and where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// From the answer on; a day at most. Zero only by a `Retry-After` of zero.
    pub wait: Duration,
    /// Which fields said it.
    pub source: HintSource,
}

/// The fields that a hint comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HintSource {
    /// `Retry-After`.
    RetryAfter,
    /// `retry-after-ms` or `x-ms-retry-after-ms`.
    RetryAfterMillis,
    /// `RateLimit`, with or without `RateLimit-Policy`.
    RateLimit,
    /// `RateLimit-Reset`.
    RateLimitReset,
    /// `X-RateLimit-Reset`, `X-RateLimit-Reset-After`, `X-Rate-Limit-Reset`.
    XRateLimitReset,
    /// The fields of the language models' vendors.
    ModelVendor,
}

impl HintSource {
    /// The name of the field, as records show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RetryAfter => "retry-after",
            Self::RetryAfterMillis => "retry-after-ms",
            Self::RateLimit => "ratelimit",
            Self::RateLimitReset => "ratelimit-reset",
            Self::XRateLimitReset => "x-ratelimit-reset",
            Self::ModelVendor => "model-vendor-reset",
        }
    }
}

impl Hint {
    /// Reads the fields of an answer with this status. `wall_unix_ms`: the wall clock, in milliseconds since 1970.
    ///
    /// Names are compared without regard to case. `None` when no field asks us to wait.
    ///
    /// ```
    /// use core::time::Duration;
    /// use mainstay_core::retry::rate_limit::{Hint, HintSource};
    ///
    /// let fields = [("ratelimit", &b"\"hour\";r=12;t=1800, \"second\";r=0;t=1"[..])];
    /// let hint = Hint::of(fields.into_iter(), 429, 1_786_017_600_000);
    /// let expected = Hint { wait: Duration::from_secs(1), source: HintSource::RateLimit };
    /// assert_eq!(hint, Some(expected));
    /// ```
    #[must_use]
    pub fn of<'a>(
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        status: u16,
        wall_unix_ms: u64,
    ) -> Option<Self> {
        let mut seen = Seen::default();
        for (name, value) in fields {
            seen.take_in(name, trim(value), wall_unix_ms);
        }
        let refused = matches!(status, 403 | 429 | 503);
        let asked = seen.asked().filter(|_| refused);
        let hint = asked.or_else(|| seen.spent(status == 429))?;
        Some(Self { wait: hint.wait.min(LONGEST), ..hint })
    }

    /// Whether a status can turn a call away: 429 and 503.
    #[must_use]
    pub const fn is_refusal(status: u16) -> bool {
        matches!(status, 429 | 503)
    }

    /// The hint of an answer that turns the call away without having done anything: of a 429 any, of a 503 only what
    /// asks us in so many words to come back, and of no other status.
    ///
    /// A 503 whose allowance happens to be spent may have broken in the middle of the work: it is a failure, and
    /// what isn't idempotent must not be repeated on its account.
    #[must_use]
    pub fn of_refusal<'a>(
        fields: impl Iterator<Item = (&'a str, &'a [u8])>,
        status: u16,
        wall_unix_ms: u64,
    ) -> Option<Self> {
        use HintSource::{RetryAfter, RetryAfterMillis};
        let counts =
            |hint: &Self| status == 429 || matches!(hint.source, RetryAfter | RetryAfterMillis);
        if !Self::is_refusal(status) {
            return None;
        }
        Self::of(fields, status, wall_unix_ms).filter(counts)
    }
}

/// What was read of an answer so far.
#[derive(Default)]
struct Seen<'a> {
    retry_after: Option<Duration>,
    millis: Option<Duration>,
    limits: Limits<'a>,
    families: [Allowance; FAMILIES.len()],
}

impl<'a> Seen<'a> {
    fn take_in(&mut self, name: &str, value: &'a [u8], wall_unix_ms: u64) {
        // Nearly all fields end here. What follows compares names of all lengths.
        if !matches!(name.as_bytes().first(), Some(b'r' | b'R' | b'x' | b'X' | b'a' | b'A')) {
            return;
        }
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("retry-after") {
            // The first of several, unless it is no hint.
            let wait = || retry_after::parse(value, wall_unix_ms / 1_000);
            self.retry_after = self.retry_after.or_else(wait);
        } else if is("retry-after-ms") || is("x-ms-retry-after-ms") {
            self.millis = self.millis.or_else(|| millis(value));
        } else if is("ratelimit") {
            self.limits.on_state(value);
        } else if is("ratelimit-policy") {
            self.limits.on_policy(value);
        } else {
            for (family, allowance) in FAMILIES.iter().zip(&mut self.families) {
                if is(family.remaining) {
                    allowance.on_remaining(thousandths(value));
                } else if is(family.reset) {
                    allowance.on_reset(reset_in(value, wall_unix_ms));
                }
            }
        }
    }

    /// What the peer asked for in so many words.
    fn asked(&self) -> Option<Hint> {
        let hint = |wait, source| Hint { wait, source };
        let millis = || self.millis.map(|wait| hint(wait, HintSource::RetryAfterMillis));
        self.retry_after.map(|wait| hint(wait, HintSource::RetryAfter)).or_else(millis)
    }

    /// The wait for an allowance that is spent.
    fn spent(&self, refused: bool) -> Option<Hint> {
        let limits = self.limits.spent_for().filter(|wait| !wait.is_zero());
        if let Some(wait) = limits {
            return Some(Hint { wait, source: HintSource::RateLimit });
        }
        let mut found: Option<Hint> = None;
        for (family, allowance) in FAMILIES.iter().zip(&self.families) {
            let Some(wait) = allowance.spent_for(refused) else { continue };
            match found {
                // Families of one source are limits that hold at the same time, so the longest counts.
                Some(hint) if hint.source != family.source || hint.wait >= wait => {}
                _ => found = Some(Hint { wait, source: family.source }),
            }
        }
        found
    }
}

/// What one pair of fields said.
#[derive(Clone, Copy, Default)]
struct Allowance {
    remains: Option<bool>,
    reset: Option<Duration>,
    malformed: bool,
}

impl Allowance {
    fn on_remaining(&mut self, remaining: Option<u64>) {
        self.malformed |= remaining.is_none();
        // Of several the least counts: they are limits that hold at the same time.
        self.remains = remaining.map(|count| count > 0 && self.remains.unwrap_or(true));
    }

    fn on_reset(&mut self, reset: Option<Duration>) {
        self.malformed |= reset.is_none();
        self.reset = self.reset.max(reset);
    }

    /// How long until it is full again, if it is spent. `refused`: an untold remainder is none.
    fn spent_for(&self, refused: bool) -> Option<Duration> {
        let spent = self.remains.map_or(refused, |remains| !remains);
        self.reset.filter(|wait| spent && !self.malformed && !wait.is_zero())
    }
}

/// `1*DIGIT [ "." 1*DIGIT ]` milliseconds.
fn millis(value: &[u8]) -> Option<Duration> {
    thousandths(value).map(Duration::from_micros)
}

/// Two fields that belong together.
struct Family {
    remaining: &'static str,
    reset: &'static str,
    source: HintSource,
}

const fn family(remaining: &'static str, reset: &'static str, source: HintSource) -> Family {
    Family { remaining, reset, source }
}

/// In their order of preference; those of one source stand together.
const FAMILIES: [Family; 12] = {
    use HintSource::{ModelVendor, RateLimitReset, XRateLimitReset};
    [
        family("ratelimit-remaining", "ratelimit-reset", RateLimitReset),
        family("x-ratelimit-remaining", "x-ratelimit-reset-after", XRateLimitReset),
        family("x-ratelimit-remaining", "x-ratelimit-reset", XRateLimitReset),
        family("x-rate-limit-remaining", "x-rate-limit-reset", XRateLimitReset),
        family("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", ModelVendor),
        family("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", ModelVendor),
        family(
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
            ModelVendor,
        ),
        family(
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
            ModelVendor,
        ),
        family(
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
            ModelVendor,
        ),
        family(
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
            ModelVendor,
        ),
        family(
            "anthropic-priority-input-tokens-remaining",
            "anthropic-priority-input-tokens-reset",
            ModelVendor,
        ),
        family(
            "anthropic-priority-output-tokens-remaining",
            "anthropic-priority-output-tokens-reset",
            ModelVendor,
        ),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use HintSource::{
        ModelVendor, RateLimit, RateLimitReset, RetryAfter, RetryAfterMillis, XRateLimitReset,
    };

    /// Thu, 06 Aug 2026 12:00:00 GMT.
    const NOW: u64 = 1_786_017_600;

    /// `expected`: milliseconds, and who said it.
    #[track_caller]
    fn check(status: u16, fields: &[(&str, &str)], expected: Option<(u64, HintSource)>) {
        let bytes = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        let hint = Hint::of(bytes, status, NOW * 1_000);
        let hint = hint.map(|hint| (hint.wait.as_millis() as u64, hint.source));
        assert_eq!(hint, expected, "{status} {fields:?}");
    }

    #[test]
    fn retry_after_wins_over_all_others_in_a_refusal_and_says_nothing_elsewhere() {
        let fields = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "60"),
            ("RateLimit", "\"a\";r=0;t=50"),
            ("retry-after-ms", "1500"),
            ("Retry-After", "7"),
        ];
        for status in [403, 429, 503] {
            check(status, &fields, Some((7_000, RetryAfter)));
        }
        check(429, &fields[..4], Some((1_500, RetryAfterMillis)));
        check(429, &fields[..3], Some((50_000, RateLimit)));
        check(429, &fields[..2], Some((60_000, XRateLimitReset)));
        check(200, &fields, Some((50_000, RateLimit)));
        check(301, &fields[3..], None);
        check(429, &[("retry-after", "0")], Some((0, RetryAfter)));
    }

    #[test]
    fn a_call_is_turned_away_by_a_429_or_by_a_503_that_asks_us_to_come_back() {
        let of = |status, fields: [(&'static str, &'static str); 2]| {
            let bytes = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
            Hint::of_refusal(bytes, status, NOW * 1_000).map(|hint| hint.source)
        };
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "60")];
        assert_eq!([429, 503, 403, 200].map(|status| of(status, spent)), {
            [Some(XRateLimitReset), None, None, None]
        });
        let asked = [("retry-after", "1"), ("x-ratelimit-remaining", "5")];
        assert_eq!([429, 503, 403, 200].map(|status| of(status, asked)), {
            [Some(RetryAfter), Some(RetryAfter), None, None]
        });
    }

    #[test]
    fn a_retry_after_that_is_none_leaves_the_word_to_the_next() {
        let later = ("x-ms-retry-after-ms", "250.5");
        check(429, &[("retry-after", "soon"), later], Some((250, RetryAfterMillis)));
        check(503, &[("retry-after", "soon"), ("retry-after-ms", "-1")], None);
    }

    #[test]
    fn something_remaining_never_pauses_and_an_untold_remainder_only_at_429() {
        let reset = ("X-RateLimit-Reset", "30");
        check(429, &[reset, ("X-RateLimit-Remaining", "1")], None);
        check(200, &[reset, ("X-RateLimit-Remaining", "0")], Some((30_000, XRateLimitReset)));
        check(429, &[reset], Some((30_000, XRateLimitReset)));
        check(503, &[reset], None);
        check(200, &[reset], None);
        check(429, &[("ratelimit", "\"a\";r=3;t=9"), reset], Some((30_000, XRateLimitReset)));
        check(429, &[reset, ("x-ratelimit-remaining", "0"), ("x-ratelimit-remaining", "5")], {
            Some((30_000, XRateLimitReset))
        });
    }

    #[test]
    fn the_older_triple_is_read_in_seconds() {
        let fields = [
            ("ratelimit-limit", "100, 100;w=60"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "12"),
        ];
        check(200, &fields, Some((12_000, RateLimitReset)));
    }

    #[test]
    fn a_number_is_a_length_or_a_moment_by_its_size() {
        let reset = |value, expected: Option<u64>| {
            let fields = [("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", value)];
            check(200, &fields, expected.map(|millis| (millis, XRateLimitReset)));
        };
        reset("1.5", Some(1_500));
        reset("999999999", Some(86_400_000));
        reset("1000000000", None);
        reset("1786017630", Some(30_000));
        reset("1786017630.25", Some(30_250));
        reset("1786017600", None);
        reset("999999999999", Some(86_400_000));
        reset("1786017600750", Some(750));
        reset("1000000000000000", None);
        reset("99999999999999999999999999", None);
        reset("2026-08-06T12:00:20Z", Some(20_000));
        reset("Thu, 06 Aug 2026 12:00:05 GMT", Some(5_000));
        reset("0", None);
        reset("-5", None);
        reset("Tue Feb 16 2021 09:02:42 GMT+0100", None);
    }

    #[test]
    fn a_malformed_field_takes_its_family_with_it() {
        check(200, &[("x-ratelimit-remaining", "0, 1"), ("x-ratelimit-reset", "9")], None);
        check(429, &[("x-ratelimit-remaining", "none"), ("x-ratelimit-reset", "9")], None);
        check(429, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "later")], None);
    }

    #[test]
    fn of_a_vendors_limits_the_longest_that_is_spent_counts() {
        let fields = [
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1h0m0s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ];
        check(200, &fields, Some((360_000, ModelVendor)));
        let fields = [
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2026-08-06T12:00:01Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-08-06T12:00:40Z"),
            ("anthropic-ratelimit-output-tokens-remaining", "4000"),
            ("anthropic-ratelimit-output-tokens-reset", "2026-08-06T12:30:00Z"),
        ];
        check(200, &fields, Some((40_000, ModelVendor)));
    }
}
