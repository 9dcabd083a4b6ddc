//! What is measured of a scenario: by the load, and by the oracle at the upstream.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use mainstay_lab::Snapshot;
use mainstay_lab::load::CallResult;
use mainstay_record::Census;

use crate::run::Ended;
use crate::scenario::{Limit, Scenario};
use crate::script::Value;

/// The figures of one proxy in one scenario.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) calls: usize,
    /// Whole, right, and no failure.
    pub(crate) good: usize,
    /// Passed for good, and have other content than the server's.
    pub(crate) wrong: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Requests that servers saw, for each call.
    pub(crate) amplification: f64,
    /// Writes without a key that were carried out more than once.
    pub(crate) duplicates: usize,
    /// Writes that were answered as done and never were.
    pub(crate) lost: usize,
    /// Streams that came whole, of how many.
    pub(crate) streams: Option<(usize, usize)>,
    /// From the break's start until calls are good again, while it lasts.
    pub(crate) masked: Back,
    /// The same from its end; nothing where it lasts as long as the load.
    pub(crate) recovered: Option<Back>,
    /// Whether the proxy says what broke; nothing where nothing has to break.
    pub(crate) explained: Option<bool>,
    /// Good and bad calls in each tenth of a second in which they were due.
    pub(crate) timeline: Vec<(u32, u32)>,
    /// How calls ended that weren't good.
    pub(crate) bad: BTreeMap<String, usize>,
    /// What doesn't agree between Mainstay's records and counters, the load and the oracle.
    pub(crate) problems: Vec<String>,
    pub(crate) census: Option<Census>,
}

/// When calls are good again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Back {
    /// After so long; at once if no call was bad.
    After(Duration),
    /// Not as long as anybody looked.
    #[default]
    Never,
}

impl Back {
    /// In seconds, endless if never.
    pub(crate) fn seconds(self) -> f64 {
        match self {
            Self::After(time) => time.as_secs_f64(),
            Self::Never => f64::INFINITY,
        }
    }
}

impl fmt::Display for Back {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(time) if time.is_zero() => f.write_str("0"),
            Self::After(time) => write!(f, "{:.1} s", time.as_secs_f64()),
            Self::Never => f.write_str("never"),
        }
    }
}

impl Figures {
    pub(crate) fn of(scenario: &Scenario, loads: &[Ended], books: &Snapshot) -> Self {
        let mut figures = Self::default();
        let mut took: Vec<Duration> = Vec::new();
        let mut bad_at: Vec<Duration> = Vec::new();
        for Ended { plan, calls } in loads {
            for call in calls {
                took.push(call.took);
                figures.add(call);
                if !is_good(call) {
                    bad_at.push(call.due_after);
                }
                let is_write = ["POST", "PATCH"].contains(&call.method.as_str());
                let times = executions(books, call);
                figures.duplicates += usize::from(is_write && !plan.keyed && times > 1);
                figures.lost += usize::from(is_write && is_good(call) && times == 0);
            }
            if plan.is_stream() {
                let whole = calls.iter().filter(|call| is_good(call)).count();
                let (so_far, of) = figures.streams.unwrap_or_default();
                figures.streams = Some((so_far + whole, of + calls.len()));
            }
        }
        took.sort_unstable();
        let at = |per_mille: usize| {
            let place = (took.len() * per_mille).div_ceil(1000).saturating_sub(1);
            took.get(place).copied().unwrap_or_default()
        };
        (figures.p50, figures.p99) = (at(500), at(990));
        let received: u64 = books.servers.values().map(|server| server.received).sum();
        figures.amplification = received as f64 / figures.calls.max(1) as f64;
        let (from, to) = scenario.window();
        let lasts = scenario.lasts();
        figures.masked = back(&bad_at, from, to.unwrap_or(lasts));
        figures.recovered = to.map(|to| back(&bad_at, to, lasts));
        figures
    }

    fn add(&mut self, call: &CallResult) {
        self.calls += 1;
        let place = (call.due_after.as_millis() / BIN_MILLIS) as usize;
        if self.timeline.len() <= place {
            self.timeline.resize(place + 1, (0, 0));
        }
        if is_good(call) {
            self.good += 1;
            self.timeline[place].0 += 1;
            return;
        }
        self.timeline[place].1 += 1;
        self.wrong += usize::from(call.is_good());
        let how = match (&call.ended, &call.problem, call.grpc) {
            _ if call.is_good() => "wrong content".to_owned(),
            (_, Some((code, certainty)), _) => format!("{code} ({certainty})"),
            (_, None, Some(status @ 1..)) => format!("grpc-status {status}"),
            (mainstay_lab::load::Ended::Answered { status, .. }, None, _) => status.to_string(),
            (other, None, _) => format!("{other:?}"),
        };
        *self.bad.entry(how).or_default() += 1;
    }

    /// The share of good calls, in percent.
    pub(crate) fn success(&self) -> f64 {
        100.0 * self.good as f64 / self.calls.max(1) as f64
    }

    /// Whether a limit is kept; if not, what is there instead.
    pub(crate) fn keeps(&self, limit: &Limit) -> Result<(), String> {
        let found = match limit.of.as_str() {
            "success" => self.success(),
            "p50" => self.p50.as_secs_f64(),
            "p99" => self.p99.as_secs_f64(),
            "amplification" => self.amplification,
            "masked" => self.masked.seconds(),
            "recovered" => self.recovered.unwrap_or_default().seconds(),
            "streams" => {
                let (whole, of) = self.streams.ok_or("there are no streams")?;
                100.0 * whole as f64 / of.max(1) as f64
            }
            other => return Err(format!("`{other}` isn't measured")),
        };
        let wanted = match limit.value {
            Value::Percent(share) => share,
            Value::Time(time) => time.as_secs_f64(),
            Value::Count(count) => count,
        };
        if limit.operator.holds(found, wanted) {
            return Ok(());
        }
        Err(format!("{} is {found:.3}, wanted {:?} {wanted}", limit.of, limit.operator))
    }

    /// What Mainstay has to keep in every scenario, and the scenario's own limits.
    pub(crate) fn misses(&self, scenario: &Scenario) -> Vec<String> {
        let mut misses: Vec<String> =
            scenario.limits.iter().filter_map(|limit| self.keeps(limit).err()).collect();
        for (what, count) in [
            ("writes were doubled", self.duplicates),
            ("writes were lost", self.lost),
            ("answers were wrong", self.wrong),
        ] {
            if count > 0 {
                misses.push(format!("{count} {what}"));
            }
        }
        if self.explained == Some(false) {
            misses.push("the break isn't named".to_owned());
        }
        misses.extend(self.problems.iter().cloned());
        misses
    }
}

/// Whether a call is what its application wanted.
pub(crate) fn is_good(call: &CallResult) -> bool {
    call.is_good() && call.is_right != Some(false)
}

/// How often a request was carried out.
pub(crate) fn executions(books: &Snapshot, call: &CallResult) -> u64 {
    let methods = books.requests.get(&call.id);
    methods.map_or(0, |methods| methods.values().map(|counts| counts.executed).sum())
}

/// How long after `from` the last bad call was due; never, if that was just before `to`.
fn back(bad_at: &[Duration], from: Duration, to: Duration) -> Back {
    let last = bad_at.iter().filter(|at| (from..to).contains(*at)).max();
    let Some(last) = last else { return Back::After(Duration::ZERO) };
    let after = *last - from;
    // What fails in the last tenth can't be known to have ended.
    if after * 10 > (to - from) * 9 { Back::Never } else { Back::After(after) }
}

/// How fine the timeline is.
pub(crate) const BIN_MILLIS: u128 = 100;

/// A break is masked when no more calls fail while it lasts.
pub(crate) fn check_back() -> Result<(), String> {
    let ms = Duration::from_millis;
    let bad = [ms(900), ms(1_200), ms(1_400), ms(3_100)];
    for (from, to, wanted) in [
        (1_000, 3_000, Back::After(ms(400))),
        (2_000, 3_000, Back::After(Duration::ZERO)),
        (1_000, 1_410, Back::Never),
    ] {
        let found = back(&bad, ms(from), ms(to));
        if found != wanted {
            return Err(format!("from {from} to {to}: {found}, not {wanted}"));
        }
    }
    Ok(())
}
