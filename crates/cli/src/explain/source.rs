//! Where records come from: a running proxy, or the files that one has written.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;

use mainstay_record::{CallId, CallRecord, rotated};
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

/// The record of this call.
pub(super) fn find(args: &Explain, id: CallId) -> Result<CallRecord, Failure> {
    let Some(file) = &args.file else {
        let answer = admin::get(&args.admin, &format!("/calls/{id}"))?;
        if answer.status == 404 {
            return Err(Failure::of(format!(
                "no record of call {id}: nothing broke in it, or it was too long ago\n  = `mainstay explain` \
                 lists the calls that are kept"
            )));
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

/// The last broken calls, the newest first.
pub(super) fn last(args: &Explain) -> Result<Vec<CallRecord>, Failure> {
    let limit = usize::from(args.limit);
    let Some(file) = &args.file else {
        let answer = admin::get(&args.admin, &format!("/calls?limit={limit}"))?;
        let mut calls = admin::document::<Many>(&answer)?.calls;
        calls.truncate(limit);
        return Ok(calls);
    };
    let mut last = VecDeque::new();
    read(file, |line| {
        if let Ok(record) = serde_json::from_str::<CallRecord>(line) {
            if last.len() == limit {
                last.pop_front();
            }
            last.push_back(record);
        }
    })?;
    Ok(last.into_iter().rev().collect())
}

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
