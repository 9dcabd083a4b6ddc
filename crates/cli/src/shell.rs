//! `mainstay completions` and `mainstay man`: what shells and `man` want to know, made of the same text as `--help`.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;

use crate::args::{Cli, Completions, Man};
use crate::exit::{Failure, print, text};

pub(crate) fn completions(args: &Completions) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mainstay", &mut script);
    print(&String::from_utf8(script).map_err(text)?)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(args: &Man) -> Result<ExitCode, Failure> {
    match &args.dir {
        Some(dir) => pages(dir).map_err(|error| {
            Failure::of(format!("pages can't be written to {}: {error}", dir.display()))
        })?,
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(text)?;
            print(&String::from_utf8(page).map_err(text)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One for the program and one for each command.
fn pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)?;
    writeln!(io::stderr(), "pages are in {}", dir.display())
}
