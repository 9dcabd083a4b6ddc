//! What is said about the results: in the terminal, in the manual, and on a page with timelines.

pub(crate) mod markdown;
pub(crate) mod page;
pub(crate) mod terminal;

use std::time::Duration;

use crate::figures::{Back, Figures};
use crate::proxies::{Proxy, System};
use crate::run::Outcome;
use crate::scenario::Scenario;

/// Everything that one run found.
pub(crate) struct Results {
    pub(crate) typed: String,
    pub(crate) systems: Vec<System>,
    pub(crate) versions: Vec<(System, String)>,
    pub(crate) rows: Vec<Row>,
    /// The share of the machine that others had, in the median scenario.
    pub(crate) others: f64,
    pub(crate) seconds: f64,
    pub(crate) census: Option<String>,
    pub(crate) missed_by_census: Vec<String>,
}

/// One scenario.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) category: String,
    pub(crate) why: String,
    pub(crate) window: (Duration, Option<Duration>),
    pub(crate) lasts: Duration,
    /// In the order of the systems.
    pub(crate) cells: Vec<(System, Cell)>,
    /// What Mainstay had to reach and didn't, in any round.
    pub(crate) misses: Vec<String>,
}

/// What one proxy did in it.
pub(crate) enum Cell {
    /// Nothing, and why.
    None(String),
    /// The round whose success is the median.
    Figures(Box<Figures>),
}

impl Row {
    pub(crate) fn of(scenario: &Scenario, rounds: Vec<Vec<(System, Outcome)>>) -> Self {
        let mut misses = Vec::new();
        let mut by_system: Vec<(System, Vec<Figures>, Option<String>)> = Vec::new();
        for (system, outcome) in rounds.into_iter().flatten() {
            let place = by_system.iter().position(|(known, ..)| *known == system);
            let place = place.unwrap_or_else(|| {
                by_system.push((system, Vec::new(), None));
                by_system.len() - 1
            });
            match outcome {
                Outcome::Ran(figures) => {
                    if system.proxy == Proxy::Mainstay {
                        misses.extend(figures.misses(scenario));
                    }
                    by_system[place].1.push(*figures);
                }
                Outcome::Failed(why) => {
                    if system.proxy == Proxy::Mainstay {
                        misses.push(why.clone());
                    }
                    eprintln!("=== {}: {system}: {why}", scenario.name);
                    by_system[place].2 = Some("it couldn't be run".to_owned());
                }
                Outcome::LeftOut(why) => by_system[place].2 = Some(why),
            }
        }
        let cell = |mut all: Vec<Figures>, why: Option<String>| {
            all.sort_by_key(|figures| figures.good);
            let middle = all.len() / 2;
            match all.into_iter().nth(middle) {
                Some(figures) => Cell::Figures(Box::new(figures)),
                None => Cell::None(why.unwrap_or_default()),
            }
        };
        let cells = by_system.into_iter().map(|(system, all, why)| (system, cell(all, why)));
        Self {
            name: scenario.name.clone(),
            category: scenario.category.clone(),
            why: scenario.why.clone(),
            window: scenario.window(),
            lasts: scenario.lasts(),
            cells: cells.collect(),
            misses,
        }
    }

    /// The figures of a system, if it took part.
    pub(crate) fn figures(&self, system: System) -> Option<&Figures> {
        self.cells.iter().find(|(other, _)| *other == system).and_then(|(_, cell)| match cell {
            Cell::Figures(figures) => Some(&**figures),
            Cell::None(_) => None,
        })
    }

    /// How a peer's result stands beside Mainstay's.
    pub(crate) fn beside(&self, peer: System) -> Option<Beside> {
        let (ours, theirs) = (self.figures(System::MAINSTAY)?, self.figures(peer)?);
        Some(Beside::of(ours, theirs))
    }
}

/// A comparison of two results in one scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Better,
    AsGood,
    Worse,
}

impl Beside {
    /// By what an application feels, in this order: wrong, doubled and lost; calls that fail; then time.
    fn of(ours: &Figures, theirs: &Figures) -> Self {
        let harm = |figures: &Figures| figures.wrong + figures.duplicates + figures.lost;
        if harm(ours) != harm(theirs) {
            return if harm(theirs) < harm(ours) { Self::Better } else { Self::Worse };
        }
        let more = theirs.success() - ours.success();
        if more.abs() > SAME_POINTS {
            return if more > 0.0 { Self::Better } else { Self::Worse };
        }
        let late = |figures: &Figures| {
            let recovered = figures.recovered.unwrap_or(Back::After(Duration::ZERO));
            figures.p99.as_secs_f64() + recovered.seconds().min(NEVER_SECONDS)
        };
        let (ours, theirs) = (late(ours), late(theirs));
        match theirs - ours {
            gap if gap < -SAME_SECONDS && theirs * 2.0 < ours => Self::Better,
            gap if gap > SAME_SECONDS && theirs > ours * 2.0 => Self::Worse,
            _ => Self::AsGood,
        }
    }
}

/// One call in three hundred is chance.
const SAME_POINTS: f64 = 0.5;
/// So is a tenth of a second, on a machine that all share.
const SAME_SECONDS: f64 = 0.1;
/// Longer than any scenario.
const NEVER_SECONDS: f64 = 30.0;

/// A share in percent: 100 only if it is all of them.
pub(crate) fn percent(good: usize, of: usize) -> String {
    let share = 100.0 * good as f64 / of.max(1) as f64;
    match good == of {
        true => "100 %".to_owned(),
        false => format!("{:.1} %", share.min(99.9)),
    }
}

pub(crate) fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}
