//! `mainstay incidents`: what broke, since when, why, what it cost and what ended it, asked of a running proxy.

mod tell;

use std::process::ExitCode;

use mainstay_record::Incident;
use serde::Deserialize;
use serde_json::Value;

use crate::admin::{document, get, query};
use crate::args::Incidents;
use crate::exit::{Failure, print};

/// The document of `/incidents`.
#[derive(Debug, Deserialize)]
struct List {
    incidents: Vec<Incident>,
}

/// The document of `/incidents/ID`.
#[derive(Debug, Deserialize)]
struct Detail {
    incident: Incident,
    group: Vec<Incident>,
    changes: Vec<Value>,
    calls: Vec<Value>,
}

pub(crate) fn run(args: &Incidents) -> Result<ExitCode, Failure> {
    match &args.id {
        Some(id) => show(args, id)?,
        None => list(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(args: &Incidents) -> Result<(), Failure> {
    let mut parameters = Vec::new();
    if args.open {
        parameters.push(("state", "open".to_owned()));
    }
    parameters.extend(args.upstream.iter().map(|name| ("upstream", name.clone())));
    parameters.extend(args.limit.map(|limit| ("limit", limit.to_string())));
    let answer = get(&args.admin, &format!("/incidents?{}", query(&parameters)))?;
    if args.json {
        let value: Value = document(&answer)?;
        return print(&format!("{value:#}\n"));
    }
    let List { incidents } = document(&answer)?;
    if incidents.is_empty() {
        eprintln!(
            "{}",
            if parameters.is_empty() { "nothing has broken for long" } else { "there are none" }
        );
        return Ok(());
    }
    print(&tell::list(&incidents))
}

fn show(args: &Incidents, id: &str) -> Result<(), Failure> {
    let name = id.trim();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failure::usage(format!("`{id}` is no incident's name: they are like i7")));
    }
    let answer = get(&args.admin, &format!("/incidents/{name}"))?;
    if answer.status == 404 {
        return Err(Failure::of(format!("no incident {name} is kept")));
    }
    if args.json {
        let value: Value = document(&answer)?;
        return print(&format!("{value:#}\n"));
    }
    print(&tell::detail(&document(&answer)?))
}
