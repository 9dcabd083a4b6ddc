//! `mainstay explain`: what happened to a call, as a waterfall and in sentences.
//!
//! The record comes from a running proxy, or from the files that it writes (`source`). It is drawn by `draw`, in the
//! words of `words`, on the `paper` that the terminal offers.

mod draw;
mod list;
mod paper;
mod source;
#[cfg(test)]
mod tests;
mod words;

use std::process::ExitCode;

use mainstay_record::CallId;

use crate::args::Explain;
use crate::exit::{Failure, text};
use paper::Paper;

pub(crate) fn run(args: &Explain) -> Result<ExitCode, Failure> {
    let Some(id) = &args.id else { return list(args) };
    let id: CallId =
        id.trim().parse().map_err(|error| Failure::usage(format!("`{id}`: {error}")))?;
    let record = source::find(args, id)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&record).map_err(text)?);
    } else {
        print!("{}", draw::call(&record, &Paper::of_stdout(args.width)));
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &Explain) -> Result<ExitCode, Failure> {
    let records = source::last(args)?;
    if args.json {
        for record in &records {
            println!("{}", serde_json::to_string(record).map_err(text)?);
        }
    } else if records.is_empty() {
        eprintln!("no call has broken");
    } else {
        print!("{}", list::lines(&records, &Paper::of_stdout(args.width)));
    }
    Ok(ExitCode::SUCCESS)
}
