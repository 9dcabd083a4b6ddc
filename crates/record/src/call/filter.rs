//! Which records are wanted: the filter that the admin address and the command line share.
//!
//! It is made of named parameters, as a query has them. A wrong one is told with its name, its value and what is allowed: a filter
//! that is half understood would show the wrong calls.

use mainstay_core::BreakKind;

use super::CallRecord;

/// Which records are wanted, and how many. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallFilter {
    limit: Option<usize>,
    outcome: Option<CallOutcome>,
    upstream: Option<String>,
    code: Option<BreakKind>,
}

/// How a broken call ended, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The application got an answer of the upstream, whatever broke before or in it.
    Delivered,
    /// It got a good one, whole, thanks to a retry or a failover.
    Saved,
    /// It got a broken attempt's own answer.
    AsIs,
    /// The body of its answer broke.
    Cut,
    /// It got no answer of the upstream.
    Failed,
}

/// A parameter that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongFilter {
    /// Its name.
    pub parameter: String,
    /// What was given.
    pub value: String,
    /// What is wrong with it.
    pub why: &'static str,
    /// What is allowed instead.
    pub allowed: String,
}

impl CallFilter {
    /// The parameters that there are.
    pub const PARAMETERS: [&'static str; 4] = ["limit", "outcome", "upstream", "code"];

    /// The largest `limit`: all that is kept, at its largest.
    pub const MOST: usize = 10_000;

    /// The filter that these parameters make, each given once.
    ///
    /// # Errors
    ///
    /// The first that can't be used.
    pub fn of<'p>(
        parameters: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Result<Self, WrongFilter> {
        let mut filter = Self::default();
        for (name, value) in parameters {
            filter.add(name, value)?;
        }
        Ok(filter)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), WrongFilter> {
        let wrong = |why, allowed: String| WrongFilter::new(name, value, why, allowed);
        let is_new = match name {
            "limit" => {
                let range = 1..=Self::MOST;
                let limit = value.parse().ok().filter(|limit| range.contains(limit));
                let allowed = || format!("a whole number, 1 to {}", Self::MOST);
                let limit = limit.ok_or_else(|| wrong("that is no limit", allowed()))?;
                self.limit.replace(limit).is_none()
            }
            "outcome" => {
                let outcome = CallOutcome::from_code(value);
                let allowed = || CallOutcome::ALL.map(CallOutcome::code).join(", ");
                let outcome =
                    outcome.ok_or_else(|| wrong("there is no such outcome", allowed()))?;
                self.outcome.replace(outcome).is_none()
            }
            "upstream" => {
                if value.is_empty() {
                    return Err(wrong("that names nothing", "the name of an upstream".into()));
                }
                self.upstream.replace(value.to_owned()).is_none()
            }
            "code" => {
                let kind = BreakKind::from_code(value);
                let allowed = || BreakKind::ALL.map(BreakKind::code).join(", ");
                let kind = kind.ok_or_else(|| wrong("there is no such break code", allowed()))?;
                self.code.replace(kind).is_none()
            }
            _ => return Err(wrong("there is no such filter", Self::PARAMETERS.join(", "))),
        };
        if is_new { Ok(()) } else { Err(wrong("that is given twice", "each once".into())) }
    }

    /// The parameters that make this filter.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let limit = self.limit.map(|limit| ("limit", limit.to_string()));
        let outcome = self.outcome.map(|outcome| ("outcome", outcome.code().to_owned()));
        let upstream = self.upstream.clone().map(|upstream| ("upstream", upstream));
        let code = self.code.map(|kind| ("code", kind.code().to_owned()));
        [limit, outcome, upstream, code].into_iter().flatten().collect()
    }

    /// How many are wanted at most.
    #[must_use]
    pub const fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// The upstream whose calls are wanted.
    #[must_use]
    pub fn upstream(&self) -> Option<&str> {
        self.upstream.as_deref()
    }

    /// Whether this record is wanted.
    #[must_use]
    pub fn takes(&self, record: &CallRecord) -> bool {
        self.outcome.is_none_or(|outcome| outcome.is_that_of(record))
            && self.upstream.as_ref().is_none_or(|name| **name == *record.upstream)
            && self.code.is_none_or(|kind| broke_by(record, kind.code()))
    }

    /// The wanted ones among these, which come in the order in which they are wanted.
    #[must_use]
    pub fn pick(&self, records: impl IntoIterator<Item = CallRecord>) -> Vec<CallRecord> {
        let wanted = records.into_iter().filter(|record| self.takes(record));
        wanted.take(self.limit.unwrap_or(usize::MAX)).collect()
    }
}

impl CallOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [Self::Delivered, Self::Saved, Self::AsIs, Self::Cut, Self::Failed];

    /// What it is called. It never changes its meaning.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Saved => "saved",
            Self::AsIs => "as_is",
            Self::Cut => "cut",
            Self::Failed => "failed",
        }
    }

    /// The outcome of this name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.code() == code)
    }

    fn is_that_of(self, record: &CallRecord) -> bool {
        // Whoever stops reading has what it wanted.
        let is_cut = record.body_broke.as_ref().is_some_and(|code| code != "client-gone");
        match self {
            Self::Delivered => record.outcome == "delivered",
            Self::Saved => record.outcome == "delivered" && record.saved.is_some() && !is_cut,
            Self::AsIs => record.outcome == "as_is",
            Self::Cut => is_cut,
            Self::Failed => record.outcome == "failed",
        }
    }
}

/// Whether anything in the call broke in this way.
fn broke_by(record: &CallRecord, code: &str) -> bool {
    let ends = record.code.iter().chain(&record.body_broke);
    let mut codes = ends.chain(record.attempts.iter().filter_map(|attempt| attempt.code.as_ref()));
    codes.any(|broke| broke == code)
}

impl WrongFilter {
    /// A parameter and what was given, with what is wrong with it and what is allowed instead.
    pub fn new(
        parameter: &str,
        value: &str,
        why: &'static str,
        allowed: impl Into<String>,
    ) -> Self {
        Self {
            parameter: parameter.to_owned(),
            value: value.to_owned(),
            why,
            allowed: allowed.into(),
        }
    }
}

impl std::fmt::Display for WrongFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { parameter, value, why, allowed } = self;
        write!(f, "{parameter}={value}: {why}; allowed: {allowed}")
    }
}

impl std::error::Error for WrongFilter {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AttemptRecord;

    fn record(upstream: &str, outcome: &'static str, code: &'static str) -> CallRecord {
        let attempt = AttemptRecord { code: Some(code.into()), ..AttemptRecord::default() };
        CallRecord {
            v: 1,
            id: "dc590237fc156eeb".parse().unwrap(),
            route: "r".into(),
            upstream: upstream.into(),
            method: "GET".into(),
            path: "/".into(),
            started_unix_ms: 0,
            took_ms: None,
            outcome: outcome.into(),
            status: None,
            saved: None,
            code: None,
            certainty: None,
            stopped: None,
            body_broke: None,
            healed: None,
            cut: None,
            upload_resumed: None,
            upload_not_resumed: None,
            body_unrepeatable: false,
            attempts: vec![attempt],
            notes: Vec::new(),
            holds: Vec::new(),
            hedge_refused: None,
            degraded: None,
            tunnel: None,
            events_dropped: 0,
        }
    }

    #[track_caller]
    fn check(parameters: &[(&str, &str)], record: &CallRecord, taken: bool) {
        let filter = CallFilter::of(parameters.iter().copied()).unwrap();
        assert_eq!(filter.takes(record), taken, "{parameters:?}");
    }

    #[test]
    fn each_condition_must_hold() {
        let failed = record("api", "failed", "connect-refused");
        check(&[], &failed, true);
        let all = [("outcome", "failed"), ("upstream", "api"), ("code", "connect-refused")];
        check(&all, &failed, true);
        check(&[("outcome", "saved")], &failed, false);
        check(&[("upstream", "apis")], &failed, false);
        check(&[("code", "throttled")], &failed, false);
        check(&[("upstream", "api"), ("code", "throttled")], &failed, false);
    }

    #[test]
    fn a_code_is_found_in_attempts_in_the_end_and_in_the_body() {
        let mut call = record("api", "delivered", "connect-refused");
        check(&[("code", "body-reset")], &call, false);
        call.body_broke = Some("body-reset".into());
        check(&[("code", "body-reset")], &call, true);
        call.code = Some("breaker-open".into());
        check(&[("code", "breaker-open")], &call, true);
        check(&[("code", "connect-refused")], &call, true);
    }

    #[test]
    fn a_saved_call_whose_body_broke_is_cut_and_not_saved() {
        let mut call = record("api", "delivered", "connect-refused");
        check(&[("outcome", "saved")], &call, false);
        call.saved = Some("retry".into());
        check(&[("outcome", "saved")], &call, true);
        call.body_broke = Some("client-gone".into());
        check(&[("outcome", "saved")], &call, true);
        check(&[("outcome", "cut")], &call, false);
        call.body_broke = Some("body-stalled".into());
        check(&[("outcome", "saved")], &call, false);
        check(&[("outcome", "cut")], &call, true);
        check(&[("outcome", "delivered")], &call, true);
    }

    #[test]
    fn the_limit_counts_what_is_taken() {
        let filter = CallFilter::of([("upstream", "b"), ("limit", "2")]).unwrap();
        let records = ["a", "b", "a", "b", "b"].map(|name| record(name, "failed", "throttled"));
        assert_eq!(filter.pick(records).len(), 2);
    }

    #[test]
    fn a_wrong_parameter_is_told_with_its_value_and_what_is_allowed() {
        let told = |name, value| CallFilter::of([(name, value)]).unwrap_err().to_string();
        for value in ["0", "10001", "many", "", "-1"] {
            let wanted =
                format!("limit={value}: that is no limit; allowed: a whole number, 1 to 10000");
            assert_eq!(told("limit", value), wanted);
        }
        assert_eq!(
            told("outcome", "bad"),
            "outcome=bad: there is no such outcome; allowed: delivered, saved, as_is, cut, failed"
        );
        assert!(told("code", "nope").contains("name-not-found, no-address"));
        assert_eq!(
            told("colour", "red"),
            "colour=red: there is no such filter; allowed: limit, outcome, upstream, code"
        );
        let twice = CallFilter::of([("code", "throttled"), ("code", "throttled")]).unwrap_err();
        assert_eq!(twice.why, "that is given twice");
    }

    #[test]
    fn a_filter_gives_the_parameters_that_make_it() {
        let parameters =
            [("limit", "7"), ("outcome", "cut"), ("upstream", "a b"), ("code", "go-away")];
        let filter = CallFilter::of(parameters).unwrap();
        let again = filter.parameters();
        let again = again.iter().map(|(name, value)| (*name, value.as_str()));
        assert_eq!(CallFilter::of(again), Ok(filter.clone()));
    }
}
