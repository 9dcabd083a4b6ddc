//! `mainstay log`: how a running proxy logs, and another way of it from now on.
//!
//! What is allowed is the proxy's to say: its refusal names the setting, the value and what it may be.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::admin::{document, get, put};
use crate::args::Log;
use crate::exit::{Failure, print};
use crate::paper::clean;

/// The document of `/log`.
#[derive(Debug, Deserialize)]
struct Logs {
    calls: Option<String>,
    format: Option<String>,
    level: Option<String>,
    messages: Option<String>,
    access_log: Option<AccessLog>,
}

#[derive(Debug, Deserialize)]
struct AccessLog {
    file: Option<String>,
    written: u64,
    dropped: u64,
}

pub(crate) fn run(args: &Log) -> Result<ExitCode, Failure> {
    let order = order(args);
    let answer = match order.is_empty() {
        true => get(&args.admin, "/log")?,
        false => put(&args.admin, "/log", &Value::Object(order).to_string())?,
    };
    if args.json {
        let value: Value = document(&answer)?;
        print(&format!("{value:#}\n"))?;
    } else {
        print(&told(&document(&answer)?))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be another way: what isn't said stays.
fn order(args: &Log) -> Map<String, Value> {
    let said = [
        ("calls", &args.calls),
        ("format", &args.format),
        ("level", &args.level),
        ("messages", &args.messages),
    ];
    let said = said.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
    said.map(|(key, value)| (key.to_owned(), Value::from(value.as_str()))).collect()
}

fn told(logs: &Logs) -> String {
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        // Writing into a string can't fail.
        let _ = writeln!(text, "{name:10}  {value}");
    };
    for (name, value) in [
        ("calls", &logs.calls),
        ("format", &logs.format),
        ("level", &logs.level),
        ("messages", &logs.messages),
    ] {
        row(name, &value.as_deref().map_or_else(|| "-".to_owned(), clean));
    }
    let access = logs.access_log.as_ref().map(|access| {
        let file = access.file.as_deref().map_or_else(|| "standard output".to_owned(), clean);
        format!("{file}, {} lines written, {} dropped", access.written, access.dropped)
    });
    row("access log", &access.unwrap_or_else(|| "off".to_owned()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_a_line_for_each_setting_and_steers_no_terminal() {
        let check = |document: Value, wanted: &str| {
            let logs: Logs = serde_json::from_value(document).expect("a document");
            assert_eq!(told(&logs), wanted);
        };
        check(
            serde_json::json!({
                "version": 1, "calls": "broken", "format": "text", "level": "info", "messages": "mainstay=info",
                "access_log": { "file": "/var/log/a\u{1b}[2J.log", "written": 12, "dropped": 1 },
            }),
            "calls       broken\nformat      text\nlevel       info\nmessages    mainstay=info\n\
             access log  /var/log/a?[2J.log, 12 lines written, 1 dropped\n",
        );
        let none = serde_json::json!({
            "calls": null, "format": null, "level": null, "messages": null, "access_log": null,
        });
        check(
            none,
            "calls       -\nformat      -\nlevel       -\nmessages    -\naccess log  off\n",
        );
    }
}
