//! The whole suite, as `cargo xtask breaks` asks for it.

use std::env::var;
use std::path::{Path, PathBuf};

use crate::census::Reached;
use crate::noise::Moment;
use crate::proxies::{Proxy, System};
use crate::report::{self, Results, Row};
use crate::run::{self, Outcome};
use crate::scenario::Scenario;
use crate::support::text;

/// What was asked for. `xtask` has checked the words.
#[derive(Debug)]
pub(crate) struct Asked {
    against: Vec<System>,
    only: String,
    repeat: usize,
    markdown: Option<PathBuf>,
    html: Option<PathBuf>,
    /// Where the proxies' configs and logs are kept.
    logs: Option<PathBuf>,
    /// The command line.
    typed: String,
}

impl Asked {
    /// Nothing, if only the test suite is run.
    pub(crate) fn from_environment() -> Option<Result<Self, String>> {
        let typed = var("MAINSTAY_BREAKS").ok()?;
        Some(Self::read(typed))
    }

    fn read(typed: String) -> Result<Self, String> {
        let word = |name: &str| var(format!("MAINSTAY_BREAKS_{name}")).unwrap_or_default();
        let against = word("AGAINST");
        let names = against.split(',').filter(|name| !name.is_empty());
        let file = |name: &str| Some(word(name)).filter(|path| !path.is_empty()).map(PathBuf::from);
        Ok(Self {
            against: names.map(System::named).collect::<Result<_, _>>()?,
            only: word("ONLY"),
            repeat: word("REPEAT").parse().map_err(text)?,
            markdown: file("MARKDOWN"),
            html: file("HTML"),
            logs: file("LOGS"),
            typed,
        })
    }
}

/// Runs it and tells it; fails where Mainstay misses something.
pub(crate) fn run(asked: &Asked) -> Result<(), String> {
    let versions = systems(&asked.against)?;
    let systems: Vec<System> = versions.iter().map(|(system, _)| *system).collect();
    let scenarios: Vec<Scenario> = Scenario::all()?
        .into_iter()
        .filter(|scenario| asked.only.is_empty() || matches(&asked.only, &scenario.name))
        .collect();
    if scenarios.is_empty() && asked.only != "census" {
        return Err(format!("no scenario is called {}", asked.only));
    }
    let begun = std::time::Instant::now();
    let mut reached = Reached::default();
    let mut rows = Vec::new();
    let mut others = Vec::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        let mut rounds: Vec<Vec<(System, Outcome)>> = Vec::new();
        for _ in 0..asked.repeat {
            let before = Moment::now()?;
            let outcomes = run::side_by_side(scenario, &systems, asked.logs.as_deref());
            others.push(Moment::now()?.others_since(before));
            for (system, outcome) in &outcomes {
                if let (Proxy::Mainstay, Outcome::Ran(figures)) = (system.proxy, outcome)
                    && let Some(census) = &figures.census
                {
                    reached.add(census);
                }
            }
            rounds.push(outcomes);
        }
        let row = Row::of(scenario, rounds);
        eprintln!("=== {} of {}: {}", number + 1, scenarios.len(), report::terminal::row(&row));
        rows.push(row);
    }
    let is_whole = asked.only.is_empty();
    let mut wrong = Vec::new();
    if is_whole || asked.only == "census" {
        wrong = census(&mut reached, asked.logs.as_deref())?;
        wrong.extend(reached.wrong());
    }
    let results = Results {
        typed: asked.typed.clone(),
        systems,
        versions,
        rows,
        others: median(&mut others),
        seconds: begun.elapsed().as_secs_f64(),
        census: is_whole.then(|| reached.summary()),
        missed_by_census: wrong,
    };
    println!("\n{}", report::markdown::text(&results));
    if let Some(file) = &asked.markdown {
        report::markdown::write(file, &results)?;
    }
    if let Some(file) = &asked.html {
        std::fs::write(file, report::page::text(&results)).map_err(text)?;
        eprintln!("=== timelines: {}", file.display());
    }
    verdict(&results)
}

/// Runs what is there for the census alone; what Mainstay misses.
fn census(reached: &mut Reached, keep: Option<&Path>) -> Result<Vec<String>, String> {
    let scenarios = Scenario::of_census()?;
    let mut wrong = Vec::new();
    for some in scenarios.chunks(AT_ONCE) {
        for (scenario, outcome) in some.iter().zip(run::alone(some, keep)) {
            let mut note = |why: String| wrong.push(format!("{}: {why}", scenario.name));
            match outcome {
                Outcome::Ran(figures) => {
                    figures.misses(scenario).into_iter().for_each(&mut note);
                    if let Some(census) = &figures.census {
                        reached.add(census);
                    }
                }
                Outcome::Failed(why) | Outcome::LeftOut(why) => note(why),
            }
        }
    }
    eprintln!("=== census: {}", reached.summary());
    Ok(wrong)
}

/// Mainstay, and those of the others that can be had, with their versions; what can't is said.
fn systems(against: &[System]) -> Result<Vec<(System, String)>, String> {
    let mut versions = vec![(System::MAINSTAY, System::MAINSTAY.version()?)];
    for system in against {
        match system.version() {
            Ok(version) => versions.push((*system, version)),
            Err(why) => eprintln!("=== {system} is left out: {why}"),
        }
    }
    Ok(versions)
}

fn verdict(results: &Results) -> Result<(), String> {
    let mut wrong = results.missed_by_census.clone();
    for row in &results.rows {
        wrong.extend(row.misses.iter().map(|miss| format!("{}: {miss}", row.name)));
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("Mainstay misses\n  {}", wrong.join("\n  ")))
    }
}

/// Whether a name fits a pattern in which `*` is anything; several are separated by commas.
fn matches(pattern: &str, name: &str) -> bool {
    pattern.split(',').any(|pattern| match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => {
            let rest = name.strip_prefix(before);
            rest.is_some_and(|rest| {
                (0..=rest.len())
                    .any(|from| rest.get(from..).is_some_and(|rest| matches(after, rest)))
            })
        }
    })
}

/// So many of these small scenarios share the cores.
const AT_ONCE: usize = 6;

fn median(shares: &mut [f64]) -> f64 {
    shares.sort_by(f64::total_cmp);
    shares.get(shares.len() / 2).copied().unwrap_or_default()
}
