//! The binary `mainstay`: arguments, terminal output, exit codes, and nothing else.
//!
//! Exit codes: 0 done, 1 it didn't work, 2 what was given is wrong; 10 to 14 are those of `diagnose`.

mod admin;
mod args;
mod check;
mod demo;
mod diagnose;
mod exit;
mod explain;
mod incidents;
mod lab;
mod log;
mod messages;
mod outbox;
mod paper;
mod run;
mod shell;
mod simulate;
mod top;
mod which;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Lab(args) => lab::run(&args),
        Command::Diagnose(args) => diagnose::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Which(args) => which::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Incidents(args) => incidents::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Outbox(args) => outbox::run(&args),
        Command::Completions(args) => shell::completions(&args),
        Command::Man(args) => shell::man(&args),
    };
    done.unwrap_or_else(|failure| {
        eprintln!("{}", failure.message.trim_end());
        ExitCode::from(failure.code)
    })
}
