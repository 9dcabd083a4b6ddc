//! `mainstay simulate`: what a policy would do in a world, in seconds instead of weeks.

mod chart;
mod html;
mod table;
mod tune;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use mainstay_sim::outcome::Assertion;
use mainstay_sim::{Checks, Policy, PolicyError, Report, Simulation, World, ready};

use crate::args::Simulate;
use crate::exit::{Failure, text};

pub(crate) fn run(args: &Simulate) -> Result<ExitCode, Failure> {
    if args.list {
        table::list();
        return Ok(ExitCode::SUCCESS);
    }
    let (source, folder) = source(args)?;
    if args.print {
        print!("{source}");
        return Ok(ExitCode::SUCCESS);
    }
    let assertions: Vec<Assertion> = args
        .assert
        .iter()
        .map(|it| it.parse().map_err(Failure::usage))
        .collect::<Result<_, _>>()?;
    let world = world(args, &source, folder)?;
    let mut policies = vec![match &args.config {
        Some(file) => policy(file, args.upstream.as_deref(), &world)?,
        None => Policy::defaults(&world).map_err(refused)?,
    }];
    if args.tune {
        return match policies.first() {
            Some(policy) => tune::run(&world, policy),
            None => Ok(ExitCode::SUCCESS),
        };
    }
    if let Some(file) = &args.compare {
        policies.push(policy(file, args.upstream.as_deref(), &world)?);
    }
    let reports: Vec<Report> = policies.iter().map(|policy| simulate(&world, policy)).collect();
    print!("{}", table::Table { world: &world, reports: &reports });
    if let Some(file) = &args.json {
        let json = serde_json::to_string_pretty(&reports).map_err(text)?;
        write(file, &(json + "\n"))?;
    }
    if let Some(file) = &args.html {
        write(file, &html::page(&world, &reports))?;
    }
    // What is compared with is there to be looked at; the policy itself has to hold.
    let Some(report) = reports.first() else { return Ok(ExitCode::SUCCESS) };
    let hold = table::assertions(&assertions, report);
    let violations: u64 = reports.iter().map(|report| report.violations.0).sum();
    if violations > 0 {
        return Err(defect(&reports));
    }
    Ok(if hold { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The world's text, and the folder that its files are relative to.
fn source(args: &Simulate) -> Result<(String, Option<&Path>), Failure> {
    if let Some(name) = &args.world {
        let known = || ready::WORLDS.iter().map(|world| world.name).collect::<Vec<_>>().join(", ");
        let unknown = || Failure::usage(format!("no world `{name}`; there are {}", known()));
        return Ok((ready::world(name).ok_or_else(unknown)?.text.to_owned(), None));
    }
    let file = args.file.as_deref().ok_or_else(|| Failure::usage("give it a world"))?;
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    Ok((text, file.parent()))
}

fn world(args: &Simulate, source: &str, folder: Option<&Path>) -> Result<World, Failure> {
    let name = args.file.as_deref().unwrap_or_else(|| Path::new(""));
    let mut world = World::parse(source, folder).map_err(|invalid| {
        let lines = invalid.problems().iter().map(|problem| format!("error: {problem}"));
        let message = format!("{}\n --> {}", lines.collect::<Vec<_>>().join("\n"), name.display());
        Failure { message, code: 2 }
    })?;
    if world.name.is_empty() {
        world.name = name.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    }
    world.seed = args.seed.unwrap_or(world.seed);
    Ok(world)
}

fn policy(file: &Path, upstream: Option<&str>, world: &World) -> Result<Policy, Failure> {
    let loaded = mainstay_config::load(file).map_err(|errors| Failure::settings(&errors))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    Policy::of(&name, &loaded.settings, upstream, world).map_err(refused)
}

fn refused(error: PolicyError) -> Failure {
    match &error {
        PolicyError::Settings(errors) => Failure::settings(errors),
        _ => Failure::usage(error),
    }
}

/// Runs a world to its end, with a bar while it goes, if somebody looks.
fn simulate(world: &World, policy: &Policy) -> Report {
    let bar = ProgressBar::new(SLICES.into());
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {percent:>3} % {msg}") {
        bar.set_style(style);
    }
    bar.set_message(policy.name.clone());
    let begun = Instant::now();
    let mut run = Simulation::new(world, policy, Checks::Often);
    for slice in 1..=SLICES {
        run.run_until(world.duration * slice / SLICES);
        bar.inc(1);
    }
    run.run_until(Duration::MAX);
    let report = run.finish();
    bar.finish_and_clear();
    let took = begun.elapsed().as_secs_f64();
    let each_minute = report.calls as f64 / took.max(1e-9) * 60.0 / 1e6;
    eprintln!(
        "{}: {} calls in {took:.2} s, {each_minute:.1} million a minute",
        policy.name, report.calls
    );
    report
}

fn defect(reports: &[Report]) -> Failure {
    let all = reports.iter().flat_map(|report| &report.violations.1);
    let lines: Vec<_> = all.map(|it| format!("  {:?}: {}", it.at, it.what)).collect();
    Failure::of(format!(
        "rules of the engine were broken; please report this, with the world, the config and the seed:\n{}",
        lines.join("\n")
    ))
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(file, text)
        .map_err(|error| Failure::of(format!("{}: {error}", file.display())))?;
    eprintln!("written to {}", file.display());
    Ok(())
}

/// How often the bar moves.
const SLICES: u32 = 100;
