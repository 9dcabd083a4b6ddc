//! What came of a load.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{CallResult, Ended};

/// The results of a load, counted.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Calls made.
    pub calls: u64,
    /// Calls with a whole answer below 400.
    pub good: u64,
    /// Whole answers by status.
    pub by_status: BTreeMap<u16, u64>,
    /// Calls without a whole answer, by how they ended.
    pub without_answer: BTreeMap<&'static str, u64>,
    /// Calls that Mainstay gave up, by break code and certainty.
    pub problems: BTreeMap<String, u64>,
    #[serde(skip)]
    took: Vec<Duration>,
}

/// Times of calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    /// Half of the calls took at most so long.
    pub p50: Duration,
    /// 99 in 100.
    pub p99: Duration,
    /// All.
    pub max: Duration,
}

impl Summary {
    /// Counts one more.
    pub fn add(&mut self, result: &CallResult) {
        self.calls += 1;
        self.good += u64::from(result.is_good());
        self.took.push(result.took);
        match &result.ended {
            Ended::Answered { status, .. } => {
                *self.by_status.entry(status.as_u16()).or_default() += 1
            }
            Ended::NotConnected => *self.without_answer.entry("not-connected").or_default() += 1,
            Ended::Broken => *self.without_answer.entry("broken").or_default() += 1,
            Ended::Incomplete => *self.without_answer.entry("incomplete").or_default() += 1,
            Ended::TimedOut => *self.without_answer.entry("timed-out").or_default() += 1,
        }
        if let Some((code, certainty)) = &result.problem {
            *self.problems.entry(format!("{code} ({certainty})")).or_default() += 1;
        }
    }

    /// Calls that weren't good.
    #[must_use]
    pub fn bad(&self) -> u64 {
        self.calls - self.good
    }

    /// The times of all calls, counted from when they were due.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        let mut took = self.took.clone();
        took.sort_unstable();
        let at = |per_mille: usize| {
            let place = (took.len() * per_mille).div_ceil(1000).saturating_sub(1);
            took.get(place).copied().unwrap_or_default()
        };
        Percentiles { p50: at(500), p99: at(990), max: at(1000) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, StatusCode};

    fn summary(results: impl IntoIterator<Item = (Ended, u64)>) -> Summary {
        let mut summary = Summary::default();
        for (ended, millis) in results {
            summary.add(&CallResult {
                id: String::new(),
                method: Method::GET,
                due_after: Duration::ZERO,
                took: Duration::from_millis(millis),
                ended,
                call_id: None,
                attempts: None,
                problem: None,
                events: None,
                is_right: None,
                grpc: None,
            });
        }
        summary
    }

    #[test]
    fn only_whole_answers_below_400_are_good() {
        let answered = |status| Ended::Answered { status, body_bytes: 0 };
        let counted = summary([
            (answered(StatusCode::OK), 1),
            (answered(StatusCode::BAD_GATEWAY), 1),
            (Ended::Incomplete, 1),
            (Ended::TimedOut, 1),
        ]);
        assert_eq!((counted.calls, counted.good, counted.bad()), (4, 1, 3));
        assert_eq!(counted.without_answer["incomplete"], 1);
    }

    #[test]
    fn percentiles_are_those_of_the_calls() {
        let counted = summary((1..=200).map(|millis| (Ended::Broken, millis)));
        let Percentiles { p50, p99, max } = counted.percentiles();
        assert_eq!((p50.as_millis(), p99.as_millis(), max.as_millis()), (100, 198, 200));
        assert_eq!(Summary::default().percentiles(), Percentiles::default());
    }
}
