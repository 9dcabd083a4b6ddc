//! `mainstay simulate --tune`: which numbers would serve better in this world.

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use mainstay_sim::tune::{Knobs, Trial, front};
use mainstay_sim::{Policy, World};

use super::{refused, table};
use crate::exit::Failure;

pub(super) fn run(world: &World, policy: &Policy) -> Result<ExitCode, Failure> {
    let grid = Knobs::grid(policy);
    let bar = ProgressBar::new(grid.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos} of {len} settings tried") {
        bar.set_style(style);
    }
    let mut trials = Vec::with_capacity(grid.len());
    for knobs in grid {
        trials.push(knobs.try_in(world, policy, SEEDS).map_err(refused)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if trials.iter().any(|trial| trial.violations > 0) {
        return Err(Failure::of("rules of the engine were broken; run the world without --tune"));
    }
    show(world, &trials);
    Ok(ExitCode::SUCCESS)
}

fn show(world: &World, trials: &[Trial]) {
    println!("{}: {}", world.name, world.about);
    println!(
        "{} settings, {SEEDS} seeds each; nothing beats these in all three at once:",
        trials.len()
    );
    let front = front(trials);
    let now = trials.first().copied();
    for (number, trial) in (1..).zip(front.iter().take(MOST_SHOWN)) {
        let mark = if now == Some(*trial) { ", as it is now" } else { "" };
        println!("\n{number}. {}{mark}", line(trial));
        for line in trial.knobs.to_string().lines() {
            println!("     {line}");
        }
    }
    if let Some(more) = front.len().checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
        println!("\nand {more} more, less successful");
    }
    if let Some(now) = now.filter(|now| !front.contains(now)) {
        println!("\nAs it is now: {}", line(&now));
        for line in now.knobs.to_string().lines() {
            println!("     {line}");
        }
    }
}

fn line(trial: &Trial) -> String {
    format!(
        "success {:.3} %, p99 {}, extra load {:.2} %{}",
        trial.success_percent(),
        table::time(trial.p99),
        trial.extra_percent(),
        if trial.is_metastable { ", METASTABLE" } else { "" }
    )
}

/// One seed may be lucky.
const SEEDS: u32 = 3;

/// More than that nobody weighs against each other.
const MOST_SHOWN: usize = 8;
