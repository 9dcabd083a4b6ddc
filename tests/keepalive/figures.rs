//! What a run is judged by.

use std::collections::BTreeMap;

use http::Method;
use mainstay_lab::load::CallResult;

use crate::support::Binary;

/// What came of one upstream's calls.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) duplicates: u64,
    reads: u64,
    reads_failed: BTreeMap<String, u64>,
    writes: u64,
    writes_failed: BTreeMap<String, u64>,
    /// Calls that failed after the limit was learned.
    late_failures: u64,
    /// When the limit was learned.
    learned_at: Option<Closes>,
    last: Closes,
}

/// Closes by the peer, as the pool counts them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Closes {
    met: u64,
    avoided: u64,
    seen: u64,
    is_learned: bool,
}

impl Closes {
    /// Those of an upstream's only endpoint until now.
    pub(crate) async fn of(binary: &Binary, upstream: &str) -> Result<Self, String> {
        let status = binary.admin("/status").await?;
        let upstreams = status["upstreams"].as_array().ok_or("no upstreams")?;
        let found = upstreams.iter().find(|one| one["name"] == upstream);
        let connections = &found.ok_or("no such upstream")?["endpoints"][0]["connections"];
        let count = |field: &str| connections[field].as_u64().ok_or_else(|| format!("no {field}"));
        Ok(Self {
            met: count("stale_met")?,
            avoided: count("stale_avoided")?,
            seen: count("closed_stale")?,
            is_learned: !connections["idle_limit_ms"].is_null(),
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            met: self.met - before.met,
            avoided: self.avoided - before.avoided,
            seen: self.seen - before.seen,
            ..self
        }
    }
}

impl Figures {
    pub(crate) fn of(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    pub(crate) fn add(&mut self, result: &CallResult) {
        let (count, failed) = match result.method {
            Method::GET => (&mut self.reads, &mut self.reads_failed),
            _ => (&mut self.writes, &mut self.writes_failed),
        };
        *count += 1;
        if !result.ended.is_good() {
            let why = match &result.problem {
                Some((code, certainty)) => format!("{code} ({certainty})"),
                None => format!("{:?}", result.ended),
            };
            *failed.entry(why).or_default() += 1;
            self.late_failures += u64::from(self.learned_at.is_some());
        }
    }

    pub(crate) fn note(&mut self, closes: Closes) {
        if closes.is_learned && self.learned_at.is_none() {
            self.learned_at = Some(closes);
        }
        self.last = closes;
    }

    /// No read failed and nothing was doubled. A write that failed is told as one whose outcome is unknown: the server's system had taken it
    /// in before the end, and nobody can tell that from a request that was read. After learning, fewer than one in a hundred closes
    /// is met.
    pub(crate) fn wrong(&self) -> Result<(), String> {
        let is_honest = self.writes_failed.keys().all(|why| why.ends_with("(maybe-processed)"));
        let after = self.learned_at.map(|learned_at| self.last.since(learned_at));
        let after = after.filter(|after| after.avoided >= ENOUGH);
        let is_learned = after.is_none_or(|after| after.met * 100 < after.avoided);
        if self.reads_failed.is_empty() && self.duplicates == 0 && is_honest && is_learned {
            Ok(())
        } else {
            Err(format!("{self:?}"))
        }
    }
}

/// Closes of which a hundredth can be told.
const ENOUGH: u64 = 300;

/// The table of the manual.
pub(crate) fn table(all: &[Figures], seconds: u64) -> String {
    let mut out = format!(
        "{seconds} s; closes met by a request, avoided, and seen while idle\n\n\
         | server | reads, failed | writes, failed | failed after learning | doubled | before learning: met, avoided, seen | after: met, avoided, seen | met / avoided |\n\
         |---|---|---|---|---|---|---|---|\n"
    );
    for one in all {
        let (before, after) = match one.learned_at {
            Some(learned_at) => (learned_at, Some(one.last.since(learned_at))),
            None => (one.last, None),
        };
        let closes =
            |closes: Closes| format!("{}, {}, {}", closes.met, closes.avoided, closes.seen);
        let share = after.filter(|after| after.avoided > 0);
        out.push_str(&format!(
            "| `{}` | {}, {} | {}, {}{} | {} | {} | {} | {} | {} |\n",
            one.name,
            one.reads,
            total(&one.reads_failed),
            one.writes,
            total(&one.writes_failed),
            shown(&one.writes_failed),
            one.learned_at.map_or_else(|| "-".to_owned(), |_| one.late_failures.to_string()),
            one.duplicates,
            closes(before),
            after.map_or_else(|| "-".to_owned(), closes),
            share.map_or_else(
                || "-".to_owned(),
                |after| format!("{:.2} %", 100.0 * after.met as f64 / after.avoided as f64)
            ),
        ));
    }
    out
}

fn total(failed: &BTreeMap<String, u64>) -> u64 {
    failed.values().sum()
}

fn shown(failed: &BTreeMap<String, u64>) -> String {
    failed.iter().map(|(why, count)| format!("; {count} {why}")).collect()
}
