//! What is allowed and probably not meant.
//!
//! The four anti-patterns of resilience (infinite retry, no monitoring, no detection, no failover) come first; the first
//! of them can't be written at all. Then: policies that work against themselves, writes that may be doubled, and
//! doors that stand open.

mod call;
mod load;
mod outbox;
mod resumable;
mod spill;
mod upstream;

use std::fmt;

use crate::read::Places;
use crate::settings::{Route, Settings, Upstream};
use crate::source::{Place, Source};
use crate::text;

/// Something that is allowed and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// Which.
    pub code: LintCode,
    /// What it is about: an upstream, a route, or the file.
    pub subject: String,
    /// Where it was written, if that is known.
    pub place: Option<Place>,
    /// What is odd and what it costs.
    pub message: String,
    /// What to do.
    pub advice: String,
}

/// The lints, by their codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LintCode {
    /// One endpoint: nowhere to go when it breaks.
    NoFailover,
    /// No active checks: a dead endpoint is found by calls alone.
    NoMonitoring,
    /// Nothing opens the breaker, or no status counts as a failure.
    NoDetection,
    /// One attempt only.
    NoRetry,
    /// All attempts together don't fit the total.
    AttemptsExceedTotal,
    /// The first wait takes the whole time.
    BackoffTooLong,
    /// Without jitter clients come back as one.
    NoJitter,
    /// Request bodies can't be sent again.
    NoReplay,
    /// Writes are declared idempotent.
    WriteDeclaredIdempotent,
    /// A connection that hangs counts as an attempt that hangs.
    ConnectExceedsAttempt,
    /// The breaker forgets before it can judge.
    WindowTooShort,
    /// Probes are written off before they can tell.
    HalfOpenTooShort,
    /// Extra attempts may be a large part of the load.
    BudgetTooLarge,
    /// A check is made before the last one is over.
    CheckOverlaps,
    /// A hedge that is never made.
    HedgeUnused,
    /// A timeout that doesn't adapt.
    AdaptiveUnused,
    /// A waiting line without a limit.
    LineUnused,
    /// A rate by key without keys, or keys without a rate by key.
    RateKeyUnused,
    /// Answers may be kept that there is no room for.
    StaleTooLarge,
    /// An outbox that nothing gets into.
    OutboxUnused,
    /// What is stored can be read by whoever has the file.
    OutboxInClear,
    /// Bodies that go on in a file for nothing.
    SpillUnused,
    /// One body's file may be larger than all together.
    SpillExceedsTotal,
    /// Uploads that can never be continued.
    ResumableUnused,
    /// Consistent hashing has nothing to go by, or a hash has no use.
    HashUnused,
    /// Idle connections are kept for longer than most servers do.
    PoolIdleTooLong,
    /// A setting with `danger` in its name.
    Danger,
    /// No route leads to an upstream.
    UpstreamUnused,
    /// Applications connect from outside, in the clear.
    OpenListener,
}

impl LintCode {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoFailover => "no-failover",
            Self::NoMonitoring => "no-monitoring",
            Self::NoDetection => "no-detection",
            Self::NoRetry => "no-retry",
            Self::AttemptsExceedTotal => "attempts-exceed-total",
            Self::BackoffTooLong => "backoff-too-long",
            Self::NoJitter => "no-jitter",
            Self::NoReplay => "no-replay",
            Self::WriteDeclaredIdempotent => "write-declared-idempotent",
            Self::ConnectExceedsAttempt => "connect-exceeds-attempt",
            Self::WindowTooShort => "window-too-short",
            Self::HalfOpenTooShort => "half-open-too-short",
            Self::BudgetTooLarge => "budget-too-large",
            Self::CheckOverlaps => "check-overlaps",
            Self::HedgeUnused => "hedge-unused",
            Self::AdaptiveUnused => "adaptive-unused",
            Self::LineUnused => "line-unused",
            Self::RateKeyUnused => "rate-key-unused",
            Self::StaleTooLarge => "stale-too-large",
            Self::OutboxUnused => "outbox-unused",
            Self::OutboxInClear => "outbox-in-clear",
            Self::SpillUnused => "spill-unused",
            Self::SpillExceedsTotal => "spill-exceeds-total",
            Self::ResumableUnused => "resumable-unused",
            Self::HashUnused => "hash-unused",
            Self::PoolIdleTooLong => "pool-idle-too-long",
            Self::Danger => "danger",
            Self::UpstreamUnused => "upstream-unused",
            Self::OpenListener => "open-listener",
        }
    }
}

/// What is allowed and probably not meant, without places. [`crate::Loaded::lint`] knows them.
#[must_use]
pub fn lint(settings: &Settings) -> Vec<Lint> {
    Linter { source: None, found: Vec::new() }.all(settings)
}

pub(crate) fn located(settings: &Settings, source: &Source, places: &Places) -> Vec<Lint> {
    Linter { source: Some((source, places)), found: Vec::new() }.all(settings)
}

struct Linter<'s> {
    source: Option<(&'s Source, &'s Places)>,
    found: Vec<Lint>,
}

/// What a lint is about: where its keys may have been written, nearest first.
struct Subject {
    name: String,
    prefixes: Vec<String>,
}

impl Subject {
    fn upstream(upstream: &Upstream) -> Self {
        let name = format!("upstream `{}`", upstream.name);
        Self { name, prefixes: vec![format!("upstream.{}", text::key(&upstream.name))] }
    }

    fn route(index: usize, route: &Route, upstream: &Upstream) -> Self {
        let mut prefixes = vec![format!("route[{index}]")];
        prefixes.extend(Self::upstream(upstream).prefixes);
        Self { name: format!("route `{}`", route.name), prefixes }
    }

    fn file() -> Self {
        Self { name: "the file".into(), prefixes: vec![String::new()] }
    }
}

impl Linter<'_> {
    fn all(mut self, settings: &Settings) -> Vec<Lint> {
        self.listeners(settings);
        self.disk(settings);
        self.store(settings);
        for (index, upstream) in settings.upstreams.iter().enumerate() {
            let routes: Vec<(usize, &Route)> = settings
                .routes
                .iter()
                .enumerate()
                .filter(|(_, route)| route.upstream == index)
                .collect();
            let is_told = settings.callbacks.iter().any(|route| route.upstream == index);
            if routes.is_empty() && !is_told {
                self.unused(upstream);
            }
            self.upstream(upstream, &routes);
            for (index, route) in routes {
                self.call(index, route, upstream);
                self.stale(index, route, upstream, &settings.limits);
                self.spill(index, route, upstream, &settings.limits);
                self.outbox(index, route, upstream);
                self.resumable(index, route, upstream);
            }
        }
        let line = |lint: &Lint| lint.place.as_ref().map(|place| (place.line, place.column));
        let mut found = self.found;
        found.sort_by_key(|lint| (line(lint), lint.code));
        // Several routes may inherit the same line.
        found.dedup_by(|a, b| {
            let about = a.place.is_some() || a.subject == b.subject;
            about && (a.code, &a.place, &a.message) == (b.code, &b.place, &b.message)
        });
        found
    }

    fn listeners(&mut self, settings: &Settings) {
        for listener in &settings.listeners {
            if !listener.address.ip().is_loopback() && listener.tls.is_none() {
                let message = format!(
                    "{} can be reached from outside, in the clear and without asking who it is",
                    listener.address
                );
                let advice = "listen at a loopback address, or give it a certificate; ignore this where the network is closed";
                self.add(
                    LintCode::OpenListener,
                    &Subject::file(),
                    &["listen", "listener"],
                    message,
                    advice,
                );
            }
        }
    }

    /// Adds a lint, at the first of `keys` that is written, else at the head of its subject.
    fn add(
        &mut self,
        code: LintCode,
        subject: &Subject,
        keys: &[&str],
        message: impl Into<String>,
        advice: impl Into<String>,
    ) {
        let prefixes: Vec<&str> = subject.prefixes.iter().map(String::as_str).collect();
        let place = self.source.and_then(|(source, places)| {
            let span = places.first(&prefixes, keys).or_else(|| places.first(&prefixes, &[""]))?;
            Some(source.place(span))
        });
        let (message, advice) = (message.into(), advice.into());
        self.found.push(Lint { code, subject: subject.name.clone(), place, message, advice });
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "warning[{}]: {}", self.code.code(), self.message)?;
        match &self.place {
            Some(place) => place.show(f, &self.advice),
            None => writeln!(f, "  = {}: {}", self.subject, self.advice),
        }
    }
}
