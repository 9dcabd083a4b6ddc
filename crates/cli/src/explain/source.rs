//! Where records come from: a running proxy, or the files that one has written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use mainstay_record::{CallFilter, CallId, CallRecord, rotated};
use serde::Deserialize;

use crate::admin;
use crate::args::Explain;
use crate::exit::Failure;

#[derive(Deserialize)]
struct One {
    call: CallRecord,
}

#[derive(Deserialize)]
struct Many {
    calls: Vec<CallRecord>,
}

/// What is read of a proxy's status.
#[derive(Deserialize)]
struct Status {
    records: Option<Records>,
}

#[derive(Deserialize)]
struct Records {
    file: String,
}

/// The record of this call.
pub(super) fn find(args: &Explain, id: CallId) -> Result<CallRecord, Failure> {
    let Some(file) = &args.file else {
        let answer = admin::get(&args.admin, &format!("/calls/{id}"))?;
        if answer.status == 404 {
            return Err(no_record(args, id));
        }
        return admin::document::<One>(&answer).map(|one| one.call);
    };
    let mut found = None;
    let text = id.to_string();
    // The newest file first; within a file, the last line about the call.
    read(file, |line| {
        if line.contains(&text)
            && let Ok(record) = serde_json::from_str::<CallRecord>(line)
            && record.id == id
        {
            found = Some(record);
        }
    })?;
    found.ok_or_else(|| {
        Failure::of(format!("no record of call {id} in {} or its rotated files", file.display()))
    })
}

/// The proxy keeps no such record. Whether its records are on disk too decides on what helps.
fn no_record(args: &Explain, id: CallId) -> Failure {
    let message = format!(
        "no record of call {id}: nothing broke in it, or it was too long ago\n  = `mainstay explain` lists the calls \
         that are kept"
    );
    let status = admin::get(&args.admin, "/status");
    match status.and_then(|answer| admin::document::<Status>(&answer)) {
        Ok(Status { records: Some(records) }) => Failure::of(format!(
            "{message}\n  = older ones are on disk: `mainstay explain {id} --file {}`",
            records.file
        )),
        Ok(Status { records: None }) => Failure::of(format!(
            "{message}\n  = they are kept in memory only; with `[records] file = \"records.jsonl\"` in its config the \
             proxy writes them to disk too, where --file finds them"
        )),
        // The record is missed, whatever else goes wrong.
        Err(failure) => {
            Failure::of(format!("{message}\n  = its status is unknown: {}", failure.message))
        }
    }
}

/// The last broken calls that are asked for, the newest first.
pub(super) fn last(args: &Explain) -> Result<Vec<CallRecord>, Failure> {
    let filter = filter(args)?;
    let limit = filter.limit().unwrap_or(CallFilter::MOST);
    let Some(file) = &args.file else {
        let query = admin::query(&filter.parameters());
        let answer = admin::get(&args.admin, &format!("/calls?{query}"))?;
        // A proxy of an earlier version gives all of its calls, whatever is asked.
        return Ok(filter.pick(admin::document::<Many>(&answer)?.calls));
    };
    let mut last = VecDeque::new();
    read(file, |line| {
        if let Ok(record) = serde_json::from_str::<CallRecord>(line)
            && filter.takes(&record)
        {
            if last.len() == limit {
                last.pop_front();
            }
            last.push_back(record);
        }
    })?;
    Ok(last.into_iter().rev().collect())
}

/// The filter that the arguments make; a mistake is told by the argument's name.
fn filter(args: &Explain) -> Result<CallFilter, Failure> {
    let given = [
        ("limit", args.limit.as_deref().or(Some(DEFAULT_LIMIT))),
        ("outcome", args.outcome.as_deref()),
        ("upstream", args.upstream.as_deref()),
        ("code", args.code.as_deref()),
    ];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
    CallFilter::of(given).map_err(|wrong| Failure::usage(format!("--{wrong}")))
}

/// As many as a screen shows.
const DEFAULT_LIMIT: &str = "20";

/// Reads the lines of a file and of those that it was rotated into, from the oldest to the newest. A line that isn't
/// whole is the reader's to pass over.
fn read(file: &Path, mut each: impl FnMut(&str)) -> Result<(), Failure> {
    let older = (1..).map(|number| rotated(file, number)).take_while(|path| path.exists());
    let mut paths: Vec<_> = older.collect();
    paths.reverse();
    paths.push(file.to_path_buf());
    let failed = |path: &Path, error| Failure::of(format!("{}: {error}", path.display()));
    for path in &paths {
        let opened = match File::open(path) {
            // Between two files, while one is rotated away.
            Err(error) if error.kind() == ErrorKind::NotFound && paths.len() > 1 => continue,
            opened => opened.map_err(|error| failed(path, error))?,
        };
        for line in BufReader::new(opened).split(b'\n') {
            let line = line.map_err(|error| failed(path, error))?;
            if let Ok(line) = std::str::from_utf8(&line) {
                each(line);
            }
        }
    }
    Ok(())
}
