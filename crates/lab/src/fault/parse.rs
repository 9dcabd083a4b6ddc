//! Reads a rule from its one line of text, and names everything that is wrong with it at once.

use std::str::FromStr;
use std::time::Duration;

use super::amount::{parse_duration, parse_size};
use super::{
    Changing, Delay, DnsFault, DnsTrouble, Ending, Family, Fault, KINDS, Place, RangeTrouble,
    Ratio, RetryAfter, Rule, Scope, TlsTrouble,
};
use crate::problem::{Invalid, Problem};

impl FromStr for Rule {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut problems = Vec::new();
        let mut rules = Vec::new();
        let is_list = text.contains(';');
        for (index, text) in text.split(';').enumerate() {
            let (rule, mut found) = one(text);
            let word = text.split_whitespace().next().unwrap_or_default();
            if found.is_empty() && is_list && !may_be_in_list(&rule, index) {
                found.push(Problem::new("a rule with others", word, LISTED));
            }
            problems.append(&mut found);
            rules.push(rule);
        }
        if rules.len() > RULES_LIMIT {
            let allowed = format!("at most {RULES_LIMIT}");
            problems.push(Problem::new("the number of rules", rules.len().to_string(), allowed));
        }
        Invalid::check(problems)?;
        let others = rules.split_off(1);
        // A text has a first piece, however it is split.
        let first = rules.pop().unwrap_or_else(|| Fault::Healthy.into());
        Ok(Self { others, ..first })
    }
}

/// A rule without others, and what is wrong with it.
fn one(text: &str) -> (Rule, Vec<Problem>) {
    let mut words = text.split_whitespace();
    let Some(word) = words.next() else {
        return (Fault::Healthy.into(), vec![unknown_kind("")]);
    };
    let mut parameters = Parameters::read(words);
    let scope = scope(word, &mut parameters);
    let fault = fault(word, &mut parameters);
    parameters.refuse_the_rest(word);
    (Rule { fault, scope, others: Vec::new() }, parameters.problems)
}

/// A connection can follow one rule only; a clock and a queue belong to the first.
fn may_be_in_list(rule: &Rule, index: usize) -> bool {
    let (ratio, others) = match &rule.fault {
        Fault::Flap { fault, .. } => takes(fault.word()),
        fault => takes(fault.word()),
    };
    let is_first_only = matches!(rule.fault, Fault::Flap { .. } | Fault::Capacity { .. });
    ratio && others && (index == 0 || !is_first_only)
}

/// See [`may_be_in_list`].
const LISTED: &str = "faults of requests, flap and capacity only as the first";

/// Nobody follows more than this.
const RULES_LIMIT: usize = 16;

/// What a broken parameter is replaced by while the rest is read; the rule is refused in the end.
const UNREAD: Duration = Duration::ZERO;

fn fault(word: &str, p: &mut Parameters<'_>) -> Fault {
    match word {
        "healthy" => Fault::Healthy,
        "refuse" | "outage" => Fault::Refuse,
        "hang" => Fault::Hang,
        "reset-before" => Fault::ResetBefore,
        "reset-after-execute" => Fault::ResetAfterExecute,
        "close-before" => Fault::CloseBefore,
        "reset-after-head" => Fault::ResetAfterHead,
        "reset-in-body" => Fault::ResetInBody { at: p.place() },
        "truncate" => Fault::Truncate { at: p.place() },
        "truncate-chunked" => Fault::TruncateChunked { at: p.place() },
        "stall" => Fault::Stall { at: p.place() },
        "stall-head" => Fault::StallHead,
        "trickle" => {
            Fault::Trickle { bytes: p.number("bytes", 1..=1_048_576, None), every: p.time("every") }
        }
        "slow" => Fault::Slow(delay(p)),
        "status" => {
            let code = p.number("code", 400..=599, Some(500)) as u16;
            // A server that answers 4xx or 503 mostly hasn't done it, one that answers another 5xx mostly has.
            let executed = p.flag("executed", code >= 500 && code != 503);
            Fault::Status { code, executed }
        }
        "throttle" => {
            let code = p.number("code", 400..=599, Some(429)) as u16;
            Fault::Throttle { code, retry_after: p.retry_after() }
        }
        "close-idle" => Fault::CloseIdle {
            after: p.time("after"),
            jitter: if p.has("jitter") { p.time("jitter") } else { Duration::ZERO },
            with: p.ending(),
            hint: p.flag("hint", false),
        },
        "blackhole" => Fault::Blackhole,
        "half-dead" => Fault::HalfDead,
        "dns-nxdomain" => dns(p, DnsTrouble::NoSuchName),
        "dns-nodata" => dns(p, DnsTrouble::NoData),
        "dns-servfail" => dns(p, DnsTrouble::ServerFailure),
        "dns-refused" => dns(p, DnsTrouble::Refused),
        "dns-timeout" => dns(p, DnsTrouble::Silence),
        "dns-slow" => {
            let by = p.time("by");
            dns(p, DnsTrouble::Slow(by))
        }
        "dns-answer" => {
            let (a, aaaa) = (p.addresses("a"), p.addresses("aaaa"));
            Fault::Dns(DnsFault { trouble: DnsTrouble::Answer { a, aaaa }, family: None })
        }
        "close-on-reuse" => Fault::CloseOnReuse { with: p.ending() },
        "garbage" => Fault::Garbage { bytes: p.number("bytes", 1..=65_536, Some(64)) as u32 },
        "flap" => {
            let (up, down) = (p.positive_time("up"), p.positive_time("down"));
            Fault::Flap { up, down, fault: Box::new(flapping(p)) }
        }
        "capacity" => Fault::Capacity {
            concurrency: p.number("concurrency", 1..=100_000, None) as u32,
            service: p.time("service"),
            queue: p.number("queue", 0..=100_000, None) as u32,
            collapse: p.flag("collapse", false),
        },
        "cold" => Fault::Cold { extra: p.time("extra"), lasting: p.positive_time("for") },
        "etag-weak" => Fault::EtagWeak,
        "etag-none" => Fault::EtagNone,
        "changing" => Fault::Changing(Changing {
            every: p.has("every").then(|| p.positive_time("every")),
            lies: p.flag("lies", false),
        }),
        "h2-refuse-stream" => Fault::H2RefuseStream,
        "h2-goaway" => Fault::H2GoAway,
        "h2-goaway-graceful" => Fault::H2GoAwayGraceful,
        "not-serving" => Fault::NotServing,
        "h2-ping-policy" => Fault::H2PingPolicy { every: p.positive_time("every") },
        "h2-max-streams" => Fault::H2MaxStreams { n: p.number("n", 1..=1_000, None) as u32 },
        other => {
            if other.starts_with("tls-")
                && let Some(trouble) = TlsTrouble::of_word(other)
            {
                return Fault::Tls(trouble);
            }
            if let Some(trouble) = RangeTrouble::of_word(other) {
                return Fault::Range(trouble);
            }
            p.problems.push(unknown_kind(other));
            // Its parameters can't be judged: one problem, not five.
            p.pairs.clear();
            p.inner = None;
            Fault::Healthy
        }
    }
}

/// The fault inside of `flap`; its parameters follow its word, so both kinds can be read from the same list.
fn flapping(p: &mut Parameters<'_>) -> Fault {
    match p.inner.take() {
        None => Fault::Refuse,
        Some("flap") => {
            p.problems.push(Problem::new("the fault inside of flap", "flap", "any other fault"));
            Fault::Healthy
        }
        Some(word) => fault(word, p),
    }
}

fn dns(p: &mut Parameters<'_>, trouble: DnsTrouble) -> Fault {
    let family = match p.take("family") {
        None => None,
        Some("a") => Some(Family::A),
        Some("aaaa") => Some(Family::Aaaa),
        Some(other) => {
            p.wrong("family", other, "a or aaaa");
            None
        }
    };
    Fault::Dns(DnsFault { trouble, family })
}

/// Whether a fault takes a ratio, and whether it takes methods and a path.
fn takes(word: &str) -> (bool, bool) {
    match word {
        "refuse" | "outage" | "close-idle" | "blackhole" | "half-dead" | "h2-ping-policy"
        | "h2-max-streams" => (false, false),
        "close-on-reuse" => (true, false),
        _ if word.starts_with("tls-") => (false, false),
        _ if word.starts_with("dns-") => (true, false),
        _ => (true, true),
    }
}

fn delay(p: &mut Parameters<'_>) -> Delay {
    if let Some(text) = p.take("uniform") {
        let ends =
            text.split_once("..").map(|(from, to)| (parse_duration(from), parse_duration(to)));
        return match ends {
            Some((Some(from), Some(to))) if from <= to => Delay::Uniform(from, to),
            _ => {
                p.wrong("uniform", text, "TIME..TIME, the shorter first, such as 100ms..300ms");
                Delay::Fixed(UNREAD)
            }
        };
    }
    if p.has("median") || p.has("p99") {
        let (median, p99) = (p.positive_time("median"), p.positive_time("p99"));
        if p99 < median {
            p.wrong("p99", &format!("{p99:?}"), "a time not below the median");
        }
        return Delay::LogNormal { median, p99 };
    }
    if p.has("fixed") {
        return Delay::Fixed(p.time("fixed"));
    }
    p.wrong("slow", "without a delay", "fixed=TIME, uniform=TIME..TIME, or median=TIME p99=TIME");
    Delay::Fixed(UNREAD)
}

fn scope(word: &str, p: &mut Parameters<'_>) -> Scope {
    let mut scope = Scope::default();
    let concerns = if word == "flap" { p.inner.unwrap_or("refuse") } else { word };
    let (ratio, others) = takes(concerns);
    if ratio && let Some(text) = p.take("ratio") {
        match Ratio::parse(text) {
            Some(ratio) => scope.ratio = ratio,
            None => p.wrong("ratio", text, "a number from 0 to 1"),
        }
    }
    if others && let Some(text) = p.take("methods") {
        scope.methods = text.split(',').map(str::to_owned).collect();
        if !scope.methods.iter().all(|m| !m.is_empty() && m.bytes().all(|b| b.is_ascii_uppercase()))
        {
            p.wrong(
                "methods",
                text,
                "upper-case methods with commas between them, such as POST,PUT",
            );
        }
    }
    if others && let Some(text) = p.take("path") {
        if !text.starts_with('/') {
            p.wrong("path", text, "the beginning of a path, such as /orders");
        }
        scope.path = text.to_owned();
    }
    if others && p.has("times") {
        scope.times = Some(p.number("times", 1..=u64::MAX, None));
    }
    if others && p.has("range") {
        scope.range = Some(p.flag("range", false));
    }
    scope
}

fn unknown_kind(word: &str) -> Problem {
    let words: Vec<_> = KINDS.iter().map(|kind| kind.word).collect();
    Problem::new("the fault", word, words.join(", "))
}

/// The `key=value` pairs of a line; each taken at most once, and what is left over is a problem.
struct Parameters<'a> {
    pairs: Vec<(&'a str, &'a str)>,
    /// The one word without `=`, which only `flap` may have.
    inner: Option<&'a str>,
    problems: Vec<Problem>,
}

impl<'a> Parameters<'a> {
    fn read(words: impl Iterator<Item = &'a str>) -> Self {
        let mut read = Self { pairs: Vec::new(), inner: None, problems: Vec::new() };
        for word in words {
            match word.split_once('=') {
                Some((key, _)) if read.has(key) => read.wrong(key, word, "each parameter once"),
                Some(pair) => read.pairs.push(pair),
                None if read.inner.is_none() => read.inner = Some(word),
                None => read.wrong("a parameter", word, "KEY=VALUE"),
            }
        }
        read
    }

    fn has(&self, key: &str) -> bool {
        self.pairs.iter().any(|(k, _)| *k == key)
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        let index = self.pairs.iter().position(|(k, _)| *k == key)?;
        Some(self.pairs.remove(index).1)
    }

    fn wrong(&mut self, key: &str, value: &str, allowed: &str) {
        self.problems.push(Problem::new(key, value, allowed));
    }

    fn number(
        &mut self,
        key: &str,
        allowed: std::ops::RangeInclusive<u64>,
        default: Option<u64>,
    ) -> u64 {
        let (low, high) = (*allowed.start(), *allowed.end());
        match (self.take(key), default) {
            (Some(text), _) => match text.parse() {
                Ok(number) if allowed.contains(&number) => return number,
                _ => self.wrong(key, text, &format!("a whole number from {low} to {high}")),
            },
            (None, Some(default)) => return default,
            (None, None) => {
                self.wrong(key, "missing", &format!("a whole number from {low} to {high}"))
            }
        }
        low
    }

    /// `at=PLACE` or `every=SIZE`.
    fn place(&mut self) -> Place {
        if !self.has("at")
            && let Some(text) = self.take("every")
        {
            let mean = parse_size(text).filter(|mean| *mean > 0);
            return Place::Every(mean.unwrap_or_else(|| {
                self.wrong("every", text, "a size above zero, such as 300KB or 64KiB");
                1
            }));
        }
        let Some(text) = self.take("at") else { return Place::Middle };
        Place::parse(text).unwrap_or_else(|| {
            self.wrong("at", text, PLACES);
            Place::Middle
        })
    }

    fn time(&mut self, key: &str) -> Duration {
        let text = self.take(key);
        if let Some(length) = text.and_then(parse_duration) {
            return length;
        }
        self.wrong(key, text.unwrap_or("missing"), "a time up to 24h, such as 250ms, 5s or 2m");
        UNREAD
    }

    fn positive_time(&mut self, key: &str) -> Duration {
        let before = self.problems.len();
        let length = self.time(key);
        if length.is_zero() && self.problems.len() == before {
            self.wrong(key, "0", "a time above zero");
        }
        length
    }

    fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.take(key) {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                self.wrong(key, other, "true or false");
                default
            }
        }
    }

    fn ending(&mut self) -> Ending {
        match self.take("with") {
            None | Some("fin") => Ending::Fin,
            Some("close") => Ending::Drop,
            Some("rst") => Ending::Reset,
            Some(other) => {
                self.wrong("with", other, "fin, close or rst");
                Ending::Fin
            }
        }
    }

    /// Addresses with commas between them; none of them if it is left out.
    fn addresses<A: FromStr>(&mut self, key: &str) -> Vec<A> {
        let Some(text) = self.take(key) else { return Vec::new() };
        let read: Result<Vec<A>, _> = text.split(',').map(str::parse).collect();
        read.unwrap_or_else(|_| {
            self.wrong(key, text, "addresses of this family with commas between them");
            Vec::new()
        })
    }

    fn retry_after(&mut self) -> RetryAfter {
        let Some(text) = self.take("retry-after") else {
            return RetryAfter::Seconds(DEFAULT_RETRY_AFTER_SECONDS);
        };
        let read = match text.strip_prefix("date") {
            Some("") => Some(RetryAfter::Date(DEFAULT_RETRY_AFTER_SECONDS)),
            Some(ahead) => {
                ahead.strip_prefix('+').and_then(|s| s.parse().ok()).map(RetryAfter::Date)
            }
            None if text == "none" => Some(RetryAfter::Absent),
            None => text.parse().ok().map(RetryAfter::Seconds),
        };
        read.unwrap_or_else(|| {
            self.wrong("retry-after", text, "whole seconds, `date`, `date+SECONDS` or `none`");
            RetryAfter::Absent
        })
    }

    fn refuse_the_rest(&mut self, word: &str) {
        let own = KINDS.iter().find(|kind| kind.word == word).map_or("", |kind| kind.parameters);
        let scope = match takes(word) {
            (_, true) => " [ratio=N] [methods=A,B] [path=/PREFIX] [range=BOOL] [times=N]",
            (true, false) if word.starts_with("dns-") => " [ratio=N]",
            _ => "",
        };
        let allowed = format!("{word} {own}{scope}");
        for (key, value) in std::mem::take(&mut self.pairs) {
            self.wrong("a parameter", &format!("{key}={value}"), allowed.trim());
        }
        if let Some(stray) = self.inner.take() {
            self.wrong("a parameter", stray, allowed.trim());
        }
    }
}

/// What [`Place::parse`] reads.
const PLACES: &str = "a size (300, 64KiB), first, middle, last, random, between-chunks, in-chunk, in-chunk-header or in-event";

/// Long enough to see whether a client waits, short enough for a demo.
const DEFAULT_RETRY_AFTER_SECONDS: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn problems(text: &str) -> Vec<String> {
        let error = text.parse::<Rule>().expect_err(text);
        error.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_line_is_shown_as_it_was_written() {
        for text in [
            "healthy",
            "refuse",
            "hang",
            "reset-before ratio=0.5",
            "reset-after-execute methods=POST,PUT",
            "close-before path=/orders",
            "reset-after-head",
            "reset-in-body at=10",
            "reset-in-body",
            "truncate at=0 ratio=0.25 methods=GET path=/bytes",
            "truncate-chunked at=7",
            "stall at=100",
            "stall at=last",
            "truncate at=first",
            "truncate-chunked at=in-chunk-header",
            "reset-in-body at=in-event ratio=0.5",
            "reset-in-body every=300000",
            "stall-head",
            "trickle bytes=3 every=20ms",
            "slow fixed=200ms",
            "slow uniform=100ms..300ms",
            "slow median=100ms p99=900ms",
            "status code=500 executed=true",
            "status code=503 executed=false",
            "throttle code=429 retry-after=2",
            "throttle code=503 retry-after=date+7",
            "throttle code=429 retry-after=none",
            "close-idle after=50ms jitter=0ms with=fin hint=false",
            "close-idle after=50ms jitter=5ms with=close hint=true",
            "blackhole",
            "half-dead",
            "tls-expired",
            "tls-stalled",
            "dns-nxdomain",
            "dns-timeout family=aaaa ratio=0.5",
            "dns-slow by=300ms family=a",
            "dns-answer a=127.0.0.1,127.0.0.2 aaaa=::1",
            "h2-goaway-graceful ratio=0.1",
            "not-serving",
            "h2-ping-policy every=500ms",
            "h2-max-streams n=4",
            "close-on-reuse with=rst ratio=0.5",
            "garbage bytes=64",
            "flap up=200ms down=100ms refuse",
            "flap up=200ms down=100ms trickle bytes=1 every=5ms ratio=0.1",
            "capacity concurrency=4 service=50ms queue=10 collapse=true",
            "cold extra=500ms for=10000ms",
            "range-wrong-start ratio=0.5",
            "range-unsatisfiable path=/bytes",
            "etag-weak",
            "etag-none",
            "changing lies=false",
            "status code=503 executed=false path=/x range=true times=2",
            "reset-in-body at=last range=false; range-wrong-start ratio=0.5; hang path=/slow",
            "flap up=200ms down=100ms hang; reset-before",
            "healthy path=/good; reset-before",
            "changing every=1000ms lies=true",
            "h2-refuse-stream",
            "h2-goaway",
        ] {
            assert_eq!(rule(text).to_string(), text);
        }
    }

    #[test]
    fn defaults_stand_for_what_is_not_written() {
        assert_eq!(rule("outage").fault, Fault::Refuse);
        assert_eq!(rule("stall at=middle").to_string(), "stall");
        assert_eq!(rule("truncate every=64KiB").to_string(), "truncate every=65536");
        assert_eq!(rule("flap up=1s down=1s").to_string(), "flap up=1000ms down=1000ms refuse");
        assert_eq!(rule("status").fault, Fault::Status { code: 500, executed: true });
        assert_eq!(rule("status code=503").fault, Fault::Status { code: 503, executed: false });
        assert_eq!(
            rule("throttle").fault,
            Fault::Throttle { code: 429, retry_after: RetryAfter::Seconds(2) }
        );
    }

    #[test]
    fn everything_wrong_is_named_at_once() {
        let found = problems("trickle bytes=0 every=soon ratio=2 colour=red");
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.contains(&"ratio is `2`, allowed: a number from 0 to 1".to_owned()));
        assert!(found.iter().any(|p| p.contains("colour=red") && p.contains("bytes=N every=TIME")));
    }

    #[test]
    fn everything_wrong_with_several_rules_is_named_at_once() {
        let found = problems("hang ratio=2; truncate at=end; explode");
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(problems(&"hang; ".repeat(20)).len(), 2, "too many, and an empty one");
    }

    #[test]
    fn an_unknown_fault_is_one_problem_with_the_list() {
        let found = problems("explode at=3");
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with("the fault is `explode`, allowed: healthy, refuse"),
            "{found:?}"
        );
        assert_eq!(problems("  ").len(), 1);
    }

    #[test]
    fn a_fault_of_connections_takes_no_scope() {
        assert_eq!(problems("refuse ratio=0.5").len(), 1);
        assert_eq!(problems("close-idle after=1s path=/x").len(), 1);
        assert_eq!(problems("close-on-reuse methods=GET").len(), 1);
        assert_eq!(problems("flap up=1s down=1s ratio=0.5").len(), 1);
    }

    #[test]
    fn odd_lines_are_refused() {
        for text in [
            "flap up=1s down=1s flap",
            "flap up=0 down=1s",
            "slow",
            "slow uniform=3s..1s",
            "slow median=2s p99=1s",
            "hang at=3",
            "hang refuse",
            "status code=200",
            "stall at=1 at=2",
            "stall at=1 every=2",
            "stall at=end",
            "stall every=0",
            "throttle retry-after=soon",
            "tls-odd",
            "range-odd",
            "hang range=maybe",
            "hang times=0",
            "half-dead times=1",
            "refuse; hang",
            "hang; refuse",
            "hang; flap up=1s down=1s hang",
            "flap up=1s down=1s refuse; hang",
            "hang;",
            "; hang",
            "dns-timeout; hang",
            "changing every=0",
            "tls-expired ratio=0.5",
            "dns-timeout family=b",
            "dns-answer a=::1",
            "dns-nodata path=/x",
            "half-dead methods=GET",
        ] {
            assert!(text.parse::<Rule>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_list_for_people_is_complete() {
        for kind in KINDS {
            let known = kind.word.parse::<Rule>().is_ok_and(|_| true)
                || problems(kind.word).iter().all(|p| !p.starts_with("the fault is"));
            assert!(known, "{}", kind.word);
        }
    }
}
