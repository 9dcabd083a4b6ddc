//! `mainstay explain`: what happened to a call, as a waterfall and in sentences.
//!
//! The record comes from a running proxy, or from the files that it writes (`source`). It is drawn by `draw`, in the
//! words of `words`, on the paper that the terminal offers.

mod draw;
mod list;
#[cfg(test)]
mod page;
mod source;
#[cfg(test)]
mod tests;
pub(crate) mod words;

pub(crate) use draw::call as waterfall;

use std::process::ExitCode;

use mainstay_record::CallId;

use crate::args::Explain;
use crate::exit::{Failure, print, text};
use crate::paper::Paper;

pub(crate) fn run(args: &Explain) -> Result<ExitCode, Failure> {
    let Some(id) = &args.id else { return list(args) };
    let id: CallId =
        id.trim().parse().map_err(|error| Failure::usage(format!("`{id}`: {error}")))?;
    let record = source::find(args, id)?;
    let told = if args.json {
        serde_json::to_string_pretty(&record).map_err(text)? + "\n"
    } else {
        draw::call(&record, &Paper::of_stdout(args.width))
    };
    print(&told)?;
    Ok(ExitCode::SUCCESS)
}

fn list(args: &Explain) -> Result<ExitCode, Failure> {
    let records = source::last(args)?;
    if args.json {
        for record in &records {
            print(&(serde_json::to_string(record).map_err(text)? + "\n"))?;
        }
    } else if records.is_empty() {
        let filters = [&args.outcome, &args.upstream, &args.code];
        let asked = filters.iter().any(|filter| filter.is_some());
        eprintln!("{}", if asked { "no such call is kept" } else { "no call has broken" });
    } else {
        print(&list::lines(&records, &Paper::of_list(args.width)))?;
    }
    Ok(ExitCode::SUCCESS)
}
